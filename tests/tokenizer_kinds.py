"""Small tokenizers built like those of well-known families, trained on a few sentences."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

SENTENCES = (
    "The soup was awful, but Kent's bread (fresh, warm) cost only 3.50 dollars in 2024!",
    "Anna Kovacs and Peter Smith met in Zurich on Monday; nobody called the goat cheese plain.",
    "The torque wrench of 12 mm was not in the box, so the committee asked the mechanic for 25 more.",
    "Please send the report of the meeting to the office in Berlin, and don't forget the map.",
)
_LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
_QWEN = _LLAMA3.replace("{1,3}", "")


def _template(before: str = "", after: str = "") -> Callable[[Tokenizer], Any]:
    """A post-processor that puts special tokens around a text."""

    def make(backend: Tokenizer) -> Any:
        names = [name for name in (before, after) if name]
        return processors.TemplateProcessing(
            single=" ".join(part for part in (before, "$A", after) if part),
            special_tokens=[(name, backend.token_to_id(name)) for name in names],
        )

    return make


def _byte_level(
    pre_tokenizer: Any, special: list[str], post: Callable[[Tokenizer], Any], normalizer: Any = None
) -> Tokenizer:
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizer
    if normalizer is not None:
        backend.normalizer = normalizer
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=460, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator([f" {sentence}" for sentence in SENTENCES * 4], trainer)
    backend.post_processor = post(backend)
    return backend


def _split(pattern: str) -> Any:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _pieces(
    special: list[str], post: Callable[[Tokenizer], Any], normalizer: Any, pre_tokenizer: Any
) -> Tokenizer:
    """A BPE of SentencePiece's kind: spaces are ▁, unknown characters are bytes."""
    fallback = [f"<0x{number:02X}>" for number in range(256)]
    backend = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    training = normalizers.Replace(" ", "▁")
    backend.normalizer = training
    trainer = trainers.BpeTrainer(vocab_size=640, special_tokens=[*special, *fallback], show_progress=False)
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"▁?[^▁\w]+|▁?\w+"), "isolated")
    backend.train_from_iterator([f" {sentence}" for sentence in SENTENCES * 4], trainer)
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre_tokenizer
    backend.post_processor = post(backend)
    return backend


def _word_piece(lowercase: bool) -> Tokenizer:
    backend = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    backend.normalizer = normalizers.BertNormalizer(lowercase=lowercase)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    backend.train_from_iterator(SENTENCES * 4, trainer)
    backend.post_processor = _template("[CLS]", "[SEP]")(backend)
    return backend


def _unigram(
    special: list[str], unknown: str, post: Callable[[Tokenizer], Any], normalizer: Any, pre: Any
) -> Tokenizer:
    words = sorted({f"▁{word}" for sentence in SENTENCES for word in re.findall(r"[A-Za-z]+", sentence)})
    parts = sorted({"▁", *(word[1:5] for word in words), *"".join(SENTENCES)} - {" "})
    pieces = [
        *((name, 0.0) for name in special),
        *((word, -6.0) for word in words),
        *((part, -9.0) for part in parts),
    ]
    backend = Tokenizer(models.Unigram(pieces, special.index(unknown)))
    backend.add_special_tokens(special)
    backend.normalizer = normalizer
    backend.pre_tokenizer = pre
    backend.post_processor = post(backend)
    return backend


def _gpt2() -> Tokenizer:
    end = ["<|endoftext|>"]
    return _byte_level(
        pre_tokenizers.ByteLevel(add_prefix_space=False),
        end,
        lambda _: processors.ByteLevel(trim_offsets=False),
    )


def _roberta() -> Tokenizer:
    def post(backend: Tokenizer) -> Any:
        first, last = (str(name) for name in ("<s>", "</s>"))
        ends = [(name, backend.token_to_id(name)) for name in (last, first)]
        return processors.RobertaProcessing(*ends, trim_offsets=True, add_prefix_space=False)

    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    return _byte_level(pre_tokenizers.ByteLevel(add_prefix_space=False), special, post)


def _llama3() -> Tokenizer:
    def post(backend: Tokenizer) -> Any:
        return processors.Sequence([processors.ByteLevel(trim_offsets=True), _template("<|begin|>")(backend)])

    return _byte_level(_split(_LLAMA3), ["<|begin|>", "<|end|>"], post)


def _qwen() -> Tokenizer:
    def post(_: Tokenizer) -> Any:
        return processors.ByteLevel(trim_offsets=False)

    return _byte_level(_split(_QWEN), ["<|endoftext|>", "<|im_start|>"], post, normalizers.NFC())


def _smollm() -> Tokenizer:
    pre = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    return _byte_level(pre, ["<|endoftext|>"], lambda _: None)


def _llama2() -> Tokenizer:
    normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    return _pieces(["<unk>", "<s>", "</s>"], _template("<s>"), normalizer, None)


def _mistral() -> Tokenizer:
    pre = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return _pieces(["<unk>", "<s>", "</s>"], _template("<s>"), None, pre)


def _gemma() -> Tokenizer:
    pre = pre_tokenizers.Split(" ", "merged_with_previous")
    special = ["<pad>", "<eos>", "<bos>", "<unk>"]
    return _pieces(special, _template("<bos>"), normalizers.Replace(" ", "▁"), pre)


def _xlm_roberta() -> Tokenizer:
    normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")])
    pre = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()])
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    return _unigram(special, "<unk>", _template("<s>", "</s>"), normalizer, pre)


def _deberta() -> Tokenizer:
    normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Strip()])
    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    return _unigram(special, "[UNK]", _template("[CLS]", "[SEP]"), normalizer, pre_tokenizers.Metaspace())


_BUILDERS: dict[str, tuple[Callable[[], Tokenizer], dict[str, str]]] = {
    "gpt2": (_gpt2, {}),
    "roberta": (
        _roberta,
        {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>"},
    ),
    "llama3": (_llama3, {"bos_token": "<|begin|>", "eos_token": "<|end|>"}),
    "qwen": (_qwen, {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}),
    "smollm": (_smollm, {"unk_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}),
    "llama2": (_llama2, {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}),
    "mistral": (_mistral, {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}),
    "gemma": (
        _gemma,
        {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<bos>", "eos_token": "<eos>"},
    ),
    "bert": (lambda: _word_piece(True), {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]"}),
    "bert-cased": (
        lambda: _word_piece(False),
        {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]"},
    ),
    "xlm-roberta": (_xlm_roberta, {"unk_token": "<unk>", "pad_token": "<pad>", "bos_token": "<s>"}),
    "deberta": (_deberta, {"unk_token": "[UNK]", "pad_token": "[PAD]", "cls_token": "[CLS]"}),
}
KINDS = tuple(_BUILDERS)


def build(kind: str) -> Any:
    """A tokenizer of transformers of one of `KINDS`."""
    from transformers import PreTrainedTokenizerFast

    make, roles = _BUILDERS[kind]
    return PreTrainedTokenizerFast(tokenizer_object=make(), **roles)
