"""A run before it starts: its summary, its data, and an estimate of its size and memory.

Each kind of run has a subclass of `RunPreview` that defines what differs: the data it reads, the rows of its summary,
its estimate and its audit. `sltk check` treats all kinds in the same way.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from ..components.slots import Reader
from ..data.splits import SPLITS, missing_files, readers_of
from ..errors import InvalidSpecError, Location, Problem
from ..runtime import jobs
from ..spec.experiment import Experiment, RunSpec
from ..spec.loading import Loaded
from ..spec.options import shown_value
from ..spec.requirements import missing_packages
from .estimate import Estimate, estimate_run
from .model_check import (
    check_model,
    half_precision_warning,
    missing_model,
    overlong,
    study_only,
    unscalable,
    unseen_words,
)
from .summary import Row, backbone_rows, changed_text, component_text, rate_rows, trainer_text

if TYPE_CHECKING:
    from .audit import Audit


class DataReport(Protocol):
    """The result of auditing the data of a run."""

    @property
    def warnings(self) -> Sequence[Problem]:
        """Problems in the data that need attention."""

    def as_json(self) -> dict[str, Any]:
        """Keys that `sltk check --data --json` adds."""


S = TypeVar("S", bound=RunSpec)


@dataclass(frozen=True)
class RunPreview(ABC, Generic[S]):
    """A run before it starts. Each kind of run has a subclass that defines the abstract methods."""

    loaded: Loaded[S]

    title: ClassVar[str] = ""
    """Follows name and seed in the first line of the summary."""

    @property
    @abstractmethod
    def readers(self) -> Mapping[str, Reader | None]:
        """The readers of the run, by the key of the spec that holds them."""

    @abstractmethod
    def data_rows(self) -> Iterable[Row]:
        """Rows of the summary above the backbone."""

    def model_rows(self) -> Iterable[Row]:
        """Rows of the summary between backbone and trainer."""
        return ()

    @abstractmethod
    def estimate(self) -> Estimate | None:
        """Estimate the model size and memory; None for custom backbones.

        Raises:
            ModelError: the model's files on this machine are damaged.
        """

    @abstractmethod
    def audit(self, similarity: float | None = None) -> DataReport:
        """Read the data and examine it.

        Args:
            similarity: from which similarity on sentences are near duplicates; 0 does not look for them, None is the
                default.

        Raises:
            DataError: a source is missing or malformed.
        """

    def fit_head(self) -> None:
        """Compute what the head learns from the training data, which it reports. By default, there is no head.

        Raises:
            DataError: the training data is missing or malformed.
            SpecError: keys of the head do not fit it.
        """

    def check_model(self) -> None:
        """Check that mask and LoRA targets fit the model, as far as its shape is known.

        Raises:
            InvalidSpecError: the mask or a LoRA target does not fit.
            ModelError: the model's files on this machine are damaged.
        """
        with self.loaded.locate_errors():
            check_model(self.loaded.spec.backbone)
            raise_if(unscalable(self.loaded.spec))
            raise_if(overlong(self.loaded.spec))

    def missing_packages(self) -> list[Problem]:
        """A problem for each optional package that the run needs and that is not installed."""
        return located_packages(self.loaded)

    def missing_files(self) -> list[Problem]:
        """A problem for each data file that does not exist."""
        return missing_files(self.loaded, self.readers)

    def missing_model(self) -> list[Problem]:
        """A problem if the directory of the model does not exist."""
        return located_model(self.loaded)

    def warnings(self) -> list[Problem]:
        """Settings that work, but rarely as intended."""
        problem = half_precision_warning(self.loaded.spec.backbone)
        return [] if problem is None else [self.loaded.located(problem)]

    def summary(self) -> Iterator[str]:
        """The name, then one line each for data, model, training and the estimate."""
        spec, needs = self.loaded.spec, self.estimate()
        yield f"{spec.name} (seed {spec.seed}){self.title}"
        rows: list[Iterable[Row]] = [
            self.data_rows(),
            backbone_rows(spec.backbone),
            self.model_rows(),
            [
                ("trainer", trainer_text(spec.trainer)),
                *rate_rows(spec.trainer, needs.blocks if needs else None),
            ],
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


class LabellingPreview(RunPreview[Experiment]):
    """A labelling run: train, then score."""

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

    def warnings(self) -> list[Problem]:
        """Settings that work, but rarely as intended."""
        problem = unseen_words(self.loaded.spec)
        return [*super().warnings(), *([] if problem is None else [self.loaded.located(problem)])]

    def model_rows(self) -> Iterator[Row]:
        """Aligner and head, or the instructions for a generating model; metrics."""
        spec = self.loaded.spec
        if spec.instruct is not None:
            yield "instruct", changed_text(spec.instruct, leave_out=("options",))
            yield "options", shown_value(spec.instruct.options)
        else:
            yield "aligner", component_text(spec.aligner)
            yield "head", component_text(spec.head)
        yield "metrics", "; ".join(component_text(metric) for metric in spec.metrics)

    def estimate(self) -> Estimate | None:
        """Estimate the model size and memory."""
        return estimate_run(self.loaded.spec)

    def audit(self, similarity: float | None = None) -> Audit:
        """Count each split, compare the splits, and warn about anomalies."""
        from .audit import SIMILARITY, audit  # here: it imports numpy

        with self.loaded.locate_errors():
            return audit(self.loaded, SIMILARITY if similarity is None else similarity)

    def fit_head(self) -> None:
        """Compute what the head learns from the training data, which it reports; see `RunPreview.fit_head`."""
        from .audit import fit_head

        with self.loaded.locate_errors():
            fit_head(self.loaded)


def check_models(runs: Iterable[RunPreview[Any]], missing: Iterable[Problem] = ()) -> None:
    """Check that masks and LoRA targets fit the models, as far as their shapes are known, and that packages are there.

    `missing` are problems of the same kind that do not belong to a run: packages of the executor of a sweep.

    Raises:
        InvalidSpecError: a mask or a LoRA target does not fit, or an optional package is not installed; `problems`
            lists each error once.
        ModelError: a model's files on this machine are damaged.
    """
    runs = list(runs)
    problems = [*missing, *(problem for run in runs for problem in run.missing_packages())]
    for run in _distinct(runs, {"backbone", "trainer"}):
        try:
            run.check_model()
        except InvalidSpecError as error:
            problems += error.problems
    if problems:
        raise InvalidSpecError(_once(problems))


def check_before_reading(loaded: Loaded[Any], readers: Mapping[str, Reader | None]) -> None:
    """Check all that can be known of a run before its data is read and its model is loaded.

    Raises:
        InvalidSpecError: a package, a file or a directory is missing, or the mask or a LoRA target does not fit.
        ModelError: the model's files on this machine are damaged.
    """
    problems = [*located_packages(loaded), *missing_files(loaded, readers), *located_model(loaded)]
    try:
        with loaded.locate_errors():
            check_model(loaded.spec.backbone)
            raise_if(unscalable(loaded.spec))
            raise_if(overlong(loaded.spec))
            raise_if(None if jobs.is_executing() else study_only(loaded.spec.backbone))
    except InvalidSpecError as error:
        problems += error.problems
    if problems:
        raise InvalidSpecError(problems)


def raise_if(problem: Problem | None) -> None:
    """Raise a problem of a spec.

    Raises:
        InvalidSpecError: there is one.
    """
    if problem is not None:
        raise InvalidSpecError([problem])


def located_packages(loaded: Loaded[Any]) -> list[Problem]:
    """One problem for each optional package that is not installed, at the key that needs it."""
    return [loaded.located(problem) for problem in missing_packages(loaded.spec)]


def located_model(loaded: Loaded[Any]) -> list[Problem]:
    """A problem if the directory of the model does not exist, at its key."""
    problem = missing_model(loaded.spec.backbone)
    return [] if problem is None else [loaded.located(problem)]


def missing_data(runs: Iterable[RunPreview[Any]]) -> list[Problem]:
    """A problem for each data file that does not exist."""
    return _once(problem for run in _distinct(runs, _DATA) for problem in run.missing_files())


def warnings_of(runs: Iterable[RunPreview[Any]]) -> list[Problem]:
    """Warnings about the settings of the runs, each once."""
    return _once(problem for run in runs for problem in run.warnings())


def missing_models(runs: Iterable[RunPreview[Any]]) -> list[Problem]:
    """A problem for each model directory that does not exist."""
    return _once(problem for run in _distinct(runs, {"backbone"}) for problem in run.missing_model())


def audit_data(
    runs: Iterable[RunPreview[Any]], similarity: float | None = None
) -> tuple[list[DataReport], list[Problem]]:
    """Read all data of the runs: a report on each data, and each warning once. Each head is fitted to its data.

    Raises:
        DataError: a source is missing or malformed.
        SpecError: keys of a head do not fit the data.
    """
    runs = list(runs)
    distinct = list(_distinct(runs, _DATA))
    reports = [run.audit(similarity) for run in distinct]
    audited = set(map(id, distinct))
    for run in _distinct(runs, _DATA | {"head"}):
        if id(run) not in audited:
            run.fit_head()
    return reports, _with_folds(map(_fold, distinct), reports)


def _fold(run: RunPreview[Any]) -> int | None:
    """The fold that a run tests, if it is one of a cross-validation."""
    folds = getattr(getattr(run.loaded.spec, "data", None), "folds", None)
    return None if folds is None else folds.fold


def _with_folds(folds: Iterable[int | None], reports: Sequence[DataReport]) -> list[Problem]:
    """Each warning once, with the folds that it is about unless it is about all."""
    warnings: dict[tuple[str, Location | None], Problem] = {}
    affected: dict[tuple[str, Location | None], set[int | None]] = {}
    everywhere = set()
    for fold, report in zip(folds, reports, strict=True):
        everywhere.add(fold)
        for warning in report.warnings:
            key = warning.message, warning.location
            warnings.setdefault(key, warning)
            affected.setdefault(key, set()).add(fold)
    return [
        warning
        if affected[key] == everywhere
        else replace(warning, notes=(_folds_note(affected[key]), *warning.notes))
        for key, warning in warnings.items()
    ]


def _folds_note(folds: Iterable[int | None]) -> str:
    numbers = sorted(fold for fold in folds if fold is not None)
    return f"in fold{'s' if len(numbers) > 1 else ''} {', '.join(map(str, numbers))}"


_DATA = {"data", "scheme", "corpus", "validation"}
"""The keys of a spec that its data depends on."""


def _distinct(runs: Iterable[RunPreview[Any]], keys: set[str]) -> Iterable[RunPreview[Any]]:
    """One run for each combination of values of these keys."""
    first: dict[str, RunPreview[Any]] = {}
    for run in runs:
        first.setdefault(run.loaded.spec.model_dump_json(include=keys, serialize_as_any=True), run)
    return first.values()


def _once(problems: Iterable[Problem]) -> list[Problem]:
    return list({(problem.message, problem.location): problem for problem in problems}.values())
