"""The audit of the data of a spec: counts, comparisons and warnings, without a model."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing

import tiny
from sltk.components.backbones import Decoder, local_tokenizer
from sltk.data.datasets import Dataset
from sltk.data.sentence_stream import CHUNK_SIZE
from sltk.errors import ModelError
from sltk.families.position_limit import position_limit
from sltk.preview.audit import Audit, audit, repetition
from sltk.preview.audit.counts import Distribution, SplitCounter
from sltk.preview.audit.repetition import (
    SentenceIndex,
    noise_between,
    noise_within,
    selected,
    shared_with,
)
from sltk.schemes.detection import TagReading
from sltk.spec import loading
from sltk.subwords.tokenization import SubwordEncoder
from sltk.types import Sentence

BARE = {"config": None, "tokenizer": None, "unmask": "all"}

TRAIN = """\
-DOCSTART- O

Ines B-PER
walked O

Ines B-PER
walked O

Brannock B-LOC
sleeps O
"""
TEST = """\
Ines O
walked O

Ines B-PER
walked O

Lund B-LOC
sleeps O

Lund B-ORG
sleeps O
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "train.conll").write_text(TRAIN)
    (tmp_path / "test.conll").write_text(TEST)
    return tmp_path


def audited(folder: Path, backbone: dict[str, Any] | None = None, **changes: Any) -> Audit:
    """The audit of train.conll and test.conll, with a tokenizer trained on them."""
    readers = {
        split: {"type": "conll", "path": str(folder / f"{split}.conll")} for split in ("train", "test")
    }
    shape = {**tiny.LLAMA, "max_position_embeddings": 8}
    return audit(
        loading.load(
            tiny.spec(data=readers, backbone=tiny.backbone(**(backbone or {"config": shape})), **changes)
        )
    )


def test_each_split_is_counted(folder: Path) -> None:
    """The audit has sentences, words, documents, spans by type, scheme and lengths of the file."""
    counts = audited(folder).splits["train"]
    assert (counts.sentences, counts.words, counts.documents, counts.scheme) == (3, 6, 1, "IOB2")
    assert counts.types == {"LOC": 1, "PER": 2}
    assert counts.words_per_sentence == Distribution(2.0, 2, 2, 2, 2)


def test_percentiles_are_lengths_that_occur() -> None:
    """For the lengths 1 to 200 the median is 100 and the 99th percentile 198."""
    lengths = Distribution.of(list(range(200, 0, -1)))
    assert (lengths.mean, lengths.median, lengths.p95, lengths.p99, lengths.longest) == (
        100.5,
        100,
        190,
        198,
        200,
    )


def test_repeated_and_shared_sentences_are_counted(folder: Path) -> None:
    """A second occurrence counts as repeated; test sentences that occur in train are listed with their places."""
    result = audited(folder)
    assert {name: split.duplicates for name, split in result.splits.items()} == {"train": 1, "test": 2}
    (overlap,) = result.between.overlaps
    assert (overlap.split, overlap.other, overlap.sentences, overlap.share) == ("test", "train", 2, 0.5)
    assert overlap.places[0] == f"{folder}/test.conll:1: Ines walked"


def test_the_same_words_with_different_tags_are_noise(folder: Path) -> None:
    """Within a split and between splits; each variant has its tags, its count and its first place."""
    result = audited(folder)
    assert result.splits["train"].noise == []
    within = result.splits["test"].noise
    assert [noise.words for noise in within] == [("Ines", "walked"), ("Lund", "sleeps")]
    variants = [(each.tags, each.count, each.place) for each in within[1].variants]
    file = f"{folder}/test.conll"
    assert variants == [(("B-LOC", "O"), 1, f"{file}:7"), (("B-ORG", "O"), 1, f"{file}:10")]
    (between,) = result.between.noise
    assert [(each.tags[0], each.count) for each in between.variants] == [("B-PER", 3), ("O", 1)]


def test_types_that_occur_in_one_split_only_are_listed(folder: Path) -> None:
    """Types are listed with their counts; those that do not occur in train are a warning."""
    result = audited(folder)
    assert result.between.alone == {"test": {"ORG": 1}}
    messages = [warning.message for warning in result.warnings]
    assert "types that do not occur in train, so the model cannot learn them: ORG" in messages


