"""Values of a spec are not converted between types."""

from __future__ import annotations

import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel, Field, ValidationError

from sltk.cli import main
from sltk.components.registry import registry
from sltk.components.slots import Head
from sltk.components.strict import StrictModel
from sltk.errors import InvalidSpecError
from sltk.extend import Reader, register
from sltk.pretraining.pretrain_spec import PretrainSpec
from sltk.search.search_spec import SearchSpec
from sltk.spec import loading
from sltk.spec.experiment import Experiment
from sltk.spec.options import models_in
from sltk.sweeps.sweep_spec import Every, Variation

SPEC = """\
name: a
data: {train: {type: conll, path: a.conll}}
backbone: {type: decoder, name: some/model, lora: {}}
"""


def models() -> Iterator[type[BaseModel]]:
    """All models that a spec consists of."""
    roots = [Experiment, PretrainSpec, SearchSpec, Every, Variation]
    open_ = [*roots, *(each for slot in registry.slots() for each in registry.slot(slot).values())]
    seen: dict[type[BaseModel], None] = {}
    while open_:
        model = open_.pop()
        if model not in seen and getattr(model, "type_name", model):  # without the slots, which have no keys
            seen[model] = None
            open_ += [inner for field in model.model_fields.values() for inner in models_in(field.annotation)]
    return iter(seen)


def kinds(annotation: Any) -> set[type]:
    """The plain types in an annotation, without those of its lists and mappings."""
    if typing.get_origin(annotation) in (list, tuple, dict):
        return set()
    parts = typing.get_args(annotation)
    return {kind for part in parts for kind in kinds(part)} if parts else {annotation}


def fields(*of: type) -> list[Any]:
    """The fields of all models that hold one of these types, but no text."""
    return [
        pytest.param(model, name, id=f"{model.__name__}.{name}")
        for model in models()
        for name, field in model.model_fields.items()
        if kinds(field.annotation) & set(of) and not kinds(field.annotation) & {str, Any}
    ]


def errors_at(model: type[BaseModel], key: str, value: Any) -> list[str]:
    with pytest.raises(ValidationError) as error:
        model.model_validate({key: value})
    return [item["type"] for item in error.value.errors() if item["loc"][:1] == (key,)]


@pytest.mark.parametrize(("model", "key"), fields(int, float))
@pytest.mark.parametrize("value", [True, False, "1_0", " 1", "１", "on", ""])
def test_no_number_is_made_of_another_value(model, key, value):
    """Truth values, and text that YAML would not read as a number, are no numbers."""
    assert errors_at(model, key, value)


@pytest.mark.parametrize(("model", "key"), fields(bool))
@pytest.mark.parametrize("value", ["on", "yes", "off", "no", "t", "", 1, 0, 1.0])
def test_no_truth_value_is_made_of_another_value(model, key, value):
    """Numbers, and words other than true and false, are no truth values."""
    assert errors_at(model, key, value)


class Inner(BaseModel):
    count: int = 1


class Own(Head):
    """A custom component with nested settings of its own."""

    size: int = Field(default=1, ge=1)
    sizes: list[int] = Field(default=[])
    shares: dict[str, float] = Field(default={})
    by_number: dict[int, bool] = Field(default={})
    text_or_number: int | str = 0
    inner: Inner = Inner()
    inners: list[Inner] = Field(default=[])
    anything: Any = None
    paths: tuple[Path, ...] = ()


@pytest.fixture(scope="module", autouse=True)
def _register_own() -> None:
    register.head("own")(Own)


class Tree(StrictModel):
    """Settings that contain themselves."""

    width: int = 1
    children: list[Tree] = Field(default=[])


@pytest.mark.parametrize(
    "values",
    [
        {"size": True},
        {"sizes": [True]},
        {"shares": {"a": True}},
        {"by_number": {"1": "on"}},
        {"text_or_number": True},
        {"inner": {"count": True}},
        {"inners": [{"count": "1_0"}]},
    ],
)
def test_custom_components_are_as_strict(values):
    """The rules hold in the fields of every component, at any depth."""
    with pytest.raises(ValidationError):
        Own.model_validate(values)


def test_settings_that_contain_themselves_are_as_strict():
    """A model may refer to itself."""
    assert Tree.model_validate({"children": [{"width": 2}]}).children[0].width == 2
    with pytest.raises(ValidationError):
        Tree.model_validate({"children": [{"children": [{"width": True}]}]})


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"size": "12"}, {"size": 12}),
        ({"size": 1e3}, {"size": 1000}),
        ({"shares": {"a": 1, "b": "2e-4"}}, {"shares": {"a": 1.0, "b": 2e-4}}),
        ({"by_number": {"1": "true"}}, {"by_number": {1: True}}),
        ({"text_or_number": "5"}, {"text_or_number": "5"}),
        ({"text_or_number": 5}, {"text_or_number": 5}),
        ({"anything": True}, {"anything": True}),
        ({"paths": ["a"]}, {"paths": (Path("a"),)}),
    ],
)
def test_values_of_the_right_type_stay(values, expected):
    """Text that YAML reads as a number is one, text stays text where text is allowed, whole numbers may be floats."""
    own = Own.model_validate(values)
    assert {key: getattr(own, key) for key in expected} == expected


