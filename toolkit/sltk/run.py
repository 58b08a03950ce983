"""READ THIS FIRST: the pipelines of sltk, each a straight line along one flow.

    text → Reader → Sentence → Aligner → Encoding → Batch → Backbone → word vectors → Head → tags → Metric / Writer

`train` reads, builds, trains, scores and writes a run directory. `evaluate` and `predict` start from one.
Everything they call is one step of the line above, and lives in the module of that name.
"""

from __future__ import annotations

import resource
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from . import checkpoint, config, data, rundir
from .checkpoint import Model
from .data import Dataset
from .errors import DataError, InputError, UsageError
from .labels import LabelSet
from .nn import precision
from .nn.backbone import BuildContext
from .nn.batching import Sample
from .nn.predictor import Predictor
from .nn.tagger import Tagger
from .progress import Logged, Progress, Silent
from .registry import registry
from .rundir import RunDirectory
from .slots import Metric, Reader, SchemeName
from .spec import Experiment
from .tokenization import SubwordEncoder
from .types import Prediction, Sentence


def train(
    experiment: Experiment,
    folder: Path,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train, score on validation and test, and write the run directory `folder`.

    Returns:
        What `metrics.json` holds.

    Raises:
        InputError: spec, data or model do not work; nothing has been written then.
        RunError: training failed.
    """
    progress = progress or Silent()
    run = RunDirectory(folder)
    finished = run.prepare(experiment, resume=resume, force=force)
    if finished is not None:
        progress.note(f"{folder} is finished; nothing to resume")
        return finished
    splits = data.load_splits(experiment.data, experiment.scheme)
    _tell_about(splits, progress)
    labels = data.label_set(splits["train"])
    seed_everything(experiment.seed)
    model = build(experiment, labels, splits["train"])
    samples = encode_all(splits["train"], model.encoder, labels, progress)
    run.start(experiment, force=force)
    log: Progress = Logged(progress, run.log) if rundir.is_main_process() else Silent()
    timing = _fit(experiment, model, samples, splits, run, resume, log)
    metrics: dict[str, Any] = {}
    for name in ("validation", "test"):
        if name in splits:
            progress.note(f"scoring {name}")
            metrics[name] = _score_split(model, splits[name], experiment, run, name, progress)
    metrics["train"] = timing
    if rundir.is_main_process():
        checkpoint.save(model, run.model)
        run.finish(experiment, metrics, model)
    return metrics


def _fit(
    experiment: Experiment,
    model: Model,
    samples: list[Sample],
    splits: dict[str, Dataset],
    run: RunDirectory,
    resume: bool,
    progress: Progress,
) -> dict[str, Any]:
    """Train the model in place; returns the `train` part of `metrics.json`."""
    from .training import checkpoints, make_trainer  # Trainer takes seconds to import: only here

    spec = experiment.trainer
    validation = splits.get("validation")

    def score() -> dict[str, float]:
        assert validation is not None
        gold, tags = _tagged(model, validation, spec.eval_batch_tokens, Silent())
        scores = experiment.metrics[0].compute(gold, tags, experiment.scheme)
        main = {key: float(scores[key]) for key in ("precision", "recall", "f1", "accuracy") if key in scores}
        return {"score": main.get("f1", main.get("accuracy", 0.0)), **main}

    trainer = make_trainer(
        model.tagger, samples, spec,
        folder=run.checkpoints, seed=experiment.seed, device=model.device,
        evaluate=score if validation is not None else None,
        describe=lambda number: _describe(splits["train"].sentences[number]),
        progress=progress,
    )  # fmt: skip
    newest = next(reversed(checkpoints(run.checkpoints).values()), None) if resume else None
    if resume:
        progress.note(f"going on from {newest.name}" if newest else "no checkpoint yet: starting over")
    begun = time.perf_counter()
    result = trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    seconds = time.perf_counter() - begun
    if spec.select == "best" and trainer.state.best_global_step:
        best = checkpoints(run.checkpoints)[trainer.state.best_global_step]
        trainer._load_from_checkpoint(str(best))
        progress.note(f"best epoch by validation: {best.name}, {trainer.state.best_metric:.4f}")
    return {
        "seconds": round(seconds, 3),
        "words_per_second": round(trainer.words_trained / seconds, 1),
        "epochs": round(trainer.state.epoch or 0, 4),
        "steps": trainer.state.global_step,
        "loss": result.training_loss,
        "peak_memory_bytes": peak_memory(model.device),
        "parameters": sum(p.numel() for p in model.tagger.parameters()),
        "trained_parameters": sum(p.numel() for p in model.tagger.parameters() if p.requires_grad),
    }


def build(experiment: Experiment, labels: LabelSet, training: Dataset) -> Model:
    """The untrained model that the spec describes.

    Raises:
        ModelError: the backbone cannot be had or cannot do what the spec asks.
    """
    device = precision.device()
    context = BuildContext(
        device=device,
        seed=experiment.seed,
        texts=lambda: (" " + str(sentence.with_text().text) for sentence in training),
        gradient_checkpointing=experiment.trainer.gradient_checkpointing,
    )
    backbone = experiment.backbone.build(context)
    torch.manual_seed(experiment.seed)  # the head starts the same whatever the backbone drew
    head = experiment.head.build(backbone.hidden_size, labels)
    tagger = Tagger(backbone, experiment.aligner.build(), head).to(device)  # type: ignore[arg-type]
    return checkpoint.assemble(
        tagger, labels, experiment.splitter, experiment.aligner, experiment.backbone, experiment.head,
        spacing(experiment, training), experiment.max_length, experiment.on_overflow, device,
    )  # fmt: skip


def spacing(experiment: Experiment, training: Dataset) -> Any:
    """What the model reads between words: as asked, or the source text where all of the training data has it."""
    if experiment.aligner.spacing != "auto":
        return experiment.aligner.spacing
    return "source" if all(sentence.text is not None for sentence in training) else "single"


def encode_all(dataset: Dataset, encoder: SubwordEncoder, labels: LabelSet, progress: Progress) -> list[Sample]:
    """The sentences as the model reads them, with the numbers of their tags; empty sentences are left out."""
    encodings = encoder.encode(dataset.sentences)
    samples = [
        Sample(encoding, [labels.index[tag] for tag in sentence.tags or ()], number)
        for number, (sentence, encoding) in enumerate(zip(dataset.sentences, encodings, strict=True))
        if encoding.words
    ]
    windowed = sum(len(encoding.windows) > 1 for encoding in encodings)
    if windowed:
        progress.note(f"{windowed} sentences are longer than the model reads: read in overlapping windows")
    cut = sum(encoding.cut_words for encoding in encodings)
    if cut:
        progress.note(f"{cut} words alone are longer than the model reads: their middle was left out")
    if not samples:
        raise DataError("the training data has no words")
    return samples


def score_predictions(
    metrics: Iterable[Metric], gold: list[list[str]], tags: list[list[str]], scheme: SchemeName
) -> dict[str, Any]:
    """The first metric's scores, and those of the others under their names."""
    first, *others = metrics
    scores = first.compute(gold, tags, scheme)
    return {**scores, **{metric.type_name: metric.compute(gold, tags, scheme) for metric in others}}


def _tagged(
    model: Model, dataset: Dataset, batch_tokens: int, progress: Progress
) -> tuple[list[list[str]], list[list[str]]]:
    predictions = list(_labelled(model, dataset, batch_tokens, progress))
    return [list(p.sentence.tags or ()) for p in predictions], [p.tags for p in predictions]


def _labelled(
    model: Model, sentences: Iterable[Sentence], batch_tokens: int, progress: Progress
) -> Iterator[Prediction]:
    predictor = Predictor(model.tagger, model.encoder, model.labels, model.device, batch_tokens)
    for number, prediction in enumerate(predictor.predict(sentences), start=1):
        if number % 256 == 0:
            progress.labelled(256)
        yield prediction


def _score_split(
    model: Model, dataset: Dataset, experiment: Experiment, run: RunDirectory, name: str, progress: Progress
) -> dict[str, Any]:
    predictions = list(_labelled(model, dataset, experiment.trainer.eval_batch_tokens, progress))
    run.write_predictions(name, predictions)
    gold = [list(p.sentence.tags or ()) for p in predictions]
    return score_predictions(experiment.metrics, gold, [p.tags for p in predictions], experiment.scheme)


@dataclass
class Evaluation:
    """Scores, and the predictions they were taken of."""

    scores: dict[str, Any]
    predictions: list[Prediction]


def evaluate(
    folder: Path, *, split: str = "test", reader: Reader | None = None, progress: Progress | None = None
) -> Evaluation:
    """Score a finished run on one of its splits, or on what `reader` reads.

    Raises:
        UsageError: no finished run there, or it has no such split.
    """
    progress = progress or Silent()
    experiment = RunDirectory(folder).experiment(progress)
    model = checkpoint.load(folder / "model")
    if reader is not None:
        dataset = data.load(reader, experiment.scheme, "data")
    else:
        dataset = data.load_splits(experiment.data, experiment.scheme, [split])[split]
    _tell_about({dataset.name: dataset}, progress)
    known = {tag for tag in model.labels.tags}
    strange = sorted({tag for sentence in dataset for tag in sentence.tags or ()} - known)
    if strange:
        progress.note(f"tags that the model does not know, scored as errors: {', '.join(strange)}")
    predictions = list(_labelled(model, dataset, experiment.trainer.eval_batch_tokens, progress))
    gold = [list(p.sentence.tags or ()) for p in predictions]
    scores = score_predictions(experiment.metrics, gold, [p.tags for p in predictions], experiment.scheme)
    return Evaluation(scores, predictions)


class Labeller:
    """A trained model at work: `sltk.load(RUN).predict(["Some text."])`."""

    def __init__(self, model: Model, batch_tokens: int = 4096) -> None:
        self.model = model
        self.batch_tokens = batch_tokens

    @property
    def labels(self) -> LabelSet:
        """The tags of the model."""
        return self.model.labels

    def predict(self, inputs: Iterable[str | list[str] | Sentence] | str) -> list[Prediction]:
        """Label texts (split into words here), lists of words, or sentences."""
        return list(self.stream([inputs] if isinstance(inputs, str) else inputs))

    def stream(self, inputs: Iterable[str | list[str] | Sentence], window: int = 2048) -> Iterator[Prediction]:
        """The same, one by one and in order, holding at most `window` sentences."""
        predictor = Predictor(
            self.model.tagger, self.model.encoder, self.model.labels, self.model.device, self.batch_tokens
        )
        yield from predictor.predict(map(self.sentence, inputs), window)

    def sentence(self, given: str | list[str] | Sentence) -> Sentence:
        """What was given, as a sentence."""
        if isinstance(given, Sentence):
            return given
        if not isinstance(given, str):
            return Sentence(list(given))
        offsets = self.model.splitter.split(given)
        return Sentence([given[start:end] for start, end in offsets], text=given, offsets=offsets)


def load(folder: str | Path, *, batch_tokens: int = 4096, progress: Progress | None = None) -> Labeller:
    """A trained model, from a run directory or an exported one.

    Raises:
        UsageError: there is none, or its training is not finished.
    """
    folder = Path(folder)
    if (folder / checkpoint.DESCRIPTION).is_file():
        rundir.run_imports(folder, progress or Silent())
        return Labeller(checkpoint.load(folder), batch_tokens)
    RunDirectory(folder).experiment(progress or Silent())  # its `imports:` register what the model is made of
    return Labeller(checkpoint.load(folder / "model"), batch_tokens)


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch."""
    from transformers import set_seed

    set_seed(seed)


def peak_memory(device: torch.device) -> int:
    """Most bytes held so far: of the accelerator, else of this process."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else used * 1024


def _tell_about(splits: dict[str, Dataset], progress: Progress) -> None:
    """Say what was read, and everything that was repaired, left out, or cannot be predicted."""
    for name, dataset in splits.items():
        words = sum(map(len, dataset))
        spans = sum(len(sentence.spans or ()) for sentence in dataset)
        progress.note(f"{name}: {len(dataset):,} sentences, {words:,} words, {spans:,} spans")
        if dataset.repaired:
            progress.note(f"{name}: {dataset.repaired} ill-formed tags repaired")
        if dataset.unused:
            progress.note(f"{name}: {len(dataset.unused)} annotations not used as they stand:")
            for unused in dataset.unused[:5]:
                progress.note(f"  {unused.file}:{unused.line or '?'}: {unused.reason}")
            if len(dataset.unused) > 5:
                progress.note(f"  … and {len(dataset.unused) - 5} more (`sltk stats` lists all)")
    for name in splits.keys() - {"train"}:
        unseen = data.unseen_types(splits["train"], splits[name]) if "train" in splits else []
        if unseen:
            progress.note(f"{name} has labels that train lacks, scored as errors: {', '.join(unseen)}")


def _describe(sentence: Sentence) -> str:
    where = f"{sentence.file or '(data)'}:{sentence.line or '?'}"
    return f"{where}: {' '.join(sentence.words)[:100]}"


__all__ = ["Evaluation", "Labeller", "build", "evaluate", "load", "train"]
_ = (config, registry, shutil, InputError, UsageError)
