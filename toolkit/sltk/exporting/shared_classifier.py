"""transformers' token classifier of an export on the weights that sltk has loaded from it already.

A second model of 7B parameters in float32 would take 28 GB. The classifier shares the tensors instead, and computes in
float32 block by block: only the weights of one block are in memory in float32.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoModelForTokenClassification

from ..nn.backbone import PackedBackbone
from .plain_config import NotPlainError


def shared_classifier(folder: Path, backbone: PackedBackbone) -> Any:
    """The token classifier in `folder`, in evaluation mode, on the device and the weights of `backbone`.

    Args:
        folder: an export.
        backbone: loaded from it.

    Raises:
        NotPlainError: weights of the classifier are not in the files.
    """
    classifier, info = AutoModelForTokenClassification.from_pretrained(
        folder, device_map={"": torch.device("meta")}, dtype="auto", output_loading_info=True,
        use_safetensors=True, local_files_only=True, trust_remote_code=False,
    )  # fmt: skip
    if info["missing_keys"]:
        raise NotPlainError(f"its token classifier lacks the weights `{min(info['missing_keys'])}`")
    model: Any = backbone.model
    prefix = f"{classifier.base_model_prefix}."
    own = {
        f"{prefix}{name}": value
        for tensors in (model.named_parameters, model.named_buffers)
        for name, value in tensors(remove_duplicate=False)
    }
    device = next(model.parameters()).device
    for name, owner, key in list(_tensors(classifier)):
        value = own[name] if name in own else _stored(folder, name).to(device)
        if key in owner._parameters:
            owner._parameters[key] = nn.Parameter(value.detach(), requires_grad=False)
        else:
            owner._buffers[key] = value
    _compute_in_float32(classifier, len(backbone.flags))
    return classifier.eval()


def _tensors(model: nn.Module) -> Iterator[tuple[str, nn.Module, str]]:
    """The full name of each parameter and buffer, its module, and its name there."""
    for path, module in model.named_modules():
        for key in (*module._parameters, *module._buffers):
            if module._parameters.get(key) is not None or module._buffers.get(key) is not None:
                yield f"{path}.{key}" if path else key, module, key


def _stored(folder: Path, name: str) -> Tensor:
    for path in sorted(folder.glob("model*.safetensors")):
        with safe_open(str(path), "pt") as file:
            if name in file.keys():  # noqa: SIM118 (it has no `in`)
                value: Tensor = file.get_tensor(name)
                return value
    raise NotPlainError(f"its token classifier lacks the weights `{name}`")


def _compute_in_float32(model: nn.Module, blocks: int) -> None:
    """Convert all weights outside the blocks, and those of each block while it computes."""
    if all(value.dtype == torch.float32 for value in model.parameters()):
        return
    stacks = [m for m in model.modules() if isinstance(m, nn.ModuleList) and len(m) == blocks]
    inside: set[int] = set()
    for block in stacks[0] if stacks else ():
        inside |= {id(value) for value in (*block.parameters(), *block.buffers())}
        _Widened(block).install()
    for value in (*model.parameters(), *model.buffers()):
        if id(value) not in inside and value.is_floating_point():
            value.data = value.data.float()


class _Widened:
    """The tensors of a module, in float32 while it computes."""

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        tensors = (*module.parameters(), *module.buffers())
        self._stored = [(value, value.data) for value in tensors if value.is_floating_point()]

    def install(self) -> None:
        self._module.register_forward_pre_hook(self._widen)
        self._module.register_forward_hook(self._restore, always_call=True)

    def _widen(self, *_: Any) -> None:
        with torch.inference_mode(False):
            for value, stored in self._stored:
                value.data = stored.float()

    def _restore(self, *_: Any) -> None:
        for value, stored in self._stored:
            value.data = stored
