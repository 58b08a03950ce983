"""The steps of `sltk pretrain`: train a language model on text, for a labelling run to start from.

corpus → Reader → text → tokenizer → blocks → Backbone → vectors → output layer → loss
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch

from ..components.backbones import precision
from ..components.slots import Reader
from ..errors import DataError, ModelError, Problem, SpecError
from ..models import memory_advice
from ..models.backbone_files import build_backbone
from ..nn.backbone import PackedBackbone
from ..nn.language_model import LanguageModel, mean_loss
from ..nn.token_prediction import MaskedNextTokens, MaskedTokens, Objective, next_tokens, without_loss
from ..runtime import processes
from ..runtime.progress import Progress
from ..subwords.mask_token import mask_token_id
from ..subwords.samples import IGNORED
from ..subwords.tokenization import no_vector
from ..training.epoch_batches import Examples
from ..training.fit import Fitted
from ..training.run_kind import RunKind
from ..training.task import Task
from .corpus import Blocks, CorpusCounts, fingerprint_of, is_written_for, write_blocks
from .corpus_text import Sentences, sources, texts
from .merging import Merging
from .pretrain_spec import PretrainSpec
from .snapshots import Snapshots, SnapshotSchedule, save_pretrained


@dataclass
class Pretraining:
    """A language model with everything needed to train it."""

    network: LanguageModel
    device: torch.device
    objective: Objective
    merging: Merging


class PretrainingRun(RunKind[PretrainSpec]):
    """Text → language model: the kind of run that `sltk pretrain` executes."""

    model: Pretraining

    @property
    def readers(self) -> Mapping[str, Reader | None]:
        """The readers of the text."""
        return {"corpus": self.spec.corpus, "validation": self.spec.validation}

    def prepare(self, progress: Progress, *, resume: bool) -> None:
        """Build the model, and write the text as blocks of token ids to a folder next to that of an existing run."""
        corpora = sources(self.spec)
        with memory_advice.loading_model():
            self.model = build(self.spec, corpora["corpus"])
        with memory_advice.encoding_data():
            self._write_blocks(corpora, progress, resume)
        incoming = self.run.incoming_corpus
        folder = incoming if incoming.exists() else self.run.corpus
        self._counts = {name: CorpusCounts.read(folder / name) for name in corpora}
        self.fingerprints = {name: fingerprint_of(folder / name) for name in corpora}
        for name in corpora:
            self._check_predicted(name, Blocks(folder / name, self._tokenizer, self.spec.block_size))
        snapshots = self.spec.snapshots
        self._schedule = SnapshotSchedule(snapshots, self._updates_per_epoch()) if snapshots else None
        processes.barrier()  # the main process moves the folder once all processes have read it

    def _write_blocks(self, corpora: Mapping[str, Sentences], progress: Progress, resume: bool) -> None:
        """Write the blocks in the main process, unless a resumed run already has them."""
        if processes.is_main_process():
            self.run.discard_incoming()
            backbone, corpus = self.model.network.backbone, self.run.corpus
            tokenizer, vectors = backbone.tokenizer, _vectors(backbone)
            if not (resume and all(is_written_for(corpus / name, tokenizer, self.spec) for name in corpora)):
                for name, sentences in corpora.items():
                    folder = self.run.incoming_corpus / name
                    counts = write_blocks(sentences(), tokenizer, self.spec, folder, vectors)
                    progress.note(f"{name}: {counts}")
        processes.barrier()

    @property
    def _tokenizer(self) -> Any:
        return self.model.network.backbone.tokenizer

    def _check_predicted(self, name: str, blocks: Blocks) -> None:
        """Check that tokens of a text are predicted in the first epoch: the loss of none would be 0.

        Raises:
            DataError: none is masked.
        """
        labels = (self.model.objective([block])["labels"] for block in blocks)
        if not any(bool((each != IGNORED).any()) for each in labels):
            about = f"no token of the {name} text is masked: {len(blocks)} blocks of {self.spec.block_size} tokens"
            note = "use more text, or mask a larger fraction"
            raise DataError(Problem(about, path="mask_fraction", notes=(note,)))

    def _updates_per_epoch(self) -> int:
        trainer = self.spec.trainer
        batches = math.ceil(self._counts["corpus"].blocks / (trainer.batch_size * processes.world_size()))
        return math.ceil(batches / trainer.gradient_accumulation)

    def task(self) -> Task:
        """Train on the blocks of the corpus; evaluate the loss on those of the validation text."""
        blocks = {
            name: Blocks(self.run.corpus / name, self._tokenizer, self.spec.block_size)
            for name in self._counts
        }
        self._blocks, self._validation = blocks["corpus"], blocks.get("validation")
        schedule, folder = self._schedule, self.run.steps
        backbone, merging = self.model.network.backbone, self.model.merging
        callbacks = (Snapshots(backbone, merging, self.spec, folder, schedule),) if schedule else ()
        return Task(
            self.model.network,
            Examples(self._blocks, self.model.objective, without_loss, self._blocks.set_epoch),
            self.model.device,
            self.spec.seed,
            evaluate=self._evaluate if self._validation is not None else None,
            describe=self._first_words,
            callbacks=callbacks,
        )

    def _first_words(self, number: int) -> str:
        """Identify a block in an error message."""
        text = self._tokenizer.decode(self._blocks[number].ids.tolist())
        return f"block {number + 1}: {str(text)[:100]!r}"

    def _evaluate(self) -> dict[str, float]:
        scores = self._validation_scores()
        return {"loss": scores["loss"], "perplexity": scores["perplexity"], "score": -scores["loss"]}

    def _validation_scores(self) -> dict[str, Any]:
        """Loss per token and perplexity; the same tokens are masked each time."""
        assert self._validation is not None
        blocks = iter(self._validation)
        size = max(1, self.spec.trainer.eval_batch_tokens // self.spec.block_size)
        batches = map(self.model.objective, iter(lambda: list(islice(blocks, size)), []))
        loss, count = mean_loss(self.model.network, batches, self.model.device, processes.divide)
        return {"loss": loss, "perplexity": _perplexity(loss), "predicted_tokens": count}

    def score(self, fitted: Fitted, progress: Progress) -> dict[str, Any]:
        """Counts of the text, and the scores of the saved model on the validation text."""
        metrics: dict[str, Any] = {name: asdict(counts) for name, counts in self._counts.items()}
        if self._validation is not None:
            with self.model.merging.merged():
                metrics["validation"] |= self._validation_scores()
        return metrics

    def cost(self, fitted: Fitted) -> dict[str, Any]:
        """The cost of training, in tokens instead of words."""
        cost = {key: value for key, value in fitted.cost.items() if not key.startswith("words")}
        tokens = round(cost["epochs"] * len(self._blocks) * self.spec.block_size)
        seconds = max(cost["seconds"] - cost["evaluation_seconds"], 1e-9)
        return {
            **cost,
            "perplexity": None if cost["loss"] is None else _perplexity(cost["loss"]),
            "tokens": tokens,
            "tokens_per_second": round(tokens / seconds, 1),
        }

    def save(self, metrics: dict[str, Any]) -> None:
        """Write the model for a labelling run to start from."""
        steps, epochs = metrics["train"]["steps"], metrics["train"]["epochs"]
        folder, backbone = self.run.model, self.model.network.backbone
        with self.model.merging.merged():
            save_pretrained(backbone, self.spec, folder, snapshot=None, update=steps, epoch=epochs)


def _perplexity(loss: float) -> float:
    return math.exp(min(loss, 700))


def build(spec: PretrainSpec, corpus: Sentences) -> Pretraining:
    """Build the untrained language model that the spec describes; `corpus` trains its tokenizer, if it needs one.

    Raises:
        ModelError: the model is not available, or cannot do what the spec requires.
        SpecError: the mask would leak, or a block is longer than the model reads.
    """
    backbone = build_backbone(
        spec, lambda: (text for text, _ in texts(corpus(), spec.spacing)), language_model=True
    )
    if spec.objective == "clm" and any(backbone.flags) and not spec.allow_leak:
        raise SpecError(Problem("`objective: clm` needs causal blocks", path="backbone.unmask"))
    if not backbone.packs:
        about = "the family uses its own attention, so it cannot be pre-trained on packed blocks"
        raise ModelError(Problem(about, path="backbone.name"))
    if backbone.max_length is not None and spec.block_size > backbone.max_length:
        about = f"the model reads {backbone.max_length} tokens at once, and a block has {spec.block_size}"
        raise SpecError(Problem(about, path="block_size"))
    objective = _objective(spec, backbone)
    device = precision.device()
    network = LanguageModel(backbone).to(device)
    return Pretraining(network, device, objective, Merging(backbone, spec))


def _vectors(backbone: PackedBackbone) -> int:
    """Number of tokens for which the model has a vector."""
    model: Any = backbone.model
    return len(model.get_input_embeddings().weight)


def _objective(spec: PretrainSpec, backbone: PackedBackbone) -> Objective:
    """The objective of a spec.

    Raises:
        ModelError: the mask token is not a token of the tokenizer, or the model has no vector for it.
    """
    if spec.objective == "clm":
        return next_tokens
    tokenizer: Any = backbone.tokenizer
    mask_id = mask_token_id(
        tokenizer.backend_tokenizer, spec.mask_token, tokenizer.mask_token, spec.objective
    )
    if mask_id >= _vectors(backbone):
        raise no_vector(tokenizer.convert_ids_to_tokens(mask_id), mask_id, _vectors(backbone))
    masked = MaskedNextTokens if spec.objective == "mntp" else MaskedTokens
    return masked(tokenizer, spec.seed, mask_id, spec.fraction)
