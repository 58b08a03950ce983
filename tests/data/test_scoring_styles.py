"""Scores of files whose tags do not have the form `B-PER`, and of files that lack one of the columns."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from seqeval.metrics import f1_score
from seqeval.scheme import IOB2

from sltk.cli import main
from sltk.data.scoring import score_files
from sltk.errors import DataError

GOLD = ["B-PER", "I-PER", "O", "B-LOC", "O", "O", "B-PER", "O", "O"]
PREDICTED = ["B-PER", "I-PER", "O", "B-PER", "O", "O", "B-PER", "O", "O"]
WORDS = ["Ada", "Bell", "met", "Oslo", "and", "saw", "Bo", "there", "."]
PARTS_OF_SPEECH = ["NNP", "NNP", "VBD", "NNP", "CC", "VBD", "NNP", "RB", "."]
STYLES = {
    "underscore": lambda tag: tag.replace("-", "_"),
    "suffix": lambda tag: "-".join(reversed(tag.split("-"))),
    "lower case": lambda tag: f"{tag[0].lower()}{tag[1:]}",
    "types": lambda tag: tag.split("-")[-1],
}


def write(path: Path, *columns: list[str]) -> Path:
    """A file of columns."""
    rows = (" ".join(row) for row in zip(*columns, strict=True))
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def problem(*arguments, **options) -> str:
    """The error message."""
    with pytest.raises(DataError) as caught:
        score_files(*arguments, **options)
    return str(caught.value)


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("scheme", ["IOB2", "auto"])
def test_styles_score_like_usual_tags(tmp_path, style, scheme):
    """In one file or in two, whether one side or both have the style; the scores say how tags were read."""
    usual = score_files(write(tmp_path / "usual", WORDS, GOLD, PREDICTED))
    gold, predicted = (list(map(STYLES[style], tags)) for tags in (GOLD, PREDICTED))
    both = score_files(write(tmp_path / "both", WORDS, gold, predicted), scheme=scheme)
    assert len(both["notes"]) == 1
    mixed = score_files(
        write(tmp_path / "gold", WORDS, gold), write(tmp_path / "predicted", WORDS, PREDICTED), scheme=scheme
    )
    assert mixed["notes"] == [f"gold {both['notes'][0]}"]
    for scores in (both, mixed):
        keys = {"precision", "recall", "f1", "support", "per_type", "words"}
        assert {key: scores[key] for key in keys} == {key: usual[key] for key in keys}


@pytest.mark.parametrize("mode", ["strict", "conlleval"])
def test_letters_alone(tmp_path, mode):
    """B, I and O without types give the F1 of seqeval, as spans of one type."""
    gold, predicted = [tag[0] for tag in GOLD], ["B", "O", "O", "B", "O", "I", "O", "O", "O"]
    scores = score_files(write(tmp_path / "both", WORDS, gold, predicted), mode=mode)
    assert list(scores["per_type"]) == ["_"]
    strict = {"mode": "strict", "scheme": IOB2} if mode == "strict" else {}
    assert scores["f1"] == f1_score([gold], [predicted], **strict)


def test_a_few_tags_of_one_side_take_the_style_of_the_other(tmp_path):
    """Predictions of a single type, or of nothing, are read like the gold tags."""
    gold = list(map(STYLES["types"], GOLD))
    path = write(tmp_path / "both", WORDS, gold, ["PER"] * 9)
    assert score_files(path)["predicted"] == 1
    path = write(tmp_path / "both", WORDS, gold, ["O"] * 9)
    assert (score_files(path)["predicted"], score_files(path)["support"]) == (0, 3)


def test_a_declared_style(tmp_path):
    """`tag_style: types` reads types even where `O` is rare."""
    gold, predicted = ["PER", "PER", "LOC", "LOC", "LOC", "O"], ["PER", "PER", "LOC", "LOC", "PER", "O"]
    path = write(tmp_path / "both", WORDS[:6], gold, predicted)
    assert "--tag-style types" in problem(path)
    scores = score_files(path, tag_style="types")
    assert (scores["support"], scores["predicted"], scores["correct"]) == (2, 3, 1)


@pytest.mark.parametrize("scheme", ["IOB2", "auto", "plain", "BIOES"])
@pytest.mark.parametrize("tags", [GOLD, PARTS_OF_SPEECH, ["B_PER", *"OOOOOOOO"]])
def test_two_columns_in_one_file(tmp_path, scheme, tags):
    """Words and one column of tags are not gold and predicted tags: the second file is missing."""
    path = write(tmp_path / "gold.conll", WORDS, tags)
    message = problem(path, scheme=scheme)
    assert (
        f"`score` needs a second file: `Ada`, before the last column, is no gold tag\n  --> {path}:1"
        in message
    )
    assert "sltk score GOLD PREDICTED" in message
    assert "scheme plain" not in message


def test_other_columns_than_tags_in_one_file(tmp_path):
    """Parts of speech before the last column are no gold tags, either."""
    path = write(tmp_path / "gold.conll", WORDS, PARTS_OF_SPEECH, GOLD)
    assert "needs a second file: `NNP`" in problem(path)


def test_columns_of_two_tasks_are_a_warning(tmp_path, capsys):
    """Chunks beside names are valid tags of both columns, and a score of 0 alone would not say why."""
    chunks = ["B-NP", "I-NP", "B-VP", "B-NP", "O", "B-VP", "B-NP", "B-ADVP", "O"]
    assert main(["score", str(write(tmp_path / "gold.conll", WORDS, chunks, GOLD))]) == 0
    assert (
        "no type in common: gold tags have ADVP, NP, VP, predicted ones LOC, PER" in capsys.readouterr().err
    )
    assert main(["score", str(write(tmp_path / "both", WORDS, GOLD, ["O"] * 9))]) == 0
    assert "no type in common" not in capsys.readouterr().err


def test_advice_for_plain_tags(tmp_path):
    """Tags that suggest no spans may be plain."""
    path = write(tmp_path / "both", WORDS, PARTS_OF_SPEECH, [*PARTS_OF_SPEECH[1:], "NN"])
    assert "such as parts of speech: use `--scheme plain`" in problem(path)


@pytest.mark.parametrize("separator", [" ", "\t"])
@pytest.mark.parametrize("tail", ["\u00a0", "\u200f", "\u200b", "\u00ad"])
def test_what_nobody_sees_is_removed_and_counted(tmp_path, capsys, separator, tail):
    """In gold and predicted tags, in one file and in two; a tag of nothing else is an error."""
    lines = ["Ada", f"B-PER{tail}", "B-PER"], ["Oslo", "B-LOC", f"B-LOC{tail}"]
    path = tmp_path / "both"
    path.write_text("\n".join(map(separator.join, lines)), encoding="utf-8")
    assert main(["score", str(path), "--json"]) == 0
    output = capsys.readouterr()
    scores = json.loads(output.out)
    assert (scores["f1"], scores["per_type"].keys()) == (1.0, {"LOC", "PER"})
    assert [change["count"] for change in scores["changes"]] == [2]
    assert f"{path}:1: `B-PER` is written with U+{ord(tail):04X}" in output.err
    two = (
        write(tmp_path / "gold", ["Ada"], ["B-PER"]),
        write(tmp_path / "predicted", ["Ada"], [f"B-PER{tail}"]),
    )
    assert score_files(*two)["changes"][0]["first"]["file"] == str(two[1])
    assert "changes" not in score_files(write(tmp_path / "clean", WORDS, GOLD, GOLD))
    path.write_text(separator.join(["Ada", "O", f"{tail}"]), encoding="utf-8")
    assert f"{path}:1" in problem(path)


@pytest.mark.parametrize(
    "tags", [(GOLD, PREDICTED), (["X", "Y", "X"], ["X", "X", "X"]), (["O"] * 2, ["B-A", "O"])]
)
def test_two_columns_of_tags_are_scored(tmp_path, tags):
    """Words are not needed, as in conlleval."""
    scheme = "plain" if "X" in tags[0] else "IOB2"
    assert score_files(write(tmp_path / "both", *tags), scheme=scheme)["words"] == len(tags[0])


def test_notes_on_the_command_line(tmp_path, capsys):
    """They go to standard error, and are in the JSON; an unknown style is an error."""
    path = write(tmp_path / "both", WORDS, *(map(STYLES["suffix"], tags) for tags in (GOLD, PREDICTED)))
    assert main(["score", str(path), "--json"]) == 0
    output = capsys.readouterr()
    (note,) = json.loads(output.out)["notes"]
    assert note == "tags are written like `PER-B`, which is read as `B-PER` (tag_style: suffix)"
    assert note in output.err
    assert main(["score", str(path), "--tag-style", "sufix"]) == 2
    assert "did you mean `suffix`?" in capsys.readouterr().err