def test_types_that_look_alike_are_listed(folder: Path) -> None:
    """In one split or in several; the characters that nobody sees are shown by their code."""
    (folder / "train.conll").write_text("Ines B-PER\n\nLund B-Per\n\nEve B-a\u00a0b\n", encoding="utf-8")
    (folder / "test.conll").write_text("Ines B-per\n\nEve B-Ab\n", encoding="utf-8")
    (finding,) = (each for each in audited(folder).warnings if "differ only in case" in each.message)
    assert finding.notes == ("`PER` (1), `Per` (1), `per` (1)",)
    (folder / "test.conll").write_text("Ines B-A\u00a0b\n", encoding="utf-8")
    (finding,) = (each for each in audited(folder).warnings if "differ only in case" in each.message)
    assert finding.notes[1] == "`a<U+00A0>b` (1), `A<U+00A0>b` (1)"
    (folder / "test.conll").write_text("Ines B-\u0420ER\n", encoding="utf-8")  # a Cyrillic letter
    (finding,) = (each for each in audited(folder).warnings if "differ only in case" in each.message)
    assert finding.notes[0] == "`PER` (1), `Per` (1), `<U+0420>ER` (1)"


def test_invisible_characters_are_a_warning(folder: Path) -> None:
    """A tag with an invisible tail is counted with file and line, so `--strict` fails."""
    (folder / "train.conll").write_text("Ines B-PER\u200b\n\nLund B-PER\n", encoding="utf-8")
    result = audited(folder)
    assert result.splits["train"].types == {"PER": 2}
    (finding,) = (each for each in result.warnings if "left out or changed" in each.message)
    assert finding.notes[0].startswith(f"{folder}/train.conll:1: `B-PER` is written with U+200B")


def test_spans_that_a_flat_head_leaves_out_name_the_heads_that_find_them(folder: Path) -> None:
    """The warning counts the spans inside others, and names `span` and `layered`."""
    (folder / "train.conll").write_text("Lund B-ORG|B-LOC\nBank I-ORG\n\nInes B-PER\n")
    (finding,) = (each for each in audited(folder).warnings if "left out or changed" in each.message)
    assert finding.path == "data.train"
    assert finding.notes[1].startswith(
        "1 spans left out because they overlap others: `head: {type: span}` and `{type: layered}`"
    )


def test_the_limit_comes_from_the_model_or_from_the_spec(folder: Path) -> None:
    """The limit is `max_position_embeddings` of the config, unless `max_length` is set."""
    counts = audited(folder).subwords["train"]
    assert counts.limit == 8
    assert counts.per_word == counts.subwords / 6
    assert audited(folder, max_length=5).subwords["train"].limit == 5


def test_sentences_over_the_limit_are_counted(folder: Path) -> None:
    """Long sentences are a warning only with `on_overflow: error`, because windows read them completely."""
    (folder / "test.conll").write_text("Brannock B-LOC\n" * 12 + "\nInes B-PER\n")
    windowed = audited(folder)
    assert windowed.subwords["test"].over_limit_share == 0.5
    assert not [each for each in windowed.warnings if "longer than" in each.message]
    strict = audited(folder, on_overflow="error").warnings
    result = {warning.path: warning.message for warning in strict if "longer than" in warning.message}
    assert result["data.test"] == "sentences longer than 8 subwords: 1"


def test_words_with_unknown_parts_are_counted(folder: Path) -> None:
    """Words with an unknown token and words without any token are counted."""
    where = folder / "bert"
    where.mkdir()
    vocabulary = ["[UNK]", "[CLS]", "[SEP]", "ines", "walked", "brannock", "sleeps", "lund"]
    whole = Tokenizer(WordPiece({token: n for n, token in enumerate(vocabulary)}, unk_token="[UNK]"))
    whole.normalizer, whole.pre_tokenizer = BertNormalizer(), BertPreTokenizer()
    whole.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    whole.save(str(where / "tokenizer.json"))
    (where / "tokenizer_config.json").write_text('{"unk_token": {"content": "[UNK]"}}')
    (where / "config.json").write_text('{"model_type": "bert", "max_position_embeddings": 4}')
    (folder / "test.conll").write_text("Ines B-PER\nwalked-猫 O\n\u200b O\nLund O\n")
    result = audited(folder, backbone={"type": "encoder", "init": "pretrained", "name": str(where), **BARE})
    assert result.subwords["train"].unknown_words == 0
    counts = result.subwords["test"]
    file = f"{folder}/test.conll:1"
    assert counts.unknown_places == [f"{file}: word 2, 'walked-猫'", f"{file}: word 3, '\\u200b'"]
    assert (counts.per_sentence.longest, counts.subwords, counts.cut_words) == (8, 6, 1)


