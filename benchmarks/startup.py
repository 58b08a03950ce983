"""Startup time of commands, and the time to read, tokenize and align data.

    python benchmarks/startup.py
    python benchmarks/startup.py --data eng.train --tokenizer DIR       real data and a real tokenizer
    python benchmarks/startup.py --run RUN                              predict with this run, and with its ONNX export

Each command runs in a new process and is timed from start to exit. Reading, tokenizing and aligning are timed in
this process, on a CoNLL file or on synthetic sentences, as many as CoNLL-2003 has for training. Times are medians.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from torch import device as torch_device
from transformers import AutoTokenizer

import sltk
from shared import machine, make_model, of_machine, sentences
from sltk.components.readers.conll import ConllReader
from sltk.data import datasets
from sltk.subwords.tokenization import SubwordEncoder

ROOT = Path(__file__).resolve().parent.parent
SENTENCES = 14_041
"""Number of sentences in the training set of CoNLL-2003, which has 203,621 words."""


def time_command(*arguments: str, repetitions: int, text: str = "") -> list[float]:
    """Return the seconds of each run of `sltk ARGUMENTS`, after an untimed run that fills the file cache."""
    return time_program("-m", "sltk", *arguments, repetitions=repetitions, text=text)


def time_program(*arguments: str, repetitions: int, text: str = "") -> list[float]:
    """Return the seconds of each run of `python ARGUMENTS`, after an untimed run."""
    command = [sys.executable, *arguments]
    run = partial(subprocess.run, command, input=text, check=True, capture_output=True, text=True, cwd=ROOT)
    return [_timed(run)[0] for _ in range(repetitions + 1)][1:]


def train_small(folder: Path) -> Path:
    """Train the model of the quickstart for one update."""
    spec = ROOT / "experiments" / "quickstart.yaml"
    subprocess.run(
        [sys.executable, "-m", "sltk", "train", str(spec), "--set", "trainer.max_steps=1", "--output", str(folder)],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def time_reading(path: Path, tokenizer: Any, repetitions: int) -> dict[str, list[float]]:
    """Return the seconds to read a CoNLL file into tagged sentences, and to tokenize and align them."""

    def encode(dataset: datasets.Dataset) -> object:
        return SubwordEncoder(tokenizer).encode(dataset.sentences)

    times: dict[str, list[float]] = {"read": [], "tokenise_and_align": []}
    for _ in range(repetitions):
        read_seconds, dataset = _timed(lambda: datasets.load(ConllReader(path=path), "IOB2"))
        encode_seconds, _ = _timed(partial(encode, dataset))
        times["read"].append(read_seconds)
        times["tokenise_and_align"].append(encode_seconds)
    return times


def _timed(function: Callable[[], Any]) -> tuple[float, Any]:
    """Call a function; return the seconds it took, and its result."""
    start = time.perf_counter()
    result = function()
    return time.perf_counter() - start, result


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the benchmark and return the output of `--json`."""
    spec = str(ROOT / "experiments" / "llama_absa_0111.yaml")
    run = options.run or train_small(folder / "run")
    exported = folder / "onnx"
    sltk.export(run, exported, format="onnx")
    time_repeatedly = partial(time_command, repetitions=options.repetitions)
    text = "The soup was cold.\n"
    labels = f"import sltk; sltk.load({str(exported)!r}).predict({text!r})"
    times = {
        "sltk --help": time_repeatedly("--help"),
        "sltk check": time_repeatedly("check", spec),
        "sltk predict": time_repeatedly("predict", str(run), "-", text=text),
        "sltk predict (ONNX)": time_repeatedly("predict", str(exported), "-", text=text),
        "sltk.load (ONNX)": time_program("-c", labels, repetitions=options.repetitions),
    }
    path, tokenizer = options.data, options.tokenizer
    if path is None or tokenizer is None:
        corpus = sentences(SENTENCES, path)
        tokenizer = tokenizer or make_model("tiny", folder / "tokenizer", corpus)
    if path is None:
        path = folder / "synthetic.conll"
        blocks = ["".join(f"{w} {t}\n" for w, t in zip(s.words, s.tags, strict=True)) for s in corpus]
        path.write_text("\n".join(blocks), encoding="utf-8")
    times |= time_reading(path, AutoTokenizer.from_pretrained(tokenizer), options.repetitions)
    words = sum(len(sentence.words) for sentence in ConllReader(path=path).read())
    medians = {name: statistics.median(seconds) for name, seconds in times.items()}
    return {
        "seconds": {name: round(median, 3) for name, median in medians.items()},
        "words": words,
        "words_per_second": round(words / (medians["read"] + medians["tokenise_and_align"])),
        "machine": machine(torch_device("cpu")),
        "sltk": sltk.__version__,
    }


def main() -> None:
    """Run the benchmark and print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="CoNLL file (default: synthetic sentences)")
    parser.add_argument(
        "--tokenizer", type=Path, help="folder with a tokenizer (default: one trained on the data)"
    )
    parser.add_argument(
        "--run", type=Path, help="run directory to predict with (default: the quickstart after one update)"
    )
    parser.add_argument("--repetitions", type=int, default=5, help="timed runs (default: 5)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, seconds in result["seconds"].items():
        print(f"{name:20} {seconds:7.3f} s")
    print(of_machine(result))
    print(
        f"reading, tokenizing and aligning: {result['words']:,} words, {result['words_per_second']:,} words/s"
    )


if __name__ == "__main__":
    main()
