"""Bodies of requests: read within limits, parsed strictly, and validated."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from starlette.requests import Request

from ..decoding import Decisions
from ..errors import nearest
from .answers import AnswerError
from .batching_queue import LINE_COST, Input
from .serving_settings import ServingSettings

MinScore = Annotated[
    float | None, Field(ge=0, le=1, description="leave out spans with a lower score", examples=[0.5])
]


_CHOICES = ("min_score", "thresholds")
"""Keys that say which spans are kept; the others are for what is labelled."""


def _one_form(schema: dict[str, Any]) -> None:
    """Say in a JSON Schema that a request has one of the keys for what is labelled."""
    forms = [name for name in schema["properties"] if name not in _CHOICES]
    schema["oneOf"] = [{"required": [name]} for name in forms]


class _LabelRequest(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, json_schema_extra=_one_form)

    text: str | None = Field(
        None, description="a text of any number of lines", examples=["The soup was cold."]
    )
    words: list[str] | None = Field(None, description="the words of one sentence")
    min_score: MinScore = None
    thresholds: Literal["stored", "none"] = Field(
        "stored", description="apply the thresholds that are stored with the model, or none"
    )

    @classmethod
    def forms(cls) -> list[str]:
        """The keys of which a request has one."""
        return [name for name in cls.model_fields if name not in _CHOICES]

    @model_validator(mode="after")
    def _has_one_form(self) -> Self:
        found = [name for name in self.forms() if getattr(self, name) is not None]
        if len(found) != 1:
            listed = f"there are {' and '.join(found)}" if found else "there is none"
            raise ValueError(f"expected one of the keys {', '.join(self.forms())}; {listed}")
        return self

    def decisions(self, stored: Mapping[str, float]) -> Decisions:
        """Which spans are kept, if these thresholds are stored with the model."""
        thresholds = stored if self.thresholds == "stored" else {}
        return Decisions(min_score=self.min_score or 0.0, thresholds=thresholds)

    def inputs(self) -> list[tuple[str, Input]]:
        """The texts or lists of words, one per prediction, each with its key."""
        name = next(name for name in self.forms() if getattr(self, name) is not None)
        value = getattr(self, name)
        if name in ("text", "words"):
            return [(f"`{name}`", value)]
        return [(f"`{name}[{number}]`", item) for number, item in enumerate(value)]


class StreamRequest(_LabelRequest):
    """A line of a stream: a text, or the words of one sentence."""


class PredictRequest(_LabelRequest):
    """One text, several texts, the words of one sentence, or the words of several: exactly one of these keys."""

    texts: list[str] | None = Field(None, description="several texts")
    sentences: list[list[str]] | None = Field(None, description="the words of several sentences")


R = TypeVar("R", bound=_LabelRequest)


class BodyMemory:
    """Counts the bytes of the bodies of all requests that are not answered yet, which are bounded together."""

    _KEY = "sltk.received"

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0

    @contextmanager
    def counting(self, scope: MutableMapping[str, Any]) -> Iterator[None]:
        """Count the body of this request until it is answered."""
        received = scope[self._KEY] = [0]
        try:
            yield
        finally:
            self.used -= received[0]

    def add(self, request: Request, count: int) -> None:
        """Count more bytes of a request.

        Raises:
            AnswerError: that would be too many.
        """
        if self.used + count > self.most:
            message = "too many large requests are being received"
            raise AnswerError(503, "busy", message, {"Retry-After": "1", "Connection": "close"})
        self.used += count
        request.scope[self._KEY][0] += count


def check_media_type(request: Request, *allowed: str) -> None:
    """Check the media type of a body: pages of other sites cannot send these without being asked first.

    Raises:
        AnswerError: it is another one.
    """
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type not in allowed:
        found = f"`{media_type}`" if media_type else "none"
        message = f"expected the header `Content-Type: {allowed[0]}`; there is {found}"
        raise AnswerError(415, "unsupported_media_type", message)
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        message = f"the body is compressed with `{encoding[:100]}`: send it as it is"
        raise AnswerError(415, "unsupported_media_type", message)


async def read_body(request: Request, settings: ServingSettings, memory: BodyMemory) -> bytes:
    """Read a body.

    Raises:
        AnswerError: it is too large, or takes too long, or too many are being received.
        ClientDisconnect: the client is gone.
    """
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > settings.max_body:
        raise _too_large(settings)
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(settings.read_timeout):
            async for chunk in request.stream():
                memory.add(request, len(chunk))
                size += len(chunk)
                chunks.append(chunk)
                if size > settings.max_body:
                    raise _too_large(settings)
    except TimeoutError:
        message = f"the body did not arrive within {settings.read_timeout:g} seconds"
        raise AnswerError(408, "read_timeout", message, {"Connection": "close"}) from None
    return b"".join(chunks)


def _too_large(settings: ServingSettings) -> AnswerError:
    message = f"the body has more than {settings.max_body:,} bytes: send less, or use /predict/stream"
    return AnswerError(413, "body_too_large", message)


def parse_json(body: bytes) -> Any:
    """Parse strict JSON: UTF-8, each key once, no NaN.

    Raises:
        AnswerError: it is not.
    """
    try:
        return json.loads(
            body.decode("utf-8"), object_pairs_hook=_unique, parse_constant=_no_constant, parse_int=_integer
        )
    except UnicodeDecodeError as error:
        message = f"not UTF-8: byte 0x{body[error.start]:02x} at position {error.start}"
    except RecursionError:
        message = "not usable: this JSON is nested too deeply"
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} (character {error.pos})"
    except ValueError as error:
        message = f"not JSON: {error}"
    raise AnswerError(400, "invalid_json", message)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice[:100]!r} occurs twice")
    return values


def _integer(digits: str) -> int:
    if len(digits) > 100:
        raise ValueError(f"a number has {len(digits):,} digits")
    return int(digits)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number")


def validated(kind: type[R], value: Any, settings: ServingSettings) -> R:
    """Validate a parsed body, or a parsed line of a stream.

    Raises:
        AnswerError: it has other keys or types, a character that is none, or a line that is too long.
    """
    if not isinstance(value, dict):
        message = f"expected an object with one of the keys {', '.join(kind.forms())}"
        raise AnswerError(422, "invalid_request", message)
    try:
        request = kind.model_validate(value)
    except ValidationError as error:
        raise AnswerError(422, "invalid_request", _first(error, list(kind.model_fields))) from None
    inputs = request.inputs()
    if len(inputs) * LINE_COST > settings.max_queue:
        message = f"a request may have {settings.max_queue // LINE_COST:,} texts; this has {len(inputs):,}"
        raise AnswerError(413, "too_much_text", message)
    for where, item in inputs:
        check_input(item, where, settings)
    return request


def _first(error: ValidationError, allowed: Sequence[str]) -> str:
    """The first problem in one line."""
    item = error.errors(include_url=False, include_input=False)[0]
    if item["type"] == "extra_forbidden":
        name = str(item["loc"][-1])
        near = nearest(name[:100], allowed)
        hint = f"did you mean `{near}`?" if near else f"allowed: {', '.join(allowed)}"
        return f"unknown key `{name[:100]}`: {hint}"
    text = str(item.get("ctx", {}).get("error") or item["msg"])
    text = text[:1].lower() + text[1:]
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in item["loc"]).lstrip(".")
    return f"`{path}`: {text}" if path else text


def check_input(item: Input, where: str, settings: ServingSettings) -> None:
    """Check the characters of a text or of words.

    Raises:
        AnswerError: a character is half of a surrogate pair, or a line is too long.
    """
    for text in [item] if isinstance(item, str) else item:
        try:
            text.encode()
        except UnicodeEncodeError as error:
            message = f"{where}: character {error.start} is half of a surrogate pair (\\u{ord(text[error.start]):04x})"
            raise AnswerError(422, "invalid_text", message) from None
    if isinstance(item, str):
        longest = max(map(len, item.split("\n" if "\n" in item or "\r" not in item else "\r")))
    else:
        longest = sum(map(len, item)) + len(item)
    if longest > settings.max_line:
        message = f"{where}: a line has {longest:,} characters; at most {settings.max_line:,} are allowed"
        raise AnswerError(413, "line_too_long", message)
