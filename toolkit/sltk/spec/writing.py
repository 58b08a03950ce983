"""A checked spec as YAML that reads back as the same spec."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from ..yamltree import scalars
from ..yamltree.source import core_scalar
from ..yamltree.variables import escape

_DIGITS = re.compile(r"[0-9_:.eE+-]+")


def dump(spec: BaseModel) -> str:
    """The spec with every default written out; `load` of the text gives an equal spec.

    Text that looks like a number or a truth value is quoted, masks among it; relative paths are written
    from the root, since the text may be stored in another folder, but for `imports:`, which may move with it.
    """
    return dump_values(plain_values(spec))


def plain_values(spec: BaseModel) -> dict[str, Any]:
    """The spec with every default, as `dump` writes it, before it is text."""
    values = spec.model_dump(serialize_as_any=True)
    if "imports" in values:
        values["imports"] = [str(path) for path in values["imports"]]
    plain: dict[str, Any] = _plain(values)
    return plain


def dump_values(values: Mapping[str, Any]) -> str:
    """A mapping as YAML that reads back as it is, whatever its texts look like."""
    return yaml.dump(
        _plain(dict(values)),
        Dumper=_Dumper,
        sort_keys=False,
        allow_unicode=True,
        width=110,
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Path):
        return str(value.absolute())
    return scalars.plain(value)


class _Dumper(yaml.SafeDumper):
    """Block style for mappings, one line for short lists, quotes where text looks like something else."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    ambiguous = not isinstance(core_scalar(text), str) or _DIGITS.fullmatch(text) is not None
    # Not every reader of YAML takes these line ends of Unicode as they are.
    ambiguous = ambiguous or any(end in text for end in "\x85\u2028\u2029")
    return dumper.represent_scalar("tag:yaml.org,2002:str", escape(text), style='"' if ambiguous else None)


def _list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    scalars = not any(isinstance(item, dict | list) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=scalars)


_Dumper.add_representer(str, _text)
_Dumper.add_representer(list, _list)
