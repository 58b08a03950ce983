"""The documentation is true: links, specs, code, commands and generated tables."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.core import TyperGroup
from typer.main import get_command

from sltk import config, sweeps
from sltk.cli import frame
from sltk.pretraining.spec import PretrainSpec
from sltk.specs.sources import spec_kind

ROOT = Path(__file__).resolve().parent.parent
PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "experiments").rglob("*.md")),
]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
_BLOCK = re.compile(r"^```(\w+)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code: where it stands, its language, what stands after that, and the code."""

    page: str
    language: str
    title: str
    text: str


def blocks(*languages: str) -> list[Block]:
    return [
        Block(str(page.relative_to(ROOT)), *match.groups())
        for page in PAGES
        for match in _BLOCK.finditer(page.read_text(encoding="utf-8"))
        if match[1] in languages
    ]


def anchors(page: Path) -> set[str]:
    """What `#…` may name on a page, as GitHub makes it of the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Each file that a page links to is there, and so is each heading."""
    prose = re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", page.read_text(encoding="utf-8")))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        found = page.parent / file if file else page
        assert found.exists(), target
        assert not anchor or anchor in anchors(found), target


def test_the_index_lists_every_page() -> None:
    """docs/README.md links each page below docs/."""
    folder = ROOT / "docs"
    index = (folder / "README.md").read_text(encoding="utf-8")
    linked = {folder / target for target in re.findall(r"\]\(([^)\s#]+\.md)\)", index)}
    assert set(folder.rglob("*.md")) - {folder / "README.md"} <= linked


def test_generated_parts_are_current() -> None:
    """Tables of keys and components and the tree of files say what the code says: else `make generated`.

    In a process of its own, which knows no component that another test has registered.
    """
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr


def test_the_readme_shows_the_quickstart_spec() -> None:
    """The spec on the first screen is the file, letter by letter."""
    shown = [block for block in blocks("yaml") if block.title == "experiments/quickstart.yaml"]
    assert [block.page for block in shown] == ["README.md"]
    assert shown[0].text == (ROOT / "experiments" / "quickstart.yaml").read_text(encoding="utf-8")


def python_files() -> dict[str, str]:
    """The files of Python code that pages show, by their names."""
    titled = [(re.match(r'title="(.+)"', block.title), block.text) for block in blocks("python")]
    return {title[1]: text for title, text in titled if title}


BASES = {
    "base.yaml": "name: base\ndata:\n  train: {type: grammar}\n  validation: {type: holdout}\n"
    "backbone: {type: decoder, name: some/model}\n",
    "sweep.yaml": "extends: base.yaml\nsweep: {grid: {seed: [120, 121]}}\n",
}


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: f"{block.page}-{block.text[:20]!r}")
def test_yaml_validates(block: Block, tmp_path: Path) -> None:
    """A block is a sound spec: whole, or laid over one that trains a decoder, or a sweep of it."""
    shipped = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "experiments").glob("*.yaml")}
    for name, text in (shipped | BASES | python_files()).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    whole = re.search("^(name|extends):", block.text, re.MULTILINE)
    base = "sweep.yaml" if re.search("^(sweep|search|executor):", block.text, re.MULTILINE) else "base.yaml"
    spec = tmp_path / "spec.yaml"
    spec.write_text(block.text if whole else f"extends: {base}\n{block.text}", encoding="utf-8")
    kind = spec_kind(spec)
    if kind in ("sweep", "search"):
        assert sweeps.plan(spec).runs
    elif kind == "pretraining":
        assert config.load_as(PretrainSpec, spec).experiment.name
    else:
        assert config.load(spec).experiment.name


def test_pages_show_one_file_of_a_name() -> None:
    """Code that two pages show as one file is the same on both."""
    shown = {(block.title, block.text) for block in blocks("python") if block.title}
    assert len(shown) == len(python_files())


@pytest.fixture(scope="module")
def readme_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """What the Python of README.md prints, and the run it leaves, on fewer sentences and updates."""
    (code,) = [block.text for block in blocks("python") if "sltk.train(" in block.text]
    folder = tmp_path_factory.mktemp("readme")
    (folder / "experiments").mkdir()
    (folder / "experiments" / "quickstart.yaml").write_text(
        f"extends: {ROOT / 'experiments' / 'quickstart.yaml'}\n"
        "data: {train: {count: 40}, validation: {count: 10}, test: {count: 10}}\ntrainer: {max_steps: 2}\n"
    )
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "toolkit"))
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder / "runs" / "quickstart"


def test_the_python_of_the_readme_runs(readme_run: tuple[str, Path]) -> None:
    """Training, loading and predicting from Python go as shown."""
    printed, _ = readme_run
    assert "['The', 'soup', 'was', 'awful', '.']" in printed


def test_every_file_and_key_of_a_run_is_documented(readme_run: tuple[str, Path]) -> None:
    """docs/contracts.md names what a run directory holds, and each key of metrics.json."""
    contracts = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    _, run = readme_run
    for path in [*run.iterdir(), *(run / "model").iterdir()]:
        assert f"`{path.name}{'/' if path.is_dir() else ''}" in contracts
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics) == {"validation", "test", "train"}
    for key in [*metrics["test"], *metrics["train"]]:
        assert f"`{key}`" in contracts


def commands() -> dict[str, set[str]]:
    """The long options of each command."""
    group = get_command(frame.app)
    assert isinstance(group, TyperGroup)
    return {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        for name, command in group.commands.items()
    }


def commands_shown() -> Iterator[tuple[str, str, list[str]]]:
    """Each `sltk COMMAND …` in code: the page, the command, its options."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        code = [block[3] for block in _BLOCK.finditer(text) if block[1] == "console"]
        code += re.findall(r"(?<!`)`([^`\n]+)`(?!`)", _BLOCK.sub("", text))
        for line in "\n".join(code).splitlines():
            for name, rest in re.findall(r"(?<![\w./-])sltk ([a-z]+)(.*)", line):
                yield (
                    str(page.relative_to(ROOT)),
                    name,
                    re.findall(r"(?<!\w)--[a-z-]+", rest.partition("#")[0]),
                )


def test_commands_that_are_shown_exist() -> None:
    """Each command in the documentation is one of the program, and takes the options shown with it."""
    known = commands()
    shown = list(commands_shown())
    assert {name for _, name, _ in shown} == set(known)
    for page, name, options in shown:
        assert set(options) <= known[name] | {"--debug", "--help"}, (page, name)


def test_every_command_and_option_is_documented() -> None:
    """docs/contracts.md names every command and every option."""
    contracts = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    for name, options in commands().items():
        assert f"`sltk {name}" in contracts
        for option in options:
            assert option in contracts, (name, option)


def test_every_dependency_has_a_reason() -> None:
    """docs/reference/dependencies.md has a row for each package that pyproject.toml asks for, and for each extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "reference" / "dependencies.md").read_text(encoding="utf-8")
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *(item for items in extras.values() for item in items)]:
        name = re.split(r"[><=\[;, ]", requirement)[0]
        assert re.search(rf"^\|.*\b{name}\b", page, re.MULTILINE | re.IGNORECASE), name
    for extra in extras:
        assert f"| `{extra}` |" in page
