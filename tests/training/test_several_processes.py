"""Two processes share a run: they decide together, fail together, and resume after one or both were killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

import sltk
import tiny
import warm

pytestmark = [pytest.mark.slow, pytest.mark.multiprocess]

HERE = Path(__file__).parent
KILLED = -signal.SIGKILL


def launch(phase: str, folder: Path) -> list[int]:
    """Execute a phase of `several_processes.py` in two processes; returns their exit codes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {
        "WORLD_SIZE": "2",
        "LOCAL_WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }
    paths = os.pathsep.join([str(HERE.parent), *map(str, os.environ.get("PYTHONPATH", "").split(os.pathsep))])
    started = []
    for rank in range(2):
        own = {"RANK": str(rank), "LOCAL_RANK": str(rank), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        command = [*warm.python(), str(HERE / "several_processes.py"), phase, str(folder)]
        output = (folder / f"{phase}-{rank}.txt").open("w")
        started.append(
            subprocess.Popen(command, env={**os.environ, **shared, **own}, stdout=output, stderr=output)
        )
    return [process.wait(timeout=240) for process in started]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs of all phases: in `first`, both processes are killed at the end, in `second` the second one."""
    place = tmp_path_factory.mktemp("several")
    codes = {phase: launch(phase, place) for phase in ("first", "second", "third")}
    output = "\n".join(path.read_text()[-3000:] for path in sorted(place.glob("*.txt")))
    assert codes == {"first": [KILLED, KILLED], "second": [0, KILLED], "third": [1, 3]}, output
    return place


def results(folder: Path, phase: str) -> list[dict[str, Any]]:
    """What each process recorded."""
    return [json.loads((folder / f"{phase}-{rank}.json").read_text()) for rank in range(2)]


def test_objects_are_exchanged(folder: Path) -> None:
    """Each process gets the values of all, in the order of ranks; divided work comes back in its own order."""
    for found in results(folder, "first"):
        assert found["gathered"] == [{"rank": 0}, {"rank": 1}]
        assert found["broadcast"] == 0
        assert found["divided"] == [0, 1, 4, 9, 16, 25, 36]


def test_a_different_score_in_one_process_changes_nothing(folder: Path) -> None:
    """Process 1 would have stopped after two epochs; both go on with the scores of process 0, and keep its best."""
    one, other = results(folder, "first")
    assert one["metrics"] == other["metrics"]
    assert one["metrics"]["train"]["steps"] == 12
    speeds = {key for key in one["metrics"]["train"] if "per_" in key and "second" in key}
    assert speeds == {"words_per_second", "prediction_words_per_second"}  # CPU time is that of one process
    assert one["best"] == other["best"] == 12


def test_validation_is_shared(folder: Path) -> None:
    """Predictions and their probabilities are those of one process, bit for bit; each computes some of the batches."""
    one, other = results(folder, "first")
    assert one["same predictions"]
    assert other["same predictions"]
    assert one["batches"] - other["batches"] in (0, 1)
    assert other["batches"] > 0


def test_the_loss_of_validation_text_is_shared(folder: Path) -> None:
    """It is that of one process, bit for bit, after each epoch and at the end."""
    for found in results(folder, "first"):
        assert found["same losses"]
        assert all(found["same losses"])


def test_scores_and_predictions_are_those_of_one_process(folder: Path) -> None:
    """`metrics.json` and `predictions/` of two processes are what one process computes with the same weights."""
    run = folder / "scores"
    metrics = json.loads((run / "metrics.json").read_text())
    for split in ("validation", "test"):
        evaluation = sltk.evaluate(run, split=split)
        assert json.loads(json.dumps(evaluation.scores)) == metrics[split]
        lines = (run / "predictions" / f"{split}.conll").read_text().split("\n")
        columns = [line.split()[::2] for line in lines if line]
        expected = [
            [word, tag]
            for prediction in evaluation.predictions
            for word, tag in zip(prediction.words, prediction.tags, strict=True)
        ]
        assert columns == expected


def test_a_callback_of_one_process_stops_all_or_none(folder: Path) -> None:
    """The main process decides: training stops after its second update, or goes on to the sixth."""
    for found in results(folder, "first"):
        assert (found["stopped by 0"], found["stopped by 1"]) == (2, 6)


@pytest.mark.parametrize("run", ["killed", "half-killed"])
def test_a_killed_run_resumes_bit_for_bit(folder: Path, run: str) -> None:
    """Both processes, or one, were killed in the middle of an epoch; the resumed run equals an uninterrupted one."""
    assert tiny.same_weights(folder / run, folder / "whole")
    logs = [(folder / name / "log.jsonl").read_text().splitlines() for name in (run, "whole")]
    resumed, whole = ([json.loads(line) for line in log if '"eval_score"' in line] for log in logs)
    assert resumed[-1] == whole[-1]


def test_the_other_process_of_a_killed_one_ends_with_a_message(folder: Path) -> None:
    """It does not wait for the time limit of the connection."""
    assert "rank 0" in results(folder, "second")[0]["half-killed"]
    assert "killed" in results(folder, "second")[0]["half-killed"]


FAILURES = {
    "callback": (1, "ValueError", "a callback failed", 1),
    "interrupt": (0, "KeyboardInterrupt", "interrupted", 130),
    "nan": (1, "RunError", "the loss became nan", 1),
    "data": (1, "DataError", "a bad sentence", 2),
    "metric": (0, "RuntimeError", "the metric failed", 1),
    "disk": (0, "DiskFullError", "no space left", 1),
}


@pytest.mark.parametrize("name", FAILURES)
def test_an_error_in_one_process_ends_both(folder: Path, name: str) -> None:
    """The process where it happened raises it, and the other one an error that names this process and its error."""
    rank, kind, message, code = FAILURES[name]
    found = [of_rank[name] for of_rank in results(folder, "second")]
    own, other = found[rank], found[1 - rank]
    assert own["type"] == kind
    assert not own["reported elsewhere"]
    assert other["type"] == "PeerError"
    assert other["reported elsewhere"]
    assert f"rank {rank} " in other["message"]
    assert message in other["message"]
    assert other["exit code"] == code


def test_a_process_that_does_not_listen_is_ended(folder: Path) -> None:
    """It computes, or waits for a GPU: a thread ends it with a message, and with the exit code of the error."""
    message = (folder / "third-0.txt").read_text().splitlines()[-1]
    assert message.startswith("error: rank 1 (")
    assert message.endswith("ended the run: ValueError: nobody listens")


NOT_SHARED = {
    "other folder": "does not see the run directory",
    "other spec": "the spec differs",
    "other checkpoint": "does not see the newest checkpoint, `checkpoint-4`",
}


@pytest.mark.parametrize("name", NOT_SHARED)
def test_processes_that_see_different_files_are_refused(folder: Path, name: str) -> None:
    """All processes raise the same error, which names the process; only the main process reports it."""
    one, other = (of_rank[name] for of_rank in results(folder, "second"))
    assert one["type"] == other["type"] == "UsageError"
    assert NOT_SHARED[name] in one["message"]
    assert "rank 1" in one["message"]
    assert one["message"] == other["message"]
    assert (one["reported elsewhere"], other["reported elsewhere"]) == (False, True)
