"""Training in two processes on the CPU gives the same model as training in one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import sltk
import tiny

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]

SCRIPT = '''
import json, os, sys
from pathlib import Path
import sltk, torch
from sltk.extend import Aligner, register
from sltk.nn.pooling import FirstSubwordPooling
from sltk.files import atomic

@register.aligner("second_process_fails")
class SecondProcessFails(Aligner):
    """Fails in the fifth pass of the second process, like a GPU without memory."""
    def build(self):
        class Pooling(FirstSubwordPooling):
            passes = 0
            def forward(self, *args):
                self.passes += self.training
                if self.passes == 5 and os.environ["RANK"] == "1":
                    raise torch.OutOfMemoryError("CUDA out of memory")
                return super().forward(*args)
        return Pooling()

def record_write(path, text, write=atomic.write_text):
    Path(sys.argv[2], os.environ["RANK"] + ".writes").open("a").write(f"{path}\\n")
    write(path, text)

atomic.write_text = record_write
for name, spec in json.loads(Path(sys.argv[1]).read_text()).items():
    sltk.train(spec, Path(sys.argv[2]) / name)
try:
    sltk.train(spec, Path(sys.argv[2]) / name)
except sltk.UsageError:
    Path(sys.argv[2], os.environ["RANK"] + ".refused").touch()
sltk.train(spec, Path(sys.argv[2]) / name, resume=True)
'''

BERT = {
    **tiny.BERT,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
ENCODER = tiny.backbone(type="encoder", config=BERT, unmask="all")
LORA = tiny.backbone(lora={"r": 4, "dropout": 0.0})

PARTLY = {
    "type": "concat",
    "sources": [
        {"name": "all", "reader": {"type": "grammar", "count": 13}},
        {
            "name": "positive",
            "reader": {"type": "grammar", "part": "validation", "count": 8},
            "labels": {"positive": "positive", "*": "O"},
            "annotates": ["positive"],
        },
    ],
}
"""21 sentences, 8 of which are partly labelled."""

KINDS: dict[str, dict[str, Any]] = {
    "full": {"data": tiny.all_splits()},
    "crf": {"head": {"type": "crf", "dropout": 0.0}},
    "encoder": {"backbone": ENCODER},
    "lora": {"backbone": LORA},
    "partly": {"data": {"train": PARTLY}, "head": {"type": "span", "size": 16, "dropout": 0.0}},
}

ACCUMULATED = ("full-accumulated", "crf-accumulated")
"""The same with accumulated batches: the last batch has one sentence, and the second process none."""


def spec(kind: str, batch_size: int, accumulation: int = 1) -> dict[str, Any]:
    """A spec with 21 sentences in batches of eight: the second process gets one of the last five sentences."""
    trainer = {"epochs": 2, "batch_size": batch_size, "gradient_accumulation": accumulation, "clip": 0.5}
    return tiny.spec(trainer, **KINDS[kind])


def repacked(budget: int, **changes: Any) -> dict[str, Any]:
    """The spec with 2 × 2 sentences accumulated twice, packed into passes of at most this many subwords."""
    values = spec("full", 2, 2)
    return {**values, "trainer": {**values["trainer"], "micro_batch_tokens": budget}, **changes}


REPACKED = {
    "full-repacked": repacked(40),
    "full-halved": repacked(1000, aligner={"type": "second_process_fails"}),
}
"""The processes need different numbers of passes, and in the second, memory runs out in the third update."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs with two processes: each kind with batches of 2 × 4, some with 2 × 2 accumulated twice."""
    folder = tmp_path_factory.mktemp("runs")
    specs = {kind: spec(kind, 4) for kind in KINDS}
    specs |= {kind: spec(kind.removesuffix("-accumulated"), 2, 2) for kind in ACCUMULATED} | REPACKED
    (folder / "specs.json").write_text(json.dumps(specs))
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    completed = subprocess.run(
        [*command, str(folder / "script.py"), str(folder / "specs.json"), str(folder)],
        env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert completed.returncode == 0, completed.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", [*KINDS, *ACCUMULATED, *REPACKED])
def test_two_processes_train_the_same_model_as_one(runs: Path, tmp_path: Path, name: str) -> None:
    """Weights after six updates, and all logged losses, are those of one process with batches of 8."""
    sltk.train(spec(name.partition("-")[0], 8), tmp_path / "one")
    actual, expected = tiny.weights(runs / name), tiny.weights(tmp_path / "one")
    assert actual.keys() == expected.keys()
    for key in actual:
        torch.testing.assert_close(actual[key], expected[key], rtol=0, atol=1e-5)
    assert logged_losses(runs / name) == pytest.approx(logged_losses(tmp_path / "one"), abs=1e-5)


def logged_losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses
    return losses


def test_no_sentence_is_trained_on_twice(runs: Path) -> None:
    """The number of words trained on is that of the data in two epochs."""
    for name in (*KINDS, *ACCUMULATED, *REPACKED):
        data = sltk.load_data(spec(name.partition("-")[0], 8)["data"])
        words = sum(len(sentence) for sentence in data.train.read())
        metrics = json.loads((runs / name / "metrics.json").read_text())
        assert metrics["train"]["words"] == 2 * words
        assert metrics["train"]["steps"] == 6


def test_memory_that_runs_out_in_one_process_halves_the_passes_of_all(runs: Path) -> None:
    """The note is that of the main process, and environment.json has the same budget."""
    (line,) = (
        line for line in (runs / "full-halved/log.jsonl").read_text().splitlines() if "out of memory" in line
    )
    budget = json.loads((runs / "full-halved/environment.json").read_text())["training"]["micro_batch_tokens"]
    assert f"from now on at most {budget}" in line
    assert budget < 1000


def test_only_the_main_process_writes(runs: Path) -> None:
    """Process 0 writes the run directory; the other only adds the state of its random numbers to checkpoints."""
    assert "spec.yaml" in (runs / "0.writes").read_text()
    assert not (runs / "1.writes").exists()
    names = {path.name for path in (runs / "full/checkpoints").glob("*/*")}
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= names


def test_every_process_rejects_an_existing_run(runs: Path) -> None:
    """All processes raise the error, so none waits for the others."""
    assert (runs / "0.refused").exists()
    assert (runs / "1.refused").exists()
