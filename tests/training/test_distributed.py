"""Two processes on the CPU train what one process trains, sentence for sentence."""

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

SCRIPT = """
import json, os, sys
from pathlib import Path
import sltk
from sltk.files import atomic

def recorded(path, text, write=atomic.write_text):
    Path(sys.argv[2], os.environ["RANK"] + ".writes").open("a").write(f"{path}\\n")
    write(path, text)

atomic.write_text = recorded
for name, spec in json.loads(Path(sys.argv[1]).read_text()).items():
    sltk.train(spec, Path(sys.argv[2]) / name)
try:
    sltk.train(spec, Path(sys.argv[2]) / name)
except sltk.UsageError:
    Path(sys.argv[2], os.environ["RANK"] + ".refused").touch()
sltk.train(spec, Path(sys.argv[2]) / name, resume=True)
"""

BERT = {
    **tiny.BERT,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
ENCODER = tiny.backbone(type="encoder", config=BERT, unmask="all")
LORA = tiny.backbone(lora={"r": 4, "dropout": 0.0})

KINDS: dict[str, dict[str, Any]] = {
    "whole": {"data": tiny.all_splits()},
    "crf": {"head": {"type": "crf", "dropout": 0.0}},
    "encoder": {"backbone": ENCODER},
    "lora": {"backbone": LORA},
}

TWICE = ("whole-twice", "crf-twice")
"""The same accumulated: the last batch is of one sentence, and the second process is left with none."""


def spec(kind: str, batch_size: int, accumulation: int = 1) -> dict[str, Any]:
    """21 sentences in batches of eight: the last one has five, of which the second process gets one."""
    trainer = {"epochs": 2, "batch_size": batch_size, "gradient_accumulation": accumulation, "clip": 0.5}
    return tiny.spec(trainer, **KINDS[kind])


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of two processes: every kind with batches of 2 × 4, and of 2 × 2 accumulated twice."""
    folder = tmp_path_factory.mktemp("both")
    specs = {kind: spec(kind, 4) for kind in KINDS}
    specs |= {kind: spec(kind.removesuffix("-twice"), 2, 2) for kind in TWICE}
    (folder / "specs.json").write_text(json.dumps(specs))
    (folder / "script.py").write_text(SCRIPT)
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [*command, str(folder / "script.py"), str(folder / "specs.json"), str(folder)],
        env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.parametrize("name", [*KINDS, *TWICE])
def test_two_processes_train_what_one_trains(both: Path, tmp_path: Path, name: str) -> None:
    """Weights after six updates are those of one process with batches of 8, and so is every logged loss."""
    sltk.train(spec(name.removesuffix("-twice"), 8), tmp_path / "one")
    ours, theirs = tiny.weights(both / name), tiny.weights(tmp_path / "one")
    assert ours.keys() == theirs.keys()
    for key in ours:
        torch.testing.assert_close(ours[key], theirs[key], rtol=0, atol=1e-5)
    assert logged_losses(both / name) == pytest.approx(logged_losses(tmp_path / "one"), abs=1e-5)


def logged_losses(run: Path) -> list[float]:
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert losses
    return losses


def test_no_sentence_is_trained_on_twice(both: Path) -> None:
    """The words trained on are those of the data, twice: two epochs."""
    words = sum(len(sentence) for sentence in sltk.load_data(tiny.spec()["data"]).train.read())
    for name in (*KINDS, *TWICE):
        metrics = json.loads((both / name / "metrics.json").read_text())
        assert metrics["train"]["words"] == 2 * words
        assert metrics["train"]["steps"] == 6


def test_only_the_first_process_writes(both: Path) -> None:
    """Files of the run directory come from process 0; the other adds its random numbers to checkpoints alone."""
    assert "spec.yaml" in (both / "0.writes").read_text()
    assert not (both / "1.writes").exists()
    names = {path.name for path in (both / "whole/checkpoints").glob("*/*")}
    assert {"rng_state_0.pth", "rng_state_1.pth"} <= names


def test_every_process_refuses_a_run_that_is_there(both: Path) -> None:
    """None of them is left waiting for the others."""
    assert (both / "0.refused").exists()
    assert (both / "1.refused").exists()
