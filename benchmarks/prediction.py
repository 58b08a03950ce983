"""Labelling speed of sltk and of the token-classification pipeline of transformers.

    python benchmarks/prediction.py                        decoder with 135M parameters
    python benchmarks/prediction.py --shape minilm --data eng.testb
    python benchmarks/prediction.py --precision bf16       sltk in bf16; the pipeline in both formats

Both run the same exported model in one process, in turn, and the number of words with different labels is reported.

    pipeline_default   batches of one sentence, the default of the pipeline
    pipeline_best      the batch size that was fastest in a first round
    pipeline_bf16      with `--precision bf16`: a model in bfloat16, with the batch size that is fastest for it
    sltk               `sltk.load(DIR).predict(sentences)`
"""

from __future__ import annotations

import argparse
import json
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
    of_machine,
    of_rates,
    parameters_outside_embedding,
    parser,
    report,
    seconds,
    sentences,
    take_turns,
)
from sltk import Sentence
from sltk.components.backbones.precision import resolve

BATCH_SIZES = (1, 4, 8, 16, 32)


def export_model(shape: str, folder: Path, corpus: list[Sentence]) -> Path:
    """Train a model of this shape for one update, and export it in a form that transformers can load."""
    encoder = isinstance(SHAPES[shape], BertConfig)
    make_model(shape, folder / "base", corpus)
    train = folder / "train.jsonl"
    train.write_text("".join(_json_line(sentence) for sentence in corpus[:16]), encoding="utf-8")
    spec = {
        "name": "benchmark",
        "data": {"train": {"type": "jsonl", "path": str(train)}},
        "backbone": {
            "type": "encoder" if encoder else "decoder",
            "name": str(folder / "base"),
            "unmask": "all" if encoder else "none",
            "lora": {"r": 64, "alpha": 16},
        },
        "trainer": {"max_steps": 1},
    }
    sltk.train(spec, output=folder / "run")
    sltk.export(folder / "run", folder / "exported")
    return folder / "exported"


def _json_line(sentence: Sentence) -> str:
    return json.dumps({"words": sentence.words, "tags": sentence.tags}) + "\n"


