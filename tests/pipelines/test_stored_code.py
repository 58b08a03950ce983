"""Code in the folder of a run or of a sweep: it runs only with consent, and its spec reads nothing of its reader."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sltk
import tiny
import warm
from repository import ROOT
from sltk.cli import main
from sltk.spec.recorded_code import is_recorded, record, state_file

RUNS = ROOT / "tests" / "stored_runs"
SECRET = "hunter2-of-the-reader"
COMMANDS: dict[str, Callable[[Path], list[str]]] = {
    "predict": lambda run: ["predict", str(run), str(run / "text.txt")],
    "predict with the model": lambda run: ["predict", str(run / "model"), str(run / "text.txt")],
    "evaluate": lambda run: ["evaluate", str(run)],
    "export": lambda run: ["export", str(run), str(run.parent / "exported")],
    "show mask": lambda run: ["show", "mask", str(run)],
    "show mask of the spec": lambda run: ["show", "mask", str(run / "spec.yaml")],
    "check": lambda run: ["check", str(run / "spec.yaml")],
    "check an extension": lambda run: ["check", str(run.parent / "own.yaml")],
    "train": lambda run: ["train", str(run / "spec.yaml"), "--output", str(run.parent / "new")],
    "train again": lambda run: ["train", str(run / "spec.yaml"), "--output", str(run), "--resume"],
}
ONLY_CHECKED = {"predict with the model"}
"""Commands that read the `imports/` of a model, and no spec."""


def code(text: str, tmp_path: Path) -> str:
    """Python code, different in each test, that leaves a mark when it runs."""
    mark = f"pathlib.Path({str(tmp_path / 'ran')!r}).touch()"
    return f"import pathlib, sys\nprint('RUNNING', file=sys.stderr)\n{mark}\n# {text}\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run directory from somebody else: a stored run with `imports/theirs.py` in it and in its model."""
    folder = tmp_path / "run"
    shutil.copytree(RUNS / "tagger", folder)
    for imports in (folder / "imports", folder / "model" / "imports"):
        imports.mkdir()
        (imports / "theirs.py").write_text(code("theirs", tmp_path))
    write_imports(folder, "[imports/theirs.py]")
    (folder / "text.txt").write_text("Mia met Ali.\n")
    (tmp_path / "own.yaml").write_text("extends: run/spec.yaml\n")
    return folder


def write_imports(folder: Path, items: str) -> None:
    spec = folder / "spec.yaml"
    lines = [
        f"imports: {items}" if line.startswith("imports:") else line for line in spec.read_text().split("\n")
    ]
    spec.write_text("\n".join(lines))


def has_run(run: Path) -> bool:
    return (run.parent / "ran").exists()


