"""Searches that learn the mask in one run: `sigmoid` and `gumbel`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

import sltk
import tiny
from sltk import search
from sltk.cli import main
from sltk.errors import InvalidSpecError, RunError, UsageError
from sltk.runtime.progress import Progress
from sltk.search.requested_runs import first_job, plan_first_run

HERE = {"type": "local", "isolated": False}
STRATEGIES = ("sigmoid", "gumbel")


def spec(strategy: str, trainer: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """Four masks of two digits; the budget covers the run that learns the mask, and one full run."""
    whole = tiny.spec({"epochs": 4, **(trainer or {})}, data=tiny.all_splits(), **changes)
    return {**whole, "search": {"strategy": strategy, "budget": 0.5, "masks": {"every": 2}}, "executor": HERE}


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.fixture(scope="module", params=STRATEGIES)
def found(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The strategy and the folder of a finished search."""
    folder = tmp_path_factory.mktemp("learned") / "search"
    whole = spec(request.param)
    whole["search"]["gates"] = {"initial": 0.5}  # there are too few updates to come from further away
    search.run(search.plan(whole), folder)
    return request.param, folder


def test_the_learned_mask_is_what_the_run_directory_stores(found: tuple[str, Path]) -> None:
    """Model, spec and proof of the run have the most likely mask, and its scores are those of that mask."""
    strategy, folder = found
    run = folder / "runs" / f".{strategy}"
    learned = read(run / "gates.json")
    mask = learned["mask"]
    assert mask == max(learned["likelihoods"], key=learned["likelihoods"].__getitem__)
    assert "1" in mask  # the labels depend on the words that follow
    assert read(run / "model/sltk.json")["mask"] == {"unmask": mask, "flags": mask}
    assert yaml.safe_load((run / "spec.yaml").read_text())["backbone"]["unmask"] == mask
    proof = read(run / "environment.json")["mask_proof"]
    assert proof["unmasked"] == [block for block, digit in enumerate(mask) if digit == "1"]
    for split in ("validation", "test"):
        stored = read(run / "metrics.json")[split]
        assert sltk.evaluate(run, split=split).scores["f1"] == stored["f1"]
    assert not any("gates" in name or "logits" in name for name in tiny.weights(run))


