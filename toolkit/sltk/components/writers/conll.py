"""The `conll` writer: one word per line, the format of most readers and scorers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import cast

from ... import schemes
from ...errors import DataError
from ...files.safety import breaks_cells, cell
from ...schemes.names import SchemeName
from ...types import Prediction, Sentence, Unused
from ..registry import register
from ..slots import Writer
from .highlights import change, joined_changes, written_tags


@register.writer("conll")
class ConllWriter(Writer):
    """Word, gold tag if there is one, predicted tag; separated by tabs, with a blank line after each sentence.

    Spans that overlap are in the tags of the scheme `layers`: `B-ORG|B-LOC`. Other schemes hold the longest of them.
    Words are written unchanged, including white space, except that tabs, line feeds and carriage returns, which the
    format does not allow, become symbols: ␉, ␊, ␍. A sentence without words is not written.
    """

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """Yield one piece per sentence.

        Raises:
            DataError: only some sentences have gold tags, so that the number of columns would vary.
        """
        gold: bool | None = None
        for prediction in predictions:
            sentence = prediction.sentence
            if not sentence.words:
                continue
            if gold is not None and gold != (sentence.tags is not None):
                raise _mixed(sentence)
            gold = sentence.tags is not None
            yield _block(sentence, written_tags(prediction))

    def changes(self, prediction: Prediction) -> Iterator[Unused]:
        """Spans that the tags do not hold, and what `_text_changes` lists."""
        if prediction.scheme not in (None, "plain"):
            _, lost = schemes.encodable(prediction.spans, cast(SchemeName, prediction.scheme))
            for span in lost:
                words = " ".join(prediction.words[span.start : span.end])
                why = "overlaps a longer or an earlier span: the scheme layers holds both"
                if prediction.spans.count(span) > 1:
                    why = "is annotated twice"
                reason = f"`{words}` ({span.type}) {why}"
                yield replace(change(prediction.sentence, reason), type=span.type, adjusted=False)
        yield from joined_changes(prediction)
        yield from self._text_changes(prediction)

    def _text_changes(self, prediction: Prediction) -> Iterator[Unused]:
        """Words and tags with tabs or line ends, words that begin with U+FEFF, and sentences without words."""
        if not prediction.words:
            yield change(
                prediction.sentence, "a sentence without words is not written: it would be a blank line"
            )
        for word in prediction.words:
            if word.startswith("\ufeff"):
                reason = f"`{word}` begins with U+FEFF, which readers remove as a byte-order mark"
                yield change(prediction.sentence, reason)
        texts = (*prediction.words, *prediction.tags)
        if breaks_cells(" ".join(texts)):
            for text in filter(breaks_cells, texts):
                reason = f"`{cell(text)}` has a tab or a line end, written as a symbol"
                yield change(prediction.sentence, reason)


def _block(sentence: Sentence, predicted: list[str]) -> str:
    columns = (
        [sentence.words, predicted] if sentence.tags is None else [sentence.words, sentence.tags, predicted]
    )
    return "".join("\t".join(map(cell, row)) + "\n" for row in zip(*columns, strict=True)) + "\n"


def _mixed(sentence: Sentence) -> DataError:
    has = "has no" if sentence.tags is None else "has"
    return DataError.at(
        f"this sentence {has} gold tags, unlike those before it; `conll` needs the same columns throughout",
        sentence.file or "(input)",
        sentence.line,
    )
