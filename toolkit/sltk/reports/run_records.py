"""One finished run as one JSON object: settings, scores, cost, counts a sentence; no text of any corpus.

Records can be committed: tables, figures and tests of a study are computed from them alone. Folders of the
machine are left out of paths.
"""

from __future__ import annotations

from collections.abc import Iterable
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
from ..rundir.parent import Origin

MARK = '{"record":'
"""How each line of a file of records begins."""


def _digits(numbers: list[int]) -> str | list[int]:
    return "".join(map(str, numbers)) if all(0 <= number <= 9 for number in numbers) else numbers


def _numbers(value: Any) -> Any:
    return (
        [int(digit) for digit in value]
        if isinstance(value, str) and (value.isdecimal() or not value)
        else value
    )


Numbers = Annotated[list[int], BeforeValidator(_numbers), PlainSerializer(_digits)]
"""Small numbers, written as a string of digits where each is one digit: half as long as a list."""


class SentenceCounts(BaseModel):
    """Number of spans in each sentence of a split, in order: gold, predicted, and correct."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    gold: Numbers
    predicted: Numbers
    correct: Numbers

    @model_validator(mode="after")
    def _same_sentences(self) -> SentenceCounts:
        if not len(self.gold) == len(self.predicted) == len(self.correct):
            raise ValueError("gold, predicted and correct must count the same sentences")
        return self

    def __len__(self) -> int:
        return len(self.gold)


class LearningCurve(BaseModel):
    """What `log.jsonl` says of training: `[update, epoch, value]` of the loss, and of the validation score."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    loss: list[tuple[int, float, float]] = []
    validation: list[tuple[int, float, float]] = []


class RunRecord(BaseModel):
    """One finished run."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=True)

    record: Literal[1] = Field(default=1, description="number of this form of a record")
    name: str
    sweep: str | None = Field(default=None, description="the folder of the sweep that it is a run of")
    mask: str | None = Field(default=None, description="the mask as the spec writes it")
    seed: int
    settings: dict[str, Any] = Field(description="the resolved spec, but for name, seed and data")
    data: dict[str, Any] = Field(description="what identifies the data: readers, sizes, digests of the gold")
    scores: dict[str, dict[str, Any]] = Field(description="of validation and test, as in metrics.json")
    train: dict[str, Any] = Field(description="what training took, as in metrics.json")
    curve: LearningCurve = LearningCurve()
    counts: dict[str, SentenceCounts] = Field(default={}, description="counts a sentence, split by split")
    confusion: dict[str, list[tuple[str, str, int]]] = Field(
        default={}, description="[gold type, predicted type, how often], an empty type where there is no span"
    )
    origin: Origin | None = Field(default=None, description="the pre-trained model that it starts from")
    environment: dict[str, Any] = {}
    source: str = Field(default="", exclude=True, description="where it was read from")

    @property
    def measure(self) -> str:
        """The key of the score that runs are ranked by: `f1`, or `accuracy` where tags are plain."""
        scores = next(iter(self.scores.values()), {})
        return "f1" if "f1" in scores else "accuracy"

    def score(self, split: str) -> float | None:
        """The score of a split that runs are ranked by, as a fraction."""
        value = self.scores.get(split, {}).get(self.measure)
        return None if value is None else float(value)

    def json_line(self) -> str:
        """The record as a line of a file of records."""
        return self.model_dump_json() + "\n"


def write_records(path: Path, records: Iterable[RunRecord]) -> None:
    """Write a file of records, whole or not at all; one object a line, sorted by name and seed."""
    ordered = sorted(records, key=lambda record: (record.name, record.seed))
    atomic.write_text(path, "".join(record.json_line() for record in ordered))


def is_records(path: Path) -> bool:
    """Whether a file is one of records, by how it begins."""
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(len(MARK)) == MARK
    except (OSError, UnicodeDecodeError):
        return False


def read_records(path: Path) -> list[RunRecord]:
    """The records of a file.

    Raises:
        DataError: a line is no record; names file, line and field.
    """
    if not is_records(path):
        raise DataError.at(
            "not a file of records", path, 1, "`sltk report DIR --records FILE` writes one, from runs"
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
