"""Training speed of sltk, of the recipe of the paper's authors, and of token classification in transformers.

    python benchmarks/training.py                          decoder with 135M parameters
    python benchmarks/training.py --shape minilm           encoder with 6 blocks
    python benchmarks/training.py --precision bf16         sltk in bf16; transformers in both formats
    python benchmarks/training.py --same-products          the same library multiplies for all

All three train the same weights on the same batches of sentences, in one process, with the `Trainer` of transformers.
They run in turn, so that other load on the machine affects all of them. They differ as follows:

    authors        batches padded to their longest sentence, gradient checkpointing
    transformers   AutoModelForTokenClassification, DataCollatorForTokenClassification: padded batches
    transformers_bf16   with `--precision bf16`: the same with `bf16=True`, that is, autocast
    sltk           sentences packed without padding

The speed-up by packing is limited by the padding that it saves, so both are reported, and their quotient. It tells how
fast packed batches are in themselves if the same library multiplies for all: with `--same-products`, transformers'
linear layers use the products of sltk, and with `--torch-products`, sltk uses those of torch. `gpu.py` compares them on
a GPU.
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
    of_machine,
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
from sltk.errors import ModelError
from sltk.models import tagging
from sltk.nn import fused
from sltk.nn.batching import pack
from sltk.nn.fused import onednn
from sltk.nn.fused.linear_layer import FusedLinear
from sltk.runtime.progress import Progress
from sltk.schemes.detection import TagReading
from sltk.spec.experiment import Experiment
from sltk.spec.trainer_settings import TrainerSpec
from sltk.subwords.samples import IGNORED, Sample, without_loss
from sltk.training.epoch_batches import EpochBatches, Examples
from sltk.training.fit import make_trainer
from sltk.training.task import Task

LEARNING_RATE, SEED = 2e-4, 120


class SameBatchesTrainer(Trainer):
    """A Trainer that uses the batches of sltk."""

    def get_train_dataloader(self) -> DataLoader[Any]:
        size = self.args.per_device_train_batch_size
        batches = EpochBatches(len(self.train_dataset), size, SEED)
        return DataLoader(self.train_dataset, batch_sampler=batches, collate_fn=self.data_collator)


class StepRecorder:
    """Records the start time and the loss of each update of a trainer."""

    def __init__(self, trainer: Trainer) -> None:
        self.losses: list[float] = []
        self.times: list[float] = []
        self._step: Callable[..., torch.Tensor] = trainer.training_step
        trainer.training_step = self.training_step

    def training_step(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        self.times.append(time.perf_counter())
        loss = self._step(*args, **kwargs)
        self.losses.append(loss.item())
        return loss


def experiment(options: argparse.Namespace, base: Path, updates: int, dropout: float) -> Experiment:
    """The spec of the run, with the paper's LoRA settings and the mask of the model family."""
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
                "precision": options.precision,
                "batch_size": options.batch_size,
                "max_steps": updates,
                "learning_rate": LEARNING_RATE,
            },
        }
    )


def sltk_model(spec: Experiment, corpus: list[Sentence]) -> tuple[Any, list[Sample]]:
    """Return the model of sltk, and the encoded sentences that all contenders train on."""
    training = datasets.to_dataset(RawDataset(spec.data.train, corpus, TagReading("IOB2")), "IOB2")
    model = tagging.build(spec, training)
    return model, tagging.encode(training, model, Progress())


