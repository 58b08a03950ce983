"""`sltk thresholds`: choose, show and remove the thresholds that are stored with a model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

from .components.slots import Reader
from .decoding.decisions import Mode, SpanScore
from .decoding.stored_thresholds import NAME, Thresholds, read_thresholds, write_thresholds
from .errors import UsageError
from .files import manifest
from .models.decision_options import DecisionOptions, decisions_for
from .models.description import is_model, read_description
from .models.evaluation import label_dataset
from .models.threshold_choice import Goal, choose
from .run import scoring_task
from .rundir.directory import RunDirectory
from .runtime.progress import Progress


def choose_thresholds(
    folder: str | Path,
    *,
    precision: float | None = None,
    recall: float | None = None,
    reader: Reader | None = None,
    decode: Mode | None = None,
    span_score: SpanScore | None = None,
    progress: Progress | None = None,
    trust_code: bool = False,
) -> Thresholds:
    """Choose the lowest score of each type with which a span is kept, and store them with the model.

    Args:
        folder: a run directory or an exported model.
        precision: choose the thresholds with the best recall among those with at least this precision.
        recall: choose the thresholds with the best precision among those with at least this recall.
        reader: reads the data to choose on; by default, the validation data of the run.
        decode: choose for this way of decoding, and use it from now on; None for what the model's head says.
        span_score: the same for the score of a span.
        progress: callbacks for notes.
        trust_code: run the code in the folder's `imports/` even if this machine did not train the run.

    Raises:
        UsageError: there is no model, not exactly one target, or the model gives no scores of spans; or it is an
            exported model without a `reader`.
        DataError: the run has no validation data, or the data cannot be read or has no span.
    """
    target = _target(precision, recall)
    options = DecisionOptions(decode=decode, span_score=span_score, thresholds="none")
    progress, folder = progress or Progress(), Path(folder)
    with _writing(folder):
        at = _model_at(folder)
        manifest.update(at, at / NAME)  # in case the last time was interrupted between the two files
        task = scoring_task(folder, "validation", reader, progress, trust_code)
        decisions = decisions_for(task.model, task.model_at, options, progress)
        _check_scores(task.model.type_name, task.scheme)
        stream = label_dataset(task.model, task.dataset, task.batch_tokens, progress, decisions)
        chosen_on = "validation" if reader is None else "other data"
        thresholds = choose(stream, task.model.labels, decisions, target, chosen_on)
        write_thresholds(at, thresholds)
    return thresholds


def clear_thresholds(folder: str | Path) -> bool:
    """Remove the thresholds stored with a model; return whether there were any.

    Raises:
        UsageError: there is no model, or its manifest is damaged.
    """
    folder = Path(folder)
    with _writing(folder):
        at = _model_at(folder)
        is_stored = (at / NAME).exists()
        write_thresholds(at, None)
    return is_stored


def stored_thresholds(folder: str | Path) -> Thresholds | None:
    """The thresholds stored with the model of a run or an export; None if there are none.

    Raises:
        UsageError: there is no model, or the file is damaged.
    """
    return read_thresholds(_model_at(Path(folder)))


def _model_at(folder: Path) -> Path:
    at = folder if is_model(folder) else RunDirectory(folder).model
    read_description(at)  # raises if there is no model
    return at


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Keep other processes from writing the run at the same time."""
    # An export has no lock; what is no run is an error later.
    if is_model(folder) or not RunDirectory(folder).metrics.exists():
        yield
        return
    with RunDirectory(folder).locked():
        yield


def _target(precision: float | None, recall: float | None) -> tuple[Goal, float]:
    given = {
        name: value for name, value in (("precision", precision), ("recall", recall)) if value is not None
    }
    if len(given) != 1:
        raise UsageError("give one target: a precision or a recall")
    ((name, value),) = given.items()
    if isinstance(value, bool) or not 0 < value <= 1:
        raise UsageError(f"the target {name} must be a number above 0 and at most 1, not `{value}`")
    return cast(Goal, name), float(value)


def _check_scores(model_type: str, scheme: str) -> None:
    if model_type == "instruct":
        raise UsageError(
            "a model of `type: instruct` gives no scores: there is nothing to choose a threshold by"
        )
    if scheme == "plain":
        raise UsageError("plain tags mark no spans: there is nothing to choose a threshold for")
