"""Prediction speed of the token-classification pipeline of transformers, and of sltk.

    python benchmarks/prediction.py                        decoder of 135M parameters
    python benchmarks/prediction.py --shape minilm --data eng.testb

Both run the same exported model in one process and must give the same labels. Their repetitions alternate.

    pipeline_default   batches of one sentence, the default of the pipeline
    pipeline_best      the batch size that is fastest in a first round
    sltk               `sltk.load(DIR).predict(sentences)`
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    TokenClassificationPipeline,
)

import sltk
from shared import (
    SHAPES,
    Measurement,
    Rates,
    machine,
    make_model,
    matmul_rates,
    of_rates,
    parameters_outside_embedding,
    parser,
    report,
    seconds,
    sentences,
    take_turns,
)
from sltk import Sentence
from sltk.exporting import export

BATCH_SIZES = (1, 4, 8, 16, 32)


def export_model(shape: str, folder: Path, corpus: list[Sentence]) -> Path:
    """Train a model of this shape for one update, and export it so that transformers can load it."""
    encoder = isinstance(SHAPES[shape], BertConfig)
    make_model(shape, folder / "base", corpus)
    words = folder / "train.jsonl"
    words.write_text("".join(_json_line(sentence) for sentence in corpus[:16]), encoding="utf-8")
    spec = {
        "name": "benchmark",
        "data": {"train": {"type": "jsonl", "path": str(words)}},
        "backbone": {
            "type": "encoder" if encoder else "decoder",
            "name": str(folder / "base"),
            "unmask": "all" if encoder else "none",
            "lora": {"r": 64, "alpha": 16},
        },
        "trainer": {"max_steps": 1},
    }
    sltk.train(spec, output=folder / "run")
    export(folder / "run", folder / "exported")
    return folder / "exported"


def _json_line(sentence: Sentence) -> str:
    import json

    return json.dumps({"words": sentence.words, "tags": sentence.tags}) + "\n"


class Pipeline:
    """transformers' pipeline, whose labels are mapped to words by their offsets."""

    def __init__(self, folder: Path, lead: str) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForTokenClassification.from_pretrained(folder)
        self.run = TokenClassificationPipeline(model=model, tokenizer=tokenizer, ignore_labels=[])
        self.lead = lead

    def labels(self, corpus: list[Sentence], batch_size: int) -> list[list[str]]:
        texts = [self.lead + " ".join(sentence.words) for sentence in corpus]
        entities = self.run(texts, batch_size=batch_size)
        return [self._word_labels(*pair) for pair in zip(corpus, entities, strict=True)]

    def _word_labels(self, sentence: Sentence, entities: list[dict[str, Any]]) -> list[str]:
        """The label of the first token of each word: the first token that ends after the start of the word."""
        labels, position = [], 0
        start = len(self.lead)
        for word in sentence.words:
            while entities[position]["end"] <= start:
                position += 1
            labels.append(entities[position]["entity"])
            start += len(word) + 1
        return labels


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All results, as printed by `--json`."""
    corpus = sentences(options.sentences, options.data)
    exported = export_model(options.shape, folder, corpus)
    labeller = sltk.load(exported)
    pipeline = Pipeline(exported, "" if isinstance(SHAPES[options.shape], BertConfig) else " ")
    device = labeller.model.device
    before = matmul_rates(device)
    best = _best_batch_size(pipeline, corpus[: options.search], device)
    contenders: dict[str, Callable[[], list[list[str]]]] = {
        "pipeline_default": lambda: pipeline.labels(corpus, 1),
        "pipeline_best": lambda: pipeline.labels(corpus, best),
        "sltk": lambda: [prediction.tags for prediction in labeller.predict(corpus)],
    }
    measured, labels = timed(contenders, corpus, options.repetitions, device)
    words = sum(map(len, corpus))
    same = {name: _same(labels[name], labels["sltk"]) for name in ("pipeline_default", "pipeline_best")}
    weights = parameters_outside_embedding(labeller.model.network.backbone)
    tokens = sum(len(w.ids) for e in labeller.model.encoder.encode(corpus) for w in e.windows)
    used = 2 * weights * tokens / statistics.median(measured["sltk"].seconds)
    rates = Rates.best([before, matmul_rates(device)])
    return {
        "contenders": {name: each.to_json() for name, each in measured.items()},
        "rates": rates.to_json(used),
        "best_batch_size": best,
        "words": words,
        "words_with_other_labels": {name: words - count for name, count in same.items()},
        "shape": options.shape,
        "machine": machine(device),
    }


def _best_batch_size(pipeline: Pipeline, corpus: list[Sentence], device: torch.device) -> int:
    pipeline.labels(corpus[:8], 1)
    times = {size: seconds(lambda size=size: pipeline.labels(corpus, size), device) for size in BATCH_SIZES}
    return min(times, key=times.__getitem__)


def timed(
    contenders: dict[str, Callable[[], list[list[str]]]],
    corpus: list[Sentence],
    repetitions: int,
    device: torch.device,
) -> tuple[dict[str, Measurement], dict[str, list[list[str]]]]:
    """Times and labels of each contender."""
    labels: dict[str, list[list[str]]] = {}

    def seconds_of(name: str) -> float:
        return seconds(lambda: labels.update({name: contenders[name]()}), device)

    runs = {name: partial(seconds_of, name) for name in contenders}
    return take_turns(runs, repetitions, sum(map(len, corpus)), device), labels


def _same(theirs: list[list[str]], ours: list[list[str]]) -> int:
    pairs = zip(theirs, ours, strict=True)
    return sum(a == b for left, right in pairs for a, b in zip(left, right, strict=True))


def main() -> None:
    """Run the benchmark and print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--sentences", type=int, default=400)
    arguments.add_argument(
        "--search", type=int, default=100, help="number of sentences for choosing the batch size"
    )
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    others = ", ".join(f"{name} {count}" for name, count in result["words_with_other_labels"].items())
    notes = [
        f"best batch size of the pipeline: {result['best_batch_size']}",
        f"square matrix products: {of_rates(result['rates'])}",
        f"words with other labels than those of sltk, out of {result['words']:,}: {others}",
    ]
    report(result, f"Prediction, {options.shape}", notes, options.json)


if __name__ == "__main__":
    main()
