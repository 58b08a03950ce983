"""An ONNX export gives the words, tags, offsets and scores of the model that it comes from, for any text."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sltk
import tiny
import tokenizer_kinds
import untrained
from sltk.components.readers.grammar import GrammarReader
from sltk.models.labeller import Labeller
from sltk.types import Prediction

pytestmark = pytest.mark.usefixtures("onnx_library")

MODELS: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "byte-level BPE, first subword, spans": (
        "smollm",
        {"unmask": "01"},
        {"spacing": "source", "max_length": 24, "head": {"type": "span", "size": 8, "overlap": "none"}},
    ),
    "byte-level BPE, one subword earlier": ("smollm", {"unmask": "10"}, {"aligner": {"shift": -1}}),
    "SentencePiece, last subword, CRF": (
        "llama2",
        {"unmask": "10"},
        {"aligner": {"type": "last_subword"}, "head": {"type": "crf"}, "max_length": 32},
    ),
    "SentencePiece, document context, layers": (
        "mistral",
        {"unmask": "all"},
        {"document_context": 5, "max_length": 40, "head": {"type": "layered", "layers": 2}},
    ),
    "WordPiece, mean, biaffine spans": (
        "bert",
        {"type": "encoder", "config": {**tiny.BERT, "max_position_embeddings": 40}},
        {
            "aligner": {"type": "mean"},
            "spacing": "source",
            "head": {"type": "span", "scorer": "biaffine", "size": 4},
        },
    ),
}
"""Tokenizer, backbone and further keys: each kind of tokenizer, head and granularity of the graph."""
ODD = (
    " ", "  ", "\t", "\n", "\u200b", "\u00a0", "é", "e\u0301", "ﬁ", "猫は石", "😀", "👩\u200d🚀", "<s>", "[CLS]",
    "▁", "\x00", "\x07", "\ud800", "!!!", "Ünïcode", "x" * 60,
)  # fmt: skip
PIECES = [*" ".join(tokenizer_kinds.SENTENCES).split(), *ODD]
TEXT = st.one_of(st.text(max_size=60), st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join))
WORDS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=8)), max_size=40)
INPUTS = st.lists(st.one_of(TEXT, WORDS), min_size=1, max_size=5)


@pytest.fixture(scope="module", params=MODELS)
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model with random weights, and its ONNX export."""
    kind, backbone, changes = MODELS[request.param]
    folder = tmp_path_factory.mktemp("pair")
    tokenizer_kinds.build(kind).save_pretrained(folder / "tokenizer")
    backbone = tiny.backbone(**backbone, tokenizer=str(folder / "tokenizer"))
    model = untrained.save(folder / "model", backbone, **changes)
    sltk.export(model, folder / "onnx", format="onnx")
    return model, folder / "onnx"


@pytest.fixture(scope="module")
def pair(folders: tuple[Path, Path]) -> Callable[[int], list[Labeller]]:
    """Loads both with a number of subwords per batch."""

    @functools.cache
    def load(batch_tokens: int) -> list[Labeller]:
        return [sltk.load(folder, batch_tokens=batch_tokens) for folder in folders]

    return load


def check_equal(ours: Sequence[Prediction], theirs: Sequence[Prediction]) -> None:
    """Check that words, offsets, tags and spans are equal, and scores differ by at most 0.0001."""
    for one, other in zip(ours, theirs, strict=True):
        assert one.sentence == other.sentence
        assert one.scores == pytest.approx(other.scores, abs=1e-4)
        assert one.tags == other.tags
        assert one.spans == other.spans
        spans = zip(one.spans, other.spans, strict=True)
        assert all(left.score == pytest.approx(right.score, abs=1e-4) for left, right in spans)


@settings(max_examples=25)
@given(inputs=INPUTS, batch_tokens=st.sampled_from([1, 60, 4096]))
def test_an_export_labels_any_text_like_its_model(
    pair: Callable[[int], list[Labeller]], inputs: list[str | list[str]], batch_tokens: int
) -> None:
    """Written text and lists of words, in windows and batches of any size."""
    model, export = pair(batch_tokens)
    check_equal(model.predict(inputs), export.predict(inputs))


def test_an_export_reads_documents_like_its_model(pair: Callable[[int], list[Labeller]]) -> None:
    """With `document_context`, a sentence is read with its neighbours; without, documents change nothing."""
    model, export = pair(60)
    words = [sentence.split() for sentence in tokenizer_kinds.SENTENCES * 3]
    sentences = [sltk.Sentence(part, document=str(number // 4)) for number, part in enumerate(words)]
    check_equal(model.predict(sentences), export.predict(sentences))


def test_an_export_is_scored_like_its_model(folders: tuple[Path, Path]) -> None:
    """`evaluate` gives the same scores."""
    reader = GrammarReader(part="test", count=8)
    ours, theirs = (sltk.evaluate(folder, reader=reader).scores for folder in folders)
    assert ours == theirs
    assert ours["words"] > 0
