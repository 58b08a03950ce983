"""Empty words, which most formats and no model can hold: read as U+FFFD, and counted."""

from __future__ import annotations

from dataclasses import replace

from ..types import Sentence, Unused

_IN_ITS_PLACE = "\ufffd"


def without_empty_words(sentence: Sentence) -> Sentence:
    """The sentence with U+FFFD for each empty word, so that words and tags still belong together.

    A sentence with such a word has no longer the text that it comes from.
    """
    if "" not in sentence.words:
        return sentence
    file = sentence.file or "(data)"
    reports = [
        Unused(file, sentence.line_of(index), "an empty word, read as U+FFFD", adjusted=True)
        for index, word in enumerate(sentence.words)
        if not word
    ]
    words = [word or _IN_ITS_PLACE for word in sentence.words]
    return replace(sentence, words=words, text=None, offsets=None, unused=(*sentence.unused, *reports))
