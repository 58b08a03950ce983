"""Register and find components: slots, decorators, entry points, and the nearest name.

A component is a pydantic model: its fields are its options, its docstring is its help. A *slot* is an abstract
component (`Reader`, `Head`, …). To validate `{"type": "linear", "dropout": 0.1}` as a `Head`, pydantic looks up the
name among the registered heads and validates the rest as that class. So a spec needs only a field `head: Head`, and
a registered component is immediately valid in YAML, listed, documented and part of the JSON Schema.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import SerializerFunctionWrapHandler, model_serializer, model_validator
from pydantic.annotated_handlers import GetJsonSchemaHandler
from pydantic.functional_validators import ModelWrapValidatorHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from ..errors import Location, Problem, SltkError, UsageError, nearest
from ..yamltree.scalars import resolve_path
from .strict import StrictModel

ENTRY_POINT_GROUP = "sltk.components"
SAME_AS = "x-same-as"
"""The key of a reference, inside the JSON Schema of a slot, to that same slot."""
_expanding: ContextVar[frozenset[str]] = ContextVar("_expanding", default=frozenset())
"""Slots whose JSON Schema is being generated."""


class RefusedError(ValueError):
    """Raised in a validator: the message, and the key of the validated model that it is about (a dotted path)."""

    def __init__(
        self, message: str, path: str = "", *, suggestion: str | None = None, notes: Sequence[str] = ()
    ) -> None:
        self.problem = Problem(message, path=path, suggestion=suggestion, notes=tuple(notes))
        super().__init__(message)


class UnknownComponentError(RefusedError):
    """No component of the slot has this `type`; `problem` lists the available ones."""

    def __init__(self, slot: str, name: object) -> None:
        known = list(registry.slot(slot))
        note = f"available {slot}s: {', '.join(known)}"
        super().__init__(
            f"unknown {slot} `{name}`", "type", suggestion=nearest(str(name), known), notes=(note,)
        )


class RegistrationError(UsageError):
    """A component cannot be registered under this name; the problem has the line that registers it."""

    def __init__(self, message: str) -> None:
        super().__init__(Problem(message, _registering_line()))


def _registering_line() -> Location | None:
    """The line outside this module that is being executed: a decorator of a component."""
    frame = sys._getframe()
    while frame is not None and frame.f_globals.get("__name__") == __name__:
        frame = frame.f_back  # type: ignore[assignment]
    return Location(frame.f_code.co_filename, frame.f_lineno) if frame is not None else None


class Component(StrictModel):
    """Base of all components. Subclass a slot (`Reader`, `Head`, …) instead of this class."""

    slot: ClassVar[str] = ""
    type_name: ClassVar[str] = ""
    """The name under which it is registered; empty for a slot."""

    @model_validator(mode="wrap")
    @classmethod
    def _dispatch(cls, value: Any, handler: ModelWrapValidatorHandler[Component]) -> Any:
        if isinstance(value, cls):
            return value
        if cls.type_name:
            return handler(_own_fields(cls, value))
        available = f"available {cls.slot}s: {', '.join(registry.slot(cls.slot))}"
        if not isinstance(value, dict):
            raise RefusedError(f"expected a mapping with the `type` of a {cls.slot}", notes=[available])
        if "type" not in value:
            raise RefusedError(f"the `type` of the {cls.slot} is missing", notes=[available])
        return registry.find(cls.slot, value["type"]).model_validate(value)

    @model_serializer(mode="wrap")
    def _with_type(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {"type": self.type_name, **self.without_defaults(handler(self))}

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        if cls.type_name or not cls.slot:
            return _own_schema(cls, schema, handler)
        if cls.slot in _expanding.get():  # a reader of readers: refer to it by name to end the recursion
            return {SAME_AS: cls.__name__}
        outer = _expanding.set(_expanding.get() | {cls.slot})
        try:
            components = registry.slot(cls.slot).values()
            return {
                "oneOf": [_own_schema(each, each.__pydantic_core_schema__, handler) for each in components]
            }
        finally:
            _expanding.reset(outer)


def _own_schema(
    component: type[Component], schema: CoreSchema, handler: GetJsonSchemaHandler
) -> JsonSchemaValue:
    """The JSON Schema of one component, including its `type`."""
    own = handler.resolve_ref_schema(handler(schema))
    properties = {"type": {"const": component.type_name}, **own.get("properties", {})}
    required = ["type", *(key for key in own.get("required", []) if key != "type")]
    return {**own, "properties": properties, "required": required}


def _own_fields(cls: type[Component], value: Any) -> Any:
    """The mapping without `type`, with paths resolved against the folder of the file they are written in."""
    if not isinstance(value, dict):
        return value
    return {
        key: resolve_path(item) if _is_path(cls, key) else item
        for key, item in value.items()
        if key != "type"
    }


def _is_path(cls: type[Component], name: str) -> bool:
    field = cls.model_fields.get(name)
    return field is not None and (field.annotation is Path or Path in typing.get_args(field.annotation))


C = TypeVar("C", bound=Component)


class Registry:
    """Components by slot and name."""

    def __init__(self) -> None:
        self._slots: dict[str, dict[str, type[Component]]] = {}
        self._modules: list[str] = []
        self._entry_points_loaded = False

    def announce(self, *modules: str) -> None:
        """Name modules whose import registers components; they are imported when a component is first needed."""
        self._modules += modules

    def add(self, slot: str, name: str, component: type[Component]) -> None:
        """Register a component under a name that no other class of the slot has.

        Raises:
            RegistrationError: the name is taken, the class is no subclass of the slot, or it has no docstring.
        """
        if component.slot != slot:
            raise RegistrationError(
                f"`{component.__qualname__}` cannot be {slot} `{name}`: it is not a subclass of sltk.{slot.title()}"
            )
        if not (component.__doc__ or "").strip() or "__doc__" not in vars(component):
            raise RegistrationError(
                f"{slot} `{name}` ({component.__qualname__}) needs a docstring: the docstring is its help"
            )
        existing = self._slots.setdefault(slot, {}).get(name)
        if existing is not None and not _same_class(existing, component):
            raise RegistrationError(
                f"{slot} `{name}` is registered twice: by {_origin(existing)} and by {_origin(component)}"
            )
        component.type_name = name
        component.model_rebuild(force=True)
        self._slots[slot][name] = component

    def slots(self) -> list[str]:
        """The names of the slots that have components."""
        self.load()
        return sorted(self._slots)

    def slot(self, slot: str) -> dict[str, type[Component]]:
        """The components of one slot by name."""
        self.load()
        return dict(sorted(self._slots.get(slot, {}).items()))

    def find(self, slot: str, name: object) -> type[Component]:
        """The component with this name.

        Raises:
            UnknownComponentError: no component has this name; `problem` lists the available ones.
        """
        component = self.slot(slot).get(str(name))
        if component is None:
            raise UnknownComponentError(slot, name)
        return component

    def load(self) -> None:
        """Import the announced modules and those of installed packages, the first time only.

        Raises:
            UsageError: a component of an installed package cannot be imported or registered.
        """
        if self._entry_points_loaded:
            return
        self._entry_points_loaded = True
        for module in self._modules:
            import_module(module)
        for entry in entry_points(group=ENTRY_POINT_GROUP):
            try:
                entry.load()
            except SltkError:
                raise
            except Exception as error:
                raise UsageError(
                    f"the installed component `{entry.name}` ({entry.value}) cannot be loaded: {error}"
                ) from error


def _same_class(a: type, b: type) -> bool:
    """Whether two classes come from the same source (a file that was imported twice)."""
    return (a.__module__, a.__qualname__) == (b.__module__, b.__qualname__)


def _origin(component: type) -> str:
    return f"{component.__module__}.{component.__qualname__}"


registry = Registry()


class _Decorators:
    """`@register.reader("tsv")`, `@register.head("crf")`, …: one method per slot."""

    def __getattr__(self, slot: str) -> Callable[[str], Callable[[type[C]], type[C]]]:
        if slot.startswith("_") or slot not in SLOTS:
            raise AttributeError(f"unknown slot `{slot}`; available slots: {', '.join(SLOTS)}")

        def named(name: str) -> Callable[[type[C]], type[C]]:
            def add(component: type[C]) -> type[C]:
                registry.add(slot, name, component)
                return component

            return add

        return named


SLOTS = ("reader", "splitter", "aligner", "backbone", "head", "metric", "writer", "executor")
register = _Decorators()
