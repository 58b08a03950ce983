"""A run of `sltk train`: train a tagger or an instruction-tuned model on annotated sentences."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from ..components.metrics.seqeval import SeqevalMetric
from ..components.slots import Reader
from ..data.coverage import check_predictions
from ..data.data_report import describe_sentence, report_data
from ..data.fingerprint import fingerprints
from ..data.slices import documents_of, positions_of, slice_codes
from ..data.splits import readers_of
from ..models import kinds, memory_advice, saving
from ..models.backbone_files import base_of
from ..models.evaluation import label_dataset, selection_scores, split_scores
from ..models.tagging import load_splits
from ..nn import sharding
from ..runtime import processes
from ..runtime.cost import Speed
from ..runtime.progress import Progress
from ..spec.experiment import Experiment
from ..spec.writing import digest
from ..types import Prediction
from .corpus_draws import CorpusDraws
from .epoch_batches import Examples
from .fit import Fitted
from .frozen_training import FrozenTraining
from .run_kind import RunKind
from .task import Task


class LabellingRun(RunKind[Experiment]):
    """Annotated data → labelled test data: the kind of run that `sltk train` executes."""

    model: saving.Model

    @property
    def readers(self) -> Mapping[str, Reader | None]:
        """The reader of each split."""
        return readers_of(self.spec.data)

    def prepare(self, progress: Progress, *, resume: bool) -> None:
        """Read the splits, build the model and encode the training sentences."""
        experiment, self._progress = self.spec, progress
        self._type = kinds.of_spec(experiment)
        with memory_advice.reading_data():
            self._splits = load_splits(experiment)
            report_data(self._splits, progress)
        training = self._splits["train"]
        with memory_advice.loading_model():
            self.model = self._type.build(experiment, training)
        with memory_advice.encoding_data():
            for name in self._splits.keys() - {"train"}:
                self._type.check(self._splits[name], self.model)
            self._samples = self._type.encode(training, self.model, progress)
        self.fingerprints = fingerprints(self._splits, self.model.labels.tags)
        self._latest: list[Prediction] = []
        """Predictions of the latest evaluation during training."""
        self._speed = Speed()

    def task(self) -> Task:
        """Train on the encoded sentences; evaluate on validation."""
        training = self._splits["train"].sentences
        frozen = FrozenTraining.of(self.model, self._samples, self.spec, self.run.folder, self._progress)
        self._frozen = frozen
        collate = self._type.collate if frozen is None else frozen.vectors.collate
        corpora = [training[sample.number].corpus for sample in self._samples]
        draws = CorpusDraws.of(self.spec.data.train, corpora)
        for line in () if draws is None else draws.lines():
            self._progress.note(f"train: {line}")
        return Task(
            self.model.network,
            Examples(self._samples, collate, self._type.without_loss, draws=draws),
            self.model.device,
            self.spec.seed,
            evaluate=self._evaluate if "validation" in self._splits else None,
            describe=lambda number: describe_sentence(training[number]),
            callbacks=() if frozen is None else (frozen,),
        )

    def _evaluate(self) -> dict[str, float]:
        self._latest = self._predictions("validation", Progress())
        return selection_scores(self.spec, self._latest)

    def _predictions(self, split: str, progress: Progress) -> list[Prediction]:
        """The predictions of a split, in every process."""
        trainer, data = self.spec.trainer, self._splits[split]
        # All processes must compute the same batches if each holds only a part of the weights.
        apply = processes.divide if trainer.sharding == "none" else map
        frozen = self._frozen if split == "validation" else None  # which is labelled in every epoch
        label = partial(label_dataset, self.model, data, trainer.eval_batch_tokens, progress, apply=apply)
        if frozen is not None:  # not the speed of prediction: the vectors are reused
            with frozen.reused():
                return list(label())
        with self._speed.measured():
            predictions = list(label())
        self._speed.words += sum(len(prediction.words) for prediction in predictions)
        return predictions

    def score(self, fitted: Fitted, progress: Progress) -> dict[str, Any]:
        """Score validation and test, and write `predictions/SPLIT.conll`."""
        metrics: dict[str, Any] = {}
        slices: dict[str, dict[str, Any]] = {}
        for name in [split for split in ("validation", "test") if split in self._splits]:
            progress.note(f"scoring {name}")
            if name == "validation" and fitted.is_evaluated and self._latest:
                predictions = list(check_predictions(self._splits[name], self._latest, progress))
            else:
                predictions = self._predictions(name, progress)
            self.run.write_predictions(name, predictions)
            metrics[name] = split_scores(self.model, self.spec.metrics, self.spec.scheme, predictions)
            slices[name] = self._slices(predictions)
        self.run.write_slices(slices)
        return metrics

    def _slices(self, predictions: list[Prediction]) -> dict[str, Any]:
        """For reports: the documents of a split, in cross-validation the positions of its sentences, and its spans in
        classes, unless tags are plain."""
        sentences = [each.sentence for each in predictions]
        about: dict[str, Any] = {"documents": documents_of(sentences)}
        if (positions := positions_of(sentences)) is not None:
            about["positions"] = positions
        if self.spec.scheme == "plain":
            return about
        first = self.spec.metrics[0]
        metric = first if isinstance(first, SeqevalMetric) else SeqevalMetric()
        codes = slice_codes(self._splits["train"], predictions, metric, self.spec.scheme)
        return {**about, "spans": codes}

    def cost(self, fitted: Fitted) -> dict[str, Any]:
        """The cost of training, and the speed of labelling validation and test."""
        speed, cost = self._speed, dict(fitted.cost)
        if speed.words:
            cost["prediction_words_per_second"] = round(speed.words_per_second, 1)
            if self.model.device.type == "cpu" and processes.world_size() == 1:
                cost["prediction_words_per_cpu_second"] = round(speed.words_per_cpu_second, 1)
        return cost

    def collect(self) -> None:
        """Collect what `save` writes: the trained weights, and frozen ones that no hub has."""
        is_own = base_of(self.model.network.backbone, self.model.backbone) == {"path": "base"}
        sharding.collect(self.model.network, frozen=is_own, keep=processes.is_main_process())

    def save(self, metrics: dict[str, Any]) -> None:
        """Write the model, with a copy of its `imports/`."""
        mask = self.model.network.backbone.learned_mask
        if mask is not None:
            self.model.backbone = self.model.backbone.model_copy(update={"unmask": mask})
        about = {"step": metrics["train"]["steps"], "spec": digest(self.spec)}
        self._type.save(self.model, self.run.model, self.run.imports, about)
