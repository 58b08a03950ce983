"""Small specs of pre-training runs, and of labelling runs that start from them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tiny
from sltk.pretraining.corpus_text import sources
from sltk.pretraining.pretrain_spec import PretrainSpec
from sltk.pretraining.pretraining_run import Pretraining, build
from sltk.spec import loading

ROBERTA = {**tiny.BERT, "model_type": "roberta", "max_position_embeddings": 40}


SENTENCES = ["the soup was awful .", "our table called the bread plain", "nobody ate it , and nobody paid ."]


def backbone(**changes: Any) -> dict[str, Any]:
    """A fresh encoder with two blocks and the default mask of the objective."""
    settings = {
        "type": "encoder",
        "init": "random",
        "config": ROBERTA,
        "tokenizer": {"type": "train", "vocab_size": 300},
    }
    return {**settings, **changes}


def spec(folder: Path, objective: str = "clm", trainer: dict[str, Any] | None = None, **changes: Any) -> Any:
    """A spec with thirty sentences in blocks of 16: a few updates per epoch."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "text.txt").write_text("\n".join(SENTENCES * 10), encoding="utf-8")
    defaults = {
        "name": "tiny",
        "objective": objective,
        "corpus": {"type": "text", "path": str(folder / "text.txt")},
        "block_size": 16,
        "boundaries": "both",
        "backbone": backbone(),
        "trainer": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, **(trainer or {})},
    }
    return {**defaults, **changes}


def lora_spec(base: Path, folder: Path, **changes: Any) -> Any:
    """A spec with LoRA on a model on disk."""
    lora = {"r": 4, "alpha": 8, "dropout": 0.0}
    decoder = {"type": "decoder", "name": str(base), "lora": lora}
    return spec(folder, backbone=decoder, boundaries="none", **changes)


def load_spec(values: Any) -> PretrainSpec:
    return loading.load_as(PretrainSpec, values).spec


def build_model(values: Any) -> Pretraining:
    """Build the untrained model of a spec."""
    settings = load_spec(values)
    return build(settings, sources(settings)["corpus"])


def labelling_spec(backbone: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A spec of a labelling run."""
    return tiny.spec({"epochs": 1}, data=tiny.all_splits(), backbone=backbone, **changes)
