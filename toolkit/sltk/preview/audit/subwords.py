"""What the tokenizer of a spec makes of its data, as far as the tokenizer is on this machine."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from ...components.backbones import tokenizers
from ...components.backbones.pretrained import PretrainedBackbone
from ...data.datasets import Dataset
from ...spec.experiment import Experiment
from ...subwords.tokenization import Encoding, SubwordEncoder, spacing_of
from ...types import Sentence
from ..estimate import ModelInfo
from .counts import Distribution, place


@dataclass(frozen=True)
class Tokens:
    """The way from words to subwords, or why there is none."""

    encoder: SubwordEncoder | None
    limit: int | None
    """Subwords, special tokens included, that the model reads at once; None where none is known."""
    note: str | None = None


@dataclass(frozen=True)
class SubwordCounts:
    """What a tokenizer makes of one split."""

    subwords: int
    """Special tokens not counted."""
    per_sentence: Distribution
    """Special tokens included: what the limit is about."""
    per_word: float
    limit: int | None
    over_limit: int
    """Sentences that are longer than the limit."""
    over_limit_share: float
    unknown_words: int
    """Words of which a part, or all, is the unknown token."""
    unknown_places: list[str]
    cut_words: int
    """Words that alone are longer than the limit: a part of them is never read."""

    def as_json(self) -> dict[str, Any]:
        """All of it, JSON-ready."""
        return asdict(self)


def tokens_of(experiment: Experiment, training: Dataset) -> Tokens:
    """The encoder of the spec's tokenizer, without a limit, and the limit.

    Raises:
        ModelError: the tokenizer's files are damaged.
    """
    backbone = experiment.backbone
    if not isinstance(backbone, PretrainedBackbone):
        return Tokens(
            None, experiment.max_length, f"the tokenizer of `{backbone.type_name}` is not looked at"
        )
    limit = experiment.max_length or tokenizers.position_limit(ModelInfo.of(backbone).config)
    tokenizer = tokenizers.find(backbone, (" " + str(s.with_text().text) for s in training))
    if tokenizer is None:
        name = backbone.tokenizer or backbone.name
        return Tokens(
            None, limit, f"the tokenizer of `{name}` is not on this machine: subwords are not counted"
        )
    spacing = spacing_of(experiment.aligner.spacing, training.sentences)
    return Tokens(SubwordEncoder(tokenizer, spacing), limit)


def count_subwords(split: Dataset, encoder: SubwordEncoder, limit: int | None) -> SubwordCounts:
    """The counts of a split that has a sentence."""
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
        unknown_places=[_named(s, word) for s, words in zip(split, unknown, strict=True) for word in words],
        cut_words=0 if room is None else sum(_longer(encoding, room) for encoding in encodings),
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


def _longer(encoding: Encoding, room: int) -> int:
    (window,) = encoding.windows
    return sum(last - first >= room for first, last in zip(window.first, window.last, strict=True))


def _named(sentence: Sentence, word: int) -> str:
    return f"{place(sentence)}: word {word + 1}, {sentence.words[word]!r}"
