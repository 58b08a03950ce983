"""A run that learns in a second which words are names, and is unsure about some: for tests of scores."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import sltk
import tiny

_PEOPLE, _PLACES, _BOTH = ["Vera", "Kai", "Mara Holt"], ["Oslo", "Lisbon", "Ida Bay"], ["Sidney", "Jordan"]
_FRAMES = ["{} sings .", "the bus to {} was late", "we met {} and {} .", "it rained", "in {} , {} called {}"]


def sentences(count: int, seed: int) -> list[list[tuple[str, str]]]:
    """Words with tags in IOB2. Some names are a person or a place by chance, so no model is always right."""
    rng = random.Random(seed)
    result = []
    for _ in range(count):
        rows: list[tuple[str, str]] = []
        for word in rng.choice(_FRAMES).split():
            if word != "{}":
                rows.append((word, "O"))
                continue
            name = rng.choice([*_PEOPLE, *_PLACES, *_BOTH])
            is_person = name in _PEOPLE or (name in _BOTH and rng.random() < 0.6)
            kind = "PER" if is_person else "LOC"
            rows += [(part, f"{'I' if i else 'B'}-{kind}") for i, part in enumerate(name.split())]
        result.append(rows)
    return result


def write(path: Path, count: int, seed: int) -> Path:
    """A CoNLL file of such sentences."""
    blocks = ("".join(f"{word}\t{tag}\n" for word, tag in rows) for rows in sentences(count, seed))
    path.write_text("\n".join(blocks), encoding="utf-8")
    return path


def train(folder: Path, head: dict[str, Any] | None = None, epochs: int = 8) -> Path:
    """A run directory, with its data beside it."""
    counts = {"train": 80, "validation": 60, "test": 60}
    data = {
        split: {"type": "conll", "path": str(write(folder / f"{split}.conll", count, seed))}
        for seed, (split, count) in enumerate(counts.items())
    }
    trainer = {"epochs": epochs, "learning_rate": 0.01}
    spec = tiny.spec(trainer, data=data, head=head or {"type": "linear", "dropout": 0.0})
    sltk.train(spec, folder / "run")
    return folder / "run"
