"""Opening data files: line ends, byte-order marks, compression, folders and patterns, and content of another kind."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import os
import socket
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz_cases import VALID_FILES, ValidFile
from repository import ROOT
from sltk.cli import main
from sltk.components.readers.conll import ConllReader
from sltk.components.readers.csv import CsvReader
from sltk.components.readers.docbin import DocBinReader
from sltk.components.readers.jsonl import JsonlReader
from sltk.components.readers.text import TextReader
from sltk.components.registry import registry
from sltk.components.slots import FileReader
from sltk.data.conversion import Conversion
from sltk.data.fingerprint import fingerprint
from sltk.data.scoring import score_files
from sltk.data.statistics import statistics
from sltk.errors import DataError
from sltk.files import unpacking
from sltk.models import tagging
from sltk.types import Sentence

each_valid_file = pytest.mark.parametrize(
    "valid", [valid for valid in VALID_FILES if valid.reader != "brat"], ids=lambda valid: valid.name
)


def in_zip(content: bytes, name: str = "data.file", *others: str) -> bytes:
    """A zip file with this member, and others that are empty."""
    output = io.BytesIO()
    with zipfile.ZipFile(output, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
        for other in others:
            archive.writestr(other, b"")
    return output.getvalue()


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "two gzip members": lambda content: gzip.compress(content[:7]) + gzip.compress(content[7:]),
    "xz": lzma.compress,
    "bzip2": bz2.compress,
    "zip": in_zip,
    "zip of a Mac": lambda content: in_zip(content, "data.file", "__MACOSX/._data.file"),
}


def contents(sentences: list[Sentence]) -> list[object]:
    """What sentences hold, without the place they come from."""
    return [(each.words, each.tags, each.spans, each.text, each.line, each.unused) for each in sentences]


def without_file(sentences: list[Sentence]) -> list[object]:
    return [(each.words, each.tags, each.spans, each.text, each.line) for each in sentences]


def error_of(reader: FileReader) -> str:
    with pytest.raises(DataError) as caught:
        list(reader.read())
    (problem,) = caught.value.problems
    assert problem.location is not None
    return str(caught.value)


@pytest.mark.parametrize("packer", PACKERS)
@each_valid_file
def test_compressed_files(valid: ValidFile, packer: str, tmp_path: Path) -> None:
    """Every reader reads a compressed file like the file itself, whatever its name."""
    path = valid.put(tmp_path, valid.text.encode())
    expected = contents(list(valid.open(path).read()))
    path.write_bytes(PACKERS[packer](valid.text.encode()))
    assert contents(list(valid.open(path).read())) == expected


@each_valid_file
def test_folders_and_patterns(valid: ValidFile, tmp_path: Path) -> None:
    """Every reader reads the files of a folder, or those that match a pattern, in natural order."""
    (tmp_path / "inner").mkdir()
    (tmp_path / ".hidden").write_text("none of the data")
    paths = [tmp_path / name for name in ("2.file", "10.file", "inner/1.file.gz")]
    for path in paths:
        path.write_bytes((gzip.compress if path.suffix == ".gz" else bytes)(valid.text.encode()))
    single = [sentence for path in paths for sentence in valid.open(path).read()]
    for several in (tmp_path, tmp_path / "**" / "*"):
        sentences = list(valid.open(several).read())
        assert contents(sentences) == contents(single)
        assert [each.file for each in sentences] == [
            str(path) for path in paths for _ in valid.open(path).read()
        ]
        names = {each.document for each in single}
        assert len({each.document for each in sentences}) == (1 if names == {None} else 3 * len(names))


def test_every_file_reader_takes_folders() -> None:
    """Every built-in reader of files leaves their choice to its base class, except brat, whose input is a folder."""
    for name, reader in registry.slot("reader").items():
        if issubclass(reader, FileReader) and reader.__module__.startswith("sltk.") and name != "brat":
            assert reader.read is FileReader.read, name


def test_limit_counts_the_sentences_of_all_files(tmp_path: Path) -> None:
    """`limit` is the number of sentences of a folder, not of each of its files."""
    for name in ("a.conll", "b.conll", "c.conll"):
        (tmp_path / name).write_text("x O\n\ny O\n")
    words = [each.words[0] for each in ConllReader(path=tmp_path, limit=3).read()]
    assert words == ["x", "y", "x"]


@pytest.mark.parametrize(
    ("names", "pattern", "says"),
    [
        ((), "", "no files in this folder"),
        (("a.txt", "b.txt", "README.md"), "", "different endings"),
        (("a.txt",), "*.conll", "no file matches this pattern"),
    ],
)
def test_unclear_choices_of_files(names: tuple[str, ...], pattern: str, says: str, tmp_path: Path) -> None:
    """A folder without files or with files of several endings is an error, and so is a pattern that nothing matches."""
    for name in names:
        (tmp_path / name).write_text("x O\n")
    assert says in error_of(ConllReader(path=tmp_path / pattern))


def test_names_of_files_are_no_patterns(tmp_path: Path) -> None:
    """An existing file is read, although its name looks like a pattern."""
    (tmp_path / "a[1].conll").write_text("x O\n")
    (tmp_path / "a1.conll").write_text("y O\n")
    (sentence,) = ConllReader(path=tmp_path / "a[1].conll").read()
    assert sentence.words == ["x"]


def test_links_to_folders_above(tmp_path: Path) -> None:
    """A folder that links to a folder above itself is read once."""
    (tmp_path / "a.conll").write_text("x O\n")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert len(list(ConllReader(path=tmp_path).read())) == 1


UNREADABLE = [
    (in_zip(b"x O\n", "a.conll", "b.conll"), "a.conll, b.conll"),
    (in_zip(b"", "[Content_Types].xml", "word/document.xml"), "office document"),
    (in_zip(b"x O\n")[:-9], "damaged zip file"),
    (b"PK\x05\x06" + bytes(18), "it is empty"),
    (gzip.compress(b"x O\n" * 100)[:-9], "its end is missing"),
    (gzip.compress(b"x O\n") + b"more", "damaged gzip file"),
    (lzma.compress(b"x O\n" * 100)[:-3], "its end is missing"),
    (b"\xfd7zXZ\x00" + b"nonsense" * 9, "damaged xz file"),
    (bz2.compress(b"x O\n" * 100)[:-3], "its end is missing"),
    (gzip.compress(gzip.compress(b"x O\n")), "compressed file inside another"),
    (b"\x28\xb5\x2f\xfd" + bytes(20), "zstd -d"),
]


# The time is part of compressed files, so their content cannot name the tests.
@pytest.mark.parametrize(("content", "says"), UNREADABLE, ids=[says for _, says in UNREADABLE])
@pytest.mark.parametrize("reader", [ConllReader, JsonlReader, TextReader, DocBinReader])
def test_compressed_files_that_cannot_be_read(
    reader: type[FileReader], content: bytes, says: str, tmp_path: Path
) -> None:
    """Several members, damage and other kinds of compression are one error that names the file."""
    path = tmp_path / "data.conll"
    path.write_bytes(content)
    message = error_of(reader(path=path))
    assert says in message
    assert str(path) in message


@pytest.mark.parametrize("packer", ["gzip", "xz", "bzip2", "zip"])
def test_small_files_do_not_fill_the_memory(
    packer: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file that unpacks to far more than its size is refused after a bounded number of bytes."""
    monkeypatch.setattr(unpacking, "UNPACKED_BYTES", 1 << 18)
    path = tmp_path / "bomb"
    path.write_bytes(PACKERS[packer](bytes(1 << 20)))
    for reader in (ConllReader(path=path), TextReader(path=path)):
        assert "unpacks to more than 200 times its size" in error_of(reader)


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a2146\nsize 12345\n"
OTHER_CONTENT = {
    "lfs": (LFS, "a pointer of Git-LFS", "git lfs pull"),
    "annex": (
        b"../.git/annex/objects/xK/1/SHA256E-s1--0/SHA256E-s1--0",
        "a pointer of git-annex",
        "git annex get",
    ),
    "pdf": (b"%PDF-1.7\n%\xe2\xe3", "a PDF document", "plain text"),
    "doc": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "Office document", "plain text"),
    "parquet": (b"PAR1\x15\x04", "a Parquet file", "huggingface"),
    "pickle": (b"\x80\x04\x95\x10\x00", "a pickle", "JSON lines"),
    "png": (b"\x89PNG\r\n\x1a\n", "a PNG image", ""),
    "tar": (b"a".ljust(257, b"\0") + b"ustar\x0000" + bytes(200), "a tar archive", "unpack"),
}
PAGES = {
    "html": (b"\n<!DOCTYPE html>\n<html><body>404: Not Found</body></html>\n", "an HTML page"),
    "html without a declaration": (b"<HTML>\n<head><title>Sign in</title></head>\n", "an HTML page"),
    "html in utf-16": ("\ufeff<!doctype html>\n<html>\n".encode("utf-16-le"), "an HTML page"),
}
MARKED = {
    "xml": (b'<?xml version="1.0"?>\n<sentences/>\n', "XML"),
    "xml without a declaration": (
        b'<sentences>\n<sentence id="1"><text>A b</text></sentence></sentences>',
        "XML",
    ),
}
JSON = {
    "json lines": (b'{"words": ["Vera"], "tags": ["B-PER"]}\n', "JSON"),
    "json array": (b'[\n  {"tokens": ["Vera"]}\n]\n', "JSON"),
}


