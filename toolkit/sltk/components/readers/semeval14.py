"""SemEval-2014 Task 4: aspect terms with character offsets, in XML."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from ...errors import DataError
from ...files.text_lines import open_binary
from ..examples import aspect_sentences
from ..registry import register
from ..slots import FileReader
from .offset_units import CharSpan
from .offsets import AnnotatedText, OffsetReader

_CHUNK = 1 << 16


@register.reader("semeval14")
class SemEval14Reader(OffsetReader, FileReader):
    """SemEval-2014 Task 4 XML: aspect terms as spans, their polarity (including `conflict`) as type."""

    def texts(self) -> Iterator[AnnotatedText]:
        """Yield one text per sentence, including those without a term.

        Raises:
            DataError: not well-formed XML, a document type declaration, or a `sentence` without text.
        """
        parser = _SentenceParser(self)
        with open_binary(self.path, "xml") as source:
            while chunk := source.read(_CHUNK):
                parser.feed(chunk)
                yield from parser.take()
            parser.feed(b"", last=True)
            yield from parser.take()

    example_sentences = aspect_sentences


class _SentenceParser:
    """Collects the text and the terms of each `sentence` element."""

    def __init__(self, reader: SemEval14Reader) -> None:
        self.path, self.reader = reader.path, reader
        self._done: list[AnnotatedText] = []
        self._line = 0
        self._text: list[str] | None = None
        self._in_text = self._in_sentence = False
        self._terms: list[tuple[int, dict[str, str]]] = []
        self._expat = parser = expat.ParserCreate()
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        # Without a DTD there are no entities to expand or to fetch.
        parser.StartDoctypeDeclHandler = self._doctype

    def feed(self, data: bytes, last: bool = False) -> None:
        """Parse the next bytes."""
        try:
            self._expat.Parse(data, last)
        except expat.ExpatError as error:
            message = f"not well-formed XML: {expat.errors.messages[error.code]} (column {error.offset + 1})"
            raise DataError.at(message, self.path, error.lineno) from error
        except (LookupError, ValueError) as error:  # from an `encoding` that the parser does not know
            raise self._error(f"not well-formed XML: {error}") from error

    def take(self) -> list[AnnotatedText]:
        """The sentences completed since the last call."""
        taken, self._done = self._done, []
        return taken

    def _error(self, message: str, line: int | None = None) -> DataError:
        return DataError.at(message, self.path, line or self._expat.CurrentLineNumber)

    def _doctype(self, *_: Any) -> None:
        raise self._error("a document type declaration, which this reader refuses for safety")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if name in ("sentence", "text", "aspectTerm") and self._in_sentence == (name == "sentence"):
            raise self._error(f"`{name}` is {'inside' if self._in_sentence else 'outside'} a `sentence`")
        if name == "sentence":
            self._in_sentence = True
            self._line, self._text, self._terms = self._expat.CurrentLineNumber, None, []
        elif name == "text":
            if self._text is not None:
                raise self._error("a second `text` in this sentence")
            self._text, self._in_text = [], True
        elif name == "aspectTerm":
            self._terms.append((self._expat.CurrentLineNumber, attributes))

    def _characters(self, data: str) -> None:
        if self._in_text and self._text is not None:
            self._text.append(data)

    def _end(self, name: str) -> None:
        if name == "text":
            self._in_text = False
        elif name == "sentence":
            self._in_sentence = False
            if self._text is None:
                raise self._error("this sentence has no `text`", self._line)
            text = "".join(self._text)
            spans, unused = self.reader.each(self._terms, self._term)
            self._done.append(AnnotatedText(text, spans, str(self.path), self._line, tuple(unused)))

    def _term(self, term: tuple[int, dict[str, str]]) -> CharSpan:
        line, attributes = term
        missing = [name for name in ("term", "polarity", "from", "to") if not attributes.get(name)]
        if missing:
            raise self._error(f"this aspect term has no `{missing[0]}`", line)
        name = attributes["term"]
        try:
            start, end = int(attributes["from"]), int(attributes["to"])
        except ValueError:
            raise self._error(f"`from` and `to` of `{name}` are not whole numbers", line) from None
        return CharSpan(start, end, attributes["polarity"], line, text=name)
