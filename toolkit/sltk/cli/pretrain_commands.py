"""`sltk pretrain`: train a language model on text."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .app import (
    ForceOption,
    RehearseOption,
    ResumeOption,
    RunOutputOption,
    SetOption,
    SpecArgument,
    app,
    print_info,
    print_result,
)
from .run_commands import print_timing

if TYPE_CHECKING:
    from ..pretraining.pretrain_spec import PretrainSpec


@app.command("pretrain", short_help="Train a language model on text, for labelling runs to start from.")
def pretrain(
    spec: SpecArgument,
    output: RunOutputOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    rehearse: RehearseOption = False,
) -> None:
    """Train a language model on text as described in SPEC, and write a run directory.

    Labelling runs can start from its weights.
    """
    from ..pretraining.pretrain_spec import PretrainSpec
    from ..spec import loading
    from .progress_bar import ProgressBar

    loaded = loading.load_as(PretrainSpec, spec, set_ or ())
    for path in loaded.imported:
        print_info(f"imported {path}")
    folder = output or Path("runs") / loaded.spec.name
    with ProgressBar() as progress:
        if rehearse:
            from ..rehearsal import rehearse as run_rehearsal

            metrics = run_rehearsal(loaded, progress=progress)
        else:
            from ..run import pretrain as run

            metrics = run(loaded, folder, resume=resume, force=force, progress=progress)
    if int(os.environ.get("RANK", "0")) == 0:
        _print_scores(metrics)
        print_timing(metrics["train"], "tokens")
        if not rehearse:
            _print_next_step(loaded.spec, folder)


def _print_scores(metrics: dict[str, Any]) -> None:
    if "validation" in metrics:
        scores = metrics["validation"]
        print_result(f"validation: loss {scores['loss']:.4f}, perplexity {scores['perplexity']:.2f}")


def _print_next_step(spec: PretrainSpec, folder: Path) -> None:
    print_result(f"run directory: {folder}")
    model = folder / "model"
    name = model if model.is_absolute() else f"./{model}"
    start = f"backbone.adapter={folder}" if spec.language_model.lora else f"backbone.name={name}"
    print_result(f"to start a labelling run from it: sltk train SPEC --set {start}")
