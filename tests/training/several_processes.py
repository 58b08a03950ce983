"""What each process of `test_several_processes.py` executes: `python several_processes.py PHASE FOLDER`.

Results are written to `RANK.json`: what each process got or raised.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

import sltk
import tiny
from sltk.data.splits import load_splits
from sltk.errors import DiskFullError, PeerError
from sltk.files import manifest
from sltk.models import kinds
from sltk.models.evaluation import label_dataset
from sltk.pretraining import pretraining_run
from sltk.runtime import agreement, departures, processes
from sltk.runtime.progress import Progress
from sltk.spec import loading
from sltk.training import checkpointed_trainer, labelling_run

RANK = int(os.environ["RANK"])
FOLDER = Path(sys.argv[2])
agreement.DELAY = 0.1  # seconds: the file system of this machine shows files at once
results: dict[str, Any] = {}


def spec(**changes: Any) -> dict[str, Any]:
    """Three updates per epoch in two processes, a checkpoint after each second update."""
    settings = {"epochs": 2, "batch_size": 4, "save_every": 2, "eval_batch_tokens": 64}
    settings |= {"head_learning_rate": 0.02, "layer_decay": 0.5, "ema": 0.9, **changes}
    return tiny.spec(settings, data=tiny.all_splits())


class At(TrainerCallback):  # type: ignore[misc]
    """Calls a function after an update, in one process or in all of them."""

    def __init__(self, step: int, action: Callable[..., None], rank: int | None = None) -> None:
        self.step, self.action, self.rank = step, action, rank

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Act after the update."""
        if state.global_step == self.step and self.rank in (None, RANK):
            self.action(control=control, model=model)


def kill(**_: Any) -> None:
    """Kill this process; nothing can be written any more."""
    os.kill(os.getpid(), signal.SIGKILL)


def exchange() -> None:
    """Values of both processes, and the batches of a data set that each of them labels."""
    results["gathered"] = processes.gather_objects({"rank": RANK})
    results["broadcast"] = processes.broadcast(RANK)
    results["divided"] = list(processes.divide(lambda item: item * item, iter(range(7))))


def score_differently() -> None:
    """The score rises in process 0, and falls in process 1, which alone would stop early."""
    original, calls = labelling_run.selection_scores, [0]

    def scores(*arguments: Any) -> dict[str, float]:
        calls[0] += 1
        return {**original(*arguments), "score": float(calls[0] if RANK == 0 else -calls[0])}

    labelling_run.selection_scores = scores
    changed = spec(epochs=4, early_stopping=1, select="best")
    results["metrics"] = sltk.train(changed, FOLDER / "scores", callbacks=[At(1, lambda **_: None)])
    labelling_run.selection_scores = original
    state = json.loads((FOLDER / "scores/checkpoints/checkpoint-12/trainer_state.json").read_text())
    results["best"] = state["best_global_step"]


def label_in_shares() -> None:
    """The same predictions, whoever computes them."""
    model = kinds.load(FOLDER / "scores/model")
    data = load_splits(loading.load(spec()).spec.data, "IOB2")["validation"]

    def predictions(apply: Any) -> list[Any]:
        found = label_dataset(model, data, 64, Progress(), apply=apply)
        return [(each.words, each.tags, each.scores) for each in found]

    batches: list[int] = []

    def counted(function: Any, items: Any) -> Any:
        return processes.divide(lambda item: [batches.append(1), function(item)][1], items)

    whole, shared = predictions(map), predictions(counted)
    results["same predictions"] = whole == shared
    results["batches"] = len(batches)


def pretrain_in_shares() -> None:
    """The same validation loss, whoever computes the batches."""
    original, same = pretraining_run.mean_loss, []

    def both(network: Any, batches: Any, device: Any, apply: Any) -> Any:
        batches = list(batches)
        same.append(original(network, batches, device) == original(network, batches, device, apply))
        return original(network, batches, device, apply)

    pretraining_run.mean_loss = both
    text = FOLDER / f"text-{RANK}.txt"
    text.write_text("The soup was awful , and the bread was excellent .\n" * 20)
    corpus = {"type": "text", "path": str(FOLDER / "text-0.txt")}
    processes.connect()
    processes.barrier()
    model = {key: value for key, value in tiny.backbone().items() if key != "unmask"}
    sltk.pretrain(
        {
            "name": "pretrained", "corpus": corpus, "validation": corpus, "backbone": model, "objective": "mntp",
            "block_size": 16, "trainer": {"max_steps": 2, "batch_size": 2, "eval_batch_tokens": 32},
        },
        FOLDER / "pretrained",
    )  # fmt: skip
    results["same losses"] = same


