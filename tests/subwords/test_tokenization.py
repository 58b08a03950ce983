"""Words to subwords, with tokenizers of all kinds, trained here on a few sentences."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from itertools import accumulate, pairwise
from random import Random
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from sltk.errors import DataError, SpecError
from sltk.subwords import word_tokenizer
from sltk.subwords.tokenization import Encoding, SubwordEncoder
from sltk.types import Sentence

TEXT = [
    "The little harbour town of Brannock sleeps under a grey sky, and nobody minds.",
    "Ines and Tomás walked to the harbour; the boats were already out on the water.",
    "A grey cat sleeps on the warm stones. Nobody walked past it, not even Tomás!",
    "Über den Dächern der Stadt flogen 17 Möwen, und Ines zählte sie laut.",
    "猫は石の上で眠る。 the cat sleeps, the boats sleep, the town sleeps",
] * 3


def byte_level(add_prefix_space: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<pad>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    return tokenizer


def llama2() -> Tokenizer:
    """▁ at the start and for every space, bytes for unknown characters, and a BOS."""
    learning = Tokenizer(models.BPE(unk_token="<unk>"))
    learning.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    learning.pre_tokenizer = pre_tokenizers.Split(Regex("▁"), "merged_with_next")
    learning.train_from_iterator(
        TEXT,
        trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>", "<s>", "</s>"], show_progress=False),
    )
    learnt = json.loads(learning.to_str())["model"]
    vocabulary: dict[str, int] = learnt["vocab"]
    for byte in range(256):
        vocabulary[f"<0x{byte:02X}>"] = len(vocabulary)
    merges = [tuple(merge) for merge in learnt["merges"]]
    tokenizer = Tokenizer(
        models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    )
    tokenizer.normalizer = learning.normalizer
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", vocabulary["<s>"])]
    )
    return tokenizer


def metaspace_bpe() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.train_from_iterator(
        TEXT, trainers.BpeTrainer(vocab_size=300, special_tokens=["<unk>"], show_progress=False)
    )
    return tokenizer


def xlm_roberta() -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Replace(Regex(" {2,}"), " ")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    special = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer.train_from_iterator(
        TEXT,
        trainers.UnigramTrainer(
            vocab_size=200, special_tokens=special, unk_token="<unk>", show_progress=False
        ),
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def wordpiece(**normalization: bool) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(**normalization)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    tokenizer.train_from_iterator(
        TEXT, trainers.WordPieceTrainer(vocab_size=250, special_tokens=special, show_progress=False)
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer


LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
"""The pattern with which Llama-3 and Qwen split text before merging bytes."""


def llama3(normalizer: Any = None) -> Tokenizer:
    """A pattern, then bytes, and a BOS; Qwen normalizes its text to NFC first and has no BOS."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(LLAMA3), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    special = ["<|begin_of_text|>", "<|end_of_text|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXT, trainer)
    tail = processors.ByteLevel(trim_offsets=False)
    if normalizer is None:
        template = processors.TemplateProcessing(
            single="<|begin_of_text|> $A", special_tokens=[("<|begin_of_text|>", 0)]
        )
        tail = processors.Sequence([tail, template])
    else:
        tokenizer.normalizer = normalizer
    tokenizer.post_processor = tail
    return tokenizer


def roberta() -> Tokenizer:
    """GPT-2's bytes between <s> and </s>; offsets exclude the space."""
    tokenizer = byte_level(True)
    tokenizer.add_special_tokens(["<s>", "</s>"])
    ids = [tokenizer.token_to_id(token) for token in ("</s>", "<s>")]
    tokenizer.post_processor = processors.RobertaProcessing(
        ("</s>", ids[0]), ("<s>", ids[1]), trim_offsets=True, add_prefix_space=True
    )
    return tokenizer


def gemma() -> Tokenizer:
    """▁ for every space but not at the start, merges over the whole text, bytes as a fallback, and a BOS."""
    learnt = json.loads(llama2().to_str())["model"]
    merges = [tuple(merge) for merge in learnt["merges"]]
    model = models.BPE(learnt["vocab"], merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", learnt["vocab"]["<s>"])]
    )
    return tokenizer


def mistral() -> Tokenizer:
    """▁ from the pre-tokenizer, also before the first word, no split at spaces; BOS and EOS."""
    tokenizer = metaspace_bpe()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    tokenizer.add_special_tokens(["<s>", "</s>"])
    ids = {token: tokenizer.token_to_id(token) for token in ("<s>", "</s>")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=list(ids.items())
    )
    return tokenizer


