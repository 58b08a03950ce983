"""The slots: what a component of each kind must do. Subclass one, register it, and name it in a spec.

    text → Reader → Sentence → Aligner → Encoding → Batch → Backbone → word vectors → Head → tags → Metric / Writer

A component holds its options as typed fields and imports nothing heavy: it imports torch inside `build`, so that
`sltk list` and `sltk check` start instantly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol

from pydantic import Field, model_validator

from ..decoding.decisions import Mode, SpanScore
from ..files import atomic
from ..files.data_files import data_files, name_within
from ..files.writable import check_file
from ..schemes.names import ReaderScheme, ReaderStyle, Repair, SchemeName
from ..types import Prediction, Sentence, Unused
from .examples import tagged_sentences
from .registry import Component

if TYPE_CHECKING:
    from torch import nn

    from ..nn.backbone import BuildContext, PackedBackbone
    from ..nn.softmax_head import HeadModule
    from ..runtime.jobs import Work
    from ..schemes.labels import LabelSet


class Reader(Component):
    """Reads sentences, with their annotation, from one source."""

    slot: ClassVar[str] = "reader"

    unwritten_defaults: ClassVar[Mapping[str, Any]] = {"limit_seed": None}

    limit: int | None = Field(default=None, ge=1, lt=2**63, description="read at most this many sentences")
    limit_seed: int | None = Field(
        default=None,
        ge=0,
        description="seed of the choice of `limit` sentences, of which a larger limit keeps those of a smaller one; "
        "unset: the first ones",
    )
    allow_empty: bool = Field(
        default=False, description="train or score on data without a single span, which is otherwise an error"
    )

    def read(self) -> Iterator[Sentence]:
        """Yield sentences in order. `limit` is applied by the caller.

        Raises:
            DataError: the source is missing or malformed; the message names file and line.
        """
        raise NotImplementedError

    @property
    def has_annotation(self) -> bool:
        """Whether the sentences have tags or spans, as far as the keys decide it."""
        return True

    def paths(self, place: str = "") -> Iterator[tuple[str, Path]]:
        """The paths that this reader and readers inside it read, with their keys below `place`: `readers.1.path`."""
        for key, value in self:
            at = f"{place}.{key}" if place else key
            if isinstance(value, Path):
                yield at, value
            for number, inner in enumerate(value if isinstance(value, list | tuple) else ()):
                if isinstance(inner, Reader):
                    yield from inner.paths(f"{at}.{number}")

    def with_inner(self, change: Callable[[Reader], Reader]) -> Reader:
        """The reader, with changed readers of its annotated sources; by default, it has none."""
        return self

    def annotation_notes(self, sentence: Sentence) -> Iterator[str]:
        """Where the reader looks for annotation, for the error that it finds none in `sentence` and the others."""
        yield from ()

    example_sentences: ClassVar[Callable[[], list[Sentence]]] = tagged_sentences
    """The sentences that `example` returns."""

    @classmethod
    def example(cls) -> list[Sentence]:
        """A few sentences as this reader would yield them; `--rehearse` uses them if a file is missing."""
        return cls.example_sentences()


class TaggedReader(Reader):
    """A reader whose sentences have one tag per word, in some scheme."""

    scheme: ReaderScheme = Field(
        default="auto", description="scheme of the tags; `auto` detects it from all of them"
    )
    repair: Repair = Field(
        default="conlleval",
        description="ill-formed tag sequences: a stray I- opens a span (conlleval), is dropped, or is an error",
    )
    tag_style: ReaderStyle = Field(
        default="auto",
        description="how tags are written: B-PER or B_PER (prefix), PER-B (suffix), B alone (letters), or PER beside O "
        "(types); `auto` detects it from all of them",
    )
    tag_names: list[str] | None = Field(
        default=None, min_length=1, description="names of tags that are numbers, that of the tag 0 first"
    )
    outside: str | None = Field(
        default=None,
        min_length=1,
        description="tag of words outside of spans, if it is not `O`: `0`, `_`, `NONE`",
    )
    missing: str | None = Field(
        default=None, min_length=1, description="tag of words whose tag is empty; unset: an error"
    )

    @model_validator(mode="after")
    def _style_fits_scheme(self) -> TaggedReader:
        if self.tag_style != "auto" and self.scheme == "plain":
            raise ValueError(
                f"`scheme: plain` takes tags as they are: `tag_style: {self.tag_style}` has no effect"
            )
        if self.tag_style != "auto" and self.scheme == "layers":
            raise ValueError(
                f"`scheme: layers` reads tags such as `B-ORG|B-LOC`: leave out `tag_style: {self.tag_style}`"
            )
        if self.tag_style == "types" and self.scheme not in ("auto", "IO"):
            raise ValueError(f"`tag_style: types` reads tags in the scheme IO, not {self.scheme}")
        return self


class FileReader(Reader):
    """A reader of one file, of all files of a folder, or of those that match a pattern."""

    path: Path = Field(
        description="a file, a folder, or a pattern such as `data/*.conll`; relative to the folder of the spec"
    )

    def read(self) -> Iterator[Sentence]:
        """Yield the sentences of all files in natural order, at most `limit`; see `read_file`.

        Raises:
            DataError: there is no file, or the files of a folder have several endings.
        """
        files = data_files(self.path)
        if files == [self.path]:
            yield from self.read_file()
            return
        rest = self.limit
        for file in files:
            reader = self.model_copy(update={"path": file, "limit": rest})
            name = name_within(file, self.path)
            for sentence in islice(reader.read_file(), rest):
                if sentence.document is not None:
                    sentence.document = f"{name}/{sentence.document}"
                yield sentence
                rest = None if rest is None else rest - 1
            if rest == 0:
                return

    def read_file(self) -> Iterator[Sentence]:
        """Yield the sentences of `path`, which is one file. A reader that takes folders itself overrides `read`.

        Raises:
            DataError: the file is missing or malformed; the message names file and line.
        """
        raise NotImplementedError


class Splitter(Component):
    """Splits text into words."""

    slot: ClassVar[str] = "splitter"

    def split(self, text: str) -> list[tuple[int, int]]:
        """Return the half-open offsets of the words, in order, without overlap and without empty words."""
        raise NotImplementedError


class Aligner(Component):
    """Pools the vectors of a word's subwords into one word vector."""

    slot: ClassVar[str] = "aligner"

    spacing: Literal["auto", "single", "source"] = Field(
        default="auto",
        description="what the model reads between words: a single space (single), or the source text (source); "
        "`auto` is `source` if the training data has its source text",
    )

    def build(self) -> nn.Module:
        """Build a module `(vectors_TH, first_W, last_W) -> vectors_WH`; first and last subword are inclusive."""
        raise NotImplementedError


