"""A pre-training run before it starts, for `sltk check`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from ..components.slots import Reader
from ..preview.estimate import Estimate, estimate
from ..preview.run_preview import RunPreview
from ..preview.summary import Row, component_text
from .corpus_text import TextCounts, count_text
from .pretrain_spec import PretrainSpec

_BOUNDARIES = {
    "tokenizer": "the tokenizer's special tokens",
    "both": "special tokens on both sides",
    "none": "no special tokens",
}


class PretrainingPreview(RunPreview[PretrainSpec]):
    """A pre-training run: train a language model on text."""

    title: ClassVar[str] = ": pre-training"

    @property
    def readers(self) -> Mapping[str, Reader | None]:
        """The readers of `corpus` and `validation`."""
        spec = self.loaded.spec
        return {"corpus": spec.corpus, "validation": spec.validation}

    def data_rows(self) -> Iterator[Row]:
        """Text, objective and snapshots."""
        spec = self.loaded.spec
        for name, reader in self.readers.items():
            if reader is not None:
                yield name, component_text(reader)
        blocks = f"blocks of {spec.block_size} tokens"
        yield "objective", f"{spec.objective}, {blocks}, {_BOUNDARIES[spec.boundaries]} around sentences"
        if spec.snapshots is not None:
            yield "snapshots", f"{spec.snapshots} per epoch, and the untrained model"

    def estimate(self) -> Estimate | None:
        """What the run needs; each batch has `batch_size` blocks."""
        spec = self.loaded.spec
        tokens = spec.trainer.batch_size * spec.block_size
        return estimate(spec.backbone, spec.trainer, tokens, language_model=True)

    def audit(self) -> TextCounts:
        """Count sentences and words."""
        return count_text(self.loaded.spec)
