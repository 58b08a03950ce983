"""Strategies of search: what they ask for, what it costs, what they find in a table of finished runs."""

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

from sltk import search
from sltk.errors import DataError, UsageError
from sltk.reports.run_records import RunRecord, write_records
from sltk.search.requests import FAILED, Answer, Request, Shared, Space, Trial
from sltk.search.strategies import NEEDS_SHARED, rungs

MASKS = ["".join(digits) for digits in itertools.product("01", repeat=4)]
NAMES = sorted(search.STRATEGIES)
BENCHMARK = Path(__file__).parent.parent / "benchmarks" / "search.py"


def quality(mask: str) -> float:
    """A made-up score: the last two groups help, the first one harms."""
    return 0.7 + 0.02 * int(mask[3]) + 0.01 * int(mask[2]) - 0.005 * int(mask[1]) - 0.03 * int(mask[0])


def searched(name: str, budget: float, epochs: int = 4, seed: int = 0, failing: str = "") -> search.Search:
    """A search of exact scores, with partial scores that rank as the final ones do."""
    space = Space(MASKS, epochs, budget, shared_price=1.5)
    found = search.Search(search.STRATEGIES[name], space, seed)

    def answer(request: Request) -> Answer:
        if isinstance(request, Shared):
            return {mask: quality(mask) - 0.1 for mask in MASKS}
        if request.mask == failing:
            return FAILED
        return quality(request.mask) - 0.05 * (epochs - request.epochs)

    found.run(answer)
    return found


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(NAMES),
    budget=st.floats(2.5, 16),
    epochs=st.integers(1, 9),
    seed=st.integers(0, 9),
    failing=st.sampled_from(["", *MASKS]),
)
def test_no_strategy_spends_more_than_its_budget(
    name: str, budget: float, epochs: int, seed: int, failing: str
) -> None:
    """Partial runs and the shared run are on the bill; a failed run is never what is found."""
    space = searched(name, budget, epochs, seed, failing).space
    assert space.spent <= budget + 1e-6
    shared = space.shared_price if name in NEEDS_SHARED else 0
    assert space.spent == pytest.approx(shared + sum(space.reached.values()) / epochs)
    assert space.found != failing
    if space.found is None:  # a failed run may have been the only one that could be paid
        assert failing in space.reached
    else:
        assert space.finished[space.found] == max(space.finished.values())


@pytest.mark.parametrize("name", NAMES)
def test_the_whole_budget_finds_the_best(name: str) -> None:
    """With money for everything, every strategy trains the best mask to the end."""
    assert searched(name, 40).space.found == "0011"


@pytest.mark.parametrize("name", sorted(set(NAMES) - {"random", "halving"}))
def test_what_is_learned_saves_runs(name: str) -> None:
    """Where the digits say everything, shared weights or a model over digits find the best in seven full runs."""
    assert searched(name, 7).space.found == "0011"


@pytest.mark.parametrize("name", NAMES)
def test_a_search_asks_the_same_when_it_gets_the_same_answers(name: str) -> None:
    """That is how a killed search goes on; another seed draws other masks."""
    assert searched(name, 6).asked == searched(name, 6).asked
    if name in ("random", "halving", "linear", "gaussian"):
        assert searched(name, 6).asked != searched(name, 6, seed=1).asked


def test_a_run_that_goes_on_costs_what_it_had_not_reached() -> None:
    """Four epochs in parts cost one full run."""
    space = Space(MASKS, 4, 3)
    space.pay(Trial("0011", 1))
    assert space.spent == 0.25
    assert space.price(Trial("0011", 4)) == 0.75
    space.pay(space.whole("0011"))
    assert space.spent == 1
    assert space.price(Trial("0011", 2)) == 0


@pytest.mark.parametrize(
    ("epochs", "expected"), [(1, [1]), (2, [1, 2]), (5, [1, 2, 4, 5]), (8, [1, 2, 4, 8])]
)
def test_rungs_double(epochs: int, expected: list[int]) -> None:
    """The field is halved after 1, 2, 4, … epochs; the last rung is the whole run."""
    assert rungs(epochs) == expected


def test_a_gaussian_process_gives_back_what_it_saw() -> None:
    """Where scores have next to no noise, its mean goes through them, and it is surest there."""
    seen = {mask: quality(mask) for mask in MASKS[::2]}
    expected = search.Surrogate(MASKS).expect(seen)
    for mask, score in seen.items():
        assert expected.mean[mask] == pytest.approx(score, abs=0.004)
    assert max(expected.deviation[m] for m in seen) < min(expected.deviation[m] for m in MASKS[1::2])


