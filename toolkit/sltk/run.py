"""READ THIS FIRST: the pipelines of sltk, each a straight line along one flow.

    text → Reader → Sentence → Aligner → Encoding → Batch → Backbone → word vectors → Head → tags → Metric / Writer

`train` reads, builds, trains, scores and writes a run directory. `evaluate` and `load` start from one.
Everything they call is one step of the line above, and lives in the module of that name.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .components.slots import Metric, Reader
from .data import datasets
from .data.coverage import check_predictions
from .data.datasets import Dataset
from .data.fingerprint import fingerprints
from .data.notes import describe_sentence, report_data
from .data.splits import load_splits, missing_files, readers_of
from .errors import SpecError, UsageError
from .models import kinds, saving, tagging
from .models.kinds import Model
from .models.labeller import Labeller
from .rundir import directory
from .rundir.directory import RunDirectory
from .runtime import processes
from .runtime.progress import Progress
from .schemes.names import SchemeName
from .spec import loading
from .spec.experiment import Experiment, TrainerSpec, default_metrics
from .spec.loading import InvalidSpecError, Loaded
from .types import Prediction

if TYPE_CHECKING:
    from transformers import TrainerCallback

Spec = str | Path | Mapping[str, Any] | Experiment | Loaded[Experiment]


def train(
    spec: Spec,
    output: str | Path | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, Any]:
    """Train, score on validation and test, and write a run directory.

    Args:
        spec: a YAML file, or the same as a mapping, or a spec that is loaded already.
        output: the run directory; unset: `runs/NAME`.
        resume: go on with the run that is there. It ends as if it had never been interrupted.
        force: replace the run that is there, once the new one has its data and its model.
        progress: hears how it goes.
        callbacks: hear what transformers' Trainer does, and may end it with an exception.

    Returns:
        What `metrics.json` holds.

    Raises:
        InputError: spec, data or model do not work; nothing has been written then.
        RunError: training failed; what was there before is there still, and `resume` goes on from it.
    """
    loaded = loading.load(spec)
    experiment = loaded.spec
    told = progress if progress and processes.is_main_process() else Progress()
    run = RunDirectory(Path(output) if output else Path("runs") / experiment.name)
    finished = run.prepare(experiment, resume=resume, force=force)
    processes.barrier()
    if finished is not None:
        told.note(f"{run.folder} is finished; nothing to resume")
        return finished
    kind = kinds.TYPES[experiment.type]
    missing = missing_files(loaded, readers_of(experiment.data))
    if missing:
        raise InvalidSpecError(missing)
    with loaded.placing():
        splits = tagging.load_splits(experiment)
        report_data(splits, told)
        model = kind.build(experiment, splits["train"])
        for name in splits.keys() - {"train"}:
            kind.check(splits[name], model)
    samples = kind.encode(splits["train"], model, told)
    heard = fingerprints(splits, model.labels.tags)
    log = run.start(experiment, model, heard, told, resume=resume, force=force)
    metrics = _trained_and_scored(experiment, model, samples, splits, run, log, resume, callbacks)
    if processes.is_main_process():
        kind.save(model, run.model, run.imports)
        run.finish(metrics)
    processes.barrier()
    return metrics


def _trained_and_scored(
    experiment: Experiment,
    model: Model,
    samples: list[Any],
    splits: dict[str, Dataset],
    run: RunDirectory,
    progress: Progress,
    resume: bool,
    callbacks: Sequence[TrainerCallback],
) -> dict[str, Any]:
    """Train the model in place and score it; what `metrics.json` holds."""
    from .training.fit import Task, fit
    from .training.trainer import Examples  # Trainer takes seconds to import: only here

    def scored(predictions: Iterable[Prediction]) -> dict[str, Any]:
        return _score(experiment.metrics, experiment.scheme, predictions)

    latest: list[Prediction] = []

    def score() -> dict[str, float]:
        latest[:] = _labelled(model, splits["validation"], batch_tokens, Progress())
        return _to_choose_by(experiment, experiment.metrics[0].score(latest, experiment.scheme))

    kind = kinds.type_of(model)
    batch_tokens = experiment.trainer.eval_batch_tokens
    training = splits["train"].sentences
    task = Task(
        model.network, Examples(samples, kind.collate, kind.without_loss), model.device, experiment.seed,
        evaluate=score if "validation" in splits else None,
        describe=lambda number: describe_sentence(training[number]), callbacks=tuple(callbacks),
    )  # fmt: skip
    fitted = fit(task, experiment.trainer, run.checkpoints, progress, resume=resume)
    metrics: dict[str, Any] = {}
    for name in [split for split in ("validation", "test") if split in splits]:
        progress.note(f"scoring {name}")
        if name == "validation" and fitted.is_evaluated and latest:
            predictions = list(check_predictions(splits[name], latest, progress))
        else:
            predictions = list(_labelled(model, splits[name], batch_tokens, progress))
        run.write_predictions(name, predictions)
        metrics[name] = scored(predictions) | kind.account(model, predictions, scored)
    return {**metrics, "train": fitted.cost}


@dataclass
class Evaluation:
    """Scores, and the predictions they were taken of."""

    scores: dict[str, Any]
    predictions: list[Prediction]


def evaluate(
    folder: str | Path, *, split: str = "test", reader: Reader | None = None, progress: Progress | None = None
) -> Evaluation:
    """Score a finished run on one of its splits, or a run or an exported model on what `reader` reads.

    Raises:
        UsageError: no finished run there; or an exported model, which has no splits, and no `reader`.
        DataError: it has no such split, or the data cannot be read.
    """
    progress = progress or Progress()
    folder = Path(folder)
    if saving.is_model(folder):
        if reader is None:
            raise UsageError(
                f"`{folder}` is an exported model, without data of its own: give --data and --reader"
            )
        model_at = model_folder(folder, progress)
        scheme = saving.describe(model_at)["scheme"]
        metrics, batch_tokens = default_metrics(scheme), TrainerSpec().eval_batch_tokens
        dataset = datasets.load(reader, scheme)
    else:
        run = RunDirectory(folder)
        experiment = run.experiment(progress)
        model_at, scheme, metrics = run.model, experiment.scheme, experiment.metrics
        batch_tokens = experiment.trainer.eval_batch_tokens
        if reader is not None:
            dataset = datasets.load(reader, scheme)
        else:
            dataset = load_splits(experiment.data, scheme, [split])[split]
    model = kinds.load(model_at)
    report_data({dataset.name: dataset}, progress)
    strange = {tag for sentence in dataset for tag in sentence.tags or ()} - set(model.labels.tags)
    if strange:
        progress.note(f"tags that the model does not know, scored as errors: {', '.join(sorted(strange))}")
    predictions = list(_labelled(model, dataset, batch_tokens, progress))

    def scored(predictions: Iterable[Prediction]) -> dict[str, Any]:
        return _score(metrics, scheme, predictions)

    account = kinds.type_of(model).account(model, predictions, scored)
    return Evaluation(scored(predictions) | account, predictions)


def load(folder: str | Path, *, batch_tokens: int = 4096, progress: Progress | None = None) -> Labeller:
    """A trained model, from a run directory or an exported one.

    Raises:
        UsageError: there is none, or its training is not finished.
        ModelError: its base model cannot be had, or is not the one it was trained on.
    """
    model = model_folder(Path(folder), progress or Progress())
    return Labeller(kinds.load(model), batch_tokens, progress)


def model_folder(folder: Path, progress: Progress) -> Path:
    """Where the model of a run, or of an export, lies; its `imports:` are run, and it is said which.

    Raises:
        UsageError: there is none, or its training is not finished.
    """
    if saving.is_model(folder):
        directory.run_imports(folder, progress)
        return folder
    run = RunDirectory(folder)
    run.experiment(progress)
    return run.model


def _labelled(model: Model, dataset: Dataset, batch_tokens: int, progress: Progress) -> Iterator[Prediction]:
    """A prediction for each sentence, with a tag for each word: that none is missed is asserted, and told."""
    predictions = Labeller(model, batch_tokens, progress).stream(dataset)
    for number, prediction in enumerate(check_predictions(dataset, predictions, progress), start=1):
        if number % 256 == 0:
            progress.labelled(256)
        yield prediction


def _score(
    metrics: Sequence[Metric], scheme: SchemeName, predictions: Iterable[Prediction]
) -> dict[str, Any]:
    """The first metric's scores, and those of the others under their names: `accuracy_2` where one is taken."""
    labelled = list(predictions)
    first, *others = metrics
    scores = first.score(labelled, scheme)
    for metric in others:
        name, number = metric.type_name, 1
        while name in scores:
            number += 1
            name = f"{metric.type_name}_{number}"
        scores[name] = metric.score(labelled, scheme)
    return scores


def _to_choose_by(experiment: Experiment, scores: dict[str, Any]) -> dict[str, float]:
    """The numbers that training shows after an epoch, and as `score` the one that it chooses by.

    Raises:
        SpecError: training is to choose by them, and there is none that it could choose by.
    """
    shown = ("precision", "recall", "f1", "accuracy")
    main = {key: float(scores[key]) for key in shown if isinstance(scores.get(key), int | float)}
    chosen = main.get("f1", main.get("accuracy"))
    spec = experiment.trainer
    if chosen is None and (spec.select == "best" or spec.early_stopping is not None):
        raise SpecError(
            f"metric `{experiment.metrics[0].type_name}` gives neither `f1` nor `accuracy`: "
            "nothing to choose the best epoch by"
        )
    return {**main, "score": 0.0 if chosen is None else chosen}


__all__ = ["Evaluation", "Labeller", "evaluate", "load", "train"]
