"""What a pretrain spec would do, in a few lines, and which of its files are not there. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from ..estimates.estimate import Estimate, estimate
from ..slots import Reader
from ..spec import Experiment
from ..specs.summary import backbone_lines, component_text, summary_line, trainer_text
from .spec import PretrainSpec


def summary_lines(spec: PretrainSpec) -> Iterator[str]:
    """The name, then a line each for text, objective, model and training, and for what it is expected to take."""
    yield f"{spec.name} (seed {spec.seed}): pre-training"
    for name, reader in readers(spec).items():
        yield summary_line(name, component_text(reader))
    boundaries = {"tokenizer": "the tokenizer's own marks", "both": "marks on both sides", "none": "no marks"}
    yield summary_line(
        "objective",
        f"{spec.objective}, blocks of {spec.block_size} tokens, {boundaries[spec.boundaries]} around sentences",
    )
    if spec.snapshots is not None:
        yield summary_line("snapshots", f"{spec.snapshots} an epoch, and the untrained model")
    yield from backbone_lines(spec.backbone)
    yield summary_line("trainer", trainer_text(spec.trainer))
    expected = expected_of(spec)
    for label, text in expected.lines() if expected is not None else ():
        yield summary_line(label, text)


def readers(spec: PretrainSpec) -> dict[str, Reader]:
    """What is read, by the key that says it."""
    found = {"corpus": spec.corpus, "validation": spec.validation}
    return {name: reader for name, reader in found.items() if reader is not None}


def expected_of(spec: PretrainSpec) -> Estimate | None:
    """What the run would take, as far as the model's shape is known; a batch has its blocks' tokens.

    Raises:
        ModelError: the model's files on this machine are damaged.
    """
    as_run = Experiment.model_construct(  # type: ignore[call-arg]  # of which estimates look at no more
        backbone=spec.backbone, trainer=spec.trainer, max_length=None, instruct=None
    )
    return estimate(as_run, block_tokens=spec.trainer.batch_size * spec.block_size)
