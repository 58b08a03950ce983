"""Tags that do not have the form `B-PER`: read as the spans they mean, and reported."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from sltk.cli import main
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.conllu import ConlluReader
from sltk.components.readers.csv import CsvReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.data.conversion import Conversion
from sltk.data.data_report import report_data
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.errors import DataError
from sltk.runtime.progress import Progress
from sltk.schemes import SCHEMES, encode
from sltk.schemes.detection import TagDetector
from sltk.types import Span

WORDS = ["Ada", "Bell", "met", "Bo", "in", "Oslo"]
SPANS = [Span(0, 2, "PER"), Span(3, 4, "PER"), Span(5, 6, "LOC")]
STYLES = {
    "underscore": ("prefix", "B_PER I_PER O B_PER O B_LOC"),
    "colon": ("prefix", "B:PER I:PER O B:PER O B:LOC"),
    "en dash": ("prefix", "B\u2013PER I\u2013PER O B\u2013PER O B\u2013LOC"),
    "suffix": ("suffix", "PER-B PER-I O PER-B O LOC-B"),
    "suffix with underscores": ("suffix", "PER_B PER_I O PER_B O LOC_B"),
    "lower-case letters": ("prefix", "b-PER i-PER o b-PER o b-LOC"),
    "lower-case o": ("prefix", "B-PER I-PER o B-PER o B-LOC"),
    "types": ("types", "PER PER O PER O LOC"),
    "BILOU": ("suffix", "PER-B PER-L O PER-U O LOC-U"),
    "BMES": ("prefix", "B_PER E_PER O S_PER O S_LOC"),
}
FILLER = [(["Rain", "fell", "again"], ["O", "O", "O"])]


def write(path: Path, *sentences: tuple[list[str], list[str]]) -> Path:
    """A column file."""
    blocks = ("".join(f"{word}\t{tag}\n" for word, tag in zip(*each, strict=True)) for each in sentences)
    path.write_text("\n".join(blocks), encoding="utf-8")
    return path


@pytest.mark.parametrize(("style", "tags"), STYLES.values(), ids=STYLES)
def test_each_style_is_detected(tmp_path, style, tags):
    """The spans are those of the same tags in the form `B-PER`."""
    outside = "o" if "o" in tags.split() else "O"
    path = write(tmp_path / "data.conll", (WORDS, tags.split()), (["Rain", "again"], [outside, outside]))
    reader = ConllReader(path=path)
    data = load(reader, "IOB2")
    assert data.sentences[0].spans == SPANS
    assert data.sentences[0].tags == encode(SPANS, len(WORDS), "IOB2")
    assert (data.reading.style.name, data.repaired) == (style, 0)
    assert load(reader.model_copy(update={"tag_style": style}), "IOB2").sentences == data.sentences
    counts = statistics(reader)
    assert (counts["spans"], counts["tag_style"]["name"]) == ({"LOC": 1, "PER": 2}, style)
    assert set(counts["tags"]) == set(tags.split())


@pytest.mark.parametrize("tags", ["B I O B O B", "b i o b o b", "B E O S O S", "B L O U O U"])
def test_letters_alone_have_no_type(tmp_path, tags):
    """Spans of tags without a type have the type `_`, as in seqeval."""
    path = write(tmp_path / "data.conll", (WORDS, tags.split()))
    data = load(ConllReader(path=path), "IOB2")
    assert data.sentences[0].spans == [Span(span.start, span.end, "_") for span in SPANS]


@pytest.mark.parametrize(
    "tags",
    [
        "NN-SBJ PRP_X VB IN DT NN",
        "NN NN VBD NN IN NN",
        "N N V O P O",  # O is a pronoun in some tag sets of tweets
        "NOUN-S VERB-B NOUN DET ADP X",
        "B-1 I-2 X Y Z W",
        "1 1 0 2 0 3",
        "S O V S O V",
        "PER PER LOC PER O LOC",
    ],
)
def test_plain_tags_stay_plain(tmp_path, tags):
    """Parts of speech and other labels of words are no spans, even if a few look like tags of a scheme."""
    path = write(tmp_path / "data.conll", (WORDS, tags.split()))
    counts = statistics(ConllReader(path=path))
    assert (counts["scheme"], counts["spans"]) == ("plain", {})
    assert "tag_style" not in counts


@pytest.mark.parametrize("odd", ["PER-B", "B_PER", "b-PER", "B", "PER"])
def test_tags_in_the_usual_form_have_no_style(tmp_path, odd):
    """A few odd tags among tags of a scheme stay errors with their line."""
    tags = ["B-PER", "I-PER", "O", odd, "O", "B-LOC"]
    path = write(tmp_path / "data.conll", (WORDS, tags))
    with pytest.raises(DataError, match=r"data\.conll:4") as caught:
        load(ConllReader(path=path), "IOB2")
    assert "plain" not in str(caught.value)


@pytest.mark.parametrize("reader", ["jsonl", "csv", "conllu"])
def test_all_readers_of_tags_detect_styles(tmp_path, reader):
    """The style is detected after reading, whatever the format."""
    tags = STYLES["suffix"][1].split()
    path = tmp_path / "data"
    if reader == "jsonl":
        path.write_text(json.dumps({"words": WORDS, "tags": tags}), encoding="utf-8")
        data = load(JsonlReader(path=path), "IOB2")
    elif reader == "csv":
        path.write_text(f'tokens,tags\n"{WORDS}","{tags}"\n', encoding="utf-8")
        data = load(CsvReader(path=path), "IOB2")
    else:
        rows = enumerate(zip(WORDS, tags, strict=True), 1)
        lines = (f"{number}\t{word}\t_\tX\tx\t_\t0\tdep\t_\tNe={tag}\n" for number, (word, tag) in rows)
        path.write_text("".join(lines), encoding="utf-8")
        data = load(ConlluReader(path=path, column="misc:Ne"), "IOB2")
    assert data.sentences[0].spans == SPANS


def test_a_declared_scheme_keeps_its_style(tmp_path):
    """`scheme` and style are independent; plain tags are never rewritten, whatever they look like."""
    path = write(tmp_path / "data.conll", (WORDS, ["PER_B", "PER_I", "O", "PER_B", "O", "LOC_B"]))
    assert load(ConllReader(path=path, scheme="IOB2"), "BIOES").sentences[0].spans == SPANS
    plain = statistics(ConllReader(path=path, scheme="plain"))
    assert (plain["scheme"], plain["spans"], plain["tags"]["PER_B"]) == ("plain", {}, 2)
    assert load(ConllReader(path=path), "plain").sentences[0].tags[0] == "PER_B"


@pytest.mark.parametrize(("style", "scheme"), [("types", "IOB2"), ("suffix", "plain")])
def test_styles_that_contradict_the_scheme(style, scheme):
    """The error names both keys."""
    with pytest.raises(ValidationError, match=f"tag_style: {style}"):
        ConllReader(path="x", tag_style=style, scheme=scheme)


def test_a_tag_outside_the_declared_style(tmp_path):
    """It is an error at its line, which shows what is expected."""
    path = write(tmp_path / "data.conll", (WORDS, ["B_PER", "I_PER", "O", "X", "O", "B_LOC"]))
    with pytest.raises(DataError, match=r"data\.conll:4") as caught:
        load(ConllReader(path=path, tag_style="prefix"), "IOB2")
    assert "`X` is not a letter and a type, such as `B_PER`" in str(caught.value)


@pytest.mark.parametrize(
    ("tags", "advice"),
    [
        ("B_PER I_PER O BPER O B_LOC", "written like `B_PER` (tag_style: prefix), but `BPER` is not"),
        ("PER PER LOC PER O LOC", "`tag_style: types`"),
        ("(PER* *) * (PER) * (LOC)", "`labels: brackets`"),
        ("1 2 0 1 0 3", "`tag_names: [O, B-PER, …]`"),
    ],
)
def test_advice_leads_to_spans(tmp_path, tags, advice):
    """Tags that may mean spans are never called plain without saying how to read them."""
    path = write(tmp_path / "data.conll", (WORDS, tags.split()))
    with pytest.raises(DataError) as caught:
        load(ConllReader(path=path), "IOB2")
    assert advice in str(caught.value)
    assert "scheme: plain" not in str(caught.value)


@pytest.mark.parametrize("outside", ["0", "_", "NONE", "\u041e"])
@pytest.mark.parametrize("style", ["underscore", "suffix", "usual"])
def test_other_tags_for_words_outside_of_spans(tmp_path, outside, style):
    """`outside` names them; the error that they cause says so."""
    tags = STYLES[style][1] if style in STYLES else "B-PER I-PER O B-PER O B-LOC"
    sentences = (WORDS, tags.replace("O ", f"{outside} ").split()), (["it", "rained", "again"], [outside] * 3)
    path = write(tmp_path / "data.conll", *sentences)
    with pytest.raises(DataError) as caught:
        load(ConllReader(path=path), "IOB2")
    assert f"`outside: {outside}`" in str(caught.value)
    assert "scheme: plain" not in str(caught.value)
    assert f"`outside: {outside}`" in statistics(ConllReader(path=path))["warning"]
    assert load(ConllReader(path=path, outside=outside), "IOB2").sentences[0].spans == SPANS


def test_brackets_that_are_read_as_plain_tags_are_a_warning(tmp_path, capsys):
    """So that nobody takes spans for 0 spans; parts of speech with a tag for brackets are none."""
    path = write(tmp_path / "data.conll", (WORDS, ["(PER*", "*)", "*", "(PER)", "*", "(LOC)"]))
    assert main(["stats", str(path), "--reader", "conll"]) == 0
    output = capsys.readouterr()
    assert "there are brackets: `labels: brackets`" in output.out + output.err
    path = write(tmp_path / "data.conll", (WORDS, ["NNP", "(", "NNP", ")", "-LRB-", "."]))
    assert main(["stats", str(path), "--reader", "conll"]) == 0
    output = capsys.readouterr()
    assert "brackets" not in output.out + output.err


def test_parts_of_speech_get_the_advice_for_plain_tags(tmp_path):
    """Nothing suggests spans."""
    path = write(tmp_path / "data.conll", (WORDS, ["NNP", "NNP", "VBD", "NNP", "IN", "NNP"]))
    with pytest.raises(DataError, match="set `scheme: plain` in the spec"):
        load(ConllReader(path=path), "IOB2")


def test_commands_print_the_style(tmp_path, capsys):
    """`stats` and `convert` say how tags are read; `convert` writes the usual form."""
    path = write(tmp_path / "data.conll", (WORDS, STYLES["suffix"][1].split()))
    assert main(["stats", str(path), "--reader", "conll"]) == 0
    line = "tags are written like `PER-B`, which is read as `B-PER` (tag_style: suffix)"
    assert line in capsys.readouterr().out
    assert main(["convert", str(path), "-", "--reader", "conll", "--writer", "conll"]) == 0
    output = capsys.readouterr()
    assert line in output.err
    assert output.out.splitlines()[0] == "Ada\tB-PER"
    plain = [*("convert", str(path), "-", "--reader", "conll"), *("--writer", "conll", "--scheme", "plain")]
    assert main(plain) == 0
    output = capsys.readouterr()
    assert (output.out.splitlines()[0], "tag_style" in output.err) == ("Ada\tPER-B", False)


NAMES = ["O", "B-PER", "I-PER", "B-LOC"]


@pytest.mark.parametrize("reader", ["conll", "jsonl", "csv"])
def test_numbers_with_names(tmp_path, reader):
    """`tag_names` names tags that are numbers, in every format."""
    tags = [1, 2, 0, 1, 0, 3]
    path = tmp_path / "data"
    if reader == "conll":
        write(path, (WORDS, list(map(str, tags))))
    elif reader == "jsonl":
        path.write_text(json.dumps({"words": WORDS, "tags": tags}), encoding="utf-8")
    else:
        path.write_text(f'tokens,tags\n"{WORDS}","{tags}"\n', encoding="utf-8")
    readers = {"conll": ConllReader, "jsonl": JsonlReader, "csv": CsvReader}
    data = load(readers[reader](path=path, tag_names=NAMES), "IOB2")
    assert data.sentences[0].spans == SPANS
    with pytest.raises(DataError, match="tag_names"):
        load(readers[reader](path=path), "IOB2")
    with pytest.raises(DataError, match="`3` is not the number of one of the 3 `tag_names`"):
        load(readers[reader](path=path, tag_names=NAMES[:3]), "IOB2")


def test_numbers_with_names_on_the_command_line(tmp_path, capsys):
    """`--option tag_names=[…]` takes a list."""
    path = write(tmp_path / "data.conll", (WORDS, ["1", "2", "0", "1", "0", "3"]))
    arguments = [
        "stats",
        str(path),
        "--reader",
        "conll",
        "--json",
        "--option",
        f"tag_names=[{', '.join(NAMES)}]",
    ]
    assert main(arguments) == 0
    assert json.loads(capsys.readouterr().out)["spans"] == {"LOC": 1, "PER": 2}


FORMS = {
    "prefix": lambda letter, type_, separator: f"{letter}{separator}{type_}",
    "suffix": lambda letter, type_, separator: f"{type_}{separator}{letter}",
}
SEPARATORS = {"prefix": "_:./|", "suffix": "-_:./|"}


@given(
    spans=st.lists(
        st.tuples(st.integers(1, 3), st.integers(0, 2), st.sampled_from(["PER", "gene"])), min_size=4
    ),
    scheme=st.sampled_from([name for name in SCHEMES if name not in ("plain", "IO")]),
    data=st.data(),
)
def test_any_scheme_in_any_style_is_read_alike(spans, scheme, data):
    """Rewriting tags in a style changes neither the detected scheme nor the tags as they are read."""
    style = data.draw(st.sampled_from(sorted(FORMS)))
    separator = data.draw(st.sampled_from(SEPARATORS[style]))
    placed, end = [], 0
    for length, gap, type_ in spans:
        placed.append(Span(end + gap, end + gap + length, type_))
        end += gap + length
    tags = encode(placed, end, scheme)
    rewritten = [tag if tag == "O" else FORMS[style](tag[0], tag[2:], separator) for tag in tags]
    canonical, styled = TagDetector(), TagDetector()
    canonical.add(tags)
    styled.add(rewritten)
    if styled.reading().style is None:  # S- alone may be anything
        assert {tag[0] for tag in tags} <= {"S", "U"}
        return
    assert styled.reading().scheme == canonical.reading().scheme
    assert styled.reading().canonical(rewritten) == tags


def test_real_corpora_have_no_style(corpora):
    """Every column of real corpora is read as before."""
    for name, columns in {"conll2003/eng.testa": (1, 2, 3), "conll2000/test.txt": (1, 2)}.items():
        for column in columns:
            counts = statistics(ConllReader(path=corpora / name, label_column=column))
            assert "tag_style" not in counts
            assert (counts["scheme"] == "plain") == (column == 1)
    treebank = corpora / "conllu" / "en_ewt-ud-dev.conllu"
    for column in ("upos", "xpos", "deprel", "feats:Case", "misc:SpaceAfter"):
        reader = ConlluReader(path=treebank, column=column, missing="_")
        assert "tag_style" not in statistics(reader)


class Notes(Progress):
    """Collects notes."""

    def __init__(self):
        self.notes = []

    def note(self, message):
        self.notes.append(message)


def test_training_and_evaluation_report_the_style(tmp_path):
    """In the notes on their data, unless a model of plain tags takes the tags as they are."""
    path = write(tmp_path / "data.conll", (WORDS, STYLES["types"][1].split()))
    for scheme, reported in {"IOB2": True, "plain": False}.items():
        notes = Notes()
        report_data({"train": load(ConllReader(path=path), scheme)}, notes)
        assert any("tag_style: types" in note for note in notes.notes) == reported


def test_conversion_streams_with_a_style(tmp_path):
    """The style is decided over the whole source, before the first sentence is converted."""
    path = write(tmp_path / "data.conll", *FILLER * 200, (WORDS, STYLES["types"][1].split()))
    conversion = Conversion(ConllReader(path=path))
    assert conversion.scheme == "IO"
    assert list(conversion.predictions())[-1].spans == SPANS


@pytest.mark.parametrize("scheme", ["auto", "IOB2"])
@pytest.mark.parametrize(
    ("tag", "says"),
    [
        ("I-O", "a span of the type `O`: is it meant to be `O`?"),
        ("B-O", "a span of the type `O`: is it meant to be `O`?"),
        ("B-LOC|B-ORG", "a span of the type `LOC|B-ORG`: these look like several tags"),
        ("B-LOC;B-ORG", "these look like several tags"),
        ("B-LOC,I-ORG", "these look like several tags"),
        ("B-LOC|O", "these look like several tags"),
        ("I-LOC/B-ORG", "these look like several tags"),
    ],
)
def test_types_that_are_or_contain_tags_are_a_warning(tmp_path, capsys, tag, says, scheme):
    """They come from programs that cut or join tags; nothing else would tell that they are no types."""
    path = tmp_path / "a.conll"
    path.write_text(f"Ada B-PER\nBell {tag}\nleft O\n")
    arguments = ["stats", str(path), "--reader", "conll", "--option", f"scheme={scheme}"]
    assert main(arguments) == 0
    output = capsys.readouterr()
    if scheme == "auto" and "|" in tag:  # all tags are those of layers
        says = "scheme: layers"
    assert says in output.out + output.err
    for name in ("OTHER", "O2", "B-cell", "LOC|ORG", "a/b", "cell,B", "x|o", "PER/OTHER"):
        path.write_text(f"Ada B-PER\nBell B-{name}\nleft O\n")
        assert main(arguments) == 0
        output = capsys.readouterr()
        assert "is a span of the type" not in output.out + output.err, name
