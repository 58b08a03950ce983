"""From readers to data sets in the model's scheme.

A reader gives sentences as its file has them; a `Dataset` has tags in one scheme, well-formed, with the spans
they stand for, and says what was repaired or left out on the way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import TYPE_CHECKING, Any, Protocol

from .. import schemes
from ..components.readers.holdout import HoldoutReader
from ..components.slots import Reader
from ..errors import DataError, Location, Problem, nearest
from ..files.text_lines import near
from ..schemes.labels import LabelSet
from ..schemes.names import ReaderScheme, Repair, SchemeName
from ..types import Sentence, Span, Unused

if TYPE_CHECKING:
    from ..spec.loading import Loaded

SPLITS = ("train", "validation", "test")


@dataclass(slots=True)
class Dataset:
    """Sentences with tags in `scheme`, and what became of their annotation on the way.

    Each sentence has `tags` and, unless the tags are plain, the `spans` they stand for.
    """

    sentences: list[Sentence]
    scheme: SchemeName
    read_scheme: SchemeName | None
    """The scheme the source was in; None where it annotates spans."""
    repaired: int = 0
    """Words whose tag was ill-formed where it stood and was read as another."""
    name: str = "data"

    @property
    def unused(self) -> list[Unused]:
        """What could not be used as it stands, in order."""
        return [unused for sentence in self.sentences for unused in sentence.unused]

    def __iter__(self) -> Iterator[Sentence]:
        return iter(self.sentences)

    def __len__(self) -> int:
        return len(self.sentences)


class DataSpec(Protocol):
    """The readers of the splits."""

    @property
    def train(self) -> Reader | None: ...  # noqa: D102
    @property
    def validation(self) -> Reader | None: ...  # noqa: D102
    @property
    def test(self) -> Reader | None: ...  # noqa: D102


@dataclass(frozen=True, slots=True)
class Source:
    """The sentences of one reader as they are in its file."""

    reader: Reader
    sentences: list[Sentence]
    scheme: SchemeName | None
    """The scheme of their tags, detected where it is not declared; None where they have spans, or nothing."""

    @property
    def annotated(self) -> bool:
        """Whether the sentences have tags or spans; all have, or none."""
        return _is_annotated(self.sentences[0])


def read(reader: Reader) -> Iterator[Sentence]:
    """The reader's sentences as they come, at most `limit`."""
    return islice(reader.read(), reader.limit)


def checked(reader: Reader) -> Iterator[Sentence]:
    """The reader's sentences as they come, of which all are annotated, or none.

    Raises:
        DataError: as the reader; or there are no sentences, or some have annotation and others none.
    """
    first: Sentence | None = None
    for sentence in read(reader):
        first = sentence if first is None else first
        if _is_annotated(sentence) != _is_annotated(first):
            bare = first if _is_annotated(sentence) else sentence
            raise _error("this sentence has no tags or spans, and others have", reader, bare)
        yield sentence
    if first is None:
        raise DataError.at(
            "no sentences: the file is empty, or holds nothing that this reader takes for one", _where(reader)
        )


def read_source(reader: Reader) -> Source:
    """All sentences of a reader, and the scheme their tags are in.

    Raises:
        DataError: as `checked`.
    """
    sentences = list(checked(reader))
    declared: ReaderScheme = getattr(reader, "scheme", "auto")
    return Source(reader, sentences, scheme_of(sentences, declared))


def example_source(reader: Reader) -> Source:
    """The reader's `example()`, whose scheme is its own, whatever the reader's options say of the file."""
    sentences = reader.example()
    return Source(reader, sentences, scheme_of(sentences, "auto"))


def scheme_of(sentences: Iterable[Sentence], declared: ReaderScheme) -> SchemeName | None:
    """The scheme of the tags; None where there are none, but spans or nothing. Holds one sentence at a time."""
    tagged = (sentence.tags for sentence in sentences if sentence.spans is None and sentence.tags is not None)
    first = next(tagged, None)
    if first is None:
        return None
    return schemes.detect(chain((first,), tagged)) if declared == "auto" else declared