@pytest.mark.parametrize("valid", VALID_FILES, ids=lambda valid: valid.name)
@pytest.mark.parametrize("case", OTHER_CONTENT)
def test_content_that_is_no_text(case: str, valid: ValidFile, tmp_path: Path) -> None:
    """Every reader says what a file is that holds no data, and what to do."""
    content, name, advice = OTHER_CONTENT[case]
    message = error_of(valid.open(valid.put(tmp_path, content)))  # type: ignore[arg-type]
    assert f"this looks like {name}" in message or name in message
    assert advice in message


def refused_by(valid: ValidFile) -> dict[str, tuple[bytes, str]]:
    """Text that a reader cannot read, although it is text."""
    if valid.reader == "text":
        return {}
    if valid.reader.startswith("semeval"):
        return PAGES | JSON
    kind = registry.find("reader", valid.reader)
    return PAGES | MARKED | (JSON if getattr(kind, "content", "") in ("columns", "table") else {})


@pytest.mark.parametrize(
    ("valid", "content", "name"),
    [
        pytest.param(valid, *case, id=f"{valid.name}-{number}")
        for valid in VALID_FILES
        for number, case in enumerate(refused_by(valid).values())
    ],
)
@pytest.mark.parametrize("packer", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_text_of_another_format(
    valid: ValidFile, content: bytes, name: str, packer: Callable[[bytes], bytes], tmp_path: Path
) -> None:
    """Every reader refuses error pages and files of another format, also compressed ones, and says what they are."""
    assert f"this looks like {name}" in error_of(valid.open(valid.put(tmp_path, packer(content))))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", PAGES | MARKED | JSON)
def test_plain_text_may_hold_anything(case: str, tmp_path: Path) -> None:
    """The reader of plain text reads pages and JSON, and reports what they look like."""
    content, name = (PAGES | MARKED | JSON)[case]
    path = tmp_path / "a.txt"
    path.write_bytes(content)
    (report,) = [item for sentence in TextReader(path=path).read() for item in sentence.unused]
    assert (report.line, report.adjusted) == (1, True)
    assert f"looks like {name}" in report.reason


@pytest.mark.parametrize(
    "row",
    [
        "{ O",
        "[ O",
        "<s> O",
        '" O',
        "{} O",
        "version O",
        "<!-- O",
        "PAR1 O",
        "%PDF O",
        '{"id":5} O',
        "<html> O",
        "<?xml O",
    ],
)
def test_words_that_look_like_other_formats(row: str, tmp_path: Path) -> None:
    """Brackets, tags and names are words."""
    path = tmp_path / "a.conll"
    path.write_text(f"{row}\nx O\n")
    (sentence,) = ConllReader(path=path).read()
    assert sentence.words == [row.removesuffix(" O"), "x"]


LINE_ENDS = {"mac": "\r", "windows": "\r\n", "converted twice": "\r\r\n"}


@pytest.mark.parametrize("end", LINE_ENDS)
@pytest.mark.parametrize("valid", VALID_FILES, ids=lambda valid: valid.name)
def test_line_ends(valid: ValidFile, end: str, tmp_path: Path) -> None:
    """Every reader gives the same sentences, at the same lines, with any one kind of line end."""
    path = valid.put(tmp_path, valid.text.encode())
    expected = list(valid.open(path).read())
    path = valid.put(tmp_path, valid.text.replace("\n", LINE_ENDS[end]).encode())
    sentences = list(valid.open(path).read())
    if valid.reader.startswith("semeval") and end == "converted twice":  # the XML parser counts two line ends
        for sentence in [*expected, *sentences]:
            sentence.line = None
    assert without_file(sentences) == without_file(expected)


@pytest.mark.parametrize("end", LINE_ENDS)
def test_line_ends_of_scored_files(end: str, tmp_path: Path) -> None:
    """`score` counts the same words with any one kind of line end."""
    path = tmp_path / "scored"
    path.write_bytes("Vera B-PER O\nsings O O\n\nKai B-PER B-PER\n".replace("\n", LINE_ENDS[end]).encode())
    scores = score_files(path)
    assert (scores["words"], scores["support"], scores["correct"]) == (3, 2, 1)


@pytest.mark.parametrize("content", ["a O\nb\rc O\n", "a O\n\rb O\n", "a O\nb O\rc O\n", "a\tB-X\r y\t\n"])
def test_a_carriage_return_inside_a_line(content: str, tmp_path: Path) -> None:
    """A single carriage return in a file of columns with other line ends is an error with its line."""
    path = tmp_path / "a.conll"
    path.write_bytes(content.encode())
    message = error_of(ConllReader(path=path))
    assert "a carriage return" in message
    assert f"{path}:{2 if content.startswith('a O') else 1}" in message


@pytest.mark.parametrize(
    ("content", "line", "says"),
    [
        ("tokens,tags\n\"['a']\",['O'] \rx\n", 2, "a carriage return"),
        ("tokens,tags\n\"['a']\"x,['O']\n", 2, "after a closing quote"),
        ("tokens,tags\n['a'],['O']\n\"['b'],['O']\n['c'],['O']\n", 3, "no closing quote"),
    ],
)
def test_errors_of_tables(content: str, line: int, says: str, tmp_path: Path) -> None:
    """What is wrong with a table is said in words for its author, at the line where it begins."""
    path = tmp_path / "a.csv"
    path.write_bytes(content.encode())
    message = error_of(CsvReader(path=path))
    assert f"{path}:{line}\n" in f"{message}\n"
    assert says in message


def test_carriage_returns_in_cells(tmp_path: Path) -> None:
    """A cell in quotes may hold carriage returns."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"id,tokens,tags\n\"one\rtwo\",['a'],['O']\n")
    (sentence,) = CsvReader(path=path).read()
    assert sentence.words == ["a"]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_marks_of_joined_files(encoding: str, tmp_path: Path) -> None:
    """The byte-order mark of a file that was appended to another is removed and reported."""
    path = tmp_path / "joined.conll"
    path.write_bytes("Vera B-PER\n\n".encode(encoding) + "Kai B-PER\n".encode(encoding))
    first, second = ConllReader(path=path).read()
    assert (first.words, first.unused) == (["Vera"], ())
    assert second.words == ["Kai"]
    (report,) = second.unused
    assert (report.line, report.adjusted) == (3, True)
    assert "byte-order mark" in report.reason
    assert len(statistics(ConllReader(path=path))["adjusted"]) == 1


@pytest.mark.parametrize("kind", ["pipe", "socket", "device"])
@pytest.mark.parametrize("reader", ["conll", "jsonl", "csv", "semeval14", "docbin", "text", "ace05"])
def test_only_files_are_opened(reader: str, kind: str) -> None:
    """A named pipe, a socket or a device is an error, and never waited for."""
    # Names of sockets are limited to about 100 characters, which the folders of pytest exceed.
    import tempfile

    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        path = Path(folder, "a.txt")
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "socket":
            listener.bind(str(path))
        else:
            path.symlink_to("/dev/zero")
        valid = registry.find("reader", reader).model_validate({"path": path})
        assert kind in error_of(valid)  # type: ignore[arg-type]


def test_open_streams_are_read() -> None:
    """`<(command)` of a shell and `/dev/stdin` are streams that are open already: they are read, once."""
    for text, unpack in ((b"Vera B-PER\nsings O\n", bytes), (b"Vera B-PER\nsings O\n", gzip.compress)):
        read_end, write_end = os.pipe()
        os.write(write_end, unpack(text))
        os.close(write_end)
        conversion = Conversion(ConllReader(path=Path(f"/dev/fd/{read_end}")))
        assert [prediction.words for prediction in conversion.predictions()] == [["Vera", "sings"]]
        os.close(read_end)


@pytest.mark.parametrize("name", ["-", "/dev/stdin"])
def test_compressed_standard_input(name: str) -> None:
    """Standard input may be compressed; a zip file needs to be a file."""
    command = [sys.executable, "-m", "sltk", "stats", name, "--reader", "conll"]
    text = b"Vera B-PER\nsings O\n"
    done = subprocess.run(command, input=gzip.compress(text), capture_output=True, check=False)
    assert done.stdout.startswith(b"1 sentences, 2 words")
    refused = subprocess.run(command, input=in_zip(text), capture_output=True, check=False)
    assert refused.returncode == 2
    assert b"cannot be read from a pipe" in refused.stderr


@given(
    content=st.binary(max_size=200),
    magic=st.sampled_from([b"\x1f\x8b\x08", b"\xfd7zXZ\x00", b"PK\x03\x04", b"BZh91AY&SY"]),
)
def test_damaged_compression(content: bytes, magic: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Bytes after the mark of a compression give one error."""
    path = tmp_path_factory.mktemp("damaged") / "a.conll"
    path.write_bytes(magic + content)
    assert str(path) in error_of(ConllReader(path=path))


@pytest.mark.parametrize("several", ["", "*.conll"])
def test_all_files_count_for_a_changed_run(several: str, tmp_path: Path) -> None:
    """The fingerprint of data, and the key under which runs of a sweep share it, depend on every file of a folder."""
    for name in ("a.conll", "b.conll", "c.conll"):
        (tmp_path / name).write_text("x O\n")
    reader = ConllReader(path=tmp_path / several)
    before = fingerprint(reader.read()), tagging._file_states(reader)
    (tmp_path / "b.conll").write_text("x O\n\ny O\n")
    after = fingerprint(reader.read()), tagging._file_states(reader)
    assert before[0]["digest"] != after[0]["digest"]
    assert after[0]["sentences"] == 4
    assert before[1] != after[1]


def test_check_finds_patterns_without_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`check` reports a pattern that nothing matches like a missing file, and reads all files of one that matches."""
    (tmp_path / "a.conll").write_text("x B-X\n")
    (tmp_path / "b.conll").write_text("y B-X\n")
    spec = tmp_path / "spec.yaml"
    text = "name: x\ndata: {train: {type: conll, path: '%s'}}\nbackbone: {type: decoder, name: not/here, unmask: all}\n"
    spec.write_text(text % "*.txt")
    assert main(["check", str(spec), "--strict"]) == 2
    assert "there is no `" in capsys.readouterr().err
    spec.write_text(text % "*.conll")
    assert main(["check", str(spec), "--data", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["data"]["train"]["sentences"] == 2


def test_predict_reads_folders_and_compressed_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`predict` labels every line of every file of a folder."""
    folder = tmp_path / "texts"
    folder.mkdir()
    (folder / "2.txt").write_text("the soup was awful\n")
    (folder / "10.txt.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    run = str(ROOT / "tests" / "stored_runs" / "tagger")
    for source in (folder, folder / "*"):
        assert main(["predict", run, str(source), "--format", "jsonl"]) == 0
        lines = [json.loads(line)["text"] for line in capsys.readouterr().out.splitlines()]
        assert lines == ["the soup was awful", "one", "two"]
    assert main(["predict", run, str(folder / "*.md")]) == 2
