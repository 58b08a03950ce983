"""The kinds of errors of predicted spans: each gold and each predicted span has exactly one.

Spans are compared in this order, and a span that has found its kind takes no further part:

1. Equal spans are correct.
2. Spans over the same words have the wrong type.
3. A gold span is split if several predicted spans, which do not overlap each other, have more than half of their
   words in it; likewise, gold spans are merged. A part has no better match: of all spans of the other side, it has
   the largest share of words in common with this one.
4. Spans that share words form pairs: first those of the same type, then those with the largest share of words in
   common. They differ in their start, their end, or both, and possibly in type.
5. The others are missed or spurious.

The share of words in common is the Jaccard index: the words in both spans, divided by the words in at least one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ..schemes import Chunk

Kind = Literal[
    "correct",
    "missed",
    "spurious",
    "wrong type",
    "wrong start",
    "wrong end",
    "wrong start and end",
    "wrong type and boundaries",
    "split",
    "merged",
]
KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True)
class SpanComparison:
    """Gold and predicted spans that belong together, and their kind: `correct`, or a kind of error."""

    kind: Kind
    gold: tuple[Chunk, ...] = ()
    predicted: tuple[Chunk, ...] = ()

    @property
    def start(self) -> int:
        """The first word of all spans."""
        return min(span[0] for span in self.gold + self.predicted)


def compare_spans(gold: Iterable[Chunk], predicted: Iterable[Chunk]) -> list[SpanComparison]:
    """Compare the spans of a sentence; each span is in one of the results, which are in order of the sentence.

    Spans may overlap. The result does not depend on the order of the spans.
    """
    golds, guesses = set(gold), set(predicted)
    found = [SpanComparison("correct", (span,), (span,)) for span in golds & guesses]
    left = _Unmatched(golds - guesses, guesses - golds)
    for step in (_same_words, _groups, _pairs):
        for comparison in step(left):
            left.remove(comparison)
            found.append(comparison)
    found += [SpanComparison("missed", (span,)) for span in left.gold]
    found += [SpanComparison("spurious", (), (span,)) for span in left.predicted]
    return sorted(found, key=lambda each: (each.start, each.gold, each.predicted))


@dataclass(slots=True)
class _Unmatched:
    """The spans that have no kind yet."""

    gold: set[Chunk]
    predicted: set[Chunk]

    def remove(self, comparison: SpanComparison) -> None:
        self.gold.difference_update(comparison.gold)
        self.predicted.difference_update(comparison.predicted)


def _same_words(left: _Unmatched) -> list[SpanComparison]:
    by_words: dict[tuple[int, int], list[Chunk]] = defaultdict(list)
    for span in sorted(left.predicted, reverse=True):
        by_words[span[:2]].append(span)
    found = []
    for span in sorted(left.gold):
        if same := by_words.get(span[:2]):
            found.append(SpanComparison("wrong type", (span,), (same.pop(),)))
    return found


Overlaps = dict[Chunk, dict[Chunk, int]]
"""For each span of one side, the spans of the other that share words with it, and how many."""


def _groups(left: _Unmatched) -> list[SpanComparison]:
    """Split and merged spans: those with the most parts first."""
    of_gold, of_predicted = _overlaps(left.gold, left.predicted), _overlaps(left.predicted, left.gold)
    groups = [
        *(("split", *group) for group in _wholes(of_gold, of_predicted)),
        *(("merged", *group) for group in _wholes(of_predicted, of_gold)),
    ]
    groups.sort(key=lambda group: (-len(group[2]), group[1], group[0]))
    used: set[tuple[bool, Chunk]] = set()
    found = []
    for kind, whole, parts in groups:
        is_split = kind == "split"
        members = {(is_split, whole), *((not is_split, part) for part in parts)}
        if members & used:
            continue
        used |= members
        found.append(
            SpanComparison("split", (whole,), parts)
            if is_split
            else SpanComparison("merged", parts, (whole,))
        )
    return found


def _wholes(overlaps: Overlaps, backwards: Overlaps) -> Iterator[tuple[Chunk, tuple[Chunk, ...]]]:
    """Yield each span of one side that has several parts on the other, with its parts in order."""
    for whole, others in overlaps.items():
        parts: list[Chunk] = []
        inside = [
            other
            for other, common in others.items()
            if 2 * common > other[1] - other[0] and _best(other, backwards[other]) == whole
        ]
        for part in sorted(inside, key=lambda part: (-others[part], part)):
            if all(part[1] <= other[0] or other[1] <= part[0] for other in parts):
                parts.append(part)
        if len(parts) > 1:
            yield whole, tuple(sorted(parts))


def _best(span: Chunk, others: dict[Chunk, int]) -> Chunk:
    return min(others, key=lambda other: _rank(span, other, others[other]))


def _rank(left: Chunk, right: Chunk, common: int) -> tuple[float, bool, Chunk]:
    """The largest share of common words first."""
    joint = (left[1] - left[0]) + (right[1] - right[0]) - common
    return -common / joint, left[2] != right[2], right


def _overlaps(left: set[Chunk], right: set[Chunk]) -> Overlaps:
    by_word: dict[int, list[Chunk]] = defaultdict(list)
    for span in sorted(right):
        for word in range(*span[:2]):
            by_word[word].append(span)
    result: Overlaps = {}
    for span in sorted(left):
        counts: dict[Chunk, int] = defaultdict(int)
        for word in range(*span[:2]):
            for other in by_word.get(word, ()):
                counts[other] += 1
        result[span] = counts
    return result


def _pairs(left: _Unmatched) -> list[SpanComparison]:
    candidates = [
        (gold[2] != predicted[2], _rank(gold, predicted, common)[0], gold, predicted)
        for gold, others in _overlaps(left.gold, left.predicted).items()
        for predicted, common in others.items()
    ]
    golds, guesses, found = set(left.gold), set(left.predicted), []
    for _, _, gold, predicted in sorted(candidates):
        if gold in golds and predicted in guesses:
            golds.remove(gold)
            guesses.remove(predicted)
            found.append(SpanComparison(_boundary_kind(gold, predicted), (gold,), (predicted,)))
    return found


def _boundary_kind(gold: Chunk, predicted: Chunk) -> Kind:
    if gold[2] != predicted[2]:
        return "wrong type and boundaries"
    if gold[0] == predicted[0]:
        return "wrong end"
    return "wrong start" if gold[1] == predicted[1] else "wrong start and end"


@dataclass(frozen=True, slots=True)
class KindCounts:
    """Counts of one kind: how often it occurs, and how many gold and predicted spans it covers."""

    kind: Kind
    number: int
    gold: int
    predicted: int


def count_kinds(comparisons: Iterable[SpanComparison]) -> list[KindCounts]:
    """One row per kind, in the order of `KINDS`; gold and predicted spans add up to all spans."""
    rows: dict[Kind, list[int]] = {kind: [0, 0, 0] for kind in KINDS}
    for each in comparisons:
        row = rows[each.kind]
        row[0] += 1
        row[1] += len(each.gold)
        row[2] += len(each.predicted)
    return [KindCounts(kind, *row) for kind, row in rows.items()]


def tag_spans(tags: Sequence[str]) -> list[Chunk]:
    """Plain tags as spans of one word each, so that a wrong tag is a wrong type."""
    return [(word, word + 1, tag) for word, tag in enumerate(tags)]
