"""`sltk card` and `sltk push`: the model card of a run, and its upload to the hub."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .app import (
    ImportsOption,
    RunArgument,
    ThreadsOption,
    TrustOption,
    app,
    print_info,
    print_result,
    run_imports,
)
from .terminal import print_diagnostic, results_are_stored, write_data

if TYPE_CHECKING:
    from ..hub.upload_plan import UploadPlan

LicenseOption = Annotated[
    str | None, typer.Option("--license", metavar="NAME", help="licence as the hub names it: apache-2.0")
]
LanguageOption = Annotated[
    str | None, typer.Option("--language", metavar="CODE", help="language of the text: en")
]
BaseOption = Annotated[
    str | None,
    typer.Option("--base-model", metavar="NAME", help="hub name of the base model, if the run used a folder"),
]


@app.command("card", short_help="Write the model card of a run.")
def card(
    run: RunArgument,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="write the card to this file")
    ] = None,
    license_: LicenseOption = None,
    language: LanguageOption = None,
    base_model: BaseOption = None,
) -> None:
    """Write the model card of a run or an export as Markdown with metadata, by default to standard output."""
    from ..cards import CardSettings, render_card
    from ..families import hub_models
    from ..files import atomic
    from ..files.writable import check_file, check_not_read
    from ..rundir.ownership import own_files

    if output is not None:
        check_file(output)
        if output.name != "README.md":
            check_not_read([output], own_files(run))
    text = render_card(hub_models.locate(run), CardSettings(license_, language, base_model))
    if output is None:
        write_data([text])
        return
    atomic.write_text(output, text)
    with results_are_stored():
        print_result(f"wrote {output}")


@app.command("push", short_help="Upload a model to the Hugging Face hub.")
def push(
    run: RunArgument,
    repository: Annotated[str, typer.Argument(metavar="REPO", help="USER/NAME on the hub")],
    private: Annotated[
        bool, typer.Option("--private", help="create the repository as a private one")
    ] = False,
    format_: Annotated[
        str | None, typer.Option("--format", metavar="NAME", help="transformers or onnx")
    ] = None,
    quantize: Annotated[
        str | None, typer.Option("--quantize", metavar="NAME", help="int8, with `--format onnx`")
    ] = None,
    license_: LicenseOption = None,
    language: LanguageOption = None,
    base_model: BaseOption = None,
    revision: Annotated[
        str | None, typer.Option("--revision", metavar="BRANCH", help="branch to write, created if necessary")
    ] = None,
    with_code: Annotated[
        bool, typer.Option("--with-code", help="upload the Python files of its `imports:` too")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="show what would be uploaded")] = False,
    imports: ImportsOption = None,
    threads: ThreadsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Export a run, write its model card, and upload both to the Hugging Face hub in one commit."""
    from ..cards import CardSettings

    settings = CardSettings(license_, language, base_model)
    run_imports(imports)
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    from ..hub.pushing import push as push_model
    from .progress_bar import ProgressBar

    if sys.stderr is None or not sys.stderr.isatty():
        disable_progress_bars()

    with ProgressBar() as progress:
        address = push_model(
            run,
            repository,
            private=private or None,
            format=format_,
            quantize=quantize,
            revision=revision,
            settings=settings,
            with_code=with_code,
            dry_run=dry_run,
            progress=progress,
            trust_code=trust_code,
            announce=_show_plan,
        )
    with results_are_stored():
        print_result(address or "nothing was uploaded (--dry-run)")


def _show_plan(plan: UploadPlan) -> None:
    """Print the files and their sizes, and what a reader should know before they are public."""
    for name, size in plan.sizes.items():
        print_info(f"{size:>15,}  {name}")
    print_info(f"{sum(plan.sizes.values()):>15,}  bytes in {len(plan.sizes)} files, for {plan.repository}")
    if plan.code:
        print_info(f"with code: {', '.join(plan.code)}")
    if plan.left_out:
        print_info(f"not uploaded: {', '.join(plan.left_out)}")
    for warning in plan.warnings:
        print_diagnostic(f"warning: {warning}")
