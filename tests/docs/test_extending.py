"""Components of one's own: from a file beside the spec, and from an installed package.

The files are the examples of docs/extending.md, so that what the documentation shows is what runs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from repository import ROOT
from sltk import cli
from sltk.run import evaluate, load

GUIDE = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
FILES = dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```$', GUIDE, re.MULTILINE | re.DOTALL))
COMPONENTS = {
    "reader": ("tsv", "my_reader.py"),
    "head": ("weighted", "my_head.py"),
    "metric": ("whole_sentences", "my_metric.py"),
    "writer": ("slashes", "my_writer.py"),
    "backbone": ("lstm", "my_backbone.py"),
}
SENTENCES = ("Mia/B-PER met/O Noor/B-PER Ali/I-PER ./O", "they/O walked/O to/O Basel/B-LOC ./O")


def run(*arguments: str, path: Path | None = None, text: str = "") -> subprocess.CompletedProcess[str]:
    """The command line in a process of its own, which knows no component of this one."""
    environment = dict(
        os.environ, PYTHONPATH=os.pathsep.join(map(str, filter(None, [path, ROOT / "toolkit"])))
    )
    command = [sys.executable, "-m", "sltk", *arguments]
    return subprocess.run(command, input=text, text=True, capture_output=True, env=environment, check=False)


def write_tsv(path: Path, sentences: tuple[str, ...]) -> None:
    blocks = (
        "".join(f"{pair.replace('/', chr(9))}\n" for pair in sentence.split()) for sentence in sentences
    )
    path.write_text("\n".join(blocks), encoding="utf-8")


def write_project(folder: Path) -> Path:
    """The guide's spec with all five components, its files and data; returns the path of the spec."""
    folder.mkdir(parents=True)
    for _, file in COMPONENTS.values():
        (folder / file).write_text(FILES[file], encoding="utf-8")
    write_tsv(folder / "train.tsv", SENTENCES * 4)
    write_tsv(folder / "test.tsv", SENTENCES)
    imports = f"imports: [{', '.join(file for _, file in COMPONENTS.values())}]"
    spec = FILES["spec.yaml"].replace("imports: [my_reader.py]", imports)
    spec += "head: {type: weighted, outside: 0.2}\nmetrics: [{type: seqeval}, {type: whole_sentences}]\n"
    (folder / "spec.yaml").write_text(spec, encoding="utf-8")
    return folder / "spec.yaml"


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with components of its own, moved elsewhere, after the files that define them are gone."""
    folder = tmp_path_factory.mktemp("extending")
    spec = write_project(folder / "project")
    assert cli.main(["train", str(spec), "--output", str(folder / "first")]) == 0
    shutil.rmtree(folder / "project")
    return (folder / "first").rename(folder / "moved")


def test_a_run_trains_with_components_from_files_beside_the_spec(trained: Path) -> None:
    """Reader, head and metric of three files train and score a model; the metric's scores bear its name."""
    test = json.loads((trained / "metrics.json").read_text())["test"]
    assert test["sentences"] == 2
    assert test["whole_sentences"]["signature"] == "whole_sentences|scheme:IOB2"


def test_a_run_directory_holds_the_files_it_imports(trained: Path) -> None:
    """The imported files are in the run directory, as they were, and its spec names those copies."""
    assert {p.name for p in (trained / "imports").iterdir()} == {file for _, file in COMPONENTS.values()}
    assert (trained / "imports" / "my_head.py").read_text(encoding="utf-8") == FILES["my_head.py"]
    assert "imports/my_head.py" in (trained / "spec.yaml").read_text(encoding="utf-8")


def test_a_moved_run_predicts_without_the_original_files(trained: Path) -> None:
    """A fresh process predicts with the run's own head, and says which files it ran."""
    done = run("predict", str(trained), "-", text="Mia met Ali.\n")
    assert done.returncode == 0, done.stderr
    assert "Mia" in done.stdout
    assert "imports/my_head.py" in done.stderr


