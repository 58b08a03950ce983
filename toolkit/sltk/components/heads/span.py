"""The `span` head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from ...decoding.span_choice import Overlap, ScorerName, cross
from ...errors import Problem, SpecError, nearest
from ...runtime.progress import current
from ...schemes import OUTSIDE, resolve_overlaps
from ...types import Sentence, Span
from ..registry import RefusedError, register
from ..slots import Head
from .classifying import ClassifyingHead

if TYPE_CHECKING:
    from ...nn.softmax_head import HeadModule
    from ...schemes.labels import LabelSet


@register.head("span")
class SpanHead(ClassifyingHead):
    """Classifies every span of up to `max_width` words as a type, several types or none, so that spans may overlap.

    Its scheme is `layers`. `class_weights` has weights of classes: `O` for candidates that are no span, types, and
    `A+B` for those with several types.
    """

    finds_overlaps: ClassVar[bool] = True

    scorer: ScorerName = Field(
        default="mlp",
        description="scores of a candidate: a hidden layer over the vectors of its first word, its last word and its "
        "width (mlp), or a biaffine form of the vectors of its first and its last word (biaffine)",
    )
    size: int = Field(
        default=128, ge=1, description="size of the hidden layer, or of the vectors of the biaffine form"
    )
    max_width: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default="auto",
        description="words of the longest candidates; `auto` is the least that reaches `coverage`",
    )
    coverage: float = Field(
        default=0.995,
        ge=0,
        le=1,
        description="share of the training spans that candidates must cover; a smaller `max_width` is an error",
    )
    combinations: Literal["auto"] | list[Annotated[list[str], Field(min_length=2)]] = Field(
        default="auto",
        description="types that the same words may have together, which are a class of their own; `auto`: those that "
        "some words of the training data have",
    )
    negatives: Literal["all"] | Annotated[float, Field(gt=0, le=1)] = Field(
        default="all",
        description="share of the candidates without a span that training scores, other ones in each update; their "
        "loss is divided by it, so the expected loss stays the same",
    )
    overlap: Overlap = Field(
        default="nested",
        description="which predicted spans may overlap: none, those of which one contains the other (nested), or any",
    )
    dropout: float = Field(
        default=0.1, ge=0, lt=1, description="dropout rate for the input of each layer in training"
    )

    @model_validator(mode="after")
    def _check_decisions(self) -> SpanHead:
        if self.decode != "head":
            about = "head `span` chooses spans, not tags: `overlap` says which may overlap"
            raise RefusedError(f"{about}; leave out `decode`", "decode")
        if self.span_score != "product":
            about = "a span of head `span` has one probability, which is its score"
            raise RefusedError(f"{about}: leave out `span_score`", "span_score")
        return self

    def type_sets(self, labels: LabelSet) -> list[tuple[str, ...]]:
        """The types of each class: none, each of them, and those of `combinations`."""
        if self.combinations == "auto":
            raise ValueError("`fitted` finds the `combinations: auto`: call it before `build`")
        several = sorted({tuple(sorted(set(each))) for each in self.combinations})
        return [(), *((type_,) for type_ in labels.types), *several]

    def classes(self, labels: LabelSet) -> Sequence[str]:
        """`O` for no span, the types, and `A+B` for several types."""
        return ["+".join(types) or OUTSIDE for types in self.type_sets(labels)]

    def class_counts(self, sentences: Sequence[Sentence], labels: LabelSet) -> Counter[str]:
        """How many candidates have each class."""
        width, names = self._width(), set(self.classes(labels))
        counts: Counter[str] = Counter()
        for sentence in sentences:
            for (start, end), types in _by_place(sentence).items():
                name = "+".join(types)
                counts[name if name in names else types[0]] += end - start <= width
            counts[OUTSIDE] += _candidates(len(sentence), width)
        counts[OUTSIDE] -= counts.total() - counts[OUTSIDE]
        return counts

    def fitted(self, sentences: Sequence[Sentence], labels: LabelSet) -> Head:
        """A copy with the width limit and the class weights; what candidates cover and cost is reported.

        Raises:
            SpecError: the width limit covers less than `coverage`; or see `ClassifyingHead.fitted`.
        """
        widths = Counter(span.end - span.start for each in sentences for span in each.spans or ())
        least = _least_width(widths, self.coverage)
        width = least if self.max_width == "auto" else self.max_width
        covered, total = sum(n for words, n in widths.items() if words <= width), widths.total()
        share = f"{covered / max(total, 1):.2%} of the {total:,} training spans"
        if covered < self.coverage * total:
            about = f"candidates of up to {width} words cover {share}, less than `coverage: {self.coverage}`"
            notes = (
                f"`max_width: {least}` covers enough",
                "or lower `head.coverage` to train without the others",
            )
            raise SpecError(Problem(about, path="head.max_width", notes=notes))
        longest = max(widths, default=0)
        lost = f"{total - covered:,} lost, the longest has {longest} words"
        current().note(f"head span: candidates of up to {width} words cover {share}; {lost}")
        combinations = self._combinations(sentences, labels)
        for note in _lost(sentences, self.overlap, combinations):
            current().note(f"head span: {note}")
        head = self.model_copy(update={"max_width": width, "combinations": combinations})
        if sentences:
            current().note(f"head span: {head._cost(max(sentences, key=len), labels)}")
        return ClassifyingHead.fitted(head, sentences, labels)

    def _cost(self, sentence: Sentence, labels: LabelSet) -> str:
        """The candidates of the longest sentence, and the memory that an update needs for them."""
        width = self._width()
        count = scored = _candidates(len(sentence), width)
        if self.negatives != "all":
            gold = sum(end - start <= width for start, end in _by_place(sentence))
            scored = gold + round(self.negatives * (count - gold))
        part = "" if scored == count else f", about {scored:,} of which an update scores"
        size = scored * self.candidate_bytes(len(self.type_sets(labels))) / 2**20
        words = f"the longest training sentence, {len(sentence):,} words, has {count:,} candidates"
        return f"{words}{part}: about {size:,.1f} MiB in an update"

    def candidate_bytes(self, classes: int) -> int:
        """Bytes that an update keeps of a candidate for its backward pass, as torch does on a CPU.

        Numbers are float32: the hidden layer, or both vectors and their product with the form of each class; what
        dropout keeps; and log-probabilities. Three indices say which words and which class a candidate has.
        """
        numbers = self.size if self.scorer == "mlp" else (self.size + 1) * (2 + classes)
        if self.dropout:
            numbers += 2 * self.size
        return 4 * (numbers + classes) + 3 * 8

    def _combinations(self, sentences: Sequence[Sentence], labels: LabelSet) -> list[list[str]]:
        """The types that are a class together.

        Raises:
            SpecError: one of them is no type of the training data.
        """
        if self.combinations == "auto":
            found = {types for sentence in sentences for types in _by_place(sentence).values()}
            return [list(types) for types in sorted(found) if len(types) > 1]
        for number, types in enumerate(self.combinations):
            unknown = [type_ for type_ in types if type_ not in labels.types]
            if unknown:
                about = f"the training data has no type `{unknown[0]}`"
                place, notes = f"head.combinations.{number}", (f"it has: {', '.join(labels.types)}",)
                raise SpecError(
                    Problem(about, path=place, suggestion=nearest(unknown[0], labels.types), notes=notes)
                )
        return self.combinations

    def _width(self) -> int:
        if self.max_width == "auto":
            raise ValueError("`fitted` finds the width of `max_width: auto`: call it before `build`")
        return self.max_width

    def build(self, hidden_size: int, labels: LabelSet) -> HeadModule:
        """A fresh float32 head for word vectors of `hidden_size`."""
        from ...nn.span_head import BiaffineSpanScorer, MlpSpanScorer, SpanHeadModule

        kind = MlpSpanScorer if self.scorer == "mlp" else BiaffineSpanScorer
        classes = self.type_sets(labels)
        scorer = kind(hidden_size, self.size, self._width(), len(classes), self.dropout)
        share = 1.0 if self.negatives == "all" else self.negatives
        return SpanHeadModule(scorer, labels, classes, self.overlap, share, self.criterion(labels))


def _candidates(words: int, width: int) -> int:
    """How many spans of up to `width` words a sentence has."""
    return sum(words - each + 1 for each in range(1, min(words, width) + 1))


def _least_width(widths: Counter[int], coverage: float) -> int:
    """The smallest width that covers this share of spans."""
    covered = 0
    for width, count in sorted(widths.items()):
        covered += count
        if covered >= coverage * widths.total():
            return width
    return 1


def _by_place(sentence: Sentence) -> dict[tuple[int, int], tuple[str, ...]]:
    """The types of the spans over the same words."""
    types: dict[tuple[int, int], tuple[str, ...]] = {}
    for span in sorted(set(sentence.spans or ())):
        types[span.start, span.end] = (*types.get((span.start, span.end), ()), span.type)
    return types


def _lost(
    sentences: Sequence[Sentence], overlap: Overlap, combinations: Sequence[Sequence[str]]
) -> list[str]:
    """What the head cannot learn or predict, whatever the width."""
    known = {tuple(sorted(types)) for types in combinations}
    twins = excluded = 0
    for places in map(_by_place, sentences):
        twins += sum(len(types) - 1 for types in places.values() if len(types) > 1 and types not in known)
        distinct = [Span(start, end, "") for start, end in places]
        if overlap == "none":
            excluded += len(resolve_overlaps(distinct)[1])
        elif overlap == "nested":
            excluded += _crossing(distinct)
    notes = []
    if known:
        shown = ", ".join("+".join(types) for types in sorted(known))
        notes.append(f"words with several types have a class of their own: {shown}")
    if twins:
        notes.append(
            f"{twins:,} training spans have the words of another type's, with which `combinations` does not list them: "
            "only the first type by name is learned"
        )
    if excluded:
        notes.append(
            f"{excluded:,} training spans overlap others as `overlap: {overlap}` excludes in predictions"
        )
    return notes


def _crossing(spans: Sequence[Span]) -> int:
    """How many spans cross a longer or an earlier one."""
    ranked = sorted(spans, key=lambda span: (span.start - span.end, span.start))
    return sum(any(cross(span, other) for other in ranked[:number]) for number, span in enumerate(ranked))
