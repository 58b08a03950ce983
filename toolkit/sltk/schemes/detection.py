"""Transitions that a scheme allows, for the CRF; and detection of the scheme of a data set."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import TYPE_CHECKING

from .layers import is_layer_tag, is_layered
from .rules import OUTSIDE_ROLE, allowed, parse, parse_tag
from .styles import TagStyle, canonical, nearly_all_once, odd_type, style_of, suspicions

if TYPE_CHECKING:
    from .names import ReaderScheme, ReaderStyle, SchemeName

_DETECTABLE: tuple[SchemeName, ...] = ("IOB2", "IOB1", "BIOES", "BILOU", "BMES")
"""In order of preference, if several fit. IO is detected as IOB1, which reads it in the same way."""

_MOST_PAIRS, _MOST_NAMES = 1_000_000, 100_000
_ANY = "…"
"""Stands for plain tags whose names are forgotten."""

TagPairs = Mapping[tuple[str, str], int]
"""Number of times that one tag follows another; sentences are padded with O."""


def transitions(tags: Sequence[str], scheme: SchemeName) -> tuple[list[bool], list[list[bool]], list[bool]]:
    """Compute whether each tag may begin a sentence, follow each other tag (`pairs[before][after]`), or end a sentence.

    Raises:
        SchemeError: a tag that the scheme does not have.
    """
    if scheme == "plain":
        return [True] * len(tags), [[True] * len(tags) for _ in tags], [True] * len(tags)
    roles = parse(tags, scheme)
    pairs = [[allowed(before, role, scheme) for role in roles] for before in roles]
    start = [allowed(OUTSIDE_ROLE, role, scheme) for role in roles]
    return start, pairs, [allowed(role, OUTSIDE_ROLE, scheme) for role in roles]


@dataclass(frozen=True, slots=True)
class TagReading:
    """How the tags of a source are read."""

    scheme: SchemeName
    style: TagStyle | None = None
    """How they are written, unless they have the form `B-PER`."""
    warning: str | None = None
    """What is odd about all of them together."""

    def canonical(self, tags: Sequence[str]) -> Sequence[str]:
        """The tags in the form `B-PER`.

        Raises:
            SchemeError: a tag is not written in the style.
        """
        return tags if self.style is None else self.style.canonical(tags)


class TagDetector:
    """Detects how the tags of a source are to be read, from one sentence after another.

    Only the number of times that each tag follows another is in memory, and less if there are very many tags.
    """

    def __init__(self, pairs: TagPairs | None = None, sentences: int = 0) -> None:
        self._pairs: Counter[tuple[str, str]] = Counter(pairs or {})
        self._sentences = sentences

    def add(self, tags: Sequence[str]) -> None:
        """Take the tags of a sentence into account."""
        self._pairs.update(pairwise(chain(("O",), tags, ("O",))))
        self._sentences += 1
        if len(self._pairs) > _MOST_PAIRS:
            self._fold()

    def _fold(self) -> None:
        """Forget which tag each plain tag follows, and the names of all but some: they may be as many as words."""
        folded: Counter[tuple[str, str]] = Counter()
        names: set[str] = set()
        for (before, tag), count in self._pairs.items():
            if _has_usual_form(tag):
                folded[before if _has_usual_form(before) else _ANY, tag] += count
                continue
            if len(names) < _MOST_NAMES:
                names.add(tag)
            folded[_ANY, tag if tag in names else _ANY] += count
        self._pairs = folded

    def reading(self, scheme: ReaderScheme = "auto", style: ReaderStyle = "auto") -> TagReading:
        """The declared scheme and style, or those that fit the tags."""
        if scheme == "layers" or (scheme == style == "auto" and self._is_layered()):
            return TagReading("layers")
        own_style = self.style(scheme, style)
        if scheme == "plain":
            return self._plain(is_declared=True)
        if scheme == "auto" and own_style is None and _mostly_plain(self._pairs):
            return self._plain()
        warning = odd_type(self.counts())
        if scheme != "auto":
            return TagReading(scheme, own_style, warning)
        if own_style is None:
            return TagReading(self._likeliest(), warning=warning)
        likeliest = "IO" if own_style.name == "types" else self.canonical(own_style)._likeliest()
        return TagReading(likeliest, own_style, warning)

    def _plain(self, *, is_declared: bool = False) -> TagReading:
        """Plain tags, with a warning if they may be something else: brackets around spans, or words."""
        counts = self.counts()
        notes = () if is_declared else suspicions(counts)
        if notes:
            return TagReading("plain", warning=f"no spans, although {notes[-1]}")
        if not nearly_all_once(counts):
            return TagReading("plain")
        once = sum(count == 1 for count in counts.values())
        message = f"{once:,} of {len(counts):,} plain tags occur only once: is this the column of the tags?"
        return TagReading("plain", warning=message)

    def style(self, scheme: ReaderScheme = "auto", declared: ReaderStyle = "auto") -> TagStyle | None:
        """The declared style with an example, or the one that fits all tags if most lack the form `B-PER`.

        None for tags in the form `B-PER`, even if some are not, which `decode` reports, and for plain tags.
        """
        counts = self.counts()
        if scheme in ("plain", "layers"):
            return None
        if declared != "auto":
            fitting = (tag for tag, _ in counts.most_common() if canonical(tag, declared) not in (None, "O"))
            return TagStyle(declared, next(fitting, ""))
        is_lower_case = "o" in counts and "O" not in counts
        if not is_lower_case and not _mostly_plain(self._pairs):
            return None
        return style_of(counts, scheme, {tag for tag in counts if _has_usual_form(tag)})

    def scheme(self) -> SchemeName:
        """The scheme of tags in the form `B-PER` with the fewest ill-formed words.

        Data with no tag except `O` is IOB2, and data in which most tags lack that form is plain.
        """
        return "plain" if _mostly_plain(self._pairs) else self._likeliest()

    def _is_layered(self) -> bool:
        """Whether all tags are those of `layers`, and one of them has more than one part."""
        counts = self.counts()
        return any(map(is_layered, counts)) and all(map(is_layer_tag, counts))

    def _likeliest(self) -> SchemeName:
        if self._is_layered():
            return "layers"
        return min(_DETECTABLE, key=lambda scheme: _ill_formed(self._pairs, scheme))

    def canonical(self, style: TagStyle | None) -> TagDetector:
        """A detector of the same tags in the form `B-PER`, as far as they are written in the style."""
        if style is None:
            return self
        converted: Counter[tuple[str, str]] = Counter()
        for pair, count in self._pairs.items():
            before, tag = (canonical(each, style.name) or each for each in pair)
            converted[before, tag] += count
        return TagDetector(converted, self._sentences)

    def __add__(self, other: TagDetector) -> TagDetector:
        """A detector of the tags of both."""
        return TagDetector(self._pairs + other._pairs, self._sentences + other._sentences)

    def counts(self) -> Counter[str]:
        """The number of words with each tag."""
        counts: Counter[str] = Counter()
        for (_, tag), count in self._pairs.items():
            counts[tag] += count
        counts["O"] -= self._sentences  # each of them is padded
        return +counts


def detect(tag_sequences: Iterable[Sequence[str]]) -> SchemeName:
    """Detect the scheme of tags in the form `B-PER`: see `TagDetector.scheme`."""
    detector = TagDetector()
    for tags in tag_sequences:
        detector.add(tags)
    return detector.scheme()


def _mostly_plain(pairs: TagPairs) -> bool:
    """Whether most words that are not O have tags of no scheme."""
    balance = 0
    for (_, tag), count in pairs.items():
        if tag != "O":
            balance += -count if _has_usual_form(tag) else count
    return balance > 0


def _has_usual_form(tag: str) -> bool:
    """Whether a scheme has the tag."""
    return any(parse_tag(tag, scheme) for scheme in _DETECTABLE) or is_layered(tag)


def _ill_formed(pairs: TagPairs, scheme: str) -> int:
    """Number of words with a tag that the scheme does not allow after the tag before it."""
    total = 0
    for (before, tag), count in pairs.items():
        left, right = parse_tag(before, scheme), parse_tag(tag, scheme)
        if left is None or right is None or not allowed(left, right, scheme):
            total += count
    return total
