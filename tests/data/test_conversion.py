"""Conversion of files: in chunks of a few sentences, and written completely or not at all."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from sltk.cli import main
from sltk.components.readers.brat import BratReader
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.conllu import ConlluReader
from sltk.components.readers.csv import CsvReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.readers.semeval14 import SemEval14Reader
from sltk.components.slots import Reader
from sltk.components.writers import BratWriter, ConllWriter, HtmlWriter, JsonlWriter, SpansWriter, TextWriter
from sltk.data.conversion import Conversion
from sltk.data.sentence_stream import CHUNK_SIZE
from sltk.errors import DataError, UsageError
from sltk.types import Sentence, Span


class InMemory(Reader):
    """Sentences of a test."""

    # A name without a registration: other tests see the registry as it is.
    type_name: ClassVar[str] = "in_memory"
    sentences: list[Sentence]

    def read(self) -> Iterator[Sentence]:
        yield from self.sentences


def test_documents_of_a_folder_keep_their_sentences(tmp_path):
    """An interrupted document is one pair of files; invalid and repeated file names are changed."""
    documents = ["a/b", "A_b", "a/b", None, ".."]
    sentences = [
        Sentence([f"w{number}", "x"], spans=[Span(0, 1, "T")], document=document)
        for number, document in enumerate(documents)
    ]
    folder = tmp_path / "out"
    BratWriter().save(Conversion(InMemory(sentences=sentences)).predictions(), folder)
    texts = {path.name: path.read_text() for path in folder.glob("*.txt")}
    assert texts == {
        "a_b.txt": "w0 x\nw2 x\n",
        "A_b-2.txt": "w1 x\n",
        "document.txt": "w3 x\n",
        "document-2.txt": "w4 x\n",
    }
    assert (folder / "a_b.ann").read_text() == "T1\tT 0 2\tw0\nT2\tT 5 7\tw2\n"
    assert len(list(BratReader(path=folder).read())) == 5


def test_brat_output_is_complete_or_absent(tmp_path, monkeypatch, capsys):
    """After an error there is neither a file nor a folder; existing paths are not replaced by a folder."""
    monkeypatch.chdir(tmp_path)
    Path("in.conll").write_text("a B-X\n\n" * 100 + "b ?\n")
    for output in ("out.txt", "out"):
        command = ["convert", "in.conll", output, "--reader", "conll", "--writer", "brat"]
        assert main(command) == 2
        assert "in.conll:201" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["in.conll"]
    assert (
        main(["convert", "in.conll", ".", "--reader", "conll", "--writer", "brat", "--option", "limit=3"])
        == 2
    )
    assert "`.` exists already" in capsys.readouterr().err
    assert (
        main(["convert", "in.conll", "-", "--reader", "conll", "--writer", "brat", "--option", "limit=3"])
        == 2
    )
    assert "must be a folder" in capsys.readouterr().err


def test_brat_rejects_types_with_white_space(tmp_path):
    """A type with white space is an error, unless `spaces` is set."""
    source = InMemory(sentences=[Sentence(["a"], spans=[Span(0, 1, "two words")], file="in", line=4)])
    with pytest.raises(DataError, match=r"in:4\s.*`--writer-option spaces=_`"):
        BratWriter().save(Conversion(source).predictions(), tmp_path / "x")
    BratWriter(spaces="_").save(Conversion(source).predictions(), tmp_path / "x.ann")
    assert (tmp_path / "x.ann").read_text() == "T1\ttwo_words 0 1\ta\n"
    with pytest.raises(UsageError, match="several files"):
        "".join(BratWriter().render(Conversion(source).predictions()))


def test_convert_as_a_command(tmp_path, monkeypatch):
    """A round trip through every format on the command line."""
    monkeypatch.chdir(tmp_path)
    Path("a.conll").write_text("Ada\tB-PER\nBell\tI-PER\nran\tO\n\nOslo\tB-LOC\n\n")
    flat = ["--option", "splitter.type=whitespace"]
    steps = [
        ("a.conll", "b.jsonl", "conll", "jsonl", []),
        ("b.jsonl", "c", "jsonl", "brat", []),
        ("c", "d.ann", "brat", "brat", flat),
        ("d.ann", "e.conll", "brat", "conll", flat),
    ]
    for source, target, reader, writer, options in steps:
        assert main(["convert", source, target, "--reader", reader, "--writer", writer, *options]) == 0
    assert Path("e.conll").read_bytes() == Path("a.conll").read_bytes()


def test_standard_input_is_converted(tmp_path):
    """Standard input can be read only once, so it is held in memory."""
    command = [sys.executable, "-m", "sltk", "convert", "-", "-", "--reader", "conll", "--writer", "conll"]
    done = subprocess.run(command, input=b"Ada I-X\nBo B-X\n\n", capture_output=True, check=True)
    assert done.stdout == b"Ada\tI-X\nBo\tB-X\n\n"


LONG = 20 * CHUNK_SIZE
SOURCES = {
    "conll": (ConllReader, "Ada B-X\nsang O\n\n" * LONG),
    "conllu": (ConlluReader, "1\ta\t_\tX\t_\t_\t_\t_\t_\t_\n\n" * LONG),
    "jsonl": (JsonlReader, '{"text": "Ada sang", "spans": [{"start": 0, "end": 3, "type": "X"}]}\n' * LONG),
    "csv": (CsvReader, "tokens,tags\n" + "\"['Ada', 'sang']\",\"['B-X', 'O']\"\n" * LONG),
    "semeval14": (
        SemEval14Reader,
        "<a>" + "<sentence><text>Ada sang</text></sentence>\n" * LONG + "</a>",
    ),
}


@pytest.mark.parametrize("name", SOURCES)
def test_the_reader_is_only_a_few_sentences_ahead(tmp_path, name):
    """The number of sentences read but not yet written is bounded."""
    reader_class, content = SOURCES[name]
    (tmp_path / "in").write_text(content)
    given_out = written_out = furthest = 0

    class Watched(reader_class):
        """The reader, counting sentences."""

        type_name: ClassVar[str] = "watched"

        def read(self) -> Iterator[Sentence]:
            nonlocal given_out, furthest
            given_out = 0
            for sentence in super().read():
                given_out += 1
                if written_out:
                    furthest = max(furthest, given_out - written_out)
                yield sentence

    for _ in JsonlWriter().render(Conversion(Watched(path=tmp_path / "in")).predictions()):
        written_out += 1
    assert (given_out, written_out) == (LONG, LONG)
    assert furthest <= CHUNK_SIZE + 1


@pytest.mark.parametrize(
    "writer", [ConllWriter, JsonlWriter, BratWriter, SpansWriter, TextWriter, HtmlWriter]
)
def test_no_writer_holds_the_sentences(tmp_path, writer):
    """While a file is being written, only the last few sentences are in memory."""
    alive: list[int] = []

    class Endless(Reader):
        """Sentences without any other reference."""

        type_name: ClassVar[str] = "endless"

        def read(self) -> Iterator[Sentence]:
            for number in range(LONG):
                if number == LONG - 1:
                    alive.append(sum(type(result) is Sentence for result in gc.get_objects()))
                yield Sentence(["Ada", "sang"], spans=[Span(0, 1, "X")], document=str(number // 400))

    before = sum(type(result) is Sentence for result in gc.get_objects())
    writer().save(Conversion(Endless()).predictions(), tmp_path / "out")
    assert max(alive) - before <= 4 * CHUNK_SIZE
