"""Label Studio: texts with annotated characters, as its JSON and JSON-MIN exports have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydantic import Field

from ...errors import DataError
from ...types import Sentence, Unused
from ..registry import register
from . import json_records
from .base import TextFileReader
from .json_records import JsonRecord
from .label_studio_regions import Regions, number_of_spans, regions
from .offsets import OffsetReader, annotated

Choice = tuple[JsonRecord | None, list[Unused]]
"""The annotation of a task to read, if there is one, and what is said of the others."""


@register.reader("label_studio")
class LabelStudioReader(OffsetReader, TextFileReader):
    """Label Studio's JSON export (`annotations[].result[].value`), or JSON-MIN.

    One annotation of a task is read, see `annotator`; others, and cancelled ones, are reported with their number
    of spans. A task without one is left out and reported, unless no task of the file has one. Predictions,
    relations and choices are not read. A task is one sentence and one document.
    """

    text_field: str = Field(default="text", description="key of the text in `data`")
    from_name: str | None = Field(
        default=None, description="name of the labelling tag whose spans to read; unset: of all"
    )
    annotator: str | None = Field(
        default=None,
        description="whose annotation to read: the id or e-mail in `completed_by`; unset: the one marked as "
        "ground truth, else the first",
    )

    def read(self) -> Iterator[Sentence]:
        """Yield a sentence a task; holds the text of the file.

        Raises:
            DataError: not a JSON list of tasks, a span that is not in its text, or nothing by `annotator`.
        """
        bare: list[Sentence] = []
        last: Sentence | None = None
        seen: dict[str, str] = {}
        for task in json_records.array(self.path, self.encoding, self.encoding_errors):
            sentence = self._sentence(task, seen)
            if sentence.spans is None:
                bare.append(sentence)
            else:
                if last is not None:
                    yield last
                last = sentence
            if last is not None:
                last.unused += tuple(report for each in bare for report in _left_out(each))
                bare.clear()
        if last is None and bare and self.annotator is not None:
            raise DataError.at(f"no task here has an annotation by `{self.annotator}`", self.path)
        yield from bare if last is None else [last]

    def _sentence(self, task: JsonRecord, seen: dict[str, str]) -> Sentence:
        """The sentence of a task; without spans where it has no annotation to read."""
        minimal = "data" not in task
        data = task if minimal else task.record("data")
        text = data.string(self.text_field)
        chosen, reports = self._minimal(task, seen) if minimal else self._full(task)
        found = Regions([], [])
        if chosen is not None:
            keys = list(task.value) if minimal else ["result"]
            found = regions(chosen, keys, self.from_name, text)
        sentence = annotated(
            text,
            found.spans,
            self.splitter.split(text),
            self.misaligned,
            file=task.file,
            line=task.line,
            unused=(*task.unused, *reports, *found.unused),
            document=str(task.value.get("id", task.path.removeprefix("item "))),
        )
        if chosen is None:
            sentence.spans = None
        return sentence

    def _full(self, task: JsonRecord) -> Choice:
        """Of a task in the JSON export."""
        key = "completions" if "completions" in task else "annotations"  # as versions before 1.0 call them
        there = task.records(key) if key in task else []
        valid = [each for each in there if each.value.get("was_cancelled") is not True]
        wanted = [each for each in valid if self._is_wanted(each, "completed_by")]
        wanted = [each for each in wanted if each.value.get("ground_truth") is True] or wanted
        chosen = wanted[0] if wanted else None
        reports = []
        for each in there:
            if each is not chosen:
                why = "it was cancelled" if each not in valid else _NOT_CHOSEN
                reports.append(_report(each, number_of_spans(each, ["result"]), "completed_by", why))
        return chosen, reports

    def _minimal(self, task: JsonRecord, seen: dict[str, str]) -> Choice:
        """Of a task in JSON-MIN, which has an item for each annotation."""
        keys = list(task.value)
        spans = number_of_spans(task, keys)
        if not spans and "annotation_id" not in task:
            return None, []
        name = str(task.value.get("id", task.path))
        if self._is_wanted(task, "annotator") and seen.setdefault(name, task.path) == task.path:
            return task, []
        return None, [_report(task, spans, "annotator", _NOT_CHOSEN)]

    def _is_wanted(self, annotation: JsonRecord, key: str) -> bool:
        return self.annotator is None or self.annotator in _people(annotation.value.get(key))


_NOT_CHOSEN = "one annotation of a task is read (option `annotator`)"


def _people(value: Any) -> list[str]:
    """What an annotator goes by: an id, or an object with id and e-mail."""
    if isinstance(value, dict):
        return [str(value[key]) for key in ("email", "id") if key in value]
    return [] if value is None else [str(value)]


def _report(annotation: JsonRecord, spans: int, key: str, why: str) -> Unused:
    by = next(iter(_people(annotation.value.get(key))), "unknown")
    reason = f"{annotation.path}: an annotation by {by}, of {spans} spans, is left out: {why}"
    return Unused(annotation.file, annotation.line, reason)


def _left_out(sentence: Sentence) -> tuple[Unused, ...]:
    """What is said of a task that cannot be a sentence beside annotated ones."""
    reason = f"task {sentence.document}, of {len(sentence)} words, is left out: no annotation of it is read"
    return (*sentence.unused, Unused(str(sentence.file), sentence.line, reason))
