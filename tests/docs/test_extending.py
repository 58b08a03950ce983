"""Custom components, from a file next to the spec and from an installed package.

The files are the examples of docs/extending.md, so the tests verify that the documentation works.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import warm
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


def run(
    *arguments: str, path: Path | None = None, text: str = "", cwd: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command line in a new process, which has only the built-in components."""
    environment = dict(
        os.environ, PYTHONPATH=os.pathsep.join(map(str, filter(None, [path, ROOT / "toolkit"])))
    )
    command = [*warm.python(), "-m", "sltk", *arguments]
    return subprocess.run(
        command, input=text, text=True, capture_output=True, env=environment, check=False, cwd=cwd
    )


def write_tsv(path: Path, sentences: tuple[str, ...]) -> None:
    blocks = (
        "".join(f"{pair.replace('/', chr(9))}\n" for pair in sentence.split()) for sentence in sentences
    )
    path.write_text("\n".join(blocks), encoding="utf-8")


def write_project(folder: Path) -> Path:
    """Write the guide's spec with all five components, its files and data, and return the path of the spec."""
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
    """A moved run with custom components, after the files that define them were removed."""
    folder = tmp_path_factory.mktemp("extending")
    spec = write_project(folder / "project")
    assert cli.main(["train", str(spec), "--output", str(folder / "first")]) == 0
    shutil.rmtree(folder / "project")
    return (folder / "first").rename(folder / "moved")


def test_a_run_trains_with_components_from_files_next_to_the_spec(trained: Path) -> None:
    """A custom reader, head and metric train and score a model; the metric's scores are under its name."""
    test = json.loads((trained / "metrics.json").read_text())["test"]
    assert test["sentences"] == 2
    assert test["whole_sentences"]["signature"] == "whole_sentences|scheme:IOB2"


def test_a_run_directory_has_copies_of_imported_files(trained: Path) -> None:
    """The copies are unchanged, and the stored spec names them."""
    assert {p.name for p in (trained / "imports").iterdir()} == {file for _, file in COMPONENTS.values()}
    assert (trained / "imports" / "my_head.py").read_text(encoding="utf-8") == FILES["my_head.py"]
    assert "imports/my_head.py" in (trained / "spec.yaml").read_text(encoding="utf-8")


def test_a_moved_run_predicts_without_the_original_files(trained: Path) -> None:
    """A new process predicts with the custom head, and reports which files it imported."""
    completed = run("predict", str(trained), "-", text="Mia met Ali.\n")
    assert completed.returncode == 0, completed.stderr
    assert "Mia" in completed.stdout
    assert "imports/my_head.py" in completed.stderr


def test_options_of_a_component_are_saved(trained: Path) -> None:
    """sltk.json has the type and options of the head."""
    saved = json.loads((trained / "model" / "sltk.json").read_text())
    of_every_head = {"decode": "head", "span_score": "product"}
    assert saved["components"]["head"] == {"type": "weighted", "outside": 0.2, **of_every_head}


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a spec with custom components."""
    return write_project(tmp_path_factory.mktemp("project") / "specs").parent


def test_a_metric_needs_none_of_the_built_in_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The first metric may have only custom scores; they are written and shown."""
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


def test_custom_components_can_be_rehearsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A rehearsal uses examples if a data file is missing, and leaves no files."""
    spec = write_project(tmp_path / "project")
    (tmp_path / "project" / "test.tsv").unlink()
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert cli.main(["train", str(spec), "--rehearse"]) == 0
    assert "test.tsv" in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_a_custom_backbone_works_in_every_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An LSTM is rehearsed, trained, saved, evaluated and exported with the same results; it has no mask."""
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
    scores = json.loads((run_folder / "metrics.json").read_text())["test"]
    assert evaluate(run_folder).scores == scores
    assert cli.main(["export", str(run_folder), str(tmp_path / "exported")]) == 0
    texts = ["Mia met Noor Ali.", "they walked to Basel."]
    original, exported = (load(folder).predict(texts) for folder in (run_folder, tmp_path / "exported"))
    assert [prediction.tags for prediction in original] == [prediction.tags for prediction in exported]
    assert any(prediction.spans for prediction in original)
    capsys.readouterr()
    assert cli.main(["show", "mask", str(run_folder)]) == 2
    assert "type `lstm` has no mask" in capsys.readouterr().err


