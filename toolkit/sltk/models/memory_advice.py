"""What needs much memory in a run, and what to lower if there is too little."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ..files.memory_shortage import allocating
from ..spec.recipes import RECIPES
from ..spec.trainer_settings import TrainerSpec

_ESTIMATE = "`sltk check` estimates the memory of a run before it starts"


def reading_data() -> AbstractContextManager[None]:
    """Explain exhausted memory in code that reads data."""
    return allocating("reading the data", "read less at once: `limit` of the reader, or smaller files")


def loading_model() -> AbstractContextManager[None]:
    """Explain exhausted memory in code that builds or loads a model."""
    return allocating(
        "loading the model",
        "choose a smaller model, `dtype: bfloat16`, or `quantization: {type: nf4}` with `lora`",
        _ESTIMATE,
    )


def encoding_data() -> AbstractContextManager[None]:
    """Explain exhausted memory in code that splits training data into subwords."""
    return allocating("splitting the training data into subwords", "read less data: `limit` of the reader")


def _smaller_passes(spec: TrainerSpec) -> tuple[str, ...]:
    """The advice that leaves the updates of a run as they are."""
    if not RECIPES[spec.recipe].accumulates or spec.sharding != "none":
        return ()
    return ("set a smaller `trainer.micro_batch_tokens`: the updates stay the same",)


def training(spec: TrainerSpec) -> AbstractContextManager[None]:
    """Explain exhausted memory in the updates of a run."""
    return allocating(
        f"training with batches of {spec.batch_size}",
        *_smaller_passes(spec),
        "lower `trainer.batch_size`, and raise `trainer.gradient_accumulation` to keep the size of an update",
        "or set `trainer.gradient_checkpointing: true`, `max_length`, `lora`, or `quantization` with `lora`",
        _ESTIMATE,
    )


def labelling(batch_tokens: int) -> AbstractContextManager[None]:
    """Explain exhausted memory in code that labels sentences."""
    return allocating(
        f"labelling batches of {batch_tokens} subwords",
        "lower `--batch-tokens` of `sltk predict`, or `trainer.eval_batch_tokens` in the spec of a run",
        "a longer sentence gets its own batch: `max_length` limits what the model reads at once",
    )


def saving() -> AbstractContextManager[None]:
    """Explain exhausted memory in code that merges and writes weights."""
    return allocating(
        "merging and writing the weights", "close other programs, or use a machine with more memory"
    )
