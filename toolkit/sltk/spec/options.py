"""What a model of the spec allows: its keys, which are required, what the others default to."""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ..components.registry import Component, UnknownComponentError, registry
from ..yamltree.lookup import child
from ..yamltree.scalars import source_text
from ..yamltree.source import Node


def allowed_note(model: type[BaseModel]) -> str:
    """`allowed: path (required), word_column = 0, …`: required keys first."""
    fields = sorted(model.model_fields.items(), key=lambda item: not item[1].is_required())
    return "allowed: " + ", ".join(_with_default(name, field) for name, field in fields)


def _with_default(name: str, field: FieldInfo) -> str:
    if field.is_required():
        return f"{name} (required)"
    shown = shown_default(field)
    return f"{name} = {shown}" if shown else name


def shown_default(field: FieldInfo) -> str:
    """A default as it would be written in a spec; empty for null."""
    default = field.get_default(call_default_factory=True, validated_data={})
    return "" if default is None else shown_value(default)


def shown_value(value: Any) -> str:
    """A value as it would be written in a spec, on one line."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, Component):
        return value.type_name
    if isinstance(value, BaseModel):
        return "{…}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{key}: {shown_value(item)}' for key, item in value.items())}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(shown_value(item) for item in value)}]"
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def described(model: type[BaseModel] | None, path: Sequence[str]) -> str:
    """Whose key it is: ` for reader `conll``, ` in `trainer``, or nothing for the spec itself."""
    if model is not None and issubclass(model, Component) and model.type_name:
        return f" for {model.slot} `{model.type_name}`"
    return f" in `{path[-1]}`" if path else ""


def components_owning(model: type[BaseModel], key: str) -> Iterator[str]:
    """The keys of `model` whose values have such a key: `trainer` for `epochs`."""
    for name, field in model.model_fields.items():
        inner = [kind for kind in models_in(field.annotation) if not issubclass(kind, Component)]
        if any(key in kind.model_fields for kind in inner):
            yield name


def model_at(model: type[BaseModel], tree: Node, path: Sequence[str]) -> type[BaseModel] | None:
    """The class that validates the mapping at a path of the tree; None where no class does."""
    annotation: Any = model
    node = tree
    for part in path:
        current = _pick(models_in(annotation), node)
        found = child(node, part)
        if found is None:
            return None
        if isinstance(node.value, dict):
            if current is None or part not in current.model_fields:
                return None
            annotation = current.model_fields[part].annotation
        node = found.node
    return _pick(models_in(annotation), node)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models that an annotation mentions: `Reader` for `list[Reader] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in models_in(part)]


def _pick(models: Sequence[type[BaseModel]], node: Node) -> type[BaseModel] | None:
    """The model that a mapping was meant for: by its `type`, else by the keys they share."""
    named = child(node, "type")
    kind = str(source_text(named.node.value)) if named is not None else None
    for model in models:
        if issubclass(model, Component) and not model.type_name:
            try:
                return registry.find(model.slot, kind)
            except UnknownComponentError:
                return None
    keys = set(node.value) if isinstance(node.value, dict) else set()
    return max(models, key=lambda model: _likeness(model, kind, keys), default=None)


def _likeness(model: type[BaseModel], kind: str | None, keys: set[str]) -> tuple[bool, int]:
    field = model.model_fields.get("type")
    named = field is not None and kind in typing.get_args(field.annotation)
    return named, len(keys & set(model.model_fields))


def field_rows(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str, str]]:
    """Key, type, default and meaning of each field, those of nested settings as `lora.r`."""
    rows = []
    for name, field in model.model_fields.items():
        default = "(required)" if field.is_required() else shown_default(field) or "null"
        rows.append((prefix + name, type_text(field.annotation), default, field.description or ""))
        for inner in models_in(field.annotation):
            if not issubclass(inner, Component):
                rows += field_rows(inner, f"{prefix}{name}.")
    return rows


_TYPE_NAMES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true | false",
    Path: "path",
    type(None): "null",
    Any: "anything",
}


def type_text(annotation: Any) -> str:
    """An annotation in words: `list of text | null`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if annotation in _TYPE_NAMES:
        return _TYPE_NAMES[annotation]
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.slot if issubclass(annotation, Component) and annotation.slot else "mapping"
    if origin is typing.Literal:
        return " | ".join(str(choice) for choice in arguments)
    if origin is Annotated:
        return type_text(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(type_text(part) for part in arguments))
    if origin in (list, tuple, set):
        return "list of " + " and ".join(
            dict.fromkeys(type_text(part) for part in arguments if part is not ...)
        )
    return (
        "mapping"
        if origin is dict or annotation is dict
        else str(getattr(annotation, "__name__", annotation))
    )
