"""Base class of all parts of a spec: unknown keys are errors, and values are not converted between types.

Pydantic would read `true` as the number 1, `on` as true and `1_0` as the number 10. Here a number or a truth value may
be written as text only where YAML would read the same text as one: `seed: "${SEED}"`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, SerializerFunctionWrapHandler, model_serializer
from pydantic.annotated_handlers import GetCoreSchemaHandler
from pydantic_core import CoreSchema, PydanticKnownError, core_schema

from ..yamltree.source import core_scalar

_NOT_SCHEMAS = {"cls", "config", "default", "expected", "metadata", "serialization"}
"""Keys of a schema of pydantic that hold no schema."""


def _make_strict(part: Any, handler: GetCoreSchemaHandler, resolved: set[str]) -> None:
    """Replace the schemas of numbers and truth values in a part of a schema, also those of nested models."""
    if isinstance(part, list | tuple):
        for item in part:
            _make_strict(item, handler, resolved)
        return
    if not isinstance(part, dict):
        return
    kind = part.get("type")
    if not isinstance(kind, str):  # schemas by name: the fields of a model
        _make_strict([*part.values()], handler, resolved)
    elif kind in _CHECKS and "strict" not in part:
        _replace(part)
    elif kind == "definition-ref" and part["schema_ref"] not in resolved:
        resolved.add(part["schema_ref"])
        _make_strict(handler.resolve_ref_schema(part), handler, resolved)  # type: ignore[arg-type]
    else:
        inner = [value for key, value in part.items() if key not in _NOT_SCHEMAS]
        _make_strict(inner, handler, resolved)


def _replace(schema: dict[str, Any]) -> None:
    """Put a check before the schema of a number or a truth value.

    In a union, pydantic prefers a value that needs no conversion, so that "5" stays text in `int | str`.
    """
    lax, strict = {**schema, "strict": False}, {**schema, "strict": True}
    check = core_schema.no_info_before_validator_function(_CHECKS[schema["type"]], lax)
    schema.clear()
    schema.update(core_schema.lax_or_strict_schema(check, strict))


def _number(value: Any) -> Any:
    """The value, or the number that a text spells in YAML.

    Raises:
        PydanticKnownError: the value is a truth value, or a text that is no number.
    """
    number = core_scalar(value) if isinstance(value, str) else value
    if isinstance(number, bool | str) or number is None:
        raise PydanticKnownError("float_type")
    return number


def _whole_number(value: Any) -> Any:
    try:
        return _number(value)
    except PydanticKnownError:
        raise PydanticKnownError("int_type") from None


def _truth_value(value: Any) -> Any:
    """The value, or the truth value that a text spells in YAML.

    Raises:
        PydanticKnownError: the value is a number, or a text other than true and false.
    """
    truth = core_scalar(value) if isinstance(value, str) else value
    if isinstance(truth, str | int | float) and not isinstance(truth, bool):
        raise PydanticKnownError("bool_type")
    return truth


_CHECKS = {"int": _whole_number, "float": _number, "bool": _truth_value}


class StrictModel(BaseModel):
    """A group of typed keys: immutable, and unknown keys, `1_0` for a number and `on` for true are errors."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        validate_default=True,
        allow_inf_nan=False,
        protected_namespaces=(),
        defer_build=True,  # a component is built when it is registered, and not before that too
    )

    requires: ClassVar[Mapping[str, str]] = {}
    """Optional packages that this part needs, by the name to import, each with the command that installs it."""

    required_by: ClassVar[str] = ""
    """The key that decides about the packages, if there is one: errors have its position."""

    def required_packages(self) -> Mapping[str, str]:
        """The optional packages needed with these values; by default `requires`."""
        return self.requires

    unwritten_defaults: ClassVar[Mapping[str, Any]] = {}
    """Keys that are written only if they differ from this value; specs of earlier versions lack them."""

    @model_serializer(mode="wrap")
    def _written(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return self.without_defaults(handler(self))

    def without_defaults(self, values: dict[str, Any]) -> dict[str, Any]:
        """The values to write: without those of `unwritten_defaults` that have their default."""
        unwritten = self.unwritten_defaults
        return {
            key: value for key, value in values.items() if key not in unwritten or value != unwritten[key]
        }

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema = handler(source)
        _make_strict(schema, handler, set())
        return schema
