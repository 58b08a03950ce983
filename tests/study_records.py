"""Synthetic records of studies, for the tests of reports: seeded noise around a chosen quality of each mask."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import product

import numpy as np

from sltk.reports.run_records import Arm, RunRecord, SentenceCounts

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


ARMS = {
    "0000": (0.62, {"unmask": "0000"}),
    "0011": (0.70, {"unmask": "0011"}),
    "1111": (0.66, {"unmask": "1111"}),
    "repeat_1": (0.70, {"unmask": "none", "repeat": 1}),
    "minilm": (0.64, {"type": "encoder", "unmask": "all"}),
    "1111_padding": (0.60, {"unmask": "1111", "attend_to_padding": True}),
    "repeat_1_padding": (0.69, {"unmask": "none", "repeat": 1, "attend_to_padding": True}),
}
"""Arms of a study by name: quality, and settings of the backbone."""
COMPARE = ["0011:1111", "repeat_1:1111", "repeat_1_padding:1111_padding::repeat_1:1111"]


def named_arms(
    seeds: Sequence[int] = (120, 121, 122),
    *,
    arms: dict[str, tuple[float, dict[str, object]]] = ARMS,
    compare: Sequence[str] = COMPARE,
    data: str = "news",
    sentences: int = 60,
) -> list[RunRecord]:
    """One record per arm and seed of a sweep that names its arms and declares comparisons."""
    made = []
    for place, (name, (quality, backbone)) in enumerate(arms.items()):
        for each in study(
            [str(backbone["unmask"])], seeds, quality=lambda _, q=quality: q, data=data, sentences=sentences,
            backbone={"type": "decoder", **backbone},
        ):  # fmt: skip
            speed = 100.0 / (1 + float(backbone.get("repeat", 0)))  # type: ignore[arg-type]
            cost = {
                "words_per_second": speed, "words_per_cpu_second": speed, "parameters": 135_000_000,
                "prediction_words_per_second": 3 * speed, "prediction_words_per_cpu_second": 3 * speed,
                "peak_memory_bytes": 2**30, "trained_parameters": 1_000_000,
            }  # fmt: skip
            arm = Arm(place=place, compare=list(compare))
            changes = {"name": name, "arm": arm, "sweep": f"context_{data}", "train": {**each.train, **cost}}
            made.append(each.model_copy(update=changes))
    return made


def cross_validated(
    configurations: Sequence[str] = ("0000", "1111"),
    seeds: Sequence[int] = (1, 2),
    *,
    k: int = 4,
    by: str = "document",
    limit: int | None = None,
) -> list[RunRecord]:
    """One record per fold, mask and seed; the fold number n has 20 + n sentences, in documents of three."""
    made = []
    for fold in range(1, k + 1):
        for each in study(configurations, seeds, data=f"fold{fold}", sentences=20 + fold, types=("A",)):
            folds = {"k": k, "by": by, "seed": 42, "fold": fold, "train_limit": limit}
            train = {"reader": {"type": "conll", "path": "news.train"}}
            counts = {
                split: (len(c), sum(c.gold), sum(c.predicted), sum(c.correct))
                for split, c in each.counts.items()
            }
            scores = {
                split: {
                    **each.scores[split],
                    "support": gold,
                    "predicted": predicted,
                    "correct": correct,
                    "words": 9 * n,
                }
                for split, (n, gold, predicted, correct) in counts.items()
            }
            documents = {split: [number // 3 for number in range(len(c))] for split, c in each.counts.items()}
            changes = {
                "name": "cv", "data": {**each.data, "train": train, "folds": folds}, "scores": scores,
                "documents": documents if by == "document" else {}, "train_sentences": limit or 63,
                "slices": {"test": codes(each.counts["test"])},
            }  # fmt: skip
            made.append(each.model_copy(update=changes))
    return made


def repeated_folds(
    configurations: Sequence[str] = ("0000", "1111"),
    seeds: Sequence[int] = (1, 2),
    fold_seeds: Sequence[int] = (42, 43, 44),
    *,
    k: int = 4,
    by: str = "sentence",
    sentences: int = 60,
) -> list[RunRecord]:
    """One record per seed of folds, fold, mask and seed, of a corpus in which place n has n % 4 gold spans.

    With `by="document"`, three sentences in a row are a document.
    """
    made = []
    for fold_seed, fold in product(fold_seeds, range(1, k + 1)):
        rng = np.random.default_rng([fold_seed, fold])
        size = 3 if by == "document" else 1
        units = np.random.default_rng(fold_seed).permutation(sentences // size)[fold - 1 :: k]
        places = [size * int(unit) + place for unit in sorted(units) for place in range(size)]
        made += [
            repeated_fold(
                rng, mask, seed, places, {"k": k, "by": by, "seed": fold_seed, "fold": fold}, sentences
            )
            for mask in configurations
            for seed in seeds
        ]
    return made


def repeated_fold(rng, mask, seed, places, folds, sentences):
    """The run that tests the sentences at `places`."""
    gold = {split: np.array(places) % 4 for split in ("validation", "test")}
    made = record(rng, mask, seed, 0.5 + 0.1 * mask.count("1"), gold, ("A",), "news", {})
    counts, size = made.counts["test"], len(places)
    scores = {
        **made.scores["test"], "support": sum(counts.gold), "predicted": sum(counts.predicted),
        "correct": sum(counts.correct), "words": 9 * size, "sentences": size,
    }  # fmt: skip
    test = {"gold": f"{folds['seed']}-{folds['fold']}", "sentences": size, "words": 9 * size}
    changes = {
        "name": "cv", "data": {"train": made.data["train"], "test": test, "folds": {**folds, "train_limit": None}},
        "scores": {**made.scores, "test": scores}, "positions": {"test": places},
        "slices": {"test": codes(counts)}, "train_sentences": sentences - size,
    }  # fmt: skip
    if folds["by"] == "document":
        numbers = {place // 3: number for number, place in enumerate(places[::3])}
        changes["documents"] = {"test": [numbers[place // 3] for place in places]}
    return made.model_copy(update=changes)


def codes(counts: SentenceCounts) -> list[str]:
    """Classes of spans that fit the counts: the first gold span of a sentence has one word, all others two."""
    made = []
    for gold, predicted, correct in zip(counts.gold, counts.predicted, counts.correct, strict=True):
        letters = "b" * correct + "g" * (gold - correct)
        spans = [f"{letter}0{min(place, 1)}000" for place, letter in enumerate(letters)]
        made.append("".join(spans) + (predicted - correct) * "p01001")
    return made


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
