"""GPU operations of one update of a 7B-shape NF4 LoRA model, counted without a GPU.

    python benchmarks/operations.py                        64 sentences, packed in one batch
    python benchmarks/operations.py --micro-batches 4      the same sentences in four batches of 16
    python benchmarks/operations.py --checkpointing --json

The network of sltk runs forwards and backwards on fake CUDA tensors, which have a shape and a device but no data. So it
takes the path that it takes on a GPU, and needs neither a GPU nor memory. An operation is a call of torch, of
bitsandbytes or of the variable-length attention kernel that launches at least one kernel or copy. Views and allocations
launch none. A list operation (gradient norm, fused AdamW) is counted with all launches that its list needs, and a
4-bit layer with the kernels that bitsandbytes runs for it: dequantized scales, their offset, weights and product.
The count does not depend on the width of the model, and grows by the same number with each block.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.modules import module as module_hooks
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import PretrainedConfig

import nf4
from pretended_gpu import GPU, operating, pretended_gpu
from shared import SHAPES, sentences
from sltk.components.backbones import lora
from sltk.components.backbones.pretrained import LoRA
from sltk.nn import attention, fused
from sltk.nn.backbone import PackedBackbone
from sltk.nn.batching import Batch, pack
from sltk.nn.fused import autocast_modules
from sltk.nn.fused.rotary import FusedRotaryAttention
from sltk.nn.mask_flags import assign_flags
from sltk.nn.pooling import LastSubwordPooling
from sltk.nn.softmax_head import SoftmaxHead, linear_scorer
from sltk.nn.tagger import Tagger
from sltk.subwords.samples import Sample
from sltk.subwords.tokenization import Encoding, Window

TAGS = 9
_NO_KERNEL = {
    "aten::empty", "aten::empty_like", "aten::new_empty", "aten::empty_strided", "aten::new_empty_strided",
    "aten::detach", "aten::_unsafe_view", "aten::lift_fresh", "aten::sym_size", "aten::_reshape_alias",
    "prim::device",
}  # fmt: skip
"""Operations without a kernel whose results are not views."""
_SEVERAL = {
    "aten::select_backward": 2, "aten::slice_backward": 2,  # zeros and a copy
    "aten::index_add": 2,  # a copy and the sum
    "torch_attn::_varlen_attn": 2,  # flash attention, and the state of a dropout that it does not have
    "torch_attn::_varlen_attn_backward": 3,  # flash attention's own three kernels
}  # fmt: skip
"""Calls that launch more than one kernel."""
_TENSORS_PER_LAUNCH = {1: 110, 2: 64, 3: 48, 4: 36, 5: 30}
"""How many tensors one launch of a list operation takes, by the number of lists (torch's multi_tensor_apply)."""


class OperationCounter(TorchDispatchMode):
    """Counts operations by part of the model and direction, while it is active.

    The part of a forward operation is the innermost module that runs. Autograd numbers each operation, and the backward
    pass runs under the same numbers, so a backward operation has the part of its forward operation.
    """

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[tuple[str, str]] = Counter()
        self.names: Counter[tuple[str, str, str]] = Counter()
        self.synchronizations = 0
        self.parts: list[str] = []
        self._part_of: dict[int, str] = {}

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if call is torch.ops.aten._local_scalar_dense.default:
            self.synchronizations += 1
            return 1.0
        part, direction = self._place()
        kernels = kernels_of(call, args, kwargs or {})
        if kernels:
            self.counts[part, direction] += kernels
            self.names[part, direction, call._schema.name] += kernels
        with operating():
            return call(*args, **(kwargs or {}))

    def _place(self) -> tuple[str, str]:
        if self.parts:
            part = self.parts[-1]
            self._part_of.setdefault(torch._C._autograd._get_sequence_nr() - 1, part)
            is_recomputed = torch._C._current_autograd_node() is not None
            return part, "recomputed" if is_recomputed else "forward"
        node = torch._C._current_autograd_node()
        if node is None:
            return "update", "update"
        return self._part_of.get(node._sequence_nr(), "gradients"), "backward"

    @contextmanager
    def by_module(self, network: nn.Module) -> Iterator[None]:
        """Attribute forward operations to the module that runs."""

        def enter(module: nn.Module, _: Any) -> None:
            self.parts.append(part_of(module, self.parts))

        def leave(*_: Any) -> None:
            self.parts.pop()

        handles = [
            module_hooks.register_module_forward_pre_hook(enter),
            module_hooks.register_module_forward_hook(leave, always_call=True),
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()


def part_of(module: nn.Module, parts: Sequence[str]) -> str:
    """The part of the model that a module is reported under."""
    name = type(module).__name__
    outer = parts[-1] if parts else ""
    if "RMSNorm" in name:
        return "norms"
    if "Rotary" in name:
        return "rotary positions, once"
    if name.endswith("MLP"):
        return "gated MLP, between products"
    if name.endswith("Attention"):
        return "rotary positions, per block"
    if name == "Linear4bit":
        return "adapters" if hasattr(module, "lora_A") else "4-bit layers"
    if outer == "adapters":
        return "adapters"
    if name.endswith("DecoderLayer"):
        return "residual sums"
    return outer if name in ("SiLU", "SiLUActivation") else "embedding, pooling, head and loss"


def kernels_of(call: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> int:
    """The number of kernels and copies that one call launches on a GPU; 0 for views and allocations."""
    name = call._schema.name
    if name in _NO_KERNEL or name.startswith("profiler::") or _is_view(call):
        return 0
    if name.startswith(("aten::_foreach_", "aten::_fused_adam")):
        lists = [
            each for each in args if isinstance(each, list | tuple) and each and isinstance(each[0], Tensor)
        ]
        return math.ceil(len(lists[0]) / _TENSORS_PER_LAUNCH[min(len(lists), 5)])
    if name == "bitsandbytes::gemm_4bit":  # `_dequant_linear_fallback` of bitsandbytes
        return 2 if len(args) < 8 or args[7] is None else 4
    return _SEVERAL.get(name, 1)


def _is_view(call: Any) -> bool:
    returns = call._schema.returns
    return bool(returns) and all(r.alias_info is not None and not r.alias_info.is_write for r in returns)


def meta_network(config: PretrainedConfig, double: bool, checkpointing: bool) -> Tagger:
    """The tagger of sltk around an NF4 model with adapters, without memory for its weights."""
    with torch.device("meta"):
        model = nf4.empty_model(config, double=double)
        model.config.use_cache = False
        backbone = PackedBackbone(model, None, (False,) * config.num_hidden_layers)
        model.set_attn_implementation(attention.NAME)
        modules = [m for m in model.modules() if type(m).__name__.endswith("Attention")]
        for module in modules:
            module.sltk_inclusive = False
        assign_flags(modules, backbone.flags, drop_window=False)
        if checkpointing:
            model.activation_checkpointing_enable({"use_reentrant": False})
        backbone.model = lora.with_adapters(model, LoRA(), None)
        head = SoftmaxHead(linear_scorer(config.hidden_size, TAGS, 0.1))
        return Tagger(backbone, LastSubwordPooling(), head)


def start_on_fake_gpu(network: Tagger) -> None:
    """Move a network from the meta device to the fake GPU, and prepare it for training as sltk does."""
    to_fake_gpu(network)
    network.backbone.precision = "bf16"
    autocast_modules.prepare(network.backbone.model, torch.bfloat16, trial=lambda *_: True)
    # Its trial compares numbers, which fake tensors do not have.
    with mock.patch.object(FusedRotaryAttention, "equals", return_value=True):
        fused.fuse(network.backbone)
    network.train()


def to_fake_gpu(network: nn.Module) -> None:
    """Replace all parameters and buffers by fake ones on a GPU; the active mode makes them fake."""
    from bitsandbytes.nn import Linear4bit

    for module in network.modules():
        for tensors in (module._parameters, module._buffers):
            for name, old in tensors.items():
                if old is None:
                    continue
                if isinstance(module, Linear4bit):
                    tensors[name] = quantized_weight(old, module)
                    continue
                new = torch.empty(old.shape, dtype=old.dtype, device=GPU)
                tensors[name] = nn.Parameter(new, old.requires_grad) if isinstance(old, nn.Parameter) else new


def quantized_weight(old: Any, layer: Any) -> nn.Parameter:
    """The weight of a 4-bit layer with the state that bitsandbytes needs to compute with it."""
    from bitsandbytes.functional import QuantState

    size = layer.in_features * layer.out_features
    shape = torch.Size((layer.out_features, layer.in_features))
    code = torch.empty(16, device=GPU)
    settings: dict[str, Any] = {"shape": shape, "dtype": torch.bfloat16, "blocksize": 64, "quant_type": "nf4"}
    if old.compress_statistics:
        inner = QuantState(torch.empty(math.ceil(size / 64 / 256), device=GPU), code=torch.empty(256, device=GPU),
                           blocksize=256, dtype=torch.float32)  # fmt: skip
        scales = torch.empty(size // 64, dtype=torch.uint8, device=GPU)
        state = QuantState(scales, code=code, offset=torch.empty((), device=GPU), state2=inner, **settings)
    else:
        state = QuantState(torch.empty(size // 64, device=GPU), code=code, **settings)
    weight: Any = nn.Parameter(torch.empty(size // 2, 1, dtype=torch.uint8, device=GPU), requires_grad=False)
    weight.quant_state, weight.quant_type = state, old.quant_type
    weight.compress_statistics, weight.bnb_quantized = old.compress_statistics, True
    return weight


def samples(count: int) -> list[Sample]:
    """Sentences of typical lengths, one subword per word: an operation is the same for any number of subwords."""
    return [
        Sample(Encoding([Window([1] * n, list(range(n)), list(range(n)))], n), [0] * n, number)
        for number, n in enumerate(len(sentence.words) for sentence in sentences(count, None))
    ]


def to_gpu(value: Any) -> Any:
    """A value of a batch, on the fake GPU if it is a tensor."""
    return torch.empty(value.shape, dtype=value.dtype, device=GPU) if isinstance(value, Tensor) else value


def backward(loss: Tensor) -> None:
    """`loss.backward()`, but not as one call, in which modules that are recomputed would see the CPU."""
    ones = (torch.ones_like(loss),)
    torch.autograd.graph._engine_run_backward(
        (loss,), ones, False, False, (), allow_unreachable=True, accumulate_grad=True
    )


def count_passes(network: Tagger, batches: Sequence[Batch]) -> OperationCounter:
    """Count the operations of the forward and backward passes over the batches of one update."""
    counter = OperationCounter()

    def attend(*args: Any, **kwargs: Any) -> Any:
        counter.parts.append("attention")
        try:
            return original(*args, **kwargs)
        finally:
            counter.parts.pop()

    original = attention.packed_attention
    attention.AttentionInterface.register(attention.NAME, attend)
    try:
        words = sum(len(batch["labels"]) for batch in batches)
        for batch in batches:
            moved = {key: to_gpu(value) for key, value in batch.items()}
            copies = sum(isinstance(value, Tensor) for value in batch.values())
            counter.counts["batch to the GPU", "forward"] += copies
            with counter, counter.by_module(network):
                backward(network(**moved, num_items_in_batch=words)["loss"])
    finally:
        attention.AttentionInterface.register(attention.NAME, original)
    return counter


def count_optimizer(weights: int) -> OperationCounter:
    """Count the operations of clipping and of fused AdamW for this many trained weights of any size."""
    with pretended_gpu():
        trained = [nn.Parameter(torch.empty(8, 8, device=GPU)) for _ in range(weights)]
        optimizer = torch.optim.AdamW(trained, lr=1e-4, fused=True)
        for parameter in trained:
            parameter.grad = torch.zeros_like(parameter)
        optimizer.step()  # creates its state
        counter = OperationCounter()
        with counter:
            nn.utils.clip_grad_norm_(trained, 1.0, foreach=True)
            optimizer.step()
    return counter


def count_blocks(options: argparse.Namespace, blocks: int) -> tuple[OperationCounter, int]:
    """Count the passes of one update of a model with this many blocks; return the number of trained weights too."""
    config = copy.deepcopy(SHAPES["decoder-7b"])
    config.num_hidden_layers = blocks
    network = meta_network(config, not options.single, options.checkpointing)
    step = math.ceil(options.sentences / options.micro_batches)
    sentences = samples(options.sentences)
    batches = [pack(sentences[start : start + step]) for start in range(0, len(sentences), step)]
    with pretended_gpu():
        start_on_fake_gpu(network)
        return count_passes(network, batches), sum(p.requires_grad for p in network.parameters())


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Count models of two and three blocks, and return the output of `--json`: the counts of `options.blocks`."""
    (few, few_weights), (more, more_weights) = count_blocks(options, 2), count_blocks(options, 3)
    blocks = options.blocks - 2
    optimizer = count_optimizer(few_weights + blocks * (more_weights - few_weights))
    parts: dict[str, dict[str, Any]] = {}
    for part, direction in sorted(few.counts | more.counts):
        per_block = more.counts[part, direction] - few.counts[part, direction]
        total = few.counts[part, direction] + blocks * per_block
        parts.setdefault(part, {})[direction] = {"per_block": per_block, "total": total}
    parts["optimizer"] = {"update": {"per_block": 0, "total": sum(optimizer.counts.values())}}
    return {
        "operations": sum(each["total"] for part in parts.values() for each in part.values()),
        "synchronizations": few.synchronizations + blocks * (more.synchronizations - few.synchronizations),
        "parts": parts,
        "torch": torch.__version__,
        **{
            name: getattr(options, name) for name in ("sentences", "micro_batches", "blocks", "checkpointing")
        },
    }


def main() -> None:
    """Count, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sentences", type=int, default=64, help="sentences per update (default: 64)")
    parser.add_argument(
        "--micro-batches", type=int, default=1, help="forward passes they are packed in (default: 1)"
    )
    parser.add_argument("--blocks", type=int, default=32, help="blocks of the model (default: 32)")
    parser.add_argument("--checkpointing", action="store_true", help="with gradient checkpointing")
    parser.add_argument("--single", action="store_true", help="without double quantization")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    result = measure(options)
    if options.json:
        print(json.dumps(result, indent=2))
        return
    table = Table(title=f"GPU operations of one update: {result['operations']:,}", title_justify="left")
    directions = ("forward", "recomputed", "backward", "update")
    for column in ("part", *directions, "per block"):
        table.add_column(column, justify="left" if column == "part" else "right")
    for part, by_direction in result["parts"].items():
        totals = [str(by_direction[d]["total"]) if d in by_direction else "" for d in directions]
        table.add_row(part, *totals, f"{sum(each['per_block'] for each in by_direction.values())}")
    Console().print(table)
    print(f"{result['synchronizations']} synchronizations")


if __name__ == "__main__":
    main()