def test_the_tokenizer_of_a_directory_equals_that_of_transformers(folder: Path) -> None:
    """Read from tokenizer.json only, it gives the ids that training uses."""
    from transformers import AutoTokenizer

    where = tiny.save_base(folder / "base")
    local = local_tokenizer.find(Decoder(name=str(where)), [])
    assert local is not None
    sentences = [Sentence(["the", "soup", "was", "awful", ",", "Tomás", "!"]), Sentence(["\u200b", "menu"])]
    whole = SubwordEncoder(AutoTokenizer.from_pretrained(where))
    assert SubwordEncoder(local).encode(sentences) == whole.encode(sentences)


def test_the_tokenizers_of_real_models_equal_those_of_transformers(models: Path) -> None:
    """Published WordPiece and byte-level BPE tokenizers give the same tokens, special and unknown ones included."""
    from transformers import AutoTokenizer

    sentences = [
        Sentence(["The", "soup", "was", "awful", ",", "Tomás", "!", "猫", "ﬁ"]),
        Sentence(["\u200b", "menu", "\x07"]),
    ]
    for name in ("minilm-l6", "smollm2-135m"):
        local = local_tokenizer.find(Decoder(name=str(models / name)), [])
        assert local is not None
        whole = SubwordEncoder(AutoTokenizer.from_pretrained(models / name))
        assert SubwordEncoder(local).encode(sentences) == whole.encode(sentences)
        assert SubwordEncoder(local).unknown == whole.unknown


