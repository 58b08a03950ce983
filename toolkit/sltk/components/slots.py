"""The slots: what a component of each kind must do. Subclass one, register it, name it in a spec.

    text → Reader → Sentence → Aligner → Encoding → Batch → Backbone → word vectors → Head → tags → Metric / Writer

A component holds its options as typed fields and imports nothing heavy; what needs torch is imported inside the
method that builds it, so that `sltk list` and `sltk check` stay instant.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from ..schemes.names import ReaderScheme, Repair, SchemeName
from ..types import Prediction, Sentence
from .registry import Component

if TYPE_CHECKING:
    from torch import nn

    from ..nn.backbone import BuildContext, PackedBackbone
    from ..runtime.jobs import Work
    from ..schemes.labels import LabelSet


class Reader(Component):
    """Reads sentences, with their annotation, from one source."""

    slot: ClassVar[str] = "reader"

    limit: int | None = Field(default=None, ge=1, description="read at most this many sentences")

    def read(self) -> Iterator[Sentence]:
        """Yield sentences in order. `limit` is applied by the caller.

        Raises:
            DataError: the source is missing or malformed; names file and line.
        """
        raise NotImplementedError

    def paths(self, place: str = "") -> Iterator[tuple[str, Path]]:
        """What it reads, and what readers inside it read: each path with its key, `readers.1.path`, below `place`."""
        for key, value in self:
            at = f"{place}.{key}" if place else key
            if isinstance(value, Path):
                yield at, value
            for number, inner in enumerate(value if isinstance(value, list | tuple) else ()):
                if isinstance(inner, Reader):
                    yield from inner.paths(f"{at}.{number}")

    @classmethod
    def example(cls) -> list[Sentence]:
        """A few sentences as this reader would yield them: what `--rehearse` reads where a file is absent."""
        from .examples import tagged_sentences

        return tagged_sentences()


class TaggedReader(Reader):
    """A reader whose sentences carry one tag a word, in some scheme."""

    scheme: ReaderScheme = Field(
        default="auto", description="scheme of the tags; `auto` looks at all of them"
    )
    repair: Repair = Field(
        default="conlleval",
        description="ill-formed tag sequences: a stray I- opens a span (conlleval), is dropped, or is an error",
    )


class FileReader(Reader):
    """A reader of one file or folder."""

    path: Path = Field(description="the file; relative to the folder of the spec that says it")


class Splitter(Component):
    """Cuts text into words."""

    slot: ClassVar[str] = "splitter"

    def split(self, text: str) -> list[tuple[int, int]]:
        """Offsets of the words, half-open, in order, without overlap; never empty words."""
        raise NotImplementedError


class Aligner(Component):
    """Makes one vector of the vectors of a word's subwords."""

    slot: ClassVar[str] = "aligner"

    spacing: Literal["auto", "single", "source"] = Field(
        default="auto",
        description="what the model reads between words: a single space, or what the source text has; "
        "`auto`: the source text where the training data has it",
    )

    def build(self) -> nn.Module:
        """A module `(vectors_TH, first_W, last_W) -> vectors_WH`; `last` is the last subword itself."""
        raise NotImplementedError


class Backbone(Component):
    """Gives one vector a subword: a pretrained model, or a fresh one."""

    slot: ClassVar[str] = "backbone"

    def build(self, context: BuildContext) -> PackedBackbone:
        """Load or make the model, with mask, quantization and LoRA as the fields say."""
        raise NotImplementedError


class Head(Component):
    """Turns word vectors into tags."""

    slot: ClassVar[str] = "head"

    def build(self, hidden_size: int, labels: LabelSet) -> nn.Module:
        """A `sltk.nn.head.HeadModule`: `loss` and `decode` over the words of whole sentences."""
        raise NotImplementedError


class Metric(Component):
    """Compares predictions with gold annotation."""

    slot: ClassVar[str] = "metric"
    needs_spans: ClassVar[bool] = False
    """Whether it has nothing to count where tags are plain."""

    @property
    def needs_probabilities(self) -> bool:
        """Whether it asks how sure the model is of each word, which models that write spans do not say."""
        return False

    def score(self, predictions: Sequence[Prediction], scheme: SchemeName) -> dict[str, Any]:
        """Scores of labelled sentences, as `compute` gives them; their tags, gold and predicted, are in `scheme`.

        This is what runs call. Write `compute` where tags are enough, and this one where they are not: predictions
        have the words, their probabilities and the text too.
        """
        gold = [prediction.sentence.tags or () for prediction in predictions]
        return self.compute(gold, [prediction.tags for prediction in predictions], scheme)

    def compute(
        self, gold: Sequence[Sequence[str]], predicted: Sequence[Sequence[str]], scheme: SchemeName
    ) -> dict[str, Any]:
        """Scores as fractions, JSON-ready, with a `signature` that names scheme, mode, library and version.

        `gold` and `predicted` are tags in `scheme`, sentence by sentence.
        """
        raise NotImplementedError


class Writer(Component):
    """Writes labelled sentences."""

    slot: ClassVar[str] = "writer"

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """Yield pieces of the output text as predictions arrive; never holds them all."""
        raise NotImplementedError

    def check_place(self, path: Path) -> None:
        """See, before anything is read or labelled, that the output can be written to `path`.

        Raises:
            UsageError: it cannot.
        """
        from ..files.writable import check_file

        check_file(path)

    def save(self, predictions: Iterable[Prediction], path: Path) -> None:
        """Write the output to `path`, whole or not at all.

        Override it where the output is several files; `render` then says so with a `UsageError`.
        """
        from ..files import atomic

        with atomic.writing(path) as file:
            file.writelines(self.render(predictions))


class Executor(Component):
    """Runs the runs of a sweep."""

    slot: ClassVar[str] = "executor"

    def execute(self, work: Work) -> None:
        """Do the runs of `work`, and tell it what becomes of each; returns when none is left."""
        raise NotImplementedError

    def for_shard(self) -> Executor:
        """What runs one shard of the sweep, which a scheduler has started: this very executor."""
        return self
