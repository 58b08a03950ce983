"""The quickstart's claim: with the causal mask on, polarity that is decided to the right cannot be known."""

from __future__ import annotations

import pytest

import sltk
from repository import ROOT
from sltk.spec import loading

SPEC = ROOT / "experiments" / "quickstart.yaml"


def sentences_with_terms(part: str) -> set[tuple[str, ...]]:
    """The words of every sentence of a part of the quickstart's data that has a term."""
    reader = getattr(loading.load(SPEC).experiment.data, part)
    return {tuple(sentence.words) for sentence in reader.read() if set(sentence.tags or ()) != {"O"}}


def test_held_out_sentences_are_combined_anew() -> None:
    """No test sentence with a term occurs in training, though each of its words does."""
    train, test = sentences_with_terms("train"), sentences_with_terms("test")
    assert not train & test
    known = {word.lower() for sentence in train for word in sentence}
    assert {word.lower() for sentence in test for word in sentence} <= known


@pytest.fixture(scope="module")
def f1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Test F1 of the shipped spec by mask."""
    folder = tmp_path_factory.mktemp("quickstart")
    return {
        mask: sltk.train(loading.load(SPEC, [f"backbone.unmask={mask}"]), folder / mask)["test"]["f1"]
        for mask in ("0111", "0000")
    }


def test_removing_the_mask_gains_at_least_20_points(f1: dict[str, float]) -> None:
    """0111 against 0000: same start, same data, same updates."""
    assert f1["0111"] - f1["0000"] >= 0.20


def test_the_unmasked_model_solves_the_task(f1: dict[str, float]) -> None:
    """The gap is not one between two bad models."""
    assert f1["0111"] > 0.9
