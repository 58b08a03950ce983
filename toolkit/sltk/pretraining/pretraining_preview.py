"""Preview of a pre-training run for `sltk check`. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..components.backbones import local_tokenizer
from ..components.backbones.pretrained import TrainedTokenizer
from ..components.slots import Reader
from ..errors import Problem
from ..masks import is_causal
from ..preview.estimate import Estimate, estimate
from ..preview.run_preview import RunPreview
from ..preview.summary import Row, component_text
from ..subwords.mask_token import mask_token_id
from .corpus_text import sources
from .pretrain_spec import PretrainSpec

_BOUNDARIES = {
    "tokenizer": "the tokenizer's special tokens",
    "both": "special tokens on both sides",
    "none": "no special tokens",
}


@dataclass(frozen=True)
class TextCounts:
    """Sentences and words of each text of a pretrain spec."""

    counts: dict[str, dict[str, int]]
    warnings: Sequence[Problem] = ()

    def as_json(self) -> dict[str, Any]:
        """Counts by the key of the spec."""
        return {"data": self.counts}

    def lines(self) -> Iterator[str]:
        """One line per text."""
        for name, count in self.counts.items():
            yield f"{name}: {count['sentences']:,} sentences, {count['words']:,} words"


class PretrainingPreview(RunPreview[PretrainSpec]):
    """A pre-training run: train a language model on text."""

    title: ClassVar[str] = ": pre-training"

    @property
    def readers(self) -> Mapping[str, Reader | None]:
        """The readers of `corpus` and `validation`."""
        spec = self.loaded.spec
        return {"corpus": spec.corpus, "validation": spec.validation}

    def check_model(self) -> None:
        """Check the mask token too, if the tokenizer is on this machine; see `RunPreview.check_model`."""
        super().check_model()
        spec, backbone = self.loaded.spec, self.loaded.spec.language_model
        if spec.mask_token is None or isinstance(backbone.tokenizer, TrainedTokenizer):
            return
        with self.loaded.locate_errors():
            tokenizer = local_tokenizer.find(backbone, ())
            if tokenizer is not None:
                mask_token_id(tokenizer.backend, spec.mask_token, None, spec.objective)

    def warnings(self) -> list[Problem]:
        """Settings that work, but rarely as intended."""
        spec, found = self.loaded.spec, super().warnings()
        if spec.objective != "mntp" or not is_causal(spec.language_model.unmask):
            return found
        about = "`objective: mntp` with causal blocks only predicts masked tokens from the text before them"
        note = "set `unmask` to the mask of the labelling run that starts from it, for example `1111`"
        problem = Problem(about, path="backbone.unmask", notes=(note,))
        return [*found, self.loaded.located(problem)]

    def data_rows(self) -> Iterator[Row]:
        """Text, objective and snapshots."""
        spec = self.loaded.spec
        for name, reader in self.readers.items():
            if reader is not None:
                yield name, component_text(reader)
        blocks = f"blocks of {spec.block_size} tokens"
        yield "objective", f"{spec.objective}, {blocks}, {_BOUNDARIES[spec.boundaries]} around sentences"
        if spec.objective != "clm":
            own = "the tokenizer's mask token" + (" or `_`" if spec.objective == "mntp" else "")
            token = own if spec.mask_token is None else f"`{spec.mask_token}`"
            yield "masked", f"{100 * spec.fraction:.4g} % of the tokens, with {token}"
        if spec.merge is not None:
            yield "merge", f"base + {spec.merge:.4g} * (trained - base)"
        if spec.snapshots is not None:
            yield "snapshots", f"{spec.snapshots} per epoch, and the untrained model"

    def estimate(self) -> Estimate | None:
        """Estimate the model size and memory; each batch has `batch_size` blocks."""
        spec = self.loaded.spec
        found = estimate(
            spec.backbone, spec.trainer, lambda blocks: blocks * spec.block_size, language_model=True
        )
        if found is None or found.memory_cpu_bytes is None or found.parameters is None:
            return found
        # The weights before training, and those of training while a model is saved.
        is_copied = spec.merge not in (None, 1) and spec.language_model.lora is None
        copies = 2 * 4 * found.parameters if is_copied else 0
        return replace(found, memory_cpu_bytes=found.memory_cpu_bytes + copies)

    def audit(self, similarity: float | None = None) -> TextCounts:
        """Count sentences and words, without holding the text in memory."""
        counts = {}
        for name, sentences in sources(self.loaded.spec).items():
            lengths = [len(sentence) for sentence in sentences()]
            counts[name] = {"sentences": len(lengths), "words": sum(lengths)}
        return TextCounts(counts)
