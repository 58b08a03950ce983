"""The keys of a spec's models: which are allowed and required, their types, defaults and meanings."""

from __future__ import annotations

import json
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
    default = default_text(field)
    return name if default in ("", "null") else f"{name} = {default}"


def default_text(field: FieldInfo) -> str:
    """The default of a field, as it would be written in a spec."""
    return shown_value(field.get_default(call_default_factory=True, validated_data={}))


def shown_value(value: Any) -> str:
    """A value as in a spec, on one line."""
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
    if isinstance(value, str) and "\n" in value:
        return json.dumps(value, ensure_ascii=False)
    return "null" if value is None else f"{value:g}" if isinstance(value, float) else str(value)


def owner_text(model: type[BaseModel] | None, path: Sequence[str]) -> str:
    """The owner of a key, for messages: ` for reader `conll``, ` in `trainer``, or nothing for the spec itself.

    An item of a list is named with its list: ` in `sources.0``.
    """
    if model is not None and issubclass(model, Component) and model.type_name:
        return f" for {model.slot} `{model.type_name}`"
    start = next((n for n in range(len(path) - 1, 0, -1) if not path[n].isdigit()), 0)
    return f" in `{'.'.join(path[start:])}`" if path else ""


def keys_with(model: type[BaseModel], key: str) -> Iterator[str]:
    """The keys of `model` whose values have the key `key`: `trainer` for `epochs`."""
    for name, field in model.model_fields.items():
        if any(key in inner.model_fields for inner in _settings_in(field.annotation)):
            yield name


def model_at(model: type[BaseModel], tree: Node, path: Sequence[str]) -> type[BaseModel] | None:
    """The class that validates the mapping at a path of the tree, or None."""
    annotation: Any = model
    for part in path:
        entry = child(tree, part)
        if entry is None:
            return None
        annotation = annotation_of(annotation, tree, part)
        tree = entry.node
    return intended_model(annotation, tree)


def annotation_of(annotation: Any, node: Node, key: str) -> Any:
    """The annotation of the value at a key of a mapping, or at an index of a list, that has an annotation; or None."""
    if isinstance(node.value, list):
        return annotation
    owner = intended_model(annotation, node)
    if owner is not None:
        return owner.model_fields[key].annotation if key in owner.model_fields else None
    values = [
        typing.get_args(part)[1] for part in alternatives(annotation) if typing.get_origin(part) is dict
    ]
    return values[0] if len(values) == 1 else None


def alternatives(annotation: Any) -> list[Any]:
    """The members of a union, or the only one, without what `Annotated` adds."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return alternatives(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return [member for part in arguments for member in alternatives(part)]
    return [annotation]


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """The pydantic models in an annotation: `Reader` for `list[Reader] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for part in typing.get_args(annotation) for model in models_in(part)]


def _settings_in(annotation: Any) -> list[type[BaseModel]]:
    """The models in an annotation that are not components."""
    return [model for model in models_in(annotation) if not issubclass(model, Component)]


def intended_model(annotation: Any, node: Node) -> type[BaseModel] | None:
    """The model of an annotation that a mapping is meant for: by its `type`, otherwise by the keys they share."""
    models = models_in(annotation)
    entry = child(node, "type")
    kind = str(source_text(entry.node.value)) if entry is not None else None
    for model in models:
        if issubclass(model, Component) and not model.type_name:
            try:
                return registry.find(model.slot, kind)
            except UnknownComponentError:
                return None
    keys = set(node.value) if isinstance(node.value, dict) else set()

    def similarity(model: type[BaseModel]) -> tuple[bool, int]:
        field = model.model_fields.get("type")
        has_type = field is not None and kind in typing.get_args(field.annotation)
        return has_type, len(keys & set(model.model_fields))

    return max(models, key=similarity, default=None)


def field_rows(model: type[BaseModel], prefix: str = "") -> list[tuple[str, str, str, str]]:
    """Key, type, default and description of each field; keys of nested settings as `lora.r`."""
    rows = []
    for name, field in model.model_fields.items():
        default = "(required)" if field.is_required() else default_text(field)
        rows.append((prefix + name, type_text(field.annotation), default, field.description or ""))
        for inner in _settings_in(field.annotation):
            rows += field_rows(inner, f"{prefix}{name}.")
    return rows


_TYPE_NAMES: dict[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true | false",
    dict: "mapping",
    Path: "path",
    type(None): "null",
    Any: "anything",
}


def type_text(annotation: Any) -> str:
    """An annotation in words: `list of text | null`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    name = _TYPE_NAMES.get(origin or annotation)
    if name is not None:
        return name
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation.slot if issubclass(annotation, Component) and annotation.slot else "mapping"
    if origin is typing.Literal:
        return " | ".join(map(str, arguments))
    if origin is Annotated:
        return type_text(arguments[0])
    parts = list(dict.fromkeys(type_text(part) for part in arguments if part is not ...))
    if origin in (typing.Union, types.UnionType):
        return " | ".join(parts)
    if origin in (list, tuple, set):
        return "list of " + " and ".join(map(_plural, parts))
    return str(getattr(annotation, "__name__", annotation))


def _plural(name: str) -> str:
    """The plural of a type's name; alternatives, `text` and `anything` have none."""
    return name if " | " in name or name in ("text", "anything") else f"{name}s"
