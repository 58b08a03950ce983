"""Write docs/reference/families.md: `python docs/families.py`. A test fails if the page is out of date.

tests/tiny_families.py lists the families and their properties, and tests verify them.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
from transformers import AutoConfig, AutoModel, __version__

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from sltk.components.backbones import lora  # noqa: E402
from sltk.nn import silence_libraries  # noqa: E402, F401  (`quiet` acts when imported)
from tiny_families import FAMILIES, Family  # noqa: E402

PAGE = ROOT / "docs" / "reference" / "families.md"
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
For each of them, the tests also compare vectors and gradients of a batch with those of its sentences alone,
padded batches of the stock model, and gradients with and without checkpointing.
A family that is not listed is verified in the same way when it is used.

*Adapters* are the layers that get an adapter if `lora.target_modules` is unset.
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
    (
        "Decoders that are refused",
        "They cannot be unmasked block by block, so sltk refuses them.",
        "decoder",
        "none",
    ),
)


def page() -> str:
    """Return the whole page."""
    parts = [_HEAD.format(version=__version__)]
    for title, about, kind, support in _SECTIONS:
        rows = [family for family in FAMILIES if (family.kind, family.support) == (kind, support)]
        parts.append(f"## {title}\n\n{about}\n\n{_table(rows, refused=support == 'none')}")
    return "\n".join(parts)


def _table(families: list[Family], refused: bool) -> str:
    if refused:
        lines = [
            "| family | why |",
            "|---|---|",
            *(f"| `{family.name}` | {family.note} |" for family in families),
        ]
    else:
        lines = ["| family | adapters | notes |", "|---|---|---|"]
        lines += [f"| `{family.name}` | {_adapters(family)} | {family.note} |" for family in families]
    return "\n".join(lines) + "\n"


def _adapters(family: Family) -> str:
    with torch.device("meta"):
        model = AutoModel.from_config(AutoConfig.for_model(family.name, **family.config()))
    return ", ".join(f"`{name}`" for name in lora.targets(model, None))


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
