"""Search strategies: their requests, their cost, and what they find in a table of finished runs."""

from __future__ import annotations

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import search_simulation as simulation
from repository import ROOT
from sltk import search
from sltk.errors import DataError, UsageError
from sltk.reports.run_records import RunRecord, write_records
from sltk.search.space import FAILED, FIRST_RUNS, Answer, Space

MASKS = ["".join(digits) for digits in itertools.product("01", repeat=4)]
NAMES = sorted(search.STRATEGIES)
BENCHMARK = ROOT / "benchmarks" / "search.py"


def quality(mask: str) -> float:
    """An invented score: the last two groups help, the first one harms."""
    return 0.7 + 0.02 * int(mask[3]) + 0.01 * int(mask[2]) - 0.005 * int(mask[1]) - 0.03 * int(mask[0])


def run_search(name: str, budget: float, seed: int = 0, failing: str = "") -> search.Search:
    """Run a search with exact scores, and shared scores that rank the masks equally."""
    result = search.Search(search.STRATEGIES[name], Space(MASKS, budget, first_price=1.5), seed)

    def answer(request: str) -> Answer:
        if request in FIRST_RUNS.values():
            return {mask: quality(mask) - 0.1 for mask in MASKS}
        return FAILED if request == failing else quality(request)

    result.run(answer)
    return result


@settings(max_examples=60)
@given(
    name=st.sampled_from(NAMES),
    budget=st.floats(2.5, 16),
    seed=st.integers(0, 9),
    failing=st.sampled_from(["", *MASKS]),
)
def test_no_strategy_spends_more_than_its_budget(name: str, budget: float, seed: int, failing: str) -> None:
    """The cost includes failed runs and the shared run; a failed run is never the best."""
    space = run_search(name, budget, seed, failing).space
    assert space.spent <= budget + 1e-6
    first = space.first_price if name in FIRST_RUNS else 0
    assert space.spent == pytest.approx(first + len(space.scores))
    assert space.best != failing
    if space.best is None:  # the budget may have covered no other run
        assert failing in space.scores
    else:
        assert space.finished[space.best] == max(space.finished.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_budget_finds_the_best(name: str) -> None:
    """With a budget for all masks, every strategy finds the best."""
    assert run_search(name, 40).space.best == "0011"


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"random"}))
def test_informed_strategies_find_the_best_early(name: str) -> None:
    """If the digits explain the scores, shared weights or a Gaussian process find the best in seven full runs."""
    assert run_search(name, 7).space.best == "0011"


@pytest.mark.parametrize("name", NAMES)
def test_a_search_is_deterministic(name: str) -> None:
    """The same answers give the same requests, so a killed search can resume; another seed gives other masks."""
    assert run_search(name, 6).requests == run_search(name, 6).requests
    if name in ("random", "gaussian"):
        assert run_search(name, 6).requests != run_search(name, 6, seed=1).requests


def test_a_gaussian_process_reproduces_observed_scores() -> None:
    """If scores have almost no noise, its mean passes through them, and its deviation is lowest there."""
    scores = {mask: quality(mask) for mask in MASKS[::2]}
    posterior = search.GaussianProcess(MASKS).predict(scores)
    for mask, score in scores.items():
        assert posterior.mean[mask] == pytest.approx(score, abs=0.004)
    assert max(posterior.deviation[m] for m in scores) < min(posterior.deviation[m] for m in MASKS[1::2])


def test_a_gaussian_process_learns_the_effect_of_each_digit() -> None:
    """Five masks are enough to predict the best of sixteen, if each digit has its own effect."""
    scores = {mask: quality(mask) for mask in ("0000", "1000", "0100", "0010", "0001")}
    posterior = search.GaussianProcess(MASKS).predict(scores)
    assert max(MASKS, key=lambda mask: posterior.mean[mask]) in ("0011", "0111")


def test_expected_improvement_matches_random_samples() -> None:
    """Expected improvement is the mean over normal samples; without uncertainty, it is the difference."""
    posterior = search.Posterior({"0": 0.5, "1": 0.7}, {"0": 0.2, "1": 0.0})
    rng = Random(0)
    samples = [max(0.0, rng.gauss(0.5, 0.2) - 0.6) for _ in range(200_000)]
    assert posterior.improvement("0", 0.6) == pytest.approx(sum(samples) / len(samples), rel=0.02)
    assert posterior.improvement("1", 0.6) == pytest.approx(0.1)
    assert posterior.improvement("1", 0.8) == 0


