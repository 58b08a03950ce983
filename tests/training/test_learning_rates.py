"""Learning rates of the head and of each block, against steps of gradient descent that are written out."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

import sltk
import tiny
from sltk.errors import InvalidSpecError, ModelError
from sltk.spec import loading
from sltk.spec.learning_rates import LearningRates
from sltk.spec.trainer_settings import TrainerSpec

PEAK, HEAD, DECAY = 0.01, 0.04, 0.5
RATES = {"learning_rate": PEAK, "head_learning_rate": HEAD, "layer_decay": DECAY}
PLAIN = {"optimizer": "sgd", "weight_decay": 0.0, "clip": None, "schedule": "linear", "max_steps": 2}
GPT2 = {"model_type": "gpt2", "n_embd": 32, "n_layer": 3, "n_head": 2}


def expected_rate(name: str, blocks: int) -> float:
    """The peak rate of a weight by its name: block b of N has PEAK times DECAY to the power N - 1 - b."""
    if name.startswith("head."):
        return HEAD
    block = re.search(r"\.(?:h|layers)\.(\d+)\.", name)
    if block is not None:
        return PEAK * DECAY ** (blocks - 1 - int(block[1]))
    return PEAK * DECAY**blocks if re.search(r"wte|wpe|embed_tokens", name) else PEAK


class Steps(TrainerCallback):  # type: ignore[misc]
    """Compares each weight after an update with the weight before it minus its rate times its gradient."""

    def __init__(self, blocks: int, factors: list[float]) -> None:
        self.blocks, self.factors, self.seen = blocks, factors, set[str]()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Write out the step of each weight."""
        factor = self.factors[state.global_step]
        trained = {n: p for n, p in model.named_parameters() if p.requires_grad and p.grad is not None}
        self.after = {
            name: p.detach() - factor * expected_rate(name, self.blocks) * p.grad
            for name, p in trained.items()
        }
        self.seen |= {name for name, p in trained.items() if p.grad.any()}

    def on_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Compare."""
        for name, p in model.named_parameters():
            if name in self.after:
                torch.testing.assert_close(p.detach(), self.after[name], atol=1e-7, rtol=1e-5, msg=name)


@pytest.mark.parametrize(("kind", "blocks"), [("full", 3), ("lora", 2)])
def test_each_weight_is_updated_at_its_rate(tmp_path: Path, kind: str, blocks: int) -> None:
    """In all parts of the network and at each point of the schedule; the log has the rate of the last block."""
    backbone = tiny.backbone(config=GPT2) if kind == "full" else tiny.backbone(lora={"r": 2, "dropout": 0})
    steps, progress = Steps(blocks, [1.0, 0.5]), tiny.RecordingProgress()
    spec = tiny.spec({**PLAIN, **RATES}, backbone={**backbone, "unmask": "all"})
    sltk.train(spec, tmp_path / "run", callbacks=[steps], progress=progress)
    numbers = {match[1] for name in steps.seen if (match := re.search(r"\.(\d+)\.", name))}
    assert numbers == set(map(str, range(blocks)))
    assert any(name.startswith("head.") for name in steps.seen)
    assert any("wte" in name for name in steps.seen) == (kind == "full")
    assert progress.has_note(f"peak learning rates: head 0.04, block {blocks - 1} 0.01, block 0 ")
    assert [log["learning_rate"] for log in progress.logs if "learning_rate" in log] == [PEAK / 2]


def test_rates_of_a_model_with_three_blocks() -> None:
    """The rate falls by the same factor from block to block, and once more to the embeddings."""
    rates = LearningRates(TrainerSpec(learning_rate=0.08, layer_decay=0.5), 3)
    assert [rates.of(part) for part in ("head", "output", 2, 1, 0, "input")] == [
        0.08,
        0.08,
        0.08,
        0.04,
        0.02,
        0.01,
    ]
    assert rates.text() == "block 2 0.08, block 0 0.02, embeddings 0.01"
    assert LearningRates(TrainerSpec(), 3).are_equal


@pytest.mark.parametrize(
    ("trainer", "changes", "key", "about"),
    [
        ({"layer_decay": 1.5}, {}, "trainer.layer_decay", "expected 1 or less"),
        ({"layer_decay": 0}, {}, "trainer.layer_decay", "expected a number above 0"),
        ({"head_learning_rate": 0}, {}, "trainer.head_learning_rate", "expected a number above 0"),
        ({"layer_decay": 0.9}, {"backbone": tiny.backbone(freeze=True)}, "trainer.layer_decay", "no effect"),
        (
            {"head_learning_rate": 0.1},
            {"type": "instruct", "instruct": {"instruction": "a", "options": {"A": "b"}}, "head": None}
            | {"backbone": tiny.backbone(unmask="none")},
            "trainer.head_learning_rate",
            "no new head",
        ),
    ],
)
def test_rates_without_an_effect_are_refused(
    trainer: dict[str, Any], changes: dict[str, Any], key: str, about: str
) -> None:
    """Each is an error at its key when the spec is read."""
    spec = {key: value for key, value in {**tiny.spec(trainer), **changes}.items() if value is not None}
    with pytest.raises(InvalidSpecError) as caught:
        loading.load(spec)
    assert [
        problem.message
        for problem in caught.value.problems
        if problem.path == key and about in problem.message
    ]


def test_blocks_that_share_their_weights_are_refused(tmp_path: Path) -> None:
    """ALBERT has one set of weights for all blocks; the error has the place of the key."""
    config = {**tiny.BERT, "model_type": "albert", "embedding_size": 32}
    backbone = tiny.backbone(type="encoder", config=config, unmask="all")
    with pytest.raises(ModelError, match="those of albert share theirs") as caught:
        sltk.train(tiny.spec({"layer_decay": 0.9}, backbone=backbone), tmp_path / "run")
    assert caught.value.problems[0].path == "trainer.layer_decay"
    assert not (tmp_path / "run/model").exists()
