"""Number formats: what `auto` is on each device, training and prediction under autocast, loss scaling.

Autocast, which sltk uses on CUDA, runs on the CPU here.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import TrainerCallback

import sltk
import tiny
from repository import ROOT
from sltk import register
from sltk.cli import main
from sltk.components.backbones import precision
from sltk.components.backbones.pretrained import Quantization
from sltk.components.slots import Aligner
from sltk.errors import ModelError, UsageError
from sltk.models import kinds, onnx_tagger
from sltk.nn import autocast
from sltk.nn.backbone import BuildContext
from sltk.nn.packing import Packing
from sltk.nn.pooling import FirstSubwordPooling
from sltk.training.loss_scaling import LossScaler

STORED = ROOT / "tests" / "stored_runs"
LORA = tiny.backbone(lora={"r": 4, "dropout": 0.1, "target_modules": "all-linear"})
TEXT = ["the soup was awful and the bread was excellent", "nobody called the menu plain"]


@pytest.fixture(scope="module", autouse=True)
def _autocast_on_a_cpu() -> Iterator[None]:
    """Take the path of a GPU on the CPU, also if it has no bfloat16 instructions."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(autocast, "AUTOCAST_DEVICES", {"cuda", "cpu"})
        patch.setattr(precision, "is_fast_in_bfloat16", lambda _: True)
        yield


class Products(TorchDispatchMode):
    """Counts matrix products by dtype and number of results per row."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[tuple[torch.dtype, int]] = Counter()

    def __torch_dispatch__(self, call: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = call(*args, **(kwargs or {}))
        if call.overloadpacket.__name__ in ("mm", "addmm", "linear"):
            self.counts[out.dtype, out.shape[-1]] += 1
        return out

    def dtypes(self, *widths: int) -> set[torch.dtype]:
        """The dtypes of products with these numbers of results, or of all products."""
        return {dtype for dtype, width in self.counts if not widths or width in widths}


@pytest.fixture(scope="module")
def bf16_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with LoRA in bf16, with recomputed activations."""
    run = tmp_path_factory.mktemp("bf16") / "run"
    trainer = {"precision": "bf16", "epochs": 4, "gradient_checkpointing": True}
    sltk.train(tiny.spec(trainer, backbone=LORA, data=tiny.all_splits()), run)
    return run