class Pipeline:
    """The pipeline of transformers, with labels assigned to words by character offsets.

    `prefix` is the text before each sentence: a blank, if the tokenizer expects one before each word.
    """

    def __init__(self, folder: Path, prefix: str, device: torch.device, dtype: torch.dtype) -> None:
        tokenizer = AutoTokenizer.from_pretrained(folder)
        model = AutoModelForTokenClassification.from_pretrained(folder, dtype=dtype).to(device)
        self.pipeline = TokenClassificationPipeline(
            model=model, tokenizer=tokenizer, ignore_labels=[], device=device
        )
        self.prefix = prefix

    def labels(self, corpus: list[Sentence], batch_size: int) -> list[list[str]]:
        """Return one label per word of each sentence."""
        texts = [self.prefix + " ".join(sentence.words) for sentence in corpus]
        tokens = self.pipeline(texts, batch_size=batch_size)
        return [self._word_labels(*pair) for pair in zip(corpus, tokens, strict=True)]

    def _word_labels(self, sentence: Sentence, tokens: list[dict[str, Any]]) -> list[str]:
        """Return the label of the first token of each word: the first that ends after the start of the word."""
        labels, position = [], 0
        start = len(self.prefix)
        for word in sentence.words:
            while tokens[position]["end"] <= start:
                position += 1
            labels.append(tokens[position]["entity"])
            start += len(word) + 1
        return labels


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the benchmark and return the output of `--json`."""
    corpus = sentences(options.sentences, options.data)
    exported = export_model(options.shape, folder, corpus)
    labeller = sltk.load(exported)
    device, backbone = labeller.model.device, labeller.model.network.backbone
    backbone.precision = resolve(options.precision, device, key=None)
    prefix = "" if isinstance(SHAPES[options.shape], BertConfig) else " "
    first_rates = matmul_rates(device, options.precision, options.shape)
    pipeline = Pipeline(exported, prefix, device, torch.float32)
    best = {"pipeline_best": _best_batch_size(pipeline, corpus[: options.search], device)}
    contenders: dict[str, Callable[[], list[list[str]]]] = {
        "pipeline_default": lambda: pipeline.labels(corpus, 1),
        "pipeline_best": lambda: pipeline.labels(corpus, best["pipeline_best"]),
        "sltk": lambda: [prediction.tags for prediction in labeller.predict(corpus)],
    }
    if options.precision == "bf16":
        in_bf16 = Pipeline(exported, prefix, device, torch.bfloat16)
        best["pipeline_bf16"] = _best_batch_size(in_bf16, corpus[: options.search], device)
        contenders["pipeline_bf16"] = lambda: in_bf16.labels(corpus, best["pipeline_bf16"])
    measurements, labels = measure_contenders(contenders, corpus, options.repetitions, device)
    weights = parameters_outside_embedding(backbone)
    tokens = sum(len(w.ids) for e in labeller.model.encoder.encode(corpus) for w in e.windows)
    operations = 2 * weights * tokens
    rates = Rates.best([first_rates, matmul_rates(device, options.precision, options.shape)])
    return {
        "contenders": {name: measurement.to_json() for name, measurement in measurements.items()},
        "rates": rates.to_json(operations / statistics.median(measurements["sltk"].seconds)),
        "best_batch_size": best["pipeline_best"],
        "best_batch_sizes": best,
        "words": sum(map(len, corpus)),
        "words_with_other_labels": {
            name: _count_different(labels[name], labels["sltk"]) for name in contenders if name != "sltk"
        },
        "shape": options.shape,
        "precision": options.precision,
        "machine": machine(device),
    }


def _best_batch_size(pipeline: Pipeline, corpus: list[Sentence], device: torch.device) -> int:
    pipeline.labels(corpus[:8], 1)  # untimed
    times = {size: seconds(lambda size=size: pipeline.labels(corpus, size), device) for size in BATCH_SIZES}
    return min(times, key=times.__getitem__)


def measure_contenders(
    contenders: dict[str, Callable[[], list[list[str]]]],
    corpus: list[Sentence],
    repetitions: int,
    device: torch.device,
) -> tuple[dict[str, Measurement], dict[str, list[list[str]]]]:
    """Measure each contender, and return the labels it predicts too."""
    labels: dict[str, list[list[str]]] = {}

    def seconds_of(name: str) -> float:
        return seconds(lambda: labels.update({name: contenders[name]()}), device)

    runs = {name: partial(seconds_of, name) for name in contenders}
    return take_turns(runs, repetitions, sum(map(len, corpus)), device), labels


def _count_different(left: list[list[str]], right: list[list[str]]) -> int:
    pairs = zip(left, right, strict=True)
    return sum(a != b for one, other in pairs for a, b in zip(one, other, strict=True))


def main() -> None:
    """Run the benchmark and print a table."""
    arguments = parser(__doc__)
    arguments.add_argument("--sentences", type=int, default=400, help="sentences to label (default: 400)")
    arguments.add_argument(
        "--search", type=int, default=100, help="sentences for choosing the batch size (default: 100)"
    )
    arguments.add_argument(
        "--precision", choices=["fp32", "bf16"], default="fp32", help="of sltk (default: fp32)"
    )
    options = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    different = ", ".join(f"{name} {count}" for name, count in result["words_with_other_labels"].items())
    notes = [
        of_machine(result),
        f"best batch size of the pipeline: {result['best_batch_size']}",
        f"square matrix products: {of_rates(result['rates'])}",
        f"words labelled differently from sltk, of {result['words']:,}: {different}",
    ]
    report(result, f"Prediction, {options.shape}, {options.precision}", notes, options.json)


if __name__ == "__main__":
    main()
