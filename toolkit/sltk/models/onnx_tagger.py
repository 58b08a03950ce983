"""`type: onnx`: label with a tagger that `sltk export --format onnx` wrote. Needs onnxruntime, and neither torch nor
transformers.

    model.onnx          the graph, with masks and head; model.onnx.data has its weights if they are large
    tokenizer/          the tokenizer of the run; the tokenizer.json beside it is for other programs
    transitions.json    scores of adjacent tags, with a CRF
    decoder.json        what makes spans of the output of the graph, if they may overlap
    sltk.json           everything else, as for other models; `onnx` says how the graph is called
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ..components.slots import Splitter
from ..decoding import Decisions, ScoreDecoder, TagDecoder, Transitions, check_scheme, stored_decoder
from ..errors import Problem, UsageError
from ..files.damage import damaged, open_regular, read_json, report_damage
from ..runtime.progress import Progress
from ..schemes.labels import LabelSet
from ..subwords.plain_tokenizer import PlainTokenizer, plain_backend
from ..subwords.samples import Sample
from ..subwords.tokenization import SubwordEncoder
from ..types import PrecisionSetting, Prediction, Sentence
from .batched_labelling import label
from .description import DESCRIPTION, read_description, stored_values
from .integrity import DECODER, TOKENIZER, TRANSITIONS
from .kinds import Apply
from .onnx_scorer import OnnxScorer

HAS_EXTRA_SCORES = False
_OF_ONE_SUBWORD = ("first_subword", "last_subword")


@dataclass(frozen=True, kw_only=True)
class OnnxTagger:
    """A tagger in an ONNX export, with everything needed to use it."""

    type_name: ClassVar[str] = "onnx"
    folder: Path
    components: dict[str, dict[str, Any]]
    labels: LabelSet
    decisions: Decisions
    encoder: SubwordEncoder
    transitions: Transitions | None
    stored: dict[str, Any] | None
    """The content of decoder.json, with a head whose spans may overlap."""
    scorer: OnnxScorer
    copies: int = 1
    """How often the graph reads each sentence."""

    def decoder(self, decisions: Decisions) -> ScoreDecoder:
        """What turns the output of the graph into predictions.

        Raises:
            UsageError: it cannot decide like this, or decoder.json is damaged.
        """
        return _decoder(self.folder, self.stored, self.labels, self.transitions, decisions)

    @cached_property
    def splitter(self) -> Splitter:
        """Splits texts into words. An export has no code, so a custom splitter must be imported before it is used."""
        return stored_values(Splitter, self.folder, self.components["splitter"], "components.splitter")


def load(folder: Path, *, merge: bool = True, precision: PrecisionSetting | None = None) -> OnnxTagger:
    """Load an ONNX export; `merge` has no effect, since it has no adapters.

    Raises:
        UsageError: onnxruntime is not installed, or files are missing or damaged; or a `precision` is asked for.
    """
    if precision not in (None, "auto"):
        about = (
            f"an ONNX export cannot compute in {precision}: its number format was fixed when it was exported"
        )
        note = "leave out the precision; `sltk export --quantize int8` writes a smaller and faster one"
        raise UsageError(Problem(about, notes=(note,)))
    description = read_description(folder)
    about, components = description["onnx"], description["components"]
    head = components["head"]
    labels = LabelSet.stored(description["labels"], description["scheme"])
    decisions = Decisions(head.get("decode", "head"), head.get("span_score", "product"))
    transitions = _transitions(folder, len(labels.tags))
    stored = read_json(folder / DECODER) if labels.scheme == "layers" else None
    columns = _decoder(folder, stored, labels, transitions, decisions).columns
    return OnnxTagger(
        folder=folder,
        components=components,
        labels=labels,
        decisions=decisions,
        encoder=SubwordEncoder(
            _tokenizer(folder, about["tokens"]),
            description["spacing"],
            description["max_length"],
            description["on_overflow"],
            description.get("document_context", 0),
            about["vectors"],
        ),
        transitions=transitions,
        stored=stored,
        scorer=OnnxScorer(folder / about["file"], about, columns, _takes_last(folder, description)),
        copies=about.get("copies", 1),
    )


def check_decisions(model: OnnxTagger, decisions: Decisions) -> None:
    """Check that the model can decide like this.

    Raises:
        UsageError: its tags are plain, and the decisions need a scheme of spans; or it chooses spans, and the decisions
            are about tags.
    """
    check_scheme(model.labels.scheme, decisions)
    model.decoder(decisions)


def predict(
    model: OnnxTagger,
    sentences: Iterable[Sentence],
    batch_tokens: int,
    window: int,
    progress: Progress,
    decisions: Decisions | None = None,
    apply: Apply = map,
) -> Iterator[Prediction]:
    """Label sentences in order, with at most `window` of them in memory, as `batched_labelling.label` describes."""
    decoder = model.decoder(decisions or model.decisions)

    def label_batch(labelled: Sequence[Sentence], parts: Sequence[Sequence[Sample]]) -> list[Prediction]:
        return decoder.predictions(labelled, np.concatenate(list(map(model.scorer.word_scores, parts))))

    sentence_tokens = max(1, batch_tokens // model.copies)
    return label(model, sentences, label_batch, sentence_tokens, window, progress, apply)


def extra_scores(model: OnnxTagger, predictions: Sequence[Prediction], score: Any) -> dict[str, Any]:
    """A tagger adds no scores to those of the metrics."""
    return {}


def _decoder(
    folder: Path,
    stored: dict[str, Any] | None,
    labels: LabelSet,
    transitions: Transitions | None,
    decisions: Decisions,
) -> ScoreDecoder:
    if stored is None:
        return TagDecoder(labels, transitions, decisions)
    with report_damage(folder / DECODER):
        decoder = stored_decoder(stored, labels)
    return replace(decoder, decisions=decisions)


def _takes_last(folder: Path, description: dict[str, Any]) -> bool:
    """Whether the scores of a word are those of its last subword, and not those of its first."""
    aligner = description["components"]["aligner"].get("type")
    if description["onnx"]["granularity"] == "subword" and aligner not in _OF_ONE_SUBWORD:
        about = f"`onnx.granularity`: the graph scores subwords, and the aligner is `{aligner}`"
        raise damaged(folder / DESCRIPTION, about)
    return bool(aligner == "last_subword")


def _tokenizer(folder: Path, tokens: dict[str, Any]) -> PlainTokenizer:
    from tokenizers import Tokenizer

    path = folder / TOKENIZER
    with report_damage(path), open_regular(path) as file:
        backend = plain_backend(Tokenizer.from_buffer(file.read()))
    ids = [*tokens["prefix"], *tokens["suffix"], tokens["unknown"]]
    unknown = [number for number in ids if backend.id_to_token(number) is None]
    if unknown:
        about = f"`onnx.tokens` has token {unknown[0]}, and {path.name} has no such token"
        raise damaged(folder / DESCRIPTION, about)
    return PlainTokenizer(backend, tokens["prefix"], tokens["suffix"], tokens["unknown"])


def _transitions(folder: Path, labels: int) -> Transitions | None:
    """The transitions of a CRF; None without one."""
    path = folder / TRANSITIONS
    if not path.exists():
        return None
    values = read_json(path)
    with report_damage(path):
        transitions = Transitions.of_values(values)
        parts = (transitions.start_L, transitions.pairs_LL, transitions.end_L)
    if not all(np.isfinite(part).all() for part in parts):
        raise damaged(path, "its scores are not finite numbers")
    shapes = [part.shape for part in parts]
    if shapes != [(labels,), (labels, labels), (labels,)]:
        raise damaged(path, f"its scores have the shapes {shapes}, and there are {labels} labels")
    return transitions
