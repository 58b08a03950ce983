"""The `conll` writer: a word a line, as readers and scorers of this format expect."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ...errors import DataError
from ...files.safety import cell
from ...types import Prediction, Sentence
from ..registry import register
from ..slots import Writer


@register.writer("conll")
class ConllWriter(Writer):
    """Word, gold tag where sentences have one, predicted tag; tabs between, a blank line after a sentence.

    A word is written as it is, white space included, but a tab, line feed or carriage return in one, which
    this format cannot hold, becomes its symbol: ␉, ␊, ␍. A sentence of no words leaves no trace.
    """

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """One piece a sentence.

        Raises:
            DataError: some sentences have gold tags and others none, so that the columns would not agree.
        """
        gold: bool | None = None
        for prediction in predictions:
            sentence = prediction.sentence
            if not sentence.words:
                continue
            if gold is not None and gold != (sentence.tags is not None):
                raise _mixed(sentence)
            block = _block(sentence, prediction.tags)
            if gold is None and block.startswith("\ufeff"):
                yield "\ufeff"  # the first one of a file is taken for a byte-order mark, and not read as text
            gold = sentence.tags is not None
            yield block


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
