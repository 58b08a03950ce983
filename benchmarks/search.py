"""Measures the regret and cost of each search strategy, by simulating hundreds of searches on finished runs.

    python benchmarks/search.py RECORDS --first FILE …                   RECORDS, FILE: in docs/reports/records/
    python benchmarks/search.py RECORDS --first FILE … --output docs/reports/figures   also draws the curves
    python benchmarks/search.py FILE --train sigmoid --spec SPEC --seeds 120 121       trains first runs

Each simulated search draws the order of the masks and the seed of the runs: one seed for all, as in `sltk search`,
or one for each mask (`--mixed`). Regret is measured in two ways: the best score of all runs that the search could
have trained minus the score it found; and the best mean score over seeds minus that of the mask it found.
"""

from __future__ import annotations

import argparse
import importlib
import json
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

import search_simulation as simulation
from sltk import search
from sltk.errors import UsageError
from sltk.files import atomic
from sltk.reports import plotting
from sltk.reports.run_records import read_records
from sltk.runtime.progress import Progress
from sltk.search.requested_runs import SCORES, first_job, plan_first_run
from sltk.search.space import FIRST_RUNS

BUDGETS = (2, 3, 4, 5, 6, 8, 10, 12, 16)
"""In full runs; budgets above 60 % of the cost of all masks are left out."""


@dataclass(frozen=True)
class Point:
    """A strategy at a budget, over all simulated searches; regret in points of F1."""

    strategy: str
    budget: float
    share: float
    regret_in_runs: float
    """Mean, against the best of all runs with the same seeds."""
    within_in_runs: float
    """Share of searches whose regret in runs is within the goal."""
    regret: float
    """Mean, against the mask with the best mean over seeds."""
    within: float
    worst_tenth: float
    """The 90th percentile of the regret."""
    correlation: float
    """Spearman correlation of the scores that the search predicts with the mean scores of all masks."""


def measure(
    table: simulation.ScoreTable, name: str, budget: float, trials: int, *, mixed: bool
) -> Point | None:
    """Simulate a strategy; None if the budget is too small for it."""
    goal, replays = goal_of(table), []
    for trial in range(trials):
        rng = Random(f"{name} {trial}")
        try:
            replays.append(simulation.replay(table, name, budget, rng, common_seed=not mixed))
        except UsageError:
            return None
    means = table.means()
    regrets = sorted(100 * each.regret for each in replays)
    missed = [100 * each.regret_in_runs for each in replays]
    return Point(
        name, budget, statistics.fmean(each.share for each in replays),
        statistics.fmean(missed), statistics.fmean(each <= goal + 1e-9 for each in missed),
        statistics.fmean(regrets), statistics.fmean(each <= goal + 1e-9 for each in regrets),
        regrets[int(0.9 * len(regrets))],
        statistics.fmean(correlation(predicted(each.space), means) for each in replays),
    )  # fmt: skip


def goal_of(table: simulation.ScoreTable) -> float:
    """0.3 points of F1, or one standard deviation over seeds if that is larger."""
    return max(0.3, 100 * table.deviation)


def predicted(space: search.Space) -> dict[str, float]:
    """The scores that a Gaussian process predicts for all masks from those that the search trained."""
    return dict(search.GaussianProcess(space.masks).predict(space.finished).mean)


def correlation(one: dict[str, float], other: dict[str, float]) -> float:
    """Spearman correlation; 0 if one of them does not vary."""
    left, right = ([round(scores[mask], 12) for mask in sorted(one)] for scores in (one, other))
    return float(spearmanr(left, right).statistic) if len({*left}) > 1 and len({*right}) > 1 else 0.0


def describe(table: simulation.ScoreTable) -> dict[str, Any]:
    """Properties of the table: how much masks and seeds differ, and how well shared runs rank the masks."""
    means = table.means()
    best = max(means, key=lambda mask: means[mask])
    chosen = [max(table.masks, key=lambda mask: table.scores[mask, seed]) for seed in table.seeds]
    return {
        "masks": len(table.masks), "seeds": list(table.seeds),
        "best": best, "best_score": 100 * means[best], "worst_score": 100 * min(means.values()),
        "mean_score": 100 * statistics.fmean(means.values()),
        "deviation_of_masks": 100 * statistics.stdev(means.values()),
        # Regret of training all masks with one seed and taking the best.
        "regret_of_all": 100 * statistics.fmean(means[best] - means[mask] for mask in chosen),
        "deviation_of_seeds": 100 * table.deviation, "goal": goal_of(table),
        "first_runs": [
            {
                "strategy": one.strategy,
                "seed": one.seed,
                "price": one.price,
                "choice": max(one.scores, key=one.scores.__getitem__),
                "correlation": correlation(dict(one.scores), means),
            }
            for one in table.shared
        ],
    }  # fmt: skip


def all_points(table: simulation.ScoreTable, trials: int, *, mixed: bool) -> list[Point]:
    """Every strategy that the table allows at every budget."""
    trained = {each.strategy for each in table.shared}
    names = [name for name in search.STRATEGIES if name not in FIRST_RUNS or name in trained]
    budgets = [runs / len(table.masks) for runs in BUDGETS if runs <= 0.6 * len(table.masks)]
    points = (measure(table, name, budget, trials, mixed=mixed) for name in names for budget in budgets)
    return [point for point in points if point is not None]


