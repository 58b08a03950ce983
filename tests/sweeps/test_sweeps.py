"""Plans of sweeps: which runs a sweep spec asks for, their names, and what is wrong with one that asks for nonsense."""

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
from sltk.errors import UsageError
from sltk.spec.loading import InvalidSpecError

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
    """The plan of a spec with this `sweep:`, in a file of its own."""
    (tmp_path / "sweep.yaml").write_text(f"{base}sweep:\n  {sweep}\n")
    return sweeps.plan(tmp_path / "sweep.yaml", overrides)


def problems_of(tmp_path: Path, sweep: str, base: str = BASE) -> list[str]:
    with pytest.raises(InvalidSpecError) as caught:
        plan_of(tmp_path, sweep, base)
    return [str(problem) for problem in caught.value.problems]


def masks(plan: sweeps.Plan) -> list[str]:
    return [run.experiment.backbone.unmask for run in plan.runs]  # type: ignore[attr-defined]


def test_a_grid_gives_every_combination_and_names_say_what_varies(tmp_path: Path) -> None:
    """The last key varies fastest; masks keep their text, quoted or not."""
    plan = plan_of(tmp_path, 'grid: {backbone.unmask: [01, "10"], seed: [120, 121]}')
    assert [run.name for run in plan.runs] == [
        "unmask=01,seed=120", "unmask=01,seed=121", "unmask=10,seed=120", "unmask=10,seed=121",
    ]  # fmt: skip
    assert masks(plan) == ["01", "01", "10", "10"]
    assert [run.experiment.seed for run in plan.runs] == [120, 121] * 2


def test_every_gives_all_masks(tmp_path: Path) -> None:
    """`every: m` is 2^m masks, from all causal to all unmasked."""
    assert masks(plan_of(tmp_path, "grid: {backbone.unmask: {every: 2}}")) == ["00", "01", "10", "11"]
    four = plan_of(tmp_path, "grid: {backbone.unmask: {every: 4}, seed: [1, 2, 3, 4, 5]}")
    assert len(four.runs) == 80
    assert len({run.name for run in four.runs}) == 80


def test_zipped_keys_go_together(tmp_path: Path) -> None:
    """The first of each, then the second of each; combined with a grid."""
    zipped = "zip: {trainer.batch_size: [8, 16], trainer.learning_rate: [1e-4, 2e-4]}"
    plan = plan_of(tmp_path, f"{zipped}\n  grid: {{seed: [1, 2]}}")
    assert [run.name for run in plan.runs] == [
        "batch_size=8,learning_rate=1e-4,seed=1", "batch_size=8,learning_rate=1e-4,seed=2",
        "batch_size=16,learning_rate=2e-4,seed=1", "batch_size=16,learning_rate=2e-4,seed=2",
    ]  # fmt: skip


def test_a_list_spells_settings_out_and_may_name_them(tmp_path: Path) -> None:
    """`name` names the run and its spec; a component whose type changes is replaced whole, as with --set."""
    plan = plan_of(tmp_path, "list: [{name: small, data.train.limit: 5}, {name: crf, head.type: crf}]")
    small, crf = plan.runs
    assert (small.name, small.experiment.name, small.experiment.data.train.limit) == ("small", "small", 5)
    assert small.experiment.head.model_dump() == {"type": "linear", "dropout": 0.2}
    assert crf.experiment.head.type_name == "crf"


def test_data_sets_and_models_vary_like_any_key(tmp_path: Path) -> None:
    """Whole readers are values; what cannot be written in a folder's name is told apart by a hash."""
    sweep = (
        "grid: {data.train: [{type: grammar, count: 3}, {type: grammar, count: 4}], head.type: [linear, crf]}"
    )
    plan = plan_of(tmp_path, sweep)
    assert [run.experiment.data.train.count for run in plan.runs] == [3, 3, 4, 4]  # type: ignore[attr-defined]
    names = [run.name for run in plan.runs]
    assert len(set(names)) == 4
    assert all(name.startswith("train=grammar,type=") and "~" in name for name in names)


def test_what_extends_and_set_say_holds_in_every_run(tmp_path: Path) -> None:
    """A sweep spec is a run spec plus `sweep:`; what varies is laid over everything else."""
    (tmp_path / "base.yaml").write_text(BASE)
    plan = plan_of(tmp_path, "grid: {seed: [1, 2]}", "extends: base.yaml\n", "trainer.epochs=3", "seed=9")
    assert [(run.experiment.seed, run.experiment.trainer.epochs) for run in plan.runs] == [(1, 3.0), (2, 3.0)]


def test_a_mapping_is_planned_like_a_file() -> None:
    """Python code needs no file."""
    plan = sweeps.plan({**tiny.spec(), "sweep": {"grid": {"backbone.unmask": ["01", "10"]}}})
    assert masks(plan) == ["01", "10"]


