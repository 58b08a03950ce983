"""Directions of the dependency arcs of labelled words (Dukić & Šnajder 2024, §7).

The arcs of a labelled word are the one to its head and those to its children. An arc points right if its other end is
further to the right in the sentence. The share of such arcs shows how much of the context of labelled words a causal
mask hides. An arc between two labelled words counts for both, once in each direction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..components.slots import Reader
from ..components.splitters.spacy import load_spacy
from ..errors import DataError, UsageError
from ..schemes import OUTSIDE
from ..types import Sentence
from .corpora import open_sentences
from .datasets import to_dataset
from .raw import RawDataset, source_of

Parser = Callable[[Sequence[str]], list[int | None]]
"""Maps words to the index of each word's head; None for the root."""


def arc_directions(reader: Reader, parser: Parser | None = None) -> dict[str, Any]:
    """Arcs of labelled words: `{"words", "arcs", "right", "share", "per_type", "sentences_without_tree"}`.

    `share` is the share of arcs that point right, None without arcs. Trees are those of the data, unless a `parser` is
    given. Sentences without a tree are left out and counted.

    Raises:
        DataError: raised by the reader; or no sentence has a tree.
    """
    stream = open_sentences(reader)
    sentences = without_tree = 0

    def labelled() -> Iterator[tuple[Sentence, Sequence[str | None]]]:
        nonlocal sentences, without_tree
        for raw in stream.chunks():
            types = _word_types(raw)
            for sentence, own in zip(raw.sentences, types, strict=True):
                tree = replace(sentence, heads=parser(sentence.words)) if parser is not None else sentence
                sentences += 1
                without_tree += tree.heads is None
                yield tree, own

    counts = count_arcs(labelled())
    if without_tree == sentences:
        message = f"reader `{reader.type_name}` gives no dependency trees here"
        note = "use `--parser PIPELINE` to parse the words with spaCy, or reader `conllu`, which reads column HEAD"
        raise DataError.at(message, source_of(reader), None, note)
    return {**counts, "sentences_without_tree": without_tree}


def count_arcs(labelled: Iterable[tuple[Sentence, Sequence[str | None]]]) -> dict[str, Any]:
    """Count the arcs of sentences with a tree; each sentence comes with the type of each word, None for outside."""
    words: Counter[str] = Counter()
    arcs: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for sentence, types in labelled:
        words.update(kind for kind in types if kind is not None and sentence.heads is not None)
        for word, other in arcs_of(sentence.heads or []):
            kind = types[word]
            if kind is not None:
                arcs[kind] += 1
                right[kind] += other > word
    per_type = {kind: _share(words[kind], arcs[kind], right[kind]) for kind in sorted(words)}
    return {**_share(words.total(), arcs.total(), right.total()), "per_type": per_type}


def arcs_of(heads: Sequence[int | None]) -> Iterator[tuple[int, int]]:
    """Yield each arc twice, as `(word, other end)`: from the child to its head, and from the head to the child."""
    for word, head in enumerate(heads):
        if head is not None:
            yield word, head
            yield head, word


def spacy_parser(pipeline: str) -> Parser:
    """The parser of an installed spaCy pipeline: a Python package, whose code is run.

    Raises:
        UsageError: spaCy or the pipeline is not installed; or, when called, the pipeline has no parser.
    """
    return pipeline_parser(load_spacy("parsing", "en", pipeline))


def pipeline_parser(pipeline: Any) -> Parser:
    """The parser of a loaded spaCy pipeline.

    Raises (when called):
        UsageError: the pipeline has no parser.
    """
    from spacy.tokens import Doc

    def parse(words: Sequence[str]) -> list[int | None]:
        document = pipeline(Doc(pipeline.vocab, words=[word or " " for word in words]))
        if words and not document.has_annotation("DEP"):
            names = ", ".join(pipeline.pipe_names) or "none"
            raise UsageError(f"this spaCy pipeline has no parser; its components: {names}")
        return [None if token.head.i == token.i else token.head.i for token in document]

    return parse


def _word_types(raw: RawDataset) -> list[list[str | None]]:
    """The type of each word of each sentence; None if it is outside."""
    if raw.scheme == "plain":
        tags = (sentence.tags or [] for sentence in raw.sentences)
        return [[None if tag == OUTSIDE else tag for tag in own] for own in tags]
    word_types = []
    for sentence in to_dataset(raw, "IOB2"):
        types: list[str | None] = [None] * len(sentence)
        for span in sentence.spans or ():
            types[span.start : span.end] = [span.type] * (span.end - span.start)
        word_types.append(types)
    return word_types


def _share(words: int, arcs: int, right: int) -> dict[str, Any]:
    return {"words": words, "arcs": arcs, "right": right, "share": right / arcs if arcs else None}
