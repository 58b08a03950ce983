"""WebAnno TSV 3, also written by INCEpTION: one row per token, with the spans of several layers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from pydantic import Field

from ...errors import DataError
from ...types import Sentence
from ..registry import register
from .discontinuous import DiscontinuousReader
from .left_out import text_outside
from .offsets import AligningReader, annotated_sentence
from .standoff import PartlyAnnotatedReader, StandoffReader
from .text_file import TextFileReader
from .webanno_layers import FORMAT, Header
from .webanno_rows import TokenSentence, locate_tokens, parse_row

NumberedLine = tuple[int, str]
_TEXT = "#Text="


@register.reader("webanno")
class WebAnnoReader(
    DiscontinuousReader, AligningReader, StandoffReader, PartlyAnnotatedReader, TextFileReader
):
    """WebAnno TSV 3 (WebAnno, INCEpTION): the spans of one layer, with the value of one feature as type.

    A file is one document, or several with a header each. Sentences that a span crosses are joined. Relations, chains
    and other layers are not read; a file without a layer of spans is not annotated.
    """

    layer: str | None = Field(
        default=None,
        description="layer of the spans: its full name, or its last part, such as `NamedEntity`; unset: the only one",
    )
    feature: str | None = Field(
        default=None,
        description="feature that is the type; unset: `value` or the only one; without features, the layer is the type",
    )

    def read_file(self) -> Iterator[Sentence]:
        """Yield sentences in order.

        Raises:
            DataError: not a file of this format, no such layer or feature, or a malformed row.
        """
        before: TokenSentence | None = None
        for sentence in self._sentences():
            if before is not None and sentence.continues(before):
                before.append(sentence)
                continue
            if before is not None:
                yield self._finish(before)
            before = sentence
        if before is not None:
            yield self._finish(before)

    def _sentences(self) -> Iterator[TokenSentence]:
        """The sentences as the file divides them."""
        lines = self.open()
        header: Header | None = None
        documents = 0
        for comments, rows in _blocks(lines):
            if header is None or any(line.startswith(FORMAT) for _, line in comments):
                header = Header(comments, self.path, self.layer, self.feature)
                documents += 1
            texts = [(number, line) for number, line in comments if line.startswith(_TEXT)]
            line = next(iter(texts or rows), (1, ""))[0]
            if rows:
                tokens = [parse_row(text, number, self.path, header) for number, text in rows]
                sentence = locate_tokens(
                    self, line, [text[len(_TEXT) :] for _, text in texts], tokens, self.path
                )
                sentence.unused += lines.take_replacements()
                sentence.is_annotated, sentence.document = header.column is not None, documents
                yield sentence
            elif texts:
                raise DataError.at("the sentence at the end of the file has no tokens", self.path, line)

    def _finish(self, sentence: TokenSentence) -> Sentence:
        spans, unused = sentence.spans(self.path, self.discontinuous)
        words = [(start, end) for start, end in sentence.offsets if sentence.text[start:end].strip()]
        unused += text_outside(sentence.text, words, str(self.path), sentence.line)
        finished = annotated_sentence(
            sentence.text,
            spans if sentence.is_annotated else None,
            words,
            self.misaligned,
            file=str(self.path),
            line=sentence.line,
            unused=(*sentence.unused, *unused),
            document=str(sentence.document),
            discontinuous=self.discontinuous,
        )
        if not sentence.is_source:
            finished.text = finished.offsets = None
        return finished


def _blocks(lines: Iterable[NumberedLine]) -> Iterator[tuple[list[NumberedLine], list[NumberedLine]]]:
    """The comments and rows of each sentence; those of the first sentence include the header."""
    comments: list[NumberedLine] = []
    rows: list[NumberedLine] = []
    for number, line in lines:
        is_comment = line.startswith("#")
        if rows and (is_comment or not line.strip()):
            yield comments, rows
            comments, rows = [], []
        if line.strip():
            (comments if is_comment else rows).append((number, line))
    yield comments, rows