@pytest.mark.parametrize("command", COMMANDS)
def test_code_of_a_strange_run_needs_consent(
    command: str, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Every command refuses to run it, with its path and digest; nothing has run or been written."""
    assert main(COMMANDS[command](run)) == 2
    printed = capfd.readouterr().err
    file = run / ("model/imports" if command in ONLY_CHECKED else "imports") / "theirs.py"
    assert str(file) in printed
    assert hashlib.sha256(file.read_bytes()).hexdigest() in printed
    assert "--trust-code" in printed
    assert not has_run(run)
    assert not (run.parent / "exported").exists()
    assert not (run.parent / "new").exists()


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "train"])
def test_trusted_code_is_named_before_it_runs(
    command: str, run: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """With `--trust-code`, path and digest are printed first."""
    assert main([*COMMANDS[command](run), "--trust-code"]) == 0
    before, running, _ = capfd.readouterr().err.partition("RUNNING")
    assert running
    assert has_run(run)
    file = run / ("model/imports" if command in ONLY_CHECKED else "imports") / "theirs.py"
    assert f"importing {file} (sha256 {hashlib.sha256(file.read_bytes()).hexdigest()})" in before


def test_consent_in_python(run: Path) -> None:
    """`trust_code=True` does what `--trust-code` does; a note names the file."""
    for call in (sltk.load, sltk.evaluate):
        with pytest.raises(sltk.InputError, match=r"theirs\.py"):
            call(run)
    assert not has_run(run)
    progress = tiny.RecordingProgress()
    sltk.load(run, trust_code=True, progress=progress)
    assert has_run(run)
    assert progress.has_note("theirs.py (sha256")


@pytest.mark.parametrize(
    "item",
    [
        "../outside.py",
        "imports/../../outside.py",
        "{outside}",
        "~/outside.py",
        "linked.py",
        "a_module_of_theirs",
        "imports/pipe.py",
    ],
)
@pytest.mark.parametrize("command", ["evaluate", "check", "show mask", "export"])
def test_only_files_of_the_folder_run(
    item: str,
    command: str,
    run: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Files outside, links that lead out, modules and pipes are refused, even with consent."""
    outside = run.parent / "outside.py"
    outside.write_text(code("outside", run.parent))
    (run.parent / "a_module_of_theirs.py").write_text(code("module", run.parent))
    (run / "linked.py").symlink_to(outside)
    os.mkfifo(run / "imports" / "pipe.py")
    monkeypatch.setenv("HOME", str(run.parent))
    monkeypatch.syspath_prepend(str(run.parent))
    write_imports(run, f"[imports/theirs.py, {item.format(outside=outside)}]")
    assert main([*COMMANDS[command](run), "--trust-code"]) == 2
    assert item.format(outside=outside).lstrip("~") in capfd.readouterr().err
    assert not has_run(run)


def test_a_linked_file_of_a_model_is_refused(run: Path) -> None:
    """The `imports/` of a model follow the same rule."""
    (run.parent / "outside.py").write_text(code("linked model", run.parent))
    (run / "model" / "imports" / "linked.py").symlink_to(run.parent / "outside.py")
    assert main([*COMMANDS["predict with the model"](run), "--trust-code"]) == 2
    assert not has_run(run)


def test_a_stored_spec_extends_nothing(run: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """`extends:` in a run directory is an error at its line, and the other spec is not read."""
    (run.parent / "other.yaml").write_text("imports: [outside.py]\n")
    (run.parent / "outside.py").write_text(code("extended", run.parent))
    text = (run / "spec.yaml").read_text()
    (run / "spec.yaml").write_text(f"extends: ../other.yaml\n{text}")
    for command in ("evaluate", "predict", "check", "show mask"):
        assert main([*COMMANDS[command](run), "--trust-code"]) == 2
        assert "spec.yaml:1:10" in capfd.readouterr().err
    assert not has_run(run)


def test_a_report_runs_no_code(run: Path) -> None:
    """The records of a run are read without its components."""
    assert main(["report", str(run), "--output", str(run.parent / "report")]) == 0
    assert not has_run(run)


def test_an_export_copies_no_linked_file(run: Path) -> None:
    """A link in the `imports/` of a model does not bring a file of whoever exports it into the export."""
    secret = run.parent / "secret"
    secret.write_text(SECRET)
    (run / "model" / "imports" / "secret.txt").symlink_to(secret)
    (run / "model" / "imports" / "folder").symlink_to(run.parent)
    assert main([*COMMANDS["export"](run), "--trust-code"]) == 0
    assert [path.name for path in (run.parent / "exported" / "imports").iterdir()] == ["theirs.py"]


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_model_that_is_copied_has_no_links_out(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The export of a custom backbone copies its folder, but no file elsewhere."""
    run = tmp_path / "run"
    shutil.copytree(RUNS / "custom", run)
    (tmp_path / "secret").write_text(SECRET)
    (run / "model" / "tokenizer" / "notes.txt").symlink_to(tmp_path / "secret")
    assert main(["export", str(run), str(tmp_path / "exported"), "--trust-code"]) == 2
    assert "notes.txt` is a link that leads out of the model" in capfd.readouterr().err
    assert not (tmp_path / "exported").exists()


def test_the_user_may_name_the_code(run: Path) -> None:
    """A file that the user names with `--imports`, or a module that is imported, needs no other consent."""
    own = run.parent / "own.py"
    own.write_text((run / "imports" / "theirs.py").read_text())
    assert main([*COMMANDS["evaluate"](run), "--imports", str(own)]) == 0
    write_imports(run, "[json]")
    assert main(COMMANDS["evaluate"](run)) == 0


OWN_COMMANDS: dict[str, str] = {
    "check": "check {folder}/own.yaml",
    "show mask": "show mask {folder}/own.yaml",
    "train": "train {folder}/own.yaml --rehearse",
    "pretrain": "pretrain {folder}/pretrain.yaml --output {folder}/new",
    "sweep": "sweep {folder}/sweep.yaml --output {folder}/new --dry-run",
    "search": "search {folder}/search.yaml --output {folder}/new --dry-run",
    "list": "list reader --imports {folder}/mine.py",
    "show": "show reader conll --imports {folder}/mine.py",
    "schema": "schema --imports {folder}/mine.py",
    "stats": "stats {data} --reader conll --imports {folder}/mine.py",
    "convert": "convert {data} - --reader conll --writer conll --imports {folder}/mine.py",
    "score": "score {data} {data} --imports {folder}/mine.py",
    "evaluate": "evaluate {run} --imports {folder}/mine.py",
    "predict": "predict {run} {data} --imports {folder}/mine.py",
    "export": "export {run} {folder}/new --imports {folder}/mine.py",
}
"""Commands with code that the user names: in a spec of their own, or with `--imports`."""


@pytest.mark.slow
@pytest.mark.parametrize("command", OWN_COMMANDS)
def test_own_code_is_named_before_it_runs(
    command: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """It needs no consent, and every command prints its path first."""
    (tmp_path / "mine.py").write_text(code(f"own, {command}", tmp_path))
    base = {name: (RUNS / name / "spec.yaml").read_text() for name in ("tagger", "pretraining")}
    own, pretraining = (text.replace("imports: []", "imports: [mine.py]") for text in base.values())
    (tmp_path / "own.yaml").write_text(own)
    (tmp_path / "pretrain.yaml").write_text(pretraining)
    (tmp_path / "sweep.yaml").write_text(own + "sweep: {grid: {seed: [1, 2]}}\n")
    (tmp_path / "search.yaml").write_text(own + "search: {budget: 1, masks: {every: 1}}\n")
    data = RUNS / "tagger" / "predictions" / "test.conll"
    words = OWN_COMMANDS[command].format(folder=tmp_path, data=data, run=RUNS / "tagger").split()
    main(words)
    before, running, _ = capfd.readouterr().err.partition("RUNNING")
    assert running
    assert f"importing {tmp_path}/mine.py\n" in before


READER = '''
from sltk import Reader, Sentence, register


@register.reader("{name}")
class StoredCodeReader(Reader):
    """Reads one sentence."""

    def read(self):
        yield Sentence(words=["good", "soup"], tags=["O", "B-x"])
'''


def own_spec(tmp_path: Path, name: str) -> Path:
    """A user's own spec with a file of imports."""
    (tmp_path / "mine.py").write_text(READER.format(name=name))
    text = ROOT.joinpath("tests/stored_runs/tagger/spec.yaml").read_text()
    text = text.replace("imports: []", "imports: [mine.py]").replace(
        "epochs: ", "max_steps: 1\n  #epochs: ", 1
    )
    before, _, rest = text.partition("data:\n")
    rest = rest[rest.index("splitter:") :].replace("  max_steps: null\n", "")
    reader = f"{{type: {name}}}"
    (tmp_path / "mine.yaml").write_text(f"{before}data: {{train: {reader}, test: {reader}}}\n{rest}")
    return tmp_path / "mine.yaml"


def in_new_process(*arguments: str, state: Path) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "SLTK_STATE": str(state),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
    }
    command = [*warm.python(), "-m", "sltk", *arguments]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)


@pytest.mark.slow
def test_a_run_trained_here_needs_no_consent(tmp_path: Path) -> None:
    """This machine recorded its code when training started; an edited copy, or another machine, asks again."""
    state = tmp_path / "state"
    run = str(tmp_path / "run")
    trained = in_new_process(
        "train", str(own_spec(tmp_path, "stored_code_own")), "--output", run, state=state
    )
    assert trained.returncode == 0, trained.stderr
    assert f"importing {tmp_path}/mine.py" in trained.stderr
    assert stat.S_IMODE((state / "trained_code").stat().st_mode) == 0o600
    evaluated = in_new_process("evaluate", run, state=state)
    assert evaluated.returncode == 0, evaluated.stderr
    assert in_new_process("evaluate", run, state=tmp_path / "other").returncode == 2
    copy = tmp_path / "run" / "imports" / "mine.py"
    copy.write_text(copy.read_text() + "# edited\n")
    assert in_new_process("evaluate", run, state=state).returncode == 2


@pytest.mark.parametrize("mode", [0o620, 0o602, 0o666])
def test_a_record_that_others_can_write_does_not_count(
    mode: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only digests that nobody else can have added are consent."""
    monkeypatch.setenv("SLTK_STATE", str(tmp_path / "state"))
    record(["abc", "def"])
    record(["def"])
    assert state_file().read_text() == "abc\ndef\n"
    assert is_recorded("abc")
    state_file().chmod(mode)
    assert not is_recorded("abc")


def test_the_record_is_no_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A planted link is neither read nor written."""
    monkeypatch.setenv("SLTK_STATE", str(tmp_path / "state"))
    (tmp_path / "elsewhere").write_text("abc\n")
    state_file().parent.mkdir()
    state_file().symlink_to(tmp_path / "elsewhere")
    assert not is_recorded("abc")
    with pytest.raises(OSError, match="symbolic links"):
        record(["def"])


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"SLTK_STATE": "/a"}, "/a"),
        ({"XDG_STATE_HOME": "/b"}, "/b/sltk"),
        ({"XDG_STATE_HOME": "relative"}, "/home/me/.local/state/sltk"),
        ({}, "/home/me/.local/state/sltk"),
    ],
)
def test_the_place_of_the_record(
    variables: dict[str, str], folder: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`SLTK_STATE` comes before `XDG_STATE_HOME`, which must be absolute."""
    monkeypatch.setenv("HOME", "/home/me")
    for name in ("SLTK_STATE", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert state_file() == Path(folder) / "trained_code"


SWEEP = """
extends: mine.yaml
sweep: {grid: {seed: [1, 2]}}
executor: {type: local, isolated: false}
"""


@pytest.mark.slow
def test_the_plan_of_a_sweep_has_its_code_and_needs_consent(tmp_path: Path) -> None:
    """`sweep.yaml` names copies next to it; on another machine, they need consent."""
    own_spec(tmp_path, "stored_code_sweep")
    (tmp_path / "study.yaml").write_text(SWEEP)
    folder = tmp_path / "study"
    state = tmp_path / "state"
    swept = in_new_process("sweep", str(tmp_path / "study.yaml"), "--output", str(folder), state=state)
    assert swept.returncode == 0, swept.stderr
    assert "imports: [imports/mine.py]" in (folder / "sweep.yaml").read_text()
    (tmp_path / "mine.py").rename(tmp_path / "gone.py")
    again = ["sweep", str(folder / "sweep.yaml"), "--output", str(folder), "--dry-run"]
    same_machine = in_new_process(*again, state=state)
    assert same_machine.returncode == 0, same_machine.stderr
    assert "2 runs: 2 done" in same_machine.stdout
    assert in_new_process(*again, state=tmp_path / "other").returncode == 2
    assert in_new_process(*again, "--trust-code", state=tmp_path / "other").returncode == 0


def test_the_plan_in_the_folder_of_a_sweep_needs_consent(tmp_path: Path) -> None:
    """A user's own spec does not run the code of a plan that is already in `--output`."""
    folder = tmp_path / "theirs"
    (folder / "imports").mkdir(parents=True)
    (folder / "imports" / "theirs.py").write_text(code("sweep", tmp_path))
    own = (RUNS / "tagger" / "spec.yaml").read_text() + "sweep: {grid: {seed: [1, 2]}}\n"
    (folder / "sweep.yaml").write_text(own.replace("imports: []", "imports: [imports/theirs.py]"))
    (tmp_path / "own.yaml").write_text(own)
    assert main(["sweep", str(tmp_path / "own.yaml"), "--output", str(folder)]) == 2
    assert not has_run(folder)


@pytest.mark.parametrize(
    "key", ["scheme: IOB2", "name: stored_tagger", 'unmask: "01"', "dtype: auto", "  seed: 0"]
)
def test_a_stored_spec_reads_no_environment(
    key: str, run: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """`${NAME}` is text in a run directory: no command shows or stores what it stands for."""
    monkeypatch.setenv("SECRET_TOKEN", SECRET)
    write_imports(run, "[]")
    shutil.rmtree(run / "model" / "imports")
    text = re.sub(r"(?m)^  epochs: [0-9.]+$", "  epochs: 1", (run / "spec.yaml").read_text())
    name = key.partition(":")[0]
    (run / "spec.yaml").write_text(text.replace(key, f'{name}: "${{SECRET_TOKEN}}"'))
    for command in COMMANDS.values():
        if "predict" not in command(run):
            main(command(run))
    shown = capfd.readouterr()
    assert SECRET not in shown.out + shown.err
    for path in run.parent.rglob("*"):
        assert path.is_dir() or SECRET.encode() not in path.read_bytes(), path


@pytest.mark.parametrize(
    "key", ["scheme", "type", "backbone.unmask", "trainer.epochs", "data.train.type", "data.train.count"]
)
def test_a_message_shows_the_name_of_a_variable(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """An error in a user's own spec quotes `${NAME}`, and not the value of the variable."""
    monkeypatch.setenv("SECRET_TOKEN", SECRET)
    inner = '"${SECRET_TOKEN}"'
    for part in reversed(key.split(".")):
        inner = f"{{{part}: {inner}}}"
    name, _, value = inner[1:-1].partition(": ")
    run = shutil.copy(RUNS / "tagger" / "spec.yaml", tmp_path / "base.yaml")
    (tmp_path / "own.yaml").write_text(f"extends: {run}\n{name}: {value}\n")
    assert main(["check", str(tmp_path / "own.yaml")]) == 2
    printed = capfd.readouterr()
    assert SECRET not in printed.out + printed.err
    assert "${SECRET_TOKEN}" in printed.err


def test_a_later_error_shows_the_name_of_a_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """So do errors of files and models, which come after the spec was found valid."""
    monkeypatch.setenv("SECRET_TOKEN", SECRET)
    backbone = '{type: decoder, name: "./${SECRET_TOKEN}"}'
    data = '{train: {type: conll, path: "${SECRET_TOKEN}"}}'
    (tmp_path / "own.yaml").write_text(f"name: own\nbackbone: {backbone}\ndata: {data}\n")
    main(["check", str(tmp_path / "own.yaml"), "--data"])
    printed = capfd.readouterr().err
    assert SECRET not in printed
    assert "${SECRET_TOKEN}" in printed


def test_a_resumed_run_compares_what_variables_stood_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The stored spec has the values; `--resume` accepts the same values, however they are written."""
    spec = own_spec(tmp_path, "stored_code_resumed")
    text = spec.read_text().replace("name: stored_tagger", 'name: "${WHO} $${kept}"')
    spec.write_text(text)
    monkeypatch.setenv("WHO", "me")
    arguments = ["train", str(spec), "--output", str(tmp_path / "run")]
    assert main(arguments) == 0
    assert "name: me $${kept}\n" in (tmp_path / "run" / "spec.yaml").read_text()
    assert main([*arguments, "--resume"]) == 0
    spec.write_text(text.replace("${WHO}", "me"))
    assert main([*arguments, "--resume"]) == 0
    assert main(["train", str(tmp_path / "run" / "spec.yaml"), *arguments[2:], "--resume"]) == 0
    monkeypatch.setenv("WHO", "you")
    spec.write_text(text)
    assert main([*arguments, "--resume"]) == 2