def albert() -> Tokenizer:
    """Unigram on lowercased text without accents, with ▁ only after a space."""
    tokenizer = xlm_roberta()
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never")
    return tokenizer


def modern_bert() -> Tokenizer:
    """GPT-2's bytes of NFC-normalized text between [CLS] and [SEP]."""
    tokenizer = byte_level(False)
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    ids = {token: tokenizer.token_to_id(token) for token in ("[CLS]", "[SEP]")}
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=list(ids.items())
    )
    return tokenizer


class Kind(NamedTuple):
    """A tokenizer to train, its special tokens, and how many of them are before and after a text."""

    make: Callable[[], Tokenizer]
    roles: dict[str, str]
    before: int = 0
    after: int = 0


BERT = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
KINDS: dict[str, Kind] = {
    "byte-level": Kind(lambda: byte_level(False), {"pad_token": "<pad>"}),
    "byte-level, prefix space": Kind(lambda: byte_level(True), {"eos_token": "</s>"}),
    "roberta": Kind(roberta, {"pad_token": "<pad>"}, 1, 1),
    "llama3": Kind(llama3, {"eos_token": "<|end_of_text|>"}, 1),
    "qwen": Kind(lambda: llama3(normalizers.NFC()), {"eos_token": "<|end_of_text|>"}),
    "modern bert": Kind(modern_bert, {"pad_token": "<pad>"}, 1, 1),
    "llama2": Kind(llama2, {"unk_token": "<unk>", "bos_token": "<s>"}, 1),
    "gemma": Kind(gemma, {"unk_token": "<unk>", "bos_token": "<s>"}, 1),
    "metaspace bpe": Kind(metaspace_bpe, {"unk_token": "<unk>"}),
    "mistral": Kind(mistral, {"unk_token": "<unk>"}, 1, 1),
    "xlm-roberta": Kind(xlm_roberta, {"unk_token": "<unk>", "pad_token": "<pad>"}, 1, 1),
    "albert": Kind(albert, {"unk_token": "<unk>", "pad_token": "<pad>"}, 1, 1),
    "bert cased": Kind(lambda: wordpiece(lowercase=False), BERT, 1, 1),
    "bert uncased": Kind(lambda: wordpiece(lowercase=True), BERT, 1, 1),
    "bert cased without accents": Kind(lambda: wordpiece(lowercase=False, strip_accents=True), BERT, 1, 1),
    "bert uncased with accents": Kind(lambda: wordpiece(lowercase=True, strip_accents=False), BERT, 1, 1),
    "bert, Chinese not cut": Kind(
        lambda: wordpiece(lowercase=True, handle_chinese_chars=False, clean_text=False), BERT, 1, 1
    ),
}
EVERY = pytest.mark.parametrize("kind", KINDS)


