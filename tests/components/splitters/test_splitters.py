"""Splitters: for any text, every character that is not white space is in exactly one word."""

from __future__ import annotations

import re
import sys
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sltk.components.slots import Splitter
from sltk.components.splitters import RegexSplitter, SpacySplitter, WhitespaceSplitter, regex
from sltk.components.splitters import spacy as spacy_splitter
from sltk.errors import UsageError

# All of Unicode, lone surrogates included, and the characters that the expression treats specially, often.
SPECIAL = (
    "aZ9é½٣ \t\n.,:/'’-_@#*()·%$東ん한กำक्ष👩🏽🇩🇪\u0f0b\u0301\x00\x1b\x85\ud800"
    "\u00ad\u200b\u200d\u200f\u2028\ufeff\ufe0f\u20e3"
)
TEXTS = st.text(st.one_of(st.sampled_from(SPECIAL), st.characters()))

every_splitter = pytest.mark.parametrize("splitter", [RegexSplitter(), WhitespaceSplitter()], ids=repr)


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in RegexSplitter().split(text)]


@every_splitter
@given(text=TEXTS)
def test_words_cover_everything_except_white_space(splitter: Splitter, text: str) -> None:
    """Words are in order, not empty, disjoint, without white space, and cover everything else."""
    assert_partition(splitter, text)


def assert_partition(splitter: Splitter, text: str) -> None:
    done, rest = 0, []
    for start, end in splitter.split(text):
        assert done <= start < end
        assert not any(character.isspace() for character in text[start:end])
        rest.append(text[done:start])
        done = end
    assert not "".join([*rest, text[done:]]).strip()


@given(text=TEXTS)
def test_whitespace_is_str_split(text: str) -> None:
    """The words of `whitespace` equal those of `str.split`."""
    assert [text[start:end] for start, end in WhitespaceSplitter().split(text)] == text.split()


@given(text=TEXTS)
def test_splitting_is_local(text: str) -> None:
    """Words do not depend on the text on the other side of a space."""
    assert words(f"{text} x {text}") == [*words(text), "x", *words(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # letters, numbers, punctuation
        ("Well, it rained (a lot).", "Well , it rained ( a lot ) ."),
        ("1,000.50 at 12:30 on 3/4/2020, 3% of $5", "1,000.50 at 12:30 on 3/4/2020 , 3 % of $ 5"),
        ("1, 2. 3", "1 , 2 . 3"),
        ("-5 (+.5) .05 −3,000 1e-5", "-5 ( +.5 ) .05 −3,000 1e-5"),
        ("1-2 a-3 no.5 $-5 - 5 +x", "1-2 a-3 no . 5 $ - 5 - 5 + x"),
        ("the 3rd of 10km", "the 3rd of 10km"),
        ("a well-known F-16 pre- --x", "a well-known F-16 pre - - - x"),
        ("max_length and _x", "max_length and _ x"),
        ("wait... what….", "wait ... what … ."),
        ("and/or A&B", "and / or A & B"),
        ("the U.S. and J.P. Orr, e.g. him.", "the U.S. and J.P. Orr , e.g. him ."),
        ("so good.The end", "so good . The end"),
        # contractions
        ("don't can’t AREN'T", "do n't ca n’t ARE N'T"),
        ("it's they'll we're I've I'm she'd", "it 's they 'll we 're I 've I 'm she 'd"),
        ("shouldn't've", "should n't 've"),
        ("O'Brien's l'homme rock'n'roll", "O'Brien 's l'homme rock'n'roll"),
        ("the dogs' 'bed'", "the dogs ' ' bed '"),
        ("John 's n't", "John 's n't"),
        # the net
        ("(see https://a.example/x?q=1,2.)", "( see https://a.example/x?q=1,2 . )"),
        ("www.a.example/é, HTTP://B.example!", "www.a.example/é , HTTP://B.example !"),
        ("mail first.last+x@mail.a.example.", "mail first.last+x@mail.a.example ."),
        ("#fun @some_one! C# a@b", "#fun @some_one ! C # a @ b"),
        ("Shop.example.com/a?b=1, or example.org!", "Shop.example.com/a?b=1 , or example.org !"),
        ("example.co.uk/ a.com's b.com. x@a.com", "example.co.uk/ a.com 's b.com . x@a.com"),
        ("so good.common a.company.", "so good . common a . company ."),
        ("見てa.com。", "見 て a.com 。"),
        ("https:// http", "https : / / http"),
        # scripts
        ("東京に行く。", "東 京 に 行 く 。"),
        ("見てhttps://a.example/b。", "見 て https://a.example/b 。"),
        ("ที่นี่", "ที่ นี่"),
        ("ខ្ញុំ ဘာ ສະ", "ខ្ ញុំ ဘာ ສ ະ"),
        ("か\u3099", "か\u3099"),
        ("한국어를 नमस्ते क्\u200dष می\u200cخواهم", "한국어를 नमस्ते क्\u200dष می\u200cخواهم"),
        ("e\u0301tude", "e\u0301tude"),
        ("col·lecció צה״ל", "col·lecció צה״ל"),
        ("x² ½ ٣٫٥", "x² ½ ٣٫٥"),
        # emoji
        ("ok👍🏽👍", "ok 👍🏽 👍"),
        ("👩\u200d👩\u200d👧👨", "👩\u200d👩\u200d👧 👨"),
        ("🇩🇪🇫🇷🇩", "🇩🇪 🇫🇷 🇩"),
        ("❤\ufe0f\u200d🔥❤", "❤\ufe0f\u200d🔥 ❤"),
        ("1\ufe0f\u20e3#\ufe0f\u20e3", "1\ufe0f\u20e3 #\ufe0f\u20e3"),
        ("🏴\U000e0067\U000e0062\U000e007f.", "🏴\U000e0067\U000e0062\U000e007f ."),
        # what cannot be seen
        ("co\u00adop \u200fשלום\u200b a\u200bb", "co\u00adop \u200fשלום\u200b a\u200b b"),
        ("\ufeff", "\ufeff"),
        ("", ""),
        (" \n\t\u3000", ""),
    ],
)
def test_regex_words(text: str, expected: str) -> None:
    """Examples of words of the default splitter."""
    assert words(text) == expected.split(" ") * bool(expected)


