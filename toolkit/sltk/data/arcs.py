"""Which way the dependency arcs of labelled words point (Dukić & Šnajder 2024, §7).

For each labelled word the arc to its head and the arcs to its children are looked at, from that word: an arc points
right where its other end stands further on in the sentence. The share of such arcs says how much of what a word is
labelled by lies where a causal mask hides it. An arc between two labelled words counts for each, once either way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from ..components.slots import Reader
from ..errors import DataError, Problem, UsageError
from ..types import Sentence
from . import datasets
from .raw import RawDataset, read_raw

Parser = Callable[[Sequence[str]], list[int | None]]
"""From words to the number of the word that governs each; None for the root."""

_OUTSIDE = "O"


def directions(reader: Reader, parser: Parser | None = None) -> dict[str, Any]:
    """Arcs of labelled words: `{"words", "arcs", "right", "share", "per_type", "sentences_without_tree"}`.

    `share` is that of the arcs that point right, None where there are none. Trees are those of the data, or what
    `parser` makes of its words. Sentences without a tree are left out and counted.

    Raises:
        DataError: as the reader; or not one sentence has a tree.
    """
    source = read_raw(reader)
    trees = [_with_heads(sentence, parser) for sentence in source.sentences]
    if all(sentence.heads is None for sentence in trees):
        about = f"reader `{reader.type_name}` gives no dependency trees here"
        note = (
            "`--parser PIPELINE` has spaCy parse the words; reader `conllu` takes trees from the HEAD column"
        )
        where = getattr(reader, "path", None) or "(data)"
        raise DataError.at(about, where, None, note)
    labels = _labels(replace(source, sentences=trees))
    return {**counted(zip(trees, labels, strict=True)), "sentences_without_tree": _without_tree(trees)}


def counted(labelled: Iterable[tuple[Sentence, Sequence[str | None]]]) -> dict[str, Any]:
    """The arcs of sentences with a tree, whose labelled words have a type and the others None."""
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
    """Each arc twice, `(word, other end)`: from the child to its head, and from the head to the child."""
    for word, head in enumerate(heads):
        if head is not None:
            yield word, head
            yield head, word


def spacy_parser(pipeline: str) -> Parser:
    """The parser of an installed spaCy pipeline. A pipeline is a Python package, and runs as such.

    Raises:
        UsageError: spaCy or the pipeline is not installed, or it has no parser.
    """
    try:
        import spacy
    except ImportError as error:
        raise UsageError("parsing needs the package `spacy`: pip install 'sltk[spacy]'") from error
    try:
        loaded = spacy.load(pipeline)
    except (ImportError, OSError, ValueError) as error:
        note = f"python -m spacy download {pipeline}"
        raise UsageError(Problem(f"spaCy cannot load `{pipeline}`: {error}", notes=(note,))) from error
    return parser_of(loaded)


def parser_of(pipeline: Any) -> Parser:
    """The same of a spaCy pipeline that is loaded.

    Raises (when called):
        UsageError: it parses nothing.
    """
    from spacy.tokens import Doc

    def parse(words: Sequence[str]) -> list[int | None]:
        document = pipeline(Doc(pipeline.vocab, words=[word or " " for word in words]))
        if words and not document.has_annotation("DEP"):
            names = ", ".join(pipeline.pipe_names) or "none"
            raise UsageError(f"this spaCy pipeline has no parser; its components: {names}")
        return [None if token.head.i == token.i else token.head.i for token in document]

    return parse


def _with_heads(sentence: Sentence, parser: Parser | None) -> Sentence:
    return sentence if parser is None else replace(sentence, heads=parser(sentence.words))


def _labels(source: RawDataset) -> list[list[str | None]]:
    """The type of each word of each sentence; None where it is outside."""
    if source.scheme == "plain":
        tags = (sentence.tags or [] for sentence in source.sentences)
        return [[None if tag == _OUTSIDE else tag for tag in own] for own in tags]
    found = []
    for sentence in datasets.to_dataset(source, "IOB2"):
        types: list[str | None] = [None] * len(sentence)
        for span in sentence.spans or ():
            types[span.start : span.end] = [span.type] * (span.end - span.start)
        found.append(types)
    return found


def _without_tree(sentences: Iterable[Sentence]) -> int:
    return sum(sentence.heads is None for sentence in sentences)


def _share(words: int, arcs: int, right: int) -> dict[str, Any]:
    return {"words": words, "arcs": arcs, "right": right, "share": right / arcs if arcs else None}
