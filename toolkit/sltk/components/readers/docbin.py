"""spaCy's DocBin: documents with their entities, in a .spacy file."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from ...errors import DataError, InputError, nearest
from ...files.text_lines import open_binary
from ...files.unpacking import check_unpacked_size
from ...runtime.optional_imports import import_optional, install_extra
from ...types import Sentence, Span, Unused
from ..registry import register
from ..slots import FileReader
from .standoff import PartlyAnnotatedReader


@register.reader("docbin")
class DocBinReader(PartlyAnnotatedReader, FileReader):
    """spaCy's DocBin (.spacy): words, text and entities. Needs the extra: `pip install 'sltk[spacy]'`.

    Sentences are those of the file; a document without sentence boundaries is one sentence, and sentences that a span
    crosses are joined. White-space tokens are left out. The line of a sentence is its document's number, from 1.
    """

    requires: ClassVar[Mapping[str, str]] = {"spacy": install_extra("spacy")}

    spans_key: str | None = Field(
        default=None, description="span group to read, whose spans may overlap; unset: the entities"
    )

    def read_file(self) -> Iterator[Sentence]:
        """Yield the sentences of each document, without annotation if its entities are not set.

        Raises:
            UsageError: spaCy is not installed.
            DataError: the file is not a DocBin, or a document lacks the group `spans_key`.
        """
        number = 0
        try:
            for number, doc in enumerate(_documents(self.path), 1):
                yield from list(self._sentences(doc, number))
        except (InputError, MemoryError):
            raise
        except Exception as error:  # damaged files raise many kinds, from zlib, msgpack, numpy or spaCy
            message = f"not a readable DocBin: {str(error) or type(error).__name__}"
            raise DataError.at(message, self.path, number or None) from error

    def _sentences(self, doc: Any, number: int) -> Iterator[Sentence]:
        annotated = self.spans_key is not None or doc.has_annotation("ENT_IOB")
        if not annotated and doc.spans and self.unannotated == "error":
            groups = ", ".join(doc.spans)
            message = f"document {number} has no entities, but span groups: {groups}"
            raise DataError.at(message, self.path, number, "choose one with `spans_key`")
        spans = self._spans(doc, number)
        reports = self._reports(doc, number)
        has_boundaries = len(doc) and doc.has_annotation("SENT_START")  # true of an empty document
        bounds = [sentence.start for sentence in doc.sents] if has_boundaries else [0]
        crossed = {bound for span in spans for bound in range(span.start + 1, span.end)}
        bounds = [bound for bound in bounds if bound not in crossed]
        for start, end in zip(bounds, [*bounds[1:], len(doc)], strict=True):
            inside = [span for span in spans if start <= span.start < end]
            sentence = self._sentence(doc[start:end], inside, number)
            sentence.unused, reports = (*reports, *sentence.unused), ()
            if not annotated:
                sentence.spans = None
            yield sentence

    def _sentence(self, part: Any, doc_spans: list[Any], number: int) -> Sentence:
        """The words of part of a document, and the spans in it."""
        words = [token for token in part if token.text.strip()]
        index_of = {token.i: index for index, token in enumerate(words)}
        spans, unused = [], []
        for span in doc_spans:
            inside = [index_of[token.i] for token in span if token.i in index_of]
            if inside and span.label_:
                spans.append(Span(inside[0], inside[-1] + 1, span.label_))
            else:
                problem = "covers no word" if span.label_ else "has no type"
                reason = f"`{span.text}` ({span.label_}) {problem}"
                unused.append(Unused(str(self.path), number, reason, span.label_ or None))
        first = part.start_char
        return Sentence(
            [token.text for token in words],
            spans=spans,
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
        groups = list(doc.spans)
        message = f"document {number} has no span group `{self.spans_key}`"
        note = f"its groups: {', '.join(groups) or 'none'}"
        suggestion = nearest(self.spans_key, groups)
        raise DataError.at(message, self.path, number, note, suggestion=suggestion)

    def _reports(self, doc: Any, number: int) -> tuple[Unused, ...]:
        """A report of words that spaCy marks as not annotated, in a document with annotation."""
        missing = sum(token.ent_iob == 0 and not token.is_space for token in doc)
        if self.spans_key is not None or not missing or not doc.has_annotation("ENT_IOB"):
            return ()
        reason = f"{missing} words without an entity annotation are read as `O`"
        return (Unused(str(self.path), number, reason),)


def _documents(path: Path) -> Iterator[Any]:
    spacy = import_optional("spacy", "reader `docbin`", "spacy")
    with open_binary(path) as source:
        content = source.read()
    _check_size(content, path)
    yield from spacy.tokens.DocBin().from_bytes(content).get_docs(spacy.blank("xx").vocab)


def _check_size(content: bytes, path: Path) -> None:
    """Refuse a small file crafted to fill the memory: unpack it once, piece by piece, without keeping the pieces."""
    # The file itself may be compressed once more.
    packed = min(len(content), path.stat().st_size) if path.is_file() else len(content)
    unpacker, size = zlib.decompressobj(), 0
    while content and not unpacker.eof:
        size += len(unpacker.decompress(content, 1 << 20))
        content = unpacker.unconsumed_tail
        check_unpacked_size(size, packed, path)