@pytest.mark.parametrize(
    ("setting", "device", "has_bf16", "expected"),
    [
        ("auto", "cuda", True, "bf16"),
        ("auto", "cuda", False, "fp32"),
        ("auto", "cpu", True, "fp32"),
        ("auto", "mps", False, "fp32"),
        ("bf16", "cpu", True, "bf16"),
        ("fp16", "cuda", False, "fp16"),
        ("fp32", "cuda", True, "fp32"),
        ("bf16", "cuda", False, "Tesla T4 does not multiply in bfloat16"),
        ("bf16", "cpu", False, "this CPU has no bfloat16 instructions"),
        ("bf16", "mps", False, "the device `mps` does not multiply in bfloat16"),
        ("fp16", "cpu", True, "fp16 is for CUDA GPUs"),
    ],
)
def test_the_device_decides_what_is_possible(
    setting: Any, device: str, has_bf16: bool, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`auto` is bf16 on GPUs that have it, and fp32 elsewhere; an explicit format is used or refused."""
    monkeypatch.setattr(autocast, "AUTOCAST_DEVICES", {"cuda"})
    monkeypatch.setattr(precision, "is_fast_in_bfloat16", lambda _: has_bf16)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _: "Tesla T4")
    if expected in ("bf16", "fp16", "fp32"):
        assert precision.resolve(setting, torch.device(device)) == expected
        return
    with pytest.raises(ModelError, match=expected) as error:
        precision.resolve(setting, torch.device(device))
    assert error.value.problems[0].path == "trainer.precision"
    assert "fp32" in error.value.problems[0].notes[0]


@pytest.mark.parametrize(("name", "dtype"), [("fp32", "float32"), ("fp16", "float16"), ("bf16", "bfloat16")])
def test_quantized_products_on_a_gpu_follow_the_precision(name: Any, dtype: str) -> None:
    """So `compute_dtype: auto` is bfloat16 only where `precision` is: never on a GPU without it."""
    context = BuildContext(torch.device("cuda"), seed=0, precision=name)
    assert precision.compute_dtype(Quantization(), context) == getattr(torch, dtype)


def test_a_run_in_bf16_multiplies_in_bf16_and_keeps_float32_weights(bf16_run: Path) -> None:
    """The run directory names the format, of the run and of its proof; checkpoint and model have float32 weights."""
    about = json.loads((bf16_run / "environment.json").read_text())
    assert (about["precision"], about["mask_proof"]["precision"], about["tf32"]) == ("bf16", "bf16", False)
    assert about["mask_proof"]["stock_difference"] > 1e-4  # the stock model was compared in bf16, too
    saved = [*tiny.weights(bf16_run).values()]
    for file in bf16_run.glob("checkpoints/*/trained.safetensors"):
        saved += load_file(file).values()
    optimizer = torch.load(next(bf16_run.glob("checkpoints/*/optimizer.pt")), weights_only=True)
    saved += [state["exp_avg"] for state in optimizer["state"].values()]
    assert len(saved) > 80
    assert {weight.dtype for weight in saved} == {torch.float32}


@pytest.mark.parametrize("backbone", [LORA, tiny.backbone()], ids=["lora", "whole"])
def test_training_multiplies_in_bf16_except_in_the_head(tmp_path: Path, backbone: dict[str, Any]) -> None:
    """Forwards, backwards and in validation; the tags of the head are scored in float32."""
    products = Products()

    class Counting(TrainerCallback):  # type: ignore[misc]
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            products.__enter__()

        def on_train_end(self, *_: Any, **__: Any) -> None:
            products.__exit__(None, None, None)

    spec = tiny.spec({"precision": "bf16", "max_steps": 1}, backbone=backbone, data=tiny.all_splits())
    sltk.train(spec, tmp_path / "run", callbacks=[Counting()])
    labels = len(json.loads((tmp_path / "run" / "model" / "sltk.json").read_text())["labels"])
    assert products.dtypes(labels) == {torch.float32}
    assert products.dtypes(64) == {torch.bfloat16}
    assert torch.bfloat16 in products.dtypes(32)


def test_full_fine_tuning_in_bf16_stays_close_to_float32(tmp_path: Path) -> None:
    """Six updates of float32 weights: a loss within 3 %."""
    losses = [
        sltk.train(tiny.spec({"precision": name}), tmp_path / name)["train"]["loss"]
        for name in ("fp32", "bf16")
    ]
    assert losses[0] != losses[1]
    assert losses[1] == pytest.approx(losses[0], rel=0.03)


def test_a_model_is_used_as_it_was_trained(bf16_run: Path) -> None:
    """`sltk evaluate` gives the scores of metrics.json; `precision` changes the format, not the kind of result."""
    metrics = json.loads((bf16_run / "metrics.json").read_text())
    assert sltk.evaluate(bf16_run).scores["per_type"] == metrics["test"]["per_type"]
    with Products() as products:
        trained = sltk.load(bf16_run)
        in_bf16 = trained.predict(TEXT)
    assert torch.bfloat16 in products.dtypes(64)
    with Products() as products:
        in_fp32 = sltk.load(bf16_run, precision="fp32").predict(TEXT)
    assert products.dtypes() == {torch.float32}
    assert trained.model.network.backbone.precision == "bf16"
    scores = [[span.score for p in each for span in p.spans or ()] for each in (in_bf16, in_fp32)]
    assert all(0 <= score <= 1 for each in scores for score in each)


def test_rounding_the_weights_of_a_loaded_model_changes_no_score(tmp_path: Path) -> None:
    """A model that was trained whole is loaded with weights of 16 bits, as autocast would round them."""
    sltk.train(tiny.spec({"precision": "bf16", "epochs": 1}), tmp_path / "run")
    exact, rounded = (kinds.load(tmp_path / "run" / "model", merge=merge) for merge in (False, True))
    linear = [
        [m.weight.dtype for m in each.network.backbone.modules() if isinstance(m, nn.Linear)]
        for each in (exact, rounded)
    ]
    assert set(linear[0]) == {torch.float32}
    assert set(linear[1]) == {torch.bfloat16}
    ids, packing = torch.arange(3, 14), Packing.of_lengths((7, 4))
    with torch.inference_mode():
        assert torch.equal(*(each.network.eval().backbone(ids, packing) for each in (exact, rounded)))


def test_several_processes_and_recomputed_activations_do_not_change_gradients(tmp_path: Path) -> None:
    """The wrapper for several processes, and the backward pass, run the forward pass under autocast."""
    sltk.train(tiny.spec({"precision": "bf16", "max_steps": 1}, backbone=LORA), tmp_path / "run")
    network = kinds.load(tmp_path / "run" / "model", merge=False).network.train()
    for name, parameter in network.named_parameters():
        parameter.requires_grad_("lora_" in name or "head" in name)
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    pooled = {"first_W": torch.arange(11), "last_W": torch.arange(11), "labels": torch.zeros(11).long()}
    lengths = (7, 4)
    batch = {"ids_T": torch.arange(3, 14), "packing": Packing.of_lengths(lengths), **pooled}

    def gradients(module: nn.Module) -> list[Tensor]:
        network.zero_grad()
        module(**batch, words_per_sentence=lengths)["loss"].backward()
        return [p.grad.clone() for p in network.parameters() if p.grad is not None]

    plain = gradients(network)
    assert len(plain) == 2 * 14 + 2
    assert {gradient.dtype for gradient in plain} == {torch.float32}
    torch.distributed.init_process_group("gloo", f"file://{tmp_path}/meeting", world_size=1, rank=0)
    try:
        wrapped = gradients(DistributedDataParallel(network, find_unused_parameters=True))
    finally:
        torch.distributed.destroy_process_group()
    network.backbone.model.activation_checkpointing_enable({"use_reentrant": False})
    recomputed = gradients(network)
    assert all(map(torch.equal, plain, wrapped))
    assert all(map(torch.equal, plain, recomputed))


def test_a_model_of_another_kind_of_device_is_used_in_the_format_of_this_one(bf16_run: Path) -> None:
    """The number format of a GPU says nothing about a CPU."""
    stored = json.loads((bf16_run / "model" / "sltk.json").read_text())["precision"]
    assert stored == {"setting": "bf16", "device": "cpu"}
    assert precision.as_trained(stored, torch.device("cpu")) == "bf16"
    assert precision.as_trained({**stored, "device": "cuda"}, torch.device("cpu")) == "auto"
    assert precision.as_trained({}, torch.device("cpu")) == "auto"


def test_the_command_line_takes_a_precision(
    bf16_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """An unknown one is an error with the nearest name, and so is one that an ONNX export would ignore."""
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXT) + "\n", encoding="utf-8")
    assert main(["predict", str(bf16_run), str(text), "--precision", "fp32"]) == 0
    assert main(["evaluate", str(bf16_run), "--precision", "bf16", "--json"]) == 0
    capsys.readouterr()
    assert main(["predict", str(bf16_run), str(text), "--precision", "bf61"]) == 2
    error = capsys.readouterr().err
    assert "unknown `precision`: `bf61`" in error
    assert "did you mean `bf16`?" in error
    with pytest.raises(UsageError, match="unknown `precision`"):
        sltk.load(bf16_run, precision="half")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="an ONNX export cannot compute in bf16"):
        onnx_tagger.load(tmp_path, precision="bf16")


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_generation_in_bf16_multiplies_in_bf16() -> None:
    """With a cache of the prefix, and checked against the packed forward pass in the same format."""
    model = sltk.load(STORED / "instruct", precision="bf16")
    with Products() as products:
        assert len(model.predict(TEXT)) == len(TEXT)
    assert products.dtypes() == {torch.bfloat16}


def test_pretraining_in_bf16_keeps_float32_weights(tmp_path: Path) -> None:
    """The scores of the vocabulary are products in bf16, too."""
    text = tmp_path / "text.txt"
    text.write_text("\n".join(TEXT * 20) + "\n", encoding="utf-8")
    spec = {
        "name": "words", "corpus": {"type": "text", "path": str(text)}, "block_size": 16,
        "backbone": tiny.backbone(unmask="none"), "objective": "clm",
        "trainer": {"max_steps": 2, "batch_size": 4, "precision": "bf16"},
    }  # fmt: skip
    with Products() as products:
        metrics = sltk.pretrain(spec, tmp_path / "run")
    config = json.loads((tmp_path / "run" / "model" / "config.json").read_text())
    assert torch.bfloat16 in products.dtypes(config["vocab_size"])
    assert json.loads((tmp_path / "run" / "environment.json").read_text())["precision"] == "bf16"
    assert metrics["train"]["loss"] == pytest.approx(math.log(config["vocab_size"]), abs=0.3)
    assert {weight.dtype for weight in tiny.weights(tmp_path / "run").values()} == {torch.float32}


def fp16(monkeypatch: pytest.MonkeyPatch, first_scale: float, **changes: Any) -> dict[str, Any]:
    """A spec in fp16 whose loss scale starts at a value."""
    monkeypatch.setattr(LossScaler, "first_scale", first_scale)
    return tiny.spec({"precision": "fp16", "save_every": 2, "epochs": 3}, backbone=LORA, **changes)


def test_an_overflow_in_fp16_skips_the_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is counted and noted, the scale is halved until gradients fit, and the learning rate waits."""
    progress = tiny.RecordingProgress()
    metrics = sltk.train(fp16(monkeypatch, 2.0**19), tmp_path / "run", progress=progress)["train"]
    skipped = [note for note in progress.notes if "skipped" in note]
    assert 1 <= metrics["skipped_updates"] == len(skipped) < metrics["steps"] == 9
    assert "update 1 skipped: the gradient overflowed float16; loss scale 524288 → 262144" in skipped[0]
    state = torch.load(tmp_path / "run" / "checkpoints" / "checkpoint-9" / "scaler.pt", weights_only=True)
    assert state["scale"] == 2.0 ** (19 - len(skipped))
    assert {weight.dtype for weight in tiny.weights(tmp_path / "run").values()} == {torch.float32}
    rates = [log["learning_rate"] for log in progress.logs if "learning_rate" in log]
    assert rates[-1] > 1e-4  # the schedule counts the updates that were made


def test_a_run_in_fp16_resumes_with_its_scale(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The weights are those of an uninterrupted run, bit for bit, and so is the number of skipped updates."""
    spec = fp16(monkeypatch, 2.0**19)
    whole = sltk.train(spec, tmp_path / "whole")["train"]
    with pytest.raises(KeyboardInterrupt):
        sltk.train(spec, tmp_path / "parts", progress=tiny.InterruptingProgress(5))
    resumed = sltk.train(spec, tmp_path / "parts", resume=True)["train"]
    assert resumed["skipped_updates"] == whole["skipped_updates"] >= 1
    assert tiny.same_weights(tmp_path / "whole", tmp_path / "parts")


@register.aligner("endless_slope")
class EndlessSlope(Aligner):
    """Adds nothing, with an infinite gradient."""

    def build(self) -> Any:
        class Pooling(FirstSubwordPooling):
            def forward(self, *args: Any) -> Tensor:
                vectors = super().forward(*args)
                zero: Tensor = (vectors - vectors.detach()).abs().sqrt()
                return vectors + zero

        return Pooling()


def test_a_run_in_fp16_ends_if_its_scale_collapses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gradient that overflows with every scale is no matter of scaling."""
    spec = fp16(monkeypatch, 4.0, aligner={"type": "endless_slope"})
    with pytest.raises(sltk.RunError, match="overflows float16 even without scaling") as error:
        sltk.train(spec, tmp_path / "run")
    assert "3 updates were skipped" in str(error.value)
    assert "precision: fp32" in str(error.value)


def test_weights_trained_in_half_precision_are_a_warning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`check` and `train` say so; with loss scaling, which needs float32 weights, it is an error."""
    from sltk.spec.writing import dump_values

    path = tmp_path / "spec.yaml"
    path.write_text(dump_values(tiny.spec(backbone=tiny.backbone(dtype="bfloat16"))), encoding="utf-8")
    assert main(["check", str(path)]) == 0
    assert "all weights are trained in bfloat16" in capsys.readouterr().err
    assert main(["check", str(path), "--strict"]) == 2
    progress = tiny.RecordingProgress()
    sltk.train(path, tmp_path / "run", progress=progress)
    assert progress.has_note("warning: all weights are trained in bfloat16")
    capsys.readouterr()
    assert main(["check", str(path), "--set", "trainer.precision=fp16"]) == 2
    assert "backbone.dtype" in capsys.readouterr().err
    assert main(["check", str(path), "--set", "backbone.dtype=float32", "--strict"]) == 0


def test_a_rehearsal_does_without_a_format_of_another_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A spec for a GPU can be rehearsed on a laptop."""
    from sltk.rehearsal.small_parts import small_trainer
    from sltk.spec.trainer_settings import TrainerSpec

    monkeypatch.setattr(autocast, "AUTOCAST_DEVICES", {"cuda"})
    progress = tiny.RecordingProgress()
    assert small_trainer(TrainerSpec(precision="fp16"), progress).precision == "auto"
    assert progress.has_note("fp16 is for CUDA GPUs")
