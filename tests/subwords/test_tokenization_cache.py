"""The cache of encoded sentences gives the same result as encoding, whatever happens to its files."""

from __future__ import annotations

import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from sltk.components.backbones import local_tokenizer
from sltk.errors import DataError
from sltk.subwords import token_cache
from sltk.subwords.plain_tokenizer import PlainTokenizer
from sltk.subwords.tokenization import SubwordEncoder
from sltk.types import Sentence

SENTENCES = [
    Sentence(["Ines", "walked", "to", "the", "harbour"], document="1"),
    Sentence([], document="1"),
    Sentence(["Möwen", "\u200b", "\ud800", "harbour" * 9], document="1"),
    Sentence(["nobody", "minded"], document="2"),
]


@pytest.fixture(scope="module")
def trained() -> Tokenizer:
    tokenizer: Tokenizer = local_tokenizer.train(["Ines walked to the harbour", "nobody minded"] * 2, 280)
    return tokenizer


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache folder of this test."""
    monkeypatch.setenv("SLTK_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "tokens"


def encoder(trained: Tokenizer, **changes: Any) -> SubwordEncoder:
    options = {"max_length": 8, **changes}
    return SubwordEncoder(PlainTokenizer.with_roles(trained, local_tokenizer.TRAINED_SPECIAL), **options)


def encode(trained: Tokenizer, sentences: list[Sentence] = SENTENCES, **changes: Any) -> Any:
    return token_cache.encode(encoder(trained, **changes), sentences, min_words=0)


def test_encodings_are_read_back_unchanged(folder: Path, trained: Tokenizer) -> None:
    """The second call reads the file; windows, empty sentences and cut words are preserved."""
    encodings, source = encode(trained)
    assert source is None
    (path,) = folder.iterdir()
    assert encode(trained) == (encodings, path)
    assert encodings == encoder(trained).encode(SENTENCES)
    assert sum(encoding.cut_words for encoding in encodings) == 1


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lists=st.lists(st.lists(st.text(max_size=4), max_size=5), max_size=5))
def test_encodings_of_any_words_are_read_back(
    folder: Path, trained: Tokenizer, lists: list[list[str]]
) -> None:
    """The cache preserves the encodings of any words."""
    sentences = [Sentence(words) for words in lists]
    encodings, _ = encode(trained, sentences)
    assert encode(trained, sentences)[0] == encodings == encoder(trained).encode(sentences)


@pytest.mark.parametrize(
    "changes", [{"max_length": 9}, {"max_length": None}, {"document_context": 4}, {"on_overflow": "window"}]
)
def test_other_settings_use_another_file(folder: Path, trained: Tokenizer, changes: dict[str, Any]) -> None:
    """Other settings use another file; an explicit default is the same as the default."""
    encode(trained)
    is_default = changes == {"on_overflow": "window"}
    assert (encode(trained, **changes)[1] is not None) == is_default
    assert encode(trained, **changes)[0] == encoder(trained, **changes).encode(SENTENCES)


@pytest.mark.parametrize("number", [0, 2])
def test_other_sentences_use_another_file(folder: Path, trained: Tokenizer, number: int) -> None:
    """A changed word, or other word boundaries, use another file."""
    encode(trained)
    words = [*SENTENCES[number].words]
    for other in ([*words[:-1], words[-1] + "s"], [words[0] + words[1], *words[2:]]):
        changed = [*SENTENCES]
        changed[number] = replace(SENTENCES[number], words=other)
        assert encode(trained, changed)[1] is None


def test_documents_matter_only_with_context(folder: Path, trained: Tokenizer) -> None:
    """Document boundaries matter only with document context."""
    moved = [replace(sentence, document="1") for sentence in SENTENCES]
    encode(trained)
    assert encode(trained, moved)[1] is not None
    encode(trained, document_context=3, max_length=40)
    assert encode(trained, moved, document_context=3, max_length=40)[1] is None


def test_another_tokenizer_uses_another_file(folder: Path, trained: Tokenizer) -> None:
    """The content of the tokenizer is hashed, not its name."""
    encode(trained)
    other = local_tokenizer.train(["Möwen and harbour"] * 3, 270)
    assert encode(other)[1] is None


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_replaced(folder: Path, trained: Tokenizer, data: st.DataObject) -> None:
    """If a file is truncated, overwritten or emptied, the encodings are correct and the file is written again."""
    encodings, _ = encode(trained)
    (path,) = folder.iterdir()
    whole = path.read_bytes()
    position = data.draw(st.integers(0, len(whole) - 1))
    damaged = data.draw(
        st.sampled_from([whole[:position], whole[:position] + b"\xfe" + whole[position + 1 :]])
    )
    path.write_bytes(damaged)
    result, source = encode(trained)
    assert result == encodings
    assert source is None or damaged == whole
    assert path.read_bytes() == whole


def test_a_folder_in_place_of_a_file_is_no_error(folder: Path, trained: Tokenizer) -> None:
    """A folder in place of the file is no error and is not changed."""
    encodings, _ = encode(trained)
    (path,) = folder.iterdir()
    path.unlink()
    path.mkdir()
    assert encode(trained) == (encodings, None)


def test_a_folder_that_cannot_be_written_to_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Tokenizer
) -> None:
    """If a file is in place of the folder, everything is tokenized each time."""
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("SLTK_CACHE", str(tmp_path / "file"))
    assert encode(trained) == encode(trained) == (encoder(trained).encode(SENTENCES), None)


def test_the_cache_is_off_by_setting_and_for_few_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trained: Tokenizer
) -> None:
    """`SLTK_CACHE=off`, or too few words: nothing is written."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("SLTK_CACHE", "off")
    encode(trained)
    monkeypatch.delenv("SLTK_CACHE")
    token_cache.encode(encoder(trained), SENTENCES)
    assert list(tmp_path.iterdir()) == []
    encode(trained)
    assert [path.parent for path in tmp_path.rglob("*.safetensors")] == [tmp_path / "sltk" / "tokens"]


def test_the_newest_files_are_kept(folder: Path, trained: Tokenizer) -> None:
    """Of more than 64 files, the most recently used ones are kept."""
    first = [Sentence(["word", "0"])]
    for number in range(66):
        encode(trained, [Sentence(["word", str(number)])])
        for age, path in enumerate(sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)):
            os.utime(path, (age, age))
        encode(trained, first)
    assert len(list(folder.iterdir())) == 64
    assert encode(trained, first)[1] is not None
    assert encode(trained, [Sentence(["word", "1"])])[1] is None
    assert all(stat.S_ISREG(path.stat().st_mode) for path in folder.iterdir())


def test_an_error_leaves_no_file(folder: Path, trained: Tokenizer) -> None:
    """A sentence that is too long for `on_overflow: error` is the same error with a cache."""
    for _ in range(2):
        with pytest.raises(DataError, match="the model reads 8"):
            encode(trained, on_overflow="error")
    assert not folder.exists()
