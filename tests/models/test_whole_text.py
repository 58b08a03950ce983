"""Whole texts: each line is labelled by itself, with the offsets of the text."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import sltk
from repository import ROOT
from sltk.models.whole_text import label_texts, text_lines

TEXTS = st.text(st.sampled_from("ab .,\n\r\t\ufeff\u2028é🙂\x00"), max_size=30)


@pytest.fixture(scope="module")
def labeller() -> sltk.Labeller:
    return sltk.load(ROOT / "tests" / "stored_runs" / "tagger")


@given(text=TEXTS)
@example(text="a\rb")
@example(text="\ufeffa\r\n\r\nb\n")
def test_lines_are_parts_of_the_text(text: str) -> None:
    """Each line stands in the text at its offset; only white space and byte-order marks are between them."""
    end, between = 0, ""
    for start, line in text_lines(text):
        assert text[start : start + len(line)] == line
        assert not line.startswith("\ufeff")
        between += text[end:start]
        end = start + len(line)
    assert not (between + text[end:]).replace("\ufeff", "").strip()


@settings(max_examples=40)
@given(texts=st.lists(TEXTS, max_size=4))
@example(texts=["The soup was awful .\n\nThe menu , plain !\n", ""])
def test_a_text_has_the_predictions_of_its_lines(labeller: sltk.Labeller, texts: list[str]) -> None:
    """A whole text has the words, tags and spans of its lines, one after the other, with its own offsets."""
    whole = label_texts(labeller, texts)
    assert [prediction.text for prediction in whole] == texts
    for text, prediction in zip(texts, whole, strict=True):
        parts = labeller.predict([line for _, line in text_lines(text)])
        assert prediction.words == [word for part in parts for word in part.words]
        assert prediction.tags == [tag for part in parts for tag in part.tags]
        assert [text[a:b] for a, b in prediction.sentence.offsets or ()] == prediction.words
        found = [prediction.words[span.start : span.end] for span in prediction.spans]
        assert found == [part.words[span.start : span.end] for part in parts for span in part.spans]


def test_lines_end_as_in_files() -> None:
    """Lines end at \\n or \\r\\n, or at \\r if there is no \\n; U+2028 is part of its line."""
    assert text_lines("a\r\nb\rc\n") == [(0, "a"), (3, "b\rc")]
    assert text_lines("a\rb") == [(0, "a"), (2, "b")]
    assert text_lines("a\u2028b") == [(0, "a\u2028b")]
