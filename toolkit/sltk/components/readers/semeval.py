"""Base class of the readers of SemEval's XML of aspect-based sentiment analysis."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from ...errors import DataError, nearest
from ...types import Sentence, Unused
from ..examples import aspect_sentences
from ..slots import FileReader
from .left_out import attach_reports
from .offset_units import CharSpan
from .offsets import AnnotatedText, OffsetReader
from .semeval_xml import Element, XmlElements, XmlSentence, read_sentences


class SemEvalReader(OffsetReader, FileReader):
    """A reader of SemEval's XML. A subclass names the elements of its format, and implements `parse`."""

    vocabulary: ClassVar[XmlElements]
    target: ClassVar[str]
    """The attribute of an annotation that repeats the annotated text."""

    def texts(self) -> Iterator[AnnotatedText | Sentence]:
        """Yield one text per sentence.

        Raises:
            DataError: not such a file, see `read_sentences`, or an annotation lacks an attribute.
        """
        items = read_sentences(self.path, self.vocabulary)
        return attach_reports(item if isinstance(item, Unused) else self.parse(item) for item in items)

    def parse(self, sentence: XmlSentence) -> AnnotatedText | Unused:
        """The text and spans of a sentence, or a report if it is left out."""
        raise NotImplementedError

    def span(self, annotation: Element, type_: str) -> CharSpan:
        """The span of an annotation.

        Raises:
            DataError: it has no text, or no offsets.
        """
        text, start, end = (self.attribute(annotation, name) for name in (self.target, "from", "to"))
        try:
            return CharSpan(int(start), int(end), type_, annotation.line, text=text)
        except ValueError:
            message = f"`from` and `to` of `{text}` are not whole numbers"
            raise DataError.at(message, self.path, annotation.line) from None

    def attribute(self, annotation: Element, name: str) -> str:
        """The value of an attribute.

        Raises:
            DataError: it is missing or empty.
        """
        value = annotation.attributes.get(name)
        if value:
            return value
        known = [each for each in annotation.attributes if each != name]
        message = f"this `{self.vocabulary.annotation}` has no `{name}`"
        note = f"its attributes: {', '.join(annotation.attributes) or 'none'}"
        raise DataError.at(message, self.path, annotation.line, note, suggestion=nearest(name, known))

    example_sentences = aspect_sentences
