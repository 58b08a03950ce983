"""What a spec holds, from Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sltk import Experiment
from sltk.components.registry import registry
from sltk.spec import loading

PLAIN = {
    "name": "small",
    "data": {"train": {"type": "conll", "path": "train.conll"}},
    "backbone": {"type": "decoder", "name": "some/model"},
}


def build(**more):
    return Experiment.model_validate({**PLAIN, **more})


def test_a_plain_mapping_is_a_spec():
    """The same keys as in YAML make a spec in Python, with components looked up by type."""
    found = build(head={"type": "crf"}, metrics=[{"type": "accuracy"}])
    assert (found.head.type_name, found.metrics[0].type_name) == ("crf", "accuracy")


def test_components_may_be_given_as_objects():
    """A component that is already built is taken as it is."""
    head = registry.find("head", "linear")(dropout=0.2)
    assert build(head=head).head is head


def test_the_defaults_are_those_of_the_paper():
    """Training constants that the paper fixes are the defaults."""
    found = build()
    trainer = found.trainer
    assert (found.seed, found.scheme, found.type) == (120, "IOB2", "tagger")
    assert (found.head.type_name, found.head.dropout) == ("linear", 0.1)
    assert (trainer.epochs, trainer.learning_rate, trainer.batch_size) == (5, 2e-4, 16)
    assert (trainer.betas, trainer.eps, trainer.weight_decay, trainer.clip) == ((0.9, 0.95), 1e-5, 0.1, 1.0)
    assert (trainer.schedule, trainer.warmup, trainer.select) == ("cosine", 0, "last")
    assert [found.splitter.type_name, found.aligner.type_name] == ["regex", "first_subword"]
    assert [metric.type_name for metric in found.metrics] == ["seqeval"]


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": ".."},
        {"seed": -1},
        {"type": "parser"},
        {"metrics": []},
        {"max_length": 0},
        {"scheme": "IOB3"},
        {"data": {}},
        {"surprise": 1},
        {"trainer": {"warmup": 1.5}},
        {"trainer": {"epochs": float("inf")}},
        {"trainer": {"learning_rate": float("nan")}},
        {"trainer": {"warmup": -1}},
        {"trainer": {"betas": [0.9, 1.0]}},
        {"trainer": {"select": "best"}},
        {"trainer": {"early_stopping": 1}},
        {"trainer": {"recipe": "improvised"}},
    ],
)
def test_what_makes_no_sense_is_refused(change):
    """Values out of range, unknown keys and keys that contradict each other are errors."""
    with pytest.raises(ValidationError):
        build(**change)


def test_warmup_is_a_share_or_a_number_of_updates():
    """A fraction stays a fraction, a whole number stays whole."""
    assert isinstance(build(trainer={"warmup": 0.1}).trainer.warmup, float)
    assert isinstance(build(trainer={"warmup": 100}).trainer.warmup, int)


def test_a_spec_cannot_be_changed_after_it_was_checked():
    """Specs are immutable: nothing slips past validation."""
    with pytest.raises(ValidationError):
        build().seed = 3


def test_data_alone_can_be_made():
    """`load_data` takes the part under `data`."""
    data = loading.load_data({**PLAIN["data"], "validation": {"type": "holdout", "fraction": 0.2}})
    assert (data.train.type_name, data.validation.fraction, data.test) == ("conll", 0.2, None)


def test_readers_cut_text_as_the_spec_says(tmp_path: Path) -> None:
    """The `splitter` of a spec is that of its readers too, unless a reader has its own."""
    (tmp_path / "s.yaml").write_text(
        "name: s\n"
        "splitter: {type: whitespace}\n"
        "data:\n"
        "  train: {type: jsonl, path: a.jsonl}\n"
        "  test: {type: jsonl, path: b.jsonl, splitter: {type: regex}}\n"
        "backbone: {type: decoder, name: some/model}\n"
    )
    data = loading.load(tmp_path / "s.yaml").spec.data
    assert data.train.splitter.type_name == "whitespace"  # type: ignore[attr-defined]
    assert data.test is not None
    assert data.test.splitter.type_name == "regex"  # type: ignore[attr-defined]