def _is_annotated(sentence: Sentence) -> bool:
    return sentence.tags is not None or sentence.spans is not None


def load(reader: Reader, scheme: SchemeName, name: str = "data") -> Dataset:
    """Read all sentences and bring their tags into `scheme`.

    Raises:
        DataError: no sentences, a sentence without annotation, a tag that is not in the reader's scheme, or
            data that cannot be brought into `scheme`; names file and line.
    """
    return dataset(read_source(reader), scheme, name)


def missing_files(loaded: Loaded[Any], readers: Mapping[str, Reader | None]) -> list[Problem]:
    """A problem for each path of the readers where nothing is, at the key of the spec that says it."""
    paths = [each for place, reader in readers.items() if reader is not None for each in reader.paths(place)]
    return [
        loaded.problem(place, f"there is no `{path}`", notes=near(path))
        for place, path in paths
        if not path.exists()
    ]


def readers_of(spec: DataSpec) -> dict[str, Reader | None]:
    """The reader of each split, by the key that says it."""
    return {f"data.{split}": getattr(spec, split) for split in SPLITS}


def load_splits(data: DataSpec, scheme: SchemeName, names: Sequence[str] | None = None) -> dict[str, Dataset]:
    """The splits that the spec has, or those of them in `names`, with `holdout` taken out of `train`.

    Raises:
        DataError: as `load`; or the spec has no split of a name, or nothing to hold out from.
    """
    readers: dict[str, Reader] = {
        name: found for name in SPLITS if (found := getattr(data, name)) is not None
    }
    wanted = list(readers if names is None else names)
    for name in wanted:
        if name not in readers:
            about = f"there is no {name} data; this spec has {', '.join(readers) or 'none at all'}"
            raise DataError(Problem(about, suggestion=nearest(name, readers)))
    held_out = {name: reader for name, reader in readers.items() if isinstance(reader, HoldoutReader)}
    sources: dict[str, Source] = {}
    if held_out and ("train" in wanted or held_out.keys() & set(wanted)):
        sources = _divided(readers, held_out)
    return {name: dataset(sources.get(name) or read_source(readers[name]), scheme, name) for name in wanted}


def _divided(readers: dict[str, Reader], held_out: dict[str, HoldoutReader]) -> dict[str, Source]:
    """The training data and what is held out of it, before any scheme is converted."""
    if "train" not in readers or "train" in held_out:
        raise DataError(
            "`holdout` takes sentences out of train, and there is no train data to take them out of"
        )
    train = read_source(readers["train"])
    rest, parts = train.sentences, {}
    for name, reader in held_out.items():
        rest, taken = reader.divide(rest)
        parts[name] = replace(train, sentences=taken)
    return {"train": replace(train, sentences=rest), **parts}


def dataset(source: Source, scheme: SchemeName, name: str = "data") -> Dataset:
    """The same sentences with tags in `scheme`.

    Raises:
        DataError: as `load`.
    """
    if not source.annotated:
        message = f"reader `{source.reader.type_name}` finds no tags or spans here"
        raise _error(message, source.reader, source.sentences[0])
    if (scheme == "plain") != (source.scheme == "plain"):
        _check_plain(source, scheme)
    repair: Repair = getattr(source.reader, "repair", "conlleval")
    sentences, repaired = [], 0
    for sentence in source.sentences:
        try:
            converted, count = _converted(sentence, source.scheme, scheme, repair)
        except schemes.SchemeError as error:
            raise _tag_error(error, source, sentence) from error
        except ValueError as error:
            raise _error(str(error), source.reader, sentence) from error
        sentences.append(converted)
        repaired += count
    return Dataset(sentences, scheme, source.scheme, repaired, name)


def label_set(data: Dataset) -> LabelSet:
    """The tags that a model of this data has."""
    if data.scheme == "plain":
        return LabelSet.plain(_types(data))
    return LabelSet.of_types(_types(data), data.scheme)


