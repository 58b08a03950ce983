"""Sharded training in two processes on the CPU: each holds half of the weights; the result is that of one process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch

import sltk
import tiny
import warm
from sltk.components.backbones import precision
from sltk.nn import autocast, sharding

SCRIPT = """
import json, sys
from pathlib import Path
import torch
from torch.distributed.tensor import DTensor
from transformers import TrainerCallback
import sltk
from sltk.components.backbones import precision
from sltk.models.backbone_files import build_backbone
from sltk.nn import autocast, sharding
from sltk.runtime import processes
from sltk.spec import loading

folder = Path(sys.argv[1])
torch.set_num_threads(1)


class Watch(TrainerCallback):
    "Records the share of the values that this process holds, and raises after an update if told to."

    def __init__(self, name, until=None):
        self.name, self.until = name, until

    def on_train_begin(self, args, state, control, model=None, **_):
        layer = next(m for n, m in model.named_modules() if n.endswith(("q_proj", "query")))
        layer.register_forward_pre_hook(self.record_dtype)

    def record_dtype(self, layer, _):
        self.dtype = str(getattr(layer, "base_layer", layer).weight.dtype)

    def on_pre_optimizer_step(self, args, state, control, model=None, **_):
        gradients = (p.grad for p in model.backbone.parameters() if p.grad is not None)
        self.gradients = share(gradients)

    def on_step_end(self, args, state, control, model=None, optimizer=None, **_):
        moments = [v.get("exp_avg", p) for p, v in optimizer.state.items()]
        shares = {
            "weights": share(model.backbone.parameters()),
            "trained": share(p for p in model.backbone.parameters() if p.requires_grad),
            "gradients": self.gradients,
            "moments": share(moments),
            "dtype": self.dtype,
            "whole": max(p.dim() for p in model.backbone.parameters() if not isinstance(p, DTensor)),
        }
        (folder / f"{self.name}.{args.process_index}.json").write_text(json.dumps(shares))
        if state.global_step == self.until:
            raise InterruptedError


def share(tensors):
    tensors = [t for t in tensors if isinstance(t, DTensor)]
    if not tensors:
        return None
    return sum(t.to_local().numel() for t in tensors) / sum(t.numel() for t in tensors)


precision.resolve = lambda setting, *_: {"auto": "fp32"}.get(setting, setting)  # as if the CPU had bfloat16
for name, spec in json.loads((folder / "specs.json").read_text()).items():
    if name.startswith("autocast"):
        autocast.AUTOCAST_DEVICES.add("cpu")
    sltk.train(spec, folder / name, callbacks=[Watch(name)])
    if name in ("full", "lora"):
        try:
            sltk.train(spec, folder / f"{name}-resumed", callbacks=[Watch("stopped", until=5)])
        except InterruptedError:
            pass
        sltk.train(spec, folder / f"{name}-resumed", resume=True)


def outcome(spec, build=None):
    "The error that a process gets while the model is built."
    try:
        if build is None:
            sltk.train(spec, folder / "refused")
        else:
            sharding.build_sharded(build, torch.device("cpu"), "fp32")
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def build(seed):
    if seed is None:
        raise FileNotFoundError("model.safetensors")
    return build_backbone(loading.load({**plain, "seed": seed}).spec, lambda: ["a few words"] * 9)


