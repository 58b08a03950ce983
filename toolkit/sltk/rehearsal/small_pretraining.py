"""`sltk pretrain SPEC --rehearse`: the spec with little text and a tiny model, and what is checked afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..components.backbones.precision import device
from ..components.backbones.pretrained import PretrainedBackbone
from ..components.readers.holdout import HoldoutReader
from ..components.readers.text import TextReader
from ..components.slots import Reader
from ..data.raw import raw_examples, read
from ..errors import RunError
from ..nn.backbone import BuildContext
from ..pretraining.corpus_text import texts
from ..pretraining.pretrain_spec import PretrainSpec
from ..runtime.progress import Progress
from .small_parts import SENTENCES, absences, small_backbone, small_trainer

_BLOCK = 16
_SNAPSHOTS = 2
_EXAMPLE_LINES = 64
"""A text is repeated to at least this many lines, to fill a few blocks."""


def substituted(spec: PretrainSpec, folder: Path, progress: Progress) -> PretrainSpec:
    """Make a small version of the spec; text that is made for it is written to `folder`."""
    block = min(spec.block_size, _BLOCK)
    progress.note(f"rehearsal: blocks of {block} tokens instead of {spec.block_size}")
    if spec.snapshots is not None:
        progress.note(f"rehearsal: {_SNAPSHOTS} snapshots per epoch instead of {spec.snapshots}")
    if spec.mask_token is not None:
        progress.note(
            f"rehearsal: the mask token of the tiny model's tokenizer instead of `{spec.mask_token}`"
        )
    readers = {
        name: _small_reader(name, reader, spec, folder, progress)
        for name in ("corpus", "validation")
        if (reader := getattr(spec, name)) is not None
    }
    trainer = small_trainer(spec.trainer, progress)
    accumulation = min(trainer.gradient_accumulation, 2)
    return spec.model_copy(
        update={
            **readers,
            "block_size": block,
            "mask_token": None,
            "snapshots": None if spec.snapshots is None else min(spec.snapshots, _SNAPSHOTS),
            "backbone": _small_language_model(spec, folder, progress),
            "trainer": trainer.model_copy(update={"gradient_accumulation": accumulation}),
        }
    )


def _small_reader(name: str, reader: Reader, spec: PretrainSpec, folder: Path, progress: Progress) -> Reader:
    """Write a few sentences of the reader to a text file, or its example if its data is not on this machine."""
    if isinstance(reader, HoldoutReader):
        return reader
    absent = next(absences(reader), None)
    if absent is None:
        source = f"the first {SENTENCES} sentences"
        sentences = read(reader.model_copy(update={"limit": SENTENCES}))
        lines = [text for text, _ in texts(sentences, spec.spacing)]
    else:
        source = f"examples instead of {absent}"
        lines = [" ".join(sentence.words) for sentence in raw_examples(reader).sentences]
    lines = [" ".join(text.split()) for text in lines if text.strip()]
    path = folder / f"{name}.txt"
    times = -(-_EXAMPLE_LINES // max(1, len(lines)))
    progress.note(f"rehearsal: {name}: {source}{f', {times} times' if times > 1 else ''}")
    path.write_text("".join(f"{line}\n" for line in lines * times), encoding="utf-8")
    return TextReader(path=path)


def _small_language_model(spec: PretrainSpec, folder: Path, progress: Progress) -> PretrainedBackbone:
    """A tiny model of the same family; saved to disk for LoRA, so that the adapters have a base to name."""
    small = small_backbone(spec.language_model, progress)
    if spec.language_model.lora is None:
        return small
    fresh = small.model_copy(update={"lora": None, "quantization": None})
    corpus = [(folder / "corpus.txt").read_text(encoding="utf-8")]
    context = BuildContext(
        device=device(), seed=spec.seed, texts=lambda: corpus, language_model=True, prove=False
    )
    model: Any = fresh.build(context)
    model.language_model.save_pretrained(folder / "base")
    model.tokenizer.save_pretrained(folder / "base")
    return small.model_copy(update=_pretrained_at(folder / "base"))


def _pretrained_at(folder: Path) -> dict[str, Any]:
    return {"name": str(folder), "init": "pretrained", "config": None, "tokenizer": None}


def verify(small: PretrainSpec, folder: Path, progress: Progress) -> None:
    """Check that a labelling run can build its backbone from what was written.

    Raises:
        RunError: the saved model has no blocks.
    """
    backbone, run = small.language_model, folder / "run"
    key, update = "backbone.name", _pretrained_at(run / "model")
    if backbone.lora is not None:
        key, update = "backbone.adapter", {"adapter": str(run)}
    started = backbone.model_copy(update=update).build(BuildContext(device=device(), seed=small.seed))
    if not started.flags:
        raise RunError("rehearsal: the saved model has no blocks")
    progress.note(f"rehearsal: labelling can start from it with `{key}`")
