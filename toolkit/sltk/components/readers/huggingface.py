"""Data sets of the `datasets` library, from the Hugging Face hub or on disk."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import Field, model_validator

from ...errors import DataError, nearest
from ...runtime.optional_imports import import_optional, install_extra
from ...schemes.styles import NUMBERS_NEED_NAMES
from ...types import Sentence
from ..registry import register
from ..slots import TaggedReader

_SHARD = re.compile(r"-([0-9]{1,9})-of-([0-9]{1,9})\.parquet$")
_MOST_SHARDS = 100_000


@register.reader("huggingface")
class HuggingFaceReader(TaggedReader):
    """A data set of the Hugging Face hub, a parquet file or folder, or the output of `save_to_disk`.

    Needs the optional extra: `pip install 'sltk[huggingface]'`.
    """

    requires: ClassVar[Mapping[str, str]] = {"datasets": install_extra("huggingface")}

    name: str | None = Field(default=None, description="name of the data set on the hub")
    path: Path | None = Field(
        default=None,
        description="parquet file, folder of such files, or `save_to_disk` folder, instead of a name",
    )
    config: str | None = Field(
        default=None,
        description="configuration of the data set on the hub, or the folder of parquet files in `path`",
    )
    revision: str | None = Field(default=None, description="commit, branch or tag on the hub")
    split: str = Field(default="train", description="split of the data set")
    words_column: str = Field(default="tokens", description="column of word lists")
    tags_column: str = Field(
        default="tags", description="column of tag lists: names, or numbers of class labels"
    )
    text_column: str | None = Field(
        default=None,
        description="column of texts to read without annotation, instead of words and tags; split at white space",
    )

    @model_validator(mode="after")
    def _one_source(self) -> HuggingFaceReader:
        if (self.name is None) == (self.path is None):
            raise ValueError("give `name` (a data set on the hub) or `path` (one on disk)")
        return self

    @property
    def has_annotation(self) -> bool:
        """Whether tags are read; texts have none."""
        return self.text_column is None

    def read(self) -> Iterator[Sentence]:
        """Yield one sentence per row; the line of a sentence is the number of its row, from 1.

        Raises:
            UsageError: the `datasets` library is not installed.
            DataError: the data set, a column or the names of the tags are not available.
        """
        data = self._dataset(import_optional("datasets", "reader `huggingface`", "huggingface"))
        text_column = self.text_column
        for column in [self.words_column, self.tags_column] if text_column is None else [text_column]:
            if column not in data.column_names:
                raise self._no_column(column, data.column_names)
        yield from self._tagged(data) if text_column is None else self._texts(data, text_column)

    def _tagged(self, data: Any) -> Iterator[Sentence]:
        names = _label_names(data.features[self.tags_column])
        for number, row in enumerate(data.select_columns([self.words_column, self.tags_column]), 1):
            words = self._list(row[self.words_column], self.words_column, number)
            if not all(isinstance(word, str) for word in words):
                raise self._bad_cell(self.words_column, words, "list of words", number)
            numbers = self._list(row[self.tags_column], self.tags_column, number)
            tags = [self._tag_name(tag, names, number) for tag in numbers]
            if len(words) != len(tags):
                raise DataError.at(f"{len(words)} words but {len(tags)} tags", self._source, number)
            yield Sentence(words, tags, file=self._source, line=number)

    def _texts(self, data: Any, column: str) -> Iterator[Sentence]:
        for number, row in enumerate(data.select_columns([column]), 1):
            text = row[column]
            if not isinstance(text, str):
                raise self._bad_cell(column, text, "text", number)
            offsets = [match.span() for match in re.finditer(r"\S+", text)]
            words = [text[start:end] for start, end in offsets]
            yield Sentence(words, text=text, offsets=offsets, file=self._source, line=number)

    def _list(self, cell: Any, column: str, row: int) -> list[Any]:
        if not isinstance(cell, list):
            raise self._bad_cell(column, cell, "list", row)
        return cell

    def _bad_cell(self, column: str, cell: Any, expected: str, row: int) -> DataError:
        return DataError.at(
            f"column `{column}` has {cell!r:.40}, which is not a {expected}", self._source, row
        )

    @property
    def _source(self) -> str:
        return f"{self.path or self.name} [{self.split}]"

    def _dataset(self, datasets: Any) -> Any:
        try:
            if self.path is not None:
                return self._local(datasets, self.path)
            return datasets.load_dataset(self.name, self.config, split=self.split, revision=self.revision)
        except (DataError, MemoryError):
            raise
        except Exception as error:  # the library raises many kinds
            raise DataError.at(
                f"cannot load the data set: {error}",
                self._source,
                None,
                "data sets that are scripts load with `revision: refs/convert/parquet`, if the hub has it",
            ) from error

    def _local(self, datasets: Any, path: Path) -> Any:
        if not path.exists():
            raise DataError.at("no such file or folder", path)
        files = [path] if path.is_file() else self._split_files(path)
        if files:
            return datasets.concatenate_datasets([datasets.Dataset(_table(file)) for file in files])
        saved = datasets.load_from_disk(str(path))
        if not isinstance(saved, datasets.DatasetDict):
            return saved
        if self.split not in saved:
            raise DataError.at(f"no split `{self.split}`; available: {', '.join(saved)}", path)
        return saved[self.split]

    def _split_files(self, folder: Path) -> list[Path]:
        """The parquet files of the split in a folder: all of one configuration, and nothing of another."""
        if self.config is not None:
            folder = folder / self.config
        files = sorted(folder.rglob(f"{self.split}[-.]*parquet"))
        places = sorted({file.parent for file in files})
        if len(places) > 1:
            names = [place.relative_to(folder).as_posix() for place in places]
            shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
            raise DataError.at(
                f"the split `{self.split}` is in {len(names)} folders: {shown}",
                folder,
                None,
                "choose one with `config`, or with `path`",
            )
        parts = [match for file in files if (match := _SHARD.search(file.name))]
        for total in sorted({int(part[2]) for part in parts}):
            found = {int(part[1]) for part in parts if int(part[2]) == total}
            missing = sorted(set(range(total)) - found) if total < _MOST_SHARDS else []
            if missing:
                message = f"{len(missing)} of {total} files of the split `{self.split}` are missing"
                note = f"the first is the one with `{missing[0]:05d}-of-{total:05d}` in its name"
                raise DataError.at(message, places[0], None, note)
        return files

    def _no_column(self, column: str, known: list[str]) -> DataError:
        note = f"columns: {', '.join(known)}; choose with `words_column` and `tags_column`, or `text_column`"
        suggestion = nearest(column, known)
        return DataError.at(f"no column `{column}`", self._source, None, note, suggestion=suggestion)

    def _tag_name(self, tag: Any, names: list[str] | None, row: int) -> str:
        if isinstance(tag, str):
            return tag
        if not isinstance(tag, int) or isinstance(tag, bool):
            message = f"tag {tag!r:.40} is neither a name nor the number of one"
        elif names is None and self.tag_names is not None:
            return str(tag)
        elif names is None:
            message = f"tags are numbers such as {tag}, and column `{self.tags_column}` does not name them"
            raise DataError.at(message, self._source, row, NUMBERS_NEED_NAMES)
        elif not 0 <= tag < len(names):
            message = f"tag {tag} is not the number of one of the {len(names)} labels"
        else:
            return names[tag]
        raise DataError.at(message, self._source, row)


def _table(file: Path) -> Any:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(file)
    except pyarrow.ArrowInvalid as error:
        raise DataError.at(f"not a parquet file: {error}", file) from error


def _label_names(feature: Any) -> list[str] | None:
    """Names of the class labels of a column of label lists; None for other columns, and for names that are only
    numbers, which the library gives to labels without names.
    """
    inner = getattr(feature, "feature", feature)
    inner = inner[0] if isinstance(inner, list) else inner
    names = getattr(inner, "names", None)
    if names is None or list(names) == [str(number) for number in range(len(names))]:
        return None
    return list(names)
