"""A model of type `instruct`: built, encoded, at work, saved and loaded.

sltk.json           labels, scheme, mask, components, base model, and what the spec says under `instruct:`
tokenizer/          as transformers saves it
adapter/, base/     as for a tagger (checkpoint.py); a base holds the output embedding too
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import torch

from ..._version import __version__
from ...components.backbones import precision
from ...components.slots import Backbone, Splitter
from ...data.datasets import Dataset
from ...files import atomic
from ...nn.backbone import BuildContext
from ...nn.batching import by_token_budget
from ...nn.language_model import LanguageModel
from ...runtime.progress import Progress
from ...schemes.labels import LabelSet
from ...spec.experiment import Experiment
from ...spec.instruct_settings import InstructSpec
from ...types import Prediction, Response, Sentence
from .. import saving
from . import generation
from .account import Score, ceiling, counts, labelled, types_of
from .automaton import Automaton
from .constraint import Walk
from .encoding import PromptEncoder, PromptSample, without_loss
from .generation import Generator, Request
from .prompt import Prompter, Shot, check_types, chosen_shots
from .prompt_batches import pack_prompts as collate
from .responses import parse
from .vocabulary import Vocabulary

__all__ = [
    "InstructModel", "build", "check", "collate", "encode", "extra_scores", "load", "predict", "save",
    "save_rest", "without_loss",
]  # fmt: skip


@dataclass
class InstructModel:
    """A language model with all that is needed to label by it."""

    type_name: ClassVar[str] = "instruct"
    network: LanguageModel
    labels: LabelSet
    prompter: Prompter
    encoder: PromptEncoder
    splitter: Splitter
    backbone: Backbone
    max_length: int | None
    seed: int
    device: torch.device

    @property
    def spec(self) -> InstructSpec:
        """What the spec says under `instruct:`."""
        return self.prompter.spec

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """What the model can write.

        Raises:
            ModelError: its subwords cannot be spelt, or not with these options.
        """
        return Vocabulary.of(self.network.backbone.tokenizer, self.spec.options.values())


def build(experiment: Experiment, training: Dataset) -> InstructModel:
    """The untrained model that the spec describes.

    Raises:
        SpecError: a type of the training data has no option, or there are too few examples to show.
        ModelError: the backbone cannot be had or cannot do what the spec asks.
    """
    spec = experiment.instruct
    assert spec is not None  # the spec was checked
    check_types((span.type for sentence in training for span in sentence.spans or ()), spec.options, "train")
    prompter = Prompter(spec, chosen_shots(training.sentences, spec, experiment.seed))
    device = precision.device()
    context = BuildContext(
        device=device,
        seed=experiment.seed,
        texts=lambda: _texts(training, prompter),
        gradient_checkpointing=experiment.trainer.gradient_checkpointing,
        language_model=True,
    )
    network = LanguageModel(experiment.backbone.build(context))
    generation.prove(network)
    labels = LabelSet.of_types(spec.options, experiment.scheme)
    model = _assembled(
        network, labels, prompter, experiment.splitter, experiment.backbone, experiment.max_length,
        experiment.seed, device,
    )  # fmt: skip
    _ = model.vocabulary if spec.constrained else None
    return model


def _texts(training: Dataset, prompter: Prompter) -> Iterator[str]:
    """The training text, for a tokenizer that is trained on the spot."""
    for sentence in training:
        yield f" {prompter.prompt(sentence.words)}"
        yield prompter.response(sentence.words, sentence.spans or ())


def _assembled(
    network: LanguageModel,
    labels: LabelSet,
    prompter: Prompter,
    splitter: Splitter,
    backbone: Backbone,
    max_length: int | None,
    seed: int,
    device: torch.device,
) -> InstructModel:
    """A model of its parts; the limit is the smaller one of what the spec and the backbone allow."""
    limits = [limit for limit in (max_length, network.backbone.max_length) if limit is not None]
    encoder = PromptEncoder(network.backbone.tokenizer, prompter, min(limits, default=None))
    return InstructModel(
        network.to(device), labels, prompter, encoder, splitter, backbone, max_length, seed, device
    )


def encode(dataset: Dataset, model: InstructModel, progress: Progress) -> list[PromptSample]:
    """The sentences as they are learned; none where the spec freezes every weight.

    Raises:
        DataError: a prompt with its response is longer than the model reads.
    """
    if not any(parameter.requires_grad for parameter in model.network.parameters()):
        progress.note("every weight is frozen: the model is asked as it is")
        return []
    samples = model.encoder.samples(dataset.sentences)
    subwords = sum(sample.tokens for sample in samples)
    mean = subwords / max(1, len(samples))
    progress.note(
        f"prompts and responses: {mean:.0f} subwords on the average, {len(model.encoder.prefix)} shared"
    )
    return samples


def check(dataset: Dataset, model: InstructModel) -> None:
    """See, before anything is trained, that every sentence can be asked about.

    Raises:
        SpecError: a type of span has no option.
        DataError: a prompt is longer than the model reads.
    """
    types = (span.type for sentence in dataset for span in sentence.spans or ())
    check_types(types, model.spec.options, dataset.name)
    model.encoder.prompts(dataset.sentences)


def predict(
    model: InstructModel, sentences: Iterable[Sentence], batch_tokens: int, window: int, progress: Progress
) -> Iterator[Prediction]:
    """Yield a prediction a sentence, in order, holding at most `window` sentences at a time.

    There is nothing for `progress` to hear: a prompt that is too long is an error.

    Raises:
        DataError: a prompt is longer than the model reads.
    """
    # Not kept from call to call: what the generator knows of the prompts' beginning is of the weights as they are now.
    generator = Generator(model.network, model.encoder.end, model.encoder.prefix, model.spec.sampling)
    waiting, number = iter(sentences), 0
    while chunk := list(islice(waiting, window)):
        yield from _chunk(model, generator, chunk, batch_tokens, number)
        number += len(chunk)


def _chunk(
    model: InstructModel,
    generator: Generator,
    sentences: Sequence[Sentence],
    batch_tokens: int,
    begun: int,
) -> list[Prediction]:
    """Predictions for sentences that are looked at together; `begun` were labelled before them."""
    asked = [number for number, sentence in enumerate(sentences) if sentence.words]
    prompts = model.encoder.prompts([sentences[number] for number in asked])
    samples = [PromptSample(ids, len(ids), n) for n, ids in zip(asked, prompts, strict=True)]
    found = [Prediction(sentence, ["O"] * len(sentence)) for sentence in sentences]
    for positions in by_token_budget([sample.tokens for sample in samples], batch_tokens):
        batch = [samples[position] for position in positions]
        clock = time.perf_counter()
        requests = [_request(model, each, sentences[each.number], begun) for each in batch]
        written = generator.generate(requests)
        seconds = (time.perf_counter() - clock) / len(batch)
        for sample, ids in zip(batch, written, strict=True):
            is_cut = ids[-1] != model.encoder.end
            response = Response(model.encoder.text(ids), is_cut, seconds=seconds)
            found[sample.number] = _read(model, found[sample.number], response)
    return found


def _request(model: InstructModel, sample: PromptSample, sentence: Sentence, begun: int) -> Request:
    limit = model.encoder.max_length
    room = model.spec.max_response
    room = room if limit is None else min(room, limit - sample.tokens)
    walk = None
    if model.spec.constrained:
        vocabulary = model.vocabulary
        options = model.spec.options.values()
        automaton = Automaton(sentence.words, options, vocabulary.spells, may_lead=vocabulary.may_lead)
        walk = Walk(automaton, vocabulary, model.encoder.end, room)
    return Request(sample.ids, room, model.seed * 1_000_003 + begun + sample.number, walk)


def _read(model: InstructModel, prediction: Prediction, response: Response) -> Prediction:
    spans, response = parse(response, prediction.words, types_of(model.spec), model.spec.parsing)
    return labelled(prediction, spans, response, model.labels.scheme)


def extra_scores(model: InstructModel, predictions: Sequence[Prediction], score: Score) -> dict[str, Any]:
    """What became of the responses, and the scores of perfect ones: `responses` of `metrics.json`."""
    best = ceiling(predictions, model.spec, model.labels.scheme, score)
    return {"responses": {**counts(predictions), "ceiling": best}}


def save(model: InstructModel, folder: Path, imports: Path) -> None:
    """Write the model to `folder`, which appears whole or not at all, with a copy of the folder `imports`."""
    with atomic.new_folder(folder) as partial:
        saving.save_backbone(model.network.backbone, model.backbone, partial)
        save_rest(model, partial, saving.base_of(model.network.backbone, model.backbone), imports)


def save_rest(model: InstructModel, folder: Path, base: dict[str, Any], imports: Path) -> None:
    """All but the weights: tokenizer, description, and a copy of `imports` if there is such a folder."""
    model.network.backbone.tokenizer.save_pretrained(folder / "tokenizer")
    saving.write_description(_description(model, base), folder, imports)


def _description(model: InstructModel, base: dict[str, Any]) -> dict[str, Any]:
    flags = model.network.backbone.flags
    return {
        "format": saving.FORMAT,
        "sltk": __version__,
        "type": "instruct",
        "scheme": model.labels.scheme,
        "labels": list(model.labels.tags),
        "mask": {"unmask": getattr(model.backbone, "unmask", None), "flags": "".join("01"[f] for f in flags)},
        "max_length": model.max_length,
        "seed": model.seed,
        "base": base,
        "components": {
            slot: getattr(model, slot).model_dump(mode="json") for slot in ("splitter", "backbone")
        },
        "instruct": model.spec.model_dump(mode="json"),
        "shots": [{"sentence": shot.sentence, "response": shot.response} for shot in model.prompter.shots],
    }


def load(folder: Path, *, merge: bool = True) -> InstructModel:
    """Load a model for prediction. With `merge`, adapters become part of the float32 weights they adapt.

    Raises:
        UsageError: no model there, or one of another version.
        ModelError: its base model cannot be had, or is another than it was trained on.
    """
    description = saving.describe(folder)
    device = precision.device()
    context = BuildContext(device=device, seed=0, saved=folder, base=description["base"], language_model=True)
    backbone, packed = saving.load_backbone(description, context)
    if merge and saving.is_mergeable(packed):
        packed.model = packed.model.merge_and_unload()  # type: ignore[operator]
    network = LanguageModel(packed).eval()
    generation.prove(network)
    prompter = Prompter(
        InstructSpec.model_validate(description["instruct"]),
        tuple(Shot(**shot) for shot in description["shots"]),
    )
    return _assembled(
        network, LabelSet(tuple(description["labels"]), description["scheme"]), prompter,
        Splitter.model_validate(description["components"]["splitter"]), backbone,
        description["max_length"], description["seed"], device,
    )  # fmt: skip
