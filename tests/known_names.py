"""A small model that knows four names: its predictions have spans, unlike those of a model with random weights."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import tiny
from sltk import run

PEOPLE, PLACES = ("Mira", "Kai"), ("Turku", "Oslo")
NO_NAMES = ("😀", "Her", "card", "is", "4111", "1111", "1111", "1111", ".")


def sentences() -> str:
    """Training data in CoNLL's format."""
    rows = []
    for person, other, place, verb in product(PEOPLE, PEOPLE, PLACES, ("met", "saw")):
        words = [(person, "B-PER"), (verb, "O"), (other, "B-PER"), ("in", "O"), (place, "B-LOC"), (".", "O")]
        rows.append("".join(f"{word}\t{tag}\n" for word, tag in words))
        rows.append(f"the\tO\nsoup\tO\nin\tO\n{place}\tB-LOC\nwas\tO\ncold\tO\n.\tO\n")
        rows.append("".join(f"{word}\tO\n" for word in NO_NAMES))
    return "\n".join(rows)


def train(folder: Path, epochs: int = 10, **changes: Any) -> Path:
    """Train the model on a few sentences; the run directory is in `folder`."""
    data = folder / "names.conll"
    data.write_text(sentences(), encoding="utf-8")
    trainer = {"epochs": epochs, "batch_size": 8, "learning_rate": 0.02}
    reader = {"type": "conll", "path": str(data)}
    spec = tiny.spec(trainer, **{"name": "names", "data": {"train": reader}, **changes})
    run.train(spec, folder / "names")
    return folder / "names"


def save_wordpiece(folder: Path) -> Path:
    """Save a tokenizer of BERT's kind, which removes control characters: some words have no subwords."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import PreTrainedTokenizerFast

    pieces = BertWordPieceTokenizer(lowercase=False)
    pieces.train_from_iterator([sentences().replace("\t", " ")], 200, min_frequency=1, show_progress=False)
    names = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    PreTrainedTokenizerFast(tokenizer_object=pieces._tokenizer, **names).save_pretrained(folder)
    return folder
