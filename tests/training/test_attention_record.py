"""`environment.json` names the attention kernels that ran, and notes say why faster ones did not."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

import sltk
import tiny
from sltk.components.backbones import Encoder, TrainedTokenizer
from sltk.nn import kernels
from sltk.nn.backbone import BuildContext
from sltk.nn.kernel_choice import SHORT, registered
from sltk.nn.packing import Packing, Rule
from sltk.nn.varlen import VarlenKernel
from sltk.rundir.environment import attention
from sltk.runtime.progress import Progress
from tiny_families import BY_NAME


def by_sentence(q: Any, k: Any, v: Any, bounds: Any, longest: Any, window: Any, scaling: Any) -> torch.Tensor:
    packed = (x.transpose(0, 1).unsqueeze(0) for x in (q, k, v))
    packing = Packing.of_lengths(bounds.diff().tolist())
    return kernels.by_length(*packed, packing, Rule(window[1] == 0, None), scaling)[0]


class Notes(Progress):
    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, message: str) -> None:
        self.notes.append(message)


def test_a_run_records_the_kernels_that_ran_and_not_those_of_the_proof(tmp_path: Path) -> None:
    """The proof runs without dropout of attention weights, training with it, so their kernels differ."""
    config = {**tiny.LLAMA, "attention_dropout": 0.1}
    spec = tiny.spec({"epochs": 1}, data=tiny.all_splits(), backbone=tiny.backbone(config=config))
    progress = Notes()
    with registered(VarlenKernel("stand-in", by_sentence, ("cpu",), (torch.float32,))):
        sltk.train(spec, tmp_path / "run", progress=progress)
    environment = json.loads((tmp_path / "run/environment.json").read_text())
    assert environment["mask_proof"]["kernel"] == "stand-in"
    reason = "no such kernel drops attention weights at random"
    recorded = environment["attention"]
    assert recorded.keys() == {"causal", "unmasked"}
    for entry in recorded.values():
        assert (entry["kernel"], entry["reason"], entry["calls"]) == (SHORT, reason, 3)
        assert [other["kernel"] for other in entry["others"]] == ["stand-in"]  # validation and test
    about = f"attention of causal, unmasked blocks: no variable-length kernel, but `{SHORT}` ({reason})"
    assert progress.notes.count(about) == 1
    progress.notes.clear()
    with registered(VarlenKernel("stand-in", lambda *_: None, ("cpu",), (torch.float32,))):
        model = sltk.load(tmp_path / "run", progress=progress)
        list(model.predict(["a few words"]))
        list(model.predict(["a few words"]))
    (note,) = [note for note in progress.notes if "no variable-length kernel" in note]
    assert f"but `{SHORT}` (stand-in: AttributeError: " in note


def test_a_family_on_its_own_attention_is_recorded_too() -> None:
    config = {"model_type": "deberta-v2", **BY_NAME["deberta-v2"].config()}
    spec = Encoder(init="random", config=config, tokenizer=TrainedTokenizer(vocab_size=257))
    backbone = spec.build(BuildContext(torch.device("cpu"), seed=0, texts=lambda: ["a few words"]))
    model: Any = SimpleNamespace(network=SimpleNamespace(backbone=backbone))
    reason = "the family runs on its own attention, on padded batches"
    assert attention(model) == {"padded": {"kernel": "eager", "reason": reason}}
