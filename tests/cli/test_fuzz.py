"""Broken files: each gives a result that accounts for everything, or one error that says what is wrong and where.

`fuzz_cases.py` makes them from valid files, and has independent parsers that count the contents of a file.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz_cases import EQUIVALENT_FORMS, VALID_FILES, ValidFile, corpus, visible
from repository import ROOT
from sltk.components.readers.conll import ConllReader
from sltk.components.registry import registry
from sltk.components.slots import FileReader
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.errors import InputError
from sltk.types import Sentence

CORPUS = corpus()
each_valid_file = pytest.mark.parametrize("valid", VALID_FILES, ids=lambda valid: valid.name)


def checked_counts(valid: ValidFile, path: Path) -> tuple[dict[str, Any], list[Sentence]] | None:
    """Counts and sentences of a file, checked against each other; None if the file is rejected."""
    try:
        counts = statistics(valid.open(path))
        sentences = list(valid.open(path).read())
        converted = None
        if all(each.spans is not None or each.tags is not None for each in sentences):
            converted = load(valid.open(path), "plain" if counts["scheme"] == "plain" else "IOB2")
    except InputError as error:
        assert_documented_form(error, path)
        return None
    assert counts["words"] == sum(map(len, sentences))
    assert counts["sentences"] == len(sentences)
    if converted is not None:
        # Empty words are written in a visible way, because no format can hold them.
        words = [[word or "\ufffd" for word in each.words] for each in sentences]
        assert [each.words for each in converted] == words
        used = sum(len(each.spans or ()) for each in converted if converted.scheme != "plain")
        unused = sum(item.type is not None for item in converted.unused)
        assert sum(counts["spans"].values()) == used + unused
    for each in sentences:
        "".join(each.words).encode()  # raises for lone surrogates, which no file can contain
    return counts, sentences


def assert_documented_form(error: InputError, path: Path) -> None:
    """Assert that an error has the documented form, names the file, and is short."""
    assert error.exit_code == 2
    assert len(error.problems) == 1
    (problem,) = error.problems
    assert problem.location is not None
    assert Path(problem.location.file).with_suffix("") == path.with_suffix("")
    assert str(error).startswith("error: ")
    assert "Traceback" not in str(error)
    assert len(str(error)) < 3000


def assert_same_counts(valid: ValidFile, path: Path, content: bytes) -> None:
    """Assert that the counts are those of an independent parser, if that one can read the file."""
    result = checked_counts(valid, path)
    if result is None:
        return
    counts, sentences = result
    try:
        characters, spans = valid.count(re.sub(r"(?m)^\ufeff+", "", content.decode()))
    except Exception:  # not UTF-8, not JSON, no XML, a key that is not there: nothing to compare with
        return
    assert visible(word for each in sentences for word in each.words) == characters
    assert spans is None or sum(counts["spans"].values()) == spans


@each_valid_file
def test_valid_files_are_read(valid: ValidFile, tmp_path: Path) -> None:
    """The files that the broken ones are made from are valid, and have the counts of the independent parser."""
    content = valid.text.encode()
    path = valid.put(tmp_path, content)
    assert checked_counts(valid, path) is not None
    valid.count(valid.text)
    assert_same_counts(valid, path, content)


def test_every_file_reader_is_tested() -> None:
    """There is a valid file for each built-in reader; DocBin has its own test."""
    readers = {
        name
        for name, reader in registry.slot("reader").items()
        if issubclass(reader, FileReader) and reader.__module__.startswith("sltk.")
    }
    assert readers - {"docbin"} == {valid.reader for valid in VALID_FILES}


def test_there_are_enough_broken_files() -> None:
    """There are enough broken files, and their names are unique."""
    assert len(CORPUS) >= 150
    assert len({name for name, _, _ in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize(
    ("valid", "content"), [case[1:] for case in CORPUS], ids=[case[0] for case in CORPUS]
)
def test_broken_files(valid: ValidFile, content: bytes, tmp_path: Path) -> None:
    """A broken file gives a result that accounts for everything, or one error."""
    assert_same_counts(valid, valid.put(tmp_path, content), content)


@pytest.mark.parametrize("writing", EQUIVALENT_FORMS)
@each_valid_file
def test_other_ways_to_write_a_file(valid: ValidFile, writing: str, tmp_path: Path) -> None:
    """Byte-order marks, UTF-16 and line ends do not change the result."""
    expected = checked_counts(valid, valid.put(tmp_path, valid.text.encode()))
    result = checked_counts(valid, valid.put(tmp_path, EQUIVALENT_FORMS[writing](valid.text)))
    assert expected is not None
    assert result is not None
    assert result[0] == expected[0]
    assert [each.words for each in result[1]] == [each.words for each in expected[1]]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark(encoding: str, tmp_path: Path) -> None:
    """The error suggests an encoding with which the file can be read."""
    path = tmp_path / "x.conll"
    path.write_bytes("Mira B-PER\nslept O\n".encode(encoding))
    with pytest.raises(InputError, match=f"set `encoding: {encoding}`"):
        list(ConllReader(path=path).read())
    (sentence,) = ConllReader(path=path, encoding=encoding).read()
    assert sentence.words == ["Mira", "slept"]


@each_valid_file
def test_folders_and_missing_files(valid: ValidFile, tmp_path: Path) -> None:
    """A folder instead of a file, or a missing file, is one error."""
    folder = tmp_path / "a.txt"
    folder.mkdir()
    assert checked_counts(valid, folder) is None
    assert checked_counts(valid, tmp_path / "none.txt") is None


@st.composite
def edits(draw: st.DrawFn) -> tuple[ValidFile, bytes]:
    """A valid file with some bytes replaced, inserted, repeated or removed."""
    valid = draw(st.sampled_from(VALID_FILES))
    content = bytearray(valid.text.encode())
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(content)))
        end = min(len(content), start + draw(st.integers(0, 12)))
        new = draw(
            st.one_of(
                st.binary(max_size=4),
                st.sampled_from([b'"', b"[", b"]", b"{", b"}", b",", b"\n", b"\t", b"<", b">", b"null", b"-1", b"0"]),
                st.just(bytes(content[start:end]) * 2),
            )
        )  # fmt: skip
        content[start:end] = new
    return valid, bytes(content)


@given(case=edits())
# The edits are always the same, because the two parsers may disagree on nonsense.
@settings(
    max_examples=400,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_edited_files(case: tuple[ValidFile, bytes], tmp_path: Path) -> None:
    """An edited file gives a result that accounts for everything, or one error of the documented form."""
    valid, content = case
    assert_same_counts(valid, valid.put(tmp_path, content), content)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("spert-word-deep", "nested too deeply"),
        ("jsonl-spans-word-surrogate", "surrogate"),
        ("semeval14-xml-entity-bomb", "document type declaration"),
        ("conll-invalid-utf8", "is not valid UTF-8"),
    ],
)
def test_the_command_line_rejects_broken_files(name: str, says: str, tmp_path: Path) -> None:
    """`sltk stats` ends with exit code 2 and an error of the documented form, without a traceback."""
    ((valid, content),) = [(valid, content) for case, valid, content in CORPUS if case == name]
    done = sltk("stats", valid.put(tmp_path, content), "--reader", valid.reader)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_counts_unused_spans(tmp_path: Path) -> None:
    """`sltk stats --json` counts all nested spans, and lists the unused ones."""
    ((valid, content),) = [(valid, content) for name, valid, content in CORPUS if name == "brat-file-nested"]
    done = sltk("stats", valid.put(tmp_path, content), "--reader", "brat", "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["spans"] == {"FIRST": 1, "LAST": 1, "PER": 1}
    assert [item["line"] for item in counts["unused"]] == [1, 1]


def sltk(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the program in a separate process."""
    toolkit = ROOT / "toolkit"
    environment = dict(os.environ, PYTHONPATH=str(toolkit))
    command = [sys.executable, "-m", "sltk", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
