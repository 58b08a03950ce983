"""READ THIS FIRST: pre-training, a straight line from text to a model that labelling starts from.

corpus → Reader → text → tokenizer → blocks → Backbone → vectors → output layer → loss
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..components.backbones import precision
from ..data.fingerprint import Fingerprint
from ..errors import ModelError, Problem, SpecError
from ..files import atomic
from ..nn.backbone import BuildContext, PackedBackbone
from ..nn.language_model import LanguageModel, mean_loss
from ..nn.objectives import MaskedTokens, NextToken, Objective, without_loss
from ..rundir.directory import RunDirectory
from ..runtime import processes
from ..runtime.progress import Progress
from ..spec import loading
from ..spec.loading import Loaded
from .corpus import Account, Blocks, batches, fingerprint_of, first_words, is_written_for, write_blocks
from .corpus_text import Sentences, sources, texts
from .pretrain_spec import PretrainSpec
from .snapshots import Snapshots, check_moments, save_pretrained

Spec = str | Path | Mapping[str, Any] | PretrainSpec | Loaded[PretrainSpec]


@dataclass
class Pretraining:
    """A language model with what is needed to train it."""

    network: LanguageModel
    device: torch.device
    objective: Objective

    @property
    def backbone(self) -> PackedBackbone:
        """The model, its tokenizer and its mask."""
        return self.network.backbone


def pretrain(
    spec: Spec,
    output: str | Path | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Train a language model on text, and write a run directory whose model labelling can start from.

    Args:
        spec: a YAML file, or the same as a mapping, or a spec that is loaded already.
        output: the run directory; unset: `runs/NAME`.
        resume: go on with the run that is there. It ends as if it had never been interrupted.
        force: replace the run that is there, once the new one has its text and its model.
        progress: hears how it goes.

    Returns:
        What `metrics.json` holds.

    Raises:
        InputError: spec, text or model do not work; nothing has been trained then.
        RunError: training failed; `resume` goes on from the last checkpoint.
    """
    loaded = loading.load_as(PretrainSpec, spec)
    wanted = loaded.spec
    told = progress if progress and processes.is_main_process() else Progress()
    run = RunDirectory(Path(output) if output else Path("runs") / wanted.name)
    finished = run.prepare(wanted, resume=resume, force=force)
    processes.barrier()
    if finished is not None:
        _remove_text(run)
        told.note(f"{run.folder} is finished; nothing to resume")
        return finished
    with loaded.placing(), _nothing_left_aside(run):
        read = sources(wanted)
        made = build(wanted, read["corpus"])
        text = _written(wanted, read, made.backbone.tokenizer, run, told, resume)
        moments = check_moments(wanted.snapshots, _updates_per_epoch(wanted, text.accounts["corpus"].blocks))
        log = run.start(
            wanted, made, text.identities, told, resume=resume, force=force, corpus=text.coming
        )  # fmt: skip
    processes.barrier()
    blocks = _opened(wanted, text, made.backbone.tokenizer, run)
    kept = (Snapshots(made.backbone, wanted, run.steps, moments),) if moments is not None else ()
    metrics = _trained(wanted, made, blocks, run, log, resume, kept)
    if processes.is_main_process():
        train = metrics["train"]
        save_pretrained(
            made.backbone, wanted, run.model, snapshot=None, update=train["steps"], epoch=train["epochs"]
        )
        run.finish(metrics)
    _remove_text(run)
    processes.barrier()
    return metrics


@contextmanager
def _nothing_left_aside(run: RunDirectory) -> Iterator[None]:
    """Inside, text may be written aside; of a run that is refused nothing is left."""
    try:
        yield
    finally:
        if processes.is_main_process():
            atomic.remove(run.coming_corpus)


def _remove_text(run: RunDirectory) -> None:
    """Remove the text of a finished run: it, or its run before it was killed, needs it no more."""
    if processes.is_main_process():
        atomic.remove(run.corpus)
        atomic.remove(run.coming_corpus)


def build(spec: PretrainSpec, corpus: Sentences) -> Pretraining:
    """The untrained language model that the spec describes; `corpus` is what a tokenizer is trained on.

    Raises:
        ModelError: it cannot be had or cannot do what the spec asks.
        SpecError: the mask would leak, or a block is longer than the model reads.
    """
    device = precision.device()
    context = BuildContext(
        device=device,
        seed=spec.seed,
        texts=lambda: (text for text, _ in texts(corpus(), spec.spacing)),
        gradient_checkpointing=spec.trainer.gradient_checkpointing,
        language_model=True,
    )
    backbone = spec.backbone.build(context)
    if spec.objective == "clm" and any(backbone.flags) and not spec.allow_leak:
        raise SpecError(Problem("`objective: clm` needs causal blocks", path="backbone.unmask"))
    if not backbone.packs:
        about = "the family brings its own attention, and cannot be pre-trained on packed blocks"
        raise ModelError(Problem(about, path="backbone.name"))
    if backbone.max_length is not None and spec.block_size > backbone.max_length:
        about = f"the model reads {backbone.max_length} tokens at once, and a block has {spec.block_size}"
        raise SpecError(Problem(about, path="block_size"))
    asked: Objective = NextToken()
    if spec.objective == "mlm":
        asked = MaskedTokens(backbone.tokenizer, spec.seed)
    return Pretraining(LanguageModel(backbone).to(device), device, asked)


