"""Near duplicates, and span texts with another label elsewhere: `sltk check --data`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tiny
from sltk import schemes
from sltk.cli import main
from sltk.data.datasets import Dataset
from sltk.preview.audit import near_duplicates
from sltk.preview.audit.label_conflicts import LabelConflicts
from sltk.preview.audit.near_duplicates import NearDuplicates, NearDuplicateSearch, normalized
from sltk.preview.audit.repetition import SentenceIndex
from sltk.types import Sentence, Span


def dataset(name: str, sentences: Sequence[Sentence]) -> Dataset:
    """A split in IOB2."""
    for line, sentence in enumerate(sentences, 1):
        sentence.file, sentence.line = f"{name}.txt", line
    return Dataset(list(sentences), "IOB2", None, name=name)


def searched(splits: dict[str, list[str]], similarity: float) -> NearDuplicates:
    """The near duplicates of splits of plain sentences; the first word of each is a span."""
    search = NearDuplicateSearch(similarity)
    sources, indices = [], []
    for name, texts in splits.items():
        sources.append(dataset(name, [Sentence(text.split(), spans=[Span(0, 1, "X")]) for text in texts]))
        indices.append(SentenceIndex())
        search.start(name)
        for sentence in sources[-1]:
            search.add(sentence)
            indices[-1].add(sentence)
    return search.find(sources, indices)


def pairs_of(text: str) -> set[tuple[str, str]]:
    words = normalized(text.split())
    return set(zip(["", *words], [*words, ""], strict=True))


sentence_texts = st.lists(
    st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=5, max_size=9).map(" ".join), max_size=6
)


@given(sentence_texts, sentence_texts, st.sampled_from([0.3, 0.5, 0.7, 1.0]))
def test_near_duplicates_are_those_of_a_slow_search(train, test, similarity):
    """In and between splits, the sentences found are those of comparing all pairs; equal sentences are left out."""
    found = searched({"train": train, "test": test}, similarity)
    long = {
        name: [text for text in texts if len(text.split()) >= 6]
        for name, texts in (("train", train), ("test", test))
    }

    def expected(own: str, others: Sequence[str]) -> float | None:
        if own in others:
            return None
        shares = [
            len(pairs_of(own) & pairs_of(each)) / len(pairs_of(own) | pairs_of(each)) for each in others
        ]
        return max((share for share in shares if share >= similarity - 1e-9), default=None)

    for each in found.overlaps:
        own = long[each.split]
        others = [own[:place] if each.split == each.other else long[each.other] for place in range(len(own))]
        shares = [expected(text, other) for text, other in zip(own, others, strict=True)]
        assert [pair.similarity for pair in each.pairs] == [
            round(share, 3) for share in shares if share is not None
        ]
        assert [" ".join(pair.words) for pair in each.pairs] == [
            text for text, share in zip(own, shares, strict=True) if share is not None
        ]
    assert found.compared == {name: len(texts) for name, texts in long.items()}


def test_a_leak_has_both_places_and_its_share_of_the_spans():
    """Case, digits and punctuation make no difference; a sentence that also occurs as it is counts elsewhere."""
    leak = "On May 3 , the council met in Lund again ."
    train = ["on may 4 the council met in lund again", "something else altogether in six words", leak]
    found = searched(
        {"train": train, "test": ["On May 5 the council met in Lund again !", leak, "no , never"]}, 0.7
    )
    by_splits = {(each.split, each.other): each for each in found.overlaps}
    (pair,) = by_splits["test", "train"].pairs
    assert (pair.place, pair.other_place, pair.similarity) == ("test.txt:1", "train.txt:1", 1.0)
    assert by_splits["test", "train"].share == pytest.approx(1 / 3)
    assert by_splits["test", "train"].span_share == pytest.approx(1 / 3)
    assert by_splits["train", "train"].sentences == by_splits["test", "test"].sentences == 1


def test_what_is_not_compared_is_counted(monkeypatch: pytest.MonkeyPatch):
    """Sentences above the limit of memory, and candidates above the limit of time."""
    texts = [f"the cat sat on the mat in {word}" for word in "abcdef"]
    monkeypatch.setattr(near_duplicates, "_MOST_PAIRS", 20)
    assert searched({"train": texts}, 0.5).left_out == {"train": 3}
    monkeypatch.undo()
    monkeypatch.setattr(near_duplicates, "_MOST_CANDIDATES", 2)
    assert searched({"train": texts}, 0.5).cut_short == 3


def conflicts_of(*sentences: Sentence) -> list[tuple[Any, ...]]:
    """Text, label, count, regular label and count of each conflict, and its places."""
    conflicts = LabelConflicts()
    split = dataset("train", sentences)
    for sentence in split:
        conflicts.add(sentence)
    return [
        (each.text, each.label, each.count, each.regular, each.regular_count, each.places)
        for each in conflicts.find([split]).listed
    ]


def labelled(text: str, *spans: Span, annotated: frozenset[str] | None = None) -> Sentence:
    return Sentence(text.split(), spans=list(spans), annotated=annotated)


def test_the_most_surprising_label_comes_first():
    """One LOC beside 50 PER precedes one of ten; a text with several labels as often as not is not listed."""
    regular = [labelled("Ada Byron slept", Span(0, 2, "PER")) for _ in range(50)]
    once = labelled("near Ada Byron", Span(1, 3, "LOC"))
    lund = [labelled("Lund", Span(0, 1, "LOC")) for _ in range(10)]
    unlabelled = labelled("in Lund itself")
    ambiguous = [labelled("may", Span(0, 1, type_)) for type_ in ("DATE", "PER") for _ in range(9)]
    inside = labelled("Lund University", Span(0, 2, "ORG"))
    assert conflicts_of(*regular, once, *lund, unlabelled, *ambiguous, inside) == [
        ("Ada Byron", "LOC", 1, "PER", 50, ("train.txt:51",)),
        ("Lund", None, 1, "LOC", 10, ("train.txt:62",)),
    ]


def test_a_text_that_is_rarely_labelled_is_a_conflict():
    """A label on a word that otherwise has none; the unlabelled places of a longer span text count for that text."""
    sentences = [labelled("The Hague", Span(0, 1, "LOC")), *(labelled("The end") for _ in range(12))]
    assert conflicts_of(*sentences) == [("The", "LOC", 1, None, 12, ("train.txt:1",))]
    longer = [labelled("The Hague", Span(0, 2, "LOC")), *(labelled("The Hague") for _ in range(12))]
    assert conflicts_of(longer[0], labelled("The", Span(0, 1, "X")), *longer[1:]) == [
        ("The Hague", "LOC", 1, None, 12, ("train.txt:1",))
    ]


def test_what_a_corpus_does_not_annotate_is_no_conflict():
    """Where the corpus of a sentence does not annotate the type, a text without a label is no exception."""
    regular = [labelled("Lund", Span(0, 1, "LOC")) for _ in range(10)]
    assert conflicts_of(*regular, labelled("Lund", annotated=frozenset({"PER"}))) == []
    assert len(conflicts_of(*regular, labelled("Lund", annotated=frozenset({"LOC"})))) == 1


@pytest.fixture
def spec(tmp_path: Path) -> Path:
    """A spec whose test data repeats a training sentence with another number, and has an odd label."""

    train = [("Lund sleeps", [Span(0, 1, "LOC")])] * 12 + [
        ("On May 3 the council met in Lund", [Span(7, 8, "LOC")])
    ]
    test = [("On May 4 the council met in Lund", [Span(7, 8, "PER")])]
    for name, sentences in (("train", train), ("test", test)):
        lines = []
        for text, spans in sentences:
            words = text.split()
            tags = schemes.encode(spans, len(words), "IOB2")
            lines.append("".join(f"{word} {tag}\n" for word, tag in zip(words, tags, strict=True)))
        (tmp_path / f"{name}.conll").write_text("\n".join(lines))
    data = {name: {"type": "conll", "path": str(tmp_path / f"{name}.conll")} for name in ("train", "test")}
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(tiny.spec(data=data)))
    return path


def test_check_shows_both(spec: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    """The table, a warning with both places, and the odd label, within 60 columns."""
    monkeypatch.setenv("COLUMNS", "60")
    assert main(["check", str(spec), "--data"]) == 0
    printed = capsys.readouterr()
    assert "near duplicates (0.7)" in printed.out
    assert all(
        len(line) <= 60 for line in printed.out.splitlines() if line.startswith(("near", "  of train"))
    )
    assert "␊" not in printed.out
    assert "`Lund`: PER 1x, elsewhere LOC 13x" in " ".join(printed.out.split())
    assert "nearly equal to one in train: 1 (100.0%, with 100.0% of the spans; similarity 0.7" in printed.err
    assert "test.conll:1: On May 4" in printed.err
    assert "train.conll:37: On May 3" in printed.err


def test_the_similarity_is_a_choice(spec: Path, capsys: pytest.CaptureFixture[str]):
    """0 does not look for near duplicates; the JSON has the similarity and all pairs; other values are errors."""
    assert main(["check", str(spec), "--data", "--json", "--near-duplicates", "1"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["near_duplicates"]["similarity"] == 1
    assert shown["near_duplicates"]["overlaps"][1]["pairs"][0]["similarity"] == 1
    assert shown["label_conflicts"]["count"] == 1
    assert main(["check", str(spec), "--data", "--json", "--near-duplicates", "0"]) == 0
    assert json.loads(capsys.readouterr().out)["near_duplicates"] is None
    assert main(["check", str(spec), "--data", "--near-duplicates", "70"]) == 2
    assert main(["check", str(spec), "--near-duplicates", "0.5"]) == 2
    assert "use it with `--data`" in capsys.readouterr().err
