"""An export for transformers reads text as sltk does, with the tokenizers of all common families."""

from __future__ import annotations

import json
import random
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import tokenizer_kinds
from sltk.components.splitters import RegexSplitter
from sltk.exporting.exported_tokenizer import save_tokenizer
from sltk.subwords.tokenization import SubwordEncoder
from sltk.types import Sentence

FAMILY = {
    "gpt2": "gpt2", "roberta": "roberta", "llama3": "llama", "qwen": "qwen3", "smollm": "llama", "llama2": "llama",
    "mistral": "mistral", "gemma": "gemma", "bert": "bert", "bert-cased": "bert", "xlm-roberta": "xlm-roberta",
    "deberta": "deberta-v2",
}  # fmt: skip
BYTE_LEVEL = ("gpt2", "roberta", "llama3", "qwen", "smollm")
PIECES = ("llama2", "mistral", "gemma", "bert", "bert-cased", "xlm-roberta", "deberta")
ORDINARY = (
    "Anna Kovacs met Peter in Zurich on Monday",
    "Kent's bread (fresh, warm) cost \"3.50\" - wasn't it?",
    "The box of 12 well-known maps cost 25 dollars in 2024!",
)
ODD = (
    "  two  spaces,\ta tab \n a line and the end  ",
    "naïve Zürich 東京 Москва 😀👍🏽 e\u0301 ﬁne ½ ok",
    "the words </s> or [SEP] or <|endoftext|> of <s> <bos> <unk>",
    "soft\u00adhyphen and \u200b was \ufe0f in \x00 it \x1f",
)
ALPHABET = "aB.,'- \t0123é東😀\u200b<s>/[SEP]|▁Ġ"


@cache
def original(kind: str) -> Any:
    return tokenizer_kinds.build(kind)


def exported(kind: str, spacing: str, folder: Path) -> Any:
    """The exported tokenizer, as AutoTokenizer loads it next to the config of a family that has such a tokenizer."""
    from transformers import AutoTokenizer

    save_tokenizer(original(kind), folder, spacing=spacing, max_length=100)
    (folder / "config.json").write_text(json.dumps({"model_type": FAMILY[kind]}))
    return AutoTokenizer.from_pretrained(folder)


def subwords(kind: str, spacing: Any, sentence: Sentence) -> list[int]:
    """What sltk reads."""
    return SubwordEncoder(original(kind), spacing).encode([sentence])[0].windows[0].ids


def split(text: str) -> Sentence:
    offsets = RegexSplitter().split(text)
    return Sentence([text[start:end] for start, end in offsets], text=text, offsets=offsets)


def random_texts(count: int) -> list[str]:
    draw = random.Random(7)
    return ["".join(draw.choices(ALPHABET, k=draw.randint(1, 30))) for _ in range(count)]


@pytest.mark.parametrize("kind", BYTE_LEVEL)
def test_byte_level_tokenizers_read_every_text_alike(kind: str, tmp_path: Path) -> None:
    """Any text and any list of words, special tokens and invisible characters included, gives sltk's subwords."""
    tokenizer = exported(kind, "source", tmp_path)
    for text in (*ORDINARY, *ODD, *random_texts(60)):
        sentence = split(text)
        if sentence.words:
            assert tokenizer(text)["input_ids"] == subwords(kind, "source", sentence), text
            listed = tokenizer(sentence.words, is_split_into_words=True)["input_ids"]
            assert listed == subwords(kind, "source", Sentence(sentence.words)), text


@pytest.mark.parametrize("kind", PIECES)
def test_other_tokenizers_read_ordinary_text_and_words_alike(kind: str, tmp_path: Path) -> None:
    """Words with punctuation, numbers and contractions give sltk's subwords, written or in a list."""
    tokenizer = exported(kind, "source", tmp_path)
    for text in ORDINARY:
        sentence = split(text)
        assert tokenizer(text)["input_ids"] == subwords(kind, "source", sentence)
        listed = tokenizer(sentence.words, is_split_into_words=True)["input_ids"]
        assert listed == subwords(kind, "source", Sentence(sentence.words))


@pytest.mark.parametrize("kind", tokenizer_kinds.KINDS)
def test_with_single_spacing_any_white_space_is_one_space(kind: str, tmp_path: Path) -> None:
    """A model that was trained on words joined by spaces reads tabs, line ends and several spaces as one space."""
    tokenizer = exported(kind, "single", tmp_path)
    for text in ORDINARY:
        words = split(text).words
        expected = subwords(kind, "single", Sentence(words))
        assert tokenizer(" ".join(words))["input_ids"] == expected
        spread = " \t ".join(words)
        assert tokenizer(f" \n{spread}\u3000 ")["input_ids"] == expected
        assert tokenizer(words, is_split_into_words=True)["input_ids"] == expected


@pytest.mark.parametrize("kind", BYTE_LEVEL)
def test_offsets_leave_out_the_space_before_a_word(kind: str, tmp_path: Path) -> None:
    """The offsets of subwords cover words only, so that those of entities begin at their first character."""
    tokenizer = exported(kind, "source", tmp_path)
    for text in ORDINARY:
        offsets = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        assert not [text[start:end] for start, end in offsets if text[start:end] != text[start:end].strip()]
        assert {start for start, _ in split(text).offsets or []} <= {start for start, _ in offsets}
