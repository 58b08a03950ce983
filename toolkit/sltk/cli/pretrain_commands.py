"""`sltk pretrain`: train a language model on text."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from .app import (
    ForceOption,
    RehearseOption,
    ResumeOption,
    RunOutputOption,
    SetOption,
    SpecArgument,
    ThreadsOption,
    TrustOption,
    app,
    import_policy,
    print_result,
)
from .run_commands import check_kind, check_rehearsal, print_timing, train_run
from .terminal import results_are_stored


@app.command("pretrain", short_help="Train a language model on text, for labelling runs to start from.")
def pretrain(
    spec: SpecArgument,
    output: RunOutputOption = None,
    set_: SetOption = None,
    resume: ResumeOption = False,
    force: ForceOption = False,
    rehearse: RehearseOption = False,
    threads: ThreadsOption = None,
    trust_code: TrustOption = False,
) -> None:
    """Train a language model on text as described in SPEC, and write a run directory.

    Labelling runs can start from its weights.
    """
    from ..pretraining.pretrain_spec import PretrainSpec
    from ..spec import loading

    check_kind(spec, "pretrain")
    check_rehearsal(rehearse, output, resume=resume, force=force)
    loaded = loading.load_as(PretrainSpec, spec, set_ or (), import_policy(trust_code))
    folder = output or Path("runs") / loaded.spec.name
    metrics = train_run(loaded, folder, resume=resume, force=force, rehearse=rehearse)
    if metrics is None:
        return
    with results_are_stored():
        if scores := metrics.get("validation"):
            print_result(f"validation: loss {scores['loss']:.4f}, perplexity {scores['perplexity']:.2f}")
        print_timing(metrics["train"], "tokens")
        if not rehearse:
            print_result(f"run directory: {folder}")
            model = os.path.join(os.curdir, folder, "model")  # a name that starts with `.` or `/` is a folder
            start = (
                f"backbone.adapter={folder}" if loaded.spec.language_model.lora else f"backbone.name={model}"
            )
            print_result(f"to start a labelling run from it: sltk train SPEC --set {shlex.quote(start)}")
