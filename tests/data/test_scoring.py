"""Scores of files, as in `sltk score`."""

from __future__ import annotations

from pathlib import Path

import pytest

from sltk.cli import main
from sltk.data.scoring import conlleval_report, score_files
from sltk.errors import DataError

# word, gold, predicted: the stray I-LOC is a span for conlleval alone.
ROWS = [("Mina", "B-PER", "B-PER"), ("Okoro", "I-PER", "I-PER"), ("left", "O", "O"), None,
        ("Turku", "B-LOC", "I-LOC"), (".", "O", "O")]  # fmt: skip


def write(path: Path, *columns: int, separator: str = " ", rows: list = ROWS) -> Path:
    """A file with these columns of the rows; None is a blank line."""
    lines = [separator.join(row[column] for column in columns) if row else "" for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize(("mode", "predicted", "correct"), [("strict", 1, 1), ("conlleval", 2, 2)])
def test_one_file(tmp_path, mode, predicted, correct):
    """The last two columns of a single file are gold and predicted tag."""
    scores = score_files(write(tmp_path / "both.txt", 0, 0, 1, 2), mode=mode)
    assert (scores["support"], scores["predicted"], scores["correct"]) == (2, predicted, correct)
    assert (scores["sentences"], scores["words"]) == (2, 5)


def test_two_files_score_like_one(tmp_path):
    """Two files with the same words score like one with both columns, whatever the other columns are."""
    gold = write(tmp_path / "gold.txt", 0, 0, 1)
    predicted = write(tmp_path / "predicted.txt", 0, 2, separator="\t")
    assert score_files(gold, predicted) == score_files(write(tmp_path / "both.txt", 0, 1, 2))


def test_tabs_keep_a_word_that_is_a_space(tmp_path):
    """In a file with tabs, a word may be or contain white space."""
    rows = [(" ", "O", "O"), ("New York", "B-LOC", "B-LOC"), ("\u3000", "O", "B-LOC")]
    scores = score_files(write(tmp_path / "both.txt", 0, 1, 2, separator="\t", rows=rows))
    assert (scores["words"], scores["correct"], scores["predicted"]) == (3, 1, 2)


def test_a_tab_among_spaces_is_white_space(tmp_path):
    """If splitting at tabs would leave white space in a tag, columns are split at any white space."""
    file = tmp_path / "both.txt"
    file.write_text("left\tVBD O O\nTurku\tNNP B-LOC B-LOC\n", encoding="utf-8")
    assert score_files(file)["correct"] == 1


def test_document_markers_are_not_words(tmp_path):
    """A -DOCSTART- line ends a sentence, even if only one of the files has it."""
    gold = write(tmp_path / "gold.txt", 0, 1, rows=[("-DOCSTART-", "O", "O"), None, *ROWS])
    predicted = write(tmp_path / "predicted.txt", 0, 2)
    assert score_files(gold, predicted)["words"] == 5


@pytest.mark.parametrize("ending", ["", "\n", "\n\n\n", "\n  \n\r\n"])
def test_blank_lines_at_the_end(tmp_path, ending):
    """The last sentence is scored once, however the file ends."""
    file = tmp_path / "both.txt"
    file.write_bytes(b"\r\n\nTurku B-LOC B-LOC\r\n\n\nTurku B-LOC O" + ending.encode())
    scores = score_files(file)
    assert (scores["sentences"], scores["support"], scores["correct"]) == (2, 2, 1)


def test_the_scheme_can_be_named_or_detected(tmp_path):
    """`auto` detects the scheme of both columns together; the signature names it."""
    rows = [("Mina", "B-PER", "B-PER"), ("Okoro", "E-PER", "E-PER"), ("Turku", "S-LOC", "O")]
    file = write(tmp_path / "both.txt", 0, 1, 2, rows=rows)
    scores = score_files(file, scheme="auto")
    assert scores == score_files(file, scheme="BIOES")
    assert "scheme:BIOES" in scores["signature"]


def test_plain_tags_get_their_accuracy(tmp_path):
    """Plain tags are scored word by word."""
    file = write(tmp_path / "both.txt", 0, 1, 2, rows=[("go", "VERB", "VERB"), ("home", "ADV", "NOUN")])
    scores = score_files(file, scheme="auto")
    assert scores["accuracy"] == 0.5
    assert scores["signature"].startswith("accuracy|scheme:plain")
    assert conlleval_report(scores).splitlines()[:2] == ["processed 2 tokens.", "accuracy:  50.00%"]


def problem(*arguments, **options) -> str:
    with pytest.raises(DataError) as caught:
        score_files(*arguments, **options)
    return str(caught.value)


def test_a_tag_that_is_not_in_the_scheme_is_named_with_its_line(tmp_path):
    """A tag of another scheme is an error at its line, which suggests the scheme of the file."""
    rows = [("Mina", "B-PER", "B-PER"), None, ("Mina", "B-PER", "B-PER"), ("Okoro", "E-PER", "E-PER")]
    message = problem(write(tmp_path / "both.txt", 0, 1, 2, rows=rows))
    assert (
        f"`E-PER` is not a tag of IOB2, whose tags are B-TYPE, I-TYPE and O\n  --> {tmp_path}/both.txt:4"
        in message
    )
    assert "look like BIOES: use `--scheme BIOES`" in message


def test_a_bad_tag_in_the_prediction_is_named_in_its_file(tmp_path):
    """If the gold tags are valid, the error is in the file of predictions."""
    predicted = write(tmp_path / "predicted.txt", 0, 2, rows=[*ROWS, ("end", "O", "X-PER")])
    gold = write(tmp_path / "gold.txt", 0, 1, rows=[*ROWS, ("end", "O", "O")])
    message = problem(gold, predicted)
    assert (
        f"`X-PER` is not a tag of IOB2, whose tags are B-TYPE, I-TYPE and O\n  --> {predicted}:7" in message
    )


@pytest.mark.parametrize("mode", ["strict", "conlleval"])
def test_a_tag_of_no_scheme_is_an_error_in_both_modes(tmp_path, mode):
    """A misspelt tag is never read as O."""
    message = problem(write(tmp_path / "both.txt", 0, 1, 2, rows=[*ROWS, ("end", "B_PER", "O")]), mode=mode)
    assert "`B_PER` is not a tag of" in message
    assert "both.txt:7" in message


def test_files_with_different_words(tmp_path):
    """The first word that differs is named with its line in both files."""
    gold = write(tmp_path / "gold.txt", 0, 1)
    predicted = write(tmp_path / "predicted.txt", 0, 2, rows=[*ROWS[:4], ("Oulu", "B-LOC", "B-LOC"), ROWS[5]])
    message = problem(gold, predicted)
    assert f"the files differ: `Oulu` here, but `Turku` in {gold}, line 5\n  --> {predicted}:5" in message


def test_a_prediction_that_stops_early(tmp_path):
    """A truncated prediction is an error at the missing line, not a lower score."""
    gold = write(tmp_path / "gold.txt", 0, 1)
    message = problem(gold, write(tmp_path / "predicted.txt", 0, 2, rows=ROWS[:5]))
    assert f"the sentence or the file ends here, but `.` in {gold}, line 6" in message
    assert "predicted.txt:6" in message
    message = problem(gold, write(tmp_path / "predicted.txt", 0, 2, rows=ROWS[:3]))
    assert f"the sentence or the file ends here, but `Turku` in {gold}, line 5" in message


def test_a_prediction_with_extra_words(tmp_path):
    """Extra words, and a sentence that ends elsewhere, are errors."""
    gold = write(tmp_path / "gold.txt", 0, 1)
    message = problem(gold, write(tmp_path / "predicted.txt", 0, 2, rows=[*ROWS, ("more", "O", "O")]))
    assert f"`more` here, but the sentence or the file ends in {gold}" in message
    message = problem(gold, write(tmp_path / "predicted.txt", 0, 2, rows=[row for row in ROWS if row]))
    assert "predicted.txt:4" in message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no tagged words"),
        ("\n \n", "no tagged words"),
        ("-DOCSTART- O O\n", "no tagged words"),
        ("\nB-PER\n", "expected at least 2 columns, the last of them tags; found 1"),
        ("Mina B-PER B-PER\nleft O\n", "expected 3 columns as in line 1, found 2"),
    ],
)
def test_files_without_tags(tmp_path, text, message):
    """An empty file, or one with too few columns, is an error."""
    file = tmp_path / "both.txt"
    file.write_text(text, encoding="utf-8")
    assert message in problem(file)


