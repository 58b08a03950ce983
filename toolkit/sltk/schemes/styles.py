"""Ways to write tags other than `B-PER`, and how each tag reads in that form.

prefix    the letter first, with any case and separator: B_PER, b-per, B:PER
suffix    the letter last: PER-B, PER_B
letters   the letter alone: B, I, O; spans have the type `_`, as in seqeval
types     the type alone beside O: PERSON; adjacent words of one type are one span, as in the scheme IO
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from .label_text import twin_notes
from .names import StyleName
from .rules import RULES, SchemeError

if TYPE_CHECKING:
    from .names import ReaderScheme

NUMBERS_NEED_NAMES = "`tag_names: [O, B-PER, …]` names tags that are numbers, that of the tag 0 first"
"""Advice for files whose tags are numbers."""
STYLES: tuple[StyleName, ...] = ("prefix", "suffix", "letters", "types")
"""The names of all styles."""
NO_TYPE = "_"
"""The type of spans whose tags are letters alone."""
_LETTER_SETS = tuple(
    frozenset((*rules.letters.values(), *rules.aliases, "O"))
    for scheme, rules in RULES.items()
    if scheme not in ("IO", "layers")
)
_LETTER = "[BIESLUMWbieslumw]"
_SEPARATOR = "[-_:./|\u2010-\u2015\u2212\ufe58\ufe63\uff0d]"
"""Dashes of all lengths among them: editors and web pages replace hyphens."""
_PREFIX = re.compile(rf"(?P<letter>{_LETTER}){_SEPARATOR}(?P<type>\S.*)", re.DOTALL)
_SUFFIX = re.compile(rf"(?P<type>.*\S){_SEPARATOR}(?P<letter>{_LETTER})", re.DOTALL)
READ_BRACKETS = (
    "there are brackets: `labels: brackets` of the readers conll and conllu reads `(PER*` and `*)`"
)
"""Advice for files with brackets around spans."""
_BRACKETS = re.compile(r"\(\w|[\w*]\)")
_TAG_INSIDE = re.compile(r"[|;,+&/#\s](?:[BIESLUMW]-\S|O(?:[|;,+&/#\s]|$))")
_FEW_TAGS, _NEARLY_ALL = 10, 0.8
_LEAST_OUTSIDE = 0.2
_LETTER_STYLES: tuple[StyleName, ...] = ("prefix", "suffix", "letters")
_EXPECTED = {
    "prefix": "a letter and a type, such as `B_PER`, or `O`",
    "suffix": "a type and a letter, such as `PER-B`, or `O`",
    "letters": "a letter, such as `B`, or `O`",
}


@dataclass(frozen=True, slots=True)
class TagStyle:
    """How the tags of a source are written, with one of them as an example."""

    name: StyleName
    example: str = ""

    def canonical(self, tags: Iterable[str]) -> list[str]:
        """The tags in the form `B-PER`, which all schemes read.

        Raises:
            SchemeError: a tag is not written in this style.
        """
        return [canonical(tag, self.name) or self._misfit(tag, index) for index, tag in enumerate(tags)]

    def _misfit(self, tag: str, index: int) -> str:
        raise SchemeError(f"`{tag}` is not {_EXPECTED[self.name]} (tag_style: {self.name})", index)

    def __str__(self) -> str:
        """One line for the user: how a tag is read."""
        if self.name == "types":
            reading = f"types, such as `{self.example}`: adjacent words of one type are one span"
        elif self.name == "letters":
            reading = f"letters without a type, such as `{self.example}`: all spans have the type `{NO_TYPE}`"
        else:
            reading = (
                f"written like `{self.example}`, which is read as `{canonical(self.example, self.name)}`"
            )
        return f"tags are {reading} (tag_style: {self.name})"


@lru_cache(maxsize=65536)
def canonical(tag: str, style: StyleName) -> str | None:
    """The tag in the form `B-PER`; None if it is not written in this style."""
    if tag in ("O", "o"):
        return "O"
    if style == "types":
        return f"I-{tag}" if tag else None
    if style == "letters":
        return f"{tag[0].upper()}-{NO_TYPE}" if re.fullmatch(f"{_LETTER}-?", tag) else None
    match = (_PREFIX if style == "prefix" else _SUFFIX).fullmatch(tag)
    return f"{match['letter'].upper()}-{match['type'].strip()}" if match else None


def style_of(counts: Mapping[str, int], scheme: ReaderScheme, usual: Container[str] = ()) -> TagStyle | None:
    """The style that all tags fit; None if there is none. `counts` are the words with each tag.

    The example is a tag that is not among the `usual` ones.

    Styles are told apart from other tags, such as parts of speech, by all of them together: every letter must belong
    to one scheme, and types alone are spans only beside `O`, which at least a fifth of the words must have.
    """
    tags = [tag for tag, _ in Counter(counts).most_common() if tag not in ("O", "o")]
    if not tags:
        return TagStyle("prefix", "o") if "o" in counts else None
    example = next((tag for tag in tags if tag not in usual), "o")
    for style in _LETTER_STYLES:
        if _fits(tags, style, counts):
            return TagStyle(style, example)
    is_span = scheme in ("auto", "IO") and _are_types(tags, counts)
    return TagStyle("types", tags[0]) if is_span else None


_PLAIN = "set `scheme: plain` in the spec to predict one plain tag per word"


def advice(counts: Mapping[str, int], key: str = "tag_style: ", plain: str = _PLAIN) -> tuple[str, ...]:
    """How tags of no known form might be read as spans (`key` stands before a style); otherwise `plain`."""
    words = sum(count for tag, count in counts.items() if tag not in ("O", "o"))
    for style in _LETTER_STYLES:
        misfits = [tag for tag in counts if canonical(tag, style) is None]
        if 2 * sum(counts[tag] for tag in misfits) < words:
            example = next(tag for tag in counts if canonical(tag, style) not in (None, "O"))
            return (f"most tags are written like `{example}` ({key}{style}), but `{misfits[0]}` is not",)
    if notes := suspicions(counts):
        return notes
    if all(tag.isdigit() for tag in counts):
        return (NUMBERS_NEED_NAMES,)
    if "O" in counts or "o" in counts:
        return (f"`{key}types` reads types beside `O`, such as `PER`, as spans",)
    return (plain,)


def _fits(tags: Sequence[str], style: StyleName, counts: Container[str]) -> bool:
    """Whether all tags but O are written in a style with letters, which are those of one scheme.

    Without B and I, or for letters alone, there must be an O (or a second letter), else the likeness may be chance.
    """
    readings = [canonical(tag, style) for tag in tags]
    letters = {reading[0] for reading in readings if reading is not None}
    has_outside = "O" in counts or "o" in counts
    is_clear = bool(letters & {"B", "I"}) and (style != "letters" or len(letters) > 1)
    is_possible = has_outside and (style != "letters" or bool(letters & {"B", "I"}))
    return None not in readings and (is_clear or is_possible) and any(letters <= own for own in _LETTER_SETS)


def suspicions(counts: Mapping[str, int]) -> tuple[str, ...]:
    """What suggests that tags of no scheme mean spans after all, and how to read them."""
    own_outside = _own_outside(counts)
    if own_outside is not None:
        note = f"all tags but `{own_outside}` mark spans: `outside: {own_outside}` reads it as `O`"
        return (*twin_notes(own_outside, ["O"]), note)
    return (READ_BRACKETS,) if is_bracketed(counts) else ()


def _own_outside(counts: Mapping[str, int]) -> str | None:
    """The only tag that has no letter of a scheme, beside several that have one; None if there are more, or none."""
    misfits = [tag for tag in counts if canonical(tag, "prefix") is None and canonical(tag, "suffix") is None]
    return misfits[0] if len(misfits) == 1 and len(counts) > 1 else None


def is_bracketed(counts: Mapping[str, int]) -> bool:
    """Whether most words with a tag, apart from `*`, `-`, `_` and `O`, have one with brackets around spans."""
    tagged = {tag: count for tag, count in counts.items() if tag not in ("*", "-", "_", "O")}
    bracketed = sum(count for tag, count in tagged.items() if _BRACKETS.search(tag))
    return 2 * bracketed > sum(tagged.values())


def nearly_all_once(counts: Mapping[str, int]) -> bool:
    """Whether there are many tags, nearly all of which occur once, as words or ids do."""
    once = sum(count == 1 for count in counts.values())
    return len(counts) >= _FEW_TAGS and once >= _NEARLY_ALL * len(counts)


def odd_type(counts: Mapping[str, int]) -> str | None:
    """What is odd about the type in a tag of spans: it is the tag outside of spans, or contains another tag.

    Such tags come from programs that cut or join tags, and are read as spans of these types.
    """
    for tag in sorted(counts):
        match = _PREFIX.fullmatch(tag)
        if match and match["type"] in ("O", "o"):
            return f"`{tag}` is a span of the type `{match['type']}`: is it meant to be `O`?"
        if match and _TAG_INSIDE.search(match["type"]):
            note = "these look like several tags, but a word has one"
            return f"`{tag}` is a span of the type `{match['type']}`: {note}"
    return None


def _are_types(tags: Sequence[str], counts: Mapping[str, int]) -> bool:
    """Whether tags are types of spans beside O, and no symbols, numbers or tags with letters of a scheme."""
    outside = max(counts.get("O", 0), counts.get("o", 0))
    return (
        outside >= _LEAST_OUTSIDE * sum(counts.values())
        and not nearly_all_once(counts)
        and all(
            len(tag) > 1 and any(char.isalpha() for char in tag) and not _PREFIX.fullmatch(tag)
            for tag in tags
        )
    )