class Backbone(Component):
    """Computes one vector per subword, with a pretrained model or a fresh one."""

    slot: ClassVar[str] = "backbone"

    def build(self, context: BuildContext) -> PackedBackbone:
        """Load or create the model, with the mask, quantization and LoRA of the fields."""
        raise NotImplementedError


class Head(Component):
    """Turns word vectors into tags."""

    slot: ClassVar[str] = "head"
    finds_overlaps: ClassVar[bool] = False
    """Whether the spans that it finds may overlap, so that its scheme is `layers`."""

    decode: Mode = Field(
        default="head",
        description="how tags are chosen: as the head was trained to (head), or the best ones that the scheme allows "
        "(constrained)",
    )
    span_score: SpanScore = Field(
        default="product",
        description="score of a span: the product or the minimum of the probabilities of its tags, or the probability "
        "of all of them together (marginal)",
    )

    def fitted(self, sentences: Sequence[Sentence], labels: LabelSet) -> Head:
        """A copy with what the head learns from the training data before training; by default, the head itself.

        The copy is what a model stores, so that `build` never needs the data.
        """
        return self

    def build(self, hidden_size: int, labels: LabelSet) -> HeadModule:
        """Build a `sltk.extend.HeadModule`, with `loss` and `decode` over the words of whole sentences."""
        raise NotImplementedError


class Tally(Protocol):
    """The counts of a metric, sentence by sentence, so that labelled sentences need not be in memory."""

    def add(self, gold: Sequence[str], predicted: Sequence[str]) -> None:
        """Count the tags of a sentence.

        Raises:
            SchemeError: a tag that the scheme does not have.
            ValueError: gold and predicted differ in length.
        """

    def scores(self) -> dict[str, Any]:
        """The scores of all sentences, as `Metric.compute`."""


class Metric(Component):
    """Compares predictions with gold annotation."""

    slot: ClassVar[str] = "metric"
    needs_spans: ClassVar[bool] = False
    """Whether the metric counts spans, which plain tags do not have."""

    @property
    def needs_probabilities(self) -> bool:
        """Whether the metric needs the probability of each tag, which instruction-tuned models do not give."""
        return False

    def score(self, predictions: Sequence[Prediction], scheme: SchemeName) -> dict[str, Any]:
        """Score labelled sentences whose gold and predicted tags are in `scheme`.

        Runs call this method. Implement `compute` if tags are enough; override this one to use words,
        probabilities or text as well. Both return the same kind of scores.
        """
        gold = [prediction.sentence.tags or () for prediction in predictions]
        return self.compute(gold, [prediction.tags for prediction in predictions], scheme)

    def compute(
        self, gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: SchemeName
    ) -> dict[str, Any]:
        """Return scores as fractions, JSON-ready, with a `signature` that names scheme, mode, library and version.

        Args:
            gold: the tags of each sentence.
            predicted: the predicted tags of each sentence.
            scheme: the scheme of both.
        """
        raise NotImplementedError

    def tally(self, scheme: SchemeName) -> Tally | None:
        """Counts for tags in `scheme`, sentence by sentence; None if the metric needs all sentences at once."""
        return None


class Writer(Component):
    """Writes labelled sentences."""

    slot: ClassVar[str] = "writer"

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """Yield pieces of the output text as predictions arrive, without holding them all in memory."""
        raise NotImplementedError

    def changes(self, prediction: Prediction) -> Iterator[Unused]:
        """Yield what the format cannot hold as it is, and is written with a change or not at all; it is counted."""
        yield from ()

    def check_place(self, path: Path) -> None:
        """Check that the output can be written to `path`, before anything is read or labelled.

        Raises:
            UsageError: the path is not writable.
        """
        check_file(path)

    def outputs(self, path: Path) -> list[Path]:
        """The files that `save` may replace."""
        return [path]

    def save(self, predictions: Iterable[Prediction], path: Path) -> None:
        """Write the output to `path`, completely or not at all.

        Override it if the output is several files; `render` then raises a `UsageError` that says so.
        """
        with atomic.open_text(path) as file:
            file.writelines(self.render(predictions))


class Executor(Component):
    """Executes the runs of a sweep."""

    slot: ClassVar[str] = "executor"

    def execute(self, work: Work) -> None:
        """Execute the runs of `work`, report the outcome of each, and return when no run is left."""
        raise NotImplementedError

    def for_shard(self) -> Executor:
        """The executor inside a shard that a scheduler has started; by default, this one."""
        return self
