"""Runs a sweep as Ray tasks, on one machine or on a cluster whose nodes share the folder of the sweep."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import math
import os
import platform
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field

from ...errors import Problem, UsageError
from ...runtime import cpus
from ...runtime.jobs import Failure, Job, Work, dispatch
from ...runtime.optional_imports import import_optional, install_extra
from ..registry import register
from ..slots import Executor

_TICK = 0.5
"""Seconds between updates of the display."""
_LOCAL = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "token"}
"""Ray's settings for a machine on its own: listen on the loopback interface only, and ask for a token.

In spite of its name, the first one also has this effect on Linux.
"""


@register.executor("ray")
class RayExecutor(Executor):
    """Ray tasks, on this machine or on a cluster; as many runs in parallel as its CPUs and GPUs allow.

    All nodes must see the folder of the sweep under the same path. A run whose worker or node is lost is resumed
    elsewhere from its last checkpoint.
    """

    requires: ClassVar[Mapping[str, str]] = {"ray": install_extra("ray")}

    address: str | None = Field(
        default=None,
        description="address of a cluster, or `auto` for that of this node; null: that in RAY_ADDRESS, or start Ray "
        "here, for this machine alone",
    )
    cpus: float = Field(
        default=1,
        ge=0,
        description="CPUs per run; also its number of threads, unless `OMP_NUM_THREADS` or `--threads` is smaller",
    )
    gpus: float | None = Field(
        default=None, ge=0, description="GPUs per run; null: one if the cluster has any"
    )

    def execute(self, work: Work) -> None:
        """Execute all runs. If Ray was started here, it is shut down at the end.

        Raises:
            UsageError: Ray is not installed, its cluster lacks the resources for one run, or it was started here and
                would accept connections from other machines.
        """
        with _connected(self.address or os.environ.get("RAY_ADDRESS")) as ray:
            cluster = ray.cluster_resources()
            gpus = self.gpus if self.gpus is not None else min(1.0, cluster.get("GPU", 0.0))
            task = ray.remote(num_cpus=self.cpus, num_gpus=gpus, max_retries=0)(run_job)
            threads = max(1, math.floor(self.cpus))
            threads = min(threads, cpus.requested_threads() or threads)
            _serve(ray, task, _capacity(cluster, {"CPU": self.cpus, "GPU": gpus}), threads, work)


@contextmanager
def _connected(address: str | None) -> Iterator[Any]:
    """Ray, connected to the cluster at `address`, or started here for this machine alone.

    Ray adds the working directory of the driver to the paths that its workers import from. So the driver is in an
    empty folder meanwhile, or a file such as random.py in the working directory would be executed.

    Raises:
        UsageError: Ray is not installed, or would accept connections from other machines.
    """
    if address is None:
        for name, value in _LOCAL.items():
            os.environ.setdefault(name, value)
    ray = import_optional("ray", "executor `ray`", "ray")
    if ray.is_initialized():
        yield ray
        return
    options = {"log_to_driver": False, "configure_logging": False}
    with tempfile.TemporaryDirectory(prefix="sltk-ray-") as empty:
        try:
            with contextlib.chdir(empty):
                if address is None:
                    ray.init(address="local", include_dashboard=False, **options)
                    _check_loopback(ray)
                else:
                    ray.init(address=address, **options)
            yield ray
        finally:
            ray.shutdown()


def _check_loopback(ray: Any) -> None:
    address = ray.util.get_node_ip_address()
    if not ipaddress.ip_address(address).is_loopback:
        settings = " ".join(f"{name}={value}" for name, value in _LOCAL.items())
        note = f"Ray reads this setting when it is imported: start sltk with {settings}, or give an `address`"
        raise UsageError(
            Problem(f"Ray would accept connections from other machines, at {address}", notes=(note,))
        )


def _capacity(cluster: dict[str, float], resources: dict[str, float]) -> int:
    """The number of runs with these resources that fit on the cluster at the same time.

    Raises:
        UsageError: not even one run fits. Ray itself would wait forever.
    """
    needs = {name: amount for name, amount in resources.items() if amount}
    capacity = min((math.floor(cluster.get(name, 0) / amount) for name, amount in needs.items()), default=1)
    if capacity < 1:
        available = ", ".join(f"{cluster.get(name, 0):g} {name}s" for name in needs)
        required = ", ".join(f"{amount:g} {name}s" for name, amount in needs.items())
        raise UsageError(f"a run needs {required}, but the Ray cluster has {available}")
    return capacity


def run_job(job: dict[str, Any], working_directory: str, threads: int) -> dict[str, Any]:
    """Execute one run as a Ray task, in the working directory of the sweep if this node has it.

    The number of threads is set here because workers inherit that of the process that started Ray.

    Returns:
        The last event of the run.
    """
    with suppress(OSError):
        os.chdir(working_directory)
    folder = Path(job["folder"]).parent.parent
    if not any((folder / plan).exists() for plan in ("sweep.yaml", "search.yaml")):
        message = f"node {platform.node()} does not see `{folder}`: the folder of a sweep must be shared by all nodes"
        return {"event": "failed", "kind": "error", "message": message}
    cpus.use_threads(threads)
    from .execution import execute

    return execute(Job(**job), lambda event: None)


def _serve(ray: Any, task: Any, capacity: int, threads: int, work: Work) -> None:
    running: dict[Any, _LogFollower] = {}
    try:
        while True:
            while len(running) < capacity and (job := work.next()) is not None:
                running[task.remote(asdict(job), os.getcwd(), threads)] = _LogFollower(job)
            if not running:
                return
            ready, _ = ray.wait(list(running), timeout=_TICK)
            for follower in running.values():
                follower.report(work)
            for reference in ready:
                _end(ray, reference, running.pop(reference).job.name, work)
            work.tick()
    finally:
        for reference in running:
            ray.cancel(reference, force=True)


def _end(ray: Any, reference: Any, name: str, work: Work) -> None:
    try:
        dispatch(ray.get(reference), name, work)
    except ray.exceptions.RayTaskError as error:
        work.failed(name, Failure.of(error))
    except ray.exceptions.RayError as error:
        work.died(name, f"its Ray worker was lost ({type(error).__name__})")


class _LogFollower:
    """Reports the progress of a run from the log in its directory, which the driver can read too."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self._log = Path(job.folder) / "log.jsonl"
        self._reported = self._log.read_bytes() if self._log.exists() else b""

    def report(self, work: Work) -> None:
        """Report new lines of the log. A resumed run first removes lines, and may have written others since."""
        if not self._log.exists():
            return
        text = self._log.read_bytes()
        start = _end_of_common_lines(self._reported, text)
        new = text[start : text.rfind(b"\n") + 1]
        self._reported = text[:start] + new
        for line in new.splitlines():
            values = json.loads(line) if line.startswith(b"{") else {}
            if "note" in values:
                work.report(self.job.name, {"event": "note", "message": values["note"]})
            elif values:
                work.report(self.job.name, {"event": "logged", "values": values})


def _end_of_common_lines(old: bytes, new: bytes) -> int:
    end = 0
    for before, now in zip(old.splitlines(keepends=True), new.splitlines(keepends=True), strict=False):
        if before != now:
            break
        end += len(now)
    return end
