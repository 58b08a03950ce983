"""Exhausted memory: the message says what needed it, how much, and what to lower; the exit code is 1."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch

import tiny
from sltk.cli import main
from sltk.errors import OutOfMemoryError
from sltk.files.memory_shortage import allocating, is_out_of_memory
from sltk.spec.writing import dump_values

HUGE = """\
import os
from pathlib import Path

from sltk.extend import Head, Reader, Sentence, register


def allocate(place):
    if os.environ.get("HUGE") == place:
        import torch

        torch.empty(10**15)
    if os.environ.get("HUGE") == f"{place} in cuda":
        import torch

        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB. GPU 0 is full")


@register.reader("huge")
class HugeReader(Reader):
    \"\"\"Sentences that need too much memory.\"\"\"

    path: Path | None = None

    def read(self):
        yield Sentence(["Vera", "sings"], ["B-PER", "O"])
        if os.environ.get("HUGE") == "read":
            bytearray(10**15)
        yield Sentence(["Kai"], ["B-PER"])


@register.head("huge")
class HugeHead(Head):
    \"\"\"A linear head that needs too much memory.\"\"\"

    def build(self, hidden_size, labels):
        from sltk.extend import SoftmaxHead, linear_scorer

        class Module(SoftmaxHead):
            def loss(self, *batch):
                allocate("loss")
                return super().loss(*batch)

            def decode(self, *batch):
                allocate("decode")
                return super().decode(*batch)

        allocate("build")
        return Module(linear_scorer(hidden_size, len(labels), dropout=0.0))
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("huge.py").write_text(HUGE)
    Path("text").write_text("Vera sings\n")
    data = {"train": {"type": "huge"}, "test": {"type": "huge"}}
    spec = tiny.spec({"epochs": 1, "batch_size": 3}, data=data, head={"type": "huge"})
    Path("spec.yaml").write_text("imports: [huge.py]\n" + dump_values(spec))
    Path("sweep.yaml").write_text(Path("spec.yaml").read_text() + "sweep: {grid: {seed: [1]}}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("place", "doing", "advice"),
    [
        ("read", "reading the data", "`limit`"),
        ("build", "loading the model: 3,725,290.30 GiB could not be allocated", "quantization"),
        ("loss", "training with batches of 3: 3,725,290.30 GiB could not be allocated", "trainer.batch_size"),
        (
            "loss in cuda",
            "training with batches of 3: 20.00 GiB could not be allocated",
            "gradient_checkpointing",
        ),
        ("decode", "labelling batches of 4096 subwords", "trainer.eval_batch_tokens"),
    ],
)
def test_train_says_what_needed_memory(folder, monkeypatch, capsys, place, doing, advice) -> None:
    """The innermost step is named."""
    monkeypatch.setenv("HUGE", place)
    assert main(["train", "spec.yaml"]) == 1
    errors = capsys.readouterr().err
    assert f"out of memory while {doing}" in errors
    assert advice in errors
    assert "bug in sltk" not in errors


def test_predict_evaluate_and_others_say_it_too(folder, monkeypatch, capsys) -> None:
    """Every command that labels, loads or reads."""
    assert main(["train", "spec.yaml"]) == 0
    run = f"runs/{tiny.spec()['name']}"
    files = ["huge", "--imports", "huge.py"]
    for place, command, doing in (
        ("decode", ["predict", run, "text"], "labelling batches of 4096"),
        ("decode", ["predict", run, "text", "--batch-tokens", "7"], "labelling batches of 7"),
        ("decode", ["evaluate", run], "labelling batches"),
        ("build", ["predict", run, "text"], "loading the model"),
        ("build", ["evaluate", run], "loading the model"),
        ("build", ["export", run, "exported"], "loading the model"),
        ("read", ["evaluate", run], "reading the data"),
        ("read", ["evaluate", run, "--data", "text", "--reader", *files], "reading the data"),
        ("read", ["stats", "text", "--reader", *files], "running this command"),
        ("read", ["convert", "text", "out", "--writer", "conll", "--reader", *files], "running this command"),
        ("read", ["check", "spec.yaml", "--data"], "running this command"),
    ):
        monkeypatch.setenv("HUGE", place)
        capsys.readouterr()
        assert main(command) == 1, command
        errors = capsys.readouterr().err
        assert f"out of memory while {doing}" in errors, command
        assert "bug in sltk" not in errors


def test_a_run_of_a_sweep_says_it(folder, monkeypatch, capsys) -> None:
    """The run fails with the same message, and the others go on."""
    monkeypatch.setenv("HUGE", "loss")
    assert main(["sweep", "sweep.yaml"]) == 1
    assert "out of memory while training with batches of 3" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["train", "pretrain"])
def test_a_model_that_is_too_large_says_it(folder, capsys, command) -> None:
    """The values of its config are not blamed."""
    backbone = tiny.backbone()
    large = {"hidden_size": 2**21, "intermediate_size": 2**21, "num_attention_heads": 2**14}
    backbone["config"] = {**backbone["config"], **large, "num_key_value_heads": 2**14}
    if command == "train":
        spec = tiny.spec(backbone=backbone, data=tiny.all_splits())
    else:
        backbone |= {"unmask": "none"}
        spec = {
            "name": "a",
            "objective": "clm",
            "corpus": {"type": "text", "path": "text"},
            "backbone": backbone,
        }
    Path("large.yaml").write_text(dump_values(spec))
    assert main([command, "large.yaml"]) == 1
    errors = capsys.readouterr().err
    assert "out of memory while loading the model" in errors
    assert "GiB could not be allocated" in errors


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB"),
        RuntimeError(
            "[enforce fail at alloc_cpu.cpp:121] . DefaultCPUAllocator: can't allocate memory: you tried to "
        ),
        RuntimeError("CUDA error: out of memory"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("MPS backend out of memory (MPS allocated: 9.00 GiB)"),
        OSError(12, os.strerror(12)),
    ],
)
def test_all_reports_of_exhausted_memory_are_recognized(error) -> None:
    """Those of Python, torch, CUDA, MPS and the operating system, also behind another error."""
    with pytest.raises(OutOfMemoryError, match="out of memory while counting"), allocating("counting"):
        raise error
    outer = ValueError("other")
    outer.__cause__ = error
    assert is_out_of_memory(outer)


@pytest.mark.parametrize(
    "error", [RuntimeError("size mismatch"), ValueError("no memory of it"), OSError(2, "no file")]
)
def test_other_errors_stay(error) -> None:
    """Other errors are raised unchanged."""
    with pytest.raises(type(error)) as caught, allocating("counting"):
        raise error
    assert caught.value is error