@pytest.mark.parametrize(
    ("line", "message", "column"),
    [
        ("trainer: {batch_size: true}", "expected a whole number, found `true`", 23),
        ("trainer: {epochs: 1_0}", "expected a number, found `1_0`", 19),
        ("trainer: {gradient_checkpointing: on}", "expected `auto` or true or false, found `on`", 35),
        ("trainer: {gradient_checkpointing: 1}", "expected `auto` or true or false, found `1`", 35),
        ("trainer: {warmup: false}", "expected a number, found `false`", 19),
        ("head: {type: linear, dropout: true}", "expected a number, found `true`", 31),
        ("head: {type: crf, dropout: 0_1}", "expected a number, found `0_1`", 28),
        ("seed: yes", "expected a whole number, found `yes`", 7),
        ("name: true", "expected text, found `true`", 7),
    ],
)
def test_the_error_is_at_the_value(tmp_path, line, message, column):
    """The message names the value, with its line and column."""
    (tmp_path / "s.yaml").write_text(
        SPEC.replace("name: a\n", "" if line.startswith("name") else "name: a\n") + line
    )
    with pytest.raises(InvalidSpecError) as error:
        loading.load(tmp_path / "s.yaml")
    (problem,) = error.value.problems
    assert (problem.message, problem.location.column) == (message, column)


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("trainer: {betas: []}", "expected a list of 2, found a list of 0"),
        ("trainer: {betas: [0.9, 0.95, 0.99]}", "expected a list of at most 2, found a list of 3"),
        (
            "head: {type: linear, class_weights: {}}",
            "expected `balanced` or a mapping of at least 1, found an empty mapping",
        ),
        ("metrics: [{type: seqeval}, {type: accuracy, nmae: x}]", "unknown key `nmae` for metric `accuracy`"),
    ],
)
def test_a_collection_of_the_wrong_size_is_an_error(tmp_path, addition, message):
    """The error says how many items are expected, and of what."""
    (tmp_path / "s.yaml").write_text(f"{SPEC}{addition}\n")
    with pytest.raises(InvalidSpecError) as error:
        loading.load(tmp_path / "s.yaml")
    assert [problem.message for problem in error.value.problems] == [message]


def test_a_list_of_no_layers_is_an_error(tmp_path):
    """LoRA without a layer would train nothing."""
    (tmp_path / "s.yaml").write_text(SPEC.replace("lora: {}", "lora: {target_modules: []}"))
    with pytest.raises(InvalidSpecError, match="a list of at least 1"):
        loading.load(tmp_path / "s.yaml")


def test_quoted_variables_may_hold_numbers(tmp_path, monkeypatch):
    """`seed: "${SEED}"` is a number, as without the quotes."""
    monkeypatch.setenv("SEED", "7")
    (tmp_path / "s.yaml").write_text(
        SPEC + 'seed: "${SEED}"\ntrainer: {gradient_checkpointing: "${G:-true}"}\n'
    )
    spec = loading.load(tmp_path / "s.yaml").spec
    assert (spec.seed, spec.trainer.gradient_checkpointing) == (7, True)


@pytest.mark.parametrize("key", ["seed", "trainer.epochs", "data.train.limit", "backbone.lora.r"])
def test_the_command_line_is_as_strict(tmp_path, key, capsys):
    """`--set` and `--option` follow the same rules."""
    (tmp_path / "s.yaml").write_text(SPEC)
    assert main(["check", str(tmp_path / "s.yaml"), "--set", f"{key}=true"]) == 2
    assert "found `true`" in capsys.readouterr().err


def test_every_value_of_a_stored_spec_is_valid(tmp_path):
    """What `dump` writes is read back unchanged."""
    (tmp_path / "s.yaml").write_text(SPEC)
    spec = loading.load(tmp_path / "s.yaml").spec
    (tmp_path / "t.yaml").write_text(loading.dump(spec))
    assert loading.load(tmp_path / "t.yaml").spec == spec
    assert Experiment.model_validate(yaml.safe_load(loading.dump(spec))) == spec


def test_readers_are_strict_too():
    """Readers check their keys when they are made in Python."""
    reader: type[Reader] = registry.find("reader", "conll")
    with pytest.raises(ValidationError):
        reader(path="a", limit=True)
