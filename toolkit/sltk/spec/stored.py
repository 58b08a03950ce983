"""Files of a run directory that hold a mapping: its `spec.yaml`, read back as it was written, and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from ..errors import DataError

BEFORE_SPEC = frozenset({"imports", "environment.json", "checkpoints", "corpus"})
"""What may lie in the folder of a run that was killed before its spec was written."""

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def stored(text: str) -> Any:
    """The values of a spec that `dump` wrote, its `$${` read as the `${` that they stand for.

    Neither `imports:` are run nor variables replaced: a stored spec has none that is not set.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(text.replace("$${", "${"), _LOADER)


def mapping(path: Path) -> dict[str, Any]:
    """What a file of a run directory or of a model holds: JSON, or a stored spec.

    Raises:
        DataError: it is not there, or damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
        value = json.loads(text) if path.suffix == ".json" else stored(text)
    except FileNotFoundError as error:
        raise DataError.at("the file is missing: what lies beside it is not whole", path) from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise DataError.at(f"the file is damaged: {error}", path) from error
    if not isinstance(value, dict):
        raise DataError.at("the file is damaged: expected a mapping", path)
    return value
