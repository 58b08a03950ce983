"""The JSON Schema of a spec, with every registered component, for editors."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from ..components.registry import SAME_AS
from ..pretraining.pretrain_spec import PretrainSpec
from ..search.search_spec import SearchPart
from ..search.tuning.tuning_spec import TuningPart
from ..spec.experiment import Experiment
from ..sweeps.sweep_spec import SweepPart

_VARIABLE = {"type": "string", "pattern": r"\$\{", "description": "read from the environment"}


_INCOMPLETE = ("extends", "sweep", "search")
"""A spec with one of these keys need not be complete: another spec, or each run of a sweep, adds the rest."""
_PRETRAINING = ("objective", "corpus")
"""Keys that only pretrain specs have."""


def spec_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a spec of any kind: run, pre-training, sweep, search.

    A spec that `extends:` another, and a sweep, whose runs may add keys, need not be complete: only their top-level
    keys are checked. Other specs may have `executor:` if they have folds. `${NAME}` is allowed in place of a number
    or a truth value.
    """
    definitions: dict[str, Any] = {}
    run, pretraining, sweep, search, tuning = (
        _without_definitions(model, definitions)
        for model in (Experiment, PretrainSpec, SweepPart, SearchPart, TuningPart)
    )
    own = {key: sweep["properties"][key] for key in ("sweep", "executor")}
    masks, values = (part["properties"]["search"] for part in (search, tuning))
    run["properties"]["executor"] = own["executor"]
    run["dependentSchemas"] = {"executor": {"properties": {"data": {"required": ["folds"]}}}}
    own["search"] = {"if": {"required": ["space"]}, "then": values, "else": masks}
    extends = {"type": "string", "description": "another spec that this one starts from"}
    top = {
        name: {"description": field.description}
        for model in (PretrainSpec, Experiment)
        for name, field in model.model_fields.items()
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sltk spec",
        "description": run["description"],
        "type": "object",
        "if": _any_of(_INCOMPLETE),
        "then": {"properties": {**top, "extends": extends, **own}, "additionalProperties": False},
        "else": {"if": _any_of(_PRETRAINING), "then": pretraining, "else": run},
        "$defs": definitions,
    }


def _without_definitions(model: type[BaseModel], definitions: dict[str, Any]) -> dict[str, Any]:
    """The schema of a model; its definitions are moved to `definitions`, which all models share."""
    schema: dict[str, Any] = _with_variables(model.model_json_schema())
    definitions |= schema.pop("$defs", {})
    return schema


def _any_of(keys: tuple[str, ...]) -> dict[str, Any]:
    return {"anyOf": [{"required": [key]} for key in keys]}


def _with_variables(schema: Any) -> Any:
    """The schema with `${NAME}` allowed for every number and truth value, and with references to nested slots."""
    if isinstance(schema, list):
        return [_with_variables(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if SAME_AS in schema:
        return {"$ref": f"#/$defs/{schema[SAME_AS]}"}
    inner = {key: _with_variables(value) for key, value in schema.items()}
    if schema.get("type") in ("integer", "number", "boolean"):
        about = {key: inner.pop(key) for key in ("description", "title", "default") if key in inner}
        return {**about, "anyOf": [inner, _VARIABLE]}
    return inner
