"""Readers on complete real corpora with known counts."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from sltk.cli import main
from sltk.components.readers.ace05 import Ace05Reader
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.csv import CsvReader
from sltk.components.readers.holdout import HoldoutReader
from sltk.components.readers.semeval14 import SemEval14Reader
from sltk.data.datasets import load
from sltk.data.splits import load_splits
from sltk.data.statistics import statistics


@pytest.mark.parametrize(
    ("part", "documents", "sentences", "words", "entities", "chunks", "repaired"),
    [
        ("train", 946, 14041, 203621, 23499, 99997, 2),
        ("testa", 216, 3250, 51362, 5942, 25737, 0),
        ("testb", 231, 3453, 46435, 5648, 22020, 0),
    ],
)
def test_conll2003(corpora, part, documents, sentences, words, entities, chunks, repaired):
    """IOB1 is detected in both columns."""
    path = corpora / "conll2003" / f"eng.{part}"
    names, phrases = statistics(ConllReader(path=path)), statistics(ConllReader(path=path, label_column=2))
    assert (names["documents"], names["sentences"], names["words"]) == (documents, sentences, words)
    assert (names["scheme"], phrases["scheme"]) == ("IOB1", "IOB1")
    assert (sum(names["spans"].values()), sum(phrases["spans"].values())) == (entities, chunks)
    assert names["repaired"] == repaired
    assert statistics(ConllReader(path=path, label_column=1))["scheme"] == "plain"


@pytest.mark.parametrize(
    ("part", "counts"), [("train", (8936, 211727, 106978)), ("test", (2012, 47377, 23852))]
)
def test_conll2000(corpora, part, counts):
    """Chunks in IOB2."""
    result = statistics(ConllReader(path=corpora / "conll2000" / f"{part}.txt"))
    assert (result["sentences"], result["words"], sum(result["spans"].values())) == counts
    assert (result["scheme"], result["repaired"]) == ("IOB2", 0)


@pytest.mark.parametrize(
    ("name", "sentences", "polarities", "cut"),
    [
        (
            "Restaurants_Train_v2",
            3041,
            {"conflict": 91, "negative": 805, "neutral": 633, "positive": 2164},
            [4027, 25002, 26213],
        ),
        (
            "Restaurants_Test_Gold",
            800,
            {"conflict": 14, "negative": 196, "neutral": 196, "positive": 728},
            [3982],
        ),
    ],
)
def test_rest14(corpora, name, sentences, polarities, cut):
    """Every term of the XML files is read and used, including those inside a word of the splitter."""
    result = statistics(SemEval14Reader(path=corpora / "rest14" / f"{name}.xml"))
    assert (result["sentences"], result["spans"], result["unused"]) == (sentences, polarities, [])
    assert [item["line"] for item in result["adjusted"]] == cut


def test_holdout_equals_the_papers_split(corpora):
    """Seed 42 holds out the 304 sentences of the paper's released split, in the same order."""
    train = SemEval14Reader(path=corpora / "rest14" / "Restaurants_Train_v2.xml")
    spec = SimpleNamespace(train=train, validation=HoldoutReader(fraction=0.1, seed=42), test=None)
    splits = load_splits(spec, "IOB2")
    released = load(CsvReader(path=corpora / "rest14" / "paper_split" / "absa_valid.csv"), "IOB2")
    assert (len(splits["train"]), len(splits["validation"])) == (2737, 304)
    ours = ["".join("".join(sentence.words).split()) for sentence in splits["validation"]]
    assert ours == ["".join("".join(sentence.words).split()) for sentence in released]


@pytest.mark.parametrize(
    ("part", "sentences", "terms", "blank"),
    [("train", 2737, 3319, 16), ("valid", 304, 365, 1), ("test", 800, 1132, 2)],
)
def test_the_papers_split(corpora, part, sentences, terms, blank):
    """Lists written by pandas, with words that consist of spaces."""
    data = load(CsvReader(path=corpora / "rest14" / "paper_split" / f"absa_{part}.csv"), "IOB2")
    assert len(data) == sentences
    assert sum(tag.startswith("B-") for sentence in data for tag in sentence.tags) == terms
    assert sum(word.isspace() for sentence in data for word in sentence.words) == blank


@pytest.mark.parametrize(
    ("part", "sentences", "triggers"), [("train", 4731, 872), ("dev", 620, 128), ("test", 662, 105)]
)
def test_ace_format(corpora, part, sentences, triggers):
    """Eight types of event triggers, or the single type of trigger identification."""
    path = corpora / "ace_format" / f"{part}.json"
    result = statistics(Ace05Reader(path=path))
    assert (result["sentences"], sum(result["spans"].values())) == (sentences, triggers)
    assert len(result["spans"]) == 8
    assert statistics(Ace05Reader(path=path, types="trigger"))["spans"] == {"trigger": triggers}


@pytest.mark.parametrize(
    ("path", "reader", "expected"),
    [
        ("brat", "brat", {"documents": 4, "spans": {"Disease": 64}}),
        ("conllu/en_ewt-ud-dev.conllu", "conllu", {"sentences": 2001, "words": 25147, "spans": {}}),
        ("conll2000/test.txt", "conll", {"sentences": 2012, "words": 47377, "scheme": "IOB2"}),
    ],
)
def test_stats_as_a_command(corpora, capsys, path, reader, expected):
    """The output of `sltk stats --json` for a folder and for files."""
    assert main(["stats", str(corpora / path), "--reader", reader, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert {key: result[key] for key in expected} == expected
