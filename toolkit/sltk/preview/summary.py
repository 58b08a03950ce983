"""What is known of a run before it starts: its summary, its data, and an estimate of what it needs.

A kind of run is a subclass of `RunPreview`, which says what differs: the data it reads, the rows of its summary, its
estimate and its audit. `sltk check` and the summary are the same for all kinds.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Protocol

from pydantic import BaseModel

from ..components.registry import Component
from ..components.slots import Reader
from ..data.splits import SPLITS, missing_files, readers_of
from ..errors import Problem
from ..spec.experiment import Experiment, TrainerSpec
from ..spec.loading import InvalidSpecError, Loaded
from ..spec.options import shown_value
from .audit import Audit, audit
from .estimate import Estimate, check_model, estimate_run

Row = tuple[str, str]
"""Label and text of one line of a summary."""


class DataReport(Protocol):
    """What reading the data of a run found."""

    @property
    def warnings(self) -> Sequence[Problem]:
        """What a person should look at."""

    def as_json(self) -> dict[str, Any]:
        """Keys that `sltk check --data --json` adds."""


@dataclass(frozen=True)
class RunPreview(ABC):
    """A run before it starts. A kind of run defines the abstract methods, and the type of its spec."""

    loaded: Loaded[Any]
    """A spec with at least `name`, `seed`, `backbone` and `trainer`."""

    title: ClassVar[str] = ""
    """Follows name and seed in the first line of the summary."""

    @property
    @abstractmethod
    def readers(self) -> Mapping[str, Reader | None]:
        """The readers of the run, by the key of the spec that holds them."""

    @abstractmethod
    def data_rows(self) -> Iterator[Row]:
        """Rows of the summary above the backbone."""

    @abstractmethod
    def model_rows(self) -> Iterator[Row]:
        """Rows of the summary between backbone and trainer."""

    @abstractmethod
    def estimate(self) -> Estimate | None:
        """What the run needs; None for custom backbones.

        Raises:
            ModelError: the model's files on this machine are damaged.
        """

    @abstractmethod
    def audit(self) -> DataReport:
        """Read the data and examine it.

        Raises:
            DataError: a source is missing or malformed.
        """

    def check_model(self) -> None:
        """Check that mask and LoRA targets fit the model, as far as its shape is known.

        Raises:
            InvalidSpecError: they do not fit.
            ModelError: the model's files on this machine are damaged.
        """
        with self.loaded.placing():
            check_model(self.loaded.spec.backbone)

    def missing_files(self) -> list[Problem]:
        """A problem for each data file that does not exist."""
        return missing_files(self.loaded, self.readers)

    def summary(self) -> Iterator[str]:
        """The name, then one line each for data, model and training, and for what the run needs."""
        spec, needs = self.loaded.spec, self.estimate()
        yield f"{spec.name} (seed {spec.seed}){self.title}"
        rows: list[Iterable[Row]] = [
            self.data_rows(),
            _backbone_rows(spec.backbone),
            self.model_rows(),
            [("trainer", _trainer_text(spec.trainer))],
            needs.rows() if needs is not None else (),
        ]
        for label, text in (row for group in rows for row in group):
            yield f"  {label:<13}{text}"

    def as_json(self) -> dict[str, Any]:
        """The resolved spec and the estimate."""
        needs = self.estimate()
        return {
            "resolved": self.loaded.spec.model_dump(mode="json", serialize_as_any=True),
            "estimate": needs.as_json() if needs is not None else None,
        }


@dataclass(frozen=True)
class LabellingPreview(RunPreview):
    """A labelling run: train, then score."""

    loaded: Loaded[Experiment]

    @property
    def readers(self) -> Mapping[str, Reader | None]:
        """The reader of each split."""
        return readers_of(self.loaded.spec.data)

    def data_rows(self) -> Iterator[Row]:
        """Splits, splitter and scheme."""
        spec = self.loaded.spec
        for split in SPLITS:
            reader = getattr(spec.data, split)
            yield split, component_text(reader) if reader is not None else "none"
        yield "words", f"splitter {component_text(spec.splitter)}, scheme {spec.scheme}"

    def model_rows(self) -> Iterator[Row]:
        """Aligner and head, or the instructions for a generating model; metrics."""
        spec = self.loaded.spec
        if spec.instruct is not None:
            yield "instruct", _changed_text(spec.instruct, leave_out=("options",))
            yield "options", shown_value(spec.instruct.options)
        else:
            yield "aligner", component_text(spec.aligner)
            yield "head", component_text(spec.head)
        yield "metrics", "; ".join(component_text(metric) for metric in spec.metrics)

    def estimate(self) -> Estimate | None:
        """What the run needs."""
        return estimate_run(self.loaded.spec)

    def audit(self) -> Audit:
        """Count each split, compare the splits, and warn about what is odd."""
        return audit(self.loaded)


def check_models(runs: Iterable[RunPreview]) -> None:
    """Check that the masks and LoRA targets of all runs fit their models, as far as their shapes are known.

    Raises:
        InvalidSpecError: they do not fit; `problems` holds each problem once.
        ModelError: a model's files on this machine are damaged.
    """
    problems: list[Problem] = []
    for run in _distinct(runs, {"backbone"}):
        try:
            run.check_model()
        except InvalidSpecError as error:
            problems += error.problems
    if problems:
        raise InvalidSpecError(_once(problems))


def missing_data(runs: Iterable[RunPreview]) -> list[Problem]:
    """A problem for each data file that does not exist."""
    return _once(problem for run in _distinct(runs, _DATA) for problem in run.missing_files())


def audit_data(runs: Iterable[RunPreview]) -> tuple[list[DataReport], list[Problem]]:
    """Read the different data of the runs; what was found in each, and each warning once.

    Raises:
        DataError: a source is missing or malformed.
    """
    reports = [run.audit() for run in _distinct(runs, _DATA)]
    return reports, _once(warning for report in reports for warning in report.warnings)


_DATA = {"data", "scheme", "corpus", "validation"}
"""The keys of a spec that its data depends on."""


def _distinct(runs: Iterable[RunPreview], keys: set[str]) -> Iterable[RunPreview]:
    """One run for each combination of values of these keys."""
    first: dict[str, RunPreview] = {}
    for run in runs:
        first.setdefault(run.loaded.spec.model_dump_json(include=keys, serialize_as_any=True), run)
    return first.values()


def _once(problems: Iterable[Problem]) -> list[Problem]:
    return list({(problem.message, problem.location): problem for problem in problems}.values())


def component_text(component: Component, *, leave_out: Sequence[str] = ()) -> str:
    """The type, and the keys that differ from their defaults: `conll path a.conll, label_column 3`."""
    return " ".join(filter(None, (component.type_name, _changed_text(component, leave_out=leave_out))))


def _changed_text(model: BaseModel, *, leave_out: Sequence[str] = ()) -> str:
    """The keys that differ from their defaults."""
    parts = []
    for name, field in type(model).model_fields.items():
        value = getattr(model, name)
        default = field.get_default(call_default_factory=True, validated_data={})
        if name not in leave_out and (field.is_required() or value != default):
            parts.append(f"{name} {value if isinstance(value, Path) else shown_value(value)}")
    return ", ".join(parts)


def _backbone_rows(backbone: Component) -> Iterator[Row]:
    """The backbone, and a row each for mask, quantization and LoRA."""
    parts = {"unmask": "mask", "quantization": "quantization", "lora": "LoRA"}
    yield "backbone", component_text(backbone, leave_out=tuple(parts))
    for key, label in parts.items():
        value: Any = getattr(backbone, key, None)
        if isinstance(value, BaseModel):
            settings = {name: getattr(value, name) for name in type(value).model_fields}
            yield label, ", ".join(f"{k} {shown_value(v)}" for k, v in settings.items() if v is not None)
        elif value is not None:
            yield label, shown_value(value)


def _trainer_text(trainer: TrainerSpec) -> str:
    """Length, batches and optimizer, and the other keys that differ from their defaults."""
    length = f"{trainer.max_steps} updates" if trainer.max_steps else f"{trainer.epochs:g} epochs"
    accumulation = f" × {trainer.gradient_accumulation}" if trainer.gradient_accumulation > 1 else ""
    batch = f"batch {trainer.batch_size}{accumulation}"
    rate = f"learning rate {trainer.learning_rate:g}"
    shown = {
        "epochs",
        "max_steps",
        "batch_size",
        "gradient_accumulation",
        "optimizer",
        "learning_rate",
        "schedule",
    }
    others = _changed_text(trainer, leave_out=tuple(shown))
    return ", ".join(filter(None, (length, batch, trainer.optimizer, rate, trainer.schedule, others)))