def unseen_types(train: Dataset, other: Dataset) -> list[str]:
    """Types (or plain tags) of `other` that `train` lacks: a model of `train` cannot predict them."""
    return sorted(_types(other) - _types(train))


def _types(data: Dataset) -> set[str]:
    if data.scheme == "plain":
        return {tag for sentence in data for tag in sentence.tags or ()}
    return {span.type for sentence in data for span in sentence.spans or ()}


def _converted(
    sentence: Sentence, read_scheme: SchemeName | None, scheme: SchemeName, repair: Repair
) -> tuple[Sentence, int]:
    """The sentence with tags in `scheme`, and how many of its tags had to be repaired."""
    repaired, unused = 0, sentence.unused
    if sentence.spans is not None:
        _check_spans(sentence)
        spans, dropped = schemes.resolve_overlaps(sentence.spans)
        unused += tuple(
            _unused(span, sentence, "overlaps a longer span, or one before it") for span in dropped
        )
    elif scheme == "plain":
        return sentence, 0
    else:
        assert sentence.tags is not None
        assert read_scheme is not None
        decoded = schemes.decode(sentence.tags, read_scheme, repair)
        spans, repaired = decoded.spans, decoded.repaired
    if scheme == "IO":
        unused += tuple(_unused(span, sentence, _MERGED) for span in schemes.merged(spans))
    tags = schemes.encode(spans, len(sentence), scheme)
    return replace(sentence, tags=tags, spans=spans, unused=unused), repaired


_MERGED = "touches the span before it, of the same type: IO makes one of the two"


def _unused(span: Span, sentence: Sentence, reason: str) -> Unused:
    words = " ".join(sentence.words[span.start : span.end])
    return Unused(sentence.file or "(data)", sentence.line, f"`{words}` ({span.type}) {reason}", span.type)


def _where(reader: Reader) -> object:
    return getattr(reader, "path", None) or f"(reader {reader.type_name})"


def _error(message: str, reader: Reader, sentence: Sentence, *notes: str) -> DataError:
    return DataError.at(message, sentence.file or _where(reader), sentence.line, *notes)


def _check_plain(source: Source, scheme: SchemeName) -> None:
    """Plain tags make no spans, nor spans plain tags; tags of any scheme can be learnt as plain ones."""
    if scheme != "plain":
        first = next((sentence for sentence in source.sentences if sentence.tags), source.sentences[0])
        message = f"the tags are plain (`{(first.tags or [''])[0]}`), and cannot be brought into {scheme}"
        advice = "set `scheme: plain` in the spec to learn one plain tag a word"
        raise _error(message, source.reader, first, advice)
    if source.scheme is None:
        message = "the annotation is spans, of which there are no plain tags"
        raise _error(message, source.reader, source.sentences[0], "set `scheme: IOB2` in the spec")


def _check_spans(sentence: Sentence) -> None:
    for span in sentence.spans or ():
        if not 0 <= span.start < span.end <= len(sentence) or not span.type:
            place = f"the span from word {span.start} to {span.end}"
            if not span.type:
                raise ValueError(f"{place} has no type")
            raise ValueError(f"{place} is not inside a sentence of {len(sentence)} words")


def _tag_error(error: schemes.SchemeError, source: Source, sentence: Sentence) -> DataError:
    """The error at the line of the word where files have a word a line, else at the sentence."""
    word = sentence.words[error.index]
    line = sentence.word_lines[error.index] if sentence.word_lines else sentence.line
    known = {tag for other in source.sentences if other is not sentence for tag in other.tags or ()}
    tag = (sentence.tags or [])[error.index]
    suggestion = None if tag in known else nearest(tag, known)
    where = Location(str(sentence.file or _where(source.reader)), line)
    return DataError(Problem(f"word {error.index + 1}, `{word}`: {error}", where, suggestion=suggestion))
