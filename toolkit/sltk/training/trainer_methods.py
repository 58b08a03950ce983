"""The private methods of transformers' Trainer that sltk overrides or calls, checked when training is imported.

Their names are no promise of transformers. Without this check, a version that renames one would silently run its own
code instead of sltk's: other checkpoints, other gradients.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence

import transformers

from ..errors import Problem, UsageError

TESTED = "5.23"
"""The minor version of transformers that sltk is tested with, as in `pyproject.toml`."""

METHODS: Mapping[str, Sequence[str]] = {
    "_clip_grad_norm": ("model",),
    "_determine_best_metric": ("metrics", "trial"),
    "_get_grad_norm": ("model", "grad_norm"),
    "_get_num_items_in_batch": ("batch_samples", "device"),
    "_get_output_dir": ("trial",),
    "_load_callback_state": (),
    "_load_from_checkpoint": ("resume_from_checkpoint", "model"),
    "_load_optimizer_and_scheduler": ("checkpoint",),
    "_load_rng_state": ("checkpoint",),
    "_load_scaler": ("checkpoint",),
    "_save": ("output_dir", "state_dict"),
    "_save_checkpoint": ("model", "trial"),
    "_save_optimizer_and_scheduler": ("output_dir",),
    "_sync_replicated_trainable_parameters": ("model",),
    "create_optimizer": ("model",),
    "create_scheduler": ("num_training_steps", "optimizer"),
    "floating_point_ops": ("inputs",),
    "get_batch_samples": ("epoch_iterator", "num_batches", "device"),
    "get_train_dataloader": (),
    "log": ("logs", "start_time"),
    "training_step": ("model", "inputs", "num_items_in_batch"),
}
"""Their arguments. Public methods with arguments of their own are listed too."""


def check(trainer: type) -> None:
    """Check that a Trainer has all methods with these arguments.

    Raises:
        UsageError: it does not, because transformers has another version than the tested one.
    """
    problems = [line for name in METHODS for line in _problems(trainer, name)]
    if problems:
        installed = transformers.__version__
        message = f"transformers {installed} does not fit sltk, which is tested with {TESTED}: {problems[0]}"
        advice = f"install the tested version: pip install 'transformers=={TESTED}.*'"
        raise UsageError(Problem(message, notes=(*problems[1:], advice)))


def _problems(trainer: type, name: str) -> list[str]:
    method = getattr(trainer, name, None)
    if method is None:
        return [f"its Trainer has no method `{name}`"]
    arguments = tuple(inspect.signature(method).parameters)[1:]
    if arguments != tuple(METHODS[name]):
        expected = ", ".join(METHODS[name])
        return [f"`Trainer.{name}` takes ({', '.join(arguments)}), expected ({expected})"]
    return []
