"""`${NAME}` and `${NAME:-default}` in the scalars of a spec."""

from __future__ import annotations

import os
import re

_VARIABLE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^{}]*)?\})?")


class UnsetVariableError(ValueError):
    """A variable that is not set and has no default, or a `${` that names none."""

    def __init__(self, message: str, *notes: str) -> None:
        super().__init__(message)
        self.notes = notes


def substitute(text: str) -> tuple[str, bool]:
    """The text with variables replaced, and whether it begins with the value of one that is set.

    As in a shell, `:-` stands in for an empty variable too. `$${` is a literal `${`.

    Raises:
        UnsetVariableError: a variable is unset and has no default, or `${` is not followed by `NAME}`.
    """
    begins_with_set = False

    def value(match: re.Match[str]) -> str:
        nonlocal begins_with_set
        if match.group() == "$${":
            return "${"
        found, from_environment = _lookup(match)
        begins_with_set |= from_environment and match.start() == 0
        return found

    return _VARIABLE.sub(value, text), begins_with_set


def escape(text: str) -> str:
    """The text written so that `substitute` gives it back."""
    return text.replace("${", "$${")


def _lookup(match: re.Match[str]) -> tuple[str, bool]:
    name, default = match["name"], match["default"]
    if name is None:
        raise UnsetVariableError(
            "`${` begins an environment variable: write `${NAME}` or `${NAME:-default}`",
            "for a literal `${` write `$${`",
        )
    found = os.environ.get(name)
    if found or (found is not None and default is None):
        return found, True
    if default is None:
        raise UnsetVariableError(
            f"the environment variable `{name}` is not set",
            f"set it, or give a default: `${{{name}:-default}}`",
        )
    return default.removeprefix(":-"), False
