"""The number of threads: processors that a process may use, quotas of containers, `--threads`, worker processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sltk.cli import main
from sltk.components.executors.slurm import SlurmExecutor
from sltk.runtime import cpus

CGROUPS = {
    "v2 in a container": ("0::/\n", {"cpu.max": "150000 100000"}, 1.5),
    "v2 without a limit": ("0::/\n", {"cpu.max": "max 100000"}, None),
    "v2, limited by a parent": (
        "0::/slice/job/step\n",
        {"slice/job/step/cpu.max": "800000 100000", "slice/cpu.max": "300000 100000"},
        3.0,
    ),
    "v2 with the path of the host": ("0::/docker/1f2e\n", {"cpu.max": "50000 100000"}, 0.5),
    "v1": (
        "4:memory:/a\n3:cpu,cpuacct:/a/b\n",
        {"cpu,cpuacct/a/b/cpu.cfs_quota_us": "400000", "cpu,cpuacct/a/b/cpu.cfs_period_us": "100000"},
        4.0,
    ),
    "v1 with the path of the host": (
        "7:cpuacct,cpu:/docker/1f2e\n",
        {"cpu/cpu.cfs_quota_us": "250000", "cpu/cpu.cfs_period_us": "100000"},
        2.5,
    ),
    "v1 without a limit": (
        "1:cpu:/\n",
        {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
        None,
    ),
    "v1 and v2 together": ("1:cpu:/\n0::/a\n", {"unified/a/cpu.max": "200000 100000"}, 2.0),
    "another controller": ("1:cpuset:/\n", {"cpu/cpu.max": "100000 100000"}, None),
    "nonsense": ("0::/../..\nx\n::\n", {"cpu.max": "many 0 x"}, None),
    "a period of zero": ("0::/\n", {"cpu.max": "1000 0"}, None),
    "no files": ("", {}, None),
}


def machine(folder: Path, cgroup: str, files: dict[str, str]) -> Path:
    """A folder with the `proc/` and `sys/` of a process in a cgroup."""
    (folder / "proc/self").mkdir(parents=True)
    (folder / "proc/self/cgroup").write_text(cgroup)
    for name, text in files.items():
        path = folder / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n")
    return folder


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with 64 processors, all of which this process may use, and an environment without a number."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(64)), raising=False)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(name, "0")  # so that it is restored if the test changes it
        monkeypatch.delenv(name)
    monkeypatch.setattr(cpus, "_by_quota", [])


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(("cgroup", "files", "quota"), CGROUPS.values(), ids=CGROUPS)
def test_the_quota_of_a_cgroup_limits_the_processors(
    tmp_path: Path, cgroup: str, files: dict[str, str], quota: float | None
) -> None:
    """The smallest quota of a cgroup and its parents counts, rounded up; unreadable files are no limit."""
    root = machine(tmp_path, cgroup, files)
    assert cpus.cpu_quota(root) == quota
    expected = 64 if quota is None else {0.5: 1, 1.5: 2, 2.0: 2, 2.5: 3, 3.0: 3, 4.0: 4}[quota]
    assert cpus.usable_cpus(root) == cpus.threads(root) == expected


@pytest.mark.usefixtures("host")
def test_the_affinity_limits_the_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process confined to 3 processors uses 3, even with a larger quota."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {4, 5, 9})
    root = machine(tmp_path, "0::/\n", {"cpu.max": "800000 100000"})
    assert cpus.usable_cpus(root) == 3


@pytest.mark.usefixtures("host")
def test_libraries_that_are_imported_later_respect_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only a quota below the number of cores changes the environment, and only if it does not say how many."""
    root = machine(tmp_path, "0::/\n", {"cpu.max": "150000 100000"})
    monkeypatch.setenv("MKL_NUM_THREADS", "7")
    cpus.respect_quota(root)
    assert "OMP_NUM_THREADS" not in os.environ
    monkeypatch.delenv("MKL_NUM_THREADS")
    cpus.respect_quota(root)
    assert os.environ["OMP_NUM_THREADS"] == "2"
    assert cpus.requested_threads() is None  # nobody asked for this number: another machine may have another
    cpus.use_threads(torch.get_num_threads())
    assert os.environ["OMP_NUM_THREADS"] == str(torch.get_num_threads())


@pytest.mark.usefixtures("host")
def test_a_quota_above_the_number_of_cores_changes_nothing(tmp_path: Path) -> None:
    """32 cores with two hardware threads each run 32 threads, not the 40 of the quota."""
    root = machine(tmp_path, "0::/\n", {"cpu.max": "4000000 100000"})
    for number in range(64):
        file = root / f"sys/devices/system/cpu/cpu{number}/topology/thread_siblings_list"
        file.parent.mkdir(parents=True)
        file.write_text(f"{number % 32},{number % 32 + 32}\n")
    cpus.respect_quota(root)
    assert "OMP_NUM_THREADS" not in os.environ


