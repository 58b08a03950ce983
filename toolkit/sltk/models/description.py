"""Read `sltk.json`, the description of a saved model, and check which version of sltk wrote it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from .. import schemes
from .._version import __version__
from ..errors import Location, Problem, UsageError
from ..files.damage import damaged, read_json
from ..schemes.names import SchemeName
from ..types import PrecisionSetting

FORMAT = 1
DESCRIPTION = "sltk.json"

M = TypeVar("M", bound=BaseModel)
_Count = Annotated[int, Field(strict=True, ge=0)]


_REQUIRED = {
    "tagger": (("splitter", "backbone", "aligner", "head"), ("spacing", "on_overflow")),
    "instruct": (("splitter", "backbone"), ("instruct", "shots", "seed")),
    "onnx": (("splitter", "aligner", "head"), ("spacing", "on_overflow", "onnx")),
}
"""The components and the keys that a type of model needs, in addition to those of all types."""


class _Shape(BaseModel):
    model_config = ConfigDict(extra="allow", frozen=True)


class _Mask(_Shape):
    unmask: str | None
    flags: str = Field(pattern="^[01]*$")


class _Base(_Shape):
    name: str | None = None
    revision: str | None = None
    content: str | None = None
    path: Literal["base", "."] | None = None


class _TrainedIn(_Shape):
    """The precision of training; see `saving.Model.trained_in`."""

    setting: PrecisionSetting = "auto"
    device: str | None = None


class _Example(BaseModel):
    model_config = ConfigDict(extra="forbid")
    sentence: str
    response: str


class _TokenIds(_Shape):
    prefix: list[_Count]
    suffix: list[_Count]
    unknown: _Count


class _Graph(_Shape):
    """The graph of an ONNX export: its file, and how it is called."""

    file: str = Field(pattern=r"^[\w.-]+\.onnx$")
    output: str
    granularity: Literal["subword", "word"]
    tokens: _TokenIds
    vectors: _Count | None
    copies: Annotated[int, Field(strict=True, ge=1)] = 1


class _InTransformers(_Shape):
    """How transformers uses an export: see `exporting/text_agreement.py`."""

    rules: list[str] = []
    tokenizer: Literal["AutoTokenizer", "PreTrainedTokenizerFast"] = "AutoTokenizer"
    blank: str | None = None
    reason: str | None = None


class _Description(_Shape):
    """What all of sltk relies on in `sltk.json`; components check their own keys."""

    type: Literal["tagger", "instruct", "onnx"] = "tagger"
    scheme: SchemeName
    labels: list[str] = Field(min_length=1)
    mask: _Mask
    base: _Base
    max_length: Annotated[int, Field(strict=True, ge=1)] | None
    components: dict[str, dict[str, Any]]
    precision: _TrainedIn = _TrainedIn()
    transformers: _InTransformers = _InTransformers()
    # A tagger:
    spacing: Literal["single", "source"] = "single"
    on_overflow: Literal["window", "error"] = "window"
    document_context: _Count = 0
    # An ONNX export of a tagger:
    onnx: _Graph | None = None
    # An instruction-tuned model:
    instruct: dict[str, Any] = {}
    shots: list[_Example] = []
    seed: _Count = 0

    @model_validator(mode="after")
    def _is_consistent(self) -> _Description:
        slots, keys = _REQUIRED[self.type]
        missing = [f"components.{slot}" for slot in slots if slot not in self.components]
        missing += [key for key in keys if getattr(self, key) is None or key not in self.model_fields_set]
        if missing:
            raise ValueError(f"{', '.join(missing)} missing")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("a label occurs twice")
        schemes.chunks(self.labels, self.scheme, strict=False)  # a `SchemeError` names a wrong label
        return self


def is_model(folder: Path) -> bool:
    """Whether the folder itself is a model: `model/` of a run, or an export."""
    return os.path.lexists(folder / DESCRIPTION)


def check_format(path: Path, stored: Mapping[str, Any], advice: str) -> None:
    """Check that this version of sltk can read the format that the stored file `path` names.

    Raises:
        UsageError: the format is another one; `advice` is shown as a note.
    """
    if stored.get("format") == FORMAT:
        return
    about = (
        f"`{path.parent}` was written by sltk {stored.get('sltk', 'of an older version')} in format "
        f"{stored.get('format', '?')}; this is sltk {__version__}, which reads format {FORMAT}"
    )
    raise UsageError(Problem(about, Location(str(path)), notes=(advice,)))


def read_description(folder: Path) -> dict[str, Any]:
    """Read the description of a saved model.

    Raises:
        UsageError: the folder has no model, or a damaged one, or one that another version of sltk wrote.
    """
    path = folder / DESCRIPTION
    if not os.path.lexists(path):
        raise UsageError(f"`{folder}` has no sltk model (no {DESCRIPTION}); did its training finish?")
    description = read_json(path)
    check_format(path, description, "train it again, or use the version that wrote it")
    try:
        _Description.model_validate(description)
    except ValidationError as error:
        raise damaged(path, _first(error)) from error
    return description


def stored_values(kind: type[M], folder: Path, values: Any, key: str) -> M:
    """Validate a part of `sltk.json`: a component, or settings.

    Raises:
        UsageError: the values at `key` do not fit; or no component of this name is registered.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        about = Problem(f"`{key}` cannot be used: {_first(error)}", Location(str(folder / DESCRIPTION)))
        raise UsageError(about) from error


def _first(error: ValidationError) -> str:
    """The first problem of pydantic's error, with its key, in one line."""
    item = error.errors(include_url=False)[0]
    cause = item.get("ctx", {}).get("error")
    text = _first(cause) if isinstance(cause, ValidationError) else str(cause or item["msg"])
    key = ".".join(str(part) for part in item["loc"])
    text = text[:1].lower() + text[1:]
    return f"`{key}`: {text}" if key else text
