"""From one format to another: the gold annotation of a reader, given to a writer as if it were predicted.

The source is read twice, once for the scheme of its tags and once for the writer, so that no more than a few
sentences are in memory. One that can be read only once, such as a pipe, is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from ..components.slots import Reader, Writer
from ..schemes.names import ReaderScheme, SchemeName
from ..types import Prediction, Sentence, Unused
from .datasets import Dataset, to_dataset
from .raw import RawDataset, detect_scheme, read_checked

AT_ONCE = 64
"""Sentences that are converted together: those that are read before the first of them is written."""
_SHOWN = 10


class Conversion:
    """The annotated sentences of a reader, in the scheme that is to be written.

    `repaired`, `unused` (the first few) and `unused_count` say what became of the annotation so far.
    """

    def __init__(self, reader: Reader, scheme: SchemeName | None = None) -> None:
        """`scheme` is that of the written tags; None keeps the source's own, which for spans is IOB2.

        Raises:
            DataError: as `sltk.data.read_source`.
        """
        self.reader = reader
        self.repaired, self.unused_count = 0, 0
        self.unused: list[Unused] = []
        self._held = None if _can_be_read_twice(reader) else list(read_checked(reader))
        declared: ReaderScheme = getattr(reader, "scheme", "auto")
        self.read_scheme = detect_scheme(self._sentences(), declared)
        self.scheme: SchemeName = scheme or self.read_scheme or "IOB2"

    def _sentences(self) -> Iterator[Sentence]:
        return read_checked(self.reader) if self._held is None else iter(self._held)

    def predictions(self) -> Iterator[Prediction]:
        """Predictions that are the gold annotation, as they are read.

        Raises:
            DataError: as `sltk.data.load`.
        """
        sentences = self._sentences()
        while some := list(islice(sentences, AT_ONCE)):
            source = RawDataset(self.reader, some, self.read_scheme)
            data = to_dataset(source, self.scheme)
            self._count(data)
            yield from _gold(source, data)

    def _count(self, data: Dataset) -> None:
        self.repaired += data.repaired
        self.unused_count += len(data.unused)
        self.unused += data.unused[: _SHOWN - len(self.unused)]


def convert(reader: Reader, writer: Writer, scheme: SchemeName | None = None) -> Iterator[str]:
    """The pieces of the output, as the source is read.

    Raises:
        DataError: as `Conversion`, before the first piece; or on the way, for tags that are not in the scheme.
    """
    return writer.render(Conversion(reader, scheme).predictions())


def _gold(source: RawDataset, data: Dataset) -> Iterator[Prediction]:
    """The gold annotation; the sentences themselves have none, so that it is not written twice.

    Overlapping spans are all there, for writers that can write them; `tags` hold those that tags can.
    """
    for raw, converted in zip(source.sentences, data, strict=True):
        bare = replace(converted, tags=None, spans=None)
        spans = raw.spans if raw.spans is not None else converted.spans
        yield Prediction(bare, list(converted.tags or ()), None, sorted(spans or ()))


def _can_be_read_twice(reader: Reader) -> bool:
    """Whether the source is no pipe: standard input, or a named one."""
    path = getattr(reader, "path", None)
    if not isinstance(path, Path) or path.is_file() or path.is_dir():
        return True
    return str(path) != "-" and not path.exists()
