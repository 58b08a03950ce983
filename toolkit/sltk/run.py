"""READ THIS FIRST: the pipelines of sltk, each a straight line along one flow.

    text → Reader → Sentence → Aligner → Encoding → Batch → Backbone → word vectors → Head → tags → Metric / Writer

`train` and `pretrain` prepare, train, score and save a run; the steps of each kind of run are in
`training/labelling_run.py` and `pretraining/pretraining_run.py`. `evaluate` and `load` start from a finished run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .components.slots import Metric, Reader
from .data.data_report import report_summary, summarize
from .data.dataset_stream import DatasetStream, open_split
from .data.datasets import SentenceSource
from .data.empty_data import check_not_empty
from .decoding.decisions import Measure, Mode, SpanScore
from .errors import UsageError
from .families import hub_models
from .files import manifest
from .files.disk_space import disk_errors
from .models import kinds, memory_advice
from .models.comparison import DecodingComparison
from .models.decision_options import DecisionOptions, UseOfThresholds, decisions_for
from .models.description import is_model, read_description
from .models.evaluation import label_dataset, streamed_scores
from .models.labeller import Labeller
from .pretraining.pretrain_spec import PretrainSpec
from .preview.model_check import half_precision_warning
from .preview.run_preview import check_before_reading
from .rundir.directory import RunDirectory, run_model_code
from .runtime import departures, launch_settings, processes
from .runtime.progress import Progress, reporting_to
from .schemes.names import SchemeName
from .spec import loading
from .spec.experiment import Experiment, RunSpec, default_metrics
from .spec.imports import ImportPolicy
from .spec.learning_rates import LearningRates
from .spec.loading import Loaded
from .spec.trainer_settings import TrainerSpec
from .spec.writing import digest
from .trackers.tracked_progress import tracked
from .types import PrecisionSetting, Prediction

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
    trust_code: bool = False,
) -> dict[str, Any]:
    """Train a model, score it on validation and test, and write a run directory.

    Args:
        spec: a YAML file, a mapping with the same content, or a checked spec.
        output: the run directory; default `runs/NAME`.
        resume: continue the run in `output`. It ends as if it had never been interrupted.
        force: replace the run in `output`, once the new run has its data and its model.
        progress: callbacks for notes, updates and scores.
        callbacks: additional callbacks of transformers' Trainer; an exception in one ends the run.
        trust_code: if `spec` is the spec of a run directory, run its `imports:` even if this machine did not train it.

    Returns:
        The content of `metrics.json`.

    Raises:
        InputError: the spec, the data or the model is invalid. Nothing has been written.
        RunError: training failed. An earlier run in `output` is still there, and `resume` continues this one.
    """
    loaded = loading.load(spec, policy=_policy(progress, trust_code))
    return _run(loaded, output, resume, force, progress, callbacks)


def pretrain(
    spec: str | Path | Mapping[str, Any] | PretrainSpec | Loaded[PretrainSpec],
    output: str | Path | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
    trust_code: bool = False,
) -> dict[str, Any]:
    """Train a language model on text, and write a run directory whose model a labelling run can start from.

    See `train` for arguments, return value and errors.
    """
    loaded = loading.load_as(PretrainSpec, spec, policy=_policy(progress, trust_code))
    return _run(loaded, output, resume, force, progress)


def _policy(progress: Progress | None, trust_code: bool) -> ImportPolicy:
    """Announce code as a note before it runs."""
    return ImportPolicy(trust_code, (progress or Progress()).note)


def _run(
    loaded: Loaded[Any],
    output: str | Path | None,
    resume: bool,
    force: bool,
    progress: Progress | None,
    callbacks: Sequence[TrainerCallback] = (),
) -> dict[str, Any]:
    """Execute a run of any kind, while no other process writes to its directory."""
    spec: RunSpec = loaded.spec
    launch_settings.check(spec.trainer.launch_settings())
    progress = progress if progress and processes.is_main_process() else Progress()
    run = RunDirectory(Path(output) if output else Path("runs") / spec.name)
    advice = "free some space, then run the same command with `--resume`"
    with (
        launch_settings.own_precision(),
        departures.all_or_none(),
        disk_errors(run.folder, advice),
        run.locked(),
        reporting_to(progress),
    ):
        return _run_in(run, loaded, resume, force, progress, callbacks)


def _run_in(
    run: RunDirectory,
    loaded: Loaded[Any],
    resume: bool,
    force: bool,
    progress: Progress,
    callbacks: Sequence[TrainerCallback],
) -> dict[str, Any]:
    """Prepare → train → score → save."""
    # transformers' Trainer takes seconds to import.
    from .training import parameter_groups
    from .training.attention_record import AttentionRecord
    from .training.collective import SharedControl, check_device, check_same_run
    from .training.fit import fit

    spec: RunSpec = loaded.spec
    check_device()
    finished = processes.broadcast(run.prepare(spec, resume=resume, force=force))
    run.check_shared()
    if finished is not None:
        run.discard_corpus()
        progress.note(f"{run.folder} is finished; nothing to resume")
        return finished
    kind = _kind_of(spec)(loaded, run)
    try:
        with loaded.locate_errors():
            check_before_reading(loaded, kind.readers)
            if force:
                run.check_inputs(kind.readers, spec.backbone)
            kind.prepare(progress, resume=resume)
            backbone = kind.model.network.backbone
            parameter_groups.check(backbone, LearningRates(spec.trainer, len(backbone.flags)))
            check_same_run(digest(spec), kind.model, kind.fingerprints)
            log = run.start(spec, kind.model, kind.fingerprints, progress, resume=resume, force=force)
    finally:
        run.discard_incoming()
    processes.barrier()
    if (warning := half_precision_warning(spec.backbone)) is not None:
        log.note(f"warning: {warning.message}; {'; '.join(warning.notes)}")
    task, attention = kind.task(), AttentionRecord(run, kind.model, log)
    shared = [SharedControl()] if callbacks and processes.world_size() > 1 else []
    task = replace(
        task,
        callbacks=(*task.callbacks, attention, *callbacks, *shared),
        spec_digest=digest(spec),
        backbone=spec.backbone,
        record=run.record_training,
    )
    with tracked(spec, run.folder, log, resume=resume) as tracking:
        with memory_advice.training(spec.trainer):
            fitted = fit(task, spec.trainer, run.checkpoints, tracking, resume=resume)
        with memory_advice.labelling(spec.trainer.eval_batch_tokens):
            metrics = processes.broadcast({**kind.score(fitted, tracking), "train": kind.cost(fitted)})
        attention.write()
        tracking.scored(metrics)
    kind.collect()
    if processes.is_main_process():
        kind.save(metrics)
        run.finish(metrics)
    processes.barrier()
    return metrics


def _kind_of(spec: RunSpec) -> Any:
    """The class of the kind of run that a spec describes."""
    if isinstance(spec, PretrainSpec):
        from .pretraining.pretraining_run import PretrainingRun

        return PretrainingRun
    from .training.labelling_run import LabellingRun

    return LabellingRun


@dataclass
class Evaluation:
    """Scores, and the predictions they were computed from, unless they were not to be kept."""

    scores: dict[str, Any]
    predictions: list[Prediction]


def evaluate(
    folder: str | Path,
    *,
    split: str = "test",
    reader: Reader | None = None,
    progress: Progress | None = None,
    trust_code: bool = False,
    keep_predictions: bool = True,
    decode: Mode | None = None,
    thresholds: UseOfThresholds = "stored",
    precision: PrecisionSetting | None = None,
) -> Evaluation:
    """Score a finished run on one of its splits, or a run or an exported model on other data.

    Args:
        folder: a run directory or an exported model, or the name of one on the hub, as for `load`.
        split: the split of the run's data to score, unless there is a `reader`.
        reader: reads the other data; exported models need one, since they contain no data.
        progress: callbacks for notes.
        trust_code: run the code in the folder's `imports/` even if this machine did not train the run.
        keep_predictions: return the predictions too; without them, data and predictions need not be in memory.
        decode: `constrained` also gives the scores without constraint, as `as_trained`, and the number of changes, as
            `changed`; both without thresholds. `head` does not constrain. None for what the model's head says.
        thresholds: `none` keeps all spans, whatever thresholds are stored with the model.
        precision: number format of matrix products, as for `load`.

    Raises:
        UsageError: `folder` has no finished run, or code that may not run, or an exported model is given no `reader`;
            or the model cannot decide as asked.
        DataError: the run has no such split, or the data cannot be read or has no span (`Reader.allow_empty`).
    """
    progress, options = progress or Progress(), DecisionOptions.for_evaluation(decode, thresholds)
    folder = hub_models.locate(folder, trust_code=trust_code)
    task = scoring_task(folder, split, reader, progress, trust_code, precision)
    decisions = decisions_for(task.model, task.model_at, options, progress)
    stream = label_dataset(task.model, task.dataset, task.batch_tokens, progress, decisions)
    comparison = DecodingComparison(task.model, task.metrics, task.scheme) if options.compare else None
    if comparison is not None:
        stream = comparison.watch(stream)
    predictions = list(stream) if keep_predictions else []
    scores = streamed_scores(task.model, task.metrics, task.scheme, predictions or stream)
    if comparison is not None:
        scores |= comparison.result()
    if decisions.thresholds:
        scores["decisions"] = decisions.summary()
    return Evaluation(scores, predictions)


@dataclass
class ScoringTask:
    """A model, and data to score it on."""

    model: kinds.LabellingModel
    model_at: Path
    dataset: SentenceSource
    scheme: SchemeName
    metrics: Sequence[Metric]
    batch_tokens: int


def scoring_task(
    folder: Path,
    split: str,
    reader: Reader | None,
    progress: Progress,
    trust_code: bool,
    precision: PrecisionSetting | None = None,
) -> ScoringTask:
    """Open the data, and load the model of a run or an export; see `evaluate`."""
    policy = _policy(progress, trust_code)
    if is_model(folder):
        if reader is None:
            raise UsageError(
                f"`{folder}` is an exported model, which contains no data: give --data and --reader"
            )
        model_at = model_folder(folder, policy)
        scheme = read_description(model_at)["scheme"]
        metrics, batch_tokens = default_metrics(scheme), TrainerSpec().eval_batch_tokens
        dataset: SentenceSource = DatasetStream(reader, scheme)
        source = reader
    else:
        run = RunDirectory(folder)
        experiment = run.experiment(policy)
        model_at, scheme, metrics = run.model, experiment.scheme, experiment.metrics
        batch_tokens = experiment.trainer.eval_batch_tokens
        with memory_advice.reading_data():
            dataset = DatasetStream(reader, scheme) if reader else open_split(experiment.data, scheme, split)
        source = reader or getattr(experiment.data, split)
    with memory_advice.reading_data():
        check_not_empty(dataset, source)
        summary = summarize(dataset)  # before the model is loaded, in case the data is malformed
    model = kinds.load(model_at, progress=progress, precision=precision)
    report_summary(summary, dataset.name, progress)
    unknown = summary.tags - set(model.labels.tags)
    if unknown:
        progress.note(f"tags that the model does not know, scored as errors: {', '.join(sorted(unknown))}")
    return ScoringTask(model, model_at, dataset, scheme, metrics, batch_tokens)


def load(
    folder: str | Path,
    *,
    batch_tokens: int = 4096,
    progress: Progress | None = None,
    trust_code: bool = False,
    decode: Mode | None = None,
    span_score: SpanScore | None = None,
    thresholds: UseOfThresholds = "stored",
    uncertainty: Measure | None = None,
    precision: PrecisionSetting | None = None,
) -> Labeller:
    """Load a trained model from a run directory, an exported model, or a model on the hub.

    Args:
        folder: a run directory or an exported model; if there is none, the name of a model that `sltk push` uploaded,
            `user/model` or `user/model@revision`.
        batch_tokens: maximum number of subwords per forward pass.
        progress: callbacks for notes.
        trust_code: run the code in its `imports/` even if this machine did not train the run.
        decode: `head`, or `constrained` for tags that the scheme allows; None for what the model's head says.
        span_score: `product`, `minimum` or `marginal`; None for what the model's head says.
        thresholds: `none` keeps all spans, whatever thresholds are stored with the model.
        uncertainty: `margin` or `entropy` measures the uncertainty about each sentence.
        precision: number format of matrix products: `auto` (bf16 on GPUs that have it, fp32 elsewhere), `bf16`, `fp16`
            or `fp32`; None for that of training if the model was trained on such a device, and otherwise `auto`.

    Raises:
        UsageError: `folder` has no model, its training is not finished, or it has code that may not run; or the model
            cannot decide as asked.
        ModelError: its base model is not available, or differs from the one it was trained on; the device cannot
            compute in the `precision`; or there is neither such a folder nor such a model on the hub.
    """
    options = DecisionOptions(
        decode=decode, span_score=span_score, thresholds=thresholds, uncertainty=uncertainty
    )
    return load_with_options(
        folder,
        options,
        batch_tokens=batch_tokens,
        progress=progress,
        trust_code=trust_code,
        precision=precision,
    )


def load_with_options(
    folder: str | Path,
    options: DecisionOptions,
    *,
    batch_tokens: int,
    progress: Progress | None = None,
    trust_code: bool = False,
    precision: PrecisionSetting | None = None,
) -> Labeller:
    """`load`, with all that can be asked for as one value."""
    progress = progress or Progress()
    found = hub_models.locate(folder, trust_code=trust_code)
    model = model_folder(found, _policy(progress, trust_code))
    loaded = kinds.load(model, progress=progress, precision=precision)
    return Labeller(loaded, batch_tokens, progress, decisions_for(loaded, model, options, progress))


def model_folder(folder: Path, policy: ImportPolicy) -> Path:
    """Find the folder of the model in a run or an export, and run the `imports:` it needs if `policy` lets them.

    Raises:
        UsageError: `folder` has no model, its training is not finished, or it has code that may not run.
    """
    if is_model(folder):
        manifest.verify(folder, below="imports/")
        run_model_code(folder, policy)
        return folder
    run = RunDirectory(folder)
    run.experiment(policy)
    return run.model


__all__ = ["Evaluation", "Labeller", "evaluate", "load", "pretrain", "train"]
