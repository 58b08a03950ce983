"""Write a valid spec as YAML that loads as the same spec."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any, cast

import yaml
from pydantic import BaseModel

from ..yamltree.scalars import plain
from ..yamltree.source import core_scalar
from ..yamltree.variables import escape

_DIGITS = re.compile(r"[0-9_:.eE+-]+")
_UNICODE_LINE_ENDS = re.compile("[\x85\u2028\u2029]")
"""Some YAML parsers do not accept these unquoted."""


def dump(spec: BaseModel) -> str:
    """The spec with all defaults as YAML; `load` of the text returns an equal spec.

    Text that looks like a number or a truth value, such as a mask, is quoted. Relative paths become absolute because
    the text may be stored in another folder, except in `imports:`, whose files may move with it.
    """
    return dump_values(plain_values(spec))


def plain_values(spec: BaseModel) -> dict[str, Any]:
    """The spec with all defaults as plain values, as `dump` writes them."""
    values = spec.model_dump(serialize_as_any=True)
    if "imports" in values:
        values["imports"] = [str(path) for path in values["imports"]]
    return cast(dict[str, Any], plain(values))


def digest(spec: BaseModel) -> str:
    """Identify what a spec says: the same for equal specs. Keys with their default do not count, nor do `imports:`.

    So the digest stays the same if a later version adds keys, or replaces a default by one with the same effect.
    """
    values = spec.model_dump(serialize_as_any=True, exclude_defaults=True, exclude={"imports"})
    for part, value in vars(spec).items():
        for key, default in getattr(value, "earlier_defaults", {}).items():
            if part in values and values[part].get(key) == default:
                del values[part][key]
        if values.get(part) == {}:
            del values[part]
    return hashlib.sha256(json.dumps(plain(values), sort_keys=True).encode()).hexdigest()


def dump_values(values: Mapping[str, Any]) -> str:
    """A mapping as YAML that loads as the same mapping, even if its texts look like numbers or truth values."""
    return yaml.dump(plain(dict(values)), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=110)


class _Dumper(yaml.SafeDumper):
    """Writes mappings in block style, lists of scalars on one line, and ambiguous text in quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    is_ambiguous = (
        not isinstance(core_scalar(text), str)
        or _DIGITS.fullmatch(text) is not None
        or _UNICODE_LINE_ENDS.search(text) is not None
    )
    return dumper.represent_scalar("tag:yaml.org,2002:str", escape(text), style='"' if is_ambiguous else None)


def _represent_list(dumper: yaml.SafeDumper, items: list[Any]) -> yaml.Node:
    has_only_scalars = not any(isinstance(item, dict | list) for item in items)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", items, flow_style=has_only_scalars)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(list, _represent_list)
