"""The `spec.yaml` of a run directory: what may lie there before it, and how its text is read back as it is."""

from __future__ import annotations

from typing import Any

import yaml

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
