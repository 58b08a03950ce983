"""The package is built in layers: a module imports only from its own layer or from layers below it."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from repository import ROOT

PACKAGE = ROOT / "toolkit" / "sltk"
TOP = {"", "__main__", "extend"}
"""Modules above all layers: they give users names from anywhere."""


def module_name(path: Path) -> str:
    """`nn.packing` for sltk/nn/packing.py, `nn` for sltk/nn/__init__.py, and an empty name for sltk itself."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}


def layers() -> list[list[str]]:
    """The layers in docs/architecture.md, bottom first: the modules or packages on each line of its list."""
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```text layers\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    lines = [line.split("#")[0].split() for line in block.splitlines()]
    return [[re.sub(r"(\.py|/)$", "", name).replace("/", ".") for name in names] for names in lines][::-1]


@cache
def rank(module: str) -> int:
    """The number of a module's layer; 0 is the bottom."""
    places = {name: number for number, names in enumerate(layers()) for name in names}
    while module not in places:
        assert module, "docs/architecture.md does not say which layer a module is in"
        module = module.rpartition(".")[0]
    return places[module]


def imports_of(module: str) -> Iterator[str]:
    """The modules of the package that a module imports: at its top, in functions, and for type checking."""
    path = MODULES[module]
    package = [*module.split("."), "x"] if path.name == "__init__.py" and module else module.split(".")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (
                name.name.removeprefix("sltk.") for name in node.names if name.name.startswith("sltk.")
            )
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level] if node.level else []
            if not node.level and not (node.module or "").startswith("sltk"):
                continue
            base = ".".join(
                [*above, *([(node.module or "").removeprefix("sltk").lstrip(".")] if node.module else [])]
            )
            for name in node.names:
                full = f"{base}.{name.name}".lstrip(".")
                yield full if full in MODULES else base


GRAPH = {module: {other for other in imports_of(module) if other != module} for module in MODULES}


@pytest.mark.parametrize("module", [module for module in MODULES if module not in TOP])
def test_imports_go_down(module: str) -> None:
    """No import leads to a higher layer, not even one inside a function or for type checking."""
    upward = [
        f"{module} imports {other}" for other in GRAPH[module] if other in TOP or rank(other) > rank(module)
    ]
    assert not upward


def test_no_modules_import_each_other() -> None:
    """There is no circle of imports, lazy ones included."""
    try:
        TopologicalSorter(GRAPH).prepare()
    except CycleError as error:
        pytest.fail(" → ".join(error.args[1]))


def test_each_layer_of_the_documentation_exists() -> None:
    """docs/architecture.md lists each module and package at the top of sltk/ once, and no other."""
    names = [name for line in layers() for name in line]
    assert len(names) == len(set(names))
    assert set(names) <= set(MODULES)
    top = {module for module in MODULES if "." not in module} - TOP
    assert {name.partition(".")[0] for name in names} == top


def test_few_files_lie_at_the_top() -> None:
    """The top of the package shows its folders, not a list of modules."""
    assert len([path for path in PACKAGE.iterdir() if path.is_file()]) <= 12


PARALLEL = re.compile(r"components/\w+/\w+\.py")
"""One format or method in two slots, such as readers/conll.py and writers/conll.py."""


def test_no_two_modules_share_a_name() -> None:
    """A file name says which file is meant; only components of different slots may share one."""
    files = [path for path in PACKAGE.rglob("*.py") if path.stem not in ("__init__", "__main__")]
    counts = Counter(path.name for path in files)
    shared = {path.relative_to(PACKAGE).as_posix() for path in files if counts[path.name] > 1}
    assert not {path for path in shared if not PARALLEL.fullmatch(path)}


def test_no_two_classes_share_a_name() -> None:
    """A class name says which class is meant."""
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in MODULES.values()}
    names = Counter(
        node.name for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
    )
    assert not [name for name, count in names.items() if count > 1 and not name.startswith("_")]
