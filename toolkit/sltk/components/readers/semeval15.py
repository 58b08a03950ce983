"""SemEval-2015 Task 12 and SemEval-2016 Task 5: opinion targets with category and polarity, in XML."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ...types import Unused
from ..registry import register
from .offset_units import CharSpan
from .offsets import AnnotatedText
from .semeval import SemEvalReader
from .semeval_xml import Element, XmlElements, XmlSentence

_NO_TARGET = "NULL"
_SINGLE_TYPE = "target"


@register.reader("semeval15")
class SemEval15Reader(SemEvalReader):
    """SemEval-2015 Task 12 XML: opinion targets as spans, with the polarity or category of the opinion as type.

    Opinions without a target (`NULL`, or no `target` at all) and those about a whole review are reported. Opinions
    of one target and one type are one span. A review is a document.
    """

    types: Literal["polarity", "category", "both", "target"] = Field(
        default="polarity",
        description="types of spans: `positive` (polarity), `FOOD#QUALITY` (category), `FOOD#QUALITY:positive` (both), "
        "or the single type `target` (target)",
    )
    out_of_scope: Literal["skip", "outside"] = Field(
        default="skip",
        description="sentences marked `OutOfScope`, which were not annotated: left out and counted (skip), or read as "
        "sentences without a target (outside)",
    )

    vocabulary = XmlElements(
        annotation="Opinion",
        containers=("Reviews", "sentences", "Opinions"),
        document="Review",
        elsewhere=dict.fromkeys(
            ("aspectTerms", "aspectTerm", "aspectCategories", "aspectCategory"), "semeval14"
        ),
    )
    target = "target"

    def parse(self, sentence: XmlSentence) -> AnnotatedText | Unused:
        """The text and targets of a sentence, or a report if it is out of scope.

        Raises:
            DataError: an opinion lacks an attribute that is read.
        """
        file = str(self.path)
        is_marked = sentence.attributes.get("OutOfScope", "").upper() == "TRUE"
        if is_marked and not sentence.annotations and self.out_of_scope == "skip":
            return Unused(file, sentence.line, "left out: this sentence is marked `OutOfScope`")
        with_target = [each for each in sentence.annotations if not _lacks_target(each)]
        unused = [
            Unused(file, each.line, _without(each)) for each in sentence.annotations if _lacks_target(each)
        ]
        spans, left_out = self.each(with_target, lambda each: self.span(each, self._type(each)))
        spans, repeated = _distinct(spans, file)
        reports = (*unused, *left_out, *repeated)
        return AnnotatedText(sentence.text, spans, file, sentence.line, reports, sentence.document)

    def _type(self, opinion: Element) -> str:
        if self.types == "target":
            return _SINGLE_TYPE
        names = ("category", "polarity") if self.types == "both" else (self.types,)
        return ":".join(self.attribute(opinion, name) for name in names)


@register.reader("semeval16")
class SemEval16Reader(SemEval15Reader):
    """SemEval-2016 Task 5 XML, which is that of 2015: opinion targets as spans, with polarity or category as type.

    Opinions without a target (`NULL`, or no `target` at all) and those about a whole review are reported. Opinions
    of one target and one type are one span. A review is a document.
    """


def _lacks_target(opinion: Element) -> bool:
    """Whether an opinion names no words: its target is `NULL`, at no offsets, or it has none of the attributes."""
    target, start, end = (opinion.attributes.get(name) for name in ("target", "from", "to"))
    if target is None:
        return start is None and end is None
    return target == _NO_TARGET and (start or "0") == (end or "0") == "0"


def _without(opinion: Element) -> str:
    values = ", ".join(
        opinion.attributes[name] for name in ("category", "polarity") if name in opinion.attributes
    )
    return f"an opinion without a target ({values})"


def _distinct(spans: list[CharSpan], file: str) -> tuple[list[CharSpan], list[Unused]]:
    """The spans without repetitions, and reports of those that are repeated."""
    groups: dict[tuple[int, int, str, str | None], list[CharSpan]] = {}
    for span in spans:
        groups.setdefault((span.start, span.end, span.type, span.text), []).append(span)
    reports = [
        Unused(
            file,
            first.line,
            f"`{first.text}` ({first.type}) has {len(more) + 1} opinions of this type: one span",
            adjusted=True,
        )
        for first, *more in groups.values()
        if more
    ]
    return [group[0] for group in groups.values()], reports
