"""Links, specs, code, commands and generated tables in the documentation are correct."""

from __future__ import annotations

import ast
import importlib
import importlib.util
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

import sltk
import warm
from repository import ROOT
from sltk import extend, sweeps
from sltk.cli.app import app
from sltk.pretraining.pretrain_spec import PretrainSpec
from sltk.search import tuning
from sltk.spec import loading
from sltk.yamltree.extends import spec_kind

PAGES = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "experiments").rglob("*.md")),
]
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
_BLOCK = re.compile(r"^```(\w+)[ ]?([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Block(NamedTuple):
    """A block of code: its page, its language, the rest of the opening line, and the code."""

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
    """Anchors of a page, as GitHub derives them from the headings."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_relative_links_lead_somewhere(page: Path) -> None:
    """Every relative link leads to a file, and every anchor to a heading."""
    prose = re.sub(r"`[^`\n]*`", "", _BLOCK.sub("", page.read_text(encoding="utf-8")))
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if "://" in target:
            continue
        file, _, anchor = target.partition("#")
        path = page.parent / file if file else page
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), target


def test_the_index_lists_every_page() -> None:
    """docs/README.md links to every page below docs/."""
    folder = ROOT / "docs"
    index = (folder / "README.md").read_text(encoding="utf-8")
    linked = {folder / target for target in re.findall(r"\]\(([^)\s#]+\.md)\)", index)}
    assert set(folder.rglob("*.md")) - {folder / "README.md"} <= linked


def test_generated_parts_are_current() -> None:
    """Generated tables, listings and specs match the code; otherwise run `make generated`.

    A separate process knows no component that another test has registered.
    """
    command = [sys.executable, str(ROOT / "docs" / "generate.py"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, ""), result.stdout + result.stderr


def test_the_readme_shows_the_quickstart_spec() -> None:
    """README.md shows the quickstart spec exactly as the file has it."""
    shown = [block for block in blocks("yaml") if block.title == "experiments/quickstart.yaml"]
    assert [block.page for block in shown] == ["README.md"]
    assert shown[0].text == (ROOT / "experiments" / "quickstart.yaml").read_text(encoding="utf-8")


@each_page
def test_modules_named_on_pages_exist(page: Path) -> None:
    """Every dotted name below `sltk` is a module or an attribute of one; the changelog also names removed ones."""
    if page.name == "CHANGELOG.md":
        return
    text = page.read_text(encoding="utf-8")
    for name in set(re.findall(r"\bsltk(?:\.[A-Za-z_]+)+\b", text)) - {"sltk.json", "sltk.schema.json"}:
        module, _, attribute = name.rpartition(".")
        parent = importlib.import_module(module)
        assert hasattr(parent, attribute) or importlib.util.find_spec(name), name


@each_page
def test_files_named_on_pages_exist(page: Path) -> None:
    """Every file named from the root of the repository, or from the package, is there."""
    text = page.read_text(encoding="utf-8")
    paths = re.findall(r"(?<![\w./$-])(?:benchmarks|docs|experiments|tests|toolkit)/[\w/]+(?:\.\w+)+", text)
    folders = "|".join(folder.name for folder in (ROOT / "toolkit" / "sltk").iterdir() if folder.is_dir())
    paths += [f"toolkit/sltk/{path}" for path in re.findall(rf"`((?:{folders})/[\w/]*\.py)`", text)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def python_files() -> dict[str, str]:
    """Python files shown on pages, by name."""
    titled = [(re.match(r'title="(.+)"', block.title), block.text) for block in blocks("python")]
    return {title[1]: text for title, text in titled if title}


BASES = {
    "base.yaml": "name: base\ndata:\n  train: {type: grammar}\n  validation: {type: holdout}\n"
    "backbone: {type: decoder, name: some/model}\n",
    "sweep.yaml": "extends: base.yaml\nsweep: {grid: {seed: [120, 121]}}\n",
}


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: f"{block.page}-{block.text[:20]!r}")
def test_yaml_validates(block: Block, tmp_path: Path) -> None:
    """Every YAML block is a valid spec, alone or as an extension of a spec that trains or sweeps a decoder."""
    shipped = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "experiments").glob("*.yaml")}
    for name, text in (shipped | BASES | python_files()).items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    whole = re.search("^(name|extends):", block.text, re.MULTILINE)
    is_sweep = re.search("^(sweep|search|executor):", block.text, re.MULTILINE) and "space:" not in block.text
    base = "sweep.yaml" if is_sweep else "base.yaml"
    spec = tmp_path / "spec.yaml"
    spec.write_text(block.text if whole else f"extends: {base}\n{block.text}", encoding="utf-8")
    kind = spec_kind(spec)
    if tuning.has_space(spec):
        assert tuning.plan(spec).size > 1
    elif kind in ("sweep", "search", "folds"):
        assert sweeps.plan(spec).runs
    elif kind == "pretraining":
        assert loading.load_as(PretrainSpec, spec).spec.name
    else:
        assert loading.load(spec).spec.name


def test_files_shown_twice_are_the_same() -> None:
    """A file that several pages show has the same content on all of them."""
    shown = {(block.title, block.text) for block in blocks("python") if block.title}
    assert len(shown) == len(python_files())


@pytest.fixture(scope="module")
def readme_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """Output and run directory of the Python code in README.md, with fewer sentences and updates."""
    (code,) = [block.text for block in blocks("python") if "sltk.train(" in block.text]
    folder = tmp_path_factory.mktemp("readme")
    (folder / "experiments").mkdir()
    (folder / "experiments" / "quickstart.yaml").write_text(
        f"extends: {ROOT / 'experiments' / 'quickstart.yaml'}\n"
        "data: {train: {count: 40}, validation: {count: 10}, test: {count: 10}}\ntrainer: {max_steps: 2}\n"
    )
    environment = dict(os.environ, PYTHONPATH=str(ROOT / "toolkit"))
    command = [*warm.python(), "-c", code]
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout, folder / "runs" / "quickstart"


@pytest.mark.slow
def test_the_python_of_the_readme_runs(readme_run: tuple[str, Path]) -> None:
    """Training, loading and predicting from Python work as shown."""
    printed, _ = readme_run
    assert "['The', 'soup', 'was', 'awful', '.']" in printed


@pytest.mark.slow
def test_every_file_and_key_of_a_run_is_documented(readme_run: tuple[str, Path]) -> None:
    """docs/contracts.md lists every file of a run directory and every key of metrics.json."""
    contracts = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    _, run = readme_run
    for path in [*run.iterdir(), *(run / "model").iterdir()]:
        assert f"`{path.name}{'/' if path.is_dir() else ''}" in contracts
    metrics = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert set(metrics) == {"validation", "test", "train"}
    for key in [*metrics["test"], *metrics["train"]]:
        assert f"`{key}`" in contracts


def commands() -> dict[str, set[str]]:
    """Long options of each command."""
    group = get_command(app)
    assert isinstance(group, TyperGroup)
    return {
        name: {option for parameter in command.params for option in parameter.opts if option.startswith("--")}
        for name, command in group.commands.items()
    }


def commands_shown() -> Iterator[tuple[str, str, list[str]]]:
    """Yield page, command and options of each `sltk COMMAND …` in code."""
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


def test_commands_shown_exist() -> None:
    """Every command in the documentation exists and takes the options shown with it, and every command is shown."""
    known = commands()
    shown = list(commands_shown())
    assert {name for _, name, _ in shown} == set(known)
    for page, name, options in shown:
        assert set(options) <= known[name] | {"--debug", "--help"}, (page, name)


def test_every_command_and_option_is_documented() -> None:
    """docs/contracts.md lists every command and every option."""
    contracts = (ROOT / "docs" / "contracts.md").read_text(encoding="utf-8")
    for name, options in commands().items():
        assert f"`sltk {name}" in contracts
        for option in options:
            assert option in contracts, (name, option)


def test_every_dependency_has_a_reason() -> None:
    """docs/reference/dependencies.md has a row for every dependency and every extra in pyproject.toml."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    page = (ROOT / "docs" / "reference" / "dependencies.md").read_text(encoding="utf-8")
    extras = project["optional-dependencies"]
    for requirement in [*project["dependencies"], *(item for items in extras.values() for item in items)]:
        name = re.split(r"[><=\[;, ]", requirement)[0]
        assert re.search(rf"^\|.*\b{name}\b", page, re.MULTILINE | re.IGNORECASE), name
    for extra in extras:
        assert f"| `{extra}` |" in page


def test_examples_import_only_the_public_modules() -> None:
    """Python code in the documentation imports from `sltk` and `sltk.extend`, and only names in their `__all__`."""
    public = {"sltk": set(sltk.__all__), "sltk.extend": set(extend.__all__)}
    for block in blocks("python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.Import):
                names = [name.name for name in node.names if name.name.partition(".")[0] == "sltk"]
                assert set(names) <= {"sltk"}, block.page
            elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] == "sltk":
                assert node.module in public, block.page
                assert {name.name for name in node.names} <= public[node.module], block.page


def test_every_public_name_can_be_imported() -> None:
    """`sltk.__all__` and `sltk.extend.__all__` promise no name that is missing."""
    for module in (sltk, extend):
        for name in module.__all__:
            assert getattr(module, name) is not None


def test_every_name_of_the_extension_api_is_documented() -> None:
    """docs/extending.md or a guide mentions each name of `sltk.extend`."""
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    assert [name for name in extend.__all__ if not re.search(rf"\b{name}\b", text)] == []
