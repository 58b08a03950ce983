"""A repository of the hub: see what it holds, create it, and send one commit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from .._version import __version__
from ..errors import Problem, RunError, UsageError
from ..families.hub_errors import explain
from ..files import manifest
from .upload_plan import UploadPlan

if TYPE_CHECKING:
    from huggingface_hub import HfApi
    from huggingface_hub.hf_api import ModelInfo

_OTHERS_MAY_HAVE = (".gitattributes", ".gitignore", "README.md")


def check_name(repository: str) -> None:
    """Check that a name has the form `user/model`.

    Raises:
        UsageError: it has another form.
    """
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    with explained(repository):
        validate_repo_id(repository)
    if "/" not in repository:
        note = f"for example your-name/{repository}"
        raise UsageError(
            Problem(f"`{repository}` does not say whose model it is: expected USER/NAME", notes=(note,))
        )


def check_access(api: HfApi) -> str:
    """Check that the hub can be reached and knows the user, and return the user's name.

    Raises:
        UsageError: HF_HUB_OFFLINE is set, or there is no valid token.
        RunError: the hub cannot be reached.
    """
    from huggingface_hub import constants, errors

    if constants.is_offline_mode():
        raise UsageError("HF_HUB_OFFLINE is set: unset it to upload a model")
    try:
        with explained("your account"):
            return str(api.whoami()["name"])
    except errors.LocalTokenNotFoundError as error:
        note = "`hf auth login`, or set HF_TOKEN to a token that may write"
        raise UsageError(Problem("the hub needs a token to upload a model", notes=(note,))) from error


def upload(api: HfApi, plan: UploadPlan) -> str:
    """Create the repository if necessary, send everything in one commit, and return its address.

    Raises:
        UsageError: the repository is public and should be private, holds something else, or may not be written.
        RunError: the hub cannot be reached, or failed.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    additions: list[Any] = [
        CommitOperationAdd(path_in_repo=name, path_or_fileobj=str(plan.folder / name)) for name in plan.files
    ]
    additions.append(CommitOperationAdd(manifest.CARD, plan.card.encode()))
    with explained(plan.repository, plan.revision):
        _check_card(plan)
        info = _prepared(api, plan)
        old = [name for name in _names(info) if _is_stale(name, plan)]
        commit = api.create_commit(
            plan.repository,
            [*additions, *(CommitOperationDelete(name) for name in old)],
            commit_message=f"Upload a model of sltk {__version__}",
            revision=plan.revision,
            parent_commit=info.sha,
        )
    return str(commit.commit_url)


def _check_card(plan: UploadPlan) -> None:
    """Ask the hub whether it accepts the metadata of the card, before anything is created."""
    from huggingface_hub import ModelCard

    try:
        ModelCard(plan.card, ignore_metadata_errors=True).validate()
    except ValueError as error:
        raise UsageError(f"the hub refuses the card: {' '.join(str(error).split())}") from error


def _prepared(api: HfApi, plan: UploadPlan) -> ModelInfo:
    """The repository at the revision to write; both are created unless they exist."""
    from huggingface_hub import errors

    try:
        info = api.model_info(plan.repository)
    except errors.RepositoryNotFoundError:
        api.create_repo(plan.repository, private=plan.private, exist_ok=True)
        info = api.model_info(plan.repository)
    if plan.private and not info.private:
        note = "make it private in its settings, or choose another name"
        raise UsageError(Problem(f"`{plan.repository}` exists and is public", notes=(note,)))
    if plan.revision is not None:
        api.create_branch(plan.repository, branch=plan.revision, exist_ok=True)
        info = api.model_info(plan.repository, revision=plan.revision)
    names = _names(info)
    other = [name for name in names if name not in _OTHERS_MAY_HAVE and "LICENSE" not in name.upper()]
    if other and "sltk.json" not in names:
        note = f"it has `{other[0]}`; choose another name, or remove its files first"
        raise UsageError(
            Problem(f"`{plan.repository}` holds something that sltk did not write", notes=(note,))
        )
    return info


def _names(info: ModelInfo) -> list[str]:
    return [each.rfilename for each in info.siblings or ()]


def _is_stale(name: str, plan: UploadPlan) -> bool:
    """Whether a file of an earlier upload would be taken for a part of this model."""
    return name not in plan.sizes and manifest.is_read_by_libraries(PurePosixPath(name))


@contextmanager
def explained(repository: str, revision: str | None = None) -> Iterator[None]:
    """Turn errors of huggingface_hub into errors of sltk."""
    try:
        yield
    except (UsageError, RunError):
        raise
    except Exception as error:
        known = explain(error, repository, revision)
        if known is None:
            raise
        raise known from error
