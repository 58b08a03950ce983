"""Label sentences with an ONNX graph in the batches of sltk, to compare the two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..decoding import TagDecoder
from ..models.batched_labelling import label
from ..models.tagger_model import TaggerModel
from ..runtime.progress import Progress
from ..subwords.samples import Sample
from ..subwords.tokenization import Window
from ..types import Prediction, Sentence
from .onnx_graph import OUTPUT

Scores = NDArray[np.float32]

_POSITIONS = {"first_subword": "first", "last_subword": "last"}


class OnnxTagger:
    """A graph that computes the scores of a model's words.

    Args:
        model: the model that was exported; it splits words into subwords.
        session: of onnxruntime.
    """

    def __init__(self, model: TaggerModel, session: Any) -> None:
        self._model, self._session = model, session
        self._position = _POSITIONS.get(model.aligner.type_name)
        self._decoder = TagDecoder(model.labels, model.network.head.transitions())

    def scores(self, samples: Sequence[Sample]) -> Scores:
        """Scores [W, C] of the words of a batch."""
        windows = [window for sample in samples for window in sample.encoding.windows if window.first]
        inputs = {
            "input_ids": _padded([window.ids for window in windows]),
            "attention_mask": _padded([[1] * len(window.ids) for window in windows]),
        }
        if self._position is None:
            inputs["word_first"] = _padded([window.first for window in windows])
            inputs["word_last"] = _padded([window.last for window in windows])
        (logits,) = self._session.run([OUTPUT], inputs)
        return np.concatenate(
            [row[self._places(window)] for row, window in zip(logits, windows, strict=True)]
        )

    def _places(self, window: Window) -> list[int]:
        """Where the scores of a window's words are."""
        if self._position is None:
            return list(range(len(window.first)))
        return window.first if self._position == "first" else window.last

    def predict(self, sentences: Sequence[Sentence], batch_tokens: int) -> list[Prediction]:
        """Label sentences in batches of at most this many subwords."""

        def label_batch(labelled: Sequence[Sentence], parts: Sequence[Sequence[Sample]]) -> list[Prediction]:
            return self._decoder.predictions(labelled, np.concatenate([self.scores(part) for part in parts]))

        encoder, scheme, window = self._model.encoder, self._model.labels.scheme, max(1, len(sentences))
        return list(
            label(
                sentences,
                label_batch,
                encoder=encoder,
                scheme=scheme,
                batch_tokens=batch_tokens,
                window=window,
                progress=Progress(),
            )
        )


def _padded(rows: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    batch = np.zeros((len(rows), max(map(len, rows))), dtype=np.int64)
    for number, row in enumerate(rows):
        batch[number, : len(row)] = row
    return batch
