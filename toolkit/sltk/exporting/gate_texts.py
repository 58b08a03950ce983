"""The texts on which an export is compared with sltk: one for each usual difficulty, as written text and as words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from ..errors import ModelError, UsageError
from ..models.tagger_model import TaggerModel
from ..subwords.tokenization import Window
from ..types import Sentence

_TEXTS = (
    ("words", "The map"),
    ("words", "The committee asked the mechanic in Berlin for a longer report on Monday"),
    ("numbers", "The box of 12 cost 25 dollars in 2024"),
    ("punctuation", 'Anna Kovacs (Zurich) said: "The map is well-known!"'),
    ("contractions", "It's Peter's map and wasn't there"),
    ("spaces", "  two  spaces,\ta tab and one at the end "),
    ("scripts", "Zürich naïve 東京 Москва 😀 ½ x"),
    ("special", "the words {} are text"),
    ("invisible", "a word \u200b and \ufeff another"),
)


@dataclass(frozen=True)
class Case:
    """A text or a list of words, and what sltk reads."""

    difficulty: str
    """One of `words`, `numbers`, `punctuation`, `contractions`, `spaces`, `scripts`, `special`, `invisible`."""
    words: list[str]
    offsets: list[tuple[int, int]]
    """Half-open offsets of the words in `text`."""
    text: str
    """The text; the words joined by one space if the words are given."""
    is_split: bool
    """Whether the words are given, instead of the text."""
    window: Window
    """The subwords that sltk reads, and those of each word."""

    @property
    def input(self) -> str | list[str]:
        """What a tokenizer or a pipeline gets."""
        return self.words if self.is_split else self.text


def cases(model: TaggerModel) -> Iterator[Case]:
    """The texts and lists of words that a model reads in one window, each without document context.

    Texts with a token for which the model has no vector are left out: it cannot read them anywhere.
    """
    alone = replace(model, on_overflow="window", document_context=0)
    tokenizer = model.network.backbone.tokenizer
    names = " ".join(dict.fromkeys(("</s>", "[SEP]", *map(str, tokenizer.all_special_tokens))))
    for difficulty, pattern in _TEXTS:
        written = _sentence(model, pattern.format(names))
        for sentence, is_split in ((written, False), (Sentence(written.words), True)):
            try:
                windows = alone.encoder.encode([sentence])[0].windows
            except ModelError:
                continue
            if len(windows) == 1:
                full = sentence.with_text()
                yield Case(difficulty, full.words, full.offsets or [], str(full.text), is_split, windows[0])


def _sentence(model: TaggerModel, text: str) -> Sentence:
    """A text with the words of the model's splitter, or between white space if its package is not installed."""
    from ..components.splitters import WhitespaceSplitter

    try:
        offsets = model.splitter.split(text)
    except UsageError:
        offsets = WhitespaceSplitter().split(text)
    return Sentence([text[start:end] for start, end in offsets], text=text, offsets=offsets)
