"""The model of a spec, used from Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from sltk import Experiment, SpecError
from sltk.components.registry import registry
from sltk.spec import loading
from sltk.spec.options import field_rows

PLAIN = {
    "name": "small",
    "data": {"train": {"type": "conll", "path": "train.conll"}},
    "backbone": {"type": "decoder", "name": "some/model"},
}


def build(**more):
    return Experiment.model_validate({**PLAIN, **more})


def test_a_mapping_is_a_spec():
    """A mapping with the keys of the YAML file is a spec; components are spec by type."""
    spec = build(head={"type": "crf"}, metrics=[{"type": "accuracy"}])
    assert (spec.head.type_name, spec.metrics[0].type_name) == ("crf", "accuracy")


def test_components_can_be_objects():
    """A component object is used as it is."""
    head = registry.find("head", "linear")(dropout=0.2)
    assert build(head=head).head is head


def test_the_defaults_are_those_of_the_paper():
    """The training constants of the paper are the defaults."""
    spec = build()
    trainer = spec.trainer
    assert (spec.seed, spec.scheme, spec.type) == (120, "IOB2", "tagger")
    assert (spec.head.type_name, spec.head.dropout) == ("linear", 0.1)
    assert (trainer.epochs, trainer.learning_rate, trainer.batch_size) == (5, 2e-4, 16)
    assert (trainer.betas, trainer.eps, trainer.weight_decay, trainer.clip) == ((0.9, 0.95), 1e-5, 0.1, 1.0)
    assert (trainer.schedule, trainer.warmup, trainer.select) == ("cosine", 0, "last")
    assert [spec.splitter.type_name, spec.aligner.type_name] == ["regex", "first_subword"]
    assert [metric.type_name for metric in spec.metrics] == ["seqeval"]


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
def test_invalid_values_are_rejected(change):
    """Values out of range, unknown keys and contradictory keys are errors."""
    with pytest.raises(ValidationError):
        build(**change)


def test_warmup_is_a_share_or_a_number_of_updates():
    """A fraction stays a float, a whole number stays an integer."""
    assert isinstance(build(trainer={"warmup": 0.1}).trainer.warmup, float)
    assert isinstance(build(trainer={"warmup": 100}).trainer.warmup, int)


def test_specs_are_immutable():
    """A key cannot be assigned after validation."""
    with pytest.raises(ValidationError):
        build().seed = 3


def test_data_can_be_loaded_without_a_spec():
    """`load_data` takes the mapping under `data`."""
    data = loading.load_data({**PLAIN["data"], "validation": {"type": "holdout", "fraction": 0.2}})
    assert (data.train.type_name, data.validation.fraction, data.test) == ("conll", 0.2, None)


def test_overrides_apply_to_mappings():
    """Overrides change a mapping like a file; an error in one names it."""
    assert loading.load(PLAIN, ["seed=5", "backbone.unmask=0111"]).spec.seed == 5
    with pytest.raises(SpecError, match="--set seed=x"):
        loading.load(PLAIN, ["seed=x"])


def test_readers_use_the_splitter_of_the_spec(tmp_path: Path) -> None:
    """Readers use the `splitter` of the spec, unless they have their own."""
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


def test_defaults_are_shown_on_one_line() -> None:
    """A default with line ends is quoted, so that messages and tables stay readable."""
    rows = {row[0]: row[2] for row in field_rows(Experiment)}
    assert rows["instruct.template"].startswith('"### Instruction:\\n{instruction}')
    assert not any("\n" in default for default in rows.values())
