"""`sltk score` of spans that overlap: columns of layers, and two sources of any format."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sltk.cli import main
from sltk.components.metrics import PartialMetric
from sltk.components.readers.jsonl import JsonlReader
from sltk.data.scoring import score_files
from sltk.data.source_scoring import scored_sources

TEXT = "New York City Hall opened"


def write(path, *sentences, text=TEXT):
    """A file of sentences, each with spans of characters."""
    records = [
        {"text": text, "spans": [dict(zip(("start", "end", "type"), span, strict=True)) for span in spans]}
        for spans in sentences
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


CHARACTERS = st.sets(
    st.tuples(st.integers(0, 23), st.integers(1, 12), st.sampled_from("XY"))
    .map(lambda place: (place[0], min(place[0] + place[1], len(TEXT)), place[2]))
    .filter(lambda span: TEXT[span[0] : span[1]].strip() == TEXT[span[0] : span[1]]),
    max_size=4,
)


@given(CHARACTERS, CHARACTERS)
@settings(max_examples=12)
def test_scores_are_those_of_sets_of_characters(tmp_path_factory, gold, predicted):
    """Spans of characters are compared as sets, though each side divides words at its own spans."""
    folder = tmp_path_factory.mktemp("score")
    readers = [
        JsonlReader(path=write(folder / name, sorted(spans), [(0, 3, "X")]))
        for name, spans in (("gold.jsonl", gold), ("predicted.jsonl", predicted))
    ]
    scores = scored_sources(*readers).scores
    assert scores["support"] == len(gold) + 1
    assert scores["predicted"] == len(predicted) + 1
    assert scores["correct"] == len(gold & predicted) + 1
    assert (
        scored_sources(*readers, metric=PartialMetric()).scores["table"]["strict"]["correct"]
        == scores["correct"]
    )


def test_two_files_of_any_format_from_the_command_line(tmp_path, capsys):
    """`--reader` scores nested spans in `layers`, and flat ones in IOB2, where the package seqeval confirms them."""
    nested = write(tmp_path / "nested.jsonl", [(0, 18, "ORG"), (0, 13, "LOC")])
    flat = write(tmp_path / "flat.jsonl", [(0, 18, "ORG")])
    expected = {(nested, flat): ("layers", 2 / 3, None), (flat, flat): ("IOB2", 1, "seqeval 1.2.2")}
    for files, (scheme, f1, verified) in expected.items():
        assert main(["score", *map(str, files), "--reader", "jsonl", "--json"]) == 0
        scores = json.loads(capsys.readouterr().out)
        assert (scores["f1"], scores["verified_by"]) == (pytest.approx(f1), verified)
        assert f"scheme:{scheme}|" in scores["signature"]


def test_sources_that_differ_and_options_that_do_not_fit_are_errors(tmp_path, capsys):
    """Each error says what is expected, with both places."""
    gold, other = write(tmp_path / "gold.jsonl", [], []), write(tmp_path / "other.jsonl", [], text="Old York")
    short = write(tmp_path / "short.jsonl", [])
    cases = {
        f"{gold} {other} --reader jsonl": "the sources differ: `Old York` here, but `New York City Hall opened` in",
        f"{gold} {short} --reader jsonl": "the sources differ: the source ends here, but `New York",
        f"{gold} --reader jsonl": "`--reader` needs a second file",
        f"{gold} {short} --option scheme=IOB2": "`--option` needs `--reader`",
        f"{gold} {short} --reader jsonl --tag-style types": "with --reader it is `--option tag_style=types`",
    }
    for arguments, message in cases.items():
        assert main(["score", *arguments.split()]) == 2
        assert message in " ".join(capsys.readouterr().err.split())


def test_columns_of_layers_that_are_read_as_flat_tags_are_reported(tmp_path):
    """In IOB2, the tags of several layers are one odd type, so the score says which scheme they have."""
    path = tmp_path / "scored.conll"
    path.write_text("New B-ORG|B-LOC B-ORG\nYork I-ORG|I-LOC I-ORG\nTimes I-ORG I-ORG\n")
    (note,) = score_files(path)["notes"]
    assert "`B-ORG|B-LOC` looks like the tags of several layers" in note
    assert "use `--scheme layers`" in note
    for scheme in ("layers", "auto"):
        scores = score_files(path, scheme=scheme)
        assert "notes" not in scores
        assert (scores["support"], scores["predicted"], scores["correct"]) == (2, 1, 1)
