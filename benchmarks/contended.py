"""Training speed beside a busy process, by how long the threads of OpenMP spin while they wait.

    python benchmarks/contended.py                                     as sltk sets it, and with OpenMP's own default
    python benchmarks/contended.py --settings sltk GOMP_SPINCOUNT=0 OMP_WAIT_POLICY=passive --threads 2

A MiniLM shape is trained whole, on 128 sentences, with each setting: alone, and beside `--busy` processes that keep a
core busy. Each training is a process of its own, since OpenMP reads its settings once, and all take turns. The busy
processes run at the same priority, and end with the benchmark.

    sltk           what sltk sets if the environment sets nothing
    default        the default of OpenMP: sltk sets nothing
    NAME=VALUE     this variable; several are joined with commas
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from shared import SHAPES, make_model, of_machine, sentences

ROOT = Path(__file__).resolve().parent.parent
VARIABLES = ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")
DEFAULT_SPINS = "300000"
"""How often libgomp's threads look before they sleep if nothing is set and there is a core for each."""


def environment(setting: str, threads: int) -> dict[str, str]:
    """The environment of a process with a setting.

    Raises:
        ValueError: the setting has another form.
    """
    variables = {key: value for key, value in os.environ.items() if key not in VARIABLES}
    variables["OMP_NUM_THREADS"] = str(threads)
    if setting == "default":
        return variables | {"GOMP_SPINCOUNT": DEFAULT_SPINS}
    if setting == "sltk":
        return variables
    for assignment in setting.split(","):
        name, separator, value = assignment.partition("=")
        if name not in VARIABLES or not separator:
            raise ValueError(
                f"`{setting}`: expected sltk, default, or one of {', '.join(VARIABLES)} with `=VALUE`"
            )
        variables[name] = value
    return variables


@contextmanager
def busy_processes(count: int) -> Iterator[None]:
    """Keep this many cores busy until the end of the block."""
    # They end by themselves if this process is killed: their standard input closes.
    program = (
        "import select, sys\nwhile not select.select([sys.stdin], [], [], 0)[0]:\n    sum(range(100_000))"
    )
    running = [subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE) for _ in range(count)]
    try:
        yield
    finally:
        for process in running:
            process.kill()
            process.wait()


def write_spec(options: argparse.Namespace, folder: Path) -> Path:
    """Write a spec that trains all weights of a model of the shape."""
    corpus = sentences(options.sentences, options.data)
    make_model(options.shape, folder / "base", corpus)
    lines = (json.dumps({"words": each.words, "tags": each.tags}) for each in corpus)
    (folder / "train.jsonl").write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    spec = {
        "name": "contended",
        "data": {"train": {"type": "jsonl", "path": str(folder / "train.jsonl")}},
        "backbone": {"type": "encoder", "name": str(folder / "base"), "unmask": "all"},
        "trainer": {"epochs": options.epochs, "batch_size": 16},
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec), encoding="utf-8")  # JSON is YAML
    return path


def train(spec: Path, output: Path, variables: dict[str, str]) -> float:
    """Train in a new process; return the words per second that the run records."""
    command = [sys.executable, "-m", "sltk", "train", str(spec), "--output", str(output)]
    completed = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    if completed.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{completed.stderr}")
    cost = json.loads((output / "metrics.json").read_text(encoding="utf-8"))["train"]
    return float(cost["words_per_second"])


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the benchmark and return the output of `--json`."""
    from torch import device

    from shared import machine

    environments = {setting: environment(setting, options.threads) for setting in options.settings}
    spec = write_spec(options, folder)
    speeds: dict[str, dict[str, list[float]]] = {name: {"idle": [], "contended": []} for name in environments}
    for repetition in range(options.repetitions):
        for number, (setting, variables) in enumerate(environments.items()):
            for load, count in (("idle", 0), ("contended", options.busy)):
                with busy_processes(count):
                    output = folder / f"{number}-{load}-{repetition}"
                    speeds[setting][load].append(train(spec, output, variables))
    return {
        "settings": {name: _summary(of_load) for name, of_load in speeds.items()},
        "threads": options.threads,
        "busy": options.busy,
        "cores": os.cpu_count(),
        "sentences": options.sentences,
        "shape": options.shape,
        "machine": machine(device("cpu")) | {"threads": options.threads},
    }


def _summary(speeds: dict[str, list[float]]) -> dict[str, Any]:
    medians = {load: statistics.median(each) for load, each in speeds.items()}
    return {**medians, "ratio": round(medians["contended"] / medians["idle"], 3), "of_each": speeds}


def main() -> None:
    """Run the benchmark and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--settings",
        nargs="+",
        default=["sltk", "default"],
        help="settings to compare (default: sltk default)",
    )
    shapes = [name for name, config in SHAPES.items() if config.model_type == "bert"]
    parser.add_argument("--shape", choices=shapes, default="minilm", help="encoder (default: minilm)")
    parser.add_argument(
        "--data", type=Path, help="CoNLL file (default: synthetic sentences of typical lengths)"
    )
    parser.add_argument("--sentences", type=int, default=128, help="sentences to train on (default: 128)")
    parser.add_argument("--epochs", type=int, default=1, help="epochs per training (default: 1)")
    parser.add_argument("--threads", type=int, default=2, help="threads of the training (default: 2)")
    parser.add_argument("--busy", type=int, default=1, help="busy processes beside it (default: 1)")
    parser.add_argument("--repetitions", type=int, default=5, help="trainings per setting (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    try:
        for setting in options.settings:
            environment(setting, options.threads)
    except ValueError as error:
        parser.error(f"--settings: {error}")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    table = Table(
        title=f"{options.shape}, {options.threads} threads, {options.busy} busy", title_justify="left"
    )
    for column in ("setting", "idle, words/s", "contended, words/s", "contended ÷ idle"):
        table.add_column(column, justify="left" if column == "setting" else "right")
    for name, each in result["settings"].items():
        table.add_row(name, f"{each['idle']:,.0f}", f"{each['contended']:,.0f}", f"{each['ratio']:.2f}")
    Console().print(table)
    print(f"{of_machine(result)}, {result['cores']} cores")


if __name__ == "__main__":
    main()
