"""Which types each corpus of `concat` annotates, and whether its `labels` name types that it has.

What `annotates` says by default depends on the data: in train, the types that occur in a corpus; in other splits, those
of the corpus of the same name in train, or all.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..components.readers.concat import REST, ConcatReader, Corpus
from ..errors import Problem, SpecError, nearest
from ..files.opening import is_stream
from ..runtime import progress
from ..schemes import OUTSIDE
from .corpora import own_annotation
from .sentence_stream import SentenceStream

if TYPE_CHECKING:
    from ..spec.data_settings import DataSpec

_SHOWN = 20


@dataclass(frozen=True)
class _Source:
    """A corpus in one split, and the labels of its sentences."""

    place: str
    """Its key in the spec."""
    corpus: Corpus
    labels: frozenset[str]
    """Its own names of types or plain tags that occur."""

    @property
    def types(self) -> frozenset[str]:
        """The types that occur, by their names in the model."""
        return frozenset(map(self.corpus.label_of, self.labels)) - {OUTSIDE}

    @property
    def is_whole(self) -> bool:
        """Whether all of it is read, so that a label that does not occur is a mistake."""
        return self.corpus.reader.limit is None


def resolved(data: DataSpec, names: Sequence[str]) -> DataSpec:
    """The data with `annotates` for each corpus of some splits, and of train if others depend on it.

    Raises:
        DataError: see `to_dataset`.
        SpecError: `labels` names a label that a corpus does not have; or `annotates` names a type that no corpus has,
            or lacks one that occurs.
    """
    if not any(_sources(data, name) for name in names):
        return data
    is_checked = "train" in names  # otherwise training has checked it, and rare labels may be absent here
    train = {}
    if is_checked or _depends_on_train(data, names):
        train = {source.corpus.name: source for source in _observed(data, "train")}
    problems: list[Problem] = []
    notes: list[str] = []
    readers = {}
    for name in names:
        sources = list(train.values()) if name == "train" else list(_observed(data, name))
        if not sources:
            continue
        for source in sources if is_checked else ():
            problems += _problems(source, train)
        reader: ConcatReader = getattr(data, name)
        annotates = [_annotates(source, train) for source in sources]
        changed = [
            source.corpus.model_copy(update={"annotates": types})
            for source, types in zip(sources, annotates, strict=True)
        ]
        readers[name] = reader.model_copy(update={"sources": changed})
        notes += [_assumption(name, *each, train) for each in zip(sources, annotates, strict=True)]
    if problems:
        raise SpecError(problems)
    for note in filter(None, notes):
        progress.current().note(note)
    return data.model_copy(update=readers)


def _sources(data: DataSpec, name: str) -> list[Corpus]:
    reader = getattr(data, name, None)
    return reader.sources if isinstance(reader, ConcatReader) else []


def _depends_on_train(data: DataSpec, names: Sequence[str]) -> bool:
    known = {corpus.name for corpus in _sources(data, "train")}
    return any(
        corpus.annotates is None and corpus.name in known for name in names for corpus in _sources(data, name)
    )


def _observed(data: DataSpec, name: str) -> Iterator[_Source]:
    for number, corpus in enumerate(_sources(data, name)):
        if any(is_stream(path) for _, path in corpus.reader.paths()):
            message = (
                f"corpus `{corpus.name}` is read several times, which a pipe cannot be: write it to a file"
            )
            raise SpecError(Problem(message, path=f"data.{name}.sources.{number}.reader"))
        labels: set[str] = set()
        for raw in SentenceStream(corpus.reader).chunks():
            for sentence in own_annotation(raw)[0]:
                labels.update(sentence.tags or ())
                labels.update(span.type for span in sentence.spans or ())
        yield _Source(f"data.{name}.sources.{number}", corpus, frozenset(labels) - {OUTSIDE})


def _annotates(source: _Source, train: dict[str, _Source]) -> list[str] | str:
    """What a corpus annotates: a list of types, or `all`."""
    if source.corpus.annotates is not None:
        return source.corpus.annotates
    model = train.get(source.corpus.name)
    if model is None:
        return "all"
    if model is source:
        return sorted(source.types)
    same = _annotates(model, train)
    return same if isinstance(same, str) else sorted({*same, *source.types})


def _assumption(split: str, source: _Source, annotates: list[str] | str, train: dict[str, _Source]) -> str:
    """What is assumed if `annotates` does not say what a corpus annotates; empty if it does."""
    if source.corpus.annotates is not None:
        return ""
    if isinstance(annotates, str):
        types = "all types"
        reason = "as in train" if source.corpus.name in train else "train has no corpus of this name"
    else:
        types = ", ".join(annotates) or "no type"
        reason = "the types that occur in it" if split == "train" else "as in train"
    about = f"{split}: corpus `{source.corpus.name}` is taken to annotate {types}"
    return f"{about} ({reason}); `annotates` can say otherwise"


def _problems(source: _Source, train: dict[str, _Source]) -> Iterator[Problem]:
    model = train.get(source.corpus.name)
    if source.is_whole and (model is None or model.is_whole):
        yield from _unknown_labels(source, source.labels if model is None else source.labels | model.labels)
    annotates = source.corpus.annotates
    if model is source and source.is_whole and not source.types and annotates is None:
        yield _nothing_left(source)
    if not isinstance(annotates, list):
        return
    place, name = f"{source.place}.annotates", source.corpus.name
    for missing in sorted(source.types - set(annotates)):
        message = f"corpus `{name}` has spans of `{missing}`, which `annotates` does not list"
        own = ", ".join(
            f"{label}: O" for label in sorted(source.labels) if source.corpus.label_of(label) == missing
        )
        advice = f"add it, or leave these spans out with `labels: {{{own}}}`"
        yield Problem(message, path=place, notes=(advice,))
    known = source.types.union(*(other.types for other in train.values()))
    if train and all(other.is_whole for other in train.values()):
        for number, unknown in enumerate(annotates):
            if unknown not in known:
                message = f"`annotates` names `{unknown}`, a type that no corpus of train has"
                yield Problem(
                    message,
                    path=f"{place}.{number}",
                    suggestion=nearest(unknown, known),
                    notes=(_listed(known),),
                )


def _unknown_labels(source: _Source, known: frozenset[str]) -> Iterator[Problem]:
    for label in source.corpus.labels or {}:
        if label in known or label == REST:
            continue
        message = f"`labels` renames `{label}`, a label that corpus `{source.corpus.name}` does not have"
        notes = [_listed(known)]
        if label[1:2] == "-" and label[2:] in known:
            notes.append(f"labels are types, without the letters of tags: `{label[2:]}`")
        place = f"{source.place}.labels.{label}"
        near = nearest(label, known)
        yield Problem(message, path=place, suggestion=near, notes=tuple(notes), at_key=True)


def _nothing_left(source: _Source) -> Problem:
    message = f"corpus `{source.corpus.name}` has no span that `labels` keeps"
    if not source.labels:
        message = f"corpus `{source.corpus.name}` has no span"
    advice = "`annotates` says which types its sentences are known not to have"
    return Problem(
        message, path=source.place, notes=(*([_listed(source.labels)] if source.labels else []), advice)
    )


def _listed(labels: frozenset[str]) -> str:
    shown = sorted(labels)[:_SHOWN]
    more = f", … ({len(labels)} in all)" if len(labels) > _SHOWN else ""
    return f"there are: {', '.join(shown) or 'none'}{more}"
