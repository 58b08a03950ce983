"""CoNLL-U: treebanks of Universal Dependencies, ten columns per word (universaldependencies.org/format.html)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate, chain, islice
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from ...errors import DataError
from ...schemes import OUTSIDE
from ...types import Sentence, Span, Unused
from ..examples import plain_sentences
from ..registry import register
from ..slots import TaggedReader
from .brackets import BracketError
from .conllu_reports import RowReports
from .conllu_rows import (
    COLUMN_OF_KEYS,
    FORM,
    MISC,
    ConlluRow,
    SentenceRows,
    heads_of,
    locate,
    pairs_of,
    surface_text,
)
from .discontinuous import DiscontinuousReader, merged_parts, parts_report, spans_of_parts
from .entity_brackets import BracketFields, is_bracketed, joined_parts, mentions_of
from .text_file import TextFileReader

_COLUMNS = {"upos": 3, "xpos": 4, "deprel": 7, "misc": MISC}
_COMMENT = re.compile(r"#\s*(newdoc|text)\b\s*(?:id\s*)?(?:=\s*)?(.*)")
_FIELDS = re.compile(r"#\s*global\.(\S+)\s*=\s*(\S+)")
_MOST_HELD = 10_000
"""Number of sentences without a label that are held until the first label shows how labels are written."""

Labels = Literal["tags", "brackets"]


@register.reader("conllu")
class ConlluReader(DiscontinuousReader, TaggedReader, TextFileReader):
    """CoNLL-U: words with one column, or one key of MISC or FEATS, as their tag.

    Rows of multi-word tokens (`1-2`) and empty nodes (`1.1`) are not words; their number is reported.
    A key of MISC may have spans in brackets instead of tags, as in CorefUD and GUM: `(e1-person-1-`, `e1)`.
    """

    column: str = Field(
        default="upos",
        description="column of the tag: upos, xpos, deprel, misc (a tag alone), misc:KEY or feats:KEY",
    )
    labels: Literal["auto", "tags", "brackets"] = Field(
        default="auto",
        description="content of MISC: one tag per word, or brackets around spans; `auto` looks at the first label",
    )
    missing: str | None = Field(
        default=None,
        description="tag of words without one (`_`, or no such key); unset: O for misc and misc:KEY, `_` for "
        "feats:KEY, otherwise an error",
    )

    @model_validator(mode="before")
    @classmethod
    def _columns_are_plain(cls, value: Any) -> Any:
        """Default to plain tags: only MISC can contain tags of spans."""
        if isinstance(value, dict) and not str(value.get("column", "upos")).startswith("misc"):
            return {"scheme": "plain", **value}
        return value

    @field_validator("column")
    @classmethod
    def _known_column(cls, value: str) -> str:
        name, _, key = value.partition(":")
        if value not in _COLUMNS and not (name in COLUMN_OF_KEYS and key):
            raise ValueError(
                f"no column `{value}`: expected upos, xpos, deprel, misc:KEY or feats:KEY, or misc for a tag alone"
            )
        return value

    @model_validator(mode="after")
    def _only_misc_has_brackets(self) -> ConlluReader:
        if self.labels == "brackets" and not self.column.startswith("misc"):
            raise ValueError(f"`labels: brackets` needs a column of MISC, not {self.column}")
        return self

    def read_file(self) -> Iterator[Sentence]:
        """Yield sentences in order, with text and offsets if the words make up `# text`.

        Raises:
            DataError: the file cannot be read, a row does not have ten columns, ids are out of order, or a word has
                no tag and `missing`, unset, has no default for this column.
        """
        reports = RowReports(self.column, self._label)
        before: Sentence | None = None
        for rows, sentence in islice(self._sentences(), self.limit):
            if before is not None:
                yield before
            reports.add(rows, sentence)
            before = sentence
        if before is not None:
            before.unused += tuple(reports.reports(str(self.path)))
            yield before

    example_sentences = plain_sentences

    def _sentences(self) -> Iterator[tuple[list[ConlluRow], Sentence]]:
        """Yield the rows of each sentence, and the sentence; the first label decides whether labels are brackets."""
        is_open = self.labels == "auto" and self.column.startswith("misc")
        kind: Labels | None = None if is_open else "brackets" if self.labels == "brackets" else "tags"
        held: list[tuple[list[ConlluRow], Sentence]] = []
        for block in self._blocks():
            kind = kind or self._kind(block)
            held.append((block.rows, self._sentence(block, kind or "tags")))
            if kind is None and len(held) >= _MOST_HELD:
                kind = "tags"
            if kind is not None:
                yield from _released(held, kind)
                held = []
        yield from _released(held, kind)

    def _kind(self, block: SentenceRows) -> Labels | None:
        """Whether the labels of a sentence are tags or brackets; None if it has none."""
        if block.fields.declared:
            return "brackets"
        labels = (label for label in map(self._label, block.rows) if label and label != OUTSIDE)
        first = next(labels, None)
        return None if first is None else "brackets" if is_bracketed(first) else "tags"

    def _blocks(self) -> Iterator[SentenceRows]:
        """Yield the rows of each sentence; a document ends where the next one begins."""
        lines = self.open()
        documents, document, fields = 0, None, BracketFields()
        types: dict[str, str] = {}
        block = SentenceRows(self.path)
        for number, line in chain(lines, [(0, "")]):
            if not line.strip(" \t"):
                if block.rows:
                    block.check_complete()
                    block.document, block.fields, block.types = document, fields, types
                    block.unused = lines.take_replacements()
                    yield block
                block = SentenceRows(self.path)
            elif line.startswith("#"):
                match = _COMMENT.match(line)
                if match and match[1] == "newdoc":
                    documents, types = documents + 1, {}
                    document = match[2].strip() or str(documents)
                elif match:
                    block.text = match[2]
                fields = self._declared_fields(line) or fields
            else:
                block.add(number, line)

    def _declared_fields(self, comment: str) -> BracketFields | None:
        """The order of the parts of brackets, if a comment declares it for the key of this reader."""
        match = _FIELDS.match(comment)
        return BracketFields.declared_by(match[2]) if match and f"misc:{match[1]}" == self.column else None

    def _sentence(self, block: SentenceRows, kind: Labels) -> Sentence:
        words = [row for row in block.rows if row.kind == "word"]
        forms = [row.fields[FORM] for row in words]
        text = block.text if block.text is not None else surface_text(block.rows)
        offsets = locate(forms, text)
        spans, unused = self._spans(block) if kind == "brackets" else (None, [])
        return Sentence(
            forms,
            [self._tag(row) for row in words] if kind == "tags" else None,
            spans,
            text=None if offsets is None else text,
            offsets=offsets,
            file=str(self.path),
            line=block.rows[0].line,
            document=block.document,
            unused=(*block.unused, *unused),
            heads=heads_of(words),
            word_lines=[row.line for row in words],
        )

    def _spans(self, block: SentenceRows) -> tuple[list[Span], list[Unused]]:
        """The mentions in brackets as spans; reports of those without a word and of those with several parts."""
        rows = [row for row in block.rows if row.kind != "range"]
        try:
            mentions = mentions_of([self._label(row) for row in rows], block.fields, block.types)
        except BracketError as error:
            raise DataError.at(str(error), self.path, rows[error.index].line) from error
        words_before = [0, *accumulate(row.kind == "word" for row in rows)]
        spans, unused = [], []
        for parts in joined_parts(mentions):
            first, file, line = parts[0], str(self.path), rows[parts[0].start].line
            name = f"the mention `{first.id}` ({first.type})"
            places = [(words_before[part.start], words_before[part.end]) for part in parts]
            places = [(start, end) for start, end in places if start < end]
            if not places:
                reason = f"{name} covers no word: it is on an empty node"
                unused.append(Unused(file, line, reason, first.type))
            elif len(parts) != first.parts:
                reason = f"{name} has {len(parts)} of its {first.parts} parts in this sentence: left out"
                unused.append(Unused(file, line, reason, first.type if first.part == 1 else None))
            else:
                if (number := len(merged_parts(places))) > 1:
                    unused.append(
                        parts_report(file, line, name, first.type, f"{number} parts", self.discontinuous)
                    )
                spans += spans_of_parts(places, first.type, self.discontinuous)
        return spans, unused

    def _tag(self, row: ConlluRow) -> str:
        default = {"misc": OUTSIDE, "feats": "_"}.get(self.column.partition(":")[0])
        tag = self._label(row) or self.missing or default
        if tag is None:
            message = f"word {row.first}, `{row.fields[FORM]}`, has no {self.column}"
            raise DataError.at(message, self.path, row.line, "`missing: TAG` gives such words a tag")
        return tag

    def _label(self, row: ConlluRow) -> str | None:
        """The content of the column, or of its key; None or empty if there is none."""
        name, _, key = self.column.partition(":")
        cell = row.fields[_COLUMNS[name] if name in _COLUMNS else COLUMN_OF_KEYS[name]]
        if key:
            return pairs_of(cell).get(key)
        if name != "misc":
            return None if cell == "_" else cell
        alone = [part for part in cell.split("|") if "=" not in part and part.strip(" _")]
        if len(alone) > 1:
            raise DataError.at(f"MISC has several labels: {', '.join(alone)[:60]}", self.path, row.line)
        return alone[0] if alone else None


def _released(
    held: list[tuple[list[ConlluRow], Sentence]], kind: Labels | None
) -> Iterator[tuple[list[ConlluRow], Sentence]]:
    """The sentences; those that were read before it was known that labels are brackets have no spans."""
    for rows, sentence in held:
        if kind == "brackets" and sentence.spans is None:
            sentence.tags, sentence.spans = None, []
        yield rows, sentence
