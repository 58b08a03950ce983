"""Label Studio: texts with annotated characters, as in its JSON and JSON-MIN exports."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import Field

from ...errors import DataError
from ...types import Sentence, Unused
from ..registry import register
from .json_records import JsonReader, JsonRecord
from .label_studio_regions import has_regions, number_of_spans, regions
from .offsets import AnnotatedText, OffsetReader
from .standoff import Unannotated
from .unread_keys import check_unread

Choice = tuple[JsonRecord | None, list[Unused]]
"""The annotation of a task to read, if there is one, and reports of the others."""

_NOT_CHOSEN = "one annotation per task is read (option `annotator`)"


@register.reader("label_studio")
class LabelStudioReader(OffsetReader, JsonReader):
    """Label Studio's JSON export (`annotations[].result[].value`), or JSON-MIN.

    One annotation per task is read, see `annotator`; others, and cancelled ones, are reported with their number
    of spans. A task without one is left out and reported, unless no task of the file has one. Relations and choices
    are not read, predictions only with `kind: predictions`. A task is one sentence and one document.
    """

    kind: Literal["annotations", "predictions"] = Field(
        default="annotations",
        description="read the annotations of people, or the predictions of a model, which only the JSON export has",
    )

    text_field: str = Field(default="text", description="key of the text in `data`")
    from_name: str | None = Field(
        default=None, description="name of the labelling tag whose spans to read; unset: all"
    )
    annotator: str | None = Field(
        default=None,
        description="annotator to read: the id or e-mail in `completed_by`, or the `model_version` of predictions; "
        "unset: the annotation marked as ground truth, otherwise the first",
    )

    unannotated: Unannotated | None = Field(
        default=None,
        description="a task without an annotation to read: an error, read as if it had no spans (outside), or left "
        "out and counted (skip); unset: left out, unless no task of the file has one",
    )

    def annotation_keys(self) -> Sequence[str]:
        """The key of the annotations of a task; JSON-MIN has one for each labelling tag."""
        return [self.kind]

    def annotation_notes(self, sentence: Sentence) -> Iterator[str]:
        """The keys of annotation, and how to read the predictions of a model."""
        yield from super().annotation_notes(sentence)
        if self.kind == "annotations":
            yield "`kind: predictions` reads the predictions of a model"

    def read_file(self) -> Iterator[Sentence]:
        """Yield one sentence per task; holds those before the first annotated one.

        Raises:
            DataError: not JSON tasks, a span outside its text, or no annotation by `annotator`.
        """
        if self.unannotated is not None:
            yield from super().read_file()
            return
        bare: list[Sentence] = []
        last: Sentence | None = None
        for sentence in super().read_file():
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

    def texts(self) -> Iterator[AnnotatedText]:
        """Yield one text per task, without spans if it has no annotation to read.

        Raises:
            DataError: not JSON tasks.
        """
        seen: dict[str, int] = {}
        for task in self.records():
            minimal = "data" not in task
            data = task if minimal else task.record("data")
            text = data.string(self.text_field)
            choice, reports = self._minimal(task, seen) if minimal else self._full(task)
            spans = None
            if choice is not None:
                keys = list(task.value) if minimal else ["result"]
                spans, unused = regions(choice, keys, self.from_name, text, self)
                reports += unused
            document = task.name("id", task.number)
            unused_here = (*task.unused, *reports)
            yield AnnotatedText(text, spans, task.file, task.line, unused_here, document)

    def _full(self, task: JsonRecord) -> Choice:
        """The annotation to read of a task in the JSON export."""
        is_old = self.kind == "annotations" and "completions" in task  # the name in versions before 1.0
        key = "completions" if is_old else self.kind
        annotations = task.records(key) if key in task else []
        if key not in task:
            check_unread(self, task, ["data", "annotations", "completions", "predictions", "drafts"])
        by = "completed_by" if self.kind == "annotations" else "model_version"
        valid = [each for each in annotations if each.value.get("was_cancelled") is not True]
        candidates = [each for each in valid if self._is_selected(each, by)]
        ground_truth = [each for each in candidates if each.value.get("ground_truth") is True]
        choice = next(iter(ground_truth or candidates), None)
        reports = []
        for each in annotations:
            if each is not choice:
                why = _NOT_CHOSEN if each in valid else "it was cancelled"
                reports.append(_report(each, number_of_spans(each, ["result"]), by, why))
        return choice, reports

    def _minimal(self, task: JsonRecord, seen: dict[str, int]) -> Choice:
        """The same of a task in JSON-MIN, which has one item per annotation, and no predictions."""
        if self.kind == "predictions":
            raise task.error("`kind: predictions` reads the JSON export, in which a task has `data`")
        spans = number_of_spans(task, list(task.value))
        if not spans:
            known = [key for key in task.value if has_regions(task.value[key])]
            check_unread(self, task, [self.text_field, "label", *known])
        if not spans and "annotation_id" not in task:
            return None, []
        name = str(task.name("id", f"item {task.number}"))
        if self._is_selected(task, "annotator") and seen.setdefault(name, task.number) == task.number:
            return task, []
        return None, [_report(task, spans, "annotator", _NOT_CHOSEN)]

    def _is_selected(self, annotation: JsonRecord, key: str) -> bool:
        return self.annotator is None or self.annotator in _names(annotation.value.get(key))


def _names(annotator: Any) -> list[str]:
    """The names of an annotator: an id, or the e-mail and id of an object."""
    if isinstance(annotator, dict):
        return [str(annotator[key]) for key in ("email", "id") if key in annotator]
    return [] if annotator is None else [str(annotator)]


def _report(annotation: JsonRecord, spans: int, key: str, why: str) -> Unused:
    by = next(iter(_names(annotation.value.get(key))), "unknown")
    reason = f"{annotation.path}: an annotation by {by} with {spans} spans is left out: {why}"
    return Unused(annotation.file, annotation.line, reason)


def _left_out(sentence: Sentence) -> tuple[Unused, ...]:
    """The reports of a task without annotation, in a file with annotated ones."""
    reason = f"task {sentence.document} with {len(sentence)} words is left out: no annotation of it is read"
    return (*sentence.unused, Unused(str(sentence.file), sentence.line, reason))
