"""Training on a GPU: NF4 LoRA of a 7B shape, and full fine-tuning of a large encoder, against other recipes."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any
from unittest import mock

import torch
from accelerate import init_empty_weights
from transformers import (
    AutoModelForTokenClassification,
    BertConfig,
    LlamaConfig,
    LlamaForTokenClassification,
    PretrainedConfig,
)

import nf4
from gpu_run import NotMeasuredError, Run, attempt, measure_trainer
from shared import SHAPES, parameters_outside_embedding, sentences
from sltk import Sentence
from sltk.components.backbones import building
from sltk.data import datasets
from sltk.data.raw import RawDataset
from sltk.models import tagging
from sltk.nn.batching import pack
from sltk.runtime.progress import Progress
from sltk.schemes.detection import TagReading
from sltk.spec.experiment import Experiment
from sltk.spec.trainer_settings import TrainerSpec
from sltk.subwords.samples import Sample, without_loss
from sltk.training.epoch_batches import EpochBatches, Examples
from sltk.training.fit import Saving, Task, make_trainer
from training import (
    SEED,
    StepRecorder,
    copy_trained_weights,
    disable_dropout,
    padded_trainer,
    set_gradient_checkpointing,
)

LORA = {"r": 64, "alpha": 16, "dropout": 0.1, "target_modules": ["q_proj", "v_proj"]}
MICRO_BATCHES = (384, 1024, 2048, 4096, 8192)


def build(
    run: Run, config: PretrainedConfig, corpus: Sequence[Sentence], **backbone: Any
) -> tuple[Any, list[Sample]]:
    """Build the tagger of sltk with random weights of this shape; return the encoded sentences too."""
    settings = {key: value for key, value in config.to_diff_dict().items() if key in _SHAPE_KEYS}
    spec = Experiment.model_validate(
        {
            "name": "gpu", "seed": SEED, "data": {"train": {"type": "grammar"}},
            "backbone": {
                "init": "random",
                "config": {"model_type": config.model_type, "pad_token_id": 0, **settings},
                "tokenizer": {"type": "train", "vocab_size": 2000 if run.is_tiny else 6000},
                **backbone,
            },
            "trainer": {"gradient_checkpointing": False},
        }
    )  # fmt: skip
    training = datasets.to_dataset(RawDataset(spec.data.train, list(corpus), TagReading("IOB2")), "IOB2")
    model = tagging.build(spec, training)
    return model, tagging.encode(training, model, Progress())


_SHAPE_KEYS = {
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
    "vocab_size", "max_position_embeddings", "attention_probs_dropout_prob", "hidden_dropout_prob",
}  # fmt: skip


def updates_of(samples: Sequence[Sample], settings: TrainerSpec) -> list[list[Sample]]:
    """The samples of each update: every trainer here takes the batches of sltk."""
    batches = list(EpochBatches(len(samples), settings.batch_size, SEED))
    count, each = settings.max_steps or 1, settings.gradient_accumulation
    if len(batches) < count * each:
        raise NotMeasuredError(f"{len(samples)} sentences are too few for {count} updates")
    groups = [batches[start : start + each] for start in range(0, count * each, each)]
    return [[samples[position] for batch in group for position in batch] for group in groups]


def sltk_trainer(run: Run, model: Any, samples: list[Sample], settings: TrainerSpec) -> Any:
    """The Trainer of sltk."""
    task = Task(model.network, Examples(samples, pack, without_loss), model.device, SEED, None, str)
    trainer = make_trainer(task, settings, run.folder / "checkpoints", Progress())
    trainer.remove_callback(Saving)  # checkpoints are not what is compared
    return trainer


class Lora:
    """An NF4 model with adapters, in sltk and as token classifier of transformers, with the same frozen weights."""

    def __init__(self, run: Run) -> None:
        config: Any = copy.deepcopy(SHAPES["tiny" if run.is_tiny else "decoder-7b"])
        dtype = torch.bfloat16 if run.is_gpu else torch.float32
        self.run = run
        base = nf4.random_model(config, run.device, dtype)
        twin = nf4.twin(base)
        # transformers quantizes only what it reads from files.
        with mock.patch.object(building, "load_shared_weights", return_value=base):
            self.model, self.samples = build(
                run, config, sentences(16 if run.is_tiny else 2048, None),
                type="decoder", unmask="none", quantization={"type": "nf4"}, lora=LORA,
            )  # fmt: skip
        self.classifier = _classifier(config, twin, self.model)
        # On a CPU, the state is the weights themselves.
        state = self.model.network.trainable_state()
        self.state = {name: value.clone() for name, value in state.items()}
        self.operations = 4 * _weights(config)
        """Per subword: forward and gradient of the input, two per frozen weight each."""

    def settings(self, **changes: Any) -> TrainerSpec:
        """The settings of the recipes: 4 batches of 16 per update."""
        tiny = {"batch_size": 2, "gradient_accumulation": 2, "max_steps": 2}
        full = {"batch_size": 16, "gradient_accumulation": 4, "max_steps": 8}
        return TrainerSpec.model_validate({**(tiny if self.run.is_tiny else full), **changes})

    def measure(self, contender: str, settings: TrainerSpec, checkpointing: bool) -> dict[str, Any]:
        """Train a contender from the initial weights."""
        self.run.require(20 if self.run.is_gpu else 1)
        self.model.network.load_trainable_state(self.state)
        if contender == "sltk":
            _set_checkpointing(self.model.network.backbone.model, checkpointing)
            trainer = sltk_trainer(self.run, self.model, self.samples, settings)
        else:
            copy_trained_weights(self.classifier, self.model.network)
            set_gradient_checkpointing(self.classifier, checkpointing)
            tokenizer = self.model.network.backbone.tokenizer
            trainer = padded_trainer(self.classifier, self.samples, tokenizer, settings, bf16=self.run.is_gpu)
        return measure_trainer(self.run, trainer, updates_of(self.samples, settings), self.operations)

    def loss_difference(self) -> float:
        """The relative difference between the losses of sltk and transformers on one batch, without dropout."""
        disable_dropout(self.model.network)
        disable_dropout(self.classifier)
        settings = self.settings(max_steps=1, gradient_accumulation=1)
        losses = []
        for contender in ("sltk", "transformers"):
            recorded: list[float] = []
            self._record(contender, settings, recorded)
            losses.append(recorded[0])
        return abs(losses[0] - losses[1]) / losses[1]

    def _record(self, contender: str, settings: TrainerSpec, losses: list[float]) -> None:
        self.model.network.load_trainable_state(self.state)
        copy_trained_weights(self.classifier, self.model.network)
        if contender == "sltk":
            trainer = sltk_trainer(self.run, self.model, self.samples, settings)
        else:
            tokenizer = self.model.network.backbone.tokenizer
            trainer = padded_trainer(self.classifier, self.samples, tokenizer, settings, bf16=self.run.is_gpu)
        recorder = StepRecorder(trainer)
        trainer.train()
        losses += recorder.losses


def _classifier(config: LlamaConfig, base: Any, model: Any) -> Any:
    """The token classifier of transformers around a base model, with the adapters and the head of sltk's model."""
    from peft import LoraConfig, get_peft_model

    config = copy.deepcopy(config)
    config.num_labels, config.use_cache = len(model.labels.tags), False
    with init_empty_weights(include_buffers=False):
        classifier: Any = LlamaForTokenClassification(config)
    classifier.model = base
    base.set_attn_implementation("sdpa")
    classifier.score = torch.nn.Linear(config.hidden_size, config.num_labels)
    classifier.is_loaded_in_4bit = True  # peft asks
    lora = LoraConfig(
        task_type="TOKEN_CLS", r=LORA["r"], lora_alpha=LORA["alpha"], lora_dropout=LORA["dropout"],
        target_modules=LORA["target_modules"],
    )  # fmt: skip
    adapted = get_peft_model(classifier, lora)
    for name, parameter in adapted.named_parameters():
        if parameter.requires_grad or name.startswith("base_model.model.score"):
            parameter.data = parameter.data.to(model.device)
    copy_trained_weights(adapted, model.network)
    return adapted


