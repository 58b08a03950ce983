"""`--rehearse`: execute a whole run on a tiny model and a few sentences, to find errors early.

A rehearsal replaces what is large or out of reach: pretrained weights by fresh weights of a tiny model of the same
architecture, its tokenizer by one trained on the data, and a missing data file by the example of its reader.
Mask, quantization, LoRA, aligner, head, optimizer, metrics, saving, loading, export and prediction are those of
the spec. Every substitution is reported.

    small_parts.py          smaller backbones, trainers and readers, for any kind of run
    small_labelling.py      a small `sltk train`, and its checks
    small_pretraining.py    a small `sltk pretrain`, and its checks
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from .. import run
from ..pretraining.pretrain_spec import PretrainSpec
from ..preview.model_check import check_model
from ..runtime.progress import Progress
from ..spec.loading import Loaded
from . import small_labelling, small_pretraining


def rehearse(loaded: Loaded[Any], *, progress: Progress | None = None) -> dict[str, Any]:
    """Execute a small version of a run of any kind in a temporary folder, which is removed afterwards.

    Returns:
        The content of `metrics.json` of the small run.

    Raises:
        InputError: the spec does not fit the true model, as far as its shape is known, or the tiny one.
        RunError: the run fails, or its saved model does not work.
    """
    progress = progress or Progress()
    is_pretraining = isinstance(loaded.spec, PretrainSpec)
    kind = small_pretraining if is_pretraining else small_labelling
    do_run = run.pretrain if is_pretraining else run.train
    with loaded.locate_errors():
        check_model(loaded.spec.backbone)
    with tempfile.TemporaryDirectory(prefix="sltk-rehearsal-") as name:
        folder = Path(name)
        small = kind.substituted(loaded.spec, folder, progress)
        metrics = do_run(replace(loaded, spec=small), folder / "run", progress=progress)
        kind.verify(small, folder, progress)
    progress.note("rehearsal: every step works; the scores are meaningless, and all files were removed")
    return metrics
