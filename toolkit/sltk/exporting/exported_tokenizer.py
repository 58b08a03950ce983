"""The tokenizer of an exported model: it reads raw text as sltk does, without sltk.

What sltk does around a tokenizer becomes part of its `tokenizer.json`:

    leading space     a normalizer puts a space before each text, if words at its start have other tokens without one
    single spacing    a normalizer replaces white space by one space, if the model was trained on joined words
    special tokens    `</s>` in a text is ordinary text (`split_special_tokens`)
    offsets           do not cover the space before a word (byte-level tokenizers)

`tokenizer_class` names the generic class: classes of single families build parts of the tokenizer anew when they load
it, without these normalizers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

from ..files import atomic
from ..subwords.plain_tokenizer import PlainTokenizer
from ..subwords.word_tokenizer import WordTokenizer

_ROLES = ("unk_token", "bos_token", "eos_token", "pad_token", "cls_token", "sep_token", "mask_token")
_PADDING_ROLES = ("pad_token", "eos_token", "unk_token", "bos_token")
_SINGLE_SPACES: tuple[dict[str, Any], ...] = (
    {"type": "Replace", "pattern": {"Regex": r"[\s\x1c-\x1f]+"}, "content": " "},
    {"type": "Strip", "strip_left": True, "strip_right": True},
)
_LEADING_SPACE = {"type": "Prepend", "prepend": " "}
_TRIMMED = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}


def save_tokenizer(tokenizer: Any, folder: Path, *, spacing: str, max_length: int | None) -> None:
    """Save a tokenizer for people who use transformers, so that it reads text as sltk does.

    Args:
        tokenizer: the tokenizer of the model, of transformers.
        folder: where `tokenizer.json` and `tokenizer_config.json` are written.
        spacing: the spacing of the model: `single` or `source`.
        max_length: maximum number of subwords of a text; longer texts are cut there.
    """
    lead = WordTokenizer(PlainTokenizer.of(tokenizer)).lead
    special = {role: token for role in _ROLES if (token := getattr(tokenizer, role, None)) is not None}
    padding = next((special[role] for role in _PADDING_ROLES if role in special), None)
    exported = PreTrainedTokenizerFast(
        tokenizer_object=_adapted(tokenizer.backend_tokenizer, lead, spacing),
        **(special if padding is None else {**special, "pad_token": padding}),
        **({} if max_length is None else {"model_max_length": max_length}),
        padding_side="right",
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
        split_special_tokens=True,
    )
    exported.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    # The name that transformers 4 and 5 know.
    atomic.write_json(path, {**values, "tokenizer_class": "PreTrainedTokenizerFast"})


def blank_subword(tokenizer: Any) -> str | None:
    """The subword that stands for a space alone, if its offsets can be those of the first word.

    That is so if sltk puts a space before a text and the offsets of a tokenizer cover spaces (SentencePiece).
    """
    plain = PlainTokenizer.of(tokenizer)
    if not WordTokenizer(plain).lead or _is_byte_level(json.loads(plain.backend.to_str())):
        return None
    tokens = plain.backend.encode(" ", add_special_tokens=False).tokens
    return str(tokens[0]) if len(tokens) == 1 else None


def _is_byte_level(parts: dict[str, Any]) -> bool:
    return any(part["type"] == "ByteLevel" for part in _each(parts["pre_tokenizer"]))


def _adapted(backend: Any, lead: str, spacing: str) -> Any:
    """A copy of a `tokenizers.Tokenizer` that does by itself what sltk does around it."""
    parts = json.loads(backend.to_str())
    parts["truncation"] = parts["padding"] = None
    before = [*(_SINGLE_SPACES if spacing == "single" else ()), *((_LEADING_SPACE,) if lead else ())]
    if before:
        own = parts["normalizer"]
        parts["normalizer"] = {"type": "Sequence", "normalizers": [*before, *([own] if own else [])]}
    for part in _each(parts["pre_tokenizer"]):
        if spacing == "single" and part.get("prepend_scheme") == "first":
            part["prepend_scheme"] = "always"  # `first` means offset 0, where the text may have a space
    if _is_byte_level(parts):
        parts["post_processor"] = _trimming(parts["post_processor"])
    return Tokenizer.from_str(json.dumps(parts))


def _each(part: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
    """A part of a tokenizer, or the parts of a sequence of them."""
    if part is not None and part["type"] == "Sequence":
        for inner in part.get("pretokenizers") or part.get("processors") or ():
            yield from _each(inner)
    elif part is not None:
        yield part


def _trimming(processor: dict[str, Any] | None) -> dict[str, Any]:
    """A post-processor that leaves the space before a word out of the offsets of its first token."""
    if processor is not None and processor["type"] == "RobertaProcessing":
        return {**processor, "trim_offsets": True, "add_prefix_space": True}
    others = [part for part in _each(processor) if part["type"] != "ByteLevel"]
    return {"type": "Sequence", "processors": [_TRIMMED, *others]} if others else _TRIMMED
