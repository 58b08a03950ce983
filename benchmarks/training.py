"""Training speed of the authors' recipe, of transformers' token classification, and of sltk.

    python benchmarks/training.py                          decoder of 135M parameters
    python benchmarks/training.py --shape minilm           an encoder of 6 blocks
    python benchmarks/training.py --shape decoder-7b --quantization nf4        on a GPU

All three train the same weights on the same batches of sentences, in one process, with transformers' `Trainer`.
Their repetitions alternate, so that disturbances of the machine affect all of them. They differ in:

    authors        batches padded to their longest sentence, gradient checkpointing
    transformers   AutoModelForTokenClassification, DataCollatorForTokenClassification: padded
    sltk           batches packed end to end
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BitsAndBytesConfig,
    DataCollatorForTokenClassification,
    PrinterCallback,
    Trainer,
    TrainingArguments,
)

from shared import (
    SHAPES,
    Measurement,
    Rates,
    machine,
    make_model,
    matmul_rates,
    of_rates,
    parameters_outside_embedding,
    parser,
    report,
    sentences,
    take_turns,
)
from sltk import Sentence
from sltk.data import datasets
from sltk.data.raw import RawDataset
from sltk.models import tagging
from sltk.nn.batching import Sample, pack, without_loss
from sltk.nn.fused import onednn
from sltk.nn.head import IGNORED
from sltk.runtime.progress import Progress
from sltk.spec.experiment import Experiment
from sltk.training.fit import Task, make_trainer
from sltk.training.trainer import EpochBatches, Examples

LEARNING_RATE, SEED = 2e-4, 120


class SameOrder(Trainer):
    """A Trainer that uses the same batches as sltk."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        size = self.args.per_device_train_batch_size
        batches = EpochBatches(len(self.train_dataset), size, SEED)
        return DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator)


class Clock:
    """Records start times and losses of the updates of a trainer."""

    def __init__(self, trainer: Trainer) -> None:
        self.losses: list[float] = []
        self.times: list[float] = []
        self._step: Callable[..., torch.Tensor] = trainer.training_step
        trainer.training_step = self.training_step
        trainer.pop_callback(PrinterCallback)

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.times.append(time.perf_counter())
        loss = self._step(*args, **kwargs)
        self.losses.append(loss.item())
        return loss


def experiment(options: argparse.Namespace, base: Path, updates: int, dropout: float) -> Experiment:
    """The spec of the run: the paper's LoRA settings, and the family's own mask in every block."""
    encoder = isinstance(SHAPES[options.shape], BertConfig)
    quantization = {"type": options.quantization} if options.quantization else None
    return Experiment.model_validate(
        {
            "name": "benchmark",
            "seed": SEED,
            "data": {"train": {"type": "grammar"}},
            "backbone": {
                "type": "encoder" if encoder else "decoder",
                "name": str(base),
                "unmask": "all" if encoder else "none",
                "quantization": quantization,
                "lora": {"r": 64, "alpha": 16, "dropout": dropout},
            },
            "head": {"type": "linear", "dropout": dropout},
            "trainer": {
                "batch_size": options.batch_size,
                "max_steps": updates,
                "learning_rate": LEARNING_RATE,
            },
        }
    )


def sltk_model(spec: Experiment, corpus: list[Sentence]) -> tuple[Any, list[Sample]]:
    """sltk's model, and the encoded sentences that all contenders read."""
    training = datasets.to_dataset(RawDataset(spec.data.train, corpus, "IOB2"), "IOB2")
    model = tagging.build(spec, training)
    return model, tagging.encode(training, model, Progress())


def other_model(options: argparse.Namespace, base: Path, ours: Any, dropout: float) -> Any:
    """transformers' token classifier with the same weights, adapters and head."""
    from peft import LoraConfig, get_peft_model

    dtype = next(p.dtype for p in ours.network.backbone.parameters() if p.is_floating_point())
    bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=["score", "classifier"],
    )  # fmt: skip
    model = AutoModelForTokenClassification.from_pretrained(
        base,
        num_labels=len(ours.labels.tags),
        dtype=dtype,
        quantization_config=bits if options.quantization else None,
    )
    targets = ["query", "value"] if isinstance(SHAPES[options.shape], BertConfig) else ["q_proj", "v_proj"]
    lora = LoraConfig(
        task_type="TOKEN_CLS", r=64, lora_alpha=16, lora_dropout=dropout, target_modules=targets
    )
    model = get_peft_model(model, lora).to(ours.device)
    _share_frozen(model, ours.network.backbone.model)
    _copy_trained(model, ours.network)
    if not dropout:
        _without_dropout(model)
    return model


