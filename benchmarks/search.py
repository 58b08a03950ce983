"""What `sltk search` finds and what it costs, replayed hundreds of times on a table of finished runs.

    python benchmarks/search.py RECORDS --shared FILE                      (files of docs/reports/records/)
    python benchmarks/search.py RECORDS --shared FILE --output docs/reports/figures    draws the curves too
    python benchmarks/search.py --train-shared SPEC FILE --seeds 120 121       trains shared runs, an object a line

Each search draws the order of masks anew, and the seed of the runs it meets: one seed for all, as in `sltk search`,
or (`--mixed`) one for each mask. Regret is counted twice: the best score of all the runs that the search might have
met minus the score that it found; and the best mean score over seeds minus that of the mask found.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table as Shown

from sltk import search
from sltk.errors import UsageError
from sltk.files import atomic
from sltk.progress import Silent
from sltk.reports import plotting
from sltk.reports.run_records import read_records
from sltk.search.queue import shared_run
from sltk.search.recorded import SharedRecord
from sltk.search.strategies import NEEDS_PAUSES, NEEDS_SHARED

BUDGETS = (2, 3, 4, 5, 6, 8, 10, 12, 16)
"""In full runs; those above 60 % of the exhaustive cost are left out."""


@dataclass(frozen=True)
class Point:
    """A strategy at a budget, over all replays; regret in points of F1."""

    strategy: str
    budget: float
    share: float
    regret_in_runs: float
    """Mean; against the best of all runs with the same seeds."""
    within_in_runs: float
    """Share of searches for which that is within the goal."""
    regret: float
    """Mean; against the mask with the best mean over seeds."""
    within: float
    worst_tenth: float
    """Regret that nine of ten searches stay below."""
    correlation: float
    """Spearman, of what the search expects of all masks with their mean scores."""


def measured(known: search.Table, name: str, budget: float, trials: int, *, mixed: bool) -> Point | None:
    """Replay a strategy; None where the budget is too small for it."""
    goal, found, correlations = goal_of(known), [], []
    truth = known.truth()
    for trial in range(trials):
        chance = Random(f"{name} {trial}")
        try:
            one = search.replay(known, search.STRATEGIES[name], budget, chance, common_seed=not mixed)
        except UsageError:
            return None
        found.append(one)
        correlations.append(correlation(expected(one.space), truth))
    regrets = sorted(100 * one.regret for one in found)
    missed = [100 * one.regret_in_runs for one in found]
    return Point(
        name, budget, statistics.fmean(one.share for one in found),
        statistics.fmean(missed), statistics.fmean(each <= goal + 1e-9 for each in missed),
        statistics.fmean(regrets), statistics.fmean(each <= goal + 1e-9 for each in regrets),
        regrets[int(0.9 * len(regrets))], statistics.fmean(correlations),
    )  # fmt: skip


def goal_of(known: search.Table) -> float:
    """0.3 points of F1, or one standard deviation over seeds where that is larger."""
    return max(0.3, 100 * known.deviation)


def expected(space: search.Space) -> dict[str, float]:
    """What a search knows of all masks in the end: a Gaussian process over what it trained to the end."""
    done = {mask: score for mask, score in space.finished.items() if score != search.FAILED}
    return dict(search.Surrogate(space.masks, space.shared).expect(done).mean)


def correlation(one: dict[str, float], other: dict[str, float]) -> float:
    """Spearman's, with mean ranks for ties; 0 where one of them does not vary."""
    masks = sorted(one)
    left, right = (_ranks(np.array([scores[mask] for mask in masks])) for scores in (one, other))
    if not left.std() or not right.std():
        return 0.0
    return float(np.corrcoef(left, right)[0, 1])


def _ranks(values: Any) -> Any:
    values = np.round(values, 12)
    return np.array([(np.sum(values < value) + np.sum(values <= value)) / 2 for value in values])


def look(known: search.Table) -> dict[str, Any]:
    """What the table itself says: how masks and seeds differ, and what foretells the final score."""
    truth = known.truth()
    best = max(truth, key=lambda mask: truth[mask])
    after = {
        epochs: statistics.fmean(
            correlation({m: known.curves[m, seed][epochs - 1] for m in known.masks}, _rest(known, seed))
            for seed in known.seeds
        )
        for epochs in range(1, known.epochs + 1)
    }
    return {
        "masks": len(known.masks), "seeds": list(known.seeds), "epochs": known.epochs,
        "best": best, "best_score": 100 * truth[best], "worst_score": 100 * min(truth.values()),
        "mean_score": 100 * statistics.fmean(truth.values()),
        "deviation_of_masks": 100 * statistics.stdev(truth.values()),
        "regret_of_all": 100 * statistics.fmean(_of_all(known, truth)),
        "deviation_of_seeds": 100 * known.deviation, "goal": goal_of(known),
        "correlation_after_epochs": after,
        "correlation_of_shared": [correlation(dict(one.scores), truth) for one in known.shared],
        "price_of_shared": [one.price for one in known.shared],
    }  # fmt: skip


def _of_all(known: search.Table, truth: dict[str, float]) -> list[float]:
    """Regret of training all masks with one seed and taking the best."""
    chosen = [max(known.masks, key=lambda mask: known.final(mask, seed)) for seed in known.seeds]
    return [max(truth.values()) - truth[mask] for mask in chosen]


