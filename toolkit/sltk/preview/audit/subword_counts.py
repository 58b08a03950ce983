"""Subword counts of a split, if the tokenizer of the spec is on this machine."""

from __future__ import annotations

from dataclasses import dataclass

from ...components.backbones import local_tokenizer
from ...components.backbones.pretrained import PretrainedBackbone
from ...data.datasets import Dataset
from ...spec.experiment import Experiment
from ...subwords.tokenization import Encoding, SubwordEncoder, resolve_spacing
from ...types import Sentence
from ..model_info import ModelInfo
from .counts import Distribution, place


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
    cut_words: int
    """Words that are longer than the limit by themselves, so that a part of them is never read."""


def tokens_of(experiment: Experiment, training: Dataset) -> Tokens:
    """The encoder of the spec's tokenizer, which does not apply the limit, and the limit.

    Raises:
        ModelError: the tokenizer's files are damaged.
    """
    backbone = experiment.backbone
    if not isinstance(backbone, PretrainedBackbone):
        note = f"subwords are not counted for backbones of type `{backbone.type_name}`"
        return Tokens(None, experiment.max_length, note)
    limit = experiment.max_length or local_tokenizer.position_limit(ModelInfo.of(backbone).config)
    tokenizer = local_tokenizer.find(backbone, (" " + str(s.with_text().text) for s in training))
    if tokenizer is None:
        name = backbone.tokenizer or backbone.name
        note = f"the tokenizer of `{name}` is not on this machine: subwords are not counted"
        return Tokens(None, limit, note)
    spacing = resolve_spacing(experiment.aligner.spacing, training.sentences)
    return Tokens(SubwordEncoder(tokenizer, spacing), limit)


def count_subwords(split: Dataset, encoder: SubwordEncoder, limit: int | None) -> SubwordCounts:
    """Count the subwords of a split, which must not be empty."""
    encodings = encoder.encode(split.sentences)
    lengths = [len(encoding.windows[0].ids) for encoding in encodings]
    room = None if limit is None else limit - encoder.special_tokens
    over = 0 if limit is None else sum(length > limit for length in lengths)
    unknown = [_unknown_words(encoding, encoder.unknown) for encoding in encodings]
    subwords = sum(lengths) - len(lengths) * encoder.special_tokens
    return SubwordCounts(
        subwords=subwords,
        per_sentence=Distribution.of(lengths),
        per_word=subwords / max(1, sum(map(len, split))),
        limit=limit,
        over_limit=over,
        over_limit_share=over / len(lengths),
        unknown_words=sum(map(len, unknown)),
        unknown_places=[
            _word_place(s, word) for s, words in zip(split, unknown, strict=True) for word in words
        ],
        cut_words=0 if room is None else sum(_words_longer_than(room, encoding) for encoding in encodings),
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