@pytest.mark.parametrize("slot", COMPONENTS)
def test_list_and_show_include_imported_components(
    slot: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`list` prints the name of a component, `show` its docstring and keys."""
    name, file = COMPONENTS[slot]
    docstring = re.search(r'"""(.+?)"""', FILES[file])
    assert docstring is not None
    assert cli.main(["list", slot, "--imports", str(project / file)]) == 0
    assert name in capsys.readouterr().out
    assert cli.main(["show", slot, name, "--imports", str(project / file)]) == 0
    output = capsys.readouterr().out
    assert docstring[1] in output
    assert ("outside" in output and "weight of words tagged O" in output) == (slot == "head")


def test_the_json_schema_includes_imported_components(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Editors can complete the keys of a custom component."""
    assert cli.main(["schema", "--imports", str(project / "my_head.py")]) == 0
    heads = json.loads(capsys.readouterr().out)["$defs"]["Head"]["oneOf"]
    weighted = next(head for head in heads if head["properties"]["type"] == {"const": "weighted"})
    assert weighted["properties"]["outside"]["description"] == "weight of words tagged O in the loss"


def test_check_reports_an_unknown_key_of_an_imported_component(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The error suggests the nearest key of the component."""
    spec = project / "wrong.yaml"
    text = (project / "spec.yaml").read_text(encoding="utf-8")
    spec.write_text(text.replace("outside: 0.2", "outsid: 0.2"), encoding="utf-8")
    assert cli.main(["check", str(spec)]) == 2
    errors = capsys.readouterr().err
    assert "unknown key `outsid` for head `weighted`" in errors
    assert "did you mean `outside`?" in errors


def test_a_data_error_of_a_custom_reader_has_file_and_line(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Errors of a custom reader are shown like those of built-in readers."""
    bad = project / "bad.tsv"
    bad.write_text("Mia\tB-PER\nmet\n", encoding="utf-8")
    assert cli.main(["stats", str(bad), "--reader", "tsv", "--imports", str(project / "my_reader.py")]) == 2
    assert f"error: expected a word, a tab and a tag\n  --> {bad}:2" in capsys.readouterr().err


def test_convert_uses_a_custom_reader_and_writer(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The reader and the writer come from two imported files."""
    imports = [
        part for file in ("my_reader.py", "my_writer.py") for part in ("--imports", str(project / file))
    ]
    source = str(project / "test.tsv")
    assert cli.main(["convert", source, "-", "--reader", "tsv", "--writer", "slashes", *imports]) == 0
    assert capsys.readouterr().out.splitlines() == list(SENTENCES)


def install(folder: Path, module: str, source: str) -> None:
    """Write what pip installs: a module, and metadata that names its entry point."""
    (folder / f"{module}.py").write_text(source, encoding="utf-8")
    metadata = folder / f"{module}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[sltk.components]\n{module} = {module}\n")


def test_components_of_an_installed_package_need_no_imports(tmp_path: Path) -> None:
    """An entry point in the group `sltk.components` registers them."""
    install(tmp_path, "my_reader", FILES["my_reader.py"])
    write_tsv(tmp_path / "data.tsv", SENTENCES)
    completed = run("stats", str(tmp_path / "data.tsv"), "--reader", "tsv", "--json", path=tmp_path)
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout)["spans"] == {"LOC": 1, "PER": 2}


def test_the_guide_shows_the_tested_entry_point() -> None:
    """The pyproject.toml in the guide has an entry point in the same group."""
    assert '[project.entry-points."sltk.components"]\ntsv = "my_reader"' in FILES["pyproject.toml"]


def test_two_packages_with_the_same_component_are_an_error(tmp_path: Path) -> None:
    """The error names both packages."""
    install(tmp_path, "my_reader", FILES["my_reader.py"])
    install(tmp_path, "other_reader", FILES["my_reader.py"])
    completed = run("list", "reader", path=tmp_path)
    assert completed.returncode != 0
    assert "reader `tsv` is registered twice" in completed.stderr
    assert "my_reader.TsvReader" in completed.stderr
    assert "other_reader.TsvReader" in completed.stderr


def test_a_package_that_cannot_be_imported_is_an_error(tmp_path: Path) -> None:
    """The error names the package and the cause."""
    install(tmp_path, "broken_reader", "import no_such_module_anywhere\n")
    completed = run("list", "reader", path=tmp_path)
    assert completed.returncode == 2
    assert "`broken_reader`" in completed.stderr
    assert "no_such_module_anywhere" in completed.stderr


def test_a_file_cannot_replace_a_built_in_component(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An imported file that registers `conll` again is rejected with its position."""
    file = tmp_path / "custom.py"
    file.write_text(FILES["my_reader.py"].replace('"tsv"', '"conll"'), encoding="utf-8")
    assert cli.main(["list", "reader", "--imports", str(file)]) == 2
    errors = capsys.readouterr().err
    assert "reader `conll` is registered twice" in errors
    assert f"--> {file}:" in errors


TAKEN = FILES["my_reader.py"].replace('"tsv"', '"conll"')
LINE = TAKEN.splitlines().index('@register.reader("conll")') + 1


@pytest.mark.parametrize(
    "command",
    [
        ["list", "reader", "--imports", "custom.py"],
        ["show", "reader", "conll", "--imports", "custom.py"],
        ["schema", "--imports", "custom.py"],
        ["stats", "a", "--reader", "conll", "--imports", "custom.py"],
        ["convert", "a", "b", "--reader", "conll", "--writer", "jsonl", "--imports", "custom.py"],
        ["score", "a", "--imports", "custom.py"],
        ["evaluate", "run", "--imports", "custom.py"],
        ["predict", "run", "a", "--imports", "custom.py"],
        ["check", "spec.yaml"],
        ["train", "spec.yaml"],
        ["list", "reader", "--imports", "custom"],
        ["check", "module.yaml"],
    ],
    ids=" ".join,
)
def test_a_taken_name_is_an_error_of_the_command_line(tmp_path: Path, command: list[str]) -> None:
    """In a fresh process, the error has the line of the registration, whatever the command needs first."""
    (tmp_path / "custom.py").write_text(TAKEN, encoding="utf-8")
    spec = FILES["spec.yaml"].replace("type: tsv", "type: conll")
    (tmp_path / "spec.yaml").write_text(spec.replace("my_reader.py", "custom.py"), encoding="utf-8")
    (tmp_path / "module.yaml").write_text(spec.replace("my_reader.py", "custom"), encoding="utf-8")
    completed = run(*command, path=tmp_path, cwd=tmp_path)
    assert completed.returncode == 2
    assert "reader `conll` is registered twice" in completed.stderr
    assert f"custom.py:{LINE}\n" in completed.stderr


def test_a_package_with_a_taken_name_is_an_error_of_its_line(tmp_path: Path) -> None:
    """A package cannot replace a built-in component either."""
    install(tmp_path, "other_reader", TAKEN)
    completed = run("list", "reader", path=tmp_path)
    assert completed.returncode == 2
    assert f"other_reader.py:{LINE}\n" in completed.stderr


def test_a_component_without_a_docstring_is_rejected(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The docstring is the help text of the component."""
    file = tmp_path / "custom.py"
    file.write_text(
        "from sltk import Writer, register\n\n@register.writer('bare')\nclass Bare(Writer): ...\n"
    )
    assert cli.main(["list", "writer", "--imports", str(file)]) == 2
    assert "needs a docstring" in capsys.readouterr().err


def test_a_component_must_match_its_slot(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A reader cannot be registered as a writer."""
    file = tmp_path / "custom.py"
    file.write_text(FILES["my_reader.py"].replace("register.reader", "register.writer"), encoding="utf-8")
    assert cli.main(["list", "writer", "--imports", str(file)]) == 2
    assert "`TsvReader` cannot be writer `tsv`" in capsys.readouterr().err
