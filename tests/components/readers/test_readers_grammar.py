"""The readers `grammar`, which generates the quickstart's data, and `holdout`."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter, defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sltk import schemes
from sltk.components.readers.grammar import GrammarReader
from sltk.components.readers.holdout import HoldoutReader
from sltk.errors import DataError
from sltk.types import Sentence

PROGRAM = """
from sltk.components.readers.grammar import GrammarReader
print([(s.words, s.tags) for s in GrammarReader(count=20, seed=5).read()])
"""


def sentences(part: str = "train", count: int = 3000, seed: int = 0):
    return list(GrammarReader(part=part, count=count, seed=seed).read())


def terms(sentence):
    """`(words, polarity, start)` of each aspect term."""
    result = schemes.decode(sentence.tags, "IOB2", "error").spans
    return [(" ".join(sentence.words[s.start : s.end]).lower(), s.type, s.start) for s in result]


def test_the_seed_determines_the_sentences():
    """The same seed gives the same sentences for any hash seed; another seed gives others."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    ]
    assert outputs[0] == outputs[1]
    assert sentences(count=20)[0] == sentences(count=20)[0]
    assert [s.words for s in sentences(count=20)] != [s.words for s in sentences(count=20, seed=1)]


def test_the_data_resembles_aspect_data():
    """Terms of one and of several words, sentences without and with several terms, uniform polarities."""
    result = [terms(sentence) for sentence in sentences()]
    lengths = Counter(len(term.split()) for terms_ in result for term, _, _ in terms_)
    assert lengths[1] > 500
    assert lengths[2] > 500
    assert lengths.keys() - {1, 2}
    assert sum(not terms_ for terms_ in result) > 100
    assert sum(len({polarity for _, polarity, _ in terms_}) > 1 for terms_ in result) > 500
    shares = Counter(polarity for terms_ in result for _, polarity, _ in terms_)
    assert shares.keys() == {"positive", "negative", "neutral"}
    assert min(shares.values()) / max(shares.values()) > 0.9


def test_the_left_context_rarely_predicts_the_polarity():
    """A classifier of the words before the term, trained on train, is correct for few terms."""
    seen: defaultdict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for sentence in sentences():
        for _, polarity, start in terms(sentence):
            seen[tuple(sentence.words[max(0, start - 2) : start])][polarity] += 1
    right = total = 0
    for sentence in sentences("test"):
        for _, polarity, start in terms(sentence):
            guess = seen[tuple(sentence.words[max(0, start - 2) : start])].most_common(1)
            right, total = right + (bool(guess) and guess[0][0] == polarity), total + 1
    assert 0.3 < right / total < 0.5


def test_a_term_has_every_polarity():
    """Every term occurs with every polarity."""
    result: defaultdict[str, set[str]] = defaultdict(set)
    for sentence in sentences():
        for term, polarity, _ in terms(sentence):
            result[term].add(polarity)
    assert all(len(polarities) == 3 for polarities in result.values())


def test_parts_share_words_but_no_clause_with_a_term():
    """Every word of the test part occurs in train, but no clause with a term occurs in both."""
    train, test = sentences(), sentences("test", 600)
    vocabulary = {word.lower() for sentence in train for word in sentence.words}
    assert {word.lower() for sentence in test for word in sentence.words} <= vocabulary
    known = {tuple(sentence.words) for sentence in train if terms(sentence)}
    assert not [sentence for sentence in test if tuple(sentence.words) in known and terms(sentence)]


def test_holdout_keeps_order_and_loses_nothing():
    """Both parts keep their order, are disjoint, and together are complete."""
    rest, held_out = HoldoutReader(fraction=0.25, seed=1).divide(range(41))
    assert len(held_out) == 10
    assert rest == sorted(rest)
    assert held_out == sorted(held_out)
    assert sorted(rest + held_out) == list(range(41))


def test_holdout_follows_its_seed():
    """The same seed holds out the same sentences, another seed others; `count` sets their number."""
    first = HoldoutReader(count=5, seed=1).divide(range(100))
    assert first == HoldoutReader(count=5, seed=1).divide(range(100))
    assert first != HoldoutReader(count=5, seed=2).divide(range(100))
    assert len(first[1]) == 5


@given(st.integers(0, 60), st.integers(1, 60))
def test_holdout_of_all_or_nothing_is_an_error(total, count):
    """Holding out everything or nothing is an error."""
    reader = HoldoutReader(count=count)
    if count < total:
        assert [len(part) for part in reader.divide(range(total))] == [total - count, count]
    else:
        with pytest.raises(DataError, match="leave some"):
            reader.divide(range(total))


DOCUMENTS = st.lists(st.sampled_from(["1", "2", "3", None]), min_size=2, max_size=30)


@given(DOCUMENTS, st.integers(0, 9))
def test_holdout_may_take_whole_documents(documents, seed):
    """No document is in both parts; sentences without a document are units by themselves; order is kept."""
    sentences = [Sentence([str(n)], document=document) for n, document in enumerate(documents)]
    units = {document or n for n, document in enumerate(documents)}
    reader = HoldoutReader(by="document", fraction=0.5, seed=seed)
    if set(documents) == {None} or len(units) < 2:
        with pytest.raises(DataError, match=r"train marks none|leave some"):
            reader.divide(sentences)
        return
    rest, held_out = reader.divide(sentences)
    assert len({s.document or int(s.words[0]) for s in held_out}) == len(units) // 2
    assert not {s.document for s in rest} & {s.document for s in held_out} - {None}
    for part in (rest, held_out):
        assert [int(s.words[0]) for s in part] == sorted(int(s.words[0]) for s in part)
    assert len(rest) + len(held_out) == len(sentences)


def test_holdout_takes_one_size():
    """A fraction and a count together are rejected, and so is reading `holdout` directly."""
    with pytest.raises(ValidationError, match="not both"):
        HoldoutReader(fraction=0.1, count=3)
    with pytest.raises(DataError, match="divides `train`"):
        HoldoutReader().read()
