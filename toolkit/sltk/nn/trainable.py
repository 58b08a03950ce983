"""Trainable state of a network: saved to and restored from checkpoints."""

from __future__ import annotations

from torch import Tensor, nn

from ..runtime import processes
from ..subwords.samples import IGNORED
from . import sharding
from .backbone import PackedBackbone
from .mask_gates import MaskGates


class TrainableModule(nn.Module):
    """A network whose trained weights can be saved and restored: adapter and head, or every weight."""

    backbone: PackedBackbone

    def __init__(self) -> None:
        super().__init__()
        self.gates: MaskGates | None = None
        """The gates of a mask that is being learned."""

    def trainable_state(self) -> dict[str, Tensor]:
        """The trained weights by name, on the CPU; a tied weight appears once.

        All processes of a sharded network call this together, and only the main process gets weights.
        """
        state: dict[str, Tensor] = {}
        for name, parameter in self.named_parameters():
            if parameter.requires_grad:
                whole = sharding.full(parameter)
                if processes.is_main_process():
                    state[name] = whole.contiguous()
        return state

    def trainable_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the trained weights by name."""
        return {name: tuple(p.shape) for name, p in self.named_parameters() if p.requires_grad}

    def load_trainable_state(self, state: dict[str, Tensor]) -> None:
        """Restore the weights that `trainable_state` returned.

        Raises:
            ValueError: the state belongs to another model; nothing has been changed.
        """
        parameters = {name: p for name, p in self.named_parameters() if p.requires_grad}
        if parameters.keys() != state.keys():
            raise ValueError(f"trained weights differ in {sorted(parameters.keys() ^ state.keys())[:3]}")
        for name, value in state.items():
            if parameters[name].shape != value.shape:  # `copy_` would repeat the values of a smaller tensor
                shapes = f"{list(value.shape)}, expected {list(parameters[name].shape)}"
                raise ValueError(f"`{name}` has the shape {shapes}")
        for name, value in state.items():
            sharding.assign(parameters[name], value)


def has_loss(labels: Tensor) -> Tensor:
    """[W]: whether each word has a loss, from its tag numbers [W], or [W, D] in the scheme `layers`."""
    return (labels if labels.dim() == 1 else labels[:, 0]) != IGNORED


def loss_per_label(
    total: Tensor, labels: Tensor, num_items_in_batch: Tensor | int | None
) -> dict[str, Tensor]:
    """`{"loss"}`: the summed loss divided by the labels of this batch, or of all batches of one update if given."""
    count = has_loss(labels).sum() if num_items_in_batch is None else num_items_in_batch
    return {"loss": total / (count.clamp(min=1) if isinstance(count, Tensor) else count)}
