"""Parse YAML text into a tree that keeps the file, line and column of every key and scalar.

- Scalars follow the core schema of YAML 1.2: `no` is text, `2e-4` is a number.
- Scalars remember their text, so `unmask: 0111` is the mask 0111.
- `${NAME}` and `${NAME:-default}` are replaced from the environment; `$${` is a literal `${`.
  A stored spec has no variables: there, `${` is text too.
- Duplicate keys and tags other than the standard ones are errors.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ..errors import Location, Problem, SpecError
from .limits import MOST_NODES, LimitError, too_many
from .scalars import with_source
from .variables import UnsetVariableError, substitute, unescape

_STANDARD = "tag:yaml.org,2002:"
_PLAIN = "plain"
_SCALAR_TAGS = (_PLAIN, *(f"{_STANDARD}{kind}" for kind in ("str", "int", "float", "bool", "null")))
_COLLECTION_TAGS = (f"{_STANDARD}seq", f"{_STANDARD}map")
_QUOTED = re.compile(r"'.*'|\".*\"", re.DOTALL)
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


_MOST_DIGITS = 1000
"""Longer numbers stay text: Python refuses to write them in decimal."""


def core_scalar(text: str) -> Any:
    """The value of a plain scalar in the core schema of YAML 1.2 (section 10.3.2)."""
    if text in _WORDS:
        return _WORDS[text]
    if len(text) < _MOST_DIGITS and _INT.fullmatch(text):
        return int(text)
    if len(text) < _MOST_DIGITS and _BASED_INT.fullmatch(text):
        return int(text, 0)
    return float(text) if _FLOAT.fullmatch(text) else text


@dataclass(frozen=True, slots=True)
class Mark:
    """The position of a key or value: in a file, or in a `--set` on the command line."""

    file: str
    line: int | None = None
    column: int | None = None
    source_line: str | None = None
    width: int = 1
    from_set: bool = False
    is_stored: bool = False
    """Whether the file is a spec that sltk wrote, in the folder of a run or of a sweep."""

    @property
    def location(self) -> Location:
        """File, line and column."""
        return Location(self.file, self.line, self.column)

    def problem(self, message: str, path: str | None = None, **more: Any) -> Problem:
        """A problem at this position."""
        return Problem(message, self.location, path, self.source_line, self.width, **more)


@dataclass(frozen=True, slots=True)
class Node:
    """A scalar, a list of nodes, or a mapping of entries."""

    mark: Mark
    value: Any
    """A scalar, a `list[Node]`, or a `dict[str, Entry]`."""
    fault: Problem | None = None
    """An error in this scalar; it is reported only if the scalar is still there after merging."""
    typed: str | None = None
    """The text after the `=` of a `--set`, whose value is this node; see `as_typed`."""

    def as_typed(self) -> Node:
        """The value of a `--set` as text instead of YAML; quotes around all of it are removed."""
        if self.typed is None or (isinstance(self.value, str) and _QUOTED.fullmatch(self.typed)):
            return self
        return text_node(self.typed, self.mark, Path.cwd(), is_text=True)

    def plain(self) -> Any:
        """The values as dicts, lists and scalars that remember their text."""
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


def text_node(text: str, mark: Mark, base: Path, *, is_text: bool) -> Node:
    """A scalar with its variables replaced; a scalar that is not text may be a number, a truth value or nothing."""
    try:
        value, from_environment = (unescape(text), False) if mark.is_stored else substitute(text)
    except UnsetVariableError as error:
        return Node(mark, None, mark.problem(str(error), notes=error.notes))
    scalar = value if is_text else core_scalar(value)
    return Node(mark, with_source(scalar, value, Path.cwd() if from_environment else base, text))


def parse_yaml(
    text: str, name: str, base: Path, *, from_set: bool = False, is_stored: bool = False
) -> tuple[Node, list[Problem]]:
    """Parse YAML into a tree; also returns errors in its form, such as duplicate keys.

    `name` is the name of the text in messages, `base` the folder that relative paths in it start from.
    Without a line number, positions in a `--set` are only its name (`from_set`). In a stored spec, nothing is
    replaced from the environment.

    Raises:
        SpecError: the text is not YAML.
    """
    parser = _Parser(text, name, base, from_set, is_stored)
    try:
        root = _Loader(text, parser.most).get_single_node()
        return parser.node(root) if root else Node(parser.mark_at(0, 0), None), parser.problems
    except LimitError as error:
        raise SpecError(Problem(str(error), Location(name))) from error
    except yaml.YAMLError as error:
        raise SpecError(parser.syntax_problem(error)) from error
    except RecursionError:
        raise SpecError(Problem("nested too deeply", Location(name))) from None


class _Loader(yaml.SafeLoader):
    """Composes PyYAML's nodes and leaves the values of plain scalars to `core_scalar`."""

    def __init__(self, text: str, most: int) -> None:
        super().__init__(text)
        self._most, self._composed = most, 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        self._composed += 1
        if self._composed > 2 * self._most:  # keys are nodes, too
            raise LimitError(too_many(self._most))
        return super().compose_node(parent, index)

    def resolve(self, kind: type[yaml.Node], value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else f"{_STANDARD}str"
        return f"{_STANDARD}{'seq' if kind is yaml.SequenceNode else 'map'}"


class _Parser:
    """Turns PyYAML's nodes into `Node`s, and collects errors on the way."""

    def __init__(self, text: str, name: str, base: Path, from_set: bool, is_stored: bool) -> None:
        self.text, self.name, self.base, self.from_set = text, name, base, from_set
        self.is_stored = is_stored
        self.problems: list[Problem] = []
        # The stored plan of a sweep may be long.
        self.most = max(MOST_NODES, len(text)) if is_stored else MOST_NODES
        self._lines = _LINE_BREAK.split(text)
        self._ancestors: set[int] = set()
        self._count = 0

    def node(self, node: yaml.Node) -> Node:
        self._count += 1
        mark = self._mark(node)
        if id(node) in self._ancestors:
            raise SpecError(mark.problem("an alias contains itself"))
        if self._count > self.most:
            raise SpecError(mark.problem(too_many(self.most)))
        if node.tag not in (_SCALAR_TAGS if isinstance(node, yaml.ScalarNode) else _COLLECTION_TAGS):
            tag = node.tag.replace(_STANDARD, "!!")
            about = f"the tag `{tag}` is not allowed: a spec holds plain values only"
            return Node(mark, None, mark.problem(about))
        if isinstance(node, yaml.ScalarNode):
            return text_node(node.value, mark, self.base, is_text=node.tag == f"{_STANDARD}str")
        self._ancestors.add(id(node))
        is_list = isinstance(node, yaml.SequenceNode)
        value = [self.node(item) for item in node.value] if is_list else dict(self._entries(node))
        self._ancestors.discard(id(node))
        return Node(mark, value)

    def _entries(self, node: yaml.Node) -> Iterator[tuple[str, Entry]]:
        first: dict[str, Mark] = {}
        for key_node, value_node in node.value:
            mark = self._mark(key_node)
            key = key_node.value if isinstance(key_node, yaml.ScalarNode) else None
            if key is None:
                self.problems.append(mark.problem("a key must be a single word"))
            elif key in first:
                note = f"first given at {first[key].location}"
                self.problems.append(mark.problem(f"duplicate key `{key}`", notes=(note,)))
            else:
                first[key] = mark
                yield key, Entry(mark, self.node(value_node))

    def _mark(self, node: yaml.Node) -> Mark:
        start, end = node.start_mark, node.end_mark
        width = end.column - start.column if end.line == start.line else None
        return self.mark_at(start.line, start.column, width)

    def mark_at(self, line: int, column: int, width: int | None = 1) -> Mark:
        """The mark of a line and column from 0; with `width` None it extends to the end of the line."""
        if self.from_set:
            return Mark(self.name, from_set=True)
        source_line = self._lines[line] if line < len(self._lines) else ""
        rest = len(source_line.rstrip()) - column
        return Mark(
            self.name,
            line + 1,
            column + 1,
            source_line,
            max(1, rest if width is None else width),
            is_stored=self.is_stored,
        )

    def syntax_problem(self, error: yaml.YAMLError) -> Problem:
        """The error that PyYAML reports, with its position."""
        if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
            mark = self.mark_at(error.problem_mark.line, error.problem_mark.column)
            about = " ".join(part for part in (error.problem, error.context) if part)
            return mark.problem(f"this is not YAML: {about}")
        position = getattr(error, "position", 0)
        before = _LINE_BREAK.split(self.text[:position])
        character = self.text[position : position + 1]
        mark = self.mark_at(len(before) - 1, len(before[-1]))
        return mark.problem(f"the character U+{ord(character or chr(0)):04X} is not allowed in YAML")