def transformers_model(options: argparse.Namespace, base: Path, model: Any, dropout: float) -> Any:
    """The token classifier of transformers with the weights, adapters and head of sltk's `model`."""
    from peft import LoraConfig, get_peft_model

    dtype = next(p.dtype for p in model.network.backbone.parameters() if p.is_floating_point())
    bits = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype, llm_int8_skip_modules=["score", "classifier"],
    )  # fmt: skip
    classifier = AutoModelForTokenClassification.from_pretrained(
        base,
        num_labels=len(model.labels.tags),
        dtype=dtype,
        quantization_config=bits if options.quantization else None,
    )
    targets = ["query", "value"] if isinstance(SHAPES[options.shape], BertConfig) else ["q_proj", "v_proj"]
    lora = LoraConfig(
        task_type="TOKEN_CLS", r=64, lora_alpha=16, lora_dropout=dropout, target_modules=targets
    )
    classifier = get_peft_model(classifier, lora).to(model.device)
    _share_frozen_weights(classifier, model.network.backbone.model)
    copy_trained_weights(classifier, model.network)
    if not dropout:
        disable_dropout(classifier)
    if options.same_products:
        use_products_of_sltk(classifier)
    return classifier


def use_products_of_sltk(model: Any) -> None:
    """Let the linear layers of a model multiply with the library that sltk uses in float32, and change nothing else."""
    for module in model.modules():
        if type(module) is torch.nn.Linear:
            module.__class__ = fused._fused_class(torch.nn.Linear, FusedLinear)


def _share_frozen_weights(classifier: Any, backbone: Any) -> None:
    """Let both models use the same frozen weights, so that peak memory includes them only once."""
    weights = dict(backbone.named_parameters())
    prefix = f"base_model.model.{classifier.base_model.model.base_model_prefix}."
    for name, parameter in list(classifier.named_parameters()):
        if not parameter.requires_grad and name.startswith(prefix):
            shared = weights["base_model.model." + name.removeprefix(prefix)]
            assert torch.equal(shared, parameter)
            module, _, leaf = name.rpartition(".")
            setattr(classifier.get_submodule(module), leaf, shared)


def copy_trained_weights(classifier: torch.nn.Module, tagger: torch.nn.Module) -> None:
    """Copy adapters and head of sltk's model; parameter names agree from the block on."""
    adapters = {_name_in_block(n): p for n, p in tagger.named_parameters() if "lora_" in n}
    weight, bias = (p for n, p in tagger.head.named_parameters())
    copied = 0
    for name, parameter in classifier.named_parameters():
        if "lora_" in name:
            parameter.data.copy_(adapters[_name_in_block(name)])
            copied += 1
        elif "modules_to_save" in name:
            parameter.data.copy_(weight if name.endswith("weight") else bias)
    assert copied == len(adapters)


def _name_in_block(name: str) -> str:
    return name[name.index("layer") :]