@pytest.mark.usefixtures("host")
@pytest.mark.parametrize(
    ("workers", "requested", "expected"),
    [(1, None, None), (2, None, 3), (4, None, 1), (16, None, 1), (2, "2", 2), (2, "6", 3), (2, "none", 3)],
)
def test_workers_share_the_processors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int, requested: str | None, expected: int | None
) -> None:
    """n workers on c processors have c // n threads each; `OMP_NUM_THREADS` may only reduce it."""
    root = machine(tmp_path, "0::/\n", {"cpu.max": "600000 100000"})
    if requested is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", requested)
    assert cpus.threads_per_worker(workers, root) == expected


@pytest.mark.usefixtures("host")
def test_slurm_tasks_use_the_processors_that_they_reserve(tmp_path: Path) -> None:
    """The environment of the task wins, then the smaller of `cpus` and `--threads`."""
    executor = SlurmExecutor(cpus=6)
    script = executor.script(tmp_path, 1, [])
    (line,) = (line for line in script.splitlines() if "OMP_NUM_THREADS" in line)
    for environment, threads in [({}, "6"), ({"OMP_NUM_THREADS": "3"}, "3")]:
        command = ["bash", "-c", f"{line}\nprintenv OMP_NUM_THREADS"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == threads
    os.environ["OMP_NUM_THREADS"] = "4"
    assert '-4}"' in executor.script(tmp_path, 1, [])


COMMANDS = {
    "train": ["none.yaml"], "pretrain": ["none.yaml"], "sweep": ["none.yaml"], "search": ["none.yaml"],
    "evaluate": ["none"], "predict": ["none", "none.txt"], "export": ["none", "new"], "serve": ["none", "--port", "0"],
    "thresholds": ["none"], "push": ["none", "user/name"],
}  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_that_compute_have_threads(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--threads N` holds for this process and those that it starts; other numbers are refused."""
    monkeypatch.chdir(tmp_path)
    before = torch.get_num_threads()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(name, str(before))
    for wrong in ("0", "-1", "1.5", "many", "100000", "9" * 5000):
        assert main([command, *COMMANDS[command], "--threads", wrong]) == 2
        assert "invalid value for `--threads`" in capsys.readouterr().err
        assert torch.get_num_threads() == before
    try:
        assert main([command, *COMMANDS[command], "--threads", "3"]) == 2  # there is no such spec or run
        assert torch.get_num_threads() == 3
        assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "3"
    finally:
        torch.set_num_threads(before)


def test_more_threads_than_processors_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`--threads` wins over the quota, with a warning."""
    before = torch.get_num_threads()
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        monkeypatch.setenv(name, str(before))
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1}, raising=False)
    try:
        main(["evaluate", str(tmp_path / "none"), "--threads", "3"])
    finally:
        torch.set_num_threads(before)
    assert "warning: --threads 3: this process may use 2 CPUs" in capsys.readouterr().err


def in_new_process(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python without the variables of this process about threads."""
    own = {
        name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_", "MKL_"))
    }
    own["PYTHONPATH"] = os.pathsep.join(path for path in sys.path if path)
    return subprocess.run(
        [sys.executable, "-c", code], env=own | environment, capture_output=True, text=True, check=True
    )


def test_waiting_threads_of_libgomp_sleep_soon() -> None:
    """libgomp reports the count that sltk has set, or the policy that the user has set; macOS has no libgomp."""
    libraries = [str(path) for path in (Path(torch.__file__).parent / "lib").glob("libgomp*")]
    code = (
        f"import sltk, ctypes, os; [ctypes.CDLL(path) for path in {libraries}]\n"
        "print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    done = in_new_process(code, OMP_DISPLAY_ENV="verbose")
    assert done.stdout == ("1000\n" if sys.platform == "linux" else "None\n")
    assert done.stderr.count("GOMP_SPINCOUNT = '1000'") == len(libraries)
    done = in_new_process(code, OMP_DISPLAY_ENV="verbose", OMP_WAIT_POLICY="active")
    assert done.stdout == "None\n"
    assert done.stderr.count("OMP_WAIT_POLICY = 'ACTIVE'") == len(libraries)


def test_the_record_says_whether_the_setting_was_in_time() -> None:
    """If torch was imported before sltk, the record says that the setting may have no effect."""
    code = "import sltk; from sltk.runtime import openmp; print(openmp.settings()['in_effect'])"
    assert in_new_process(code).stdout == "True\n"
    earlier = f"import sys, types; sys.modules['torch'] = types.ModuleType('torch'); {code}"
    assert in_new_process(earlier).stdout == "False\n"
