"""How to use a model: only what the files of its folder support."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .markdown import escaped, fenced

Form = Literal["run", "sltk", "transformers", "onnx"]
"""A run directory; an export that only sltk loads; one that transformers loads too; an ONNX model."""

_SENTENCE = "Some text in the language of the training data."


@dataclass(frozen=True)
class Usage:
    """The section on use, and the licence."""

    text: str
    license: str | None


def form_of(description: Mapping[str, Any], *, is_run: bool) -> Form:
    """The form of a model, from its sltk.json."""
    if "onnx" in description:
        return "onnx"
    if is_run:
        return "run"
    return "transformers" if description["base"].get("path") == "." else "sltk"


def usage_text(description: Mapping[str, Any], form: Form, place: str) -> str:
    """The section on use.

    Args:
        description: the content of sltk.json.
        form: the form of the model.
        place: its name on the hub, or the path of its folder.
    """
    parts = [_sltk(form, place)]
    if form == "transformers":
        parts.append(_transformers(description, place))
    elif form == "onnx":
        parts.append(_onnx(description["onnx"]))
    elif form == "run":
        parts.append("`sltk export` writes it for transformers or as ONNX, without its base model.\n")
    else:
        parts.append("transformers alone cannot load it: its mask, head or aligner exists in sltk only.\n")
    return "\n".join(parts)


def _sltk(form: Form, place: str) -> str:
    install = "pip install 'sltk[onnx]'" if form == "onnx" else "pip install sltk"
    code = f"""import sltk  # {install}

labeller = sltk.load({place!r})
for prediction in labeller.predict([{_SENTENCE!r}]):
    print(prediction.spans)"""
    return fenced("python", code)


def _transformers(description: Mapping[str, Any], place: str) -> str:
    if description.get("type", "tagger") == "instruct":
        return "With transformers it is a causal language model; sltk writes its prompts and reads its responses.\n"
    code = f"""from transformers import pipeline

tagger = pipeline("token-classification", {place!r}, aggregation_strategy="first")
tagger({_SENTENCE!r})"""
    advice = (
        'Use `aggregation_strategy="first"`: it gives whole words. `"simple"` may cut them, because the model was '
        "trained on the first subword of each.\n"
    )
    if description["components"].get("aligner", {}).get("type") == "last_subword":
        advice = (
            "It was trained on the last subword of each word, which no `aggregation_strategy` reads: use sltk for "
            "whole words.\n"
        )
    rules = "".join(f"- {escaped(rule)}\n" for rule in _rules(description))
    note = (
        f"\nsltk reads text by rules that transformers does not have, so results may differ:\n\n{rules}"
        if rules
        else ""
    )
    return f"With transformers alone:\n\n{fenced('python', code)}\n{advice}{note}"


def _rules(description: Mapping[str, Any]) -> list[str]:
    """The rules of reading that the exported tokenizer could not express."""
    rules = description.get("reading_rules") or []
    return [str(rule) for rule in rules] if isinstance(rules, list) else []


def _onnx(onnx: Mapping[str, Any]) -> str:
    inputs = ", ".join(map(str, onnx.get("inputs") or ()))
    unit = "word" if onnx.get("granularity") == "word" else "subword"
    lines = [
        f"sltk runs it through onnxruntime, without torch. The graph takes {escaped(inputs)} and gives "
        f"{escaped(onnx.get('output', 'logits'))}: one score per {unit} and label, "
        "in the order of `id2label` in config.json."
    ]
    if onnx.get("quantization"):
        lines.append(
            f"Its weights are quantized to {escaped(onnx['quantization'])}, which changes some tags."
        )
    return " ".join(lines) + "\n"
