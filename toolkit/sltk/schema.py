"""The JSON Schema of a spec, with every registered component, for editors."""

from __future__ import annotations

from typing import Any

from .registry import SAME_AS
from .search.spec import SearchPart
from .spec import Experiment
from .sweeps.spec import SweepPart

_VARIABLE = {"type": "string", "pattern": r"\$\{", "description": "read from the environment"}


def spec_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a run's spec.

    A spec that `extends:` another may leave anything out, and so may a sweep, which says it run by run; of these
    only the keys at the top are checked.
    Where a number or a truth value is expected, `${NAME}` may stand.
    """
    schema = _with_variables(Experiment.model_json_schema())
    definitions = schema.pop("$defs", {})
    description = schema.pop("description", "")
    sweeping = _with_variables(SweepPart.model_json_schema())
    searching = _with_variables(SearchPart.model_json_schema())
    own = {key: sweeping["properties"][key] for key in ("sweep", "executor")}
    own["search"] = searching["properties"]["search"]
    extends = {"type": "string", "description": "another spec that this one starts from"}
    top = {name: {"description": field.description} for name, field in Experiment.model_fields.items()}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "sltk spec",
        "description": description,
        "type": "object",
        "if": {"anyOf": [{"required": ["extends"]}, {"required": ["sweep"]}, {"required": ["search"]}]},
        "then": {"properties": {**top, "extends": extends, **own}, "additionalProperties": False},
        "else": schema,
        "$defs": {**searching.get("$defs", {}), **sweeping.get("$defs", {}), **definitions},
    }


def _with_variables(schema: Any) -> Any:
    """The schema with `${NAME}` allowed wherever a number or truth value is, and slots inside slots by reference."""
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
