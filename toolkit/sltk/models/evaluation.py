"""Label a dataset with a model and score the predictions: the same for validation, test and `sltk evaluate`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from ..components.metrics.counting import tally_of
from ..components.metrics.seqeval import SeqevalMetric
from ..components.slots import Metric
from ..data.coverage import check_predictions
from ..data.datasets import SentenceSource
from ..decoding import Decisions
from ..errors import SpecError
from ..runtime.progress import Progress
from ..schemes.names import SchemeName
from ..spec.experiment import Experiment
from ..types import Prediction
from .kinds import Apply, LabellingModel, type_of
from .labeller import Labeller
from .partial_scoring import by_corpus, scorable, unscored


def label_dataset(
    model: LabellingModel,
    dataset: SentenceSource,
    batch_tokens: int,
    progress: Progress,
    decisions: Decisions | None = None,
    apply: Apply = map,
) -> Iterator[Prediction]:
    """Yield the predictions of all sentences, and check that every word gets a tag.

    They are without spans of types that the corpus of a sentence does not annotate: see `scorable`. `apply` applies a
    function to all batches: `processes.divide` leaves a share of them to each process.
    """
    stream = Labeller(model, batch_tokens, progress, decisions, apply).stream(dataset)
    for number, prediction in enumerate(check_predictions(dataset, stream, progress), 1):
        yield scorable(prediction, model.labels)
        if number % 256 == 0:
            progress.labelled(256)


def streamed_scores(
    model: LabellingModel, metrics: Sequence[Metric], scheme: SchemeName, predictions: Iterable[Prediction]
) -> dict[str, Any]:
    """The scores of `split_scores`; holds the predictions only if a metric or the type of model needs all of them."""
    scores = RunningScores(model, metrics, scheme)
    for prediction in predictions:
        scores.add(prediction)
    return scores.result()


class RunningScores:
    """The scores of predictions that come one by one; see `streamed_scores`."""

    def __init__(self, model: LabellingModel, metrics: Sequence[Metric], scheme: SchemeName) -> None:
        self._about = model, metrics, scheme
        tallies = [tally_of(metric, scheme) for metric in metrics]
        self._needs_all = None in tallies or type_of(model).HAS_EXTRA_SCORES
        self._tallies = [tally for tally in tallies if tally is not None]
        self._predictions: list[Prediction] = []
        self._unscored: Counter[str] = Counter()
        self._corpora: dict[str, RunningScores] = {}

    def add(self, prediction: Prediction) -> None:
        """Count a prediction, also for its corpus."""
        if self._needs_all:
            self._predictions.append(prediction)
            return
        corpus = prediction.sentence.corpus
        if corpus is not None:
            if corpus not in self._corpora:
                self._corpora[corpus] = RunningScores(*self._about)
            self._corpora[corpus]._count(prediction)
        self._count(prediction)

    def _count(self, prediction: Prediction) -> None:
        self._unscored.update(span.type for span in prediction.unscored)
        for tally in self._tallies:
            tally.add(prediction.sentence.tags or (), prediction.tags)

    def result(self) -> dict[str, Any]:
        """The scores of all predictions so far."""
        if self._needs_all:
            return split_scores(*self._about, self._predictions)
        scores = _named(self._about[1], [tally.scores() for tally in self._tallies])
        scores |= unscored(self._unscored)
        if self._corpora:
            scores["corpora"] = {name: part.result() for name, part in self._corpora.items()}
        return scores


def split_scores(
    model: LabellingModel, metrics: Sequence[Metric], scheme: SchemeName, predictions: Sequence[Prediction]
) -> dict[str, Any]:
    """One split of `metrics.json`: the scores of all metrics, and the extra scores of the type of model.

    If the data has several corpora, the same scores of each are under `corpora`.
    """
    score = partial(metric_scores, metrics, scheme)

    def scores_of(part: Sequence[Prediction]) -> dict[str, Any]:
        types = Counter(span.type for prediction in part for span in prediction.unscored)
        return score(part) | type_of(model).extra_scores(model, part, score) | unscored(types)

    scores = scores_of(predictions)
    if corpora := by_corpus(predictions):
        scores["corpora"] = {name: scores_of(part) for name, part in corpora.items()}
    return scores


def metric_scores(
    metrics: Sequence[Metric], scheme: SchemeName, predictions: Sequence[Prediction]
) -> dict[str, Any]:
    """The scores of the first metric, and those of others under their names (`accuracy_2` if a name is taken)."""
    return _named(metrics, [metric.score(predictions, scheme) for metric in metrics])


def _named(metrics: Sequence[Metric], results: Sequence[dict[str, Any]]) -> dict[str, Any]:
    scores = dict(results[0])
    for metric, result in zip(metrics[1:], results[1:], strict=True):
        name, number = metric.type_name, 1
        while name in scores:
            number += 1
            name = f"{metric.type_name}_{number}"
        scores[name] = result
    return scores


def unverified(metric: Metric) -> Metric:
    """The metric without the comparison with another package, which is for final scores."""
    return metric.model_copy(update={"verify": "never"}) if isinstance(metric, SeqevalMetric) else metric


def selection_scores(experiment: Experiment, predictions: Sequence[Prediction]) -> dict[str, float]:
    """The scores shown after each epoch; `score` is the one that selects the best epoch.

    Raises:
        SpecError: the spec selects the best epoch, but the first metric has neither `f1` nor `accuracy`.
    """
    metric, trainer = unverified(experiment.metrics[0]), experiment.trainer
    scores = metric.score(predictions, experiment.scheme)
    names = ("precision", "recall", "f1", "accuracy")
    shown = {name: float(scores[name]) for name in names if isinstance(scores.get(name), int | float)}
    selecting = shown.get("f1", shown.get("accuracy"))
    if selecting is None and (trainer.select == "best" or trainer.early_stopping is not None):
        raise SpecError(
            f"metric `{metric.type_name}` has neither `f1` nor `accuracy`, by which the best epoch is selected"
        )
    return {**shown, "score": 0.0 if selecting is None else selecting}