def _rest(known: search.Table, seed: int) -> dict[str, float]:
    """Mean final scores with the other seeds: the same noise is not to foretell itself."""
    return known.truth([other for other in known.seeds if other != seed] or known.seeds)


def all_points(known: search.Table, trials: int, *, mixed: bool) -> list[Point]:
    """Every strategy that the table allows at every budget."""
    left_out = (set() if known.shared else NEEDS_SHARED) | (NEEDS_PAUSES if known.epochs < 2 else set())
    names = [name for name in search.STRATEGIES if name not in left_out]
    budgets = [runs / len(known.masks) for runs in BUDGETS if runs <= 0.6 * len(known.masks)]
    points = (measured(known, name, budget, trials, mixed=mixed) for name in names for budget in budgets)
    return [point for point in points if point is not None]


def show(seen: dict[str, Any], points: Sequence[Point], trials: int) -> None:
    """The table and the points, to read."""
    console = Console(highlight=False, width=110)
    for key, value in seen.items():
        shown = {k: round(v, 3) for k, v in value.items()} if isinstance(value, dict) else value
        console.print(f"{key}: {round(shown, 3) if isinstance(shown, float) else shown}")
    table = Shown("strategy", "spent", "in runs", "in goal", "in means", "in goal", "90 %", "rank corr.")
    for p in points:
        runs = (f"{p.regret_in_runs:.2f}", f"{p.within_in_runs:.0%}")
        means = (f"{p.regret:.2f}", f"{p.within:.0%}", f"{p.worst_tenth:.2f}")
        table.add_row(p.strategy, f"{p.share:.1%}", *runs, *means, f"{p.correlation:.2f}")
    console.print(table)
    console.print(f"{trials} searches a line; regret in points of F1")


def draw(seen: dict[str, Any], points: Sequence[Point], folder: Path, name: str) -> None:
    """Regret and rank correlation against the share of the exhaustive cost."""
    with plotting.style():
        made, (left, middle, right) = plotting.panels(3, 3.4, 3.0, columns=3)
        strategies = list(dict.fromkeys(point.strategy for point in points))
        for number, strategy in enumerate(strategies):
            own = [point for point in points if point.strategy == strategy]
            look_ = {
                "color": plotting.COLORS[number],
                "marker": plotting.MARKERS[number],
                "label": strategy,
                "linestyle": "--" if strategy == "random" else "-",
            }
            left.plot([100 * p.share for p in own], [p.regret_in_runs for p in own], **look_)
            middle.plot([100 * p.share for p in own], [p.regret for p in own], **look_)
            right.plot([100 * p.share for p in own], [p.correlation for p in own], **look_)
        for axes in (left, middle):
            axes.axhline(seen["goal"], color="#000000", linestyle=":", linewidth=1)
            axes.set(ylim=(0, None), ylabel="points of F1")
        middle.axhline(seen["regret_of_all"], color="#000000", linestyle="--", linewidth=1)
        left.set_title("Regret, same runs")
        middle.set_title("Regret, means over seeds")
        right.set(title="Rank correlation", ylabel="Spearman's ρ")
        for axes in (left, middle, right):
            axes.set_xlabel("cost, % of training all masks")
        left.legend()
        plotting.save(made, folder, name)


def train_shared(spec: Path, seeds: Sequence[int], path: Path) -> None:
    """Train a shared run with each seed and write what all masks score with its weights."""
    from sltk.search import training

    plan = search.plan(spec, ["search.strategy=shared", "search.budget=1"])
    lines = path.read_text(encoding="utf-8") if path.exists() else ""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder) / "shared"
            masks = list(plan.runs)
            given = shared_run(plan, seed).resolved
            training.shared(given, place, resume=False, force=False, progress=Silent(), masks=masks)
            written = json.loads((place / training.SCORES).read_text(encoding="utf-8"))
        one = SharedRecord(
            seed=seed,
            price=plan.shared_price(),
            seconds=sum(written["seconds"].values()),
            scores=written["scores"],
        )
        lines += one.model_dump_json() + "\n"
        atomic.write_text(path, lines)


def main() -> None:
    """Replay and show, or train shared runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", type=Path, help="records of a sweep (`sltk report DIR --records FILE`)")
    parser.add_argument("--shared", type=Path, help="shared runs, an object a line")
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--mixed", action="store_true", help="a seed for each mask, not one for all")
    parser.add_argument("--output", type=Path, help="folder for the figure, named after the records")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--train-shared", type=Path, metavar="SPEC", help="train, and write RECORDS")
    parser.add_argument("--seeds", type=int, nargs="+", default=[120, 121, 122])
    given = parser.parse_args()
    if given.train_shared:
        train_shared(given.train_shared, given.seeds, given.records)
        return
    shared = search.read_shared(given.shared) if given.shared else []
    known = search.table(read_records(given.records), shared)
    seen, points = look(known), all_points(known, given.trials, mixed=given.mixed)
    if given.output:
        draw(seen, points, given.output, f"{given.records.stem}{'_mixed' if given.mixed else ''}")
    if given.json:
        print(json.dumps({"table": seen, "points": [asdict(point) for point in points]}, indent=2))
    else:
        show(seen, points, given.trials)


if __name__ == "__main__":
    main()
