"""Write docs/reference/families.md: `python docs/families.py`. A test fails if the page is out of date.

tests/tiny_families.py lists the families and their properties, and tests verify them. `python docs/families.py onnx`
also exports a model of each family to ONNX, which takes minutes, and records the results in families_onnx.json;
`python docs/families.py onnx NAME …` does so for some families.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from transformers import (
    MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING,
    AutoConfig,
    AutoModel,
    AutoModelForTokenClassification,
    __version__,
)

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

import sltk  # noqa: E402
from newer_families import NO_EARLY_EXIT  # noqa: E402
from sltk.components.backbones import lora  # noqa: E402
from sltk.families.model_tables import REFUSED_BY_KIND, TEXT_PARTS  # noqa: E402
from sltk.nn import silence_libraries  # noqa: E402, F401  (`quiet` acts when imported)
from sltk.runtime.progress import Progress  # noqa: E402
from tiny_families import FAMILIES, Family  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "families.md"
_ONNX = ROOT / "docs" / "families_onnx.json"
"""The largest difference of scores by family, measured by `check_onnx`."""
_HEAD = """\
# Model families

sltk has no list of families that can be unmasked.
It verifies the mask each time a model is built, on two tiny sentences.

1. Every block's attention runs through sltk's function.
2. In each block, information from the last word reaches earlier words exactly if the mask allows it.
   None crosses to another sentence.
   Reachability is read from the gradient, which is exactly zero where there is no path, in any number format.
3. With the mask that the family was designed with, the output equals that of the stock model.

A model that fails is refused by name; sltk never trains or predicts with a mask other than the requested one.
The tables below list the families that the tests build with random weights, using transformers {version}.
For each of them that takes any mask, the tests also compare vectors and gradients of a batch with those of its
sentences alone, and its vectors with padded batches of the stock model; for most of them, also gradients with and
without checkpointing, and the effect of single tokens.
A family that is not listed is verified in the same way when it is used.
Families that take any mask take `unmask: window:W`, `repeat` (decoders) and `blocks` too, unless their notes say so.

*Adapters* are the layers that get an adapter if `lora.target_modules` is unset.
*In transformers* says what `sltk export` writes for it, with the masks and heads in [export](../guides/export.md):
a token classifier, or base weights that `AutoModel` loads.
*ONNX* is the largest difference between the scores of sltk and of onnxruntime after `sltk export --format onnx`,
with weights after one update and the mask 0110, or `all` where blocks cannot differ.
"""
_SECTIONS = (
    (
        "Decoders that take any mask",
        "`unmask` may be any mask; the default is `none`.",
        "decoder",
        "any mask",
    ),
    (
        "Encoders that take any mask",
        "The default is `all`; `none` gives the causal-masked encoder.",
        "encoder",
        "any mask",
    ),
    ("Encoders with one mask for all blocks", "`unmask` is `all` or `none`.", "encoder", "one mask for all"),
    (
        "Encoders that run as they are",
        "`unmask` is `all`. They have their own attention and run on padded batches: slower, with equal results.",
        "encoder",
        "own mask only",
    ),
)
_REFUSED = {
    "decoders": (
        "Decoders that are refused",
        "They cannot be unmasked block by block. sltk refuses them with this reason.",
    ),
    "encoders": ("Encoders that are refused", "sltk refuses them with this reason."),
    "others": ("Models that label no text", "sltk refuses them too."),
}
_TEXT_PARTS = """\
## Multimodal models

