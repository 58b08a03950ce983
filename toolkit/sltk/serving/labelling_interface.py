"""The labelling interface of a Label Studio project: where its text is, and how it names the types of a model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn
from xml.parsers import expat

from ..components.writers.label_studio import Place
from ..files.safe_xml import new_parser, syntax_error
from .answers import AnswerError

_MOST_NAMES = 20


@dataclass(slots=True)
class Control:
    """A `<Labels>` tag, and its labels by the types that they stand for."""

    name: str
    texts: list[str]
    """Names of the tags that it labels."""
    labels: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabellingInterface:
    """How to read a task, and how to name its spans."""

    key: str
    """Key of the text in the `data` of a task."""
    is_url: bool
    """Whether the interface says that the text is at a URL."""
    is_text: bool
    """Whether the interface says that it is not."""
    places: Mapping[str, Place]
    """By type of the model; types for which the project has no label are missing."""
    missing: tuple[str, ...]
    """Types of the model for which the project has no label."""


def read_interface(xml: str, types: Iterable[str]) -> LabellingInterface:
    """Read the XML of a labelling interface: the first `<Text>` that a `<Labels>` with a type of the model labels.

    Raises:
        AnswerError: it is not well-formed, labels no text, or has no label for any type of the model.
    """
    types = list(types)
    texts, controls = _parse(xml)
    if not any(name in texts for control in controls for name in control.texts):
        raise invalid("it has no <Labels> tag whose `toName` names a <Text> tag; sltk labels plain text only")
    for name, text in texts.items():
        places = _places(name, [control for control in controls if name in control.texts], types)
        if places:
            missing = tuple(type_ for type_ in types if type_ not in places)
            value_type = text.get("valuetype", "").lower()
            return LabellingInterface(
                _key(name, text), value_type == "url", value_type == "text", places, missing
            )
    known = [label for control in controls for label in control.labels]
    raise invalid(
        f"it has no label for any type of the model; the model has {_listed(types)}, the interface {_listed(known)}; "
        'rename a label, or name the type: <Label value="Person" predicted_values="PER"/>'
    )


def invalid(problem: str) -> AnswerError:
    """The answer to a labelling interface that does not fit."""
    return AnswerError(
        422, "labelling_interface", f"the labelling interface does not fit this model: {problem}"
    )


def _places(text: str, controls: list[Control], types: list[str]) -> dict[str, Place]:
    places: dict[str, Place] = {}
    for control in controls:
        for type_ in types:
            if type_ in control.labels:
                places.setdefault(type_, Place(control.name, text, control.labels[type_]))
    return places


def _key(name: str, text: Mapping[str, str]) -> str:
    value, encoding = text.get("value", ""), text.get("encoding", "none")
    if encoding.lower() != "none":
        raise invalid(
            f"the text of <Text name={name!r}> is encoded ({encoding[:50]!r}), which sltk does not read"
        )
    if not value.startswith("$") or not value[1:] or "$" in value[1:]:
        raise invalid(f"the `value` of <Text name={name!r}> is {value[:100]!r}, not one key such as '$text'")
    return value[1:]


def _listed(names: list[str]) -> str:
    shown = ", ".join(name[:50] for name in names[:_MOST_NAMES])
    return shown + (f", … ({len(names)} in all)" if len(names) > _MOST_NAMES else "") or "none"


def _parse(xml: str) -> tuple[dict[str, dict[str, str]], list[Control]]:
    """The attributes of the `<Text>` tags by name, and the `<Labels>` tags, in order."""
    texts: dict[str, dict[str, str]] = {}
    controls: list[Control] = []
    open_controls: list[Control | None] = []

    def start(tag: str, attributes: dict[str, Any]) -> None:
        tag, values = tag.lower(), {key.lower(): value for key, value in attributes.items()}
        control = open_controls[-1] if open_controls else None
        if tag == "text" and values.get("name"):
            texts.setdefault(values["name"], values)
        elif tag == "labels" and values.get("name"):
            control = Control(values["name"], [name.strip() for name in values.get("toname", "").split(",")])
            controls.append(control)
        elif tag == "label" and control is not None:
            _add_label(control, values)
        open_controls.append(control)

    def end(tag: str) -> None:
        open_controls.pop()

    parser = new_parser(_refuse_doctype)
    parser.StartElementHandler, parser.EndElementHandler = start, end
    try:
        parser.Parse(xml.encode("utf-8", "replace"), True)
    except (expat.ExpatError, LookupError, ValueError) as error:
        raise invalid(syntax_error(error)) from None
    return texts, controls


def _add_label(control: Control, values: Mapping[str, str]) -> None:
    """Add a label; it stands for the type of its name, and for those in `predicted_values`."""
    label = values.get("alias") or values.get("value")
    if not label:
        return
    more = (name.strip() for name in values.get("predicted_values", "").split(","))
    for type_ in filter(None, (*more, values.get("alias"), values.get("value"))):
        control.labels.setdefault(type_, label)


def _refuse_doctype() -> NoReturn:
    raise invalid("it has a document type declaration, which is refused for safety")
