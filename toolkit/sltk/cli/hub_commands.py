"""`sltk card`: the model card of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .app import RunArgument, app, print_result
from .terminal import results_are_stored, write_data

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
    from ..files import atomic
    from ..files.writable import check_file, check_not_read
    from ..rundir.ownership import own_files

    if output is not None:
        check_file(output)
        if output.name != "README.md":
            check_not_read([output], own_files(run))
    text = render_card(run, CardSettings(license_, language, base_model))
    if output is None:
        write_data([text])
        return
    atomic.write_text(output, text)
    with results_are_stored():
        print_result(f"wrote {output}")
