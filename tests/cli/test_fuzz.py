"""Broken files: each ends in a result that accounts for everything, or in one error that says where and what.

`fuzz_cases.py` makes them out of good ones, and counts what is in a file without sltk.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz_cases import GOOD, SAME, Good, corpus, visible
from repository import ROOT
from sltk.components.readers.conll import ConllReader
from sltk.components.registry import registry
from sltk.components.slots import FileReader
from sltk.data.datasets import load
from sltk.data.statistics import statistics
from sltk.errors import InputError
from sltk.types import Sentence

CORPUS = corpus()
each_good = pytest.mark.parametrize("good", GOOD, ids=lambda good: good.name)


def settled(good: Good, path: Path) -> tuple[dict[str, Any], list[Sentence]] | None:
    """Counts and sentences of a file that can be read, checked against each other; None where it is refused."""
    try:
        counts = statistics(good.open(path))
        sentences = list(good.open(path).read())
        converted = None
        if all(each.spans is not None or each.tags is not None for each in sentences):
            converted = load(good.open(path), "plain" if counts["scheme"] == "plain" else "IOB2")
    except InputError as error:
        assert_in_form(error, path)
        return None
    assert counts["words"] == sum(map(len, sentences))
    assert counts["sentences"] == len(sentences)
    if converted is not None:
        assert [each.words for each in converted] == [each.words for each in sentences]
        used = sum(len(each.spans or ()) for each in converted if converted.scheme != "plain")
        unused = sum(item.type is not None for item in converted.unused)
        assert sum(counts["spans"].values()) == used + unused
    for each in sentences:
        "".join(each.words).encode()  # no lone surrogates: no file could hold them
    return counts, sentences


def assert_in_form(error: InputError, path: Path) -> None:
    """One error of the documented form, which names the file and is short enough to be read."""
    assert error.exit_code == 2
    assert len(error.problems) == 1
    (problem,) = error.problems
    assert problem.location is not None
    assert Path(problem.location.file).with_suffix("") == path.with_suffix("")
    assert str(error).startswith("error: ")
    assert "Traceback" not in str(error)
    assert len(str(error)) < 3000


def assert_accounted(good: Good, path: Path, content: bytes) -> None:
    """What was read is what another way of counting finds, wherever that one can read the file."""
    found = settled(good, path)
    if found is None:
        return
    counts, sentences = found
    try:
        characters, spans = good.count(content.decode("utf-8-sig"))
    except Exception:  # not UTF-8, not JSON, no XML, a key that is not there: nothing to compare with
        return
    assert visible(word for each in sentences for word in each.words) == characters
    assert spans is None or sum(counts["spans"].values()) == spans


@each_good
def test_good_files_are_read(good: Good, tmp_path: Path) -> None:
    """The files that the others are made of are sound, and hold what the other way of counting says."""
    content = good.text.encode()
    path = good.put(tmp_path, content)
    assert settled(good, path) is not None
    good.count(good.text)
    assert_accounted(good, path, content)


def test_every_reader_of_files_is_here() -> None:
    """There is a good file for each built-in reader of one; DocBin has its own test."""
    readers = {
        name
        for name, reader in registry.slot("reader").items()
        if issubclass(reader, FileReader) and reader.__module__.startswith("sltk.")
    }
    assert readers - {"docbin"} == {good.reader for good in GOOD}


def test_there_are_enough_broken_files() -> None:
    """The corpus has its size, and no file twice under one name."""
    assert len(CORPUS) >= 150
    assert len({name for name, _, _ in CORPUS}) == len(CORPUS)


@pytest.mark.parametrize(("good", "content"), [case[1:] for case in CORPUS], ids=[case[0] for case in CORPUS])
def test_broken_files(good: Good, content: bytes, tmp_path: Path) -> None:
    """A result with everything accounted for, or one error."""
    assert_accounted(good, good.put(tmp_path, content), content)


@pytest.mark.parametrize("writing", SAME)
@each_good
def test_other_ways_to_write_a_file(good: Good, writing: str, tmp_path: Path) -> None:
    """Byte-order marks, UTF-16 and line ends change nothing in what is read."""
    expected = settled(good, good.put(tmp_path, good.text.encode()))
    found = settled(good, good.put(tmp_path, SAME[writing](good.text)))
    assert expected is not None
    assert found is not None
    assert found[0] == expected[0]
    assert [each.words for each in found[1]] == [each.words for each in expected[1]]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf16_without_a_mark(encoding: str, tmp_path: Path) -> None:
    """As UTF-8 it would be letters and NULs: it is refused, and read with the encoding that the error names."""
    path = tmp_path / "x.conll"
    path.write_bytes("Mira B-PER\nslept O\n".encode(encoding))
    with pytest.raises(InputError, match=f"set `encoding: {encoding}`"):
        list(ConllReader(path=path).read())
    (sentence,) = ConllReader(path=path, encoding=encoding).read()
    assert sentence.words == ["Mira", "slept"]


@each_good
def test_folders_and_missing_files(good: Good, tmp_path: Path) -> None:
    """A folder in place of a file, or nothing at all, is one error."""
    folder = tmp_path / "a.txt"
    folder.mkdir()
    assert settled(good, folder) is None
    assert settled(good, tmp_path / "none.txt") is None


@st.composite
def edits(draw: st.DrawFn) -> tuple[Good, bytes]:
    """A good file with some bytes replaced, inserted, repeated or gone."""
    good = draw(st.sampled_from(GOOD))
    content = bytearray(good.text.encode())
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
    return good, bytes(content)


@given(case=edits())
# Always the same edits: where two ways of counting differ over nonsense, a release should not wait for it.
@settings(
    max_examples=400,
    derandomize=True,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_edited_files(case: tuple[Good, bytes], tmp_path: Path) -> None:
    """Whatever becomes of its bytes, a file is read with everything accounted for, or refused in form."""
    good, content = case
    assert_accounted(good, good.put(tmp_path, content), content)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("spert-word-deep", "nested too deeply"),
        ("jsonl-spans-word-surrogate", "surrogate"),
        ("semeval14-xml-entity-bomb", "document type declaration"),
        ("conll-invalid-utf8", "is not valid UTF-8"),
    ],
)
def test_the_command_line_refuses(name: str, says: str, tmp_path: Path) -> None:
    """`sltk stats` ends with exit code 2 and an error in its form, on standard error, without a traceback."""
    ((good, content),) = [(good, content) for found, good, content in CORPUS if found == name]
    done = sltk("stats", good.put(tmp_path, content), "--reader", good.reader)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: ")
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_command_line_accounts(tmp_path: Path) -> None:
    """`sltk stats --json` of a file with nested spans counts all, and lists those that are not used."""
    ((good, content),) = [(good, content) for name, good, content in CORPUS if name == "brat-file-nested"]
    done = sltk("stats", good.put(tmp_path, content), "--reader", "brat", "--json")
    assert done.returncode == 0, done.stderr
    counts = json.loads(done.stdout)
    assert counts["spans"] == {"FIRST": 1, "LAST": 1, "PER": 1}
    assert [item["line"] for item in counts["unused"]] == [1, 1]


def sltk(*arguments: object) -> subprocess.CompletedProcess[str]:
    """The program, in a process of its own."""
    toolkit = ROOT / "toolkit"
    environment = dict(os.environ, PYTHONPATH=str(toolkit))
    command = [sys.executable, "-m", "sltk", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
