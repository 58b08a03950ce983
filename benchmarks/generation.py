"""Sentences a second that a model of type `instruct` labels: one at a time, in batches, and constrained.

    python benchmarks/generation.py --model ~/.cache/sltk-models/smollm2-135m [--run RUN] [--sentences N] [--json]

Without --run the model is one that was never trained to answer, so that responses run to `--response` subwords;
with it, a trained run answers as it does. `transformers` is its own `generate`, one sentence at a time.
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


def untrained(model: Path, response: int, folder: Path) -> Any:
    """A pretrained model that is asked as it is."""
    spec = {
        "name": "generation",
        "type": "instruct",
        "data": {"train": {"type": "grammar", "count": 4}},
        "backbone": {"type": "decoder", "name": str(model), "freeze": True},
        "instruct": {"instruction": INSTRUCTION, "options": OPTIONS, "max_response": response},
    }
    sltk.train(spec, folder)
    return sltk.load(folder).model


def measured(label: Callable[[], Sequence[Any]]) -> dict[str, Any]:
    """Sentences and subwords a second."""
    begun = time.perf_counter()
    lengths = label()
    seconds = time.perf_counter() - begun
    return {
        "sentences_per_second": round(len(lengths) / seconds, 3),
        "subwords_per_second": round(sum(lengths) / seconds, 1),
        "mean_response": round(sum(lengths) / len(lengths), 2),
        "seconds": round(seconds, 2),
    }


def by_sltk(model: Any, sentences: Sequence[Sentence], batch_tokens: int) -> list[int]:
    """Lengths of the responses."""
    kind = kinds.type_of(model)
    found = list(kind.predict(model, sentences, batch_tokens, 2048, Progress()))
    encode = model.network.backbone.tokenizer.backend_tokenizer.encode
    return [len(encode(each.response.text, add_special_tokens=False).ids) + 1 for each in found]


def by_transformers(model: Any, sentences: Sequence[Sentence]) -> list[int]:
    """The same by transformers' own `generate`, one sentence at a time."""
    whole, encoder = model.network.backbone.language_model, model.encoder
    lengths = []
    with attending_with_cache(model.network), torch.inference_mode():
        for ids in encoder.prompts(sentences):
            prompt = torch.tensor([ids], device=model.device)
            out = whole.generate(
                prompt, attention_mask=torch.ones_like(prompt), do_sample=False, use_cache=True,
                max_new_tokens=model.spec.max_response, eos_token_id=encoder.end, pad_token_id=encoder.end,
            )  # fmt: skip
            lengths.append(out.shape[1] - len(ids))
    return lengths


def constrained(model: Any) -> Any:
    """The same model, which can write only what the sentence allows."""
    spec = model.spec.model_copy(update={"constrained": True})
    return replace(model, prompter=replace(model.prompter, spec=spec))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=Path("~/.cache/sltk-models/smollm2-135m"))
    parser.add_argument("--run", type=Path, help="a trained run of type `instruct`")
    parser.add_argument("--sentences", type=int, default=64)
    parser.add_argument("--response", type=int, default=16, help="subwords of a response, without --run")
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.set_grad_enabled(False)
    with tempfile.TemporaryDirectory() as folder:
        if arguments.run is not None:
            model = sltk.load(arguments.run).model
        else:
            with torch.enable_grad():
                model = untrained(arguments.model.expanduser(), arguments.response, Path(folder) / "run")
        sentences = [
            Sentence(each.words) for each in GrammarReader(count=arguments.sentences, part="test").read()
        ]
        few = sentences[: max(8, len(sentences) // 4)]
        by_sltk(model, few[:2], 1)  # what all prompts share is computed now
        contenders = {
            "transformers": measured(lambda: by_transformers(model, few)),
            "one_at_a_time": measured(lambda: by_sltk(model, few, 1)),
            "batches": measured(lambda: by_sltk(model, sentences, arguments.batch_tokens)),
            "batches_constrained": measured(
                lambda: by_sltk(constrained(model), sentences, arguments.batch_tokens)
            ),
        }
    speed = {name: each["sentences_per_second"] for name, each in contenders.items()}
    result = {
        "contenders": contenders,
        "batches_to_transformers": round(speed["batches"] / speed["transformers"], 2),
        "batches_to_one_at_a_time": round(speed["batches"] / speed["one_at_a_time"], 2),
        "threads": torch.get_num_threads(),
        "device": str(model.device),
    }
    if arguments.json:
        print(json.dumps(result, indent=2))
        return
    for name, each in contenders.items():
        print(
            f"{name:<20} {each['sentences_per_second']:>8} sentences/s   {each['mean_response']} subwords each"
        )
    print(f"batches are {result['batches_to_transformers']}× transformers, one at a time")


if __name__ == "__main__":
    main()