def _share_frozen(model: Any, ours: Any) -> None:
    """Share the frozen weights of both models, so that the memory of one does not count for the other."""
    own = dict(ours.named_parameters())
    prefix = f"base_model.model.{model.base_model.model.base_model_prefix}."
    for name, parameter in list(model.named_parameters()):
        if not parameter.requires_grad and name.startswith(prefix):
            shared = own["base_model.model." + name.removeprefix(prefix)]
            assert torch.equal(shared, parameter)
            module, _, leaf = name.rpartition(".")
            setattr(model.get_submodule(module), leaf, shared)


def _copy_trained(model: torch.nn.Module, tagger: torch.nn.Module) -> None:
    """Copy the adapters and head of sltk's model; only the part of the names before the block differs."""
    adapters = {_in_block(n): p for n, p in tagger.named_parameters() if "lora_" in n}
    weight, bias = (p for n, p in tagger.head.named_parameters())
    copied = 0
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            parameter.data.copy_(adapters[_in_block(name)])
            copied += 1
        elif "modules_to_save" in name:
            parameter.data.copy_(weight if name.endswith("weight") else bias)
    assert copied == len(adapters)


def _in_block(name: str) -> str:
    return name[name.index("layer") :]


def _without_dropout(model: torch.nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout") and isinstance(module.attention_dropout, float):
            module.attention_dropout = 0.0


def other_trainer(
    options: argparse.Namespace, model: Any, samples: list[Sample], tokenizer: Any, spec: Experiment
) -> Any:
    """A Trainer on padded batches of the same subwords that sltk reads."""
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(), per_device_train_batch_size=options.batch_size,
        max_steps=spec.trainer.max_steps, learning_rate=LEARNING_RATE, adam_beta1=0.9, adam_beta2=0.95,
        adam_epsilon=1e-5, weight_decay=0.1, lr_scheduler_type="cosine", max_grad_norm=1.0, seed=SEED,
        save_strategy="no", report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
        remove_unused_columns=False,
    )  # fmt: skip
    collator = DataCollatorForTokenClassification(tokenizer)
    return SameOrder(
        model, arguments, train_dataset=[_token_labels(s) for s in samples], data_collator=collator
    )


def _token_labels(sample: Sample) -> dict[str, list[int]]:
    """One sentence as in transformers' recipe: a label on the first subword of each word."""
    (window,) = sample.encoding.windows
    labels = [IGNORED] * len(window.ids)
    for position, tag in zip(window.first, sample.tags, strict=True):
        labels[position] = tag
    return {"input_ids": window.ids, "attention_mask": [1] * len(window.ids), "labels": labels}


class Race:
    """The three contenders, each of which trains for `updates` updates."""

    def __init__(
        self, options: argparse.Namespace, folder: Path, corpus: Any, updates: int, dropout: float
    ) -> None:
        self.options, self.folder = options, folder
        self.spec = experiment(options, folder / "base", updates, dropout)
        self.model, self.samples = sltk_model(self.spec, corpus)
        if not dropout:
            _without_dropout(self.model.network)
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "base")
        self.other = other_model(options, folder / "base", self.model, dropout)
        self.state = self.model.network.trainable_state()
        batches = EpochBatches(len(self.samples), options.batch_size, SEED)
        self.batches = [[self.samples[number] for number in batch] for batch in batches]
        if len(self.batches) < updates:
            raise SystemExit(f"{len(self.batches)} batches are too few for {updates} updates: use more data")
        self.timed = self.batches[1 : updates - 1]

    def trainer(self, contender: str) -> tuple[Any, Clock]:
        """A new trainer of a contender, with the initial weights."""
        self.model.network.load_trainable_state(self.state)
        if contender == "sltk":
            examples = Examples(self.samples, pack, without_loss)
            task = Task(self.model.network, examples, self.model.device, SEED, None, str)
            trainer: Any = make_trainer(task, self.spec.trainer, self.folder / "run", Progress())
        else:
            _copy_trained(self.other, self.model.network)
            _checkpoint_gradients(self.other, contender == "authors")
            trainer = other_trainer(self.options, self.other, self.samples, self.tokenizer, self.spec)
        return trainer, Clock(trainer)


