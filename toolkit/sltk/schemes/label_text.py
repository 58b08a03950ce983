"""The text of a label: characters that nobody sees, and labels that look alike."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

# Unicode's Default_Ignorable_Code_Point, and the marks of interlinear annotation: characters that display as nothing.
_INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_JOINERS = "\u200c\u200d"
_SELECTORS = re.compile("[\u180b-\u180d\u180f\ufe00-\ufe0f\U000e0020-\U000e007f\U000e0100-\U000e01ef]")
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
    """A key that labels share if they differ only in case, blanks, invisible characters or composed letters."""
    visible = _INVISIBLE.sub("", unicodedata.normalize("NFKC", label))
    return " ".join(unicodedata.normalize("NFKC", visible.casefold()).split())


def visible(label: str) -> str:
    """The label with blanks other than single spaces, and invisible characters, written as `<U+200D>`."""
    shown = re.sub(r"(?! )\s|(?<= ) ", _code, label)
    return _INVISIBLE.sub(_code, shown)


def _code(match: re.Match[str]) -> str:
    return f"<U+{ord(match.group()):04X}>"
