"""Everything that only a GPU can answer, in one command of at most 10 minutes, without data and without a network.

    python benchmarks/gpu.py --output gpu-results         all sections
    python benchmarks/gpu.py --only lora --minutes 5      one of them; results of the others are kept
    python benchmarks/gpu.py --shape tiny                 tiny models, also on a CPU: a test of this program

It writes `gpu.json`, and `gpu.md` with tables for docs/reports/performance.md, after each section, so an interrupted
run keeps what it has measured. An error in one section is recorded, and the next section runs.

    kernels      attention kernels and model families against plain attention in float32
    lora         7B shape, NF4, LoRA: sltk, the recipe of the paper's authors, token classification in transformers
    encoder      all weights of a large encoder in bf16: sltk, and transformers' run_ner
    prediction   sltk, and the token-classification pipeline
    generation   instruction-tuned models: sltk, and `generate` of transformers

Weights are random and sentences generated. `gpu_wheels.sh` collects the packages that the machine may lack.
"""

from __future__ import annotations

import argparse
import gc
import json
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from gpu_report import as_markdown
from gpu_run import NotMeasuredError, Run, accept_older_transformers
from shared import machine
from sltk.files import atomic

SECTIONS: Mapping[str, tuple[str, float]] = {
    "device": ("gpu_run:measure_device", 0.05),
    "kernels": ("gpu_kernels:measure", 0.2),
    "lora": ("gpu_training:measure_lora", 0.55),
    "encoder": ("gpu_training:measure_encoder", 0.4),
    "prediction": ("gpu_inference:measure_prediction", 0.5),
    "generation": ("gpu_inference:measure_generation", 1.0),
}
"""The function of each section, and the share of the time left that it may take."""
WRITING = 5.0
"""Seconds that are kept for writing results and leaving."""


class _OutOfTimeError(BaseException):
    """The time of a section is over. Not an Exception, so that no section takes it for an error of its own."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `_OutOfTimeError` in the block after this many seconds."""

    def stop(*_: Any) -> None:
        raise _OutOfTimeError

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.01))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measure_section(run: Run, name: str) -> dict[str, Any]:
    """The results of one section, `{"error": …}` if it failed, or `{"not_measured": reason}`."""
    place, share = SECTIONS[name]
    left = run.deadline - time.monotonic() - WRITING
    partial: dict[str, Any] = {}
    limited = replace(run, deadline=time.monotonic() + share * left, partial=partial)
    start = time.monotonic()
    try:
        with time_limit(share * left):
            module, _, function = place.partition(":")
            measure: Callable[[Run], dict[str, Any]] = getattr(import_module(module), function)
            gc.freeze()  # freeing memory need not look at the libraries
            result = measure(limited)
    except NotMeasuredError as reason:
        result = {**partial, "not_measured": str(reason)}
    except ImportError as error:
        result = {**partial, "not_measured": f"{error.name or 'a package'} is not installed: {error}"}
    except _OutOfTimeError:
        result = {**partial, "not_measured": f"stopped after {share * left:.0f} s, its share of the time"}
    except Exception as error:
        traceback.print_exc()
        lines = str(error).splitlines() or [""]
        result = {**partial, "error": f"{type(error).__name__}: {lines[0]}"}
    return {**result, "seconds": round(time.monotonic() - start, 1)}


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Run the sections, write the results after each, and return them."""
    end = time.monotonic() + 60 * options.minutes
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    facts = {"machine": machine(device), "shape": options.shape}
    facts["missing_trainer_methods"] = accept_older_transformers()
    results = _earlier(options.output / "gpu.json", facts) if options.only else facts
    with tempfile.TemporaryDirectory() as folder:
        run = Run(device, options.shape == "tiny", Path(folder), end)
        names = list(options.only or SECTIONS)
        if "device" not in names and "device" not in results:
            names.insert(0, "device")  # shares of the rate need it
        for name in names:
            print(f"{name} …", file=sys.stderr, flush=True)
            results[name] = measure_section(run, name)
            if "rates" in results.get("device", {}):
                run = replace(run, rate=results["device"]["rates"]["matrix_product"])
            _write(options.output, results)
            run.release()
    return results


def _earlier(path: Path, facts: dict[str, Any]) -> dict[str, Any]:
    """The results in a file, which those of some sections replace; `facts` alone if there is none."""
    if not path.exists():
        return facts
    earlier: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if any(earlier.get(key) != value for key, value in facts.items()):
        raise SystemExit(f"{path} has results of another machine, version or shape: use another --output")
    return earlier


def _write(folder: Path, results: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_json(folder / "gpu.json", results)
    atomic.write_text(folder / "gpu.md", as_markdown(results))


def main() -> int:
    """Run the sections; the exit code is 1 if one failed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--output", type=Path, default=Path("gpu-results"), help="folder (default: gpu-results)"
    )
    parser.add_argument("--minutes", type=float, default=10, help="most time to take (default: 10)")
    parser.add_argument(
        "--only", nargs="+", choices=SECTIONS, help="sections to run; the results of others are kept"
    )
    parser.add_argument(
        "--shape", choices=["tiny", "full"], default="full", help="size of the models (default: full)"
    )
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    if options.shape == "full" and not torch.cuda.is_available():
        parser.error("there is no GPU that torch can use; --shape tiny runs on a CPU")
    if options.minutes <= 0:
        parser.error(f"--minutes must be above 0, not {options.minutes:g}")
    results = measure(options)
    print(json.dumps(results, indent=2) if options.json else as_markdown(results))
    return int(any("error" in results.get(name, {}) for name in SECTIONS))


if __name__ == "__main__":
    raise SystemExit(main())
