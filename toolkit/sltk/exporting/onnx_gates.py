"""Compare an ONNX export with sltk: scores, tags and speed, on sentences of the run and on unusual ones."""

from __future__ import annotations

import copy
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import ModelError, Problem
from ..files.damage import open_regular
from ..models import onnx_tagger, tagging
from ..models.onnx_tagger import OnnxTagger
from ..models.tagger_model import TaggerModel
from ..nn import fused
from ..nn.batching import pack
from ..nn.softmax_head import as_numpy
from ..nn.tagger import Tagger
from ..runtime.progress import Progress
from ..subwords.samples import IGNORED, Sample
from ..subwords.tokenization import SubwordEncoder
from ..types import Prediction, Sentence
from .onnx_quantization import quantize_int8, size

Scores = NDArray[np.float32]

TOLERANCE = 1e-4
"""Largest difference of scores, unless float32 itself makes larger ones: see `OnnxComparison.check`."""

_BATCH = 8
"""Sentences of a batch whose scores are compared; they are not sorted, so their lengths differ."""
_BATCH_TOKENS = 1024
"""Subwords of a batch that is labelled and timed."""
_STORED = 100
"""Sentences of the run that are compared."""
_ALIKE = 200
"""Words per word whose two best tags may be so close that rounding decides."""
_TIMED = 40
"""Sentences that are timed."""
_ROUNDS = 3

_TEXTS = (
    "Nobody called the goat cheese plain , and unremarkable-ish it was .",
    "ok",
    "The soup was awful .",
    "In 1999 , Anna O'Neill moved from Ouagadougou to 221B Baker Street , London NW1 , for £ 3,500 a month .",
    "Straße , naïve , Đà Nẵng , Ελλάδα , Москва , 東京 , עברית , 😀 👩‍👩‍👧 ,",
    "-- ( [ { \" ' ` ~ ! ? % & / \\ | < > } ] ) --",
    "Supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis",
    "WHO said that the U.S. and the EU should wait ? The committee , which met on Tuesday , did not : it sent its "
    "chair , Dr. Lee , to Geneva , where talks on the treaty had begun the week before .",
)


def sample(run: Path) -> list[Sentence]:
    """Sentences to compare: some that the run has labelled, if they are there, and some with unusual words."""
    stored = (sentence for path in sorted(run.glob("predictions/*.conll")) for sentence in _sentences(path))
    return [*islice(stored, _STORED), *(Sentence(text.split()) for text in _TEXTS)]


def _sentences(path: Path) -> Iterator[Sentence]:
    """The words of a file of predictions."""
    words: list[str] = []
    with open_regular(path) as file:
        for line in io.TextIOWrapper(file, encoding="utf-8", errors="replace", newline="\n"):
            if line != "\n":
                words.append(line.rstrip("\n").partition("\t")[0])
            elif words:
                yield Sentence(words)
                words = []


