"""Records: one finished run as one JSON object with settings, scores, cost and counts per sentence, but no text.

Records can be committed: the tables, figures and tests of a study are computed from them alone. Paths in them do not
name folders of the machine.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    model_validator,
)

from ..errors import DataError
from ..files import atomic
from ..rundir.pretrained_origin import Origin

_START = '{"record":'
"""The beginning of each line of a file of records."""


def _to_digits(numbers: list[int]) -> str | list[int]:
    return "".join(map(str, numbers)) if all(0 <= number <= 9 for number in numbers) else numbers


def _from_digits(value: Any) -> Any:
    is_digits = isinstance(value, str) and (value.isdecimal() or not value)
    return [int(digit) for digit in value] if is_digits else value


SmallNumbers = Annotated[list[int], BeforeValidator(_from_digits), PlainSerializer(_to_digits)]
"""Numbers that are written as a string of digits if each has one digit: half as long as a list."""


class _Frozen(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SentenceCounts(_Frozen):
    """Number of spans in each sentence of a split, in order: gold, predicted, and correct."""

    gold: SmallNumbers
    predicted: SmallNumbers
    correct: SmallNumbers

    @model_validator(mode="after")
    def _same_sentences(self) -> SentenceCounts:
        if not len(self.gold) == len(self.predicted) == len(self.correct):
            raise ValueError("gold, predicted and correct must count the same sentences")
        return self

    def __len__(self) -> int:
        return len(self.gold)

    def picked(self, places: Sequence[int]) -> SentenceCounts:
        """The counts of the sentences at these places, in this order."""
        lists = {name: getattr(self, name) for name in type(self).model_fields}
        return SentenceCounts(**{name: [values[place] for place in places] for name, values in lists.items()})

    def summed(self, groups: Sequence[int]) -> SentenceCounts:
        """The counts of groups of sentences, from the group of each, numbered from 0."""
        sums: dict[str, list[int]] = {}
        for name in ("gold", "predicted", "correct"):
            sums[name] = [0] * (max(groups, default=-1) + 1)
            for group, count in zip(groups, getattr(self, name), strict=True):
                sums[name][group] += count
        return SentenceCounts(**sums)


class LearningCurve(_Frozen):
    """Training as logged in `log.jsonl`: `[update, epoch, value]` of the loss and of the validation score."""

    loss: list[tuple[int, float, float]] = []
    validation: list[tuple[int, float, float]] = []


class Arm(_Frozen):
    """The place of a run in a study whose sweep names its arms; the name of the run is that of its arm."""

    place: int = Field(default=0, description="position of the arm in the sweep, from 0")
    compare: list[str] = Field(default=[], description="the comparisons that the sweep declares")


class RunRecord(_Frozen):
    """One finished run."""

    record: Literal[1] = Field(default=1, description="version of this format")
    name: str
    sweep: str | None = Field(default=None, description="folder of the sweep that the run belongs to")
    arm: Arm | None = Field(
        default=None,
        description="set if the sweep names its runs",
        exclude_if=lambda value: value is None,  # as in records of earlier versions
    )
    trial: str | None = Field(
        default=None,
        description="its name, if the run is a trial of a search over values of keys",
        exclude_if=lambda value: value is None,
    )
    mask: str | None = Field(default=None, description="the mask as written in the spec")
    seed: int
    settings: dict[str, Any] = Field(description="the resolved spec without name, seed and data")
    data: dict[str, Any] = Field(
        description="identification of the data: readers, sizes, digests of the gold annotation"
    )
    scores: dict[str, dict[str, Any]] = Field(description="validation and test scores, as in metrics.json")
    train: dict[str, Any] = Field(description="cost of training, as in metrics.json")
    curve: LearningCurve = LearningCurve()
    counts: dict[str, SentenceCounts] = Field(default={}, description="counts per sentence, by split")
    confusion: dict[str, list[tuple[str, str, int]]] = Field(
        default={},
        description="[gold type, predicted type, count], with an empty type where there is no span",
    )
    slices: dict[str, list[str]] = Field(
        default={},
        description="the classes of the spans of each sentence, by split: see data/slices.py",
        exclude_if=lambda value: not value,
    )
    documents: dict[str, list[int]] = Field(
        default={},
        description="the document of each sentence, by split, if whole documents are cross-validated",
        exclude_if=lambda value: not value,
    )
    positions: dict[str, list[int]] = Field(
        default={},
        description="the place of each sentence in the data that cross-validation divides, by split",
        exclude_if=lambda value: not value,
    )
    train_sentences: int | None = Field(
        default=None,
        description="number of sentences that the run was trained on, if its spec limits or divides them",
        exclude_if=lambda value: value is None,
    )
    origin: Origin | None = Field(default=None, description="the pre-trained model that the run starts from")
    environment: dict[str, Any] = {}
    source: str = Field(default="", exclude=True, description="source of the record")
    fold_runs: list[RunRecord] = Field(
        default=[], exclude=True, description="the runs of the folds that this record pools, in order"
    )
    repetitions: list[RunRecord] = Field(
        default=[],
        exclude=True,
        description="one pooled record for each seed of `data.folds` that this record is the mean of, in order",
    )

    @property
    def passes(self) -> list[RunRecord]:
        """The records that have each test sentence once: repetitions of a cross-validation, or the record itself."""
        return self.repetitions or [self]

    @property
    def measure(self) -> str:
        """The key of the score that ranks runs: `f1`, or `accuracy` for plain tags."""
        return "f1" if "f1" in next(iter(self.scores.values()), {}) else "accuracy"

    def score(self, split: str) -> float | None:
        """The score of a split that ranks runs, as a fraction."""
        value = self.scores.get(split, {}).get(self.measure)
        return None if value is None else float(value)

    @property
    def train_limit(self) -> int | None:
        """The largest number of sentences to train on: `data.train.limit`, or that of the folds."""
        reader = self.data.get("train", {}).get("reader") or {}
        limits = reader.get("limit"), self.data.get("folds", {}).get("train_limit")
        return next((int(limit) for limit in reversed(limits) if limit is not None), None)

    def unit_counts(self, split: str) -> SentenceCounts | None:
        """Counts of the units that tests draw: sentences, or documents if these are cross-validated."""
        counts, documents = self.counts.get(split), self.documents.get(split)
        return counts if counts is None or documents is None else counts.summed(documents)

    def json_line(self) -> str:
        """The record as a line of a file of records."""
        return self.model_dump_json() + "\n"


def write_records(path: Path, records: Iterable[RunRecord]) -> None:
    """Write a file of records atomically: one object per line, sorted by name and seed."""
    ordered = sorted(records, key=lambda record: (record.name, record.seed))
    atomic.write_text(path, "".join(record.json_line() for record in ordered))


def is_records(path: Path) -> bool:
    """Whether a file begins like a file of records."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(len(_START)) == _START
    except (OSError, UnicodeDecodeError):
        return False


def read_records(path: Path) -> list[RunRecord]:
    """Read a file of records.

    Raises:
        DataError: a line is not a record; the message names file, line and field.
    """
    if not is_records(path):
        raise DataError.at(
            "not a file of records",
            path,
            1,
            "`sltk report DIR --records FILE` writes one from run directories",
        )
    records = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            record = RunRecord.model_validate_json(line)
        except ValidationError as error:
            first = error.errors()[0]
            field = ".".join(map(str, first["loc"])) or "line"
            raise DataError.at(f"not a record: `{field}`: {first['msg']}", path, number) from error
        records.append(record.model_copy(update={"source": f"{path}:{number}"}))
    return records