sltk loads their text part alone, as a model of the family on the right.
Other models with a `text_config` are read in the same way.
"""


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD.format(version=__version__)]
    for title, about, kind, support in _SECTIONS:
        rows = [family for family in FAMILIES if (family.kind, family.support) == (kind, support)]
        parts.append(f"## {title}\n\n{about}\n\n{_table(rows)}")
    parts.append(f"{_TEXT_PARTS}\n{_pairs('family', 'text part', TEXT_PARTS, '`{}`')}")
    for kind, (title, about) in _REFUSED.items():
        parts.append(f"## {title}\n\n{about}\n\n{_pairs('family', 'why', REFUSED_BY_KIND[kind])}")
    return "\n".join(parts)


def _table(families: list[Family]) -> str:
    onnx = json.loads(_ONNX.read_text(encoding="utf-8"))
    lines = ["| family | adapters | in transformers | ONNX | notes |", "|---|---|---|---|---|"]
    lines += [
        f"| `{family.name}` | {_adapters(family)} | {_exported(family)} | {onnx.get(family.name, 'not tried')} "
        f"| {_notes(family)} |"
        for family in families
    ]
    return "\n".join(lines) + "\n"


def _notes(family: Family) -> str:
    notes = (family.note, "no `blocks`" if family.name in NO_EARLY_EXIT else "")
    return ", ".join(filter(None, notes))


def _pairs(left: str, right: str, rows: Mapping[str, str], form: str = "{}") -> str:
    lines = [f"| {left} | {right} |", "|---|---|"]
    return (
        "\n".join([*lines, *(f"| `{name}` | {form.format(value)} |" for name, value in rows.items())]) + "\n"
    )


def _adapters(family: Family) -> str:
    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(family.name, **family.config()))
    try:
        return ", ".join(f"`{name}`" for name in lora.targets(model, None))
    except sltk.ModelError:
        return "none: set `target_modules`"


def _exported(family: Family) -> str:
    config = AutoConfig.for_model(family.name, **family.config())
    if type(config) not in MODEL_FOR_TOKEN_CLASSIFICATION_MAPPING:
        return "base weights"
    with torch.device("meta"):
        model = AutoModelForTokenClassification.from_config(config)
    prefix = f"{model.base_model_prefix}."
    head = [name for name, _ in model.named_parameters() if not name.startswith(prefix)]
    return "token classifier" if len(head) == 2 else "base weights"


def check_onnx(names: Collection[str]) -> None:
    """Export a small model of each family to ONNX, and record the largest difference of its scores from sltk's.

    `names` limits this to some families; the results of the others stay.
    """
    found = json.loads(_ONNX.read_text(encoding="utf-8")) if names else {}
    for family in (each for each in FAMILIES if each.support != "none"):
        if names and family.name not in names:
            continue
        with tempfile.TemporaryDirectory() as folder:
            notes: list[str] = []
            progress = Progress()
            progress.note = notes.append  # type: ignore[method-assign]
            try:
                sltk.train(_small_run(family), f"{folder}/run", progress=progress)
                sltk.export(f"{folder}/run", f"{folder}/onnx", progress, format="onnx")
                (found[family.name],) = re.findall(r"scores differ from sltk's by (\S+)", "\n".join(notes))
            except sltk.SltkError as error:
                print(error)
                found[family.name] = (
                    "no: torch cannot export it" if "torch cannot" in str(error) else f"no: {error}"
                )
        print(family.name, found[family.name], flush=True)
    _ONNX.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _small_run(family: Family) -> dict[str, object]:
    """A spec that trains a small model for one update."""
    masks = {"any mask": "0110", "one mask for all": "all", "own mask only": "all"}
    removed = ("vocab_size", "vocab_size_per_layer_input", "n_words", "bos_token_id", "eos_token_id")
    config = family.config(**dict.fromkeys(removed))
    return {
        "name": family.name,
        "data": {"train": {"type": "grammar", "count": 8}},
        "backbone": {
            "type": family.kind,
            "init": "random",
            "config": {"model_type": family.name, **config},
            "tokenizer": {"type": "train", "vocab_size": 300},
            "unmask": masks[family.support],
        },
        "trainer": {"max_steps": 1},
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["onnx"]:
        check_onnx(sys.argv[2:])
    PAGE.write_text(page(), encoding="utf-8")
