"""Parse SemEval's XML of aspect-based sentiment analysis: sentences, and the elements that annotate them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, NoReturn
from xml.parsers import expat

from ...errors import DataError, nearest
from ...files.safe_xml import new_parser, syntax_error
from ...files.text_lines import open_binary
from ...types import Unused

_CHUNK = 1 << 16


class Element(NamedTuple):
    """An element of XML: its line, and its attributes."""

    line: int
    attributes: dict[str, str]


@dataclass(slots=True)
class XmlSentence:
    """A `sentence` element: its text, and the elements that annotate it."""

    line: int
    attributes: dict[str, str]
    document: str | None
    text: str = ""
    annotations: list[Element] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class XmlElements:
    """The names of elements in a format."""

    annotation: str
    """The element that annotates a sentence."""
    containers: tuple[str, ...]
    """The elements around sentences and annotations."""
    document: str | None
    """The element of a document, whose own annotations are reported."""
    elsewhere: dict[str, str]
    """Elements of another format, with the reader for it."""

    @property
    def names(self) -> tuple[str, ...]:
        """All elements outside a text."""
        document = (self.document,) if self.document else ()
        return (*self.containers, *document, "sentence", "text", self.annotation)


def read_sentences(path: Path, vocabulary: XmlElements) -> Iterator[XmlSentence | Unused]:
    """Yield the sentences of a file, and reports of annotations that belong to no sentence.

    Raises:
        DataError: not well-formed XML, a document type declaration, an unknown element in a sentence, an element in
            the wrong place, or a sentence without text.
    """
    parser = _Parser(path, vocabulary)
    with open_binary(path, "xml") as source:
        while chunk := source.read(_CHUNK):
            parser.feed(chunk)
            yield from parser.take()
        parser.feed(b"", last=True)
        yield from parser.take()


class _Parser:
    """Collects the sentences of the bytes that it is fed."""

    def __init__(self, path: Path, vocabulary: XmlElements) -> None:
        self.path, self.vocabulary = path, vocabulary
        self._done: list[XmlSentence | Unused] = []
        self._document: str | None = None
        self._sentence: XmlSentence | None = None
        self._text: list[str] | None = None
        self._unknown: DataError | None = None
        """The error for the first unknown element around sentences."""
        self._around: list[tuple[str, int, int]] = []
        """Name and line of each open unknown element, and the number of sentences before it."""
        self._sentences = 0
        self._depth = 0  # of elements inside the text, which is the first of them
        self._expat = parser = new_parser(self._doctype)
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters

    def feed(self, data: bytes, last: bool = False) -> None:
        """Parse the next bytes."""
        try:
            self._expat.Parse(data, last)
        except expat.ExpatError as error:
            raise DataError.at(syntax_error(error), self.path, error.lineno) from error
        except (LookupError, ValueError) as error:  # from an `encoding` that the parser does not know
            raise self._error(syntax_error(error)) from error
        if last and self._unknown is not None and not self._sentences:
            raise self._unknown

    def take(self) -> list[XmlSentence | Unused]:
        """The sentences completed since the last call."""
        taken, self._done = self._done, []
        return taken

    def _error(
        self, message: str, *notes: str, line: int | None = None, suggestion: str | None = None
    ) -> DataError:
        line = line or self._expat.CurrentLineNumber
        return DataError.at(message, self.path, line, *notes, suggestion=suggestion)

    def _doctype(self) -> NoReturn:
        raise self._error("a document type declaration, which this reader refuses for safety")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        if self._depth and name not in self.vocabulary.names:
            self._depth += 1  # marked words belong to the text
            return
        self._check_place(name)
        element = Element(self._expat.CurrentLineNumber, attributes)
        if name == "sentence":
            self._sentence, self._text = XmlSentence(*element, self._document), None
        elif name == "text":
            self._text, self._depth = [], 1
        elif name == self.vocabulary.document:
            self._document = attributes.get("rid")
        elif name == self.vocabulary.annotation and self._sentence is not None:
            self._sentence.annotations.append(element)
        elif name == self.vocabulary.annotation:
            about = " ".join(f'{key}="{value}"' for key, value in attributes.items())
            reason = f"not read: this `{name}` is about the whole `{self.vocabulary.document}` ({about})"
            self._done.append(Unused(str(self.path), element.line, reason))

    def _check_place(self, name: str) -> None:
        """Check that an element is known, and in its place."""
        known = self.vocabulary
        if name in known.elsewhere:
            reader = known.elsewhere[name]
            raise self._error(f"`{name}` is not of this format: the reader `{reader}` reads it")
        if name not in known.names:
            note = f"elements of this format: {', '.join(known.names)}"
            error = self._error(f"unknown element `{name}`", note, suggestion=nearest(name, known.names))
            if self._sentence is not None:
                raise error
            self._unknown = self._unknown or error
            self._around.append((name, self._expat.CurrentLineNumber, self._sentences))
            return
        if self._depth:
            raise self._error(f"`{name}` is inside a `text`")
        inside = name == "text" or (name == known.annotation and known.document is None)
        if (name == "sentence" and self._sentence is not None) or (inside and self._sentence is None):
            if inside and self._unknown is not None:
                raise self._unknown
            raise self._error(f"`{name}` is {'outside' if inside else 'inside'} a `sentence`")
        if name == "text" and self._text is not None:
            raise self._error("a second `text` in this sentence")

    def _characters(self, data: str) -> None:
        if self._depth and self._text is not None:
            self._text.append(data)

    def _end(self, name: str) -> None:
        if self._depth:
            self._depth -= 1
        elif name == "sentence" and self._sentence is not None:
            if self._text is None:
                raise self._error("this sentence has no `text`", line=self._sentence.line)
            self._sentence.text = "".join(self._text)
            self._done.append(self._sentence)
            self._sentences += 1
            self._sentence = None
        elif self._around and self._around[-1][0] == name:
            _, line, sentences = self._around.pop()
            if sentences == self._sentences:
                self._done.append(Unused(str(self.path), line, f"not read: an unknown element `{name}`"))
