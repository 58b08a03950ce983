"""Labelling speed, start-up and size of an ONNX export, in float32 and int8, beside those of sltk.

    python benchmarks/onnx_export.py                        decoder with 135M parameters and random weights
    python benchmarks/onnx_export.py --run runs/NAME        a trained run: then changed tags mean something
    python benchmarks/onnx_export.py --profile              also the time of each kind of operation

All forms label the same sentences in one process, in turn, with the same number of threads.

    words_per_second    `sltk.load(DIR).predict(sentences)`
    sentence_ms         the same with one sentence per call, the median
    start_seconds       `sltk predict DIR FILE` of one sentence, from process start to exit
    changed             words with another tag than sltk gives them
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from transformers import BertConfig

import sltk
from shared import SHAPES, machine, make_model, parser, sentences
from sltk import Sentence
from sltk.runtime.cpus import threads

FORMS: dict[str, dict[str, Any]] = {
    "sltk": {},
    "onnx": {"format": "onnx"},
    "int8": {"format": "onnx", "quantize": "int8"},
}


def train(shape: str, folder: Path, corpus: list[Sentence]) -> Path:
    """Train a model of this shape with adapters for one update; half of its blocks are unmasked."""
    blocks = int(SHAPES[shape].num_hidden_layers)
    make_model(shape, folder / "base", corpus)
    lines = (json.dumps({"words": each.words, "tags": each.tags}) + "\n" for each in corpus[:16])
    (folder / "train.jsonl").write_text("".join(lines), encoding="utf-8")
    kind = "encoder" if isinstance(SHAPES[shape], BertConfig) else "decoder"
    spec = {
        "name": "benchmark",
        "data": {"train": {"type": "jsonl", "path": str(folder / "train.jsonl")}},
        "backbone": {
            "type": kind,
            "name": str(folder / "base"),
            "unmask": "0" * (blocks // 2) + "1" * (blocks - blocks // 2),
            "lora": {"r": 16},
        },
        "trainer": {"max_steps": 1},
    }
    sltk.train(spec, output=folder / "run")
    return folder / "run"


def size(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def start_seconds(folder: Path, text: Path) -> float:
    """The shortest of three runs of `sltk predict`."""
    times = []
    for _ in range(3):
        start = time.perf_counter()
        command = [sys.executable, "-m", "sltk", "predict", str(folder), str(text)]
        subprocess.run(command, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


def seconds(work: partial[Any], rounds: int) -> float:
    """The shortest of several calls, after one that warms up."""
    work()
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def profile(folder: Path, corpus: list[Sentence]) -> list[tuple[str, float]]:
    """Seconds in each kind of operation of an export, longest first."""
    import numpy as np
    import onnxruntime

    labeller = sltk.load(folder)
    model: Any = labeller.model
    options = onnxruntime.SessionOptions()
    options.enable_profiling = True
    options.profile_file_prefix = str(folder / "profile")
    session = onnxruntime.InferenceSession(folder / "model.onnx", options)
    for encoding in model.encoder.encode(corpus[:64]):
        ids = np.array([encoding.windows[0].ids])
        session.run(["logits"], {"input_ids": ids, "attention_mask": np.ones_like(ids)})
    events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    times: Counter[str] = Counter()
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            times[event["args"]["op_name"]] += event["dur"] / 1e6
    return times.most_common(12)


def measure(run: Path, folder: Path, corpus: list[Sentence], rounds: int) -> dict[str, dict[str, float]]:
    """All measurements by form."""
    text = folder / "text.txt"
    text.write_text(" ".join(corpus[0].words) + "\n", encoding="utf-8")
    for form, options in FORMS.items():
        sltk.export(run, folder / form, **options)
    labellers = {form: sltk.load(folder / form) for form in FORMS}
    expected = labellers["sltk"].predict(corpus)
    words = sum(map(len, corpus))
    rows: dict[str, dict[str, float]] = {}
    for form, labeller in labellers.items():
        predicted = labeller.predict(corpus)
        pairs = zip(predicted, expected, strict=True)
        changed = sum(x != y for a, b in pairs for x, y in zip(a.tags, b.tags, strict=True))
        single = sorted(seconds(partial(labeller.predict, [each]), 1) for each in corpus[:50])
        rows[form] = {
            "words_per_second": round(words / seconds(partial(labeller.predict, corpus), rounds)),
            "sentence_ms": round(1000 * single[len(single) // 2], 1),
            "start_seconds": round(start_seconds(folder / form, text), 2),
            "changed": changed,
            "words": words,
            "megabytes": round(size(folder / form) / 1e6, 1),
        }
    return rows


def main() -> None:
    """Run the benchmark and print a table."""
    arguments = parser(__doc__)
    arguments.add_argument("--sentences", type=int, default=200, help="sentences to label (default: 200)")
    arguments.add_argument("--run", type=Path, help="a run directory (default: a model with random weights)")
    arguments.add_argument("--profile", action="store_true", help="seconds in each kind of operation")
    options = arguments.parse_args()
    corpus = sentences(options.sentences, options.data)
    torch.set_num_threads(threads())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run = options.run or train(options.shape, folder, corpus)
        result: dict[str, Any] = {
            "contenders": measure(run, folder, corpus, options.repetitions),
            "shape": str(options.run or options.shape),
            "machine": machine(torch.device("cpu")),
        }
        if options.profile:
            result["operations"] = {form: profile(folder / form, corpus) for form in ("onnx", "int8")}
    if options.json:
        print(json.dumps(result, indent=2))
        return
    table = Table("", *next(iter(result["contenders"].values())), title=result["shape"], title_justify="left")
    for form, values in result["contenders"].items():
        table.add_row(form, *(f"{value:,}" for value in values.values()))
    console = Console()
    console.print(table)
    console.print(result["machine"], result.get("operations", ""))


if __name__ == "__main__":
    main()
