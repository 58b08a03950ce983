"""The keys of the loss of heads: which weights they give, what is stored, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from pydantic import TypeAdapter, ValidationError

import tiny
from sltk.cli import main
from sltk.components.heads import LinearHead, MlpHead
from sltk.components.slots import Head
from sltk.errors import SpecError
from sltk.runtime.progress import reporting_to
from sltk.schemes.labels import LabelSet
from sltk.types import Sentence
from tiny import RecordingProgress

LABELS = LabelSet(("O", "B-A", "I-A", "B-B", "I-B"), "IOB2")
SENTENCES = [
    Sentence(["a", "b", "c", "d"], tags=["O", "B-A", "O", "O"]),
    Sentence(["a", "b", "c", "d"], tags=["O", "B-A", "I-A", "B-B"]),
]
VECTORS = torch.randn(4, 8, generator=torch.Generator().manual_seed(0))


def stored(**keys: Any) -> Any:
    """The weights that a head keeps after it has seen the sentences."""
    return LinearHead(**keys).fitted(SENTENCES, LABELS).model_dump()["class_weights"]


def test_balanced_weights_give_every_tag_the_same_total() -> None:
    """8 words and 4 tags that occur: 8 / (4 x words with the tag); a tag without a word has the weight 1."""
    expected = {"O": 8 / (4 * 4), "B-A": 8 / (4 * 2), "I-A": 8 / 4, "B-B": 8 / 4, "I-B": 1.0}
    assert stored(class_weights="balanced") == expected


def test_a_type_stands_for_its_tags_and_a_tag_comes_first() -> None:
    """`A` is B-A and I-A, unless a tag has a weight of its own; what has none weighs 1."""
    weights = stored(class_weights={"A": 3, "I-A": 2, "O": 0.5})
    assert weights == {"O": 0.5, "B-A": 3.0, "I-A": 2.0, "B-B": 1.0, "I-B": 1.0}


@pytest.mark.parametrize("head", [LinearHead, MlpHead])
def test_a_head_weighs_words_by_their_tags(head: Any) -> None:
    """The loss is the sum of the words' cross-entropies, each times the weight of its tag."""
    torch.manual_seed(0)
    fitted = head(class_weights="balanced", dropout=0).fitted(SENTENCES, LABELS)
    module = fitted.build(8, LABELS)
    tags = torch.tensor([1, 2, 3, 0])
    log_p = module.emissions(VECTORS).log_softmax(-1)[torch.arange(4), tags]
    expected = -(log_p * torch.tensor([1.0, 2.0, 2.0, 0.5])).sum()
    torch.testing.assert_close(module.loss(VECTORS, tags, [4]), expected)
    again = TypeAdapter(Head).validate_python(fitted.model_dump()).build(8, LABELS)
    again.load_state_dict(module.state_dict())
    assert torch.equal(again.loss(VECTORS, tags, [4]), module.loss(VECTORS, tags, [4]))
    assert not any("weights" in name for name in module.state_dict())


def test_weights_are_reported_with_their_mean() -> None:
    """A note has the weights, their mean over the words, and the tags without an example."""
    progress = RecordingProgress()
    with reporting_to(progress):
        stored(class_weights={"A": 3, "O": 0.5})
    assert progress.notes == [
        "class weights: O 0.5, B-B 1, B-A 3, I-A 3; mean over the training data 1.5",
        "class weights: 1 without a training example, so their weights have no effect: I-B",
    ]


def test_check_data_reports_the_weights(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`sltk check --data` computes them without a model; an unknown name is an error at its key."""
    path = tmp_path / "spec.yaml"
    path.write_text(yaml.safe_dump(tiny.spec(head={"type": "linear", "class_weights": "balanced"})))
    assert main(["check", str(path), "--data"]) == 0
    assert "note: class weights (balanced): O 0.1646, " in " ".join(capsys.readouterr().err.split())
    path.write_text(yaml.safe_dump(tiny.spec(head={"type": "linear", "class_weights": {"positiv": 2}})))
    assert main(["check", str(path), "--data"]) == 2
    error = capsys.readouterr().err
    assert "(head.class_weights.positiv)" in error
    assert "did you mean `positive`?" in error


def test_defaults_are_not_written() -> None:
    """A head without these keys is stored as by earlier versions."""
    assert LinearHead().model_dump() == {
        "type": "linear",
        "decode": "head",
        "span_score": "product",
        "dropout": 0.1,
    }


def test_weights_of_unknown_tags_are_errors() -> None:
    """All unknown names are reported, each with its key and the nearest tag or type."""
    with pytest.raises(SpecError) as caught:
        stored(class_weights={"B-AA": 2, "O": 1, "0": 1})
    assert [(each.path, each.suggestion) for each in caught.value.problems] == [
        ("head.class_weights.B-AA", "B-A"),
        ("head.class_weights.0", None),
    ]
    assert caught.value.problems[0].notes == ("it has: O, B-A, I-A, B-B, I-B, A, B",)
    with pytest.raises(SpecError, match="all weights are 0"):
        stored(class_weights={"O": 0, "A": 0, "B": 0})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"type": "linear", "gamma": 1}, "`gamma` is for `loss: focal`"),
        ({"type": "mlp", "loss": "focal", "label_smoothing": 0.1}, "defined for one class per word"),
        ({"type": "linear", "class_weights": {}}, "at least 1"),
        ({"type": "linear", "class_weights": {"O": -1}}, "greater than or equal to 0"),
        ({"type": "linear", "class_weights": {"O": float("inf")}}, "finite"),
        ({"type": "linear", "label_smoothing": 1}, "less than 1"),
        ({"type": "crf", "class_weights": "balanced"}, "a CRF has one loss per sentence"),
        ({"type": "crf", "loss": "focal"}, "a CRF has one loss per sentence"),
    ],
)
def test_losses_that_are_not_defined_are_refused(keys: dict[str, Any], message: str) -> None:
    """Each is one clear message when the spec is read."""
    with pytest.raises(ValidationError, match=message):
        TypeAdapter(Head).validate_python(keys)