def test_linear_regression_learns_what_each_digit_is_worth() -> None:
    """Five masks are enough to tell the best of sixteen, had each digit its own effect."""
    seen = {mask: quality(mask) for mask in ("0000", "1000", "0100", "0010", "0001")}
    expected = search.Surrogate(MASKS, interactions=False).expect(seen)
    assert max(MASKS, key=lambda mask: expected.mean[mask]) in ("0011", "0111")


def test_expected_improvement_is_that_of_the_normal_distribution() -> None:
    """Compared with the mean of many draws; and without doubt it is the plain difference."""
    expected = search.Expected({"0": 0.5, "1": 0.7}, {"0": 0.2, "1": 0.0})
    chance = Random(0)
    drawn = [max(0.0, chance.gauss(0.5, 0.2) - 0.6) for _ in range(200_000)]
    assert expected.improvement("0", 0.6) == pytest.approx(sum(drawn) / len(drawn), rel=0.02)
    assert expected.improvement("1", 0.6) == pytest.approx(0.1)
    assert expected.improvement("1", 0.8) == 0


def record(mask: str, seed: int, epochs: int = 3) -> RunRecord:
    """A finished run, as `sltk report` records it."""
    final = quality(mask) + 0.001 * ((int(mask, 2) + seed) % 5)
    curve = [(step, float(step), final - 0.1 * (epochs - step)) for step in range(1, epochs + 1)]
    return RunRecord(
        name=f"{mask}-{seed}", mask=mask, seed=seed, settings={}, data={}, train={},
        scores={"validation": {"f1": final}}, curve={"validation": curve},
    )  # fmt: skip


def grid(**more: Any) -> search.Table:
    return search.table([record(mask, seed) for mask in MASKS for seed in (1, 2, 3)], **more)


def test_a_table_of_records_is_searched_without_training() -> None:
    """Regret is measured against the mean over seeds, and the share is of training every mask once."""
    found = search.replay(grid(), search.STRATEGIES["random"], 1.0, Random(0))
    truth = grid().truth()
    assert found.share == 1
    assert found.regret == max(truth.values()) - truth[found.found]
    cheaper = search.replay(grid(), search.STRATEGIES["halving"], 0.25, Random(0))
    assert cheaper.share <= 0.25
    assert cheaper.regret >= 0


def test_seeds_that_lack_a_mask_are_left_out() -> None:
    """A sweep that is not finished yet can be searched with the seeds that are."""
    records = [record(mask, seed) for mask in MASKS for seed in (1, 2) if (mask, seed) != ("0011", 2)]
    assert search.table(records).seeds == [1]
    with pytest.raises(UsageError, match="every mask with one seed"):
        search.table(records[1:])


def test_deviation_is_pooled_over_masks() -> None:
    """Two seeds that differ by d everywhere deviate by d/√2; one seed tells nothing."""
    curves = {(mask, seed): (0.5 + 0.01 * seed,) for mask in MASKS for seed in (0, 1)}
    assert search.Table(MASKS, [0, 1], curves).deviation == pytest.approx(0.01 / math.sqrt(2))
    assert search.Table(MASKS, [0], curves).deviation == 0


def test_shared_runs_are_read_from_lines(tmp_path: Path) -> None:
    """A line that is none is told with its number."""
    path = tmp_path / "shared.jsonl"
    line = json.dumps(
        {"seed": 1, "price": 1.5, "seconds": 9, "scores": {mask: quality(mask) for mask in MASKS}}
    )
    path.write_text(f"{line}\n")
    known = grid(shared=search.read_shared(path))
    assert len(known.shared) == 1
    found = search.replay(known, search.STRATEGIES["shared"], 0.25, Random(0), common_seed=False)
    assert found.found == "0011"
    path.write_text(f"{line}\n{{}}\n")
    with pytest.raises(DataError, match=r"shared.jsonl:2"):
        search.read_shared(path)


def test_the_benchmark_replays_records(tmp_path: Path) -> None:
    """Every strategy that the records allow, at every budget; the whole table is described beside."""
    write_records(tmp_path / "grid.jsonl", [record(mask, seed) for mask in MASKS for seed in (1, 2)])
    command = [sys.executable, str(BENCHMARK), str(tmp_path / "grid.jsonl"), "--trials", "3", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["table"]["best"] == "0011"
    assert {point["strategy"] for point in result["points"]} == set(NAMES) - NEEDS_SHARED
    for point in result["points"]:
        assert point["share"] <= point["budget"] + 1e-9
        assert 0 <= point["within"] <= 1
        assert point["regret"] >= 0
