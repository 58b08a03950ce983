"""Large, nested and faulty YAML: bounded memory, linear time."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

import tiny
from sltk import sweeps
from sltk.cli import main
from sltk.errors import DataError, InputError, InvalidSpecError
from sltk.spec import loading
from sltk.spec.stored import parse_stored_spec, read_mapping
from sltk.spec.writing import dump_values

SPEC = "name: a\ndata: {train: {type: conll, path: a.conll}}\nbackbone: {type: decoder, name: some/model}\n"
BOMB = "\n".join(
    ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    + [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
)
CYCLE = "a: &a [1, *a]"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, "more than"),
        (CYCLE, "contains itself"),
        ("a: &b {c: *b}", "contains itself"),
        ("[" * 100_000, "nested too deeply"),
        ("- " * 100_000, "nested too deeply"),
        ("{a: " * 100_000, "nested too deeply"),
    ],
)
def test_a_stored_spec_has_limits(tmp_path: Path, text: str, message: str) -> None:
    """Every reader of a stored spec refuses aliases that expand without bound, and deep nesting."""
    with pytest.raises(yaml.YAMLError, match=message):
        parse_stored_spec(text)
    (tmp_path / "spec.yaml").write_text(text)
    with pytest.raises(DataError, match=message):
        read_mapping(tmp_path / "spec.yaml")
    with pytest.raises(InputError):
        loading.load(tmp_path / "spec.yaml")


@pytest.mark.parametrize("text", [BOMB, CYCLE, "[" * 100_000])
@pytest.mark.parametrize(
    "command",
    [
        ["report", "run"], ["evaluate", "run"], ["predict", "run", "a"], ["export", "run", "to"],
        ["check", "run/spec.yaml"],
        ["train", "run/spec.yaml"], ["train", "other.yaml", "--output", "run", "--resume"], ["show", "mask", "run"],
        ["sweep", "run/spec.yaml"],
    ],
    ids=lambda command: " ".join(command[:2]),
)  # fmt: skip
def test_commands_refuse_a_bomb_in_a_run(tmp_path, monkeypatch, capsys, command, text) -> None:
    """No command expands it; the memory stays small because nothing is built."""
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    Path("a").write_text("a")
    Path("run/spec.yaml").write_text(text)
    Path("run/environment.json").write_text('{"format": 1}')
    Path("run/metrics.json").write_text('{"train": {}}')
    Path("other.yaml").write_text(dump_values(tiny.spec()))
    start = time.process_time()
    assert main(command) == 2
    assert time.process_time() - start < 20
    assert "this should not happen" not in capsys.readouterr().err


def test_aliases_within_the_limits_are_read() -> None:
    """Ordinary aliases, and long documents without any, are valid."""
    assert parse_stored_spec("a: &a [1, 2]\nb: [*a, *a]") == {"a": [1, 2], "b": [[1, 2], [1, 2]]}
    long = {"runs": {f"run{number}": {"seed": number, "limit": 1, "x": 2} for number in range(40_000)}}
    assert parse_stored_spec(json.dumps(long)) == long


def seconds(text: str, load) -> float:
    Path("large.yaml").write_text(text)
    start = time.process_time()
    try:
        load("large.yaml")
    except InvalidSpecError as error:
        str(error)
    return time.process_time() - start


def entries(template: str, count: int) -> str:
    return "".join(template.format(number) for number in range(count))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("start", "template", "end", "load"),
    [
        ("", "key{0}: 1\n", "", loading.load),
        ("trainer:\n", "  key{0}: 1\n", "", loading.load),
        ("", "seed: {0}\n", "", loading.load),
        ("trainer: {{", "key{0}: 1, ", "}}\n", loading.load),
        ("metrics:\n", "  - {{type: none{0}}}\n", "", loading.load),
        ("metrics:\n", "  - {{type: spans, key{0}: 1}}\n", "", loading.load),
        ("metrics: [{{type: spans, thresholds: [", "a{0}, ", "]}}]\n", loading.load),
        ("head: {{type: mlp, hidden: [", "true, ", "]}}\n", loading.load),
        ("name2: [", "${{UNSET{0}}}, ", "]\n", loading.load),
        ("sweep:\n  list:\n", "    - {{name: n{0}, seed: {0}}}\n", "", sweeps.plan),
        ("sweep: {{list: [", "{{name: n{0}, seed: {0}}}, ", "]}}\n", sweeps.plan),
        ("sweep: {{grid: {{seed: [", "{0}, ", "]}}}}\n", sweeps.plan),
        ("sweep: {{list: [", "{{seed: {0}, key{0}: 1}}, ", "]}}\n", sweeps.plan),
        ("sweep:\n  runs:\n", "    n{0}: {{seed: {0}}}\n", "", sweeps.plan),
    ],
)
def test_time_is_linear(tmp_path, monkeypatch, start, template, end, load) -> None:
    """Four times as many entries take about four times as long, not sixteen, whether they are valid or not."""
    monkeypatch.chdir(tmp_path)

    def text(count: int) -> str:
        return SPEC + start.format() + entries(template, count) + end.format()

    seconds(text(10), load)
    few, many = (min(seconds(text(count), load) for _ in range(2)) for count in (250, 1000))
    assert many < 9 * few + 0.1


@pytest.mark.slow
def test_thousands_of_runs_are_planned_in_seconds(tmp_path, monkeypatch) -> None:
    """Planning 5,000 runs takes at most 5 s of a CPU that is not older than five years; a loose bound is tested."""
    monkeypatch.chdir(tmp_path)
    text = SPEC + "sweep:\n  list:\n" + entries("    - {{name: n{0}, seed: {0}}}\n", 5000)
    assert seconds(text, sweeps.plan) < 20


def test_a_long_line_is_shown_in_part(tmp_path, monkeypatch) -> None:
    """Every error shows only the part of its line around the value, so that the output stays linear, too."""
    monkeypatch.chdir(tmp_path)
    Path("large.yaml").write_text(SPEC + "trainer: {" + entries("key{0}: 1, ", 2000) + "epoch: 3}\n")
    with pytest.raises(InvalidSpecError) as error:
        loading.load("large.yaml")
    assert max(map(len, str(error.value).splitlines())) < 1000
    last = str(error.value.problems[-1]).splitlines()
    assert last[3].endswith("epoch: 3}")
    assert last[4].index("^") == last[3].index("epoch")
    assert "did you mean `epochs`?" in last[4]


def test_the_limits_hold_without_the_parser_in_c() -> None:
    """Deep nesting does not crash the process."""
    code = "from sltk.spec.stored import parse_stored_spec; parse_stored_spec('['*10**6)"
    completed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert completed.returncode == 1
    assert "nested too deeply" in completed.stderr
