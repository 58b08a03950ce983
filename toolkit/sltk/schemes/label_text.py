"""The text of a label: characters that nobody sees, and labels that look alike."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

# Unicode's Default_Ignorable_Code_Point, and the marks of interlinear annotation: characters that display as nothing.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_JOINERS = "\u200c\u200d"
_SELECTORS = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0020-\U000e007f\U000e0100-\U000e01ef]")
_TWINS = str.maketrans(
    "АВЕЅІЈКМНОРСТУХаеѕіјорсухΑΒΕΖΗΙΚΜΝΟΡΤΥΧο",
    "ABESIJKMHOPCTYXaesijopcyxABEZHIKMNOPTYXo",
)
"""Letters of other scripts that look like those of ASCII."""
_BLANK_TYPE = re.compile(r"([BIESLUMW]-)\s+")


@lru_cache(maxsize=65536)
def clean(label: str) -> str:
    """The label without blanks around it or its type, and without invisible characters.

    Joiners and variation selectors stay where they shape other letters than those of ASCII.
    """
    if not label.isascii():
        label = _INVISIBLE.sub(lambda match: match.group() if _shapes(label, match.start()) else "", label)
    label = label.strip()
    match = _BLANK_TYPE.match(label)
    return match[1] + label[match.end() :] if match else label


def _shapes(label: str, place: int) -> bool:
    """Whether the character there changes how its neighbours look."""
    before, after = label[place - 1 : place], label[place + 1 : place + 2]
    if label[place] in _JOINERS:
        return not before.isascii() and not after.isascii()
    return not before.isascii() and _SELECTORS.match(label[place]) is not None


def removed(label: str) -> str:
    """What `clean` removes, in words: `U+200F (right-to-left mark)`."""
    rest = list(clean(label))
    lost: dict[str, None] = {}
    for char in label:
        if rest and char == rest[0]:
            rest.pop(0)
        else:
            lost[char] = None
    return ", ".join(map(_name, lost))


def _name(char: str) -> str:
    return f"U+{ord(char):04X} ({unicodedata.name(char, 'control character').lower()})"


def look_alike(label: str) -> str:
    """A key that labels share if they look alike.

    They differ only in case, in blanks or invisible characters, in the composition of letters, or in their script.
    """
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", label)).translate(_TWINS)
    return " ".join(unicodedata.normalize("NFKC", visible.casefold()).split())


def twin_notes(label: str, known: Iterable[str]) -> tuple[str, ...]:
    """A note for a label that looks like one of the known ones, which names the characters that differ."""
    for other in known:
        odd = dict.fromkeys(char for char in label if char not in other)
        if odd and label != other and look_alike(label) == look_alike(other) and not label.isascii():
            return (f"it looks like `{other}`, but has {', '.join(map(_name, odd))}",)
    return ()


def distinct(labels: Iterable[str]) -> dict[str, str]:
    """How to show each label so that nobody takes one for another."""
    shown = {label: visible(label) for label in labels}
    seen = Counter(map(_seen, shown.values()))
    return {
        label: visible(label, ascii_only=True) if seen[_seen(text)] > 1 else text
        for label, text in shown.items()
    }


def _seen(text: str) -> str:
    return unicodedata.normalize("NFC", text).translate(_TWINS)


def visible(label: str, *, ascii_only: bool = False) -> str:
    """The label with blanks other than single spaces, and invisible characters, written as `<U+200D>`.

    With `ascii_only`, all other characters than those of ASCII are.
    """
    shown = re.sub(r"(?! )\s|(?<= ) ", _code, label)
    return re.sub(r"[^\x00-\x7f]" if ascii_only else _INVISIBLE, _code, shown)


def _code(match: re.Match[str]) -> str:
    return f"<U+{ord(match.group()):04X}>"