def test_options_of_a_component_are_kept(trained: Path) -> None:
    """The saved model knows its head by type and options."""
    saved = json.loads((trained / "model" / "sltk.json").read_text())
    assert saved["components"]["head"] == {"type": "weighted", "outside": 0.2}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a spec with components of its own."""
    return write_project(tmp_path_factory.mktemp("project") / "specs").parent


def test_a_metric_needs_no_keys_that_the_built_in_ones_have(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A first metric with scores of its own only is computed, written and shown without a fault."""
    spec = write_project(tmp_path / "project")
    (tmp_path / "project" / "bare.py").write_text(
        FILES["my_metric.py"]
        .replace('"accuracy": share', '"share": share')
        .replace("whole_sentences", "bare")
    )
    extended = tmp_path / "project" / "bare.yaml"
    extended.write_text(
        f"extends: {spec.name}\nimports: [my_reader.py, my_head.py, bare.py]\nmetrics: [{{type: bare}}]\n"
    )
    assert cli.main(["train", str(extended), "--output", str(tmp_path / "run")]) == 0
    assert "bare|scheme:IOB2" in capsys.readouterr().out
    assert "share" in json.loads((tmp_path / "run" / "metrics.json").read_text())["test"]


def test_components_of_ones_own_can_be_rehearsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rehearsal runs them, on examples where a data file is absent, and leaves nothing behind."""
    spec = write_project(tmp_path / "project")
    (tmp_path / "project" / "test.tsv").unlink()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert cli.main(["train", str(spec), "--rehearse"]) == 0
    assert "test.tsv" in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_a_backbone_that_is_no_transformers_model_goes_all_the_way(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An LSTM of a few lines is trained, rehearsed, saved with its weights, scored alike, exported, and has no mask."""
    spec = write_project(tmp_path / "project").with_name("lstm.yaml")
    text = re.sub(
        r"(?ms)^backbone:\n(  .*?\n)+", "backbone: {type: lstm, hidden_size: 32}\n", FILES["spec.yaml"]
    )
    text = text.replace("imports: [", "imports: [my_backbone.py, ").replace(
        "epochs: 1", "epochs: 40, learning_rate: 1e-2"
    )
    spec.write_text(text + "head: {type: linear}\n", encoding="utf-8")
    assert cli.main(["train", str(spec), "--rehearse"]) == 0
    run_folder = tmp_path / "run"
    assert cli.main(["train", str(spec), "--output", str(run_folder)]) == 0
    trained = json.loads((run_folder / "metrics.json").read_text())["test"]
    assert evaluate(run_folder).scores == trained
    assert cli.main(["export", str(run_folder), str(tmp_path / "exported")]) == 0
    texts = ["Mia met Noor Ali.", "they walked to Basel."]
    ours, exported = (load(folder).predict(texts) for folder in (run_folder, tmp_path / "exported"))
    assert [each.tags for each in ours] == [each.tags for each in exported]
    assert any(each.spans for each in ours)
    capsys.readouterr()
    assert cli.main(["show", "mask", str(run_folder)]) == 2
    assert "type `lstm` has no mask" in capsys.readouterr().err


