"""spaCy's DocBin: documents with their entities, in a .spacy file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field

from ...errors import DataError, InputError, Location, Problem, UsageError, nearest
from ...files.text_lines import open_binary
from ...types import Sentence, Span, Unused
from ..registry import register
from ..slots import FileReader

# A token is some ten numbers of eight bytes, mostly zeros: files of text unpack to some 30 times their size.
_UNPACKED_TIMES, _UNPACKED_BYTES = 200, 64 << 20


@register.reader("docbin")
class DocBinReader(FileReader):
    """spaCy's DocBin (.spacy): words, text and entities. Needs the extra: `pip install 'sltk[spacy]'`.

    Sentences are those of the file; a document without them is one. Sentences that a span crosses are joined.
    Tokens of white space are left out. The line of a sentence is the number of its document, from 1.
    """

    spans_key: str | None = Field(
        default=None, description="read the spans of this group, which may overlap; unset: the entities"
    )

    def read(self) -> Iterator[Sentence]:
        """Yield the sentences of each document; without annotation where its entities are not set.

        Raises:
            UsageError: spaCy is not installed.
            DataError: the file is no DocBin, or a document lacks the group `spans_key`.
        """
        number = 0
        try:
            for number, doc in enumerate(_documents(self.path), 1):
                yield from list(self._sentences(doc, number))
        except InputError:
            raise
        except Exception as error:  # of a damaged file: of zlib, msgpack, numpy or spaCy, of many kinds
            message = f"not a readable DocBin: {str(error) or type(error).__name__}"
            raise DataError.at(message, self.path, number or None) from error

    def _sentences(self, doc: Any, number: int) -> Iterator[Sentence]:
        annotated = self.spans_key is not None or doc.has_annotation("ENT_IOB")
        spans = self._spans(doc, number)
        reports = self._reports(doc, number)
        marked = len(doc) and doc.has_annotation("SENT_START")  # an empty document says that it has all
        bounds = [sentence.start for sentence in doc.sents] if marked else [0]
        crossed = {bound for span in spans for bound in range(span.start + 1, span.end)}
        bounds = [bound for bound in bounds if bound not in crossed]
        for start, end in zip(bounds, [*bounds[1:], len(doc)], strict=True):
            inside = [span for span in spans if start <= span.start < end]
            sentence = self._sentence(doc[start:end], inside, number)
            sentence.unused, reports = (*reports, *sentence.unused), ()
            if not annotated:
                sentence.spans = None
            yield sentence

    def _sentence(self, part: Any, spans: list[Any], number: int) -> Sentence:
        """The words of part of a document, and the spans in it."""
        words = [token for token in part if token.text.strip()]
        place = {token.i: index for index, token in enumerate(words)}
        found, unused = [], []
        for span in spans:
            inside = [place[token.i] for token in span if token.i in place]
            if inside and span.label_:
                found.append(Span(inside[0], inside[-1] + 1, span.label_))
            else:
                why = "covers no word" if span.label_ else "has no type"
                reason = f"`{span.text}` ({span.label_}) {why}"
                unused.append(Unused(str(self.path), number, reason, span.label_ or None))
        first = part.start_char
        return Sentence(
            [token.text for token in words],
            spans=found,
            text=part.text,
            offsets=[(token.idx - first, token.idx + len(token) - first) for token in words],
            file=str(self.path),
            line=number,
            document=str(number),
            unused=tuple(unused),
        )

    def _spans(self, doc: Any, number: int) -> list[Any]:
        if self.spans_key is None:
            return list(doc.ents)
        if self.spans_key in doc.spans:
            return list(doc.spans[self.spans_key])
        known = list(doc.spans)
        message = f"document {number} has no group of spans `{self.spans_key}`"
        note = f"its groups: {', '.join(known) or 'none'}"
        where = Location(str(self.path), number)
        raise DataError(Problem(message, where, suggestion=nearest(self.spans_key, known), notes=(note,)))

    def _reports(self, doc: Any, number: int) -> tuple[Unused, ...]:
        """What is said of words that spaCy marks as not annotated, in a document where others are."""
        missing = sum(token.ent_iob == 0 and not token.is_space for token in doc)
        if self.spans_key is not None or not missing or not doc.has_annotation("ENT_IOB"):
            return ()
        reason = f"{missing} words whose entity is not set are read as outside"
        return (Unused(str(self.path), number, reason),)


def _documents(path: Path) -> Iterator[Any]:
    spacy, doc_bin = _library()
    with open_binary(path) as source:
        content = source.read()
    _check_size(content, path)
    yield from doc_bin().from_bytes(content).get_docs(spacy.blank("xx").vocab)


def _check_size(content: bytes, path: Path) -> None:
    """Refuse a small file that is made to fill the memory: unpack it once piece by piece, and keep nothing."""
    unpacker, size = zlib.decompressobj(), 0
    most = max(_UNPACKED_BYTES, _UNPACKED_TIMES * len(content))
    while content and not unpacker.eof:
        size += len(unpacker.decompress(content, 1 << 20))
        content = unpacker.unconsumed_tail
        if size > most:
            raise DataError.at(f"unpacks to more than {_UNPACKED_TIMES} times its size: not read", path)


def _library() -> tuple[Any, Any]:
    try:
        import spacy
        from spacy.tokens import DocBin
    except ImportError as error:
        raise UsageError("reader `docbin` needs the package `spacy`: pip install 'sltk[spacy]'") from error
    return spacy, DocBin
