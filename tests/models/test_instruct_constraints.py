"""The automaton for constrained decoding: allowed responses of a sentence, and allowed subwords."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sltk.errors import ModelError
from sltk.models.instruct.automaton import Automaton, State
from sltk.models.instruct.prompt import response_text
from sltk.models.instruct.responses import parse
from sltk.models.instruct.vocabulary import TrieNode, Vocabulary
from sltk.types import Response, Span

OPTIONS = {"POS": "good", "NEG": "bad", "BOTH": "good and bad"}
TYPES = {phrase: type_ for type_, phrase in OPTIONS.items()}


def state_after(automaton: Automaton, text: str) -> State | None:
    """The state after a text, or None if the text is not allowed."""
    state: State | None = automaton.start
    for byte in text.encode():
        state = automaton.steps(state).get(byte) if state is not None else None
    return state


def accepts(words: list[str], text: str) -> bool:
    automaton = Automaton(words, OPTIONS.values())
    state = state_after(automaton, text)
    return state is not None and automaton.is_end(state)


@pytest.mark.parametrize(
    ("text", "is_response"),
    [
        ("", True),
        ("soup:good", True),
        ("the soup:bad", True),
        ("the soup:good and bad", True),
        ("soup:bad;10:30:good", True),
        ("the:bad;soup at 10:30:good", True),
        ("soup:bad;", False),
        ("soup", False),
        ("soup:", False),
        ("sou:bad", False),
        ("oup:bad", False),
        ("soup :bad", False),
        ("soup:ba", False),
        ("soup:so so", False),
        ("salad:bad", False),
        ("10:good", False),
        ("at:bad;soup:good", False),
        ("soup:bad;soup:good", False),
        (" soup:bad", False),
    ],
)
def test_a_sentence_allows_only_its_words_with_options(text: str, is_response: bool) -> None:
    """Spans are whole words of the sentence in order, each with one of the options."""
    assert accepts(["the", "soup", "at", "10:30"], text) is is_response


def test_words_that_cannot_be_parsed_are_excluded_from_spans() -> None:
    """Words with a semicolon or white space, and words that the vocabulary cannot spell, are excluded."""
    words = ["a;b", "c", "d e", "\u00a0", "f", "g"]
    assert accepts(words, "c:bad;f g:good")
    for text in ("a;b:bad", "c d e:bad", "d e:bad", "\u00a0:bad", "\u00a0 f:bad"):
        assert not accepts(words, text)
    without_g = Automaton(words, OPTIONS.values(), lambda word: b"g" not in word)
    assert state_after(without_g, "f g") is None


def test_a_leading_space_is_allowed_if_the_tokenizer_adds_one() -> None:
    """SentencePiece adds a space before a text, and removes it in decoding."""
    automaton = Automaton(["soup"], OPTIONS.values(), may_lead=True)
    for text, is_response in (
        ("", True),
        (" soup:bad", True),
        ("soup:bad", True),
        (" ", False),
        ("  soup:bad", False),
    ):
        state = state_after(automaton, text)
        assert (state is not None and automaton.is_end(state)) is is_response


def test_a_sentence_without_words_allows_only_the_empty_response() -> None:
    """Without words, a sentence has no spans."""
    automaton = Automaton([], OPTIONS.values())
    assert automaton.is_end(automaton.start)
    assert automaton.steps(automaton.start) == {}


sentences = st.lists(st.text("aé:;b ", max_size=3) | st.sampled_from(["good", "a", "soup"]), max_size=7)


@settings(max_examples=150)
@given(sentences, st.randoms(use_true_random=False))
def test_every_allowed_response_is_parsed_completely(words: list[str], draw: random.Random) -> None:
    """A random walk never gets stuck, and no piece of its response is malformed, unknown or unmatched."""
    automaton = Automaton(words, OPTIONS.values())
    state, text = automaton.start, bytearray()
    while True:
        steps = automaton.steps(state)
        if automaton.is_end(state) and (not steps or draw.random() < 0.4):
            break
        before = automaton.to_end(state)
        byte = draw.choice(sorted(steps))
        assert min(automaton.to_end(each) for each in steps.values()) <= max(
            before - 1, automaton.to_end(steps[byte])
        )
        state = steps[byte]
        text.append(byte)
    modes: tuple[Literal["tolerant", "paper"], ...] = ("tolerant", "paper")
    for mode in modes:
        spans, response = parse(Response(text.decode()), words, TYPES, mode)
        assert len(spans) == response.pieces
        assert (response.malformed, response.unknown_type, response.unmatched) == (0, 0, 0)


@settings(max_examples=100)
@given(st.lists(st.text("aéb:", min_size=1, max_size=3), min_size=1, max_size=7), st.data())
def test_every_correct_response_is_allowed(words: list[str], data: st.DataObject) -> None:
    """The model can generate the responses that it is trained on."""
    borders = sorted(data.draw(st.sets(st.integers(0, len(words)))))
    spans = [Span(a, b, data.draw(st.sampled_from(list(OPTIONS)))) for a, b in pairwise(borders)]
    chosen = [span for span in spans if data.draw(st.booleans())]
    # A text that also occurs earlier is matched there, so only its text has to be allowed.
    text = response_text(words, chosen, OPTIONS)
    assert accepts(words, text)


def test_to_end_is_the_smallest_number_of_missing_bytes() -> None:
    """The missing bytes are those of the rest of the word, the colon and the shortest option."""
    automaton = Automaton(["soup"], OPTIONS.values())
    expected = {"": 0, "s": 7, "soup": 4, "soup:": 3, "soup:g": 3, "soup:good": 0, "soup:good ": 7}
    for text, count in expected.items():
        state = state_after(automaton, text)
        assert state is not None
        assert automaton.to_end(state) == count


def test_the_allowed_subwords_are_those_whose_bytes_are_allowed() -> None:
    """A subword may come next if the automaton accepts all of its bytes."""
    spelling = dict(
        enumerate([b"s", b"soup", b"soup:", b"soup:bad", b"up", b":", b";", b"\xc3", b"", b"soap"])
    )
    vocabulary = Vocabulary(spelling)
    automaton = Automaton(["soup"], OPTIONS.values())
    states = dict(vocabulary.allowed(automaton, automaton.start))
    assert sorted(states) == [0, 1, 2, 3]
    assert automaton.is_end(states[3])
    assert not automaton.is_end(states[2])


def test_a_vocabulary_spells_text_by_bytes_or_by_characters() -> None:
    """A vocabulary of all bytes spells every text, others only the characters that they have."""
    assert Vocabulary({n: bytes([n]) for n in range(256)}).spells("né".encode())
    assert Vocabulary({0: b"n", 1: "é".encode()}).spells("né".encode())
    assert not Vocabulary({0: b"n"}).spells("né".encode())


def spellings(node: TrieNode, before: bytes = b"") -> Iterator[tuple[int, bytes]]:
    """The bytes of each subword of a trie."""
    yield from ((number, before) for number in node.numbers)
    for byte, child in node.children.items():
        yield from spellings(child, before + bytes([byte]))


def test_byte_level_subwords_are_spelled_as_their_bytes() -> None:
    """The bytes of every subword are the text that the tokenizer decodes it to."""
    from sltk.components.backbones.building import train_tokenizer

    tokenizer = train_tokenizer([" the soupe fraîche was – très – good , très good ."] * 4, 300)
    vocabulary = Vocabulary.of(tokenizer)
    bytes_of = dict(spellings(vocabulary.root))
    assert set(bytes_of) == set(range(len(tokenizer))) - set(tokenizer.all_special_ids)
    for number, text in bytes_of.items():
        assert text.decode(errors="replace") == tokenizer.decode([number])
    assert vocabulary.spells("日本".encode())
    assert not vocabulary.may_lead


def test_a_tokenizer_with_subwords_of_unknown_bytes_is_rejected() -> None:
    """Subwords of WordPiece lack spaces, so they are not the text."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import PreTrainedTokenizerFast

    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator(["a soup"], vocab_size=60, show_progress=False)
    with pytest.raises(ModelError, match="constrained decoding needs byte-level BPE or SentencePiece"):
        Vocabulary.of(PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer))
