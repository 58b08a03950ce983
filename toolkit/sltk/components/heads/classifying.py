"""Heads that classify items independently of each other, and the keys of their loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from ...errors import Problem, SpecError, nearest
from ...runtime.progress import current
from ...schemes.rules import parse_tag
from ...types import Sentence
from ..registry import RefusedError
from ..slots import Head

if TYPE_CHECKING:
    from ...nn.classification_loss import ClassificationLoss
    from ...schemes.labels import LabelSet

_LISTED = 40
"""Classes whose weights are listed in a note."""

Weights = dict[str, Annotated[float, Field(ge=0)]]


class ClassifyingHead(Head):
    """A head with a softmax over the classes of each item. By default, items are words and classes are tags.

    A head with other classes overrides `classes` and `class_counts`, and its module applies `criterion`.
    """

    unwritten_defaults: ClassVar[Mapping[str, Any]] = {
        "class_weights": None,
        "loss": "cross_entropy",
        "gamma": 2.0,
        "label_smoothing": 0.0,
    }

    class_weights: Literal["balanced"] | Annotated[Weights, Field(min_length=1)] | None = Field(
        default=None,
        description="weights of tags in the loss: a mapping of tags (`O`, `B-PER`) or types (`PER`: all its tags) to "
        "weights, 1 for all others; or `balanced`: words / (tags x words with the tag), from the training data",
    )
    loss: Literal["cross_entropy", "focal"] = Field(
        default="cross_entropy",
        description="loss of each word; `focal` gives words that are already right less weight",
    )
    gamma: float = Field(
        default=2.0, ge=0, description="with `loss: focal`: the exponent of 1 - p; 0 is cross-entropy"
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="share of the target that all tags get equally"
    )

    @model_validator(mode="after")
    def _check_loss(self) -> ClassifyingHead:
        if self.loss != "focal" and "gamma" in self.model_fields_set:
            raise RefusedError("`gamma` is for `loss: focal`", "gamma")
        if self.loss == "focal" and self.label_smoothing:
            about = "the focal loss is defined for one class per word: leave out `label_smoothing`, or `loss: focal`"
            raise RefusedError(about, "label_smoothing")
        return self

    def classes(self, labels: LabelSet) -> Sequence[str]:
        """The names of the classes in the order of their scores."""
        return labels.tags

    def class_counts(self, sentences: Sequence[Sentence], labels: LabelSet) -> Counter[str]:
        """How many training items each class has."""
        return Counter(tag for sentence in sentences for tag in sentence.tags or ())

    def fitted(self, sentences: Sequence[Sentence], labels: LabelSet) -> Head:
        """A copy with the weight of each class, which is also reported.

        Raises:
            SpecError: a weight belongs to no class of the training data, or all weights are 0.
        """
        if self.class_weights is None:
            return self
        names, counts = self.classes(labels), self.class_counts(sentences, labels)
        if isinstance(self.class_weights, str):
            weights = balanced(names, counts)
        else:
            _check_names(self.class_weights, names, labels)
            weights = _by_class(self.class_weights, names, labels)
        for note in _notes(weights, counts, is_balanced=self.class_weights == "balanced"):
            current().note(note)
        return self.model_copy(update={"class_weights": weights})

    def criterion(self, labels: LabelSet) -> ClassificationLoss:
        """The loss that the keys describe.

        Raises:
            ValueError: the weights are `balanced`, and `fitted` has not computed them.
        """
        from ...nn.classification_loss import ClassificationLoss

        weights = None
        if isinstance(self.class_weights, str):
            raise ValueError(
                "`fitted` computes the weights of `class_weights: balanced`: call it before `build`"
            )
        if self.class_weights is not None:
            weights = [*_by_class(self.class_weights, self.classes(labels), labels).values()]
        return ClassificationLoss(weights, self.loss, self.gamma, self.label_smoothing)


def balanced(names: Sequence[str], counts: Mapping[str, int]) -> dict[str, float]:
    """n / (k count): n items, k classes with an item; so each of these has the same total weight, and the mean is 1.

    The heuristic of King and Zeng, Logistic Regression in Rare Events Data (2001), in the form of scikit-learn's
    `class_weight="balanced"`. A class without an item has the weight 1, which no item uses.
    """
    present = [name for name in names if counts.get(name)]
    total = sum(counts[name] for name in present)
    return {name: total / (len(present) * counts[name]) if name in present else 1.0 for name in names}


def _by_class(weights: Mapping[str, float], names: Sequence[str], labels: LabelSet) -> dict[str, float]:
    """The weight of each class: its own, otherwise that of its type, otherwise 1."""
    return {name: weights.get(name, weights.get(_type_of(name, labels), 1.0)) for name in names}


def _type_of(name: str, labels: LabelSet) -> str:
    role = None if labels.scheme == "plain" else parse_tag(name, labels.scheme)
    return role[1] if role else ""


def _check_names(weights: Mapping[str, float], names: Sequence[str], labels: LabelSet) -> None:
    known = dict.fromkeys((*names, *filter(None, (_type_of(name, labels) for name in names))))
    listed = ", ".join([*known][:_LISTED]) + (", …" if len(known) > _LISTED else "")
    problems = [
        Problem(
            f"`class_weights` has a weight for `{name}`, which the training data does not have",
            path=f"head.class_weights.{name}",
            suggestion=nearest(name, known),
            notes=(f"it has: {listed}",),
        )
        for name in weights
        if name not in known
    ]
    if not problems and not any(_by_class(weights, names, labels).values()):
        problems = [Problem("all weights are 0, so nothing would be learned", path="head.class_weights")]
    if problems:
        raise SpecError(problems)


def _notes(weights: Mapping[str, float], counts: Mapping[str, int], *, is_balanced: bool) -> Iterator[str]:
    """The weights, their mean over the training items, and classes without an item."""
    used = {name: weight for name, weight in weights.items() if counts.get(name)}
    listed = sorted(used, key=lambda name: used[name])
    if len(listed) > _LISTED:
        listed = [*listed[: _LISTED // 2], "…", *listed[-_LISTED // 2 :]]
    text = ", ".join(f"{name} {used[name]:.4g}" if name in used else name for name in listed)
    total = sum(counts[name] for name in used)
    mean = sum(counts[name] * weight for name, weight in used.items()) / total if total else 1.0
    yield f"class weights{' (balanced)' if is_balanced else ''}: {text}; mean over the training data {mean:.4g}"
    if unused := [name for name in weights if name not in used]:
        names = ", ".join(unused[:_LISTED]) + (", …" if len(unused) > _LISTED else "")
        yield f"class weights: {len(unused)} without a training example, so their weights have no effect: {names}"
