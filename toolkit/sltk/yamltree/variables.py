"""Environment variables in the scalars of a spec: `${NAME}` and `${NAME:-default}`."""

from __future__ import annotations

import os
import re

_VARIABLE = re.compile(r"\$\$\{|\$\{(?:(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?P<default>:-[^{}]*)?\})?")


class UnsetVariableError(ValueError):
    """A variable is unset and has no default, or `${` is not followed by a name."""

    def __init__(self, message: str, *notes: str) -> None:
        super().__init__(message)
        self.notes = notes


def substitute(text: str) -> tuple[str, bool]:
    """Replace variables. Also returns whether the text begins with the value of a variable that is set.

    As in a shell, the default after `:-` also replaces an empty variable. `$${` becomes `${`.

    Raises:
        UnsetVariableError: a variable is unset and has no default, or `${` is not followed by `NAME}`.
    """
    begins_with_variable = False

    def replacement(match: re.Match[str]) -> str:
        nonlocal begins_with_variable
        if match.group() == "$${":
            return "${"
        value, is_set = _value(match)
        begins_with_variable |= is_set and match.start() == 0
        return value

    return _VARIABLE.sub(replacement, text), begins_with_variable


def escape(text: str) -> str:
    """Write `${` as `$${`, so that `substitute` returns the text unchanged."""
    return text.replace("${", "$${")


def unescape(text: str) -> str:
    """Read what `escape` wrote: the only replacement in a stored spec, whose variables have been resolved."""
    return text.replace("$${", "${")


def _value(match: re.Match[str]) -> tuple[str, bool]:
    """The value of a variable or its default, and whether the variable is set."""
    name, default = match["name"], match["default"]
    if name is None:
        raise UnsetVariableError(
            "`${` begins an environment variable: write `${NAME}` or `${NAME:-default}`",
            "for a literal `${` write `$${`",
        )
    value = os.environ.get(name)
    if value or (value is not None and default is None):
        return value, True
    if default is None:
        raise UnsetVariableError(
            f"the environment variable `{name}` is not set",
            f"set it, or give a default: `${{{name}:-default}}`",
        )
    return default.removeprefix(":-"), False
