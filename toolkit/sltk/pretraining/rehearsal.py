"""`sltk pretrain SPEC --rehearse`: all of a pre-training run, on a tiny model and a few sentences.

The substitutions are those of rehearsals of runs (see rehearsal.py one folder up), and each is told.
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..components.readers.holdout import HoldoutReader
from ..components.readers.text import TextReader
from ..components.slots import Backbone, Reader
from ..data.raw import raw_examples, read
from ..errors import RunError
from ..preview.estimate import check_model
from ..rehearsal import SENTENCES, absences, small_backbone, small_trainer
from ..runtime.progress import Progress
from ..spec.loading import Loaded
from .corpus_text import texts
from .pretrain_spec import PretrainSpec

_BLOCK = 16
_SNAPSHOTS = 2
_EXAMPLE_LINES = 64
"""An example is repeated, to fill a few blocks."""


def rehearse(loaded: Loaded[PretrainSpec], *, progress: Progress | None = None) -> dict[str, Any]:
    """Run all of a pretrain spec in small, in a temporary folder that is gone afterwards.

    Returns:
        What `metrics.json` of the small run holds.

    Raises:
        InputError: what the spec says does not fit the true model, as far as its shape is known, or the tiny one.
        RunError: the run fails, or labelling cannot start from what it wrote.
    """
    from .pipeline import pretrain

    progress = progress or Progress()
    with loaded.placing():
        check_model(loaded.spec.backbone)
    with tempfile.TemporaryDirectory(prefix="sltk-rehearsal-") as name:
        folder = Path(name)
        small = substituted(loaded.spec, folder, progress)
        metrics = pretrain(replace(loaded, spec=small), folder / "run", progress=progress)
        _start_from(small, folder / "run", progress)
    progress.note("rehearsal: it works; the loss means nothing, and nothing is left behind")
    return metrics


def substituted(spec: PretrainSpec, folder: Path, progress: Progress) -> PretrainSpec:
    """The spec in small; text that is made for it lies in `folder`."""
    block = min(spec.block_size, _BLOCK)
    progress.note(f"rehearsal: blocks of {block} tokens for {spec.block_size}")
    if spec.snapshots is not None and spec.snapshots > _SNAPSHOTS:
        progress.note(f"rehearsal: {_SNAPSHOTS} snapshots an epoch for {spec.snapshots}")
    read = {
        name: _few(name, reader, spec, folder, progress)
        for name in ("corpus", "validation")
        if (reader := getattr(spec, name)) is not None
    }
    trainer = small_trainer(spec.trainer, progress)
    return spec.model_copy(
        update={
            **read,
            "block_size": block,
            "snapshots": None if spec.snapshots is None else min(spec.snapshots, _SNAPSHOTS),
            "backbone": _language_model(spec, folder, progress),
            "trainer": trainer.model_copy(
                update={"gradient_accumulation": min(trainer.gradient_accumulation, 2)}
            ),
        }
    )


def _few(name: str, reader: Reader, spec: PretrainSpec, folder: Path, progress: Progress) -> Reader:
    """A few sentences of the reader's own as a text file; or its example, where its data is not here."""
    if isinstance(reader, HoldoutReader):
        return reader
    absent = next(absences(reader), None)
    if absent is None:
        source = f"the first {SENTENCES} sentences"
        some = read(reader.model_copy(update={"limit": SENTENCES}))
        few = [text for text, _ in texts(some, spec.spacing)]
    else:
        source = f"examples for {absent}"
        few = [" ".join(sentence.words) for sentence in raw_examples(reader).sentences]
    lines = [" ".join(text.split()) for text in few if text.strip()]
    path = folder / f"{name}.txt"
    times = -(-_EXAMPLE_LINES // max(1, len(lines)))
    progress.note(f"rehearsal: {name}: {source}{f', {times} times' if times > 1 else ''}")
    path.write_text("".join(f"{line}\n" for line in lines * times), encoding="utf-8")
    return TextReader(path=path)


def _language_model(spec: PretrainSpec, folder: Path, progress: Progress) -> Backbone:
    """A tiny model of the same family; where pretrained weights are adapted, one that is on disk as they are."""
    small = small_backbone(spec.backbone, progress)
    if spec.language_model.lora is None:
        return small  # type: ignore[no-any-return]
    return _on_disk(small, spec, folder)


def _on_disk(small: Any, spec: PretrainSpec, folder: Path) -> Backbone:
    """The tiny model saved, so that adapters have a base to name."""
    from ..components.backbones.precision import device
    from ..nn.backbone import BuildContext

    fresh = small.model_copy(update={"lora": None, "quantization": None})
    texts = [(folder / "corpus.txt").read_text(encoding="utf-8")]
    context = BuildContext(
        device=device(), seed=spec.seed, texts=lambda: texts, language_model=True, prove=False
    )
    built = fresh.build(context)
    built.language_model.save_pretrained(folder / "base")
    built.tokenizer.save_pretrained(folder / "base")
    update = {"name": str(folder / "base"), "init": "pretrained", "config": None, "tokenizer": None}
    return small.model_copy(update=update)  # type: ignore[no-any-return]


def _start_from(spec: PretrainSpec, run: Path, progress: Progress) -> None:
    """Build the backbone of a labelling run from what was written.

    Raises:
        RunError: there is nothing to start from.
    """
    from ..components.backbones.precision import device
    from ..nn.backbone import BuildContext

    backbone = spec.language_model
    if backbone.lora is not None:
        update: dict[str, Any] = {"adapter": str(run)}
    else:
        update = {"name": str(run / "model"), "init": "pretrained", "config": None, "tokenizer": None}
    started = backbone.model_copy(update=update).build(BuildContext(device=device(), seed=spec.seed))
    if not started.flags:
        raise RunError("rehearsal: the model that was written has no blocks")
    way = "backbone.adapter" if backbone.lora is not None else "backbone.name"
    progress.note(f"rehearsal: labelling can start from it by `{way}`")
