"""A trained model at work."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ..runtime.progress import Progress
from ..schemes.labels import LabelSet
from ..types import Prediction, Sentence
from . import kinds
from .kinds import Model
from .predictor import SORT_WINDOW


class Labeller:
    """A trained model at work: `sltk.load(RUN).predict(["Some text."])`."""

    def __init__(self, model: Model, batch_tokens: int = 4096, progress: Progress | None = None) -> None:
        self.model = model
        self.batch_tokens = batch_tokens
        self._progress = progress or Progress()

    @property
    def labels(self) -> LabelSet:
        """The tags of the model."""
        return self.model.labels

    def predict(self, inputs: Iterable[str | list[str] | Sentence] | str) -> list[Prediction]:
        """Label texts (split into words here), lists of words, or sentences."""
        return list(self.stream([inputs] if isinstance(inputs, str) else inputs))

    def stream(
        self, inputs: Iterable[str | list[str] | Sentence], window: int = SORT_WINDOW
    ) -> Iterator[Prediction]:
        """The same, one by one and in order, holding at most `window` sentences."""
        kind = kinds.type_of(self.model)
        sentences = map(self.sentence, inputs)
        yield from kind.predict(self.model, sentences, self.batch_tokens, window, self._progress)

    def sentence(self, given: str | list[str] | Sentence) -> Sentence:
        """What was given, as a sentence."""
        if isinstance(given, Sentence):
            return given
        if not isinstance(given, str):
            return Sentence(list(given))
        offsets = self.model.splitter.split(given)
        return Sentence([given[start:end] for start, end in offsets], text=given, offsets=offsets)