def disable_dropout(model: torch.nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        if hasattr(module, "attention_dropout") and isinstance(module.attention_dropout, float):
            module.attention_dropout = 0.0


def padded_trainer(
    model: Any, samples: list[Sample], tokenizer: Any, settings: TrainerSpec, *, bf16: bool
) -> Any:
    """A Trainer with padded batches of the subwords that sltk trains on; `bf16` is autocast, as in its examples."""
    arguments = TrainingArguments(
        output_dir=tempfile.gettempdir(), per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation, max_steps=settings.max_steps or -1,
        learning_rate=settings.learning_rate, adam_beta1=0.9, adam_beta2=0.95,
        adam_epsilon=1e-5, weight_decay=0.1, lr_scheduler_type="cosine", max_grad_norm=1.0, seed=SEED,
        save_strategy="no", report_to="none", disable_tqdm=True, dataloader_pin_memory=False,
        remove_unused_columns=False, bf16=bf16,
        use_cpu=all(p.device.type == "cpu" for p in model.parameters()),
    )  # fmt: skip
    collator = DataCollatorForTokenClassification(tokenizer)
    trainer = SameBatchesTrainer(
        model, arguments, train_dataset=[features(s) for s in samples], data_collator=collator
    )
    trainer.pop_callback(PrinterCallback)
    return trainer


def features(sample: Sample) -> dict[str, list[int]]:
    """One sentence in the format of transformers, with a label at the first subword of each word."""
    (window,) = sample.encoding.windows
    labels = [IGNORED] * len(window.ids)
    for position, tag in zip(window.first, sample.tags, strict=True):
        labels[position] = tag
    return {"input_ids": window.ids, "attention_mask": [1] * len(window.ids), "labels": labels}


class Comparison:
    """The three contenders, each of which can be trained for `updates` updates."""

    def __init__(
        self, options: argparse.Namespace, folder: Path, corpus: Any, updates: int, dropout: float
    ) -> None:
        self.options, self.folder = options, folder
        self.spec = experiment(options, folder / "base", updates, dropout)
        self.model, self.samples = sltk_model(self.spec, corpus)
        if not dropout:
            disable_dropout(self.model.network)
        self.tokenizer = AutoTokenizer.from_pretrained(folder / "base")
        self.classifier = transformers_model(options, folder / "base", self.model, dropout)
        # On a CPU, the state is the weights themselves.
        state = self.model.network.trainable_state()
        self.state = {name: value.clone() for name, value in state.items()}
        batches = EpochBatches(len(self.samples), options.batch_size, SEED)
        self.batches = [[self.samples[index] for index in batch] for batch in batches]
        if len(self.batches) < updates:
            raise SystemExit(f"{len(self.batches)} batches are too few for {updates} updates: use more data")
        self.timed_batches = self.batches[1 : updates - 1]

    def trainer(self, contender: str) -> tuple[Any, StepRecorder]:
        """Return a new trainer of a contender with the initial weights."""
        self.model.network.load_trainable_state(self.state)
        if contender == "sltk":
            examples = Examples(self.samples, pack, without_loss)
            task = Task(self.model.network, examples, self.model.device, SEED, None, str)
            trainer: Any = make_trainer(task, self.spec.trainer, self.folder / "run", Progress())
        else:
            copy_trained_weights(self.classifier, self.model.network)
            set_gradient_checkpointing(self.classifier, contender == "authors")
            for name in ("forward", "_original_forward", "_is_accelerate_prepared"):  # of an earlier trainer
                vars(self.classifier).pop(name, None)
            trainer = padded_trainer(
                self.classifier, self.samples, self.tokenizer, self.spec.trainer,
                bf16=contender == "transformers_bf16",
            )  # fmt: skip
        return trainer, StepRecorder(trainer)


def set_gradient_checkpointing(model: Any, enabled: bool) -> None:
    if enabled:
        model.enable_input_require_grads()
        model.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_disable()
        model.disable_input_require_grads()  # otherwise gradients of the embedding are still computed


def measure_contenders(comparison: Comparison, repetitions: int) -> dict[str, Measurement]:
    """Measure words per second and peak memory, from the start of the second update to the start of the last."""

    def seconds_of(name: str) -> float:
        trainer, recorder = comparison.trainer(name)
        trainer.train()
        return recorder.times[-1] - recorder.times[1]

    words = sum(len(sample.tags) for batch in comparison.timed_batches for sample in batch)
    names = ["authors", "transformers", "sltk"]
    if comparison.options.precision == "bf16":
        names.insert(2, "transformers_bf16")
    contenders = {name: partial(seconds_of, name) for name in names}
    return take_turns(contenders, repetitions, words, comparison.model.device)


def loss_difference(comparison: Comparison) -> float:
    """Return the largest relative difference between the losses of sltk and of transformers, without dropout."""
    losses = {}
    for name in ("transformers", "sltk"):
        trainer, recorder = comparison.trainer(name)
        trainer.train()
        losses[name] = recorder.losses
    pairs = zip(losses["transformers"], losses["sltk"], strict=True)
    return max(abs(expected - actual) / expected for expected, actual in pairs)


def measure(options: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Run the benchmark and return the output of `--json`."""
    corpus = sentences(None, options.data)
    make_model(options.shape, folder / "base", corpus)
    comparison = Comparison(options, folder, corpus, options.updates + 2, dropout=0.1)
    device = comparison.model.device
    first_rates = matmul_rates(device, options.precision, options.shape)
    measurements = measure_contenders(comparison, options.repetitions)
    rates = Rates.best([first_rates, matmul_rates(device, options.precision, options.shape)])
    tokens = sum(sample.tokens for batch in comparison.timed_batches for sample in batch)
    # The forward pass and the gradient of the input: two operations per weight each. Frozen weights need no gradient.
    operations = 4 * parameters_outside_embedding(comparison.model.network.backbone) * tokens
    padding = {
        "timed": padding_ratio(comparison.timed_batches),
        "all": padding_ratio(comparison.batches),
    }
    del comparison  # frees its memory
    difference = None
    if options.loss_updates:
        difference = loss_difference(Comparison(options, folder, corpus, options.loss_updates, dropout=0.0))
    return {
        "contenders": {name: measurement.to_json() for name, measurement in measurements.items()},
        "rates": rates.to_json(operations / statistics.median(measurements["sltk"].seconds)),
        "loss_difference": difference,
        "padding": padding,
        "speedup_to_padding": speedup_to_padding(measurements, padding["timed"]),
        "shape": options.shape,
        "precision": options.precision,
        "machine": machine(device),
    }


def padding_ratio(batches: list[list[Sample]]) -> float:
    """Return the length of padded batches divided by that of packed ones."""
    padded = sum(len(batch) * max(sample.tokens for sample in batch) for batch in batches)
    return round(padded / sum(sample.tokens for batch in batches for sample in batch), 2)


def speedup_to_padding(measurements: dict[str, Measurement], padding: float) -> dict[str, float]:
    """How many times faster sltk is than each other contender, divided by the padding that it saves."""
    sltk = measurements["sltk"].words_per_second
    return {
        name: round(sltk / measurement.words_per_second / padding, 3)
        for name, measurement in measurements.items()
        if name != "sltk"
    }


def main() -> None:
    """Run the benchmark and print a table."""
    arguments = parser(__doc__)
    arguments.add_argument("--batch-size", type=int, default=16, help="sentences per update (default: 16)")
    arguments.add_argument(
        "--updates", type=int, default=12, help="timed updates per measurement (default: 12)"
    )
    arguments.add_argument(
        "--loss-updates",
        type=int,
        default=50,
        help="updates whose losses are compared (default: 50; 0: none)",
    )
    arguments.add_argument("--quantization", choices=["nf4"], help="quantization of the frozen weights")
    arguments.add_argument(
        "--torch-products",
        action="store_true",
        help="use the matrix products of torch in sltk, even if others are faster",
    )
    arguments.add_argument(
        "--same-products",
        action="store_true",
        help="use the matrix products of sltk in transformers",
    )
    arguments.add_argument(
        "--precision",
        choices=["fp32", "bf16"],
        default="fp32",
        help="of sltk; with bf16, transformers trains in both (default: fp32)",
    )
    options = arguments.parse_args()
    if options.torch_products:
        onednn.is_faster = lambda: False
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = measure(options, Path(folder))
        except ModelError as error:  # this processor has no bfloat16
            raise SystemExit(str(error)) from None
    difference = result["loss_difference"]
    quotients = ", ".join(f"{name} {value}" for name, value in result["speedup_to_padding"].items())
    notes = [
        of_machine(result),
        f"speed ratio divided by padding: {quotients}",
        f"with padding, the timed batches are {result['padding']['timed']} times as long, and those of an epoch "
        f"{result['padding']['all']} times",
        f"square matrix products: {of_rates(result['rates'])}",
        "losses were not compared"
        if difference is None
        else f"largest relative difference between losses: {difference:.1e}",
    ]
    title = f"Training, {options.shape}, {options.precision}, batches of {options.batch_size}"
    report(result, title, notes, options.json)


if __name__ == "__main__":
    main()
