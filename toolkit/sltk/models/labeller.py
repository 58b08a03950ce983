"""Label texts, lists of words, or sentences with a trained model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..components.slots import Splitter
from ..runtime.progress import Progress
from ..schemes.labels import LabelSet
from ..types import Prediction, Sentence
from . import kinds, memory_advice
from .kinds import LabellingModel

_WINDOW = 2048
"""Sentences in memory: enough to fill batches with sentences of equal length."""


class Labeller:
    """Labels text with a trained model: `sltk.load(RUN).predict(["Some text."])`."""

    def __init__(
        self, model: LabellingModel, batch_tokens: int = 4096, progress: Progress | None = None
    ) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self._progress = progress or Progress()

    @property
    def labels(self) -> LabelSet:
        """The tags of the model."""
        return self.model.labels

    @property
    def splitter(self) -> Splitter:
        """Splits texts into words."""
        return self.model.splitter

    def predict(self, inputs: Iterable[str | list[str] | Sentence] | str) -> list[Prediction]:
        """Label texts, which the model's splitter splits into words, lists of words, or sentences."""
        return list(self.stream([inputs] if isinstance(inputs, str) else inputs))

    def stream(
        self, inputs: Iterable[str | list[str] | Sentence], window: int = _WINDOW
    ) -> Iterator[Prediction]:
        """Label inputs in order like `predict`, with at most `window` sentences in memory."""
        model_type = kinds.type_of(self.model)
        sentences = map(self.sentence, inputs)
        with memory_advice.labelling(self.batch_tokens):
            yield from model_type.predict(self.model, sentences, self.batch_tokens, window, self._progress)

    def sentence(self, text: str | list[str] | Sentence) -> Sentence:
        """Convert one input to a sentence."""
        if isinstance(text, Sentence):
            return text
        if not isinstance(text, str):
            return Sentence(list(text))
        offsets = self.splitter.split(text)
        return Sentence([text[start:end] for start, end in offsets], text=text, offsets=offsets)
