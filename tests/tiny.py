"""Small specs and models for tests. Training one of them takes about a second."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from sltk.runtime.progress import Progress

LLAMA = {
    "model_type": "llama",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
}
BERT = {**LLAMA, "model_type": "bert"}


def backbone(**changes: Any) -> dict[str, Any]:
    """A fresh two-block decoder whose second block is unmasked."""
    defaults = {
        "type": "decoder",
        "init": "random",
        "config": LLAMA,
        "tokenizer": {"type": "train", "vocab_size": 300},
        "unmask": "01",
    }
    return {**defaults, **changes}


def spec(trainer: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A spec with 21 sentences in batches of 8: three updates per epoch, the last of five sentences."""
    defaults = {
        "name": "tiny",
        "data": {"train": {"type": "grammar", "count": 21}},
        "backbone": backbone(),
        "head": {"type": "linear", "dropout": 0.0},
        "trainer": {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, **(trainer or {})},
    }
    return {**defaults, **changes}


def all_splits() -> dict[str, Any]:
    """Data with 21 training sentences, and eight sentences each for validation and test."""
    scored = {split: {"type": "grammar", "part": split, "count": 8} for split in ("validation", "test")}
    return {"train": {"type": "grammar", "count": 21}, **scored}


def weights(run: Path) -> dict[str, torch.Tensor]:
    """All weights that a finished run saved, by folder and name."""
    files = sorted((run / "model").rglob("*.safetensors"))
    return {
        f"{file.parent.name}/{name}": value for file in files for name, value in load_file(str(file)).items()
    }


def same_weights(left: Path, right: Path) -> bool:
    """Whether two runs saved the same weights, bit for bit."""
    one, other = weights(left), weights(right)
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def save_base(folder: Path, config: dict[str, Any] = LLAMA, seed: int = 0) -> Path:
    """Save a base model as transformers does: random weights, and a tokenizer trained on a few words."""
    from transformers import AutoConfig, AutoModel

    from sltk.components.backbones.building import train_tokenizer

    text = "the soup was awful and the bread was excellent , but nobody at our table called the menu plain ."
    tokenizer = train_tokenizer([f" {text}"] * 8, 300)
    settings = {name: value for name, value in config.items() if name != "model_type"}
    torch.manual_seed(seed)
    full_config = AutoConfig.for_model(config["model_type"], vocab_size=len(tokenizer), **settings)
    AutoModel.from_config(full_config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def save_language_model(folder: Path) -> Path:
    """Save a base model together with its output layer, as transformers does."""
    from transformers import AutoModelForCausalLM

    save_base(folder)
    torch.manual_seed(1)
    config = AutoModelForCausalLM.from_pretrained(folder).config
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    return folder


class RecordingProgress(Progress):
    """Progress callbacks that record what is reported."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.logs: list[dict[str, Any]] = []
        self.start: tuple[int, int] | None = None
        """Number of updates in total, and number of those done before training started or resumed."""
        self.done = 0

    def has_note(self, text: str) -> bool:
        """Whether any note contains this text."""
        return any(text in note for note in self.notes)

    def note(self, message: str) -> None:
        self.notes.append(message)

    def started(self, steps: int, done: int) -> None:
        self.start = (steps, done)

    def step(self, done: int, words: int) -> None:
        self.done = done

    def logged(self, values: dict[str, Any]) -> None:
        self.logs.append(values)


class InterruptingProgress(RecordingProgress):
    """Progress callbacks that raise KeyboardInterrupt, like Ctrl-C, after update number `after`."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after

    def step(self, done: int, words: int) -> None:
        if done == self.after:
            raise KeyboardInterrupt
