"""Labels with blanks around them or invisible characters, in every format; empty labels; look-alikes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sltk.cli import main
from sltk.components.readers.brat import BratReader
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.conllu import ConlluReader
from sltk.components.readers.csv import CsvReader
from sltk.components.readers.doccano import DoccanoReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.readers.spert import SpertReader
from sltk.components.registry import register
from sltk.components.slots import Reader
from sltk.data.conversion import Conversion
from sltk.data.raw import read_raw
from sltk.data.scoring import score_files
from sltk.data.statistics import statistics
from sltk.errors import DataError
from sltk.schemes.label_text import clean, distinct, look_alike, visible
from sltk.types import Sentence, Span, Unused

INVISIBLE = {
    "blank": " ",
    "no-break space": "\u00a0",
    "ideographic space": "\u3000",
    "right-to-left mark": "\u200f",
    "zero width space": "\u200b",
    "soft hyphen": "\u00ad",
    "byte-order mark": "\ufeff",
    "joiner": "\u200d",
    "variation selector": "\ufe0f",
    "several": " \u200b\u00a0",
}


@pytest.mark.parametrize("tail", INVISIBLE.values(), ids=INVISIBLE)
@pytest.mark.parametrize("place", ["B-PER{}", "{}B-PER", "B-{}PER"])
def test_what_nobody_sees_is_removed(tail, place):
    """At either end of a tag or of its type."""
    assert clean(place.format(tail)) == "B-PER"


@pytest.mark.parametrize(
    "label",
    ["O", "B-PER", "New York", "left-right", "x:y", "❤\ufe0f", "👩\u200d🔬", "می\u200cشود", "a_b", "\u0600"],
)
def test_what_is_seen_stays(label):
    """Blanks inside a type, and characters that change how others look."""
    assert clean(label) == label


@given(st.text(max_size=12))
def test_cleaning_twice_changes_nothing_more(label):
    """A clean label is clean, and has no blanks around it."""
    assert clean(clean(label)) == clean(label) == clean(label).strip()


def write_conll(path: Path, label: str) -> Reader:
    path.write_text(f"Ada\tB-{label}\nsings\tO\n", encoding="utf-8")
    return ConllReader(path=path, separator="tab")


def write_conllu(path: Path, label: str) -> Reader:
    rows = ("1\tAda\t_\tX\tx\t_\t0\tdep\t_\tNe=B-{}\n", "2\tsings\t_\tX\tx\t_\t0\tdep\t_\t_\n")
    path.write_text("".join(rows).format(label), encoding="utf-8")
    return ConlluReader(path=path, column="misc:Ne")


def write_jsonl_tags(path: Path, label: str) -> Reader:
    path.write_text(json.dumps({"words": ["Ada", "sings"], "tags": [f"B-{label}", "O"]}), encoding="utf-8")
    return JsonlReader(path=path)


def write_jsonl_spans(path: Path, label: str) -> Reader:
    span = {"start": 0, "end": 3, "type": label}
    path.write_text(json.dumps({"text": "Ada sings", "spans": [span]}), encoding="utf-8")
    return JsonlReader(path=path)


def write_csv(path: Path, label: str) -> Reader:
    path.write_text(f"tokens,tags\n\"['Ada', 'sings']\",\"['B-{label}', 'O']\"\n", encoding="utf-8")
    return CsvReader(path=path)


def write_doccano(path: Path, label: str) -> Reader:
    path.write_text(json.dumps({"text": "Ada sings", "label": [[0, 3, label]]}), encoding="utf-8")
    return DoccanoReader(path=path)


def write_spert(path: Path, label: str) -> Reader:
    entity = {"start": 0, "end": 1, "type": label}
    path.write_text(json.dumps([{"tokens": ["Ada", "sings"], "entities": [entity]}]), encoding="utf-8")
    return SpertReader(path=path)


def write_brat(path: Path, label: str) -> Reader:
    path.with_suffix(".txt").write_text("Ada sings", encoding="utf-8")
    path.with_suffix(".ann").write_text(f"T1\t{label} 0 3\tAda\n", encoding="utf-8")
    return BratReader(path=path.with_suffix(".txt"))


WRITERS = [
    write_conll, write_conllu, write_jsonl_tags, write_jsonl_spans, write_csv, write_doccano, write_spert, write_brat,
]  # fmt: skip


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("tail", ["\u200f", "\u200b", "\u00ad", "\ufeff"])
def test_every_reader_counts_what_it_cleans(tmp_path, write, tail):
    """There is one type, and each change is reported with file and line."""
    counts = statistics(write(tmp_path / "data", f"PER{tail}"))
    assert counts["spans"] == {"PER": 1}
    (change,) = counts["adjusted"]
    line = 2 if write is write_csv else 1
    assert (change["line"], Path(change["file"]).stem, counts["unused"]) == (line, "data", [])
    assert change["reason"].startswith(f"`PER` is written with U+{ord(tail):04X}") or (
        change["reason"].startswith(f"`B-PER` is written with U+{ord(tail):04X}")
    )


@pytest.mark.parametrize("write", WRITERS)
def test_clean_labels_are_not_reported(tmp_path, write):
    """Nothing is counted where nothing changes."""
    counts = statistics(write(tmp_path / "data", "PER"))
    assert (counts["spans"], counts["adjusted"], counts["unused"]) == ({"PER": 1}, [], [])


@pytest.mark.parametrize("write", [write for write in WRITERS if write is not write_brat])
@pytest.mark.parametrize("label", [" ", "\u00a0", "\u200b"])
def test_types_of_blanks_alone_are_errors(tmp_path, write, label):
    """Nobody could tell such a type from another."""
    with pytest.raises(DataError, match=r"has no type|is blank"):
        statistics(write(tmp_path / "data", label))


def test_the_line_is_that_of_the_word(tmp_path, capsys):
    """`stats`, `convert` and `check --data` see the same changes."""
    path = tmp_path / "data.conll"
    path.write_text("Ada\tO\nBell\tB-PER\u200b\n\nBo\tB-PER\nEve\tB-PER\u00a0\n", encoding="utf-8")
    counts = statistics(ConllReader(path=path))
    assert [each["line"] for each in counts["adjusted"]] == [2, 5]
    assert main(["convert", str(path), "-", "--reader", "conll", "--writer", "conll"]) == 0
    output = capsys.readouterr()
    assert "B-PER\nEve\tB-PER\n" in output.out
    assert f"{path}:5: `B-PER` is written with U+00A0 (no-break space), which is left out" in output.err


@pytest.mark.parametrize("write", [write_conll, write_jsonl_tags, write_csv])
def test_empty_tags(tmp_path, write):
    """A tag of nothing is an error with the line, unless `missing` says what it means."""
    path = tmp_path / "data"
    reader = write(path, "PER")
    path.write_text(path.read_text().replace("B-PER", ""), encoding="utf-8")
    with pytest.raises(DataError) as caught:
        read_raw(reader)
    assert "empty" in str(caught.value)
    assert f"{path}:{2 if write is write_csv else 1}" in str(caught.value)
    assert read_raw(reader.model_copy(update={"missing": "O"})).sentences[0].tags == ["O", "O"]


def test_custom_readers_are_cleaned_too():
    """Labels are cleaned after reading, so no reader can forget it; reports of left-out spans count the clean type."""

    @register.reader("untidy")
    class UntidyReader(Reader):
        """Yields one sentence."""

        def read(self):
            """Yield it."""
            left_out = Unused("x", 3, "overlaps", "LOC\u200b")
            yield Sentence(["a", "b"], spans=[Span(0, 1, "PER ")], file="x", line=3, unused=(left_out,))

    counts = statistics(UntidyReader())
    assert counts["spans"] == {"LOC": 1, "PER": 1}
    assert [len(counts["adjusted"]), len(counts["unused"])] == [1, 1]
    (prediction,) = Conversion(UntidyReader()).predictions()
    assert (prediction.tags, prediction.spans) == (["B-PER", "O"], [Span(0, 1, "PER")])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("PER", "Per"),
        ("New York", "New\u00a0York"),
        ("caf\u00e9", "cafe\u0301"),
        ("می\u200cشود", "میشود"),
        ("ﬁx", "fix"),
    ],
)
def test_look_alikes_share_a_key(one, other):
    """Case, blanks, invisible characters and composition make no difference to the eye."""
    assert look_alike(one) == look_alike(other)
    assert look_alike(one) != look_alike(f"{other}2")


@pytest.mark.parametrize(
    ("labels", "shown"),
    [
        (["PER", "Per"], ["PER", "Per"]),
        (["PER", "\u0420ER"], ["PER", "<U+0420>ER"]),
        (["caf\u00e9", "cafe\u0301"], ["caf<U+00E9>", "cafe<U+0301>"]),
        (["می\u200cشود", "میشود"], ["می<U+200C>شود", "میشود"]),
        (["лицо", "Лицо"], ["лицо", "Лицо"]),
    ],
)
def test_look_alikes_are_shown_apart(labels, shown):
    """By codes only where nobody could see the difference."""
    assert list(distinct(labels).values()) == shown


def test_a_tag_that_looks_like_another_is_explained(tmp_path):
    """The error names the character that nobody can see."""
    path = tmp_path / "data.conll"
    path.write_text("Ada\tB-PER\nsings\t\u041e\nold\tO\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"it looks like `O`, but has U\+041E \(cyrillic capital letter o\)"):
        statistics(ConllReader(path=path))
    path.write_text("Ada\tB-PER\tB-PER\nsings\tO\t\u041e\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"it looks like `O`, but has U\+041E"):
        score_files(path)


def test_invisible_characters_are_shown_by_their_code():
    """So that two look-alikes differ in a message."""
    assert visible("a\u00a0b\u200dc  d") == "a<U+00A0>b<U+200D>c <U+0020>d"
