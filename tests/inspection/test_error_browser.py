"""`sltk report --errors`: what it reads, what it refuses, and what the page does in a browser."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from labelled_runs import write_run
from repository import ROOT
from sltk.cli import main
from sltk.inspection.error_kinds import KINDS, count_kinds
from sltk.inspection.run_errors import read_errors
from sltk.types import Span

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

HOSTILE = "</script><script>document.title='mine'</script>"
LABELLED = [
    (
        "Ada met Grace Hopper .",
        [Span(0, 1, "PER"), Span(2, 4, "PER")],
        [Span(0, 1, "PER", 0.9), Span(2, 3, "PER", 0.6)],
    ),
    ("nothing here at all", [], []),
    ("Zürich lies far away", [Span(0, 1, "LOC")], [Span(0, 1, "ORG", 0.8)]),
    (f"{HOSTILE} <img/src=x/onerror=alert(1)> \u202ereversed", [], [Span(0, 1, "ORG", 0.4)]),
    ("the Bank of X and Y", [Span(1, 4, "ORG"), Span(5, 6, "PER")], []),
    (f"{'x' * 1000} y", [Span(0, 2, "MISC")], [Span(0, 2, "MISC", 0.99)]),
]
SCORES = [None, None, None, None, [0.5, 0.7, 0.9, 0.8, 0.5, 0.3], None]
COUNTS = {"correct": 2, "missed": 2, "spurious": 1, "wrong type": 1, "wrong end": 1}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose errors are known."""
    return write_run(tmp_path_factory.mktemp("runs") / "known", LABELLED, scores=SCORES)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on the same sentences that finds the second word of a span, and the place, but not the first name."""
    labelled = [
        (LABELLED[0][0], LABELLED[0][1], [Span(2, 4, "PER")]),
        LABELLED[1],
        (LABELLED[2][0], LABELLED[2][1], [Span(0, 1, "LOC")]),
        *LABELLED[3:],
    ]
    return write_run(tmp_path_factory.mktemp("runs") / "other", labelled)


def data_of(page: str) -> dict[str, Any]:
    """The data in a page."""
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page)
    return json.loads(text)


def test_kinds_add_up_to_the_scored_spans(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The counts of each kind are those computed by hand, in the page and on the terminal."""
    assert main(["report", "--errors", str(run), "-o", str(tmp_path / "page.html")]) == 0
    data = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    (rows,) = data["counts"]
    assert {kind: row[0] for kind, row in zip(KINDS, rows, strict=True) if row[0]} == COUNTS
    assert [sum(row[side] for row in rows) for side in (1, 2)] == [6, 5]
    printed = capsys.readouterr().out
    assert re.search(r"together +7 +6 +5", printed)
    assert re.search(r"wrong end +1 +1 +1", printed)


def test_an_error_has_the_confidence_of_the_model(run: Path) -> None:
    """That of its predicted spans; of a missed span, the lowest probability of its words' tags."""
    sentences = read_errors(run).sentences
    confidences = [
        (each.kind, sentence.confidence(each)) for sentence in sentences for each in sentence.comparisons
    ]
    assert confidences == [
        ("correct", 0.9),
        ("wrong end", 0.6),
        ("wrong type", 0.8),
        ("spurious", 0.4),
        ("missed", 0.7),
        ("missed", 0.3),
        ("correct", 0.99),
    ]


