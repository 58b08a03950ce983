"""YAML text as a tree that knows the file, line and column of every key and scalar.

Scalars follow the core schema of YAML 1.2 (`no` is text, `2e-4` a number), equal keys are refused, only the
standard tags are allowed, and each scalar remembers its text, so that `unmask: 0111` is the mask 0111.
`${NAME}` and `${NAME:-default}` are read from the environment, `$${` stands for `${`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import Location, Problem, SpecError
from .scalars import written
from .variables import UnsetVariableError, substitute

_STANDARD = "tag:yaml.org,2002:"
_PLAIN = "plain"
_MAX_NODES = 100_000
_LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")

_INT = re.compile(r"[-+]?[0-9]+")
_BASED_INT = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Any] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
    **{sign + word: float(sign + "inf") for sign in ("", "+", "-") for word in (".inf", ".Inf", ".INF")},
    **dict.fromkeys((".nan", ".NaN", ".NAN"), float("nan")),
}


def core_scalar(text: str) -> Any:
    """The value of a plain scalar under YAML 1.2's core schema (spec §10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text) if len(text) < 1000 else text
    if _BASED_INT.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


@dataclass(frozen=True, slots=True)
class Mark:
    """Where something was written: a place in a file, or a `--set` on the command line."""

    file: str
    line: int | None = None
    column: int | None = None
    source_line: str | None = None
    width: int = 1
    from_set: bool = False

    def problem(self, message: str, path: str | None = None, **more: Any) -> Problem:
        """A problem at this place."""
        location = Location(self.file, self.line, self.column)
        return Problem(message, location, path, self.source_line, self.width, **more)


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a list of nodes, or a mapping of entries."""

    mark: Mark
    value: Any
    """A scalar, a `list[Node]`, or a `dict[str, Entry]`."""
    fault: Problem | None = None
    """What is wrong with it; that matters only where it is still there after merging."""

    def plain(self) -> Any:
        """The values alone, as dicts, lists and scalars that remember their text."""
        if isinstance(self.value, dict):
            return {key: entry.node.plain() for key, entry in self.value.items()}
        if isinstance(self.value, list):
            return [node.plain() for node in self.value]
        return self.value


@dataclass(frozen=True, slots=True)
class Entry:
    """One `key: value` of a mapping."""

    key: Mark
    node: Node


@dataclass(frozen=True, slots=True)
class YamlText:
    """A YAML text, its name in messages, and the folder that relative paths in it start from."""

    text: str
    name: str
    base: Path
    from_set: bool = False

    def parse(self) -> tuple[Node, list[Problem]]:
        """The tree, and what is wrong with its form: equal keys.

        Raises:
            SpecError: the text is not YAML.
        """
        builder = _Builder(self)
        try:
            root = _Loader(self.text).get_single_node()
            return (builder.node(root) if root else Node(self._mark(0, 0), None)), builder.problems
        except yaml.YAMLError as error:
            raise SpecError(self._syntax_problem(error)) from error
        except RecursionError:
            raise SpecError(Problem("nested too deeply", Location(self.name))) from None

    def mark(self, node: yaml.Node) -> Mark:
        """Where a node of PyYAML stands."""
        start, end = node.start_mark, node.end_mark
        width = end.column - start.column if end.line == start.line else None
        return self._mark(start.line, start.column, width)

    def _mark(self, line: int, column: int, width: int | None = 1) -> Mark:
        if self.from_set:
            return Mark(self.name, from_set=True)
        lines = _LINE_BREAK.split(self.text)
        shown = lines[line] if line < len(lines) else ""
        rest = len(shown.rstrip()) - column
        return Mark(self.name, line + 1, column + 1, shown, max(1, rest if width is None else width))

    def _syntax_problem(self, error: yaml.YAMLError) -> Problem:
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
            mark = self._mark(error.problem_mark.line, error.problem_mark.column)
            about = " ".join(part for part in (error.problem, error.context) if part)
            return mark.problem(f"this is not YAML: {about}")
        position = getattr(error, "position", 0)
        before = _LINE_BREAK.split(self.text[:position])
        character = self.text[position : position + 1]
        mark = self._mark(len(before) - 1, len(before[-1]))
        return mark.problem(f"the character U+{ord(character or chr(0)):04X} is not allowed in YAML")


class _Loader(yaml.SafeLoader):
    """Composes nodes; leaves the meaning of plain scalars to `core_scalar`."""

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else f"{_STANDARD}str"
        return f"{_STANDARD}{'seq' if kind is yaml.SequenceNode else 'map'}"


class _Builder:
    """Turns PyYAML's nodes into ours and collects what is wrong on the way."""

    def __init__(self, source: YamlText) -> None:
        self.source = source
        self.problems: list[Problem] = []
        self._open: set[int] = set()
        self._count = 0

    def node(self, node: yaml.Node) -> Node:
        self._count += 1
        mark = self.source.mark(node)
        if id(node) in self._open or self._count > _MAX_NODES:
            about = "an alias contains itself" if id(node) in self._open else "too many nodes"
            raise SpecError(mark.problem(about))
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.ScalarNode):
                return self._scalar(node, mark)
            if node.tag not in (f"{_STANDARD}seq", f"{_STANDARD}map"):
                return _with_refused_tag(node, mark)
            return Node(mark, self._children(node))
        finally:
            self._open.discard(id(node))

    def _children(self, node: yaml.Node) -> Any:
        if isinstance(node, yaml.SequenceNode):
            return [self.node(item) for item in node.value]
        return dict(self._entries(node))

    def _entries(self, node: yaml.Node) -> Iterator[tuple[str, Entry]]:
        seen: dict[str, Mark] = {}
        for key_node, value_node in node.value:
            mark = self.source.mark(key_node)
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self.problems.append(mark.problem("a key must be a single word"))
            elif key in seen:
                first = f"first given at {Location(seen[key].file, seen[key].line, seen[key].column)}"
                self.problems.append(mark.problem(f"duplicate key `{key}`", notes=(first,)))
            else:
                seen[key] = mark
                yield key, Entry(mark, self.node(value_node))

    def _scalar(self, node: yaml.ScalarNode, mark: Mark) -> Node:
        try:
            text, from_environment = substitute(node.value)
        except UnsetVariableError as error:
            return Node(mark, None, mark.problem(str(error), notes=error.notes))
        kind = node.tag.removeprefix(_STANDARD)
        if kind not in (_PLAIN, "str", "int", "float", "bool", "null"):
            return _with_refused_tag(node, mark)
        value = text if kind == "str" else core_scalar(text)
        return Node(mark, written(value, text, Path.cwd() if from_environment else self.source.base))


def _with_refused_tag(node: yaml.Node, mark: Mark) -> Node:
    tag = node.tag.replace(_STANDARD, "!!")
    return Node(mark, None, mark.problem(f"the tag `{tag}` is not allowed: a spec holds plain values only"))
