"""The automaton of the responses that a sentence allows."""

from __future__ import annotations

import random
from collections.abc import Iterator
from itertools import pairwise

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


def after(automaton: Automaton, text: str) -> State | None:
    """The state after a text; None where it is not allowed."""
    state: State | None = automaton.start
    for byte in text.encode():
        state = automaton.steps(state).get(byte) if state is not None else None
    return state


def accepts(words: list[str], text: str) -> bool:
    automaton = Automaton(words, OPTIONS.values())
    state = after(automaton, text)
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
def test_a_sentence_allows_its_own_words_with_options(text: str, is_response: bool) -> None:
    """Whole words of the sentence, in order, each span with one of the options."""
    assert accepts(["the", "soup", "at", "10:30"], text) is is_response


def test_words_that_could_not_be_read_back_take_part_in_no_span() -> None:
    """A word with a semicolon or white space in it, or one that the vocabulary cannot spell."""
    words = ["a;b", "c", "d e", "\u00a0", "f", "g"]
    assert accepts(words, "c:bad;f g:good")
    for text in ("a;b:bad", "c d e:bad", "d e:bad", "\u00a0:bad", "\u00a0 f:bad"):
        assert not accepts(words, text)
    poor = Automaton(words, OPTIONS.values(), lambda word: b"g" not in word)
    assert after(poor, "f g") is None


def test_a_space_may_lead_where_the_tokenizer_puts_one() -> None:
    """SentencePiece writes a space before a text, and takes it away again."""
    automaton = Automaton(["soup"], OPTIONS.values(), may_lead=True)
    for text, is_response in (
        ("", True),
        (" soup:bad", True),
        ("soup:bad", True),
        (" ", False),
        ("  soup:bad", False),
    ):
        state = after(automaton, text)
        assert (state is not None and automaton.is_end(state)) is is_response


def test_a_sentence_without_words_allows_the_empty_response_alone() -> None:
    """There is nothing that a span could be made of."""
    automaton = Automaton([], OPTIONS.values())
    assert automaton.is_end(automaton.start)
    assert automaton.steps(automaton.start) == {}


sentences = st.lists(st.text("aé:;b ", max_size=3) | st.sampled_from(["good", "a", "soup"]), max_size=7)


@settings(max_examples=150, deadline=None)
@given(sentences, st.randoms(use_true_random=False))
def test_every_allowed_response_is_read_back_whole(words: list[str], draw: random.Random) -> None:
    """A random walk never gets stuck, and what it writes has no piece that is malformed, unknown or unmatched."""
    automaton = Automaton(words, OPTIONS.values())
    state, written = automaton.start, bytearray()
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
        written.append(byte)
    for mode in ("tolerant", "paper"):
        spans, response = parse(Response(written.decode()), words, TYPES, mode)  # type: ignore[arg-type]
        assert len(spans) == response.pieces
        assert (response.malformed, response.unknown_type, response.unmatched) == (0, 0, 0)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text("aéb:", min_size=1, max_size=3), min_size=1, max_size=7), st.data())
def test_every_perfect_response_is_allowed(words: list[str], data: st.DataObject) -> None:
    """What the model is trained to write, it can write."""
    borders = sorted(data.draw(st.sets(st.integers(0, len(words)))))
    spans = [Span(a, b, data.draw(st.sampled_from(list(OPTIONS)))) for a, b in pairwise(borders)]
    chosen = [span for span in spans if data.draw(st.booleans())]
    # Where a text stands earlier too, its place is read there: only what is read back is allowed.
    text = response_text(words, chosen, OPTIONS)
    assert accepts(words, text)


def test_the_fewest_missing_bytes_lead_to_an_end() -> None:
    """`to_end` counts the rest of the word, the colon and the shortest option."""
    automaton = Automaton(["soup"], OPTIONS.values())
    expected = {"": 0, "s": 7, "soup": 4, "soup:": 3, "soup:g": 3, "soup:good": 0, "soup:good ": 7}
    for text, count in expected.items():
        state = after(automaton, text)
        assert state is not None
        assert automaton.to_end(state) == count


def test_subwords_are_found_by_their_bytes() -> None:
    """Those that may come next are exactly those whose spelling the automaton can follow."""
    spelling = dict(
        enumerate([b"s", b"soup", b"soup:", b"soup:bad", b"up", b":", b";", b"\xc3", b"", b"soap"])
    )
    vocabulary = Vocabulary(spelling)
    automaton = Automaton(["soup"], OPTIONS.values())
    found = dict(vocabulary.allowed(automaton, automaton.start))
    assert sorted(found) == [0, 1, 2, 3]
    assert automaton.is_end(found[3])
    assert not automaton.is_end(found[2])


def test_a_vocabulary_of_bytes_spells_everything_and_another_one_its_letters() -> None:
    """`spells` looks at bytes, then at characters."""
    assert Vocabulary({n: bytes([n]) for n in range(256)}).spells("né".encode())
    assert Vocabulary({0: b"n", 1: "é".encode()}).spells("né".encode())
    assert not Vocabulary({0: b"n"}).spells("né".encode())


def spellings(node: TrieNode, before: bytes = b"") -> Iterator[tuple[int, bytes]]:
    """The bytes of each subword of a tree."""
    yield from ((number, before) for number in node.numbers)
    for byte, child in node.children.items():
        yield from spellings(child, before + bytes([byte]))


def test_byte_level_subwords_are_spelt_as_their_bytes() -> None:
    """The text of every subword is what the tokenizer decodes it to."""
    from sltk.components.backbones.building import train_tokenizer

    tokenizer = train_tokenizer([" the soupe fraîche was – très – good , très good ."] * 4, 300)
    vocabulary = Vocabulary.of(tokenizer)
    spelt = dict(spellings(vocabulary.root))
    assert set(spelt) == set(range(len(tokenizer))) - set(tokenizer.all_special_ids)
    for number, text in spelt.items():
        assert text.decode(errors="replace") == tokenizer.decode([number])
    assert vocabulary.spells("日本".encode())
    assert not vocabulary.may_lead


def test_a_tokenizer_whose_subwords_cannot_be_spelt_is_refused() -> None:
    """WordPiece writes no spaces: its subwords are not the text."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import PreTrainedTokenizerFast

    pieces = BertWordPieceTokenizer()
    pieces.train_from_iterator(["a soup"], vocab_size=60, show_progress=False)
    with pytest.raises(ModelError, match="constrained decoding needs byte-level BPE or SentencePiece"):
        Vocabulary.of(PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer))
