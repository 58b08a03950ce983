"""`merge`: what pre-training saves lies between the model before training and the trained one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import sltk
import tiny
from sltk.errors import InvalidSpecError
from sltk.pretraining.pretrain_spec import PretrainSpec
from sltk.pretraining.pretraining_preview import PretrainingPreview
from sltk.reports.run_reader import read_run
from sltk.run import pretrain
from sltk.spec import loading

SENTENCES = ["the soup was awful .", "our table called the bread plain", "nobody ate it , and nobody paid ."]
LORA = {"r": 4, "alpha": 8, "dropout": 0.0}
START = {"full": {}, "lora": {"lora": LORA}}
WEIGHTS = {"full": "model.safetensors", "lora": "adapter/adapter_model.safetensors"}


def spec(folder: Path, base: Path, kind: str, **changes: Any) -> dict[str, Any]:
    """Two epochs of MNTP with a model after each, of all weights or an adapter."""
    text = folder / "text.txt"
    text.write_text("\n".join(SENTENCES * 10), encoding="utf-8")
    defaults = {
        "name": "merging",
        "objective": "mntp",
        "corpus": {"type": "text", "path": str(text)},
        "validation": {"type": "text", "path": str(text)},
        "block_size": 16,
        "snapshots": 1,
        "backbone": {"type": "decoder", "name": str(base), "unmask": "01", **START[kind]},
        "trainer": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "save_every": 2},
    }
    return {**defaults, **changes}


@pytest.fixture(scope="module", params=START)
def runs(request: pytest.FixtureRequest, base: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same training twice: `plain`, and `merged`, which is interrupted and resumed."""
    folder = tmp_path_factory.mktemp(request.param)
    pretrain(spec(folder, base, request.param), folder / "plain")
    merged = spec(folder, base, request.param, merge=0.5)
    with pytest.raises(KeyboardInterrupt):
        pretrain(merged, folder / "merged", progress=tiny.InterruptingProgress(3))
    pretrain(merged, folder / "merged", resume=True)
    return folder


def kind_of(runs: Path) -> str:
    return "lora" if (runs / "plain/model/adapter").is_dir() else "full"


def test_all_saved_weights_are_merged(runs: Path, base: Path) -> None:
    """The model and both snapshots are base + 0.5 * (trained - base), exactly; training itself is unchanged."""
    kind = kind_of(runs)
    before = load_file(base / "model.safetensors")
    for place in ("steps/0000", "steps/0001", "steps/0002", "model"):
        trained, merged = (load_file(runs / run / place / WEIGHTS[kind]) for run in ("plain", "merged"))
        assert trained.keys() == merged.keys()
        for name, value in trained.items():
            if kind == "full":
                assert torch.equal(merged[name], before[name] + 0.5 * (value - before[name])), name
            else:
                assert torch.equal(merged[name], 0.5 * value if ".lora_B." in name else value), name
        changed = [name for name in trained if not torch.equal(trained[name], merged[name])]
        assert bool(changed) == (place != "steps/0000")


def test_adapted_weights_are_merged_too(runs: Path, base: Path) -> None:
    """A labelling run reads base + 0.5 * (adapted - base) from either kind of model."""
    kind = kind_of(runs)
    weights = {}
    for run in ("plain", "merged"):
        model = runs / run / "model"
        start: Any = (
            {"name": str(base), "lora": LORA, "adapter": str(runs / run)}
            if kind == "lora"
            else {"name": str(model)}
        )
        values = tiny.spec(
            {"max_steps": 1, "learning_rate": 1e-30},
            backbone={"type": "decoder", "unmask": "01", **start},
            aligner={"type": "last_subword", "shift": -1},
        )
        sltk.train(values, runs / f"from_{run}")
        labeller = sltk.load(runs / f"from_{run}")
        network: Any = labeller.model
        weights[run] = dict(network.network.backbone.model.named_parameters())
    before = dict(AutoModelForCausalLM.from_pretrained(base).model.named_parameters())
    assert before.keys() == weights["plain"].keys()
    for name, value in before.items():
        expected = value + 0.5 * (weights["plain"][name] - value)
        torch.testing.assert_close(weights["merged"][name], expected, rtol=1e-5, atol=1e-7)
    record = read_run(runs / "from_merged").origin
    assert record is not None
    assert (record.objective, record.merge) == ("mntp", 0.5)
    plain = json.loads((runs / "from_plain/environment.json").read_text())["origin"]
    assert "merge" not in plain


def test_the_validation_loss_is_that_of_the_saved_model(runs: Path) -> None:
    """It lies between those before and after training; the log has the losses of training."""
    trained, merged = (
        json.loads((runs / run / "metrics.json").read_text())["validation"]["loss"]
        for run in ("plain", "merged")
    )
    logs = [
        [json.loads(line) for line in (runs / run / "log.jsonl").read_text().splitlines()]
        for run in ("plain", "merged")
    ]
    losses = [[line["eval_loss"] for line in log if "eval_loss" in line] for log in logs]
    assert losses[0][-1] == losses[1][-1] == pytest.approx(trained)
    assert merged > trained + 0.01
    assert json.loads((runs / "merged/model/pretraining.json").read_text())["merge"] == 0.5
    assert "merge" not in json.loads((runs / "plain/model/pretraining.json").read_text())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"merge": 0}, "expected a number above 0"),
        ({"merge": 1.5}, "expected 1 or less"),
        (
            {"merge": 0.5, "backbone": {"type": "decoder", "init": "random"}},
            "`merge` needs a pretrained model",
        ),
        (
            {"merge": 0.5, "backbone": {"type": "decoder", "name": "any", "lora": LORA, "adapter": "other"}},
            "`merge` scales an adapter",
        ),
    ],
)
def test_merging_that_is_meaningless_is_rejected(
    base: Path, tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    """Nothing of the training would remain, or there is nothing to merge with."""
    values = spec(tmp_path, base, "full", **changes)
    if "init" in values["backbone"]:
        values["backbone"] |= {
            "config": tiny.LLAMA,
            "tokenizer": {"type": "train", "vocab_size": 300},
        }
    with pytest.raises(InvalidSpecError, match=message):
        pretrain(values, tmp_path / "run")


def test_the_estimate_counts_the_copies(base: Path, tmp_path: Path) -> None:
    """A model that is trained whole is copied twice to main memory; adapters are small."""
    for kind, copies in (("full", 2), ("lora", 0)):
        plain, merged = (
            PretrainingPreview(loading.load_as(PretrainSpec, values)).estimate()
            for values in (spec(tmp_path, base, kind), spec(tmp_path, base, kind, merge=0.5))
        )
        assert plain is not None
        assert merged is not None
        assert plain.memory_cpu_bytes is not None
        assert plain.parameters is not None
        assert merged.memory_cpu_bytes == plain.memory_cpu_bytes + copies * 4 * plain.parameters
