"""The quickstart: only an unmasked model learns a polarity that depends on later words."""

from __future__ import annotations

import pytest

import sltk
from repository import ROOT
from sltk.spec import loading

SPEC = ROOT / "experiments" / "quickstart.yaml"


def sentences_with_terms(part: str) -> set[tuple[str, ...]]:
    """The words of each sentence with a term in a split of the quickstart's data."""
    reader = getattr(loading.load(SPEC).spec.data, part)
    return {tuple(sentence.words) for sentence in reader.read() if set(sentence.tags or ()) != {"O"}}


def test_the_test_split_has_new_combinations_of_known_words() -> None:
    """No test sentence with a term occurs in the training data, but each of its words does."""
    train, test = sentences_with_terms("train"), sentences_with_terms("test")
    assert not train & test
    known = {word.lower() for sentence in train for word in sentence}
    assert {word.lower() for sentence in test for word in sentence} <= known


@pytest.fixture(scope="module")
def f1(tmp_path_factory: pytest.TempPathFactory) -> dict[str, float]:
    """Test F1 of the quickstart spec for each mask."""
    folder = tmp_path_factory.mktemp("quickstart")
    return {
        mask: sltk.train(loading.load(SPEC, [f"backbone.unmask={mask}"]), folder / mask)["test"]["f1"]
        for mask in ("0111", "0000")
    }


@pytest.mark.slow
def test_removing_the_mask_gains_at_least_20_points(f1: dict[str, float]) -> None:
    """The F1 of 0111 is at least 20 points above that of 0000 with the same seed, data and updates."""
    assert f1["0111"] - f1["0000"] >= 0.20


@pytest.mark.slow
def test_the_unmasked_model_solves_the_task(f1: dict[str, float]) -> None:
    """The F1 of 0111 is above 0.9."""
    assert f1["0111"] > 0.9
