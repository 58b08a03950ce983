"""`sltk pretrain`: language modelling, before labelling."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from .frame import ForceOption, RehearseOption, ResumeOption, RunOutputOption, SetOption, app, tell, write


@app.command("pretrain", short_help="Train a language model on text, for labelling to start from.")
def pretrain(
    spec: Annotated[Path, typer.Argument(metavar="SPEC", help="the YAML file of a pre-training run")],
    output: RunOutputOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    rehearse: RehearseOption = False,
) -> None:
    """Train a language model on text as SPEC says, and write a run directory for labelling to start from."""
    from ..pretraining.pretrain_spec import PretrainSpec
    from ..spec import loading
    from .progress import shown

    loaded = loading.load_as(PretrainSpec, spec, set_ or ())
    for path in loaded.imported:
        tell(f"imported {path}")
    folder = output or Path("runs") / loaded.experiment.name
    with shown() as progress:
        if rehearse:
            from ..pretraining.rehearsal import rehearse as run_rehearsal

            metrics = run_rehearsal(loaded, progress=progress)
        else:
            from ..pretraining.pipeline import pretrain as run

            metrics = run(loaded, folder, resume=resume, force=force, progress=progress)
    if int(os.environ.get("RANK", "0")) == 0:
        _say_how_it_went(metrics)
        if not rehearse:
            _say_how_to_go_on(loaded.experiment, folder)


def _say_how_it_went(metrics: dict[str, Any]) -> None:
    timing = metrics["train"]
    if "validation" in metrics:
        found = metrics["validation"]
        write(f"validation: loss {found['loss']:.4f}, perplexity {found['perplexity']:.2f}")
    rate = f"{timing['tokens_per_second']:,.0f} tokens/s"
    memory = f"{timing['peak_memory_bytes'] / 2**30:.2f} GiB"
    write(f"{timing['steps']} updates in {timing['seconds']:,.0f} s, {rate}, peak memory {memory}")


def _say_how_to_go_on(spec: Any, folder: Path) -> None:
    write(f"run directory: {folder}")
    model = folder / "model"
    name = model if model.is_absolute() else f"./{model}"
    start = f"backbone.adapter={folder}" if spec.language_model.lora else f"backbone.name={name}"
    write(f"start labelling from it: sltk train SPEC --set {start}")
