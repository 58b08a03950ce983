"""Errors of huggingface_hub as errors of sltk, for downloads and uploads alike. No message contains a token."""

from __future__ import annotations

from ..errors import ModelError, Problem, RunError, SltkError, UsageError


def explain(error: Exception, name: str, revision: str | None = None) -> SltkError | None:
    """The error of sltk for one that huggingface_hub raised about the repository `name`; None for any other error."""
    from huggingface_hub import errors as hub

    if isinstance(error, hub.HFValidationError):
        note = "expected USER/NAME: letters, digits, `-`, `_` and `.`, at most 96 characters"
        return UsageError(Problem(f"`{name}` is not a name on the hub", notes=(note,)))
    if isinstance(error, hub.GatedRepoError):
        return ModelError(
            Problem(f"`{name}` is gated", notes=(f"accept its licence at huggingface.co/{name}, {_LOG_IN}",))
        )
    if isinstance(error, hub.RevisionNotFoundError):
        return ModelError(f"`{name}` has no revision `{revision}` on the hub")
    if isinstance(error, hub.RepositoryNotFoundError):
        return ModelError(
            Problem(
                f"the hub has no model `{name}` that you may see",
                notes=(f"check the name; if it is private, {_LOG_IN}",),
            )
        )
    if isinstance(error, hub.OfflineModeIsEnabled):
        return _offline(name)
    if isinstance(error, hub.LocalEntryNotFoundError):
        return _not_cached(error, name)
    if isinstance(error, hub.HfHubHTTPError):
        return _refused(error, name)
    if isinstance(error, ConnectionError) or type(error).__module__.startswith(("httpx", "requests")):
        return _unreachable(error)
    return None


_LOG_IN = "`hf auth login`, or set HF_TOKEN"


def _offline(name: str) -> SltkError:
    note = "unset HF_HUB_OFFLINE to use the network"
    return ModelError(
        Problem(f"`{name}` is not in the local cache, and HF_HUB_OFFLINE is set", notes=(note,))
    )


def _not_cached(error: Exception, name: str) -> SltkError:
    """The hub could not be reached, and the cache does not have all files."""
    from huggingface_hub import constants

    if constants.is_offline_mode():
        return _offline(name)
    return _unreachable(error.__cause__ if isinstance(error.__cause__, Exception) else error)


def _unreachable(error: Exception) -> SltkError:
    from huggingface_hub import constants

    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return RunError(f"cannot reach the hub at {constants.ENDPOINT}: {reason}")


def _refused(error: Exception, name: str) -> SltkError:
    response = getattr(error, "response", None)
    code = getattr(response, "status_code", None)
    said = getattr(error, "server_message", None)
    if code == 401:
        message = f"the hub does not accept your token for `{name}`: {_LOG_IN}"
    elif code == 403:
        message = f"your token may not do this with `{name}`: use one that may write to it, or another name"
    else:
        message = f"the hub refused the request for `{name}`" + (f" with status {code}" if code else "")
    kind = UsageError if code is not None and 400 <= code < 500 else None
    text = message + (f" ({said})" if said else "")
    return kind(text) if kind is not None else RunError(text)