def _weights(config: PretrainedConfig) -> int:
    """Number of weights that each subword is multiplied by."""
    with torch.device("meta"):
        from transformers import AutoModel

        return parameters_outside_embedding(AutoModel.from_config(config))


def _set_checkpointing(model: Any, enabled: bool) -> None:
    """Switch gradient checkpointing of sltk's model on or off."""
    if enabled:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    else:
        model.gradient_checkpointing_disable()


RECIPES = {
    "authors": ("authors", True),
    "transformers": ("transformers", False),
    "sltk": ("sltk", False),
    "sltk_checkpointing": ("sltk", True),
}
"""Contenders of the section `lora`, and whether they checkpoint."""


def measure_lora(run: Run) -> dict[str, Any]:
    """The section `lora`: both recipes and sltk, then sltk with forward passes of several sizes."""
    run.require(60 if run.is_gpu else 1)
    result = run.partial
    result["loss_difference"] = Lora(run).loss_difference()
    run.release()
    lora = Lora(run)  # with dropout
    result |= {"operations_per_subword": lora.operations, "contenders": {}, "passes": []}
    result["replaced_modules"] = dict(Counter(_replacements(lora.model.network.backbone)))
    for name, (contender, checkpointing) in RECIPES.items():
        work = partial(lora.measure, contender, lora.settings(), checkpointing)
        result["contenders"][name] = attempt(work)
    large = {} if run.is_tiny else {"batch_size": 512, "gradient_accumulation": 1, "max_steps": 3}
    for tokens in (64,) if run.is_tiny else MICRO_BATCHES:
        for checkpointing in (False, True):
            settings = lora.settings(**large, micro_batch_tokens=tokens)
            measured = attempt(partial(lora.measure, "sltk", settings, checkpointing))
            result["passes"].append({"subwords": tokens, "checkpointing": checkpointing, **measured})
    return result