class OnnxComparison:
    """Compares a graph with the network that it was made of.

    Args:
        model: the model of the run.
        network: the same network in float32, with stock modules; `check` replaces them by sltk's faster ones.
        sentences: what both label.
        progress: receives the results as notes.
    """

    def __init__(
        self, model: TaggerModel, network: Tagger, sentences: Sequence[Sentence], progress: Progress
    ) -> None:
        self._run, self._network = model, network
        self._model = replace(model, network=network, device=torch.device("cpu"))
        self._sentences, self._progress = sentences, progress
        self._expected: list[Prediction] = []

    def check(self, folder: Path) -> None:
        """Compare scores, tags and speed.

        Deep networks differ by more than 1e-4 when the same numbers are added in another order. So the limit is the
        larger of 1e-4 and twice the difference between sltk's faster modules and those of transformers.

        Raises:
            ModelError: scores differ by more; or tags differ although the scores do not, more than in rare ties.
        """
        tagger = onnx_tagger.load(folder)
        encoder = copy.copy(self._model.encoder)
        encoder.max_length = tagger.encoder.max_length  # of the graph, which may read less than the model
        batches = self._batches(encoder)
        stock = self._scores(batches)
        fused.fuse(self._network.backbone)
        rounding = _difference(self._scores(batches), stock)
        difference = _difference(
            # The graph shifts positions itself, so its encodings are those without a shift.
            [tagger.scorer.word_scores(samples, mixed=True) for samples in self._batches(tagger.encoder)],
            stock,
        )
        limit = max(TOLERANCE, 2 * rounding)
        self._expected = _predict(tagging, self._model, self._sentences)
        changed = self._changed(tagger)
        if not difference <= limit or (changed * _ALIKE > self._words and rounding <= TOLERANCE):
            about = f"scores of the ONNX model differ from sltk's by {difference:.2g}, and {changed} tags"
            raise ModelError(Problem(about, notes=(f"the limit is {limit:.2g}; nothing was written",)))
        self._progress.note(
            f"scores differ from sltk's by {difference:.1g} at most, {changed} of {self._words} tags differ"
            + (f" (rounding in sltk itself: {rounding:.1g})" if rounding > TOLERANCE else "")
        )
        self._report_run()
        self._report_speed(tagger, "float32")

    def quantize(self, folder: Path, name: str) -> None:
        """Replace the file of this name by one with 8-bit weights, and report what that changes."""
        file = folder / name
        before, source = size(file), folder / "float32" / name
        source.parent.mkdir()
        for path in file.parent.glob(f"{file.name}*"):
            path.rename(source.parent / path.name)
        quantize_int8(source, file)
        for path in source.parent.iterdir():
            path.unlink()
        source.parent.rmdir()
        tagger = onnx_tagger.load(folder)
        self._progress.note(
            f"int8 changes {self._changed(tagger)} of {self._words} tags, and the size from {before / 1e6:,.1f} "
            f"to {size(file) / 1e6:,.1f} MB"
        )
        self._report_speed(tagger, "int8")

    @property
    def _words(self) -> int:
        return sum(len(sentence) for sentence in self._sentences)

    def _batches(self, encoder: SubwordEncoder) -> list[list[Sample]]:
        """Batches of sentences with different lengths."""
        encodings = encoder.encode(self._sentences)
        samples = [Sample(each, [IGNORED] * each.words) for each in encodings if each.words]
        return [samples[start : start + _BATCH] for start in range(0, len(samples), _BATCH)]

    def _scores(self, batches: Sequence[Sequence[Sample]]) -> list[Scores]:
        """Scores [W, C] of the words of each batch by the packed network."""
        with torch.inference_mode():
            return [as_numpy(self._network.emissions([pack(samples)])) for samples in batches]

    def _changed(self, tagger: OnnxTagger) -> int:
        return _changed(_predict(onnx_tagger, tagger, self._sentences), self._expected)

    def _report_run(self) -> None:
        """Report how the float32 weights of the export change the tags of a run in another number format."""
        weights = {p.dtype for p in self._run.network.parameters()}
        if weights == {torch.float32}:
            return
        changed = _changed(_predict(tagging, self._run, self._sentences), self._expected)
        self._progress.note(
            f"the run itself is not in float32; the export is, and changes {changed} of {self._words} tags"
        )

    def _report_speed(self, tagger: OnnxTagger, form: str) -> None:
        sentences = self._sentences[:_TIMED]
        words, threads = sum(map(len, sentences)), torch.get_num_threads()
        tagger.scorer.prepare()
        torch.set_num_threads(tagger.scorer.threads)
        try:
            onnx, sltk = _seconds(
                partial(_predict, onnx_tagger, tagger, sentences),
                partial(_predict, tagging, self._model, sentences),
            )
        finally:
            torch.set_num_threads(threads)
        self._progress.note(
            f"onnxruntime labels {words / onnx:,.0f} words/s in {form}, sltk {words / sltk:,.0f} in float32 "
            f"({len(sentences)} sentences, the same batches, CPU, threads: {tagger.scorer.threads} each)"
        )


def _predict(kind: Any, model: Any, sentences: Sequence[Sentence]) -> list[Prediction]:
    """Label sentences with a model of a type: `tagging` or `onnx_tagger`."""
    return list(kind.predict(model, sentences, _BATCH_TOKENS, max(1, len(sentences)), Progress()))


def _difference(some: Sequence[Scores], others: Sequence[Scores]) -> float:
    """The largest difference of two lists of scores; infinite if one is not a number."""
    largest = max(float(np.abs(a - b).max()) for a, b in zip(some, others, strict=True))
    return largest if np.isfinite(largest) else float("inf")


def _changed(some: Sequence[Prediction], others: Sequence[Prediction]) -> int:
    """The number of words with different tags."""
    pairs = zip(some, others, strict=True)
    return sum(x != y for a, b in pairs for x, y in zip(a.tags, b.tags, strict=True))


def _seconds(*contenders: Callable[[], Any]) -> list[float]:
    """The shortest time of each of several calls in turn, after one that warms up."""
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(_ROUNDS + 1):
        for work, own in zip(contenders, times, strict=True):
            start = time.perf_counter()
            work()
            own.append(time.perf_counter() - start)
    return [min(own[1:]) for own in times]