def test_a_missing_file(tmp_path):
    """A missing file is a clear error."""
    assert "no such file" in problem(tmp_path / "none.txt")


def test_the_report_reads_like_conlleval(tmp_path):
    """The report has conlleval's lines, then the signature."""
    lines = conlleval_report(score_files(write(tmp_path / "both.txt", 0, 1, 2))).splitlines()
    assert lines[:4] == [
        "processed 5 tokens with 2 phrases; found: 1 phrases; correct: 1.",
        "accuracy:  80.00%; precision: 100.00%; recall:  50.00%; FB1:  66.67",
        "              LOC: precision:   0.00%; recall:   0.00%; FB1:   0.00  0",
        "              PER: precision: 100.00%; recall: 100.00%; FB1: 100.00  1",
    ]
    assert lines[4].startswith("seqeval|scheme:IOB2|mode:strict")


def test_the_reference_scorers_output_is_reproduced(corpora):
    """On the shared task's example file, the report equals the reference scorer's, line by line."""
    lines = conlleval_report(score_files(corpora / "conlleval/output.txt", mode="conlleval")).splitlines()
    assert lines[:-1] == (corpora / "conlleval/result.txt").read_text(encoding="utf-8").splitlines()


def test_strict_scores_of_the_reference_file(corpora):
    """Strict IOB2 scores of that file equal seqeval's."""
    scores = score_files(corpora / "conlleval/output.txt")
    assert [round(100 * scores[key], 2) for key in ("precision", "recall", "f1")] == [70.77, 70.15, 70.46]


@pytest.mark.parametrize("options", [{"mode": "conlleval"}, {"scheme": "BIOES"}, {"scheme": "auto"}])
def test_a_begin_after_an_end_opens_a_span(corpora, options):
    """Where the reference scorer merges E- and B- into one span, they are two here, and neither is correct."""
    scores = score_files(corpora / "conlleval/e-b-sequence.txt", **options)
    assert (scores["support"], scores["predicted"], scores["f1"]) == (2, 1, 0)


def test_changes_and_odd_tags_of_scored_files_are_reported(tmp_path, capsys):
    """A byte-order mark of a joined file is removed and counted; plain tags that nearly all occur once warn."""
    path = tmp_path / "joined.txt"
    path.write_text("Vera B-PER B-PER\n\n\ufeffKai B-PER O\n", encoding="utf-8")
    assert main(["score", str(path)]) == 0
    printed = capsys.readouterr()
    assert "processed 2 tokens with 2 phrases" in printed.out
    assert f"{path}:3: a byte-order mark" in printed.err
    rows = "".join(f"word{number} tag{number} tag{number}\n" for number in range(30))
    path.write_text(rows)
    assert main(["score", str(path), "--scheme", "auto"]) == 0
    assert "30 of 30 plain tags occur only once" in capsys.readouterr().err
