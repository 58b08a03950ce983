"""The `layered` head."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from ... import schemes
from ...errors import Problem, SpecError
from ...runtime.progress import current
from ...types import Sentence
from ..registry import register
from ..slots import Head
from .classifying import ClassifyingHead

if TYPE_CHECKING:
    from ...nn.softmax_head import HeadModule
    from ...schemes.labels import LabelSet


_PARTLY = "head `layered` cannot be trained on partly labelled sentences"
_PARTLY_NOTES = (
    "a span that its corpus does not annotate may contain annotated ones, which would then be on other layers",
    "use `head: {type: span}`, which finds the same spans",
    "or list all types under `annotates` in each source, if their corpora annotate them",
)


@register.head("layered")
class LayeredHead(ClassifyingHead):
    """A linear layer and a softmax over tags for each layer of spans, so that spans may overlap.

    Its scheme is `layers`: the longest of overlapping spans is on the first layer, those inside it on the next.
    """

    finds_overlaps: ClassVar[bool] = True

    layers: Literal["auto"] | Annotated[int, Field(ge=1)] = Field(
        default="auto", description="number of layers; `auto` is the least that reaches `coverage`"
    )
    coverage: float = Field(
        default=0.995,
        ge=0,
        le=1,
        description="share of the training spans that must be on these layers; fewer `layers` are an error",
    )
    dropout: float = Field(default=0.1, ge=0, lt=1, description="dropout rate for word vectors in training")

    def class_counts(self, sentences: Sequence[Sentence], labels: LabelSet) -> Counter[str]:
        """How many words have each tag, on all layers together."""
        layers, counts = self._layers(), Counter[str]()
        for sentence in sentences:
            own = schemes.split_layers(sentence.tags or ())[:layers]
            counts.update(tag for layer in own for tag in layer)
            counts[schemes.OUTSIDE] += (layers - len(own)) * len(sentence)
        return counts

    def fitted(self, sentences: Sequence[Sentence], labels: LabelSet) -> Head:
        """A copy with the number of layers and the class weights; spans on further layers are reported.

        Raises:
            SpecError: the layers hold less than `coverage`; or sentences are partly labelled; or see
                `ClassifyingHead.fitted`.
        """
        if any(sentence.unannotated(labels.types) for sentence in sentences):
            raise SpecError(Problem(_PARTLY, path="head", notes=_PARTLY_NOTES))
        counts = Counter[int]()
        for sentence in sentences:
            for number, layer in enumerate(schemes.split_layers(sentence.tags or ()), 1):
                counts[number] += len(schemes.chunks(layer, "IOB2", strict=True))
        total = counts.total()
        least = next((n for n in sorted(counts) if _up_to(n, counts) >= self.coverage * total), 1)
        layers = least if self.layers == "auto" else self.layers
        covered = _up_to(layers, counts)
        share = f"{covered / max(total, 1):.2%} of the {total:,} training spans"
        text = f"{layers} layer{'s' if layers > 1 else ''} hold{'' if layers > 1 else 's'} {share}"
        if covered < self.coverage * total:
            notes = (f"`layers: {least}` hold enough", "or lower `head.coverage` to train without the others")
            about = f"{text}, less than `coverage: {self.coverage}`"
            raise SpecError(Problem(about, path="head.layers", notes=notes))
        deepest = max((n for n in counts if counts[n]), default=1)
        current().note(f"head layered: {text}; the deepest is on layer {deepest}")
        return ClassifyingHead.fitted(self.model_copy(update={"layers": layers}), sentences, labels)

    def _layers(self) -> int:
        if self.layers == "auto":
            raise ValueError("`fitted` finds the number of `layers: auto`: call it before `build`")
        return self.layers

    def build(self, hidden_size: int, labels: LabelSet) -> HeadModule:
        """A fresh float32 head for word vectors of `hidden_size`."""
        from ...nn.layered_head import LayeredHeadModule
        from ...nn.softmax_head import linear_scorer

        layers = self._layers()
        scorer = linear_scorer(hidden_size, layers * len(labels), self.dropout)
        return LayeredHeadModule(scorer, layers, self.criterion(labels))


def _up_to(layer: int, counts: Counter[int]) -> int:
    return sum(count for number, count in counts.items() if number <= layer)