def test_runs_without_scores_have_no_confidence(
    other: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run of an earlier version has no scores: that is noted, and everything else is there."""
    folder = write_run(tmp_path / "old", [("a b", [Span(0, 1, "X")], [Span(0, 1, "Y")])])
    assert not (folder / "predictions/test.scores.jsonl").exists()
    assert main(["report", "--errors", str(folder), "-o", str(tmp_path / "page.html")]) == 0
    assert "stores no scores" in capsys.readouterr().err
    data = data_of((tmp_path / "page.html").read_text(encoding="utf-8"))
    assert data["runs"] == ["old"]
    assert data["sentences"][0][2] == [[[[0, 1, 1]], [[KINDS.index("wrong type"), [0], [0]]]]]


def test_runs_of_earlier_versions_can_be_shown() -> None:
    """A stored run has no scores; its kinds add up to the counts that were scored."""
    errors = read_errors(ROOT / "tests/stored_runs/tagger")
    scored = json.loads((ROOT / "tests/stored_runs/tagger/metrics.json").read_text())["test"]
    rows = count_kinds(errors.comparisons())
    assert not errors.has_scores
    assert [sum(row.gold for row in rows), sum(row.predicted for row in rows)] == [
        scored["support"],
        scored["predicted"],
    ]


def test_nested_spans_have_kinds_and_scores(tmp_path: Path) -> None:
    """Each of several spans over one word counts, and has its own score."""
    gold = [Span(0, 4, "PER"), Span(2, 4, "ORG"), Span(2, 3, "LOC")]
    predicted = [Span(0, 4, "PER", 0.9), Span(2, 4, "ORG", 0.8), Span(2, 3, "GPE", 0.7)]
    folder = write_run(
        tmp_path / "nested", [("Ada of Lund University", gold, predicted)], scheme="layers", name="study"
    )
    assert read_errors(folder).name == "study (nested)"
    (sentence,) = read_errors(folder).sentences
    assert [(each.kind, sentence.confidence(each)) for each in sentence.comparisons] == [
        ("correct", 0.9),
        ("wrong type", 0.7),
        ("correct", 0.8),
    ]


def test_plain_tags_are_spans_of_one_word(tmp_path: Path) -> None:
    """Each word is correct or has the wrong type."""
    folder = write_run(tmp_path / "pos", [("a b", [], [])], scheme="plain", metrics=[{"type": "accuracy"}])
    (folder / "predictions/test.conll").write_text("a\tDET\tDET\nb\tNOUN\tVERB\n\n", encoding="utf-8")
    counts = {row.kind: row.number for row in count_kinds(read_errors(folder).comparisons()) if row.number}
    assert counts == {"correct": 1, "wrong type": 1}


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("a\tO\n", "expected tab-separated word, gold tag and predicted tag"),
        ("a\tB-X\tO\n\n", "not the predictions that were scored"),
        ("a\tQ-X\tO\n\n", "Q-X"),
    ],
)
def test_damaged_predictions_are_errors(
    tmp_path: Path, damage: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """A damaged file, or one that does not belong to the run, is an error that names it."""
    folder = write_run(tmp_path / "run", [("a", [], [])])
    (folder / "predictions/test.conll").write_text(damage, encoding="utf-8")
    assert main(["report", "--errors", str(folder), "-o", str(tmp_path / "page.html")]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"words": [1], "spans": []}', '{"words": null, "spans": [[0]]}']
)
def test_damaged_scores_are_errors(tmp_path: Path, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Scores that are no JSON, lack something or belong to other sentences are an error."""
    folder = write_run(tmp_path / "run", [("a b", [], [Span(0, 1, "X", 0.5)])])
    (folder / "predictions/test.scores.jsonl").write_text(line + "\n", encoding="utf-8")
    assert main(["report", "--errors", str(folder), "-o", str(tmp_path / "page.html")]) == 2
    assert "test.scores.jsonl" in capsys.readouterr().err


def test_wrong_arguments_are_errors(
    run: Path,
    other: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of them is one clear message, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    elsewhere = write_run(tmp_path / "elsewhere/run", [("a b", [], [])])
    relabelled = write_run(tmp_path / "relabelled", [*LABELLED[:-1], (LABELLED[-1][0], [], [])])
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished/spec.yaml").write_text("name: x\n")
    for arguments, message in [
        ([run, "--tasks"], "`--tasks` does not go with `--errors`"),
        ([run, other, run], "not 3"),
        ([run, "--split", "validation"], "labelled no validation data; it has test"),
        ([run, elsewhere], "6 and 1 sentences"),
        ([run, relabelled], "sentence 6 has other gold spans"),
        ([tmp_path / "elsewhere"], "runs in it: elsewhere/run"),
        ([tmp_path / "unfinished"], "is not finished"),
        ([tmp_path / "nowhere"], "no such folder"),
        ([run, "-o", run / "metrics.json"], "is a file that is read"),
    ]:
        assert main(["report", "--errors", *map(str, arguments)]) == 2
        assert message in capsys.readouterr().err
    assert main(["report", str(run), "--split", "test"]) == 2
    assert "use it with `--errors`" in capsys.readouterr().err
    assert not (tmp_path / "reports").exists()


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def pages(
    browser: Browser, run: Path, other: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Page, Page]]:
    """The page of one run and that of two; whatever is done there, nothing else is loaded and no other script runs."""
    folder = tmp_path_factory.mktemp("pages")
    context, opened = browser.new_context(viewport={"width": 600, "height": 900}), []
    problems: list[str] = []
    for name, runs in (("one", [run]), ("two", [run, other])):
        file = folder / f"{name}.html"
        assert main(["report", "--errors", *map(str, runs), "-o", str(file)]) == 0
        page = context.new_page()
        page.on("console", lambda message: problems.append(message.text))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("dialog", lambda dialog: problems.append(dialog.message))
        page.on("request", lambda request: request.url.startswith("file:") or problems.append(request.url))
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        opened.append(page)
    yield opened[0], opened[1]
    assert problems == []


def shown(page: Page) -> list[int]:
    """The numbers of the sentences that are shown."""
    texts = page.locator("#sentences .meta").all_inner_texts()
    return [int(re.findall(r"\d+", text)[0]) for text in texts]


def test_the_page_filters_sentences(pages: tuple[Page, Page]) -> None:
    """By kind, type, pair of types, text and length; with the keyboard alone, and in the order of confidence."""
    page = pages[0]
    assert shown(page) == [1, 3, 4, 5]
    assert page.locator("#status").inner_text() == "1–4 of 4 sentences, with 5 matches"
    page.get_by_label("missed").press("Space")
    assert shown(page) == [1, 3, 4]
    page.get_by_label("sentences without errors").check()
    assert shown(page) == [1, 2, 3, 4, 6]
    page.get_by_role("button", name="Reset").click()
    assert shown(page) == [1, 3, 4, 5]
    page.locator("#order").select_option("confident")
    assert shown(page) == [3, 5, 1, 4]
    page.locator("#type").select_option(label="ORG")
    assert shown(page) == [3, 5, 4]
    page.get_by_role("button", name="Reset").click()
    page.locator("#text").fill("GRACE  hopper")
    assert shown(page) == [1]
    page.get_by_role("button", name="Reset").click()
    page.locator("#shortest").fill("5")
    assert shown(page) == [1, 5]
    page.get_by_role("button", name="Reset").click()
    page.locator("summary").click()
    page.get_by_role("button", name="LOC → ORG 1").click()
    assert shown(page) == [3]
    page.get_by_role("button", name="Reset").click()
    assert page.evaluate("document.documentElement.scrollWidth") == 600


def test_hostile_text_is_text(pages: tuple[Page, Page]) -> None:
    """Markup stays text, invisible characters are shown, and a long word is cut; everything is described in words."""
    page = pages[0]
    page.get_by_role("button", name="Reset").click()
    assert page.title() == "Errors of known on test"
    words = page.locator("#sentences > li:nth-child(3) .word").all_inner_texts()
    assert words == [HOSTILE, "<img/src=x/onerror=alert(1)>", "[U+202E]reversed"]
    assert page.locator("#sentences > li:nth-child(1) .errors").inner_text() == (
        "wrong end: gold “Grace Hopper” PER → predicted “Grace” PER 0.60"
    )
    page.get_by_label("correct", exact=True).check()
    page.locator("#type").select_option(label="MISC")
    assert page.locator(".word").first.inner_text() == f"{'x' * 200}… (1,000 characters)"
    page.get_by_role("button", name="Reset").click()


def test_two_runs_are_shown_where_they_differ(pages: tuple[Page, Page]) -> None:
    """Also where only one of them is right."""
    page = pages[1]
    assert shown(page) == [1, 3, 4, 5]
    page.locator("#agreement").select_option("differ")
    assert shown(page) == [1, 3]
    page.get_by_label("correct", exact=True).check()
    page.locator("#agreement").select_option(label="where only A is right")
    assert shown(page) == [1]
    page.locator("#agreement").select_option(label="where only B is right")
    assert shown(page) == [1, 3]
    rows = page.locator("#sentences > li:first-child .first").first.locator("[data-row]")
    assert rows.evaluate_all("rows => rows.map(row => row.dataset.row)") == ["gold", "A", "B"]