def _checkpoint_gradients(model: Any, enabled: bool) -> None:
    if enabled:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_disable()


def timed(race: Race, repetitions: int) -> dict[str, Measurement]:
    """Words/s and peak memory, timed from the start of the second update to the start of the last one."""

    def seconds_of(name: str) -> float:
        trainer, clock = race.trainer(name)
        trainer.train()
        return clock.times[-1] - clock.times[1]

    words = sum(len(sample.tags) for batch in race.timed for sample in batch)
    contenders = {name: partial(seconds_of, name) for name in ("authors", "transformers", "sltk")}
    return take_turns(contenders, repetitions, words, race.model.device)


def loss_difference(race: Race) -> float:
    """Largest relative difference between the losses of sltk and of transformers' recipe, without dropout."""
    losses = {}
    for name in ("transformers", "sltk"):
        trainer, clock = race.trainer(name)
        trainer.train()
        losses[name] = clock.losses
    pairs = zip(losses["transformers"], losses["sltk"], strict=True)
    return max(abs(theirs - ours) / theirs for theirs, ours in pairs)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """All results, as printed by `--json`."""
    corpus = sentences(None, options.data)
    make_model(options.shape, folder / "base", corpus)
    race = Race(options, folder, corpus, options.updates + 2, dropout=0.1)
    device = race.model.device
    before = matmul_rates(device)
    measured = timed(race, options.repetitions)
    rates = Rates.best([before, matmul_rates(device)])
    tokens = sum(sample.tokens for batch in race.timed for sample in batch)
    # Two operations per weight in the forward pass, two for the gradient of the input; frozen weights have none.
    used = 4 * parameters_outside_embedding(race.model.network.backbone) * tokens
    padding = {"timed": padded(race.timed), "all": padded(race.batches)}
    del race
    difference = None
    if options.loss_updates:
        difference = loss_difference(Race(options, folder, corpus, options.loss_updates, dropout=0.0))
    return {
        "contenders": {name: each.to_json() for name, each in measured.items()},
        "rates": rates.to_json(used / statistics.median(measured["sltk"].seconds)),
        "loss_difference": difference,
        "padding": padding,
        "shape": options.shape,
        "machine": machine(device),
    }


def padded(batches: list[list[Sample]]) -> float:
    """The ratio of padded to packed length of batches."""
    longest = sum(len(batch) * max(sample.tokens for sample in batch) for batch in batches)
    return round(longest / sum(sample.tokens for batch in batches for sample in batch), 2)


def main() -> None:
    """Run the benchmark and print the table."""
    arguments = parser(__doc__)
    arguments.add_argument("--batch-size", type=int, default=16)
    arguments.add_argument("--updates", type=int, default=12, help="timed updates per repetition")
    arguments.add_argument(
        "--loss-updates", type=int, default=50, help="updates whose losses are compared; 0: none"
    )
    arguments.add_argument("--quantization", choices=["nf4"], help="load the frozen weights in 4 bits")
    arguments.add_argument(
        "--torch-products",
        action="store_true",
        help="multiply as torch does on any processor",
    )
    options = arguments.parse_args()
    if options.torch_products:
        onednn.is_faster = lambda: False
    with tempfile.TemporaryDirectory() as folder:
        result = measure(options, Path(folder))
    difference = result["loss_difference"]
    notes = [
        f"if padded, the timed batches are {result['padding']['timed']} times as long, all of an epoch "
        f"{result['padding']['all']} times",
        f"square matrix products: {of_rates(result['rates'])}",
        "losses were not compared"
        if difference is None
        else f"largest relative difference between losses: {difference:.1e}",
    ]
    report(result, f"Training, {options.shape}, batches of {options.batch_size}", notes, options.json)


if __name__ == "__main__":
    main()
