"""Classes of spans by length, rarity and the right context that their first tag needs."""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from sltk.components.metrics import SeqevalMetric
from sltk.data.slices import DIMENSIONS, RightContexts, documents_of, slice_codes
from sltk.types import Prediction, Sentence, Span

NEW, UNDECIDED = 5, 4


def tagged(text: str) -> Sentence:
    """`the/O bank/B-ORG` as a sentence with tags, and spans of one word for each `B-`."""
    words, tags = zip(*(part.split("/") for part in text.split()), strict=True)
    spans = [Span(place, place + 1, tag[2:]) for place, tag in enumerate(tags) if tag[0] == "B"]
    return Sentence(list(words), list(tags), spans)


def needed(training: Sequence[Sentence], words: Sequence[str], index: int) -> int:
    contexts = RightContexts([(words, index)])
    contexts.learn(training)
    return contexts.needed(words, index)


def reference(training: Sequence[Sentence], words: Sequence[str], index: int) -> int:
    """The definition in the docs, word by word: compare all occurrences."""

    def at(sentence: Sequence[str], place: int) -> str:
        return sentence[place] if 0 <= place < len(sentence) else f"outside {place < 0}"

    places = [
        (each, place) for each in training for place in range(len(each)) if each.words[place] == words[index]
    ]
    with_left = [(each, place) for each, place in places if at(each.words, place - 1) == at(words, index - 1)]
    occurrences = with_left or places
    if not occurrences:
        return NEW
    for right in range(4):
        agreeing = [
            (each.tags or ())[place]
            for each, place in occurrences
            if all(at(each.words, place + step) == at(words, index + step) for step in range(1, right + 1))
        ]
        if not agreeing:
            return UNDECIDED
        if len(set(agreeing)) == 1:
            return right
    return UNDECIDED


words = st.lists(st.sampled_from("ab"), min_size=1, max_size=6)


@given(
    st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("OX")), max_size=6), max_size=8),
    words,
)
def test_right_words_are_those_of_the_definition(
    corpus: list[list[tuple[str, str]]], text: list[str]
) -> None:
    """The number of right words equals that of a search through all occurrences."""
    training = [Sentence([word for word, _ in each], [tag for _, tag in each]) for each in corpus]
    for index in range(len(text)):
        assert needed(training, text, index) == reference(training, text, index)


def test_right_words_of_known_sentences() -> None:
    """A word that is a name only before another word needs that word; left context that decides needs none."""
    training = [
        tagged("she saw/O Bank/B-ORG of/I-ORG Oslo/I-ORG".replace("she ", "she/O ")),
        tagged("she/O saw/O Bank/O holidays/O"),
        tagged("the/O Bank/B-ORG"),
    ]
    assert needed(training, ["she", "saw", "Bank", "of", "Rome"], 2) == 1
    assert needed(training, ["the", "Bank", "of", "Rome"], 1) == 0  # after `the`, always B-ORG
    assert needed(training, ["my", "Bank", "of"], 1) == 1  # the pair is new: all occurrences of the word
    assert needed(training, ["saw", "Bank", "robbers"], 1) == UNDECIDED
    assert needed(training, ["Vera"], 0) == NEW


def test_codes_of_gold_and_predicted_spans() -> None:
    """Each span that is gold or predicted has a letter and a class of each dimension, counted in training data."""
    training = [tagged("Oslo/B-LOC is/O far/O")] * 3 + [tagged("Rome/B-LOC")]
    gold = tagged("Oslo/B-LOC and/O Rome/B-LOC and/O Bonn/B-LOC")
    predicted = Prediction(gold, ["B-LOC", "O", "O", "B-PER", "B-LOC"])
    empty = Prediction(Sentence(["so"], ["O"], []), ["O"])
    codes = slice_codes(training, [predicted, empty], SeqevalMetric(), "IOB2")
    # sentence of 5 words; 1 word; Oslo 3 times, Rome once, the others never; 4 LOC, no PER.
    assert codes == ["b00200" + "g00100" + "p00005" + "b00005", ""]
    assert len(DIMENSIONS) == 5


def test_limits_of_classes() -> None:
    """The classes of lengths are those that their names say."""
    for length, expected in ((10, "0"), (11, "1"), (20, "1"), (21, "2"), (40, "2"), (41, "3")):
        tags = ["B-A", *["I-A"] * 2, *["O"] * (length - 3)]
        sentence = Sentence([f"w{number}" for number in range(length)], tags, [Span(0, 3, "A")])
        (code,) = slice_codes([sentence] * 30, [Prediction(sentence, tags)], SeqevalMetric(), "IOB2")
        assert code == f"b{expected}2310"


def test_documents_are_numbers() -> None:
    """Sentences of one document share a number; a sentence without one is alone; no documents give none."""
    sentences = [Sentence(["a"], document=name) for name in ("x", "x", None, "y", "x")]
    assert documents_of(sentences) == [0, 0, 1, 2, 0]
    assert documents_of([Sentence(["a"])]) is None
