"""`type: instruct`: build a model from a spec, encode its training data, label with it, save and load it.

The files of `model/` are those of a tagger (saving.py), except that there is no head, `base/` includes the output
embedding, and sltk.json has the key `instruct:` of the spec and the examples of the prompts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

from ...components.backbones import precision as devices
from ...data.datasets import Dataset
from ...decoding import Decisions
from ...errors import Problem, SpecError, UsageError
from ...nn.language_model import LanguageModel
from ...runtime.progress import Progress
from ...schemes import OUTSIDE
from ...schemes.labels import LabelSet
from ...spec.experiment import Experiment
from ...spec.instruct_settings import InstructSpec
from ...subwords.samples import by_token_budget
from ...types import PrecisionSetting, Prediction, Response, Sentence
from .. import saving
from ..backbone_files import build_backbone
from ..description import stored_values
from ..kinds import Apply
from ..saving import save
from . import generation
from .automaton import Automaton
from .constraint import ConstrainedResponse
from .encoding import PromptEncoder, PromptSample, without_loss
from .encoding import pack_prompts as collate
from .generation import Generator, Request
from .prompt import Prompter, Shot, check_types
from .responses import Score, ceiling, counts, read_response
from .shots import draw_shots, training_shots
from .vocabulary import Vocabulary

__all__ = [
    "HAS_EXTRA_SCORES", "InstructModel", "build", "check", "collate", "encode", "extra_scores", "load", "predict",
    "save", "without_loss",
]  # fmt: skip

HAS_EXTRA_SCORES = True


@dataclass(kw_only=True)
class InstructModel(saving.Model):
    """A language model that writes the spans of a sentence, with everything needed to use it."""

    type_name: ClassVar[str] = "instruct"
    network: LanguageModel
    prompter: Prompter
    seed: int
    encoder: PromptEncoder = field(init=False)

    def __post_init__(self) -> None:
        backbone = self.network.backbone
        limits = [limit for limit in (self.max_length, backbone.max_length) if limit is not None]
        self.encoder = PromptEncoder(backbone.tokenizer, self.prompter, min(limits, default=None))

    def settings(self) -> dict[str, Any]:
        """The settings of `instruct:`, and the examples of the prompts."""
        return {
            "type": self.type_name,
            "seed": self.seed,
            "instruct": self.spec.model_dump(mode="json"),
            "shots": [asdict(shot) for shot in self.prompter.shots],
        }

    @property
    def spec(self) -> InstructSpec:
        """The settings of `instruct:`."""
        return self.prompter.spec

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The subwords of the model as bytes.

        Raises:
            ModelError: the bytes of its subwords are not known, or the options cannot be written with them.
        """
        return Vocabulary.of(self.network.backbone.tokenizer, self.spec.options.values())


def build(experiment: Experiment, training: Dataset) -> InstructModel:
    """Build the untrained model that the spec describes.

    Raises:
        SpecError: a type of the training data has no option, or there are fewer sentences than `shots`.
        ModelError: the backbone is not available, or cannot do what the spec requires.
    """
    spec = experiment.instruct
    assert spec is not None  # checked with the spec
    _check_types(training, spec, "train")
    prompter = Prompter(spec, draw_shots(training.sentences, spec, experiment.seed))
    backbone = build_backbone(experiment, lambda: _texts(training, prompter), language_model=True)
    network = LanguageModel(backbone)
    generation.prove(network)
    device = devices.device()
    model = InstructModel(
        network=network.to(device),
        labels=LabelSet.of_types(spec.options, experiment.scheme),
        prompter=prompter,
        splitter=experiment.splitter,
        backbone=experiment.backbone,
        max_length=experiment.max_length,
        seed=experiment.seed,
        device=device,
        trained_in={"setting": experiment.trainer.precision, "device": device.type},
    )
    if spec.constrained:
        _ = model.vocabulary  # raises its errors before training
    return model


def _texts(training: Dataset, prompter: Prompter) -> Iterator[str]:
    """The training text, for a tokenizer that is trained on it."""
    for sentence in training:
        yield f" {prompter.prompt(sentence.words)}"
        yield prompter.response(sentence.words, sentence.spans or ())


def _check_types(dataset: Dataset, spec: InstructSpec, name: str) -> None:
    check_types((span.type for sentence in dataset for span in sentence.spans or ()), spec.options, name)


def load(folder: Path, *, merge: bool = True, precision: PrecisionSetting | None = None) -> InstructModel:
    """Load a model for prediction. With `merge`, adapters become part of the float32 weights that they adapt.

    Raises:
        UsageError: the folder has no model, or one that another version of sltk wrote; or files are damaged.
        ModelError: its base model is not available, or differs from the one it was trained on; or the device does not
            have the `precision`.
    """
    description, backbone, fields = saving.load(folder, merge=merge, precision=precision, language_model=True)
    network = LanguageModel(backbone).eval()
    generation.prove(network)
    spec = stored_values(InstructSpec, folder, description["instruct"], "instruct")
    prompter = Prompter(spec, tuple(Shot(**shot) for shot in description["shots"]))
    return InstructModel(
        network=network.to(fields["device"]),
        prompter=prompter,
        seed=description["seed"],
        **fields,
    )