@functools.cache
def tokenizer(kind: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(tokenizer_object=KINDS[kind].make(), **KINDS[kind].roles)


@functools.cache
def special_ids(kind: str) -> tuple[list[int], list[int]]:
    """The special tokens before and after a text."""
    ids = tokenizer(kind)("a")["input_ids"]
    return ids[: KINDS[kind].before], ids[len(ids) - KINDS[kind].after :]


def encoder(kind: str, **settings: Any) -> SubwordEncoder:
    return SubwordEncoder(tokenizer(kind), **settings)


def pieces(encoding: Encoding) -> list[list[int]]:
    """The ids of each word of an encoding of one window."""
    (window,) = encoding.windows
    return [window.ids[first : last + 1] for first, last in zip(window.first, window.last, strict=True)]


def check(encoding: Encoding, words: int, kind: str, max_length: int | None = None) -> None:
    """Check that every word appears once, in order, with its own pieces, and special tokens only at the ends."""
    assert encoding.words == words
    assert sum(len(window.first) for window in encoding.windows) == words
    before, after = special_ids(kind)
    for window in encoding.windows:
        assert max_length is None or len(window.ids) <= max_length
        assert window.ids[: len(before)] == before
        assert window.ids[len(window.ids) - len(after) :] == after
        inner = window.ids[len(before) : len(window.ids) - len(after)]
        assert not {*before, *after} & set(inner)
        assert all(first <= last for first, last in zip(window.first, window.last, strict=True))
        assert all(last < first for last, first in zip(window.last, window.first[1:]))  # noqa: B905
        assert not window.first or (
            window.first[0] >= len(before) and window.last[-1] < len(window.ids) - len(after)
        )


STRANGE = [
    "", " ", "\t\n", "\u200b", "\u200d", "\ufeff", "\ufe0f",
    "\x00", "\x07", "\u00a0", "\u3000", "\u0301", "e\u0301", "👩\u200d👩\u200d👧",
    "🇩🇪", "❤\ufe0f",
    "猫猫", "مرحبا", "Ünïcödé", "ﬁ", "①", "½", "\u202e", "\ud800",
    "</s>", "<s>", "[SEP]", "<0x41>", "▁", "Ġ", "##s", "a b", " a", "a ", "\U000e0001",
]  # fmt: skip
WORD = st.one_of(st.sampled_from(STRANGE), st.sampled_from(" ".join(TEXT[:5]).split()), st.text(max_size=5))


@EVERY
@settings(max_examples=150)
@given(words=st.lists(WORD, max_size=9))
@example(words=STRANGE)
@example(words=[" ", "a", " ", " ", "b", ""])
def test_any_words_get_their_own_pieces_in_order(kind: str, words: list[str]) -> None:
    """Any word has at least one piece, and no piece belongs to two words."""
    (encoding,) = encoder(kind).encode([Sentence(words)])
    check(encoding, len(words), kind)


@EVERY
@settings(max_examples=100)
@given(text=st.one_of(st.text(max_size=30), st.lists(WORD, max_size=6).map("".join)), data=st.data())
def test_any_words_of_any_text_get_their_own_pieces(kind: str, text: str, data: st.DataObject) -> None:
    """With `source` spacing, words may touch, be parts of a token, or have text between them."""
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    offsets = [(start, end) for start, end in pairwise(cuts) if data.draw(st.booleans())]
    sentence = Sentence([text[start:end] for start, end in offsets], text=text, offsets=offsets)
    (encoding,) = encoder(kind, spacing="source").encode([sentence])
    check(encoding, len(offsets), kind)


@EVERY
@settings(max_examples=60)
@given(words=st.lists(WORD, min_size=1, max_size=25), size=st.integers(6, 14))
def test_windows_label_every_word_once_and_are_never_too_long(kind: str, words: list[str], size: int) -> None:
    """In sentences of any length, each word is labelled by one window, in order, and cut words are counted."""
    (whole,) = encoder(kind).encode([Sentence(words)])
    (encoding,) = encoder(kind, max_length=size).encode([Sentence(words)])
    check(encoding, len(words), kind, size)
    room = size - KINDS[kind].before - KINDS[kind].after
    cut = sum(len(own) > room for own in pieces(whole))
    assert encoding.cut_words == cut


WITHOUT_PREFIX = {"byte-level", "llama3", "qwen", "modern bert", "gemma", "albert"}
"""Kinds for which a word at the start of a text has other tokens than after a space."""


@EVERY
def test_plain_words_have_the_tokens_of_the_joined_text(kind: str) -> None:
    """The model reads the tokens of the joined text, except for a leading space."""
    for text in TEXT[:5]:
        words = text.split(" ")
        (encoding,) = encoder(kind).encode([Sentence(words)])
        (window,) = encoding.windows
        lead = " " if kind in WITHOUT_PREFIX else ""
        assert window.ids == tokenizer(kind)(lead + text)["input_ids"]


@EVERY
def test_a_word_has_the_same_tokens_in_any_position(kind: str) -> None:
    """The first word of a sentence is tokenized like one in the middle, after a space."""
    first, middle = encoder(kind).encode([Sentence(["harbour", "town"]), Sentence(["town", "harbour"])])
    assert pieces(first)[0] == pieces(middle)[1]


def test_accents_and_case_do_not_shift_words_of_an_uncased_tokenizer() -> None:
    """Offsets refer to the text before normalization."""
    (encoding,) = encoder("bert uncased").encode([Sentence(["TOMÁS", "walked", "über", "猫は"])])
    ids = pieces(encoding)
    plain = encoder("bert uncased").encode([Sentence(["tomas", "walked", "uber", "猫", "は"])])[0]
    assert [*ids[:3], ids[3]] == [*pieces(plain)[:3], pieces(plain)[3] + pieces(plain)[4]]


@EVERY
def test_encoding_sentences_together_is_encoding_them_one_by_one(kind: str) -> None:
    """A batch keeps the order and does not mix sentences; empty sentences have no words."""
    sentences = [Sentence(text.split()) for text in TEXT[:5]] + [Sentence([]), Sentence(["a"])]
    together = encoder(kind).encode(sentences)
    assert together == [encoder(kind).encode([sentence])[0] for sentence in sentences]
    assert together[5].words == 0


class Misreporting:
    """A tokenizer with correct tokens, whose offsets are changed by `distort`."""

    is_fast = True
    unk_token_id = property(lambda self: tokenizer(self.kind).unk_token_id)
    pad_token_id = property(lambda self: tokenizer(self.kind).pad_token_id)
    eos_token_id = bos_token_id = None

    def __init__(self, kind: str, distort: Callable[[list[tuple[int, int]]], list[tuple[int, int]]]) -> None:
        self.kind = kind
        self.backend_tokenizer = self
        self._true, self._distort = tokenizer(kind).backend_tokenizer, distort

    def __getattr__(self, name: str) -> Any:
        return getattr(self._true, name)

    def encode_batch(self, texts: list[str], add_special_tokens: bool) -> list[Any]:
        result = self._true.encode_batch(texts, add_special_tokens=add_special_tokens)
        return [SimpleNamespace(ids=each.ids, offsets=self._distort(each.offsets)) for each in result]


DISTORTIONS: dict[str, Callable[[list[tuple[int, int]]], list[tuple[int, int]]]] = {
    "all empty": lambda offsets: [(0, 0) for _ in offsets],
    "all of the first word": lambda offsets: [(0, 1) for _ in offsets],
    "all of everything": lambda offsets: [(0, offsets[-1][1]) for _ in offsets],
    "beyond the text": lambda offsets: [(start + 10**6, end + 10**6) for start, end in offsets],
    "backwards": lambda offsets: offsets[::-1],
    "end before start": lambda offsets: [(end, start) for start, end in offsets],
    "negative": lambda offsets: [(start - 50, end - 50) for start, end in offsets],
}


@pytest.mark.parametrize("name", DISTORTIONS)
@pytest.mark.parametrize("kind", ["byte-level", "llama2", "bert cased"])
def test_invalid_offsets_are_not_used(kind: str, name: str) -> None:
    """Each word is then tokenized by itself, and gets the same subwords as in the text."""
    misreporting = SubwordEncoder(Misreporting(kind, DISTORTIONS[name]))
    sentences = [Sentence(text.split(" ")) for text in TEXT[:4]]
    for sentence, result in zip(sentences, misreporting.encode(sentences), strict=True):
        check(result, len(sentence), kind)
        assert pieces(result) == pieces(encoder(kind).encode([sentence])[0])


@pytest.mark.parametrize("kind", ["byte-level", "xlm-roberta"])
@settings(max_examples=80)
@given(words=st.lists(WORD, max_size=9), data=st.data())
def test_with_any_offsets_each_word_has_its_own_pieces(
    kind: str, words: list[str], data: st.DataObject
) -> None:
    """With any offsets, every word has a piece, and no piece belongs to two words."""
    edge = st.integers(-3, 40)
    drawn = data.draw(st.lists(st.tuples(edge, edge), min_size=1, max_size=30))
    misreporting = Misreporting(kind, lambda offsets: [drawn[n % len(drawn)] for n in range(len(offsets))])
    (encoding,) = SubwordEncoder(misreporting).encode([Sentence(words)])
    check(encoding, len(words), kind)


def test_a_long_sentence_of_broken_words_is_repaired_quickly() -> None:
    """Ten thousand words without a valid offset are repaired in linear time."""
    misreporting = SubwordEncoder(Misreporting("byte-level", DISTORTIONS["all empty"]))
    (encoding,) = misreporting.encode([Sentence(["town"] * 10_000)])
    check(encoding, 10_000, "byte-level")


@EVERY
def test_characters_without_a_width_are_the_unknown_token(kind: str) -> None:
    """If a tokenizer has no token for a word, the model reads the unknown token."""
    subword_encoder = encoder(kind)
    backend = tokenizer(kind).backend_tokenizer
    for word in ("\u200b", "\ufe0f", "\x07", "\u0301", "\u200d"):
        (encoding,) = subword_encoder.encode([Sentence(["the", word, "cat"])])
        bare = backend.encode(f" {word}", add_special_tokens=False).ids
        assert pieces(encoding)[1] != []
        if not bare:
            assert pieces(encoding)[1] == [subword_encoder.unknown]


def test_windows_overlap_so_that_words_have_context_on_both_sides() -> None:
    """Every window except the first and the last contains words around those that it labels."""
    words = ["town"] * 100
    (encoding,) = encoder("bert cased", max_length=22).encode([Sentence(words)])
    inner = encoding.windows[1:-1]
    assert len(inner) > 3
    assert all(window.first[0] - 1 >= 4 and len(window.ids) - 2 - window.last[-1] >= 4 for window in inner)


@pytest.mark.parametrize(("count", "room"), [(100, 20), (37, 9), (20, 20), (21, 20), (64, 7)])
def test_each_word_is_labelled_where_it_is_most_central(count: int, room: int) -> None:
    """Of all windows with a word, the one that labels it has the most context, up to one word."""
    (encoding,) = encoder("bert cased", max_length=room + 2).encode([Sentence(["town"] * count)])
    runs, owner = [], []
    for number, window in enumerate(encoding.windows):
        start = len(owner) - (window.first[0] - 1)
        runs.append((start, start + len(window.ids) - 2))
        owner += [number] * len(window.first)
    assert (runs[0][0], runs[-1][1], len(owner)) == (0, count, count)

    def around(word: int, run: tuple[int, int]) -> int:
        """Words to the nearer edge of the window; the ends of the text do not count as edges."""
        left = count if run[0] == 0 else word - run[0]
        right = count if run[1] == count else run[1] - 1 - word
        return min(left, right)

    for word, own in enumerate(owner):
        others = [around(word, run) for run in runs if run[0] <= word < run[1]]
        assert around(word, runs[own]) >= max(others) - 1


@EVERY
def test_a_window_is_a_part_of_the_whole_sentence(kind: str) -> None:
    """A window is a part of the whole sentence, including the pieces between words."""
    words = " ".join(TEXT[:5]).split()
    before, after = KINDS[kind].before, KINDS[kind].after
    (whole,) = encoder(kind).encode([Sentence(words)])
    (encoding,) = encoder(kind, max_length=24).encode([Sentence(words)])
    assert len(encoding.windows) > 3
    sentence_ids = whole.windows[0].ids
    for window in encoding.windows:
        inner = window.ids[before : len(window.ids) - after]
        assert any(sentence_ids[start : start + len(inner)] == inner for start in range(len(sentence_ids)))


def test_a_word_longer_than_the_model_reads_keeps_its_ends_and_is_counted() -> None:
    """The middle of such a word is removed; its first and last subwords remain."""
    words = ["the", "harbour" * 40, "sleeps"]
    (whole,) = encoder("byte-level").encode([Sentence(words)])
    (encoding,) = encoder("byte-level", max_length=16).encode([Sentence(words)])
    assert encoding.cut_words == 1
    long = pieces(whole)[1]
    result = [w.ids[f : l + 1] for w in encoding.windows for f, l in zip(w.first, w.last, strict=True)][1]  # noqa: E741
    assert (result[0], result[-1], len(result)) == (long[0], long[-1], 16)


def test_with_on_overflow_error_a_long_sentence_is_an_error_with_its_line() -> None:
    """`on_overflow: error` reports file and line, and the alternative."""
    strict = encoder("bert cased", max_length=12, on_overflow="error")
    assert strict.encode([Sentence(["town"] * 10)])[0].words == 10
    with pytest.raises(DataError, match="11 subwords; the model reads 10") as error:
        strict.encode([Sentence(["town"] * 11, file="news.conll", line=7)])
    assert "--> news.conll:7" in str(error.value)
    assert "on_overflow: window" in str(error.value)


def test_a_tokenizer_without_offsets_is_rejected() -> None:
    """A slow tokenizer does not report which subword belongs to which word."""

    class SlowTokenizer:
        is_fast = False

    with pytest.raises(ValueError, match="SlowTokenizer reports no character offsets"):
        SubwordEncoder(SlowTokenizer())


def test_a_limit_that_leaves_no_room_for_words_and_the_special_tokens_is_rejected() -> None:
    """With two special tokens and a limit of two subwords, there is no room for words."""
    with pytest.raises(SpecError, match="no room"):
        encoder("bert cased", max_length=2)


@EVERY
@pytest.mark.parametrize("spacing", ["single", "source"])
def test_a_long_text_has_the_same_tokens_in_parts(
    kind: str, spacing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long texts are tokenized part by part, with the tokens of the whole text."""
    random = Random(0)
    plain = " ".join(TEXT[:5]).split()
    words = [random.choice(STRANGE if random.random() < 0.1 else plain) for _ in range(3000)]
    sentence = Sentence(words)
    if spacing == "source":
        separators = [random.choice([" ", " ", "  ", "", "\n"]) for _ in words]
        ends = list(accumulate(len(word) + len(gap) for word, gap in zip(words, separators, strict=True)))
        offsets = [
            (end - len(w) - len(g), end - len(g)) for w, g, end in zip(words, separators, ends, strict=True)
        ]
        text = "".join(word + gap for word, gap in zip(words, separators, strict=True))
        sentence = Sentence(words, text=text, offsets=offsets)
    (whole,) = encoder(kind, spacing=spacing, max_length=50).encode([sentence])
    monkeypatch.setattr(word_tokenizer, "_PART", 700)
    (parts,) = encoder(kind, spacing=spacing, max_length=50).encode([sentence])
    assert parts == whole
    check(parts, len(words), kind, 50)
