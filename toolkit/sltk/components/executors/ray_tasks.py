"""Runs as Ray tasks, on one machine or on a cluster whose nodes share the folder of the sweep."""

from __future__ import annotations

import json
import math
import platform
from pathlib import Path
from typing import Any

from pydantic import Field

from ...errors import UsageError
from ...runtime.jobs import Failure, Job, Work
from ..registry import register
from ..slots import Executor

_TICK = 0.5


@register.executor("ray")
class RayExecutor(Executor):
    """Ray tasks, on this machine or on a cluster; as many runs at a time as its CPUs and GPUs allow.

    All nodes must see the folder of the sweep under the same path. A run whose worker or node is lost goes on
    elsewhere from its last checkpoint.
    """

    address: str | None = Field(
        default=None, description="of a cluster, or `auto` for the one of this node; null: start one here"
    )
    cpus: float = Field(default=1, ge=0, description="CPUs of a run; it computes with as many threads")
    gpus: float | None = Field(
        default=None, ge=0, description="GPUs of a run; null: one where the cluster has any"
    )

    def execute(self, work: Work) -> None:
        """Do all of the work. A Ray that was started here is shut down at the end.

        Raises:
            UsageError: Ray is not installed, or its cluster has not what one run needs.
        """
        ray = _ray()
        is_own = not ray.is_initialized()
        if is_own:
            ray.init(address=self.address, log_to_driver=False, configure_logging=False)
        try:
            _serve(ray, self._task(ray), self._room(ray), work)
        finally:
            if is_own:
                ray.shutdown()

    def _needs(self, resources: dict[str, float]) -> dict[str, float]:
        gpus = self.gpus if self.gpus is not None else min(1.0, resources.get("GPU", 0.0))
        return {"CPU": self.cpus, "GPU": gpus}

    def _task(self, ray: Any) -> Any:
        needs = self._needs(ray.cluster_resources())
        return ray.remote(num_cpus=needs["CPU"], num_gpus=needs["GPU"], max_retries=0)(do)

    def _room(self, ray: Any) -> int:
        """How many runs the cluster takes at a time."""
        there = ray.cluster_resources()
        needs = {name: amount for name, amount in self._needs(there).items() if amount}
        room = min((math.floor(there.get(name, 0) / amount) for name, amount in needs.items()), default=1)
        if room < 1:
            has = ", ".join(f"{there.get(name, 0):g} {name}s" for name in needs)
            wanted = ", ".join(f"{amount:g} {name}s" for name, amount in needs.items())
            raise UsageError(f"a run needs {wanted}, and the Ray cluster has {has}")
        return room


def _ray() -> Any:
    try:
        import ray
    except ImportError as error:
        raise UsageError("executor `ray` needs another package: pip install 'sltk[ray]'") from error
    return ray


def do(job: dict[str, Any]) -> dict[str, Any]:
    """The task: one run, in a process of Ray; what it gives is the last event of the run."""
    folder = Path(job["folder"]).parent.parent
    if not (folder / "sweep.yaml").exists():
        message = f"node {platform.node()} does not see `{folder}`: the folder of a sweep must be shared by all nodes"
        return {"event": "failed", "kind": "error", "message": message}
    from .execution import execute

    return execute(Job(**job), lambda event: None)


def _serve(ray: Any, task: Any, room: int, work: Work) -> None:
    running: dict[Any, _Followed] = {}
    try:
        while True:
            while len(running) < room and (job := work.next()) is not None:
                running[task.remote(job.as_json())] = _Followed(job)
            if not running:
                return
            ready, _ = ray.wait(list(running), timeout=_TICK)
            for followed in running.values():
                followed.tell(work)
            for reference in ready:
                _end(ray, reference, running.pop(reference).job.name, work)
            work.tick()
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _end(ray: Any, reference: Any, name: str, work: Work) -> None:
    try:
        event = ray.get(reference)
    except ray.exceptions.RayTaskError as error:
        work.failed(name, Failure.of(error))
    except ray.exceptions.RayError as error:
        work.died(name, f"its Ray worker was lost ({type(error).__name__})")
    else:
        if event["event"] == "finished":
            work.finished(name, event["metrics"])
        else:
            work.failed(name, Failure(event["kind"], event["message"]))


class _Followed:
    """A run that is followed by the log in its directory, which the driver sees too."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._log = Path(job.folder) / "log.jsonl"
        self._told = self._log.read_bytes() if self._log.exists() else b""

    def tell(self, work: Work) -> None:
        """Pass on what was logged since; a resumed run drops lines first, and may have written others since."""
        if not self._log.exists():
            return
        text = self._log.read_bytes()
        begin = _end_of_common_lines(self._told, text)
        whole = text[begin : text.rfind(b"\n") + 1]
        self._told = text[:begin] + whole
        for line in whole.splitlines():
            values = json.loads(line) if line.startswith(b"{") else {}
            if "note" in values:
                work.report(self.job.name, {"event": "note", "message": values["note"]})
            elif values:
                work.report(self.job.name, {"event": "logged", "values": values})


def _end_of_common_lines(old: bytes, new: bytes) -> int:
    if new.startswith(old):
        return len(old)
    end = 0
    for before, now in zip(old.splitlines(keepends=True), new.splitlines(keepends=True), strict=False):
        if before != now:
            break
        end += len(now)
    return end