def encode(dataset: Dataset, model: InstructModel, progress: Progress) -> list[PromptSample]:
    """Encode prompts with their responses; the list is empty if the spec freezes every weight.

    Raises:
        DataError: a prompt with its response exceeds the model's maximum length.
        SpecError: sentences are partly labelled: a response lists all spans.
    """
    if any(sentence.unannotated(model.labels.types) for sentence in dataset):
        message = "a model that generates spans cannot be trained on partly labelled sentences"
        reason = "a response lists all spans of a sentence, and these corpora do not annotate all types"
        raise SpecError(Problem(message, path="type", notes=(reason, "use `type: tagger`")))
    if not any(parameter.requires_grad for parameter in model.network.parameters()):
        progress.note("every weight is frozen: the model is used without training")
        return []
    shots = training_shots(dataset.sentences, model.prompter, model.seed)
    samples = model.encoder.samples(dataset.sentences, shots)
    mean = sum(sample.tokens for sample in samples) / max(1, len(samples))
    sharing = "all prompts" if model.spec.draw == "once" else "prompts of prediction"
    progress.note(
        f"prompts with responses: {mean:.0f} subwords on average; "
        f"{sharing} share the first {len(model.encoder.prefix)}"
    )
    _report_missing(samples, shots, model, progress)
    return samples


def _report_missing(
    samples: Sequence[PromptSample],
    shots: Sequence[Sequence[Shot]],
    model: InstructModel,
    progress: Progress,
) -> None:
    """Note how many prompts show fewer examples than `shots`, by reason."""
    count, limit = model.spec.shots, model.encoder.max_length
    reasons = {
        f"more do not fit in {limit} subwords": [
            sample.shots < len(shots[sample.number]) for sample in samples
        ],
        "too few sentences have other words": [len(shots[sample.number]) < count for sample in samples],
    }
    for reason, cases in reasons.items():
        if any(cases):
            progress.note(
                f"{sum(cases)} of {len(samples)} training prompts show fewer than {count} examples: {reason}"
            )


def check(dataset: Dataset, model: InstructModel) -> None:
    """Check before training that every sentence can be labelled and scored.

    Raises:
        SpecError: a type of span has no option.
        DataError: a prompt exceeds the model's maximum length.
    """
    _check_types(dataset, model.spec, dataset.name)
    model.encoder.prompts(dataset.sentences)


def check_decisions(model: InstructModel, decisions: Decisions) -> None:
    """Check that nothing is asked for that needs the scores of tags.

    Raises:
        UsageError: it is.
    """
    if decisions != model.decisions:
        raise UsageError(
            "a model of `type: instruct` writes spans and gives no scores: "
            "there is nothing to constrain, to rank, or to leave out by score"
        )


def predict(
    model: InstructModel,
    sentences: Iterable[Sentence],
    batch_tokens: int,
    window: int,
    progress: Progress,
    decisions: Decisions | None = None,
    apply: Apply = map,
) -> Iterator[Prediction]:
    """Label sentences in order, with at most `window` of them in memory. `progress` receives no notes.

    There is nothing to decide: the model writes spans, without scores.

    Raises:
        DataError: a prompt exceeds the model's maximum length.
    """
    # Created for each call, since it caches keys and values that depend on the current weights.
    generator = Generator(model.network, model.encoder.end, model.encoder.prefix, model.spec.sampling)
    remaining, first = iter(sentences), 0
    while chunk := list(islice(remaining, window)):
        yield from _label(model, generator, chunk, batch_tokens, first, apply)
        first += len(chunk)


def _label(
    model: InstructModel,
    generator: Generator,
    sentences: Sequence[Sentence],
    batch_tokens: int,
    first: int,
    apply: Apply,
) -> list[Prediction]:
    """Label sentences, of which the first has the number `first` in the input."""
    numbers = [number for number, sentence in enumerate(sentences) if sentence.words]
    prompts = model.encoder.prompts([sentences[number] for number in numbers])
    scheme = model.labels.scheme
    predictions = [Prediction(sentence, [OUTSIDE] * len(sentence), scheme=scheme) for sentence in sentences]

    def respond(positions: Sequence[int]) -> list[Response]:
        start_time = time.perf_counter()
        batch = [(numbers[position], prompts[position]) for position in positions]
        requests = [_request(model, prompt, sentences[number], first + number) for number, prompt in batch]
        responses = generator.generate(requests)
        seconds = (time.perf_counter() - start_time) / len(batch)
        end = model.encoder.end
        return [Response(model.encoder.text(ids), ids[-1] != end, seconds=seconds) for ids in responses]

    batches = list(by_token_budget([len(ids) for ids in prompts], batch_tokens))
    for positions, responses in zip(batches, apply(respond, batches), strict=True):
        for position, response in zip(positions, responses, strict=True):
            number = numbers[position]
            predictions[number] = read_response(response, sentences[number], model.spec, scheme)
    return predictions


def _request(model: InstructModel, prompt: list[int], sentence: Sentence, number: int) -> Request:
    """The request for a sentence; its random seed depends only on the seed of the spec and its number."""
    limit, max_length = model.spec.max_response, model.encoder.max_length
    if max_length is not None:
        limit = min(limit, max_length - len(prompt))
    constraint = None
    if model.spec.constrained:
        vocabulary, options = model.vocabulary, model.spec.options.values()
        automaton = Automaton(sentence.words, options, vocabulary.spells, may_lead=vocabulary.may_lead)
        constraint = ConstrainedResponse(automaton, vocabulary, model.encoder.end, limit)
    return Request(prompt, limit, model.seed * 1_000_003 + number, constraint)


def extra_scores(model: InstructModel, predictions: Sequence[Prediction], score: Score) -> dict[str, Any]:
    """Counts of the responses, and the scores of perfect ones: `responses` of `metrics.json`."""
    best = ceiling(predictions, model.spec, model.labels.scheme, score)
    return {"responses": {**counts(predictions), "ceiling": best}}
