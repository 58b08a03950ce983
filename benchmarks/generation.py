"""Labelling speed of a model of type `instruct`: one sentence at a time, in batches, and constrained.

    python benchmarks/generation.py --model ~/.cache/sltk-models/smollm2-135m [--run RUN] [--sentences N] [--json]

Without --run, the model was never trained to answer, so responses have `--response` subwords. With --run, responses
are those of the trained run. `transformers` is the `generate` of transformers, one sentence at a time.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import sltk
from shared import machine, of_machine
from sltk.components.readers.grammar import GrammarReader
from sltk.models import kinds
from sltk.models.instruct.generation import attending_with_cache
from sltk.runtime.progress import Progress
from sltk.types import Sentence

OPTIONS = {name: name for name in ("positive", "negative", "neutral", "conflict")}
INSTRUCTION = (
    "please extract aspect terms and their polarity from the input sentence, "
    "all polarity types are in options"
)


def load_untrained(model: Path, response: int, folder: Path) -> Any:
    """Load a pretrained model without training it."""
    spec = {
        "name": "generation",
        "type": "instruct",
        "data": {"train": {"type": "grammar", "count": 4}},
        "backbone": {"type": "decoder", "name": str(model), "freeze": True},
        "instruct": {"instruction": INSTRUCTION, "options": OPTIONS, "max_response": response},
    }
    sltk.train(spec, folder)
    return sltk.load(folder).model


def measure(label: Callable[[], Sequence[int]]) -> dict[str, Any]:
    """Return sentences and subwords per second; `label` returns the length of each response in subwords."""
    start = time.perf_counter()
    lengths = label()
    seconds = time.perf_counter() - start
    return {
        "sentences_per_second": round(len(lengths) / seconds, 3),
        "subwords_per_second": round(sum(lengths) / seconds, 1),
        "mean_response": round(sum(lengths) / len(lengths), 2),
        "seconds": round(seconds, 2),
    }


def label_with_sltk(model: Any, sentences: Sequence[Sentence], batch_tokens: int) -> list[int]:
    """Label sentences with sltk, and return the lengths of the responses in subwords."""
    kind = kinds.type_of(model)
    predictions = list(kind.predict(model, sentences, batch_tokens, 2048, Progress()))
    encode = model.network.backbone.tokenizer.backend_tokenizer.encode
    return [len(encode(p.response.text, add_special_tokens=False).ids) + 1 for p in predictions]


def label_with_transformers(model: Any, sentences: Sequence[Sentence]) -> list[int]:
    """Label sentences one at a time with `generate` of transformers; return the lengths in subwords."""
    language_model, encoder = model.network.backbone.language_model, model.encoder
    lengths = []
    with attending_with_cache(model.network), torch.inference_mode():
        for ids in encoder.prompts(sentences):
            prompt = torch.tensor([ids], device=model.device)
            output = language_model.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=False, use_cache=True,
                max_new_tokens=model.spec.max_response, eos_token_id=encoder.end, pad_token_id=encoder.end,
            )  # fmt: skip
            lengths.append(output.shape[1] - len(ids))
    return lengths


def constrain(model: Any) -> Any:
    """The same model with constrained decoding: it can generate only what the sentence allows."""
    spec = model.spec.model_copy(update={"constrained": True})
    return replace(model, prompter=replace(model.prompter, spec=spec))


def measure_contenders(model: Any, options: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Measure transformers and sltk one sentence at a time, and sltk in batches."""
    reader = GrammarReader(count=options.sentences, part="test")
    sentences = [Sentence(sentence.words) for sentence in reader.read()]
    few = sentences[: max(8, len(sentences) // 4)]
    label_with_sltk(model, few[:2], 1)  # untimed: computes the part that all prompts share
    return {
        "transformers": measure(lambda: label_with_transformers(model, few)),
        "one_at_a_time": measure(lambda: label_with_sltk(model, few, 1)),
        "batches": measure(lambda: label_with_sltk(model, sentences, options.batch_tokens)),
        "batches_constrained": measure(
            lambda: label_with_sltk(constrain(model), sentences, options.batch_tokens)
        ),
    }


def main() -> None:
    """Run the benchmark and print the results."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("~/.cache/sltk-models/smollm2-135m"),
        help="folder of a pretrained decoder (default: ~/.cache/sltk-models/smollm2-135m)",
    )
    parser.add_argument("--run", type=Path, help="a trained run of type `instruct`")
    parser.add_argument("--sentences", type=int, default=64, help="sentences to label (default: 64)")
    parser.add_argument(
        "--response", type=int, default=16, help="subwords per response without --run (default: 16)"
    )
    parser.add_argument("--batch-tokens", type=int, default=4096, help="subwords per batch (default: 4096)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    options = parser.parse_args()
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as folder:
        if options.run is not None:
            model = sltk.load(options.run).model
        else:
            with torch.enable_grad():
                model = load_untrained(options.model.expanduser(), options.response, Path(folder) / "run")
        contenders = measure_contenders(model, options)
    speed = {name: scores["sentences_per_second"] for name, scores in contenders.items()}
    result = {
        "contenders": contenders,
        "batches_to_transformers": round(speed["batches"] / speed["transformers"], 2),
        "batches_to_one_at_a_time": round(speed["batches"] / speed["one_at_a_time"], 2),
        "threads": torch.get_num_threads(),
        "device": str(model.device),
        "machine": machine(model.device),
    }
    if options.json:
        print(json.dumps(result, indent=2))
        return
    for name, scores in contenders.items():
        print(
            f"{name:<20} {scores['sentences_per_second']:>8} sentences/s"
            f"   {scores['mean_response']} subwords per response"
        )
    print(of_machine(result))
    print(f"batches are {result['batches_to_transformers']} times as fast as transformers")


if __name__ == "__main__":
    main()
