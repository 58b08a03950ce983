"""What one waits for before anything is computed.

    python benchmarks/startup.py
    python benchmarks/startup.py --data eng.train --tokenizer DIR       real words and a real tokenizer

Each command is a process of its own, timed from start to exit; the median of several. Reading, tokenising and
aligning are timed in this process, on a CoNLL file or on made-up sentences of the size of CoNLL-2003's training set.
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
from pathlib import Path
from typing import Any

from torch import device as torch_device
from transformers import AutoTokenizer

import sltk
from shared import machine, make_model, sentences
from sltk.components.readers.conll import ConllReader
from sltk.data import datasets
from sltk.subwords.tokenization import SubwordEncoder

ROOT = Path(__file__).resolve().parent.parent
SENTENCES = 14_041
"""In the training set of CoNLL-2003, which has 203,621 words."""


def of_command(*words: str, repetitions: int, given: str = "") -> list[float]:
    """Seconds of each of several runs of `sltk WORDS`, after one that fills the file cache."""
    taken = []
    for _ in range(repetitions + 1):
        begun = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "sltk", *words],
            input=given,
            check=True,
            capture_output=True,
            text=True,
            cwd=ROOT,
        )
        taken.append(time.perf_counter() - begun)
    return taken[1:]


def small_run(folder: Path) -> Path:
    """A trained model of the shape of the quickstart's, in few seconds."""
    spec = ROOT / "experiments" / "quickstart.yaml"
    subprocess.run(
        [sys.executable, "-m", "sltk", "train", str(spec), "--set", "trainer.max_steps=1", "--output", str(folder)],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


def of_reading(path: Path, tokenizer: Any, repetitions: int) -> dict[str, list[float]]:
    """Seconds to read a CoNLL file into sentences with tags, and to tokenise and align them."""
    taken: dict[str, list[float]] = {"read": [], "tokenise_and_align": []}
    for _ in range(repetitions):
        read, dataset = _timed(lambda: datasets.load(ConllReader(path=path), "IOB2"))
        encode, _ = _timed(lambda dataset=dataset: SubwordEncoder(tokenizer).encode(dataset.sentences))
        taken["read"].append(read)
        taken["tokenise_and_align"].append(encode)
    return taken


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    begun = time.perf_counter()
    result = work()
    return time.perf_counter() - begun, result


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Everything that `--json` prints."""
    spec = str(ROOT / "experiments" / "llama_absa_0111.yaml")
    run = small_run(folder / "run")
    times = {
        "sltk --help": of_command("--help", repetitions=options.repetitions),
        "sltk check": of_command("check", spec, repetitions=options.repetitions),
        "sltk predict": of_command(
            "predict", str(run), "-", repetitions=options.repetitions, given="The soup was cold.\n"
        ),
    }
    path, tokenizer = options.data, options.tokenizer
    if path is None or tokenizer is None:
        corpus = sentences(SENTENCES, path)
        tokenizer = tokenizer or make_model("tiny", folder / "tokenizer", corpus)
    if path is None:
        path = folder / "made_up.conll"
        lines = ["".join(f"{w} {t}\n" for w, t in zip(s.words, s.tags, strict=True)) for s in corpus]
        path.write_text("\n".join(lines), encoding="utf-8")
    times |= of_reading(path, AutoTokenizer.from_pretrained(tokenizer), options.repetitions)
    words = sum(len(sentence.words) for sentence in ConllReader(path=path).read())
    together = sum(statistics.median(times[name]) for name in ("read", "tokenise_and_align"))
    return {
        "seconds": {name: round(statistics.median(each), 3) for name, each in times.items()},
        "words": words,
        "words_per_second": round(words / together),
        "machine": machine(torch_device("cpu")),
        "sltk": sltk.__version__,
    }


def main() -> None:
    """Run it and print the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="a CoNLL file; unset: made-up sentences")
    parser.add_argument(
        "--tokenizer", type=Path, help="a folder with a tokenizer; unset: one made on the spot"
    )
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, taken in result["seconds"].items():
        print(f"{name:20} {taken:7.3f} s")
    print(f"read, tokenised and aligned: {result['words']:,} words, {result['words_per_second']:,} a second")


if __name__ == "__main__":
    main()