def _replacements(backbone: torch.nn.Module) -> Iterator[str]:
    """The classes of sltk that replace modules; a trial that fails on this device leaves the stock ones."""
    for module in backbone.modules():
        if type(module).__module__.startswith("sltk.nn.fused"):
            yield type(module).__mro__[1].__name__


def measure_encoder(run: Run) -> dict[str, Any]:
    """The section `encoder`: all weights of an encoder, in bf16, against the recipe of transformers' `run_ner`."""
    variants = {"as_configured": 0.1, "without_attention_dropout": 0.0}
    for name, dropout in list(variants.items())[: 1 if run.is_tiny else None]:
        for contender in ("run_ner", "sltk"):
            measured = attempt(partial(_fine_tune, run, contender, dropout))
            run.partial.setdefault(name, {})[contender] = measured
    return run.partial


def _fine_tune(run: Run, contender: str, attention_dropout: float) -> dict[str, Any]:
    run.require(30 if run.is_gpu else 1)
    config = copy.deepcopy(SHAPES["tiny-encoder"]) if run.is_tiny else BertConfig(
        hidden_size=1024, intermediate_size=4096, num_hidden_layers=24, num_attention_heads=16
    )  # fmt: skip
    config.attention_probs_dropout_prob = attention_dropout
    model, samples = build(
        run, config, sentences(32 if run.is_tiny else 512, None), type="encoder", unmask="all"
    )
    settings = TrainerSpec.model_validate(
        {"batch_size": 8 if run.is_tiny else 32, "max_steps": 3 if run.is_tiny else 12, "learning_rate": 2e-5}
    )
    if contender == "sltk":
        trainer = sltk_trainer(run, model, samples, settings)
    else:
        tokenizer = model.network.backbone.tokenizer
        config.num_labels, config.vocab_size = (
            len(model.labels.tags),
            model.network.backbone.model.config.vocab_size,
        )
        classifier = AutoModelForTokenClassification.from_config(config).to(run.device)
        del model
        trainer = padded_trainer(classifier, samples, tokenizer, settings, bf16=run.is_gpu)
    operations = 6 * _weights(config)
    return measure_trainer(run, trainer, updates_of(samples, settings), operations)
