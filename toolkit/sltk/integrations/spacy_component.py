"""The spaCy component `sltk`: entities or a span group from a trained model.

    nlp.add_pipe("sltk", config={"model": "runs/ner"})

spaCy finds the component by the entry point `spacy_factories` of this package, and imports this module only then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Literal

from ..decoding.decisions import Mode
from ..errors import UsageError
from ..runtime.optional_imports import import_optional
from .doc_annotation import register_extensions, set_entities, set_group
from .doc_words import sentences
from .model_reference import ModelReference

Language = import_optional("spacy.language", "the spaCy component `sltk`", "spacy").Language
ErrorHandler = Callable[[str, Any, list[Any], Exception], None]
_REFERENCE = "model.json"


class SltkComponent:
    """Labels the tokens of documents with a trained model, sentence by sentence.

    Args:
        name: the name of the component in the pipeline.
        model: a run directory, an exported model, or a name on the hub; the pipeline refers to it.
        target: `ents` sets `doc.ents`, `spans` sets `doc.spans[spans_key]`.
        spans_key: the span group.
        min_score: leave out spans with a lower score.
        batch_tokens: subwords per forward pass.
        decode: `head`, or `constrained` for tags that the scheme allows; None for what the model's head says.
        overwrite: whether a new entity replaces existing ones that it overlaps; otherwise those stay.

    Raises:
        InputError: there is no such model, it tags words rather than spans, or a value is out of range.
    """

    def __init__(
        self,
        name: str,
        model: str,
        target: Literal["ents", "spans"] = "ents",
        spans_key: str = "sltk",
        min_score: float = 0.0,
        batch_tokens: int = 4096,
        decode: Mode | None = None,
        overwrite: bool = False,
    ) -> None:
        if not 0 <= min_score <= 1:
            raise UsageError(f"`min_score` is {min_score:g}: expected a number from 0 to 1")
        if batch_tokens < 1:
            raise UsageError(f"`batch_tokens` is {batch_tokens}: expected a number from 1")
        self.name, self.target, self.spans_key = name, target, spans_key
        self.min_score, self.overwrite = min_score, overwrite
        self._error_handler: ErrorHandler = _raise
        self.model = ModelReference(model, batch_tokens, decode)
        if self.model.labeller.labels.scheme == "plain":
            raise UsageError(f"`{model}` gives each word a tag, and has no spans: spaCy entities need spans")
        register_extensions()

    @property
    def labels(self) -> tuple[str, ...]:
        """The types of the model."""
        return self.model.labeller.labels.types

    def __call__(self, doc: Any) -> Any:
        """Label one document."""
        return next(self._labelled([doc]))

    def pipe(self, stream: Iterable[Any], *, batch_size: int = 128) -> Iterator[Any]:
        """Label documents in batches: the sentences of `batch_size` documents fill the batches of the model."""
        documents = iter(stream)
        while batch := list(islice(documents, batch_size)):
            try:
                yield from self._labelled(batch)
            except Exception as error:
                self._error_handler(self.name, self, batch, error)

    def _labelled(self, docs: list[Any]) -> Iterator[Any]:
        parts = [sentences(doc) for doc in docs]
        predictions = iter(self.model.labeller.predict(part.words for doc in parts for part in doc))
        for doc, doc_parts in zip(docs, parts, strict=True):
            spans = [span for part in doc_parts for span in part.spans(doc, next(predictions))]
            if self.target == "ents" and self.model.labeller.labels.scheme == "layers":
                # The first of overlapping entities stays, and the others are listed in `doc._.sltk_left_out`.
                spans.sort(key=lambda pair: (pair[0].start - pair[0].end, pair[0].start, pair[0].label_))
            self._annotate(doc, [(span, score) for span, score in spans if self._is_sure(score)])
        yield from docs

    def _is_sure(self, score: float | None) -> bool:
        return score is None or score >= self.min_score

    def _annotate(self, doc: Any, spans: list[tuple[Any, float | None]]) -> None:
        if self.target == "ents":
            set_entities(doc, spans, overwrite=self.overwrite)
        else:
            set_group(doc, spans, self.spans_key)

    def score(self, examples: Iterable[Any], **_: Any) -> dict[str, Any]:
        """The scores of spaCy's scorer, for `nlp.evaluate`."""
        scorer = import_optional("spacy.scorer", "the spaCy component `sltk`", "spacy")
        if self.target == "ents":
            return dict(scorer.get_ner_prf(examples))
        key = self.spans_key
        options = {
            "getter": lambda doc, _: doc.spans.get(key, ()),
            "has_annotation": lambda doc: key in doc.spans,
        }
        return dict(scorer.Scorer.score_spans(examples, f"spans_{key}", allow_overlap=True, **options))

    def set_error_handler(self, error_handler: ErrorHandler) -> None:
        """Set the function that `pipe` calls with a batch that failed, instead of raising the error."""
        self._error_handler = error_handler

    def to_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> None:
        """Write which model this is; the model itself stays where it is."""
        Path(path).mkdir(parents=True, exist_ok=True)
        (Path(path) / _REFERENCE).write_bytes(self.to_bytes())

    def from_disk(self, path: str | Path, *, exclude: Iterable[str] = ()) -> SltkComponent:
        """Check that the loaded model is the one that the pipeline was saved with.

        Raises:
            ModelError: it is another model, or the pipeline is damaged.
        """
        return self.from_bytes((Path(path) / _REFERENCE).read_bytes())

    def to_bytes(self, *, exclude: Iterable[str] = ()) -> bytes:
        """The reference of `to_disk`."""
        return self.model.to_bytes()

    def from_bytes(self, content: bytes, *, exclude: Iterable[str] = ()) -> SltkComponent:
        """The check of `from_disk`."""
        self.model.check(content)
        return self


def _raise(name: str, component: Any, docs: list[Any], error: Exception) -> None:
    raise error


@Language.factory(  # type: ignore[untyped-decorator]
    "sltk",
    assigns=["doc.ents", "token.ent_iob", "token.ent_type", "doc.spans"],
    default_config={
        "target": "ents",
        "spans_key": "sltk",
        "min_score": 0.0,
        "batch_tokens": 4096,
        "decode": None,
        "overwrite": False,
    },
    default_score_weights={"ents_f": 1.0, "ents_p": 0.0, "ents_r": 0.0},
)
def create(
    nlp: Any,
    name: str,
    model: str,
    target: Literal["ents", "spans"],
    spans_key: str,
    min_score: float,
    batch_tokens: int,
    decode: Mode | None,
    overwrite: bool,
) -> SltkComponent:
    """Create the component: `nlp.add_pipe("sltk", config={"model": "runs/ner"})`; see `SltkComponent`."""
    return SltkComponent(name, model, target, spans_key, min_score, batch_tokens, decode, overwrite)
