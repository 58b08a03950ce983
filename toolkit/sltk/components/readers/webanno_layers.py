"""Layers and features of WebAnno TSV 3, as the header of a file declares them, and the values in their columns."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ...errors import DataError, nearest

FORMAT = "#FORMAT="
_VERSION = f"{FORMAT}WebAnno TSV 3"
_LAYER = re.compile(r"#T_(SP|RL|CH)=([^|]*)(.*)")
_STACKED = re.compile(r"(?:\\.|[^|])+")
_VALUE = re.compile(r"((?:\\.|[^\\])*?)(?:\[([0-9]{1,18})\])?")
_ESCAPE = re.compile(r"\\(u[0-9a-fA-F]{4}|.)")
_ESCAPED = {"t": "\t", "n": "\n", "r": "\r", "f": "\f", "b": "\b"}


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer: its columns, and the number of its first column among those of all layers."""

    name: str
    is_span: bool
    columns: tuple[str, ...]
    first: int

    @property
    def short_name(self) -> str:
        """The last part of the name."""
        return self.name.rpartition(".")[2]

    @property
    def features(self) -> list[str]:
        """The columns that hold a value of a span, and not a link to another span."""
        links = {place for place, name in enumerate(self.columns) if name.startswith("ROLE_")}
        links |= {place + 1 for place in links}
        return [name for place, name in enumerate(self.columns) if name and place not in links]

    def __str__(self) -> str:
        return f"`{self.short_name}` ({', '.join(self.features) or 'no feature'})"


class Header:
    """The layers of a file, and the column that is read.

    Raises:
        DataError: the file is not of this format, or has no such layer or feature.
    """

    def __init__(
        self, lines: Sequence[tuple[int, str]], path: Path, layer: str | None, feature: str | None
    ) -> None:
        """`lines` are the comments at the beginning of the file, or before a second header."""
        number, first = next(((number, line) for number, line in lines if line.startswith(FORMAT)), (1, ""))
        if not first.startswith(_VERSION):
            message = f"expected a header that begins with `{_VERSION}.…`"
            message += f", found `{first[:60]}`" if first else ""
            raise DataError.at(message, path, number, "the older formats TSV 1 and TSV 2 are not read")
        self.path, self.line = path, number
        self.layers: list[Layer] = []
        self.width = 0
        """The number of columns of all layers."""
        for _, line in lines:
            match = _LAYER.fullmatch(line)
            if match:
                columns = tuple(name for name in match[3].split("|") if name) or ("",)
                self.layers.append(Layer(match[2], match[1] == "SP", columns, self.width))
                self.width += len(columns)
        self.column, self.type = self._choice(layer, feature)
        """The column that is read, None without a layer of spans; and the type of its spans, None for its values."""

    def _choice(self, name: str | None, feature: str | None) -> tuple[int | None, str | None]:
        layer = self._layer(name)
        if layer is None:
            return None, None
        if not layer.features and feature is None:
            return layer.first, layer.short_name
        return layer.first + layer.columns.index(self._feature(layer, feature)), None

    def _layer(self, name: str | None) -> Layer | None:
        spans = [layer for layer in self.layers if layer.is_span]
        matches = [layer for layer in spans if name in (None, layer.name, layer.short_name)]
        if len(matches) == 1 or not self.layers:
            return next(iter(matches), None)
        if name is None:
            message = f"this file has {len(spans)} layers of spans: choose one with `layer`"
        elif matches:
            message = f"several layers are called `{name}`: {', '.join(layer.name for layer in matches)}"
        else:
            message = f"this file has no layer of spans `{name}`"
        known = [each for layer in spans for each in (layer.short_name, layer.name)]
        note = f"its layers of spans, with their features: {', '.join(map(str, spans)) or 'none'}"
        raise self._error(message, note, nearest(name, known) if name else None)

    def _feature(self, layer: Layer, name: str | None) -> str:
        features = layer.features
        if name is None and (len(features) == 1 or "value" in features):
            return features[0] if len(features) == 1 else "value"
        if name is not None and name in features:
            return name
        about = f"layer `{layer.short_name}` has"
        message = (
            f"{about} no feature `{name}`" if name else f"{about} several features: choose one with `feature`"
        )
        note = f"its features: {', '.join(features) or 'none'}"
        raise self._error(message, note, nearest(name, features) if name else None)

    def _error(self, message: str, note: str, suggestion: str | None) -> DataError:
        return DataError.at(message, self.path, self.line, note, suggestion=suggestion)


def values(cell: str) -> Iterator[tuple[str | None, int | None]]:
    """The value of each annotation in a cell, None without one, and the number that marks one of several words."""
    for piece in _STACKED.findall(cell) if cell != "_" else ():
        match = _VALUE.fullmatch(piece)
        value, number = match.groups() if match else (piece, None)
        yield None if value == "*" else unescape(value), None if number is None else int(number)


def unescape(text: str) -> str:
    """Text without the backslashes that mark reserved characters; as it is, if it has half of a surrogate pair."""
    if "\\" not in text:
        return text
    plain = _ESCAPE.sub(_character, text)
    try:
        # Characters beyond 16 bits are written as two escapes.
        return plain.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        return text


def _character(match: re.Match[str]) -> str:
    name = match[1]
    return chr(int(name[1:], 16)) if len(name) > 1 else _ESCAPED.get(name, name)
