"""Training time of a frozen backbone by the number of epochs: its word vectors are computed once.

    python benchmarks/frozen.py                            decoder with 135M parameters, 1 and 5 epochs
    python benchmarks/frozen.py --shape minilm --data eng.train --sentences 3000

Each training is a run of its own, in this process, in turn. The time is that of training alone, with the pass that
computes the vectors, without building and scoring the model. `--trained` fine-tunes the same model with adapters, where
every epoch costs the same.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from pathlib import Path
from typing import Any

from transformers import BertConfig

import sltk
from shared import SHAPES, machine, make_model, of_machine, parser, sentences
from sltk.components.backbones.precision import device


def train(options: argparse.Namespace, base: Path, data: Path, epochs: int, folder: Path) -> dict[str, Any]:
    """Train for this many epochs, and return the cost of training that the run records."""
    is_encoder = isinstance(SHAPES[options.shape], BertConfig)
    backbone: dict[str, Any] = {
        "type": "encoder" if is_encoder else "decoder", "name": str(base), "unmask": "all" if is_encoder else "none"
    }  # fmt: skip
    backbone |= {"lora": {"r": 64, "alpha": 16}} if options.trained else {"freeze": True}
    spec = {
        "name": "frozen",
        "data": {"train": {"type": "jsonl", "path": str(data)}},
        "backbone": backbone,
        "trainer": {"epochs": epochs, "batch_size": 16, "precision": options.precision},
    }
    sltk.train(spec, output=folder)
    cost: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["train"]
    return cost


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the benchmark and return the output of `--json`."""
    corpus = sentences(options.sentences, options.data)
    base = make_model(options.shape, folder / "base", corpus)
    data = folder / "train.jsonl"
    lines = (json.dumps({"words": each.words, "tags": each.tags}) for each in corpus)
    data.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    seconds: dict[int, list[float]] = {1: [], options.epochs: []}
    for repetition in range(options.repetitions):
        for epochs, times in seconds.items():
            run = folder / f"run-{epochs}-{repetition}"
            times.append(train(options, base, data, epochs, run)["seconds"])
    medians = {epochs: statistics.median(times) for epochs, times in seconds.items()}
    return {
        "seconds": {str(epochs): times for epochs, times in seconds.items()},
        "ratio": round(medians[options.epochs] / medians[1], 3),
        "epochs": options.epochs,
        "sentences": len(corpus),
        "trained": options.trained,
        "shape": options.shape,
        "precision": options.precision,
        "machine": machine(device()),
    }


def main() -> None:
    """Run the benchmark and print the results."""
    arguments = parser(__doc__)
    arguments.add_argument("--sentences", type=int, default=400, help="sentences to train on (default: 400)")
    arguments.add_argument("--epochs", type=int, default=5, help="epochs compared with one (default: 5)")
    arguments.add_argument("--trained", action="store_true", help="train adapters instead of freezing")
    arguments.add_argument("--precision", choices=["fp32", "bf16"], default="fp32", help="default: fp32")
    options = arguments.parse_args()
    if options.epochs < 2:
        arguments.error(f"--epochs must be at least 2, not {options.epochs}")
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for epochs, times in result["seconds"].items():
        print(f"{epochs} epochs: {statistics.median(times):.2f} s")
    print(f"ratio {result['ratio']}")
    print(of_machine(result))


if __name__ == "__main__":
    main()
