"""Label texts, lists of words, or sentences with a trained model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace

from ..components.slots import Splitter
from ..decoding import Decisions, keep_spans
from ..runtime.progress import Progress
from ..schemes.labels import LabelSet
from ..types import Prediction, Sentence
from . import kinds, memory_advice
from .kinds import Apply, LabellingModel

_WINDOW = 2048
"""Sentences in memory: enough to fill batches with sentences of equal length."""


class Labeller:
    """Labels text with a trained model: `sltk.load(RUN).predict(["Some text."])`.

    Raises:
        UsageError: the model cannot decide as `decisions` say.
    """

    def __init__(
        self,
        model: LabellingModel,
        batch_tokens: int = 4096,
        progress: Progress | None = None,
        decisions: Decisions | None = None,
        apply: Apply = map,
    ) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self._progress = progress or Progress()
        self._apply = apply
        self.decisions = decisions or model.decisions
        self._check(self.decisions)

    @property
    def labels(self) -> LabelSet:
        """The tags of the model."""
        return self.model.labels

    @property
    def splitter(self) -> Splitter:
        """Splits texts into words."""
        return self.model.splitter

    def keeping_all(self) -> Labeller:
        """The same labeller, which keeps spans below the thresholds of its decisions too."""
        decisions = replace(self.decisions, min_score=0.0, thresholds={})
        return Labeller(self.model, self.batch_tokens, self._progress, decisions, self._apply)

    def predict(
        self, inputs: Iterable[str | list[str] | Sentence] | str, *, min_score: float | None = None
    ) -> list[Prediction]:
        """Label texts, which the model's splitter splits into words, lists of words, or sentences.

        `min_score`, from 0 to 1, leaves out spans with a lower score; their words are tagged O.

        Raises:
            UsageError: `min_score` is no such number, or the model has no spans with scores.
        """
        return list(self.stream([inputs] if isinstance(inputs, str) else inputs, min_score=min_score))

    def stream(
        self,
        inputs: Iterable[str | list[str] | Sentence],
        window: int = _WINDOW,
        *,
        min_score: float | None = None,
    ) -> Iterator[Prediction]:
        """Label inputs in order like `predict`, with at most `window` sentences in memory."""
        decisions = self.decisions
        if min_score is not None:
            decisions = replace(decisions, min_score=min_score)
            self._check(decisions)
        return self._labelled(map(self.sentence, inputs), window, decisions)

    def _check(self, decisions: Decisions) -> None:
        kinds.type_of(self.model).check_decisions(self.model, decisions)

    def _labelled(
        self, sentences: Iterable[Sentence], window: int, decisions: Decisions
    ) -> Iterator[Prediction]:
        predict = kinds.type_of(self.model).predict
        dropped: Counter[str] = Counter()
        with memory_advice.labelling(self.batch_tokens):
            for prediction in predict(
                self.model, sentences, self.batch_tokens, window, self._progress, decisions, self._apply
            ):
                if decisions.uncertainty is not None and not prediction.words:
                    prediction.uncertainty = 0.0
                yield keep_spans(prediction, decisions, dropped)
        if dropped:
            self._progress.note(_dropped_note(dropped))

    def sentence(self, text: str | list[str] | Sentence) -> Sentence:
        """Convert one input to a sentence."""
        if isinstance(text, Sentence):
            return text
        if not isinstance(text, str):
            return Sentence(list(text))
        offsets = self.splitter.split(text)
        return Sentence([text[start:end] for start, end in offsets], text=text, offsets=offsets)


def _dropped_note(dropped: Counter[str]) -> str:
    total = dropped.total()
    types = ", ".join(f"{type_} {count:,}" for type_, count in sorted(dropped.items()))
    return f"{total:,} span{'' if total == 1 else 's'} left out because of a low score: {types}"