@pytest.mark.parametrize("slot", COMPONENTS)
def test_list_and_show_know_imported_components(
    slot: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`list` has the name and the first line of the docstring; `show` has it too, with keys and defaults."""
    name, file = COMPONENTS[slot]
    docstring = re.search(r'"""(.+?)"""', FILES[file])
    assert docstring is not None
    assert cli.main(["list", slot, "--imports", str(project / file)]) == 0
    assert name in capsys.readouterr().out
    assert cli.main(["show", slot, name, "--imports", str(project / file)]) == 0
    shown = capsys.readouterr().out
    assert docstring[1] in shown
    assert ("outside" in shown and "weight of words tagged O" in shown) == (slot == "head")


def test_the_json_schema_has_imported_components(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An editor completes the keys of a component of one's own."""
    assert cli.main(["schema", "--imports", str(project / "my_head.py")]) == 0
    heads = json.loads(capsys.readouterr().out)["$defs"]["Head"]["oneOf"]
    mine = next(head for head in heads if head["properties"]["type"] == {"const": "weighted"})
    assert mine["properties"]["outside"]["description"] == "weight of words tagged O in the loss"


def test_check_tells_of_a_mistake_in_an_imported_component(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A key that the component lacks is told at its place, with the nearest one that it has."""
    spec = project / "wrong.yaml"
    text = (project / "spec.yaml").read_text(encoding="utf-8")
    spec.write_text(text.replace("outside: 0.2", "outsid: 0.2"), encoding="utf-8")
    assert cli.main(["check", str(spec)]) == 2
    told = capsys.readouterr().err
    assert "unknown key `outsid` for head `weighted`" in told
    assert "did you mean `outside`?" in told


def test_a_data_error_of_a_reader_of_ones_own_names_file_and_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the reader raises is shown like the errors of built-in readers."""
    bad = project / "bad.tsv"
    bad.write_text("Mia\tB-PER\nmet\n", encoding="utf-8")
    assert cli.main(["stats", str(bad), "--reader", "tsv", "--imports", str(project / "my_reader.py")]) == 2
    assert f"error: expected a word, a tab and a tag\n  --> {bad}:2" in capsys.readouterr().err


def test_convert_writes_with_a_writer_of_ones_own(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Reader and writer of two files turn one format into another."""
    imports = [
        part for file in ("my_reader.py", "my_writer.py") for part in ("--imports", str(project / file))
    ]
    source = str(project / "test.tsv")
    assert cli.main(["convert", source, "-", "--reader", "tsv", "--writer", "slashes", *imports]) == 0
    assert capsys.readouterr().out.splitlines() == list(SENTENCES)


def install(folder: Path, module: str, source: str) -> None:
    """What pip would leave in site-packages: a module, and the metadata that names its entry point."""
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[sltk.components]\n{module} = {module}\n")


def test_components_of_an_installed_package_need_no_imports(tmp_path: Path) -> None:
    """An entry point in the group `sltk.components` is all that a package needs."""
    install(tmp_path, "my_reader", FILES["my_reader.py"])
    write_tsv(tmp_path / "data.tsv", SENTENCES)
    done = run("stats", str(tmp_path / "data.tsv"), "--reader", "tsv", "--json", path=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["spans"] == {"LOC": 1, "PER": 2}


def test_the_guide_shows_the_entry_point_that_is_tested() -> None:
    """The package of the guide names the module in the same group."""
    assert '[project.entry-points."sltk.components"]\ntsv = "my_reader"' in FILES["pyproject.toml"]


def test_two_packages_with_one_name_are_a_loud_error(tmp_path: Path) -> None:
    """No installed component replaces another: both origins are named."""
    install(tmp_path, "my_reader", FILES["my_reader.py"])
    install(tmp_path, "other_reader", FILES["my_reader.py"])
    done = run("list", "reader", path=tmp_path)
    assert done.returncode != 0
    assert "reader `tsv` is registered twice" in done.stderr
    assert "my_reader.TsvReader" in done.stderr
    assert "other_reader.TsvReader" in done.stderr


def test_a_broken_package_is_named(tmp_path: Path) -> None:
    """A package whose import fails is told by name, and nothing goes on without it."""
    install(tmp_path, "broken_reader", "import no_such_module_anywhere\n")
    done = run("list", "reader", path=tmp_path)
    assert done.returncode == 2
    assert "`broken_reader`" in done.stderr
    assert "no_such_module_anywhere" in done.stderr


def test_a_file_cannot_take_the_name_of_a_built_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An imported file that registers `conll` again is refused, with the line where."""
    file = tmp_path / "mine.py"
    file.write_text(FILES["my_reader.py"].replace('"tsv"', '"conll"'), encoding="utf-8")
    assert cli.main(["list", "reader", "--imports", str(file)]) == 2
    told = capsys.readouterr().err
    assert "reader `conll` is registered twice" in told
    assert f"--> {file}:" in told


def test_a_component_without_a_docstring_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its docstring is its help, so there must be one."""
    file = tmp_path / "mine.py"
    file.write_text(
        "from sltk import Writer, register\n\n@register.writer('bare')\nclass Bare(Writer): ...\n"
    )
    assert cli.main(["list", "writer", "--imports", str(file)]) == 2
    assert "needs a docstring" in capsys.readouterr().err


def test_a_component_goes_into_its_own_slot_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A reader cannot be registered as a writer."""
    file = tmp_path / "mine.py"
    file.write_text(FILES["my_reader.py"].replace("register.reader", "register.writer"), encoding="utf-8")
    assert cli.main(["list", "writer", "--imports", str(file)]) == 2
    assert "`TsvReader` cannot be writer `tsv`" in capsys.readouterr().err
