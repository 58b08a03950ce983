"""Data sets of the `datasets` library: of the hub, or on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from ...errors import DataError, Location, Problem, UsageError, nearest
from ...types import Sentence
from ..registry import register
from ..slots import TaggedReader


@register.reader("huggingface")
class HuggingFaceReader(TaggedReader):
    """A data set of the Hugging Face hub, a parquet file or folder, or what `save_to_disk` wrote.

    Needs the optional extra: `pip install 'sltk[huggingface]'`.
    """

    name: str | None = Field(default=None, description="of the data set on the hub")
    path: Path | None = Field(
        default=None, description="parquet file, folder of them, or `save_to_disk` folder, instead of a name"
    )
    config: str | None = Field(default=None, description="configuration of the data set on the hub")
    revision: str | None = Field(default=None, description="commit, branch or tag on the hub")
    split: str = Field(default="train", description="which split")
    words_column: str = Field(default="tokens", description="column of word lists")
    tags_column: str = Field(
        default="tags", description="column of tag lists: names, or numbers of class labels"
    )
    text_column: str | None = Field(
        default=None,
        description="column of texts, read without annotation instead of words and tags; cut at white space",
    )

    @model_validator(mode="after")
    def _one_source(self) -> HuggingFaceReader:
        if (self.name is None) == (self.path is None):
            raise ValueError("give `name` (a data set on the hub) or `path` (one on disk)")
        return self

    def read(self) -> Iterator[Sentence]:
        """Yield a sentence a row; the line of a sentence is the number of its row, from 1.

        Raises:
            UsageError: the `datasets` library is not installed.
            DataError: the data set, a column or the names of the tags cannot be had.
        """
        found = self._dataset(_library())
        if self.text_column is not None:
            yield from self._texts(found, self.text_column)
            return
        for column in (self.words_column, self.tags_column):
            if column not in found.column_names:
                raise self._no_column(column, found.column_names)
        names = _label_names(found.features[self.tags_column])
        rows = found.select_columns([self.words_column, self.tags_column])
        for number, row in enumerate(rows, 1):
            words = self._list(row[self.words_column], self.words_column, number)
            if not all(isinstance(word, str) for word in words):
                raise self._bad_cell(self.words_column, words, "list of words", number)
            tags = [
                self._name(tag, names, number)
                for tag in self._list(row[self.tags_column], self.tags_column, number)
            ]
            if len(words) != len(tags):
                raise DataError.at(f"{len(words)} words but {len(tags)} tags", self._source, number)
            yield Sentence(words, tags, file=self._source, line=number)

    def _texts(self, found: Any, column: str) -> Iterator[Sentence]:
        """A sentence a row, of one column of texts."""
        if column not in found.column_names:
            raise self._no_column(column, found.column_names)
        for number, row in enumerate(found.select_columns([column]), 1):
            text = row[column]
            if not isinstance(text, str):
                raise self._bad_cell(column, text, "text", number)
            offsets = [found.span() for found in re.finditer(r"\S+", text)]
            words = [text[start:end] for start, end in offsets]
            yield Sentence(words, text=text, offsets=offsets, file=self._source, line=number)

    def _list(self, cell: Any, column: str, row: int) -> list[Any]:
        if not isinstance(cell, list):
            raise self._bad_cell(column, cell, "list", row)
        return cell

    def _bad_cell(self, column: str, cell: Any, wanted: str, row: int) -> DataError:
        return DataError.at(f"column `{column}` holds {cell!r:.40}, which is no {wanted}", self._source, row)

    @property
    def _source(self) -> str:
        return f"{self.path or self.name} [{self.split}]"

    def _dataset(self, datasets: Any) -> Any:
        try:
            if self.path is not None:
                return self._local(datasets, self.path)
            return datasets.load_dataset(self.name, self.config, split=self.split, revision=self.revision)
        except DataError:
            raise
        except Exception as error:  # the library raises many kinds, of its own and of others
            raise DataError.at(
                f"cannot load the data set: {error}",
                self._source,
                None,
                "data sets that are scripts load by `revision: refs/convert/parquet`, where the hub has it",
            ) from error

    def _local(self, datasets: Any, path: Path) -> Any:
        if not path.exists():
            raise DataError.at("no such file or folder", path)
        files = [path] if path.is_file() else sorted(path.rglob(f"{self.split}[-.]*parquet"))
        if files:
            tables = [datasets.Dataset(_table(file)) for file in files]
            return datasets.concatenate_datasets(tables)
        found = datasets.load_from_disk(str(path))
        if not isinstance(found, datasets.DatasetDict):
            return found
        if self.split not in found:
            raise DataError.at(f"no split `{self.split}`; there are: {', '.join(found)}", path)
        return found[self.split]

    def _no_column(self, column: str, known: list[str]) -> DataError:
        note = f"columns: {', '.join(known)}; choose with `words_column` and `tags_column`, or `text_column`"
        where = Location(self._source)
        return DataError(
            Problem(f"no column `{column}`", where, suggestion=nearest(column, known), notes=(note,))
        )

    def _name(self, tag: Any, names: list[str] | None, row: int) -> str:
        if isinstance(tag, str):
            return tag
        if names is None:
            message = f"tags are numbers such as {tag}, and column `{self.tags_column}` does not name them"
            raise DataError.at(message, self._source, row)
        if not isinstance(tag, int) or not 0 <= tag < len(names):
            raise DataError.at(
                f"tag {tag} is not the number of a label, of which there are {len(names)}", self._source, row
            )
        return names[tag]


def _library() -> Any:
    try:
        import datasets
    except ImportError as error:
        raise UsageError(
            "reader `huggingface` needs the package `datasets`: pip install 'sltk[huggingface]'"
        ) from error
    return datasets


def _table(file: Path) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(file)
    except pyarrow.ArrowInvalid as error:
        raise DataError.at(f"not a parquet file: {error}", file) from error


def _label_names(feature: Any) -> list[str] | None:
    """Names of the class labels in a list of them; None where the column holds something else."""
    inner = getattr(feature, "feature", feature)
    inner = inner[0] if isinstance(inner, list) else inner
    names = getattr(inner, "names", None)
    return None if names is None else list(names)
