"""Which way the arcs of labelled words point, by trees that were counted by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import sltk
from sltk.cli import main
from sltk.components.readers.conllu import ConlluReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.data.arcs import arc_directions, arcs_of, count_arcs, pipeline_parser, spacy_parser
from sltk.types import Sentence

# The cook praised our soup loudly .     (head of each word, 1-based; 0 is the root)
WORDS = ["The", "cook", "praised", "our", "soup", "loudly", "."]
HEADS = [2, 3, 0, 5, 3, 3, 3]
TAGS = ["O", "B-PERSON", "O", "B-DISH", "I-DISH", "O", "O"]
# cook: head praised →, child The ←                              1 of 2
# our: head soup →                                               1 of 1
# soup: head praised ←, child our ←                              0 of 2
EXPECTED = {"PERSON": (1, 2, 1), "DISH": (2, 3, 1)}


def conllu(words: list[str], heads: list[Any], tags: list[str]) -> str:
    rows = [
        f"{number}\t{word}\t_\tX\t_\t_\t{head}\tdep\t_\tType={tag}"
        for number, (word, head, tag) in enumerate(zip(words, heads, tags, strict=True), 1)
    ]
    return "\n".join(rows) + "\n\n"


@pytest.fixture
def treebank(tmp_path: Path) -> Path:
    path = tmp_path / "cook.conllu"
    path.write_text(conllu(WORDS, HEADS, TAGS), encoding="utf-8")
    return path


def test_arcs_of_labelled_words_by_type(treebank: Path) -> None:
    """The arc to the head and those to the children, each from the labelled word; arcs of others do not count."""
    found = arc_directions(ConlluReader(path=treebank, column="misc:Type"))
    rows = {name: (row["words"], row["arcs"], row["right"]) for name, row in found["per_type"].items()}
    assert rows == EXPECTED
    assert (found["words"], found["arcs"], found["right"]) == (3, 5, 2)
    assert found["share"] == pytest.approx(0.4)
    assert found["per_type"]["PERSON"]["share"] == 0.5


def test_plain_tags_label_every_word(treebank: Path) -> None:
    """Six arcs, each seen from both its ends: half of all point right, whatever the tree."""
    found = arc_directions(ConlluReader(path=treebank, column="upos"))
    assert (found["words"], found["arcs"], found["share"]) == (7, 12, 0.5)


@given(st.data())
def test_in_any_tree_half_of_all_arcs_point_right(draw: st.DataObject) -> None:
    """Where every word is labelled; and the words with another type share the arcs out without a rest."""
    size = draw.draw(st.integers(1, 12))
    heads = [None, *(draw.draw(st.integers(0, number)) for number in range(size - 1))]
    kinds = draw.draw(st.lists(st.sampled_from(["A", "B"]), min_size=size, max_size=size))
    found = count_arcs([(Sentence(["w"] * size, heads=heads), kinds)])
    assert found["arcs"] == 2 * (size - 1) == sum(row["arcs"] for row in found["per_type"].values())
    assert found["right"] == size - 1
    assert len(list(arcs_of(heads))) == found["arcs"]


def test_multi_word_tokens_and_empty_nodes_move_no_arc(tmp_path: Path) -> None:
    """Heads are numbers of words; rows that are no words have none."""
    rows = conllu(["we", "do", "n't", "eat"], [4, 4, 4, 0], ["B-A", "O", "O", "B-A"]).split("\n")
    rows.insert(1, "2-3\tdon't" + "\t_" * 8)
    rows.insert(4, "3.1\tgladly" + "\t_" * 8)
    (tmp_path / "a.conllu").write_text("\n".join(rows), encoding="utf-8")
    found = arc_directions(ConlluReader(path=tmp_path / "a.conllu", column="misc:Type"))
    assert (found["arcs"], found["right"]) == (4, 1)  # we → eat; eat ← we, do, n't


@pytest.mark.parametrize("head", ["_", "9", "-1", "x"])
def test_a_sentence_without_a_tree_is_left_out_and_counted(tmp_path: Path, head: str) -> None:
    """One of its words has no head, or one that is no word."""
    broken = conllu(["eat", "it"], [head, 1], ["B-A", "B-A"])
    (tmp_path / "a.conllu").write_text(conllu(WORDS, HEADS, TAGS) + broken, encoding="utf-8")
    found = arc_directions(ConlluReader(path=tmp_path / "a.conllu", column="misc:Type"))
    assert found["sentences_without_tree"] == 1
    assert found["arcs"] == 5
    assert "A" not in found["per_type"]


def test_data_without_trees_is_an_error_that_names_the_ways_out(tmp_path: Path) -> None:
    """Neither a HEAD column nor a parser."""
    (tmp_path / "a.jsonl").write_text(json.dumps({"words": ["soup"], "tags": ["B-DISH"]}), encoding="utf-8")
    with pytest.raises(sltk.DataError, match="gives no dependency trees") as caught:
        arc_directions(JsonlReader(path=tmp_path / "a.jsonl"))
    assert "--parser" in str(caught.value)


def test_a_parser_takes_the_place_of_trees(tmp_path: Path) -> None:
    """Its heads are used, word by word of the data."""
    line = json.dumps({"words": WORDS, "tags": TAGS})
    (tmp_path / "a.jsonl").write_text(line, encoding="utf-8")
    heads = [head - 1 if head else None for head in HEADS]
    found = arc_directions(JsonlReader(path=tmp_path / "a.jsonl"), lambda words: heads)
    assert (found["arcs"], found["right"]) == (5, 2)


def test_a_spacy_pipeline_parses_the_words_as_they_are() -> None:
    """Pre-split words stay one token each, and its heads become numbers."""
    spacy = pytest.importorskip("spacy")
    pipeline = spacy.blank("en")

    @spacy.Language.component("sltk_test_chain")
    def chain(document: Any) -> Any:
        for token in document:
            token.head = document[min(token.i + 1, len(document) - 1)]
            token.dep_ = "dep"
        return document

    pipeline.add_pipe("sltk_test_chain")
    assert pipeline_parser(pipeline)(["can't", "eat", "it"]) == [1, 2, None]


def test_a_spacy_pipeline_without_a_parser_is_refused() -> None:
    """A blank one would give no heads at all."""
    spacy = pytest.importorskip("spacy")
    with pytest.raises(sltk.UsageError, match="has no parser"):
        pipeline_parser(spacy.blank("en"))(["eat", "it"])


def test_a_spacy_pipeline_that_is_not_installed_is_named() -> None:
    """With the command that fetches it."""
    pytest.importorskip("spacy")
    with pytest.raises(sltk.UsageError, match="spaCy cannot load the pipeline `no_such_pipeline`") as caught:
        spacy_parser("no_such_pipeline")
    assert "python -m spacy download no_such_pipeline" in str(caught.value)


def test_stats_shows_and_prints_directions(treebank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table by type; with --json the numbers stand under `dependencies`."""
    command = ["stats", str(treebank), "--reader", "conllu", "--option", "column=misc:Type", "--dependencies"]
    assert main(command) == 0
    assert "0.4000" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dependencies"]["right"] == 2
    assert main(["stats", str(treebank), "--reader", "conllu", "--parser", "x"]) == 2
    assert "--parser needs --dependencies" in capsys.readouterr().err


def test_a_real_treebank_has_more_arcs_to_the_left_of_nouns(corpora: Path) -> None:
    """UD English EWT: nouns follow their determiners, adjectives and prepositions; every sentence has a tree."""
    found = arc_directions(ConlluReader(path=corpora / "conllu/en_ewt-ud-dev.conllu"))
    assert found["sentences_without_tree"] == 0
    assert found["share"] == 0.5
    assert found["per_type"]["NOUN"]["share"] < 0.5 < found["per_type"]["DET"]["share"]