def stop_in_one_process() -> None:
    """A callback stops the training in one process only; the main process decides."""

    def stop(control: Any, **_: Any) -> None:
        control.should_training_stop = True

    for rank in (0, 1):
        metrics = sltk.train(spec(), FOLDER / f"stopped-by-{rank}", callbacks=[At(2, stop, rank)])
        results[f"stopped by {rank}"] = metrics["train"]["steps"]


def fail(name: str, rank: int, spec_: dict[str, Any], folder: Path | None = None, **options: Any) -> None:
    """Record what a run that fails in process `rank` raises in this process, and how long that takes."""
    start_time = time.monotonic()
    try:
        sltk.train(spec_, folder or FOLDER / name, **options)
    except BaseException as error:
        results[name] = {
            "type": type(error).__name__,
            "message": str(error),
            "reported elsewhere": departures.is_reported(error),
            "exit code": error.exit_code if isinstance(error, PeerError) else None,
            "seconds": time.monotonic() - start_time,
        }
    else:
        results[name] = None


def raising(error: BaseException, rank: int, function: Any) -> Any:
    """A function that raises in one process, and is `function` in the other."""

    def replaced(*arguments: Any, **options: Any) -> Any:
        if rank == RANK:
            raise error
        return function(*arguments, **options)

    return replaced


def fail_in_one_process() -> None:
    """Errors in every part of a run, each in one process only."""

    def error(**_: Any) -> None:
        raise ValueError("a callback failed")

    def interrupt(**_: Any) -> None:
        raise KeyboardInterrupt

    def spoil(model: Any, **_: Any) -> None:
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(torch.nan)

    fail("callback", 1, spec(), callbacks=[At(2, error, 1)])
    fail("interrupt", 0, spec(), callbacks=[At(2, interrupt, 0)])
    fail("nan", 1, spec(), callbacks=[At(2, spoil, 1)])

    original = labelling_run.load_splits
    labelling_run.load_splits = raising(sltk.DataError("a bad sentence"), 1, original)
    fail("data", 1, spec())
    labelling_run.load_splits = original

    original_scores = labelling_run.selection_scores
    labelling_run.selection_scores = raising(RuntimeError("the metric failed"), 0, original_scores)
    fail("metric", 0, spec())
    labelling_run.selection_scores = original_scores

    original_save = checkpointed_trainer.save_file
    checkpointed_trainer.save_file = raising(DiskFullError("no space left", 28), 0, original_save)
    fail("disk", 0, spec())
    checkpointed_trainer.save_file = original_save

    fail("other folder", 1, spec(), FOLDER / f"folder-of-{RANK}")
    fail("other spec", 1, spec(epochs=2 + RANK))

    fail("unfinished", 0, spec(), callbacks=[At(5, error)])
    original_content = agreement._content
    agreement._content = lambda path: (
        None if RANK == 1 and path.name == manifest.NAME else original_content(path)
    )
    fail("other checkpoint", 1, spec(), FOLDER / "unfinished", resume=True)
    agreement._content = original_content


def first() -> None:
    """Runs of both processes, and a run in which both are killed."""
    exchange()
    score_differently()
    label_in_shares()
    stop_in_one_process()
    pretrain_in_shares()
    sltk.train(spec(), FOLDER / "whole")
    write()
    sltk.train(spec(), FOLDER / "killed", callbacks=[At(5, kill)])


def second() -> None:
    """Resume the run, then one in which one process is killed."""
    sltk.train(spec(), FOLDER / "killed", resume=True)
    fail_in_one_process()
    write()
    try:
        sltk.train(spec(), FOLDER / "half-killed", callbacks=[At(5, kill, 1)])
    except sltk.RunError as error:
        results["half-killed"] = str(error)
        write()


def third() -> None:
    """Resume the run in which one process was killed; then one process fails while the other one hears nothing."""
    sltk.train(spec(), FOLDER / "half-killed", resume=True)
    departures.PATIENCE, departures.GRACE, departures._INTERVAL = 0.2, 0.4, 0.1  # seconds
    try:
        with departures.all_or_none():
            if RANK == 0:
                time.sleep(200)
            raise ValueError("nobody listens")
    except ValueError:
        try:
            processes.barrier()
        except sltk.RunError:
            os._exit(3)


def write() -> None:
    """Write the results of this process."""
    results["cpu seconds"] = time.process_time()
    (FOLDER / f"{sys.argv[1]}-{RANK}.json").write_text(json.dumps(results))


{"first": first, "second": second, "third": third}[sys.argv[1]]()
