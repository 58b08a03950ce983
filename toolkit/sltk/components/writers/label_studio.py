"""The `label_studio` writer: tasks to import into Label Studio, with spans to correct there."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Any, Literal, NamedTuple

from pydantic import Field

from ...files.safety import json_text
from ...types import Prediction, Unused
from ..registry import register
from ..slots import Writer
from .highlights import change, highlights, joined_changes, text_and_offsets

_UNSTORABLE = {0: "␀"} | dict.fromkeys(range(0xD800, 0xE000), "\ufffd")


@register.writer("label_studio")
class LabelStudioWriter(Writer):
    """Label Studio's JSON: a list of tasks, each with a text and the labelled spans of a model, with scores.

    A sentence is a task. Import the file into a project that labels text: its `<Text>` and `<Labels>` tags have the
    names `to_name` and `from_name`. Label Studio can sort tasks by their score: the lowest probability of a word's
    tag, or exp(-uncertainty) with `sltk predict --rank uncertainty`. Plain tags are spans of one word. NUL, which
    databases do not store, becomes ␀.
    """

    kind: Literal["predictions", "annotations"] = Field(
        default="predictions",
        description="spans are suggestions of a model (predictions), or finished annotation (annotations)",
    )
    from_name: str = Field(
        default="label", min_length=1, description="name of the `<Labels>` tag of the project"
    )
    to_name: str = Field(default="text", min_length=1, description="name of the `<Text>` tag of the project")
    text_field: str = Field(
        default="text", min_length=1, description='key of the text in `data`: `text` for `value="$text"`'
    )
    model_version: str = Field(default="sltk", description="name under which Label Studio lists predictions")
    offsets: Literal["characters", "utf16"] = Field(
        default="characters",
        description="what offsets count: characters, or UTF-16 units as in Label Studio before 1.4 (utf16)",
    )

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """Yield the opening bracket, one task per line, and the closing bracket."""
        opening = "[\n"
        for prediction in predictions:
            yield opening + json_text(self._task(prediction))
            opening = ",\n"
        yield "[]\n" if opening == "[\n" else "\n]\n"

    def changes(self, prediction: Prediction) -> Iterator[Unused]:
        """Discontinuous spans, and characters that a database does not store."""
        yield from joined_changes(prediction)
        for word in prediction.words:
            if storable(word) != word:
                reason = f"`{storable(word)}` has a NUL or half a surrogate pair, written as a symbol"
                yield change(prediction.sentence, reason)

    def _task(self, prediction: Prediction) -> dict[str, Any]:
        text, _ = text_and_offsets(prediction)
        result = regions(prediction, lambda type_: Place(self.from_name, self.to_name, type_), self.offsets)
        content: dict[str, Any] = {"result": result}
        if self.kind == "predictions":
            content = {"model_version": self.model_version, **score(prediction), **content}
        return {"data": {self.text_field: storable(text)}, self.kind: [content]}


class Place(NamedTuple):
    """Where spans of a type go: the names of the `<Labels>` and the `<Text>` tag, and the label."""

    from_name: str
    to_name: str
    label: str


def regions(
    prediction: Prediction, place_of: Callable[[str], Place | None], offsets: str = "characters"
) -> list[dict[str, Any]]:
    """The spans as Label Studio's regions; spans of a type without a place are left out."""
    text, _ = text_and_offsets(prediction)
    units = _units(text) if offsets == "utf16" else range(len(text) + 1)
    result: list[dict[str, Any]] = []
    for span in highlights(prediction):
        place = place_of(span.type)
        if place is not None:
            quoted = storable(text[span.start : span.end])
            value = {"start": units[span.start], "end": units[span.end], "text": quoted}
            result.append(_region(f"span-{len(result) + 1}", place, value, span.score))
    return result


def _region(name: str, place: Place, value: dict[str, Any], score: float | None) -> dict[str, Any]:
    from_name, to_name, label = place
    value = {**value, "labels": [storable(label)]}
    region = {"id": name, "from_name": from_name, "to_name": to_name, "type": "labels", "value": value}
    return region if score is None else {**region, "score": score}


def score(prediction: Prediction) -> dict[str, float]:
    """The score of a task: the lowest probability of a word's tag, or of a span; none if there are neither.

    If the doubt about the sentence was measured, the score falls with it, whatever measure it was.
    """
    if prediction.uncertainty is not None:
        return {"score": math.exp(-prediction.uncertainty)}
    scores = prediction.scores or [span.score for span in prediction.spans if span.score is not None]
    return {"score": min(scores)} if scores else {}


def storable(text: str) -> str:
    """Replace characters that databases do not store; every character stays one character, so offsets hold."""
    return text.translate(_UNSTORABLE) if not text.isprintable() else text


def _units(text: str) -> list[int]:
    """The offset of each character, and of the end, in UTF-16 units."""
    return [0, *accumulate(1 + (char > "\uffff") for char in text)]
