"""Tags for any number of sentences: ordered by length in a bounded window, batched by subwords, order restored."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import torch

from .. import schemes
from ..data.coverage import report_truncated_words
from ..nn.batching import Batch, Sample, by_token_budget, pack
from ..nn.head import IGNORED
from ..nn.tagger import Tagger
from ..runtime.progress import Progress
from ..schemes.labels import LabelSet
from ..subwords.documents import chunks
from ..subwords.tokenization import Encoding, SubwordEncoder
from ..types import Prediction, Sentence, Span, span_score

SORT_WINDOW = 2048
"""Sentences looked at together: enough to fill batches of one length, few enough to hold."""


class Predictor:
    """Labels sentences with a model.

    Args:
        batch_tokens: subwords in one forward pass; a longer sentence has a pass of its own.
        progress: hears of words that were cut.
    """

    def __init__(
        self,
        tagger: Tagger,
        encoder: SubwordEncoder,
        labels: LabelSet,
        device: torch.device,
        batch_tokens: int = 4096,
        progress: Progress | None = None,
    ) -> None:
        self.tagger = tagger
        self.encoder = encoder
        self.labels = labels
        self.device = device
        self.batch_tokens = batch_tokens
        self._progress = progress or Progress()

    def predict(self, sentences: Iterable[Sentence], window: int = SORT_WINDOW) -> Iterator[Prediction]:
        """Yield a prediction a sentence, in order, holding at most `window` sentences at a time."""
        cut = 0
        for chunk in chunks(sentences, window, self.encoder.document_context):
            encodings = self.encoder.encode(chunk.sentences, chunk.before, chunk.after)
            cut += sum(encoding.cut_words for encoding in encodings)
            yield from self._chunk(chunk.sentences, encodings)
        report_truncated_words(cut, self._progress)

    def _chunk(self, sentences: Sequence[Sentence], encodings: Sequence[Encoding]) -> list[Prediction]:
        samples = [
            Sample(encoding, [IGNORED] * encoding.words, number) for number, encoding in enumerate(encodings)
        ]
        filled = [sample for sample in samples if sample.encoding.words]
        results: dict[int, tuple[list[int], list[float]]] = {}
        was_training = self.tagger.training
        self.tagger.eval()
        with torch.inference_mode():
            for positions in by_token_budget([sample.tokens for sample in filled], self.batch_tokens):
                self._run([filled[position] for position in positions], results)
        self.tagger.train(was_training)
        return [self._prediction(s, *results.get(n, ([], []))) for n, s in enumerate(sentences)]

    def _run(self, samples: list[Sample], results: dict[int, tuple[list[int], list[float]]]) -> None:
        tags_W, scores_W = self.tagger.decode(to_device(pack(samples), self.device))
        tags, scores = tags_W.tolist(), scores_W.tolist()
        start = 0
        for sample in samples:
            end = start + sample.encoding.words
            results[sample.number] = (tags[start:end], scores[start:end])
            start = end

    def _prediction(self, sentence: Sentence, numbers: list[int], scores: list[float]) -> Prediction:
        tags = [self.labels.tags[number] for number in numbers]
        spans: list[Span] = []
        if self.labels.scheme != "plain":
            # "drop" is what strict scoring counts: predict shows the very spans that evaluate scores.
            found = schemes.decode(tags, self.labels.scheme, "drop").spans
            spans = [Span(s.start, s.end, s.type, span_score(scores[s.start : s.end])) for s in found]
        return Prediction(sentence, tags, scores, spans)


def to_device(batch: Batch, device: torch.device) -> Batch:
    """The batch with its tensors on the device."""
    if device.type == "cpu":
        return batch
    moved = {
        k: v.to(device, non_blocking=True) if isinstance(v, torch.Tensor) else v for k, v in batch.items()
    }
    return moved  # type: ignore[return-value]
