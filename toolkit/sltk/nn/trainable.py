"""What training changes of a network: what a checkpoint holds, and takes back."""

from __future__ import annotations

from torch import Tensor, nn


class TrainableModule(nn.Module):
    """A network whose trained weights can be taken out and put back: adapter and head, or every weight."""

    def trainable_state(self) -> dict[str, Tensor]:
        """What training changes, by name: adapter and head, or every weight; tied weights once."""
        seen: set[int] = set()
        state: dict[str, Tensor] = {}
        for name, parameter in self.named_parameters():  # named_parameters names a tied weight once
            if parameter.requires_grad and id(parameter) not in seen:
                seen.add(id(parameter))
                state[name] = parameter.detach().contiguous().cpu()
        return state

    def load_trainable_state(self, state: dict[str, Tensor]) -> None:
        """Put back what `trainable_state` gave.

        Raises:
            ValueError: the state is that of another model.
        """
        parameters = dict(self.named_parameters())
        expected = {name for name, parameter in parameters.items() if parameter.requires_grad}
        if expected != state.keys():
            raise ValueError(f"trained weights differ in {sorted(expected ^ state.keys())[:3]}")
        for name, value in state.items():
            parameters[name].data.copy_(value)
