"""Subword counts of a split, if the tokenizer of the spec is on this machine."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from ...components.backbones import local_tokenizer
from ...components.backbones.pretrained import PretrainedBackbone
from ...data.datasets import SentenceSource
from ...families.position_limit import position_limit
from ...spec.experiment import Experiment
from ...subwords.tokenization import Encoding, SubwordEncoder, resolve_spacing
from ...types import Sentence
from ..model_info import ModelInfo
from .counts import Distribution
from .repetition import LISTED, place

_BATCH = 256


@dataclass(frozen=True)
class Tokens:
    """The tokenizer of a spec and the maximum length of its model."""

    encoder: SubwordEncoder | None
    """None if the tokenizer is not available; `note` says why."""
    limit: int | None
    """Subwords per sentence that the model can read, with special tokens; None if unknown."""
    note: str | None = None


@dataclass(frozen=True)
class SubwordCounts:
    """Counts of one split after tokenization."""

    subwords: int
    """Without special tokens."""
    per_sentence: Distribution
    """With special tokens, which count towards the limit."""
    per_word: float
    limit: int | None
    over_limit: int
    """Sentences longer than the limit."""
    over_limit_share: float
    unknown_words: int
    """Words with at least one unknown token."""
    unknown_places: list[str]
    """The first of them."""
    cut_words: int
    """Words that are longer than the limit by themselves, so that a part of them is never read."""


def tokens_of(experiment: Experiment, training: SentenceSource) -> Tokens:
    """The encoder of the spec's tokenizer, which does not apply the limit, and the limit.

    Raises:
        ModelError: the tokenizer's files are damaged.
    """
    backbone = experiment.backbone
    if not isinstance(backbone, PretrainedBackbone):
        note = f"subwords are not counted for backbones of type `{backbone.type_name}`"
        return Tokens(None, experiment.max_length, note)
    positions = position_limit(ModelInfo.of(backbone).config)
    limit = experiment.max_length or (None if positions is None else positions // backbone.copies)
    tokenizer = local_tokenizer.find(backbone, (" " + str(s.with_text().text) for s in training))
    if tokenizer is None:
        name = backbone.tokenizer or backbone.name
        note = f"the tokenizer of `{name}` is not on this machine: subwords are not counted"
        return Tokens(None, limit, note)
    spacing = resolve_spacing(experiment.aligner.spacing, training)
    return Tokens(SubwordEncoder(tokenizer, spacing), limit)


class SubwordCounter:
    """Counts the subwords of a split, a few sentences at a time."""

    def __init__(self, encoder: SubwordEncoder, limit: int | None) -> None:
        self._encoder, self._limit = encoder, limit
        self._waiting: list[Sentence] = []
        self._lengths: Counter[int] = Counter()
        self._words = self._over = self._unknown = self._cut = 0
        self._unknown_places: list[str] = []

    def add(self, sentence: Sentence) -> None:
        """Count a sentence, now or later."""
        self._waiting.append(sentence)
        if len(self._waiting) == _BATCH:
            self._count()

    def _count(self) -> None:
        limit, encoder = self._limit, self._encoder
        room = None if limit is None else limit - encoder.special_tokens
        for sentence, encoding in zip(self._waiting, encoder.encode(self._waiting), strict=True):
            length = len(encoding.windows[0].ids)
            self._lengths[length] += 1
            self._words += len(sentence)
            self._over += limit is not None and length > limit
            self._cut += 0 if room is None else _words_longer_than(room, encoding)
            unknown = _unknown_words(encoding, encoder.unknown)
            self._unknown += len(unknown)
            missing = max(0, LISTED - len(self._unknown_places))
            self._unknown_places += [_word_place(sentence, word) for word in unknown[:missing]]
        self._waiting.clear()

    def counts(self) -> SubwordCounts:
        """The counts of all sentences, of which there must be some."""
        self._count()
        sentences = self._lengths.total()
        ids = sum(length * count for length, count in self._lengths.items())
        subwords = ids - sentences * self._encoder.special_tokens
        return SubwordCounts(
            subwords=subwords,
            per_sentence=Distribution.of(self._lengths),
            per_word=subwords / max(1, self._words),
            limit=self._limit,
            over_limit=self._over,
            over_limit_share=self._over / sentences,
            unknown_words=self._unknown,
            unknown_places=self._unknown_places,
            cut_words=self._cut,
        )


def _unknown_words(encoding: Encoding, unknown: int) -> list[int]:
    (window,) = encoding.windows
    if unknown not in window.ids:
        return []
    return [
        number
        for number, (first, last) in enumerate(zip(window.first, window.last, strict=True))
        if unknown in window.ids[first : last + 1]
    ]


def _words_longer_than(room: int, encoding: Encoding) -> int:
    (window,) = encoding.windows
    return sum(last - first >= room for first, last in zip(window.first, window.last, strict=True))


def _word_place(sentence: Sentence, word: int) -> str:
    return f"{place(sentence)}: word {word + 1}, {sentence.words[word]!r}"
