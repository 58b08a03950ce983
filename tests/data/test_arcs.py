"""Directions of dependency arcs of labelled words, on trees counted by hand."""

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
    """Arcs to heads and children count from each labelled word; arcs of other words do not."""
    result = arc_directions(ConlluReader(path=treebank, column="misc:Type"))
    rows = {name: (row["words"], row["arcs"], row["right"]) for name, row in result["per_type"].items()}
    assert rows == EXPECTED
    assert (result["words"], result["arcs"], result["right"]) == (3, 5, 2)
    assert result["share"] == pytest.approx(0.4)
    assert result["per_type"]["PERSON"]["share"] == 0.5


def test_plain_tags_label_every_word(treebank: Path) -> None:
    """With plain tags every arc counts from both ends: half of all point right."""
    result = arc_directions(ConlluReader(path=treebank, column="upos"))
    assert (result["words"], result["arcs"], result["share"]) == (7, 12, 0.5)


@given(st.data())
def test_in_any_tree_half_of_all_arcs_point_right(draw: st.DataObject) -> None:
    """In any tree, if every word is labelled; counts per type add up."""
    size = draw.draw(st.integers(1, 12))
    heads = [None, *(draw.draw(st.integers(0, number)) for number in range(size - 1))]
    kinds = draw.draw(st.lists(st.sampled_from(["A", "B"]), min_size=size, max_size=size))
    result = count_arcs([(Sentence(["w"] * size, heads=heads), kinds)])
    assert result["arcs"] == 2 * (size - 1) == sum(row["arcs"] for row in result["per_type"].values())
    assert result["right"] == size - 1
    assert len(list(arcs_of(heads))) == result["arcs"]


def test_multi_word_tokens_and_empty_nodes_move_no_arc(tmp_path: Path) -> None:
    """Heads refer to syntactic words; rows that are not words have none."""
    rows = conllu(["we", "do", "n't", "eat"], [4, 4, 4, 0], ["B-A", "O", "O", "B-A"]).split("\n")
    rows.insert(1, "2-3\tdon't" + "\t_" * 8)
    rows.insert(4, "3.1\tgladly" + "\t_" * 8)
    (tmp_path / "a.conllu").write_text("\n".join(rows), encoding="utf-8")
    result = arc_directions(ConlluReader(path=tmp_path / "a.conllu", column="misc:Type"))
    assert (result["arcs"], result["right"]) == (4, 1)  # we → eat; eat ← we, do, n't


@pytest.mark.parametrize("head", ["_", "9", "-1", "x"])
def test_a_sentence_without_a_tree_is_left_out_and_counted(tmp_path: Path, head: str) -> None:
    """A word without a head, or with one that is not a word, means no tree."""
    broken = conllu(["eat", "it"], [head, 1], ["B-A", "B-A"])
    (tmp_path / "a.conllu").write_text(conllu(WORDS, HEADS, TAGS) + broken, encoding="utf-8")
    result = arc_directions(ConlluReader(path=tmp_path / "a.conllu", column="misc:Type"))
    assert result["sentences_without_tree"] == 1
    assert result["arcs"] == 5
    assert "A" not in result["per_type"]


def test_data_without_trees_is_an_error_with_advice(tmp_path: Path) -> None:
    """Without a HEAD column or a parser, the error names both."""
    (tmp_path / "a.jsonl").write_text(json.dumps({"words": ["soup"], "tags": ["B-DISH"]}), encoding="utf-8")
    with pytest.raises(sltk.DataError, match="gives no dependency trees") as caught:
        arc_directions(JsonlReader(path=tmp_path / "a.jsonl"))
    assert "--parser" in str(caught.value)


def test_a_parser_replaces_trees(tmp_path: Path) -> None:
    """A parser's heads replace the trees of the data, word by word."""
    line = json.dumps({"words": WORDS, "tags": TAGS})
    (tmp_path / "a.jsonl").write_text(line, encoding="utf-8")
    heads = [head - 1 if head else None for head in HEADS]
    result = arc_directions(JsonlReader(path=tmp_path / "a.jsonl"), lambda words: heads)
    assert (result["arcs"], result["right"]) == (5, 2)


def test_a_spacy_pipeline_parses_the_words_as_they_are() -> None:
    """spaCy parses the words of the data without splitting them; its heads are converted to indices."""
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


def test_a_spacy_pipeline_without_a_parser_is_rejected() -> None:
    """A blank pipeline has no parser: an error."""
    spacy = pytest.importorskip("spacy")
    with pytest.raises(sltk.UsageError, match="has no parser"):
        pipeline_parser(spacy.blank("en"))(["eat", "it"])


def test_a_spacy_pipeline_that_is_not_installed_is_named() -> None:
    """The error names the pipeline and the command to install it."""
    pytest.importorskip("spacy")
    with pytest.raises(sltk.UsageError, match="spaCy cannot load the pipeline `no_such_pipeline`") as caught:
        spacy_parser("no_such_pipeline")
    assert "python -m spacy download no_such_pipeline" in str(caught.value)


def test_stats_shows_and_prints_directions(treebank: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A table by type; with --json the counts are under `dependencies`."""
    command = ["stats", str(treebank), "--reader", "conllu", "--option", "column=misc:Type", "--dependencies"]
    assert main(command) == 0
    assert "0.4000" in capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dependencies"]["right"] == 2
    assert main(["stats", str(treebank), "--reader", "conllu", "--parser", "x"]) == 2
    assert "--parser needs --dependencies" in capsys.readouterr().err


def test_a_real_treebank_has_more_arcs_to_the_left_of_nouns(corpora: Path) -> None:
    """UD English EWT: nouns follow their determiners, adjectives and prepositions; every sentence has a tree."""
    result = arc_directions(ConlluReader(path=corpora / "conllu/en_ewt-ud-dev.conllu"))
    assert result["sentences_without_tree"] == 0
    assert result["share"] == 0.5
    assert result["per_type"]["NOUN"]["share"] < 0.5 < result["per_type"]["DET"]["share"]
