"""How to use a model: only what the files of its folder support."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from .markdown import escaped, fenced, with_code

Form = Literal["run", "sltk", "transformers", "onnx"]
"""A run directory; an export that only sltk loads; one that transformers loads too; an ONNX model."""

_SENTENCE = "Text in the training language."


@dataclass(frozen=True)
class Usage:
    """The section on use, the licence, and the thresholds that sltk applies."""

    text: str
    license: str | None
    thresholds: str | None = None


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
        parts.append(_onnx(description, description["onnx"]))
    elif form == "run":
        parts.append("`sltk export` writes it for transformers or as ONNX, without its base model.\n")
    else:
        parts.append(_sltk_only(_note(description)))
    return "\n".join(parts)


def _sltk(form: Form, place: str) -> str:
    install = "pip install '.[onnx]'" if form == "onnx" else "pip install ."
    code = f"""import sltk  # in a checkout of sltk: {install}  (on PyPI, another project has this name)

labeller = sltk.load({place!r})
for prediction in labeller.predict([{_SENTENCE!r}]):
    print(prediction.spans)"""
    return fenced("python", code)


def _transformers(description: Mapping[str, Any], place: str) -> str:
    if description.get("type", "tagger") == "instruct":
        return "With transformers it is a causal language model; sltk writes its prompts and reads its responses.\n"
    listed = _note(description).get("rules")
    rules = "".join(f"- {with_code(rule)}\n" for rule in listed) if isinstance(listed, list) else ""
    text = repr(_SENTENCE)
    if description.get("spacing") == "single":
        text = f"{[*_SENTENCE[:-1].split(), '.']}, is_split_into_words=True"
    code = _PIPELINE.format(place=place, text=text)
    if loader := _tokenizer_class(description):
        code = _PIPELINE_WITH_TOKENIZER.format(place=place, text=text, loader=loader)
    exact = exact_words(description, place)
    return (
        f"With transformers alone:\n\n{fenced('python', code)}\n{rules}\n"
        f"The code for exact words labels the words that you choose, as sltk does:\n\n{fenced('python', exact)}"
    )


def _note(description: Mapping[str, Any]) -> Mapping[str, Any]:
    """What sltk.json says of the use in transformers."""
    note = description.get("transformers")
    return note if isinstance(note, dict) else {}


def _sltk_only(use: Mapping[str, Any]) -> str:
    """Why transformers cannot load a model, and what of it transformers can load."""
    reason = with_code(use.get("reason") or "its mask, head or aligner exists in sltk only")
    base = (
        " `AutoModel` of transformers loads the folder `base/`, without the head." if use.get("class") else ""
    )
    return f"Only sltk can load it: {reason}.{base}\n"


def exact_words(description: Mapping[str, Any], place: str) -> str:
    """Code that labels words in transformers by the subword that the model was trained on.

    Args:
        description: the content of sltk.json.
        place: the name of the model on the hub, or the path of its folder.
    """
    is_last = description["components"].get("aligner", {}).get("type") == "last_subword"
    blank = _note(description).get("blank")
    code = _EXACT_WORDS.format(
        place=place, position=-1 if is_last else 0, loader=_tokenizer_class(description) or "AutoTokenizer"
    )
    if not blank:
        return code
    return code.replace(_BOUNDS, _BOUNDS + _WITHOUT_BLANK.format(blank=blank))


def _tokenizer_class(description: Mapping[str, Any]) -> str | None:
    """The class to load the tokenizer with, if AutoTokenizer reads text differently."""
    name = _note(description).get("tokenizer")
    return "PreTrainedTokenizerFast" if name == "PreTrainedTokenizerFast" else None


_PIPELINE = """from transformers import pipeline

tagger = pipeline("token-classification", {place!r}, aggregation_strategy="first")
print(tagger({text}))"""
_PIPELINE_WITH_TOKENIZER = """from transformers import {loader}, pipeline

tokenizer = {loader}.from_pretrained({place!r})
tagger = pipeline("token-classification", {place!r}, tokenizer=tokenizer, aggregation_strategy="first")
print(tagger({text}))"""
_BOUNDS = """    bounds = inputs.pop("offset_mapping")[0].tolist()
"""
_WITHOUT_BLANK = """    names = tokenizer.convert_ids_to_tokens(inputs["input_ids"][0])
    bounds = [(0, 0) if name == {blank!r} else pair for name, pair in zip(names, bounds)]
"""
_EXACT_WORDS = """import torch
from transformers import AutoModelForTokenClassification, {loader}

tokenizer = {loader}.from_pretrained({place!r})
model = AutoModelForTokenClassification.from_pretrained({place!r}).eval()


def tags(text, words):
    \"\"\"The tag of each word; `words` are their half-open offsets in the text.\"\"\"
    inputs = tokenizer(text, return_tensors="pt", return_offsets_mapping=True)
    bounds = inputs.pop("offset_mapping")[0].tolist()
    with torch.inference_mode():
        best = model(**inputs).logits[0].argmax(-1).tolist()
    found = []
    for start, end in words:
        subwords = [n for n, (a, b) in enumerate(bounds) if a < end and start < b and text[a:b].strip()]
        found.append(model.config.id2label[best[subwords[{position}]]] if subwords else "O")
    return found"""


def _onnx(description: Mapping[str, Any], onnx: Mapping[str, Any]) -> str:
    """What the graph takes and gives."""
    components, unit = description["components"], onnx["granularity"]
    lines = [
        "sltk runs it through onnxruntime, without torch and transformers.",
        f"The graph takes {escaped(', '.join(onnx['inputs']))}, padded on the right, and gives "
        f"{escaped(onnx['output'])}: one score per {escaped(unit)} and label, in the order "
        "of `id2label` in config.json.",
    ]
    if description["scheme"] == "layers":
        lines[1] = (
            f"The graph takes {escaped(', '.join(onnx['inputs']))}, padded on the right, and gives "
            f"{escaped(onnx['output'])}: numbers per {escaped(unit)}, of which decoder.json makes spans, which may "
            "overlap."
        )
    if unit == "subword":
        is_last = components.get("aligner", {}).get("type") == "last_subword"
        lines.append(f"The scores of a word are those of its {'last' if is_last else 'first'} subword.")
    if components.get("head", {}).get("type") == "crf":
        lines.append(
            "The best tags of a sentence also need transitions.json, the scores of adjacent tags (Viterbi)."
        )
    if onnx.get("quantization"):
        kind = escaped(onnx["quantization"])
        lines.append(
            f"Its weights are {kind}, so some tags may differ from those of the model that was scored."
        )
    return " ".join(lines) + "\n"
