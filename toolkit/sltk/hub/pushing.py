"""Push a run or an export to the hub: export it, write its card, and send one commit."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from ..cards import CardSettings, render_card
from ..cards.card_usage import form_of
from ..errors import UsageError
from ..exporting import export
from ..files import manifest
from ..models.description import is_model, read_description
from ..runtime.progress import Progress
from . import repository as repositories
from .upload_plan import UploadPlan, plan_upload


def push(
    run: str | Path,
    repository: str,
    *,
    private: bool | None = None,
    format: str | None = None,
    quantize: str | None = None,
    revision: str | None = None,
    settings: CardSettings | None = None,
    with_code: bool = False,
    dry_run: bool = False,
    progress: Progress | None = None,
    trust_code: bool = False,
    announce: Callable[[UploadPlan], None] | None = None,
) -> str | None:
    """Upload a run, as an export of it, or an export to the Hugging Face hub, in one commit.

    Args:
        run: a finished run, or an export, which is uploaded as it is unless `format` differs.
        repository: `user/model`; it is created unless it exists.
        private: only its owner may see the new repository; None for what the owner's settings say.
        format: as for `export`.
        quantize: as for `export`.
        revision: the branch to write, created unless it exists; None for the main branch.
        settings: licence, language and base model for the card.
        with_code: upload the files in `imports/` too.
        dry_run: upload nothing.
        progress: receives notes.
        trust_code: run the code of the run even if this machine did not train it.
        announce: called with what will be uploaded, before anything is.

    Returns:
        The address of the commit; None after a dry run.

    Raises:
        UsageError: the name or the token is not valid, the repository cannot take the model, or the run cannot be
            exported.
        RunError: the hub cannot be reached, or failed.
    """
    from huggingface_hub import HfApi

    repositories.check_name(repository)
    api = HfApi(library_name="sltk")
    if not dry_run:
        repositories.check_access(api)  # before the export, which takes long
    card = replace(settings or CardSettings(), repository=repository)
    with _exported(Path(run), format, quantize, progress or Progress(), trust_code) as folder:
        plan = plan_upload(folder, repository, _card_of(folder, card), with_code=with_code)
        plan = replace(plan, private=private, revision=revision)
        if announce is not None:
            announce(plan)
        return None if dry_run else repositories.upload(api, plan)


@contextmanager
def _exported(
    run: Path, format: str | None, quantize: str | None, progress: Progress, trust_code: bool
) -> Iterator[Path]:
    """The export to upload: `run` itself if it is one in this format, otherwise a temporary one."""
    if is_model(run):
        is_onnx = form_of(read_description(run), is_run=False) == "onnx"
        if quantize is None and format in (None, "onnx" if is_onnx else "transformers"):
            manifest.verify(run)
            yield run
            return
        if is_onnx:
            raise UsageError(f"`{run}` is an ONNX export, which has one format: name its run")
    with tempfile.TemporaryDirectory(prefix="sltk-push-") as temporary:
        folder = Path(temporary) / "model"
        export(
            run,
            folder,
            progress,
            format=format or "transformers",
            quantize=quantize,
            trust_code=trust_code,
        )
        yield folder


def _card_of(folder: Path, settings: CardSettings) -> str:
    """The card of an export for its place on the hub. One that was edited keeps its text, with the settings added."""
    path = folder / manifest.CARD
    text = path.read_text("utf-8", "replace") if path.is_file() else None
    if text is None or text == render_card(folder):
        return render_card(folder, settings)
    from huggingface_hub import ModelCard

    try:
        card = ModelCard(text)
    except Exception as error:  # YAML errors of another library, and what the hub forbids
        raise UsageError(f"the metadata of `{path}` cannot be read: {error}") from error
    known = {"license": settings.license, "language": settings.language, "base_model": settings.base_model}
    for key, value in known.items():
        if value is not None:
            card.data[key] = value
    return str(card)
