"""A training step never waits for its device: nothing on the device decides what the program does next.

Tensors of the device `meta` have no values, so reading one is an error. Those in main memory are real.
"""

from __future__ import annotations

import copy
import functools
from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import tiny
from sltk.components.registry import registry
from sltk.data.splits import load_splits
from sltk.models import tagging
from sltk.models.instruct import model as instruct
from sltk.nn.batching import batch_on
from sltk.nn.packing import Packing
from sltk.nn.transfer import on_host, to_device
from sltk.runtime.progress import Progress
from sltk.spec import loading

META = torch.device("meta")
INSTRUCT = {
    "instruction": "name the dishes",
    "options": {"positive": "good", "negative": "bad", "neutral": "no"},
}


class Counted(TorchDispatchMode):
    """Counts operations by name."""

    def __init__(self) -> None:
        super().__init__()
        self.names: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names[func.overloadpacket.__name__] += 1
        return func(*args, **(kwargs or {}))


@functools.cache
def untrained(kind: str) -> tuple[Any, Any]:
    """An untrained model, and a packed batch of eight sentences."""
    shape = {**tiny.LLAMA, "max_position_embeddings": 512}
    values = tiny.spec(backbone=tiny.backbone(config=shape, unmask="none"), type=kind)
    if kind == "instruct":
        del values["head"]
        values["instruct"] = INSTRUCT
    module: Any = instruct if kind == "instruct" else tagging
    spec = loading.load(values).spec
    training = load_splits(spec.data, spec.scheme)["train"]
    model = module.build(spec, training)
    return model, module.collate(module.encode(training, model, Progress())[:8])


@pytest.fixture(autouse=True)
def _no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch does not know autocast on this device."""
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())


def step_without_values(network: nn.Module, batch: Any) -> None:
    """Run forwards and backwards on a device whose tensors cannot be read."""
    network = copy.deepcopy(network).to(META).train()
    network(**batch_on(batch, META), num_items_in_batch=100)["loss"].backward()
    assert any(p.grad is not None for p in network.parameters())


@pytest.mark.parametrize("aligner", ["first_subword", "last_subword", "mean", "first_last", "max"])
@pytest.mark.parametrize("head", ["linear", "crf"])
def test_a_tagger_reads_nothing_from_its_device(head: str, aligner: str) -> None:
    """Labels, words and sentences are counted in main memory."""
    model, batch = untrained("tagger")
    network = copy.deepcopy(model.network)
    network.aligner = registry.find("aligner", aligner)().build()
    network.head = registry.find("head", head)().build(32, model.labels)
    step_without_values(network, batch)
    with pytest.raises((RuntimeError, NotImplementedError)):
        step_without_values(Reading(network), batch)


class Reading(nn.Module):
    """A network that reads its loss."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, **inputs: Any) -> Any:
        out = self.network(**inputs)
        out["loss"].item()
        return out


def test_a_language_model_reads_nothing_from_its_device() -> None:
    """The tokens with a label are known in main memory."""
    model, batch = untrained("instruct")
    step_without_values(model.network, batch)


def test_transformers_does_not_look_for_packed_sentences() -> None:
    """Its search adds a cumulative sum of the positions, and reads the last one."""
    model, batch = untrained("tagger")
    model.network(**batch)  # computes the plan of its attention, once per batch
    with Counted() as counted:
        model.network(**batch)
    assert counted.names["embedding"] == 1
    assert not {"cumsum", "diff", "_local_scalar_dense", "is_nonzero"} & counted.names.keys()


def test_positions_and_bounds_are_computed_once_per_batch() -> None:
    """All blocks use the same tensors."""
    packing = Packing.of_lengths([3, 3, 5])
    cpu = torch.device("cpu")
    assert packing.positions(cpu).tolist() == [0, 1, 2, 0, 1, 2, 0, 1, 2, 3, 4]
    assert packing.bounds(cpu).tolist() == [0, 3, 6, 11]
    assert packing.bounds(cpu).dtype == torch.int32
    assert packing.padded_places(cpu).tolist() == [0, 1, 2, 5, 6, 7, 10, 11, 12, 13, 14]
    assert packing.positions(cpu) is packing.positions(cpu)
    assert packing == Packing.of_lengths([3, 3, 5])
    assert hash(packing) == hash(Packing.of_lengths([3, 3, 5]))


def test_a_moved_tensor_keeps_its_copy_in_main_memory() -> None:
    """Reading the copy needs no device."""
    labels = torch.tensor([1, 2])
    moved = to_device(labels, META)
    assert moved.device == META
    assert on_host(moved) is labels
    assert on_host(labels) is labels