HOSTILE = [
    "a.",
    "(",
    "ab.",
    "a@",
    "a-",
    "a'",
    "n't",
    "'s",
    "http://",
    "http://)",
    "www.",
    "a.com/)",
    "a.com",
    ".com",
    "-.5",
    "#_",
    "_",
    "1,",
    "a+",
    ".",
]


@pytest.mark.parametrize(
    "unit", [*HOSTILE, "\u200b", "\u0301", "😀\u200d", "🇩", "ก", "x@" + "a." * 9, "a" * 64 + "@"]
)
def test_hostile_text_is_split_in_linear_time(unit: str) -> None:
    """Adversarial texts of 200,000 characters are split in linear time."""
    text = unit * (200_000 // len(unit))
    result = RegexSplitter().split(text)
    assert result[0][0] == 0
    assert result[-1][1] == len(text)
    assert all(before[1] == after[0] for before, after in pairwise(result))


# spaCy is slow to import: only the tests that ask for `spacy_library` need it.


@given(text=TEXTS)
def test_words_of_spacy_partition_the_text(spacy_library: ModuleType, text: str) -> None:
    """The splitter `spacy` has the same guarantees: any text, and no white space in words."""
    assert_partition(SpacySplitter(), text)


def test_spacy_words(spacy_library: ModuleType) -> None:
    """Words follow the language's rules; a language is loaded once."""
    text = "We'd  paid 5km earlier."
    english = [text[start:end] for start, end in SpacySplitter().split(text)]
    assert english == ["We", "'d", "paid", "5", "km", "earlier", "."]
    assert SpacySplitter(lang="xx").split("We'd") == [(0, 4)]
    assert spacy_splitter.load_spacy("", "en", None) is spacy_splitter.load_spacy("", "en", None)


def test_an_installed_pipeline(spacy_library: ModuleType, tmp_path: Path) -> None:
    """`pipeline` uses the tokenizer of a pipeline, including rules added to it."""
    pipeline = spacy_library.blank("en")
    pipeline.tokenizer.add_special_case("gimme", [{"ORTH": "gim"}, {"ORTH": "me"}])
    pipeline.to_disk(tmp_path / "pipeline")
    assert SpacySplitter(pipeline=str(tmp_path / "pipeline")).split("gimme") == [(0, 3), (3, 5)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lang": "qq"}, "cannot load the language `qq`"),
        ({"pipeline": "no_such_pipeline"}, "python -m spacy download no_such_pipeline"),
    ],
)
def test_missing_languages_and_pipelines(
    spacy_library: ModuleType, options: dict[str, str], message: str
) -> None:
    """A missing language or pipeline is a single error."""
    with pytest.raises(UsageError) as caught:
        SpacySplitter(**options).split("a b")
    assert message in str(caught.value)


def test_without_spacy(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the extra to install; the splitter can be created and listed without it."""
    spacy_splitter.load_spacy.cache_clear()
    monkeypatch.setitem(sys.modules, "spacy", None)
    with pytest.raises(UsageError, match=r"pip install 'sltk\[spacy\]'"):
        SpacySplitter().split("a b")


def test_no_group_is_repeated_possessively() -> None:
    """Python before 3.11.5 (Debian 12 has 3.11.2) matches `(?:ab?c)*+` wrongly, and every word lost its last letter."""
    assert not re.search(r"\)(?:[*+?]|\{\d*,?\d*\})\+", regex._pattern().pattern)
