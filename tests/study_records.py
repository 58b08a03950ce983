"""Synthetic records of studies, for the tests of reports: seeded noise around a chosen quality of each mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from sltk.reports.run_records import RunRecord

TYPES = ("LOC", "ORG", "PER")


def masks(groups: int = 4) -> list[str]:
    return ["".join(digits) for digits in product("01", repeat=groups)]


def study(
    configurations: Sequence[str] = (),
    seeds: Sequence[int] = (120, 121, 122),
    *,
    quality: Callable[[str], float] = lambda mask: 0.5 + 0.04 * mask.count("1") + 0.05 * mask.endswith("1"),
    sentences: int = 60,
    types: Sequence[str] = TYPES,
    data: str = "news",
    **settings: object,
) -> list[RunRecord]:
    """One record per mask and seed; `quality` is the probability that a gold span is predicted correctly."""
    rng = np.random.default_rng(sum(map(ord, data)))
    gold = {split: rng.poisson(1.3, sentences) for split in ("validation", "test")}
    return [
        record(rng, mask, seed, quality(mask), gold, types, data, settings)
        for mask in configurations or masks()
        for seed in seeds
    ]


def record(rng, mask, seed, quality, gold, types, data, settings):
    """One run: counts per sentence are drawn first, and scores computed from them."""
    drawn = {split: spans(rng, counts, quality, types) for split, counts in gold.items()}
    epochs = [1.0, 2.0, 3.0]
    curve = {
        "loss": [(20 * step, epoch, float(2 / (step + quality))) for step, epoch in enumerate(epochs, 1)],
        "validation": [
            (20 * step, epoch, drawn["validation"][0]["f1"] * (0.6 + 0.4 * step / 3))
            for step, epoch in enumerate(epochs, 1)
        ],
    }
    sizes = {split: {"sentences": len(counts), "gold": f"{data}-{split}"} for split, counts in gold.items()}
    return RunRecord(
        name=f"{data}-{mask}-{seed}", mask=mask, seed=seed,
        settings={"backbone": {"type": "decoder", "unmask": mask}, **settings},
        data={"train": {"reader": {"type": "conll", "path": f"{data}.train"}}, **sizes},
        scores={split: scores for split, (scores, _, _) in drawn.items()},
        counts={split: counts for split, (_, counts, _) in drawn.items()},
        confusion={split: confusion for split, (_, _, confusion) in drawn.items()},
        train={"seconds": 100.0 + 12 * mask.count("1") + float(rng.normal()), "words_per_second": 150.0, "steps": 60},
        curve=curve, environment={"sltk": "0.1.0", "device": "cpu", "threads": 1},
    )  # fmt: skip


def spans(rng, gold, quality, types):
    """Scores, counts per sentence, and confusion of one split."""
    correct = rng.binomial(gold, quality)
    wrong = rng.binomial(gold - correct, 0.4)
    spurious = rng.poisson(0.15, len(gold))
    predicted = correct + wrong + spurious
    confusion: Counter[tuple[str, str]] = Counter()
    for kind, number in (("right", correct.sum()), ("wrong", wrong.sum()), ("spurious", spurious.sum())):
        for place in range(int(number)):
            one, other = types[place % len(types)], types[(place + 1) % len(types)]
            confusion[{"right": (one, one), "wrong": (one, other), "spurious": ("", one)}[kind]] += 1
    for place in range(int((gold - correct - wrong).sum())):
        confusion[types[place % len(types)], ""] += 1
    scores = ratios(gold.sum(), predicted.sum(), correct.sum()) | {
        "accuracy": 0.9,
        "signature": "seqeval|sltk:0.1.0",
    }
    scores["per_type"] = {name: of_type(name, confusion) for name in types}
    counts = {"gold": gold.tolist(), "predicted": predicted.tolist(), "correct": correct.tolist()}
    return scores, counts, [(*pair, count) for pair, count in sorted(confusion.items())]


def of_type(name, confusion):
    support = sum(count for (gold, _), count in confusion.items() if gold == name)
    predicted = sum(count for (_, guess), count in confusion.items() if guess == name)
    return ratios(support, predicted, confusion[name, name]) | {"support": support}


def ratios(gold, predicted, correct):
    return {
        "precision": float(correct / max(1, predicted)),
        "recall": float(correct / max(1, gold)),
        "f1": float(2 * correct / max(1, gold + predicted)),
    }