def show(properties: dict[str, Any], points: Sequence[Point], trials: int) -> None:
    """Print the properties of the table, and the points."""
    console = Console(highlight=False, width=110)
    for key, value in properties.items():
        console.print(f"{key}: {round(value, 3) if isinstance(value, float) else value}")
    rows = Table("strategy", "cost", "in runs", "in goal", "in means", "in goal", "90 %", "rank corr.")
    for p in points:
        runs = (f"{p.regret_in_runs:.2f}", f"{p.within_in_runs:.0%}")
        means = (f"{p.regret:.2f}", f"{p.within:.0%}", f"{p.worst_tenth:.2f}")
        rows.add_row(p.strategy, f"{p.share:.1%}", *runs, *means, f"{p.correlation:.2f}")
    console.print(rows)
    console.print(f"{trials} searches per line; regret in points of F1")


def draw(properties: dict[str, Any], points: Sequence[Point], folder: Path, name: str) -> None:
    """Plot regret and rank correlation against the cost."""
    with plotting.style():
        figure, panels = plotting.panels(3.4, [3.0] * 3, columns=3)
        for number, strategy in enumerate(dict.fromkeys(point.strategy for point in points)):
            own = [point for point in points if point.strategy == strategy]
            style = {
                "color": plotting.COLORS[number],
                "marker": plotting.MARKERS[number],
                "label": strategy,
                "linestyle": "--" if strategy == "random" else "-",
            }
            for axes, field in zip(panels, ("regret_in_runs", "regret", "correlation"), strict=True):
                axes.plot([100 * p.share for p in own], [getattr(p, field) for p in own], **style)
        left, middle, right = panels
        for axes in (left, middle):
            axes.axhline(properties["goal"], color="#000000", linestyle=":", linewidth=1)
            axes.set(ylim=(0, None), ylabel="points of F1")
        middle.axhline(properties["regret_of_all"], color="#000000", linestyle="--", linewidth=1)
        left.set_title("Regret, same runs")
        middle.set_title("Regret, means over seeds")
        right.set(title="Rank correlation", ylabel="Spearman's ρ")
        for axes in panels:
            axes.set_xlabel("cost, % of training all masks")
        left.legend()
        plotting.save(figure, folder, name)


def train_first_runs(
    spec: Path, strategy: str, seeds: Sequence[int], path: Path, settings: Sequence[str]
) -> None:
    """Train the first run of a strategy with each seed, and append the scores of all masks to `path`."""
    plan = search.plan(spec, [f"search.strategy={strategy}", "search.budget=1", *settings])
    job = first_job(plan)
    module, _, function = job["function"].partition(":")
    train = getattr(importlib.import_module(module), function)
    lines = path.read_text(encoding="utf-8") if path.exists() else ""
    for seed in seeds:
        with tempfile.TemporaryDirectory() as temporary:
            folder, run = Path(temporary) / "run", plan_first_run(plan, seed).resolved
            start = time.process_time()
            train(run, folder, resume=False, force=False, progress=Progress(), **job["options"])
            print(f"{strategy} {seed}: {time.process_time() - start:.1f} s of processor time")
            result = json.loads((folder / SCORES).read_text(encoding="utf-8"))
        record = simulation.SharedRecord(
            strategy=strategy,
            seed=seed,
            price=plan.first_price(),
            seconds=sum(result["seconds"].values()),
            scores=result["scores"],
            gates=result.get("gates"),
        )
        lines += record.model_dump_json(exclude_defaults=True) + "\n"
        atomic.write_text(path, lines)


def main() -> None:
    """Simulate searches and show the result, or train shared runs."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("records", type=Path, help="records of a sweep (`sltk report DIR --records FILE`)")
    parser.add_argument(
        "--first",
        type=Path,
        nargs="+",
        default=[],
        help="shared runs and learned masks, one JSON object per line",
    )
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--mixed", action="store_true", help="draw a seed for each mask, not one for all")
    parser.add_argument("--output", type=Path, help="folder for the figure, which is named after the records")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--train", metavar="STRATEGY", choices=FIRST_RUNS, help="train the first runs of a strategy"
    )
    parser.add_argument("--spec", type=Path, help="with --train: the search or sweep")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="with --train: settings")
    parser.add_argument("--seeds", type=int, nargs="+", default=[120, 121, 122])
    args = parser.parse_args()
    if args.train:
        train_first_runs(args.spec, args.train, args.seeds, args.records, args.set)
        return
    table = simulation.table(
        read_records(args.records), [each for path in args.first for each in simulation.read_shared(path)]
    )
    properties, points = describe(table), all_points(table, args.trials, mixed=args.mixed)
    if args.output:
        draw(properties, points, args.output, f"{args.records.stem}{'_mixed' if args.mixed else ''}")
    if args.json:
        print(json.dumps({"table": properties, "points": [asdict(point) for point in points]}, indent=2))
    else:
        show(properties, points, args.trials)


if __name__ == "__main__":
    main()