def test_commands_use_the_learned_mask(found: tuple[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """`sltk show mask` and `sltk predict` read the directory like that of any run."""
    strategy, folder = found
    run = folder / "runs" / f".{strategy}"
    mask = read(run / "gates.json")["mask"]
    assert main(["show", "mask", str(run)]) == 0
    assert f"mask {mask} on 2 blocks" in capsys.readouterr().out
    text = folder / "text.txt"
    text.write_text("the soup was not good at all\n")
    assert main(["predict", str(run), str(text), "--format", "jsonl"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "the soup was not good at all"


def test_the_search_trains_the_learned_mask(found: tuple[str, Path]) -> None:
    """The result is an ordinary run with that mask, at the cost of two full runs."""
    strategy, folder = found
    result = read(folder / "search.json")
    learned = read(folder / "runs" / f".{strategy}" / "gates.json")
    assert result["mask"] == learned["mask"]
    assert result["learned"] == learned["likelihoods"]
    assert result["shared"] == {}
    assert (result["spent"], result["share"]) == (2, 0.5)
    stored = read(folder / "runs" / result["run"] / "model/sltk.json")["mask"]
    assert stored == {"unmask": result["mask"], "flags": result["mask"]}


def test_the_gates_are_logged(found: tuple[str, Path]) -> None:
    """Each logged loss has the gates of all blocks; they move, and the last ones decide."""
    strategy, folder = found
    run = folder / "runs" / f".{strategy}"
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    logged = [line["gates"] for line in lines if "loss" in line]
    assert [len(gates) for gates in logged] == [2] * len(logged)
    assert logged[0] != logged[-1]
    assert logged[-1] == read(run / "gates.json")["gates"]
    assert all("gates" not in line for line in lines if "loss" not in line)


def learn(folder: Path, whole: dict[str, Any], *, after: int | None = None) -> Progress:
    """Execute only the run that learns the mask, interrupted after some updates, or resumed."""
    plan = search.plan(whole)
    job = first_job(plan)
    assert job["function"].endswith(":train_learned")
    progress = tiny.RecordingProgress() if after is None else tiny.InterruptingProgress(after)
    from sltk.search.learned_run import train_learned

    train_learned(
        plan_first_run(plan).resolved,
        folder,
        resume=(folder / "spec.yaml").exists(),
        force=False,
        progress=progress,
        **job["options"],
    )
    return progress


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_resumed_run_learns_the_same_mask(strategy: str, tmp_path: Path) -> None:
    """Interrupted within an epoch, weights, gates and log are those of an uninterrupted run, bit for bit."""
    trainer = {"gradient_accumulation": 2, "save_every": 1, "epochs": 3}
    whole = spec(strategy, trainer)
    learn(tmp_path / "whole", whole)
    with pytest.raises(KeyboardInterrupt):
        learn(tmp_path / "cut", whole, after=4)
    checkpoint = max((tmp_path / "cut/checkpoints").glob("checkpoint-*"), key=lambda path: path.name)
    assert load_file(checkpoint / "trained.safetensors")["gates.logits"].shape == (2,)
    learn(tmp_path / "cut", whole)
    assert tiny.same_weights(tmp_path / "whole", tmp_path / "cut")
    assert read(tmp_path / "whole/gates.json") == read(tmp_path / "cut/gates.json")
    losses = []
    for name in ("whole", "cut"):
        lines = map(json.loads, (tmp_path / name / "log.jsonl").read_text().splitlines())
        losses.append([line for line in lines if "loss" in line])
    assert losses[0] == losses[1]
    scores = read(tmp_path / "cut/scores.json")
    (tmp_path / "cut/scores.json").unlink()  # killed after training
    learn(tmp_path / "cut", whole)
    assert read(tmp_path / "cut/scores.json") == scores


def test_gates_have_their_own_learning_rate(tmp_path: Path) -> None:
    """With one close to zero they stay where they start, and the model still trains; weight decay moves no gate."""
    whole = spec("sigmoid", {"epochs": 2, "weight_decay": 1.0})
    whole["search"]["gates"] = {"learning_rate": 1e-9, "initial": 0.75}
    learn(tmp_path / "run", whole)
    assert read(tmp_path / "run/gates.json")["gates"] == [0.75, 0.75]
    assert read(tmp_path / "run/gates.json")["mask"] == "11"


@pytest.mark.parametrize(
    "changes",
    [
        {"freeze": True, "blocks": 2, "config": {**tiny.LLAMA, "num_hidden_layers": 3}},
        {"lora": {"r": 4}, "repeat": 1},
        {"type": "encoder", "config": tiny.BERT},
    ],
    ids=["frozen, early exit", "lora, repeated", "encoder"],
)
def test_a_mask_can_be_learned_for_other_backbones(changes: dict[str, Any], tmp_path: Path) -> None:
    """A frozen backbone learns only gates and head. Gates start near the mask of pre-training."""
    whole = spec("sigmoid", {"epochs": 1, "gradient_checkpointing": True}, backbone=tiny.backbone(**changes))
    learn(tmp_path / "run", whole)
    gates = read(tmp_path / "run/gates.json")["gates"]
    assert len(set(gates)) == 2
    assert not {0.1, 0.9} & set(gates)
    assert all((gate > 0.5) is (changes.get("type") == "encoder") for gate in gates)
    sltk.load(tmp_path / "run")


@pytest.mark.parametrize("family", ["albert", "deberta"])
def test_a_family_without_a_mask_for_each_block_is_refused(family: str, tmp_path: Path) -> None:
    """The error says that its mask cannot be changed block by block, and why."""
    config = {**tiny.BERT, "model_type": family}
    whole = spec("sigmoid", backbone=tiny.backbone(type="encoder", config=config))
    with pytest.raises(
        RunError, match=r"the run that learns the mask failed: the (mask|family) .*(cannot be|own attention)"
    ):
        search.run(search.plan(whole), tmp_path / "search")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"strategy": "gaussian", "gates": {}}, "`gates` is for the strategies `sigmoid` and `gumbel`"),
        ({"gates": {"temperature": [1, 0.1]}}, "`temperature` is for the strategy `gumbel`"),
        ({"gates": {"learning_rat": 0.1}}, "did you mean `learning_rate`"),
        ({"gates": {"initial": 1}}, "search.gates.initial"),
        ({"budget": 0.25}, "strategy `sigmoid` needs at least 2.0"),
    ],
)
def test_unsupported_settings_are_rejected(changes: dict[str, Any], message: str) -> None:
    """The error names the key, before anything is trained."""
    whole = spec("sigmoid")
    whole["search"] |= changes
    with pytest.raises(InvalidSpecError, match=message):
        search.plan(whole)


def test_other_gates_do_not_reuse_a_learned_mask(found: tuple[str, Path]) -> None:
    """A search in the same folder says that the mask was learned with other settings."""
    strategy, folder = found
    whole = spec(strategy)
    whole["search"]["gates"] = {"learning_rate": 0.5}
    with pytest.raises(UsageError, match="learned with other `gates`"):
        search.run(search.plan(whole), folder)
