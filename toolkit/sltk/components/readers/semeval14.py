"""SemEval-2014 Task 4: aspect terms with character offsets, in XML."""

from __future__ import annotations

from ..registry import register
from .offsets import AnnotatedText
from .semeval import SemEvalReader
from .semeval_xml import XmlElements, XmlSentence


@register.reader("semeval14")
class SemEval14Reader(SemEvalReader):
    """SemEval-2014 Task 4 XML: aspect terms as spans, their polarity (including `conflict`) as type."""

    vocabulary = XmlElements(
        annotation="aspectTerm",
        containers=("sentences", "aspectTerms", "aspectCategories", "aspectCategory"),
        document=None,
        elsewhere=dict.fromkeys(("Reviews", "Review", "Opinions", "Opinion"), "semeval15"),
    )
    target = "term"

    def parse(self, sentence: XmlSentence) -> AnnotatedText:
        """The text and terms of a sentence.

        Raises:
            DataError: a term lacks an attribute.
        """
        spans, unused = self.each(
            sentence.annotations, lambda term: self.span(term, self.attribute(term, "polarity"))
        )
        return AnnotatedText(sentence.text, spans, str(self.path), sentence.line, tuple(unused))
