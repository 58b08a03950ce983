"""Plans of sweeps: their runs and names, and the errors in wrong sweep specs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

import tiny
from sltk import sweeps
from sltk.errors import InvalidSpecError, UsageError

BASE = """\
name: tiny
data:
  train: {type: grammar, count: 21}
backbone:
  type: decoder
  init: random
  config: {model_type: llama, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2, num_attention_heads: 2}
  tokenizer: {type: train, vocab_size: 300}
head: {type: linear, dropout: 0.2}
"""


def plan_of(tmp_path: Path, sweep: str, base: str = BASE, *overrides: str) -> sweeps.Plan:
    """Write a spec with this `sweep:` to a file, and plan it."""
    (tmp_path / "sweep.yaml").write_text(f"{base}sweep:\n  {sweep}\n")
    return sweeps.plan(tmp_path / "sweep.yaml", overrides)


def problems_of(tmp_path: Path, sweep: str, base: str = BASE) -> list[str]:
    with pytest.raises(InvalidSpecError) as caught:
        plan_of(tmp_path, sweep, base)
    return [str(problem) for problem in caught.value.problems]


def masks(plan: sweeps.Plan) -> list[str]:
    return [run.experiment.backbone.unmask for run in plan.runs]  # type: ignore[attr-defined]


def test_a_grid_gives_every_combination_named_by_varying_keys(tmp_path: Path) -> None:
    """The last key varies fastest; masks keep their text, quoted or not."""
    plan = plan_of(tmp_path, 'grid: {backbone.unmask: [01, "10"], seed: [120, 121]}')
    assert [run.name for run in plan.runs] == [
        "unmask=01,seed=120", "unmask=01,seed=121", "unmask=10,seed=120", "unmask=10,seed=121",
    ]  # fmt: skip
    assert masks(plan) == ["01", "01", "10", "10"]
    assert [run.experiment.seed for run in plan.runs] == [120, 121] * 2


def test_every_gives_all_masks(tmp_path: Path) -> None:
    """`every: m` gives 2^m masks, from all causal to all unmasked."""
    assert masks(plan_of(tmp_path, "grid: {backbone.unmask: {every: 2}}")) == ["00", "01", "10", "11"]
    four = plan_of(tmp_path, "grid: {backbone.unmask: {every: 4}, seed: [1, 2, 3, 4, 5]}")
    assert len(four.runs) == 80
    assert len({run.name for run in four.runs}) == 80


def test_zipped_keys_vary_together(tmp_path: Path) -> None:
    """Runs have the first values of all zipped keys, then the second values; a grid multiplies them."""
    zipped = "zip: {trainer.batch_size: [8, 16], trainer.learning_rate: [1e-4, 2e-4]}"
    plan = plan_of(tmp_path, f"{zipped}\n  grid: {{seed: [1, 2]}}")
    assert [run.name for run in plan.runs] == [
        "batch_size=8,learning_rate=1e-4,seed=1", "batch_size=8,learning_rate=1e-4,seed=2",
        "batch_size=16,learning_rate=2e-4,seed=1", "batch_size=16,learning_rate=2e-4,seed=2",
    ]  # fmt: skip


def test_a_list_gives_settings_one_by_one_and_may_name_them(tmp_path: Path) -> None:
    """`name` names the run and its spec; a component whose type changes is replaced whole, as with --set."""
    plan = plan_of(tmp_path, "list: [{name: small, data.train.limit: 5}, {name: crf, head.type: crf}]")
    small, crf = plan.runs
    assert (small.name, small.experiment.name, small.experiment.data.train.limit) == ("small", "small", 5)
    assert small.experiment.head.model_dump(exclude_defaults=True) == {"type": "linear", "dropout": 0.2}
    assert crf.experiment.head.type_name == "crf"


def test_data_sets_and_components_vary_like_any_key(tmp_path: Path) -> None:
    """A reader can be a value; values that do not fit into a folder name get a hash."""
    sweep = (
        "grid: {data.train: [{type: grammar, count: 3}, {type: grammar, count: 4}], head.type: [linear, crf]}"
    )
    plan = plan_of(tmp_path, sweep)
    assert [run.experiment.data.train.count for run in plan.runs] == [3, 3, 4, 4]  # type: ignore[attr-defined]
    names = [run.name for run in plan.runs]
    assert len(set(names)) == 4
    assert all(name.startswith("train=grammar,type=") and "~" in name for name in names)


def test_extends_and_set_hold_in_every_run(tmp_path: Path) -> None:
    """Varied values override `extends:` and `--set`, whose other values hold in every run."""
    (tmp_path / "base.yaml").write_text(BASE)
    plan = plan_of(tmp_path, "grid: {seed: [1, 2]}", "extends: base.yaml\n", "trainer.epochs=3", "seed=9")
    assert [(run.experiment.seed, run.experiment.trainer.epochs) for run in plan.runs] == [(1, 3.0), (2, 3.0)]


def test_a_mapping_is_planned_like_a_file() -> None:
    """A plan from Python needs no file."""
    plan = sweeps.plan({**tiny.spec(), "sweep": {"grid": {"backbone.unmask": ["01", "10"]}}})
    assert masks(plan) == ["01", "10"]


def test_an_unknown_key_is_reported_with_the_nearest_name(tmp_path: Path) -> None:
    """The error points into `sweep:` and appears once, not once per run, together with all other errors."""
    problems = problems_of(tmp_path, "grid: {backbone.unmsk: {every: 2}, seed: [120, many]}")
    assert len(problems) == 2
    assert "unknown key `unmsk` for backbone `decoder`" in problems[0]
    assert "did you mean `unmask`?" in problems[0]
    assert "sweep.yaml:11:10" in problems[0]
    assert "expected a whole number, found `many`" in problems[1]
    assert "sweep.yaml:11:50" in problems[1]


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("{}", "nothing varies"),
        ("grid: {seed: []}", "a list of at least 1, found a list of 0"),
        ("gird: {seed: [1]}", "did you mean `grid`?"),
        ("grid: {seed: 1}", "found `1`"),
        ("zip: {seed: [1, 2], trainer.epochs: [1]}", "seed: 2, trainer.epochs: 1"),
        ("grid: {seed: {every: 4}}", "`every` gives masks"),
        ("grid: {seed: [1, 1]}", "two runs of the sweep"),
        ("grid: {backbone.unmask: ['0a']}", "unknown mask `0a`"),
        ("grid: {metrics.3.mode: [strict]}", "there is no item 3"),
        ("{list: [{seed: 1}], grid: {seed: [2]}}", "`seed` is varied twice"),
        ("{runs: {a: {seed: 1}}, grid: {seed: [2]}}", "`runs` gives each run in full"),
    ],
)
def test_wrong_sweeps_are_rejected(tmp_path: Path, sweep: str, message: str) -> None:
    """Each mistake has its own message."""
    base = BASE + "metrics: [{type: seqeval}]\n"
    (tmp_path / "sweep.yaml").write_text(f"{base}sweep: {sweep if sweep[0] == '{' else '{' + sweep + '}'}\n")
    with pytest.raises(InvalidSpecError) as caught:
        sweeps.plan(tmp_path / "sweep.yaml")
    assert message in str(caught.value)


def test_the_spec_of_a_run_is_not_a_sweep(tmp_path: Path) -> None:
    """The error says how to run it; a misspelt `sweep` gets a suggestion."""
    (tmp_path / "run.yaml").write_text(BASE)
    with pytest.raises(InvalidSpecError, match="`sltk train` runs it"):
        sweeps.plan(tmp_path / "run.yaml")
    (tmp_path / "slip.yaml").write_text(BASE + "swep: {grid: {seed: [1]}}\n")
    with pytest.raises(InvalidSpecError, match="did you mean `sweep`"):
        sweeps.plan(tmp_path / "slip.yaml")


def test_only_selects_runs_by_settings(tmp_path: Path) -> None:
    """A key may be cut to its last part; a key that does not vary, or a value that no run has, is an error."""
    plan = plan_of(tmp_path, "grid: {backbone.unmask: {every: 2}, seed: [120, 121]}")
    assert [run.name for run in plan.only(["unmask=01", "seed=121"]).runs] == ["unmask=01,seed=121"]
    assert len(plan.only(["backbone.unmask=11"]).runs) == 2
    rates = plan_of(tmp_path, "grid: {trainer.learning_rate: [2e-4, 1e-4]}")
    assert len(rates.only(["learning_rate=0.0002"]).runs) == 1
    with pytest.raises(UsageError, match="no run has this value"):
        plan.only(["unmask=1"])
    for condition, message in (
        ("sed=120", "`seed`"),
        ("seed=12", "values of seed: 120, 121"),
        ("seed", "key=value"),
    ):
        with pytest.raises(UsageError) as caught:
            plan.only([condition])
        assert message in str(caught.value)


@given(of=st.integers(1, 12))
@settings(max_examples=12)
def test_shards_are_the_plan(of: int) -> None:
    """Every run is in exactly one shard."""
    plan = sweeps.plan({**tiny.spec(), "sweep": {"grid": {"seed": list(range(7))}}})
    together = [run.name for part in range(1, of + 1) for run in plan.shard(part, of).runs]
    assert sorted(together) == sorted(run.name for run in plan.runs)


VALUES = {
    "seed": st.integers(0, 9),
    "backbone.unmask": st.sampled_from(["01", "10", "all", "last:1"]),
    "head": st.sampled_from([{"type": "linear"}, {"type": "crf"}, {"type": "linear", "dropout": 0.5}]),
    "head.dropout": st.sampled_from([0.0, 0.25]),
    "trainer.learning_rate": st.sampled_from([1e-4, 2e-05, 1]),
    "backbone.config.hidden_size": st.sampled_from([32, 64]),
    "metrics": st.sampled_from([[{"type": "seqeval"}], [{"type": "accuracy"}]]),
    "name": st.sampled_from(["a", "A", "b c", "Ü"]),
}
GRIDS = st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=4, unique=True).flatmap(
    lambda keys: st.fixed_dictionaries(
        {key: st.lists(VALUES[key], min_size=1, max_size=3, unique_by=repr) for key in keys}
    )
)


@given(grid=GRIDS)
@settings(max_examples=40)
def test_a_written_plan_is_the_same_plan(grid: dict[str, list[Any]]) -> None:
    """`sweep.yaml` alone gives the same names, in the same order, and the same resolved specs."""
    try:
        plan = sweeps.plan({**tiny.spec(), "sweep": {"grid": grid}})
    except InvalidSpecError:  # two runs of it are the same
        return
    again = sweeps.plan(yaml.safe_load(plan.dump()))
    assert [(run.name, run.digest) for run in again.runs] == [(run.name, run.digest) for run in plan.runs]
    assert not sweeps.change(plan, again)


@given(grid=GRIDS)
@settings(max_examples=40)
def test_names_of_runs_are_folder_names(grid: dict[str, list[Any]]) -> None:
    """Names are safe in file systems and shells, short, and unique even if case is ignored."""
    try:
        plan = sweeps.plan({**tiny.spec(), "sweep": {"grid": grid}})
    except InvalidSpecError:
        return
    names = [run.name for run in plan.runs]
    assert len({name.casefold() for name in names}) == len(names)
    for name in names:
        assert 0 < len(name) <= 120
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._+=,~-")
        assert not name.startswith((".", "-"))


def test_new_values_do_not_change_the_names_of_other_runs(tmp_path: Path) -> None:
    """A sweep with more values keeps its runs and adds new ones."""
    before = plan_of(tmp_path, "grid: {seed: [1, 2], head: [{type: linear, dropout: 0.1}]}")
    now = plan_of(tmp_path, "grid: {seed: [1, 2, 3], head: [{type: linear, dropout: 0.1}, {type: crf}]}")
    assert {run.name for run in before.runs} < {run.name for run in now.runs}
    change = sweeps.change(before, now)
    assert (len(change.added), change.removed, dict(change.changed)) == (4, (), {})


def test_a_changed_sweep_is_described_by_key(tmp_path: Path) -> None:
    """Runs that change in the same way share one line; new and removed runs are listed by name."""
    before = plan_of(tmp_path, "grid: {seed: [1, 2]}")
    now = plan_of(tmp_path, "grid: {seed: [2, 3]}", BASE + "trainer: {epochs: 7}\n")
    assert list(sweeps.change(before, now).lines()) == [
        "changed in seed=2: trainer.epochs: 5.0 → 7.0", "new: seed=3", "removed: seed=1",
    ]  # fmt: skip


def test_planning_imports_no_torch(tmp_path: Path) -> None:
    """Planning is fast."""
    (tmp_path / "sweep.yaml").write_text(BASE + "sweep: {grid: {seed: [1, 2]}}\n")
    code = "import sys; from sltk import sweeps; sweeps.plan(sys.argv[1]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "sweep.yaml")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
