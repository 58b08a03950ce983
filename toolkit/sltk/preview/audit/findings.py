"""What an audit says a person should look at."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ...errors import Location
from ...files.safety import harmless
from ...spec.experiment import Experiment
from .between import Between, Overlap
from .counts import Noise, SplitCounts
from .subwords import SubwordCounts

_SHOWN = 3
_WIDTH = 80


@dataclass(frozen=True)
class Finding:
    """What is odd in one split, and the first places where it is."""

    split: str
    message: str
    notes: tuple[str, ...] = ()


def find(
    experiment: Experiment,
    splits: dict[str, SplitCounts],
    subwords: dict[str, SubwordCounts],
    between: Between,
) -> list[Finding]:
    """Everything odd, split by split, and then between them."""
    found = [finding for name, counts in splits.items() for finding in _within(name, counts)]
    for name, counts in subwords.items():
        found += _of_subwords(name, counts, experiment.on_overflow == "error")
    return found + list(_between(splits, between))


def _within(name: str, counts: SplitCounts) -> Iterator[Finding]:
    if counts.repaired:
        yield Finding(name, f"ill-formed tags, read as others: {counts.repaired}")
    if counts.unused:
        notes = tuple(f"{Location(each.file, each.line)}: {each.reason}" for each in counts.unused[:_SHOWN])
        yield Finding(name, f"annotations that cannot be used as they are: {len(counts.unused)}", notes)
    if counts.empty:
        yield Finding(name, f"sentences without words: {counts.empty}")
    if not counts.types:
        yield Finding(name, "nothing is annotated: every tag is O")
    if counts.duplicates:
        yield Finding(name, f"repeated sentences: {counts.duplicates} of {counts.sentences}")
    if counts.noise:
        yield Finding(
            name, f"the same words with different tags: {len(counts.noise)}", _noise_notes(counts.noise)
        )


def _of_subwords(name: str, counts: SubwordCounts, is_error: bool) -> Iterator[Finding]:
    if counts.over_limit and is_error:
        message = f"sentences longer than {counts.limit} subwords: {counts.over_limit}"
        yield Finding(name, message, ("`on_overflow: error` ends the run there",))
    if counts.cut_words:
        yield Finding(name, f"words that alone are longer than the model reads: {counts.cut_words}")
    if counts.unknown_words:
        message = f"words that the tokenizer does not know, or only in part: {counts.unknown_words}"
        yield Finding(name, message, tuple(counts.unknown_places[:_SHOWN]))


def _between(splits: dict[str, SplitCounts], between: Between) -> Iterator[Finding]:
    for name, counts in splits.items():
        unseen = sorted(counts.types.keys() - splits["train"].types.keys())
        if unseen:
            yield Finding(
                name, f"types that train lacks, which no model can learn from it: {', '.join(unseen)}"
            )
    alone = between.alone.get("train")
    if alone:
        yield Finding("train", f"types that no other split has, which nothing scores: {', '.join(alone)}")
    for overlap in between.overlaps:
        if overlap.sentences:
            yield _overlap(overlap, splits[overlap.split].sentences)
    if between.noise:
        message = f"the same words with different tags in different splits: {len(between.noise)}"
        yield Finding("train", message, _noise_notes(between.noise))


def _overlap(overlap: Overlap, sentences: int) -> Finding:
    message = f"sentences that are in {overlap.other} too: {overlap.sentences} of {sentences}"
    return Finding(overlap.split, message, tuple(_cut(text) for text in overlap.places[:_SHOWN]))


def _noise_notes(noise: list[Noise]) -> tuple[str, ...]:
    """The words that are tagged in two ways, with both places."""
    return tuple(_cut(_noise_note(each)) for each in noise[:_SHOWN])


def _noise_note(noise: Noise) -> str:
    one, other = noise.variants[:2]
    differing = next(n for n, pair in enumerate(zip(one.tags, other.tags, strict=True)) if len(set(pair)) > 1)
    tags = f"{one.tags[differing]} at {one.place}, {other.tags[differing]} at {other.place}"
    return f"`{noise.words[differing]}` is {tags}: {' '.join(noise.words)}"


def _cut(text: str) -> str:
    """As much of a line as is worth showing; places stay whole."""
    head, separator, words = harmless(text).partition(": ")
    return head + separator + (words if len(words) <= _WIDTH else words[: _WIDTH - 1] + "…")