def test_a_damaged_tokenizer_is_an_error_that_names_it(folder: Path) -> None:
    """A truncated tokenizer.json is an error; a missing one is not."""
    where = tiny.save_base(folder / "base")
    text = (where / "tokenizer.json").read_text()
    (where / "tokenizer.json").write_text(text[: len(text) // 2])
    with pytest.raises(ModelError, match=r"tokenizer\.json` contains no tokenizer"):
        local_tokenizer.find(Decoder(name=str(where)), [])


@pytest.mark.parametrize(
    ("settings", "limit"),
    [
        ({"model_type": "llama", "max_position_embeddings": 64}, 64),
        ({"model_type": "gpt2", "n_positions": 32}, 32),
        ({"model_type": "roberta", "max_position_embeddings": 514, "pad_token_id": 1}, 512),
        ({"model_type": "ibert", "max_position_embeddings": 514}, 512),
        ({"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 0}, 512),
        ({"model_type": "esm", "max_position_embeddings": 66, "pad_token_id": 1}, 64),
        (
            {"model_type": "esm", "max_position_embeddings": 66, "position_embedding_type": "rotary"},
            66,
        ),
        ({"model_type": "modernbert"}, None),
    ],
)
def test_the_limit_follows_from_the_position_embeddings(settings: dict[str, Any], limit: int | None) -> None:
    """RoBERTa and similar models count positions after the padding id."""
    assert position_limit(settings) == limit


def test_the_audit_of_conll_2003(corpora: Path) -> None:
    """The counts are those in docs/reports/corpora.md."""
    readers = {
        split: {"type": "conll", "path": str(corpora / "conll2003" / f"eng.{name}")}
        for split, name in (("train", "train"), ("validation", "testa"), ("test", "testb"))
    }
    backbone = {"type": "decoder", "name": "not/here"}
    result = audit(loading.load(tiny.spec(data=readers, backbone=backbone)))
    assert [split.sentences for split in result.splits.values()] == [14041, 3250, 3453]
    assert [split.documents for split in result.splits.values()] == [946, 216, 231]
    assert [split.repaired for split in result.splits.values()] == [2, 0, 0]
    assert result.subwords == {}


def brute_force(sentences: list[Sentence]) -> tuple[int, set[tuple[str, ...]]]:
    """The number of repeated sentences, and the words that are tagged in more than one way."""
    tags: dict[tuple[str, ...], list[tuple[str, ...]]] = {}
    for each in sentences:
        if each.words:
            tags.setdefault(tuple(each.words), []).append(tuple(each.tags or ()))
    repeated = sum(len(variants) - 1 for variants in tags.values())
    return repeated, {words for words, variants in tags.items() if len(set(variants)) > 1}


SMALL = st.lists(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["O", "B-X"])), max_size=3).map(
        lambda pairs: Sentence([word for word, _ in pairs], [tag for _, tag in pairs], file="f", line=1)
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def small_parts() -> Iterator[None]:
    """Numbers are compared in parts of three."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(repetition, "_PART", 3)
        yield


@pytest.mark.usefixtures("small_parts")
@given(train=SMALL, test=SMALL)
def test_repetition_equals_a_comparison_of_all_sentences(train: list[Sentence], test: list[Sentence]) -> None:
    """Repeated, shared and differently tagged sentences are those that a comparison of all of them finds."""
    splits = [Dataset(sentences, "IOB2", TagReading("IOB2")) for sentences in (train, test)]
    indices = [SentenceIndex(), SentenceIndex()]
    for split, index in zip(splits, indices, strict=True):
        for sentence in split:
            index.add(sentence)
        repeated, noise = brute_force(split.sentences)
        duplicates, numbers = repetition.repetition(index.words, index.tags)
        listed = noise_within(split, index, numbers)
        assert (duplicates, len(numbers), {each.words for each in listed}) == (repeated, len(noise), noise)
    known = {tuple(each.words) for each in train if each.words}
    shared = [each for each in test if tuple(each.words) in known]
    assert list(selected(splits[1], shared_with(indices[1], indices[0]))) == shared
    count, listed = noise_between(splits, indices)
    both = [
        each for each in train + test if tuple(each.words) in known & {tuple(each.words) for each in test}
    ]
    assert {each.words for each in listed} == brute_force(both)[1]
    assert count == len(listed)
    for each in listed:
        assert sum(variant.count for variant in each.variants) == sum(
            tuple(sentence.words) == each.words for sentence in both
        )


def test_only_some_places_are_listed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All findings are counted, and the first of them are listed."""
    monkeypatch.setattr(repetition, "LISTED", 3)
    rows = [f"word{number} {tag}\n\n" for number in range(20) for tag in ("O", "B-X")]
    for name in ("train", "test"):
        (folder / f"{name}.conll").write_text("".join(rows))
    result = audited(folder)
    for split in result.splits.values():
        assert (split.duplicates, split.noise_count, len(split.noise)) == (20, 20, 3)
    assert (result.between.noise_count, len(result.between.noise)) == (20, 3)
    (overlap,) = result.between.overlaps
    assert (overlap.sentences, len(overlap.places)) == (40, 3)
    assert [each.words[0] for each in result.between.noise] == ["word0", "word1", "word2"]


def test_splits_are_not_held(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a few sentences are in memory at a time, unless `holdout` divides the training data."""
    for name in ("train", "test"):
        (folder / f"{name}.conll").write_text("Ines B-PER\nwalked O\n\n" * 40 * CHUNK_SIZE)
    numbers = []
    add = SplitCounter.add

    def in_memory() -> int:
        gc.collect()
        return sum(isinstance(each, Sentence) for each in gc.get_objects())

    def watched(self: SplitCounter, sentence: Sentence, is_plain: bool) -> None:
        if sentence.line and sentence.line % (30 * CHUNK_SIZE) == 1:
            numbers.append(in_memory())
        add(self, sentence, is_plain)

    before = in_memory()
    monkeypatch.setattr(SplitCounter, "add", watched)
    assert audited(folder).splits["test"].duplicates == 40 * CHUNK_SIZE - 1
    assert len(numbers) == 8
    assert max(numbers) - before <= 8 * CHUNK_SIZE