def test_a_key_that_does_not_exist_is_told_with_the_nearest_name(tmp_path: Path) -> None:
    """At its place under `sweep:`, once and not once a run, together with everything else that is wrong."""
    problems = problems_of(tmp_path, "grid: {backbone.unmsk: {every: 2}, seed: [120, many]}")
    assert len(problems) == 2
    assert "unknown key `unmsk` for backbone `decoder`" in problems[0]
    assert "did you mean `unmask`?" in problems[0]
    assert "sweep.yaml:11:10" in problems[0]
    assert "expected a whole number, found `many`" in problems[1]
    assert "sweep.yaml:11:50" in problems[1]


@pytest.mark.parametrize(
    ("sweep", "told"),
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
def test_nonsense_is_told(tmp_path: Path, sweep: str, told: str) -> None:
    """Each mistake has its message; nothing is planned."""
    base = BASE + "metrics: [{type: seqeval}]\n"
    (tmp_path / "sweep.yaml").write_text(f"{base}sweep: {sweep if sweep[0] == '{' else '{' + sweep + '}'}\n")
    with pytest.raises(InvalidSpecError) as caught:
        sweeps.plan(tmp_path / "sweep.yaml")
    assert told in str(caught.value)


def test_the_spec_of_a_run_is_no_sweep(tmp_path: Path) -> None:
    """Said with what to do; a misspelt `sweep` gets its nearest name."""
    (tmp_path / "run.yaml").write_text(BASE)
    with pytest.raises(InvalidSpecError, match="`sltk train` runs it"):
        sweeps.plan(tmp_path / "run.yaml")
    (tmp_path / "slip.yaml").write_text(BASE + "swep: {grid: {seed: [1]}}\n")
    with pytest.raises(InvalidSpecError, match="did you mean `sweep`"):
        sweeps.plan(tmp_path / "slip.yaml")


def test_only_chooses_by_settings(tmp_path: Path) -> None:
    """A key may be cut to its last part; one that does not vary, or a value that is not there, is an error."""
    plan = plan_of(tmp_path, "grid: {backbone.unmask: {every: 2}, seed: [120, 121]}")
    assert [run.name for run in plan.only(["unmask=01", "seed=121"]).runs] == ["unmask=01,seed=121"]
    assert len(plan.only(["backbone.unmask=11"]).runs) == 2
    rates = plan_of(tmp_path, "grid: {trainer.learning_rate: [2e-4, 1e-4]}")
    assert len(rates.only(["learning_rate=0.0002"]).runs) == 1
    with pytest.raises(UsageError, match="no run has this value"):
        plan.only(["unmask=1"])
    for condition, told in (
        ("sed=120", "`seed`"),
        ("seed=12", "values of seed: 120, 121"),
        ("seed", "key=value"),
    ):
        with pytest.raises(UsageError) as caught:
            plan.only([condition])
        assert told in str(caught.value)


@given(of=st.integers(1, 12))
@settings(max_examples=12, deadline=None)
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
@settings(max_examples=40, deadline=None)
def test_a_plan_that_is_written_down_is_the_same_plan(grid: dict[str, list[Any]]) -> None:
    """`sweep.yaml` alone gives the same runs: names, order, and specs to the last default."""
    try:
        plan = sweeps.plan({**tiny.spec(), "sweep": {"grid": grid}})
    except InvalidSpecError:  # two runs of it are the same
        return
    again = sweeps.plan(yaml.safe_load(plan.dump()))
    assert [(run.name, run.digest) for run in again.runs] == [(run.name, run.digest) for run in plan.runs]
    assert not sweeps.change(plan, again)


@given(grid=GRIDS)
@settings(max_examples=40, deadline=None)
def test_names_of_runs_name_folders(grid: dict[str, list[Any]]) -> None:
    """Safe in a file system and in a shell, short, and no two alike even where case does not count."""
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


def test_more_values_leave_the_names_of_other_runs_alone(tmp_path: Path) -> None:
    """So that a sweep can be extended."""
    before = plan_of(tmp_path, "grid: {seed: [1, 2], head: [{type: linear, dropout: 0.1}]}")
    now = plan_of(tmp_path, "grid: {seed: [1, 2, 3], head: [{type: linear, dropout: 0.1}, {type: crf}]}")
    assert {run.name for run in before.runs} < {run.name for run in now.runs}
    found = sweeps.change(before, now)
    assert (len(found.added), found.removed, dict(found.changed)) == (4, (), {})


def test_a_changed_sweep_is_told_by_key(tmp_path: Path) -> None:
    """Runs that change alike are told in one line; new and lost runs by name."""
    before = plan_of(tmp_path, "grid: {seed: [1, 2]}")
    now = plan_of(tmp_path, "grid: {seed: [2, 3]}", BASE + "trainer: {epochs: 7}\n")
    assert list(sweeps.change(before, now).lines()) == [
        "changed in seed=2: trainer.epochs: 5.0 → 7.0", "new: seed=3", "removed: seed=1",
    ]  # fmt: skip


def test_planning_imports_no_torch(tmp_path: Path) -> None:
    """A plan is there at once."""
    (tmp_path / "sweep.yaml").write_text(BASE + "sweep: {grid: {seed: [1, 2]}}\n")
    code = "import sys; from sltk import sweeps; sweeps.plan(sys.argv[1]); print('torch' in sys.modules)"
    command = [sys.executable, "-c", code, str(tmp_path / "sweep.yaml")]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.strip() == "False"