rank = processes.rank()
refused = json.loads((folder / "refused.json").read_text())
plain = {**refused["plain"], "trainer": {}}
outcomes = {name: outcome(spec) for name, spec in refused.items() if name != "plain"}
outcomes["other weights"] = outcome(None, lambda: build(rank))
outcomes["missing"] = outcome(None, lambda: build([0, None][rank]))
(folder / f"outcomes.{rank}.json").write_text(json.dumps(outcomes))
"""

BERT = {**tiny.BERT, "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
HALF = {"max_steps": 1, "precision": "bf16", "optimizer": "sgd", "learning_rate": 1.0}
"""One update, with the gradient itself as the step: later ones round to other bfloat16 numbers."""
TRAINERS: dict[str, dict[str, Any]] = {
    "full": {
        "select": "best",
        "early_stopping": 2,
        "epochs": 3,
        "head_learning_rate": 0.02,
        "layer_decay": 0.5,
    },
    "lora": {"gradient_checkpointing": True, "layer_decay": 0.5},
    "bfloat16": {"max_steps": 3},
    "encoder": {"recipe": "as_released", "gradient_accumulation": 2, "batch_size": 4},
    "accumulated": {
        "gradient_accumulation": 2,
        "batch_size": 4,
        "optimizer": "sgd",
        "recipe": "true_accumulation",
    },
    "autocast": HALF,
    "autocast-lora": HALF,
}


SHARDED = {"sharding": "full"}
SHARED = {**BERT, "model_type": "albert", "embedding_size": 32}
PADDED = {**BERT, "model_type": "mpnet"}
REFUSED = {
    "plain": tiny.spec(),
    "shared blocks": tiny.spec(SHARDED, backbone=tiny.backbone(type="encoder", config=SHARED, unmask="all")),
    "padded batches": tiny.spec(SHARDED, backbone=tiny.backbone(type="encoder", config=PADDED, unmask="all")),
}


def changes(folder: Path, name: str) -> dict[str, Any]:
    """The keys in which a spec differs from that of `tiny`; the base of `lora` is a saved model."""
    lora = {"r": 3, "dropout": 0.0}
    adapted = {"type": "decoder", "name": str(folder / "base"), "unmask": "01", "lora": lora}
    kinds: dict[str, dict[str, Any]] = {
        "full": {"data": tiny.all_splits()},
        "lora": {"data": tiny.all_splits(), "backbone": adapted},
        "autocast": {},
        "autocast-lora": {"backbone": adapted},
        "bfloat16": {"backbone": {**adapted, "dtype": "bfloat16"}},
        "encoder": {"backbone": tiny.backbone(type="encoder", config=BERT, unmask="all")},
        "accumulated": {"head": {"type": "crf", "dropout": 0.0}},
    }
    return kinds[name]


def spec(folder: Path, name: str, processes: int) -> dict[str, Any]:
    """A spec with 21 sentences in batches of eight: the second process gets one of the last five sentences."""
    trainer = {"clip": 0.5, **TRAINERS[name]}
    trainer["batch_size"] = trainer.get("batch_size", 8) // processes
    # In one process, the batches of both one after the other: they round to the same numbers.
    if name.startswith("autocast") and processes == 1:
        trainer |= {"batch_size": 4, "gradient_accumulation": 2}
    sharding = {} if processes == 1 else {"sharding": "full"}
    return tiny.spec({**trainer, **sharding}, **changes(folder, name))


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sharded runs with two processes, and the same runs with one.

    Autocast is for GPUs. Here it also runs on the CPU, in the last runs that are trained.
    """
    folder = tmp_path_factory.mktemp("runs")
    tiny.save_base(folder / "base")
    (folder / "specs.json").write_text(json.dumps({name: spec(folder, name, 2) for name in TRAINERS}))
    (folder / "refused.json").write_text(json.dumps(REFUSED))
    (folder / "script.py").write_text(SCRIPT)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    address |= {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    started = [
        subprocess.Popen(
            [*warm.python(), str(folder / "script.py"), str(folder)],
            env={**os.environ, **address, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE, text=True,
        )
        for rank in (0, 1)
    ]  # fmt: skip
    errors = [process.communicate(timeout=240)[1] for process in started]
    assert [process.returncode for process in started] == [0, 0], errors[0][-3000:] + errors[1][-3000:]
    with pytest.MonkeyPatch.context() as patch:
        for name in TRAINERS:
            if name.startswith("autocast"):
                patch.setattr(autocast, "AUTOCAST_DEVICES", {"cpu"})
                patch.setattr(precision, "resolve", lambda setting, *_: setting)
            sltk.train(spec(folder, name, 1), folder / "one" / name)
    return folder


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize("name", TRAINERS)
def test_shards_train_the_same_model_as_one_process(runs: Path, name: str) -> None:
    """Trained weights, logged losses and gradient norms are those of one process with twice the batch."""
    tolerance = (
        1e-4 if name == "bfloat16" else 1e-5
    )  # a bfloat16 base rounds each batch of a process on its own
    actual, expected = tiny.weights(runs / name), tiny.weights(runs / "one" / name)
    assert actual.keys() == expected.keys()
    for key in actual:
        assert actual[key].dtype == torch.float32
        torch.testing.assert_close(actual[key], expected[key], rtol=0, atol=tolerance)
    for key in ("loss", "grad_norm", "eval_score"):
        values = logged(runs / name, key)
        assert bool(values) == (key != "eval_score" or name in ("full", "lora"))
        assert values == pytest.approx(logged(runs / "one" / name, key), rel=tolerance)


def logged(run: Path, key: str) -> list[float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line[key] for line in lines if key in line]


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize("name", TRAINERS)
def test_each_process_holds_half(runs: Path, name: str) -> None:
    """Half of the backbone's matrices, gradients and moments; vectors are whole."""
    shares = [json.loads((runs / f"{name}.{rank}.json").read_text()) for rank in (0, 1)]
    assert shares[0]["whole"] == 1
    assert shares[0]["dtype"] == (
        "torch.float32" if name in ("full", "lora", "encoder", "accumulated") else "torch.bfloat16"
    )
    for key in ("weights", "trained", "gradients", "moments"):
        if TRAINERS[name].get("optimizer") == "sgd" and key == "moments":
            assert shares[0][key] is None
            continue
        assert shares[0][key] + shares[1][key] == 1
        # Adapters of rank three are divided into two rows and one.
        is_uneven = "lora" in changes(runs, name).get("backbone", {}) and key != "weights"
        assert shares[0][key] == pytest.approx(0.5, abs=0.17 if is_uneven else 0.01)


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize("name", ["full", "lora"])
def test_a_resumed_sharded_run_ends_like_an_uninterrupted_one(runs: Path, name: str) -> None:
    assert tiny.same_weights(runs / name, runs / f"{name}-resumed")
    for key in ("loss", "grad_norm", "eval_score"):
        assert logged(runs / name, key) == logged(runs / f"{name}-resumed", key)


@pytest.mark.slow
@pytest.mark.multiprocess
@pytest.mark.parametrize("name", ["full", "lora"])
def test_a_sharded_run_is_used_like_any_other(runs: Path, name: str) -> None:
    """The scores of the run are those of the saved model, loaded in one process; nothing in it refers to shards."""
    metrics = json.loads((runs / name / "metrics.json").read_text())
    assert sltk.evaluate(runs / name).scores["f1"] == metrics["test"]["f1"]
    one = runs / "one" / name / "predictions" / "test.conll"
    assert (runs / name / "predictions" / "test.conll").read_text() == one.read_text()
    for path in (runs / name / "model").rglob("*.json"):
        assert "FSDP" not in path.read_text()


@pytest.mark.slow
@pytest.mark.multiprocess
def test_a_model_that_cannot_be_sharded_ends_all_processes(runs: Path) -> None:
    """So does a process that has other weights or no model; none waits for it."""
    main, other = (json.loads((runs / f"outcomes.{rank}.json").read_text()) for rank in (0, 1))
    for name, about in (
        ("shared blocks", "share weights"),
        ("padded batches", "pads"),
        ("other weights", "different"),
    ):
        assert about in main[name]
        assert main[name] == other[name]
    assert main["missing"] == "RunError: process 1 could not build the model; it says why"
    assert other["missing"] == "FileNotFoundError: model.safetensors"


@pytest.mark.parametrize(
    ("change", "about"),
    [
        ({"backbone": tiny.backbone(quantization={}, lora={})}, "quantized weights"),
        ({"backbone": tiny.backbone(freeze=True)}, "freeze"),
        ({"trainer": {"sharding": "full", "optimizer": "adamw_8bit"}}, "adamw_8bit"),
        ({"trainer": {"sharding": "full", "precision": "fp16"}}, "fp16"),
        ({"trainer": {"sharding": "full", "micro_batch_tokens": 512}}, "micro_batch_tokens"),
        (
            {"type": "instruct", "backbone": tiny.backbone(unmask="none"),
             "instruct": {"instruction": "Find spans.", "options": {"positive": "positive"}}, "head": None},
            "instruct",
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_sharded_is_refused_with_the_key(change: dict[str, Any], about: str) -> None:
    values = {**tiny.spec({"sharding": "full"}), **change}
    with pytest.raises(sltk.SpecError, match=about) as error:
        sltk.train({key: value for key, value in values.items() if value is not None})
    assert error.value.problems[0].path == "trainer.sharding"


def test_a_cpu_shards_in_float32_only() -> None:
    """The fused modules that multiply in bfloat16 on a CPU have not been tried with shards."""
    with pytest.raises(sltk.ModelError, match="compute in fp32 on a CPU, not in bf16") as error:
        sharding.build_sharded(lambda: pytest.fail("nothing is built"), torch.device("cpu"), "bf16")
    assert error.value.problems[0].path == "trainer.precision"


def test_one_process_trains_without_shards_and_says_so(tmp_path: Path) -> None:
    progress = tiny.RecordingProgress()
    sltk.train(tiny.spec({"sharding": "full", "max_steps": 1}), tmp_path / "run", progress=progress)
    assert progress.has_note("sharding: full has no effect in one process")
