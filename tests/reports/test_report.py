"""The files that `sltk report` writes, for real and for synthetic runs."""

from __future__ import annotations

import csv
import json
import os
import re
import statistics
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import sltk
import study_records
import tiny
from sltk.cli import main
from sltk.reports import plotting
from sltk.reports.arrangement import arrange
from sltk.reports.assembly import write_report
from sltk.reports.comparisons import compare_with_baseline
from sltk.reports.figures import checkpoint_curves
from sltk.reports.plotting import save, style
from sltk.reports.run_records import read_records, write_records
from sltk.reports.study import Summary

FORMS = ("png", "svg", "pdf")
BEGINNINGS = {"png": b"\x89PNG", "svg": b"<?xml", "pdf": b"%PDF"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two real runs with different masks, in the layout of a sweep."""
    folder = tmp_path_factory.mktemp("sweep")
    for mask in ("00", "01"):
        spec = tiny.spec(
            {"epochs": 8, "learning_rate": 0.02}, name=f"tiny-{mask}", data=tiny.all_splits(),
            backbone=tiny.backbone(unmask=mask),
        )  # fmt: skip
        sltk.train(spec, folder / "runs" / mask)
    (folder / "sweep.yaml").write_text("name: tiny\n")
    return folder


@pytest.fixture(scope="module")
def real(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the report of the real runs, `out`, and the runs as records, `runs.jsonl`."""
    folder = tmp_path_factory.mktemp("real")
    arguments = ["--output", str(folder / "out"), "--records", str(folder / "runs.jsonl")]
    assert main(["report", str(runs), *arguments]) == 0
    return folder


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of records: 16 masks with three seeds each."""
    path = tmp_path_factory.mktemp("records") / "study.jsonl"
    write_records(path, study_records.study())
    return path


@pytest.fixture(scope="module")
def page(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of the synthetic study."""
    output = tmp_path_factory.mktemp("report") / "out"
    assert main(["report", str(study), "--output", str(output)]) == 0
    return output


def test_a_report_of_real_runs_has_the_promised_files(runs: Path, real: Path) -> None:
    """Page, Markdown, table, results and figures in three formats; scores match metrics.json."""
    output = real / "out"
    names = {path.name for path in output.iterdir()}
    assert names == {"report.html", "report.md", "table.tex", "results.csv", "figures"}
    for name in ("configurations", "learning_curves", "types", "confusion", "cost"):
        for form in FORMS:
            assert (output / "figures" / f"{name}.{form}").read_bytes().startswith(BEGINNINGS[form])
    rows = list(csv.DictReader((output / "results.csv").open()))
    assert [row["mask"] for row in rows] == ["00", "01"]
    for row in rows:
        metrics = json.loads((runs / "runs" / row["mask"] / "metrics.json").read_text())
        assert float(row["test_f1"]) == metrics["test"]["f1"]
        assert float(row["seconds"]) == metrics["train"]["seconds"]


def test_one_run_can_be_reported_on(runs: Path, tmp_path: Path) -> None:
    """A single run is reported with scores, types, confusion and learning curve, but no comparison."""
    done = write_report([runs / "runs" / "01"], tmp_path / "out")
    drawn = [path.stem for path in sorted((tmp_path / "out" / "figures").glob("*.png"))]
    assert drawn == ["configurations", "confusion", "learning_curves", "types"]
    assert "Differences" not in (tmp_path / "out" / "report.md").read_text()
    assert compare_with_baseline(done.tasks[0]) == []


def test_records_are_the_runs_without_text_and_folders(
    real: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Records give the same report as the run directories, and contain neither words nor folders.

    Standard output shows the table of means, the choice by validation, and the path of the report.
    """
    assert main(["report", str(real / "runs.jsonl"), "--output", str(tmp_path / "out")]) == 0
    for name in ("report.md", "results.csv", "table.tex", "report.html"):
        assert (real / "out" / name).read_bytes() == (tmp_path / "out" / name).read_bytes()
    text = (real / "runs.jsonl").read_text()
    assert "table" not in text
    assert "/" not in re.sub(r'"git_revision":"[^"]*"', "", text)
    shown = capsys.readouterr().out
    for row in csv.DictReader((real / "out" / "results.csv").open()):
        assert f"{100 * float(row['test_f1']):.2f}" in shown
    assert "Best by validation: " in shown
    assert str(tmp_path / "out" / "report.html") in shown


def test_masks_are_in_gray_code_order(page: Path) -> None:
    """Tables list the 16 masks in the order of the paper's figure: neighbours differ in one digit."""
    paper = (
        *("0000", "0001", "0011", "0010", "0110", "0111", "0101", "0100"),
        *("1100", "1101", "1111", "1110", "1010", "1011", "1001", "1000"),
    )
    table = (page / "report.md").read_text().split("### Scores")[1].split("###")[0]
    assert re.findall(r"^\| \**([01]{4})\b", table, re.MULTILINE) == list(paper)
    assert re.findall(r"^([01]{4}) &", (page / "table.tex").read_text(), re.MULTILINE) == list(paper)


def test_scores_are_mean_and_sample_deviation(study: Path, page: Path) -> None:
    """A cell is the mean ± sample standard deviation of the seeds' scores, in points."""
    scores = [record.scores["test"]["f1"] for record in read_records(study) if record.mask == "0110"]
    expected = f"{100 * statistics.mean(scores):.2f} ± {100 * statistics.stdev(scores):.2f}"
    assert len(scores) == 3
    assert expected in (page / "report.md").read_text()
    assert expected.replace("±", "$\\pm$") in (page / "table.tex").read_text()


def test_tests_over_seeds_accompany_the_papers_test(page: Path) -> None:
    """16 masks give the paper's 17 pairs with a row each, the tests over seeds, and 15 comparisons with 0000."""
    text = (page / "report.md").read_text()
    assert "the paper's test, over 17 pairs" in text
    assert "paired t over seeds" in text
    assert "sign flip over seeds" in text
    assert "over 15 comparisons" in text
    pairs = text.split("### Each pair separately")[1].split("##")[0]
    assert len(re.findall(r"^\| [01]{4} \| [01]{4} ", pairs, re.MULTILINE)) == 17


class Page(HTMLParser):
    """Collects the tags of a page, and checks that they are closed in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attributes)))
        if tag not in ("meta", "img", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_self_contained(page: Path) -> None:
    """report.html is well nested, has no scripts or links, and embeds every picture with an alternative text."""
    html = (page / "report.html").read_text(encoding="utf-8")
    parser = Page()
    parser.feed(html)
    assert parser.open == []
    tags = [tag for tag, _ in parser.seen]
    assert not {"script", "link", "iframe", "object", "a"} & set(tags)
    pictures = [attributes for tag, attributes in parser.seen if tag == "img"]
    assert len(pictures) == 5
    assert all((each["src"] or "").startswith("data:image/png;base64,") and each["alt"] for each in pictures)
    assert "http" not in html.replace("http-equiv", "")
    assert not any(name.startswith("on") for _, attributes in parser.seen for name in attributes)


def test_names_are_escaped_in_every_format(tmp_path: Path) -> None:
    """Names of types and runs that contain markup are shown literally."""
    evil = "<script>alert(1)</script>|&%$_#{}\\~^\x1b"
    records = study_records.study(["00", "01"], seeds=[1, 2], types=(evil, "$x_1$"), data="<b>&")
    write_records(tmp_path / "a.jsonl", [each.model_copy(update={"name": evil}) for each in records])
    write_report([tmp_path / "a.jsonl"], tmp_path / "out")
    html = (tmp_path / "out" / "report.html").read_text()
    assert "<script" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "\x1b" not in html
    assert "<b>" not in (tmp_path / "out" / "report.md").read_text().replace("\\<b\\>", "")
    assert r"|\&\%\$\_\#\{\}" in (tmp_path / "out" / "table.tex").read_text()


def test_figures_repeat_bit_for_bit(study: Path, page: Path, tmp_path: Path) -> None:
    """The same runs give the same bytes, figures included."""
    write_report([study], tmp_path / "again")
    for path in [path for path in page.rglob("*") if path.is_file()]:
        assert path.read_bytes() == (tmp_path / "again" / path.relative_to(page)).read_bytes(), path.name


def test_tasks_are_reported_side_by_side(tmp_path: Path) -> None:
    """With `--tasks` each data set is a task with its own section, columns and panels."""
    write_records(
        tmp_path / "a.jsonl",
        [*study_records.study(["00", "01"], data="news"), *study_records.study(["00", "01"], data="books")],
    )
    assert main(["report", str(tmp_path / "a.jsonl"), "--tasks", "--output", str(tmp_path / "out")]) == 0
    text = (tmp_path / "out" / "report.md").read_text()
    assert "## conll news.train" in text
    assert "## conll books.train" in text
    assert text.count("### Differences") == 2
    assert r"\cmidrule(lr){2-3} \cmidrule(lr){4-5}" in (tmp_path / "out" / "table.tex").read_text()


def test_a_task_is_named_by_the_sweep_or_spec_that_all_its_runs_share(tmp_path: Path) -> None:
    """A task is named after the spec or sweep of all its runs, or else after its data."""
    ner, chunking = (
        [each.model_copy(update={"name": name}) for each in study_records.study(["00", "01"], data=data)]
        for name, data in (("ner", "news"), ("chunking", "books"))
    )
    assert [task.name for task in arrange([*ner, *chunking], separate=True)] == ["ner", "chunking"]
    swept = [each.model_copy(update={"sweep": "fig3_ner", "name": f"run {n}"}) for n, each in enumerate(ner)]
    assert [task.name for task in arrange(swept)] == ["fig3_ner"]
    mixed = [ner[0].model_copy(update={"name": "other"}), *ner[1:]]
    assert [task.name for task in arrange(mixed)] == ["conll news.train"]


def test_curves_over_checkpoints_are_drawn(tmp_path: Path) -> None:
    """The paper's Figure 3: several curves per task, with deviations, in all three formats."""
    curve = {step: Summary(0.1 * step, 0.02) for step in range(4)}
    tasks = {
        "NER": {"Encoder": curve, "Decoder Mask": {0: curve[0], 1: curve[1]}},
        "ABSA": {"Encoder": curve},
    }
    with style():
        save(checkpoint_curves(tasks), tmp_path, "checkpoints")
    for form in FORMS:
        assert (tmp_path / f"checkpoints.{form}").read_bytes().startswith(BEGINNINGS[form])


def test_a_report_is_written_whole_or_not_at_all(
    study: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failure while writing, the older report is unchanged and no partial one remains."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "report.html").write_text("older")

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(plotting, "save", full)
    with pytest.raises(OSError, match="No space"):
        write_report([study], tmp_path / "out")
    assert (tmp_path / "out" / "report.html").read_text() == "older"
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_report_needs_no_torch(study: Path, tmp_path: Path) -> None:
    """`sltk report` imports neither torch nor transformers."""
    code = (
        "import sys\nfrom sltk.cli import main\ncode = main(sys.argv[1:])\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\nsys.exit(code)"
    )
    source = str(Path(sltk.__file__).parents[1])
    command = [sys.executable, "-c", code, "report", str(study), "--output", str(tmp_path / "out")]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": source}
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_results_hold_no_formulas_and_no_escapes(tmp_path: Path) -> None:
    """Names of runs and data that a spreadsheet or a terminal would interpret are neutralized; numbers are not."""
    records = [
        record.model_copy(update={"name": name})
        for record, name in zip(
            study_records.study(["00", "01"], [1]), ["=1+2", "\x1b]52;c;aGk=\x07"], strict=True
        )
    ]
    write_records(tmp_path / "runs.jsonl", records)
    write_report([tmp_path / "runs.jsonl"], tmp_path / "out")
    text = (tmp_path / "out" / "results.csv").read_text()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f]", text)
    rows = list(csv.DictReader(text.splitlines()))
    assert sorted(row["run"] for row in rows) == ["'=1+2", "␛]52;c;aGk=␇"]
    assert all(0 <= float(row["test_f1"]) <= 1 for row in rows)