def record(mask: str, seed: int) -> RunRecord:
    """The record of a finished run, as `sltk report` writes it."""
    f1 = quality(mask) + 0.001 * ((int(mask, 2) + seed) % 5)
    return RunRecord(
        name=f"{mask}-{seed}", mask=mask, seed=seed, settings={}, data={}, train={},
        scores={"validation": {"f1": f1}},
    )  # fmt: skip


def grid(**options: Any) -> simulation.ScoreTable:
    return simulation.table([record(mask, seed) for mask in MASKS for seed in (1, 2, 3)], **options)


def test_searches_are_simulated_on_a_table_of_records() -> None:
    """Regret refers to the mean over seeds; the cost is a share of training every mask once."""
    full = simulation.replay(grid(), "random", 1.0, Random(0))
    means = grid().means()
    assert full.share == 1
    assert full.regret == max(means.values()) - means[full.best]
    cheaper = simulation.replay(grid(), "gaussian", 0.25, Random(0))
    assert cheaper.share <= 0.25
    assert cheaper.regret >= 0


def test_incomplete_seeds_are_left_out() -> None:
    """An unfinished sweep can be searched with the seeds that have every mask."""
    records = [record(mask, seed) for mask in MASKS for seed in (1, 2) if (mask, seed) != ("0011", 2)]
    assert simulation.table(records).seeds == [1]
    with pytest.raises(UsageError, match="every mask for at least one seed"):
        simulation.table(records[1:])


def test_deviation_is_pooled_over_masks() -> None:
    """Two seeds that differ by d on every mask have a deviation of d/√2; one seed has none."""
    scores = {(mask, seed): 0.5 + 0.01 * seed for mask in MASKS for seed in (0, 1)}
    assert simulation.ScoreTable(MASKS, [0, 1], scores).deviation == pytest.approx(0.01 / math.sqrt(2))
    assert simulation.ScoreTable(MASKS, [0], scores).deviation == 0


def test_shared_runs_are_read_from_a_file(tmp_path: Path) -> None:
    """The file has one run per line; an error names the line."""
    path = tmp_path / "shared.jsonl"
    line = json.dumps(
        {"seed": 1, "price": 1.5, "seconds": 9, "scores": {mask: quality(mask) for mask in MASKS}}
    )
    path.write_text(f"{line}\n")
    table = grid(shared=simulation.read_shared(path))
    assert len(table.shared) == 1
    result = simulation.replay(table, "shared", 0.25, Random(0), common_seed=False)
    assert result.best == "0011"
    path.write_text(f"{line}\n{{}}\n")
    with pytest.raises(DataError, match=r"shared.jsonl:2"):
        simulation.read_shared(path)


def test_the_benchmark_simulates_searches_on_records(tmp_path: Path) -> None:
    """The benchmark runs every strategy that the records allow, and describes the table."""
    write_records(tmp_path / "grid.jsonl", [record(mask, seed) for mask in MASKS for seed in (1, 2)])
    command = [sys.executable, str(BENCHMARK), str(tmp_path / "grid.jsonl"), "--trials", "3", "--json"]
    completed = subprocess.run(command, capture_output=True, text=True, check=False)
    assert completed.returncode == 0, completed.stderr
    result = json.loads(completed.stdout)
    assert result["table"]["best"] == "0011"
    assert {point["strategy"] for point in result["points"]} == set(NAMES) - set(FIRST_RUNS)
    for point in result["points"]:
        assert point["share"] <= point["budget"] + 1e-9
        assert 0 <= point["within"] <= 1
        assert point["regret"] >= 0


def test_of_equal_masks_the_one_ranked_highest_is_best() -> None:
    """Without a ranking, the first of them."""
    space = Space(["00", "01", "11"], budget=3.0, scores={"00": 0.5, "01": 0.5, "11": 0.4})
    assert space.best == "00"
    space.ranking = {"00": -2.0, "01": -1.0, "11": 0.0}
    assert space.best == "01"