@dataclass(frozen=True)
class _Written:
    """The text as blocks on disk."""

    coming: Path | None
    """Where it lies until the run is accepted; None where it is that of a run that is resumed."""
    accounts: dict[str, Account]
    identities: dict[str, Fingerprint]


def _written(
    spec: PretrainSpec,
    read: Mapping[str, Sentences],
    tokenizer: Any,
    run: RunDirectory,
    progress: Progress,
    resume: bool,
) -> _Written:
    """The text as blocks on disk; the first process writes them, unless a run that is resumed has its own."""
    if processes.is_main_process():
        atomic.remove(run.coming_corpus)
        if not (resume and all(is_written_for(run.corpus / name, tokenizer, spec) for name in read)):
            for name, sentences in read.items():
                account = write_blocks(sentences(), tokenizer, spec, run.coming_corpus / name)
                progress.note(f"{name}: {account}")
    processes.barrier()
    coming = run.coming_corpus if run.coming_corpus.exists() else None
    folder = coming or run.corpus
    accounts = {name: found for name in read if (found := Account.of(folder / name))}
    written = _Written(coming, accounts, {name: fingerprint_of(folder / name) for name in read})
    processes.barrier()  # the first one moves the folder once all have seen it
    return written


@dataclass(frozen=True)
class _Texts:
    """The blocks of corpus and validation, and what became of the text."""

    train: Blocks
    validation: Blocks | None
    accounts: dict[str, Account]


def _opened(spec: PretrainSpec, written: _Written, tokenizer: Any, run: RunDirectory) -> _Texts:
    """The text of a run that was accepted."""
    blocks = {name: Blocks(run.corpus / name, tokenizer, spec.block_size) for name in written.accounts}
    return _Texts(blocks["corpus"], blocks.get("validation"), written.accounts)


def _updates_per_epoch(spec: PretrainSpec, blocks: int) -> int:
    batches_per_epoch = math.ceil(blocks / (spec.trainer.batch_size * processes.world_size()))
    return math.ceil(batches_per_epoch / spec.trainer.gradient_accumulation)


def _trained(
    spec: PretrainSpec,
    made: Pretraining,
    texts: _Texts,
    run: RunDirectory,
    progress: Progress,
    resume: bool,
    callbacks: tuple[Any, ...],
) -> dict[str, Any]:
    """Train the model in place; what `metrics.json` holds."""
    from ..training.fit import Task, fit
    from ..training.trainer import Examples  # Trainer takes seconds to import: only here

    def score() -> dict[str, float]:
        scores = _scores(spec, made, texts.validation)
        return {"loss": scores["loss"], "perplexity": scores["perplexity"], "score": -scores["loss"]}

    task = Task(
        made.network,
        Examples(texts.train, made.objective, without_loss, texts.train.set_epoch),
        made.device,
        spec.seed,
        evaluate=score if texts.validation is not None else None,
        describe=lambda number: first_words(texts.train[number], made.backbone.tokenizer),
        callbacks=callbacks,
    )
    cost = fit(task, spec.trainer, run.checkpoints, progress, resume=resume).cost
    metrics: dict[str, Any] = {name: account.as_json() for name, account in texts.accounts.items()}
    if texts.validation is not None:
        metrics["validation"] = {**metrics["validation"], **_scores(spec, made, texts.validation)}
    return {**metrics, "train": _in_tokens(cost, len(texts.train) * spec.block_size)}


def _scores(spec: PretrainSpec, made: Pretraining, blocks: Blocks | None) -> dict[str, Any]:
    """Loss a token and perplexity; tokens are masked the same each time."""
    assert blocks is not None
    size = max(1, spec.trainer.eval_batch_tokens // spec.block_size)
    loss, count = mean_loss(made.network, batches(blocks, size, made.objective), made.device)
    return {"loss": loss, "perplexity": math.exp(min(loss, 700)), "predicted_tokens": count}


def _in_tokens(cost: dict[str, Any], tokens_per_epoch: int) -> dict[str, Any]:
    """What training cost, counted in tokens that were read."""
    tokens = round(cost["epochs"] * tokens_per_epoch)
    seconds = max(cost["seconds"] - cost["evaluation_seconds"], 1e-9)
    left = {key: value for key, value in cost.items() if key not in ("words", "words_per_second")}
    perplexity = math.exp(min(cost["loss"], 700)) if cost["loss"] is not None else None
    return {
        **left,
        "perplexity": perplexity,
        "tokens": tokens,
        "tokens_per_second": round(tokens / seconds, 1),
    }


__all__ = ["Pretraining", "build", "pretrain"]
