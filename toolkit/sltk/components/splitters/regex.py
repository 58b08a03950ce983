"""The `regex` splitter: words, numbers and punctuation of any script, by one regular expression.

Every alternative either fails after a bounded number of characters or consumes the characters that it examined, so
the time is linear in the length of any text. Possessive quantifiers (`*+`) and atomic groups (`(?>`) do not
backtrack. Groups are repeated in atomic groups: Python before 3.11.5, as in Debian 12, matches possessive ones wrongly.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import cache

from ..registry import register
from ..slots import Splitter

# Scripts written without spaces, split by character. Their digits are excluded, so that numbers stay whole.
_SPACELESS = (
    "\u3005-\u3007\u3021-\u3029\u3038-\u303b\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"  # Han
    "\U00020000-\U0003ffff"  # Han, supplementary
    "\u3041-\u3096\u309d-\u309f\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f\U0001aff0-\U0001b16f"  # kana
    "\u0e01-\u0e4e\u0e81-\u0ece\u0edc-\u0edf"  # Thai, Lao
    "\u1780-\u17dd"  # Khmer
    "\u1000-\u103f\u104a-\u108f\u109a-\u109f\ua9e0-\ua9ef\ua9fa-\ua9fe\uaa60-\uaa7f"  # Myanmar
)
_WORD = rf"[^\W_{_SPACELESS}]"  # a letter or digit of any other script
_LETTER = rf"[^\W\d_{_SPACELESS}]"
# Invisible characters that should not be words by themselves: zero-width space, direction marks, byte-order mark.
_FORMAT = "[\u200b\u200e\u200f\u061c\u202a-\u202e\u2066-\u2069\ufeff]"
_APOSTROPHES = "'’ʼ"
_URL = '[^\\s<>"' + _SPACELESS + "\u3000-\u303f\uff00-\uffef]"
_URL_END = '[^\\s<>"' + _SPACELESS + "\u3000-\u303f\uff00-\uffef.,;:!?'’”»()\\[\\]{}…]"
# Host names are recognized only by these endings: `so good.The end` is two words with a missing space.
_TOP = r"(?i:com|org|net|edu|gov|mil|int|info|io|co\.(?:uk|jp|nz|za|in|kr))"
_CLITICS = ("s", "m", "d", "re", "ve", "ll")


def _ranges(codes: Iterator[int]) -> str:
    """Code points as the content of a character class."""
    runs: list[list[int]] = []
    for code in codes:
        if runs and runs[-1][1] == code - 1:
            runs[-1][1] = code
        else:
            runs.append([code, code])
    return "".join(f"{chr(first)}-{chr(last)}" for first, last in runs)


@cache
def _pattern() -> re.Pattern[str]:
    """The expression, compiled on first use; `re` has no class of combining marks, so `unicodedata` lists them."""
    blocks = (*range(0x300, 0x1F000), *range(0xE0100, 0xE01F0))
    marks = _ranges(code for code in blocks if unicodedata.category(chr(code)).startswith("M"))
    # Characters that extend the one before them: marks, soft hyphen, zero-width (non-)joiner, word joiner.
    extend = f"[{marks}\u00ad\u200c\u200d\u2060]"
    # For emoji also skin tones and the letters of subdivision flags.
    emoji_extend = f"[{marks}\u00ad\u200c\u200d\u2060\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]"
    run = f"{_WORD}(?>(?:{_WORD}++|{extend}++)*)"
    sign = r"(?:(?<![^\s(\[{])(?:[-+−]\.?|\.)(?=\d))?"  # of a number: -5, +.5; not a hyphen after a word
    join = rf"(?:(?<=\d)[.,:/٫٬](?=\d)|[-‐‑_·״׳](?={_WORD})|[{_APOSTROPHES}](?={_LETTER}))"
    alternatives = (
        rf"(?:(?i:https?|ftp)://|(?i:www)\.){_URL}*{_URL_END}",
        rf"(?<!{_WORD})(?<![_@])(?:[A-Za-z0-9][A-Za-z0-9-]{{0,62}}\.){{1,8}}"
        rf"{_TOP}(?!{_WORD}|[-@])(?:[/?#]{_URL}*{_URL_END}|/)?",
        r"[\w.+%-]{1,64}+@[^\W_][\w-]{0,62}+(?>(?:\.[^\W_][\w-]{0,62}+){1,8})",
        f"[{_APOSTROPHES}](?i:{'|'.join(_CLITICS)})(?!{_WORD})",
        r"[0-9#*]\ufe0f?\u20e3",
        rf"(?<!{_WORD})[#＃@]_*+(?>(?:{run}_*+)+)",
        rf"(?>(?:{_LETTER}\.){{2,}})(?:{_LETTER}(?!{_WORD}))?",
        f"(?P<word>{sign}{run}(?>(?:{join}{run})*))",
        f"[{_SPACELESS}]{extend}*+",
        r"\.{3,}+",
        "[\U0001f1e6-\U0001f1ff]{2}",
        rf"\S{emoji_extend}*+(?>(?:(?<=\u200d)[^\w\s\x00-\x7f]{emoji_extend}*+)*)",
    )
    return re.compile(f"{_FORMAT}*+(?:{'|'.join(alternatives)}){_FORMAT}*+|{_FORMAT}++")


@register.splitter("regex")
class RegexSplitter(Splitter):
    """Words, numbers and punctuation of any script; the default.

    Runs of letters, marks and digits are words, and stay whole across a hyphen (`well-known`), an underscore,
    an apostrophe (`O'Brien`) and, between digits, `. , : /` (`1,000.50`, `12:30`); a sign or point before a
    number belongs to it (`-.5`). English contractions are split as in the Penn Treebank: `do|n't`, `it|'s`,
    `they|'ll`. URLs, including `mail.example.com/x`, e-mail addresses, hashtags, mentions, dotted initials (`U.S.`),
    ellipses and emoji sequences stay whole; other punctuation is one word per character. Han, kana, Thai, Lao,
    Khmer and Myanmar are split by character, each with its marks.
    Every character that is not white space belongs to exactly one word.
    """

    def split(self, text: str) -> list[tuple[int, int]]:
        """Half-open offsets of the words."""
        words: list[tuple[int, int]] = []
        has_apostrophe = any(mark in text for mark in _APOSTROPHES)
        for match in _pattern().finditer(text):
            start, end = match.span()
            if has_apostrophe and match.lastgroup == "word":
                for cut in _contractions(text, *match.span("word")):
                    words.append((start, cut))
                    start = cut
            words.append((start, end))
        return words


def _contractions(text: str, start: int, end: int) -> list[int]:
    """The starts of the clitics at the end of the word `text[start:end]`: `should|n't|'ve`."""
    cuts: list[int] = []
    while (cut := _clitic(text, start, end)) > start:
        cuts.append(cut)
        end = cut
    return cuts[::-1]


def _clitic(text: str, start: int, end: int) -> int:
    """Start of the clitic that ends at `end`, or -1."""
    for length in (2, 3):
        tail = text[max(start, end - length) : end].lower()
        if tail[:1] and tail[0] in _APOSTROPHES and tail[1:] in _CLITICS:
            return end - length
    tail = text[max(start, end - 3) : end].lower()
    return end - 3 if len(tail) == 3 and tail[0] == "n" and tail[1] in _APOSTROPHES and tail[2] == "t" else -1
