"""Warnings of an audit: anomalies in the data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from ...data.data_report import overlap_advice
from ...files.safety import printable
from ...schemes.label_text import distinct, look_alike
from ...spec.experiment import Experiment
from .between import Between, Overlap
from .counts import SplitCounts
from .near_duplicates import NearDuplicates
from .repetition import Noise
from .subword_counts import SubwordCounts

_SHOWN = 3
_WIDTH = 80


@dataclass(frozen=True)
class Finding:
    """An anomaly in a split, and the first places where it occurs."""

    split: str
    message: str
    notes: tuple[str, ...] = ()


def find(
    experiment: Experiment,
    splits: dict[str, SplitCounts],
    subwords: dict[str, SubwordCounts],
    between: Between,
    near: NearDuplicates | None,
) -> list[Finding]:
    """Find anomalies in each split, and then between splits."""
    findings = [finding for name, counts in splits.items() for finding in _within(name, counts)]
    for name, counts in subwords.items():
        findings += _of_subwords(name, counts, experiment.on_overflow == "error")
    tests_all = experiment.data.folds is not None
    return [*findings, *_between(splits, between, tests_all), *(_near(near) if near is not None else ())]


def _within(name: str, counts: SplitCounts) -> Iterator[Finding]:
    if counts.tag_warning:
        yield Finding(name, counts.tag_warning)
    if counts.repaired:
        yield Finding(name, f"ill-formed tags that were repaired: {counts.repaired}")
    if counts.changes.count:
        notes = (*counts.changes.lines(_SHOWN), overlap_advice(counts.changes))
        message = f"annotations left out or changed: {counts.changes.count}"
        yield Finding(name, message, tuple(filter(None, notes)))
    if counts.empty:
        yield Finding(name, f"sentences without words: {counts.empty}")
    if not counts.types:
        yield Finding(name, "nothing is annotated: every tag is O")
    if counts.duplicates:
        yield Finding(name, f"repeated sentences: {counts.duplicates} of {counts.sentences}")
    if counts.noise_count:
        message = f"the same words with different tags: {counts.noise_count}"
        yield Finding(name, message, _noise_notes(counts.noise))


def _of_subwords(name: str, counts: SubwordCounts, is_error: bool) -> Iterator[Finding]:
    if counts.over_limit and is_error:
        message = f"sentences longer than {counts.limit} subwords: {counts.over_limit}"
        yield Finding(name, message, ("with `on_overflow: error` the run stops at the first of them",))
    if counts.cut_words:
        yield Finding(name, f"single words that are longer than the model can read: {counts.cut_words}")
    if counts.unknown_words:
        message = f"words with parts that the tokenizer does not know: {counts.unknown_words}"
        yield Finding(name, message, tuple(counts.unknown_places[:_SHOWN]))


def _between(splits: dict[str, SplitCounts], between: Between, tests_all: bool) -> Iterator[Finding]:
    """Findings between splits; `tests_all` says that other folds test the training data of this one."""
    for name, counts in splits.items():
        unseen = sorted(counts.types.keys() - splits["train"].types.keys())
        if unseen:
            message = f"types that do not occur in train, so the model cannot learn them: {', '.join(unseen)}"
            yield Finding(name, message)
    if (alone := between.alone.get("train")) and not tests_all:
        message = f"types that occur only in train, so they are never scored: {', '.join(alone)}"
        yield Finding("train", message)
    if alike := _look_alikes(splits):
        message = f"types that differ only in case or in characters that nobody can tell apart: {len(alike)}"
        yield Finding("train", message, tuple(map(_look_alike_note, alike)))
    for overlap in between.overlaps:
        if overlap.sentences:
            yield _overlap(overlap, splits[overlap.split].sentences)
    if between.noise_count:
        message = f"the same words with different tags in different splits: {between.noise_count}"
        yield Finding("train", message, _noise_notes(between.noise))


def _look_alikes(splits: dict[str, SplitCounts]) -> list[Counter[str]]:
    """Groups of types that look alike, with the number of spans of each in all splits."""
    groups: dict[str, Counter[str]] = {}
    for counts in splits.values():
        for type_, count in counts.types.items():
            groups.setdefault(look_alike(type_), Counter())[type_] += count
    return [group for group in groups.values() if len(group) > 1]


def _look_alike_note(group: Counter[str]) -> str:
    shown = distinct(group)
    return ", ".join(f"`{shown[type_]}` ({count:,})" for type_, count in group.most_common())


def _overlap(overlap: Overlap, sentences: int) -> Finding:
    message = f"sentences that also occur in {overlap.other}: {overlap.sentences} of {sentences}"
    return Finding(overlap.split, message, tuple(_shortened(text) for text in overlap.places[:_SHOWN]))


def _near(near: NearDuplicates) -> Iterator[Finding]:
    """Sentences of one split that are nearly equal to some in another: scores on them say little about new text."""
    for each in near.overlaps:
        if each.sentences and each.split != each.other:
            message = (
                f"sentences that are nearly equal to one in {each.other}: {each.sentences} "
                f"({each.share:.1%}, with {each.span_share:.1%} of the spans; similarity {near.similarity:g} or more)"
            )
            pairs = each.pairs[:_SHOWN]
            lines = (
                (f"{pair.place}: {' '.join(pair.words)}", f"{pair.other_place}: {' '.join(pair.other_words)}")
                for pair in pairs
            )
            yield Finding(each.split, message, tuple(_shortened(line) for both in lines for line in both))
    for split, count in near.left_out.items():
        yield Finding(
            split, f"sentences that were not searched for near duplicates, because of memory: {count}"
        )


def _noise_notes(noise: list[Noise]) -> tuple[str, ...]:
    """For each sentence with different tags: the first word that differs, its tags and their places."""
    return tuple(_shortened(_noise_note(each)) for each in noise[:_SHOWN])


def _noise_note(noise: Noise) -> str:
    one, other = noise.variants[:2]
    word = next(n for n, (a, b) in enumerate(zip(one.tags, other.tags, strict=True)) if a != b)
    tags = f"{one.tags[word]} at {one.place}, {other.tags[word]} at {other.place}"
    return f"`{noise.words[word]}` is {tags}: {' '.join(noise.words)}"


def _shortened(text: str) -> str:
    """A line with its words cut to a readable length; places are kept whole."""
    head, separator, words = printable(text).partition(": ")
    return head + separator + (words if len(words) <= _WIDTH else words[: _WIDTH - 1] + "…")
