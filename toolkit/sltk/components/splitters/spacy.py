"""The `spacy` splitter: the words of spaCy's tokenizers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from pydantic import Field

from ...errors import Problem, UsageError
from ...files.safety import encodable
from ..registry import register
from ..slots import Splitter


@register.splitter("spacy")
class SpacySplitter(Splitter):
    """The words of spaCy's tokenizer of a language, or of an installed pipeline.

    Needs the optional extra: `pip install 'sltk[spacy]'`. Tokens of white space are left out. A pipeline is a
    Python package, and runs as such.
    """

    lang: str = Field(default="en", description="language of spaCy's rules: en, de, …; xx is any")
    pipeline: str | None = Field(
        default=None, description="an installed pipeline, such as en_core_web_sm, instead of a language"
    )

    def split(self, text: str) -> list[tuple[int, int]]:
        """Offsets of the words, half-open.

        Raises:
            UsageError: spaCy, the language or the pipeline is not installed.
        """
        # spaCy keeps strings as UTF-8, which has no lone surrogates: they are looked at as U+FFFD.
        tokens = _tokenizer(self.lang, self.pipeline)(encodable(text))
        words: list[tuple[int, int]] = []
        for token in tokens:
            # No word may hold white space, and there are tokenizers that make one of several words.
            words += [
                (token.idx + found.start(), token.idx + found.end())
                for found in re.finditer(r"\S+", token.text)
            ]
        return words


@cache
def _tokenizer(lang: str, pipeline: str | None) -> Callable[[str], Iterable[Any]]:
    """The tokenizer, loaded once."""
    try:
        import spacy
    except ImportError as error:
        raise UsageError("splitter `spacy` needs the package `spacy`: pip install 'sltk[spacy]'") from error
    try:
        loaded = spacy.load(pipeline) if pipeline is not None else spacy.blank(lang)
    except (ImportError, OSError, ValueError) as error:
        asked = f"the pipeline `{pipeline}`" if pipeline is not None else f"the language `{lang}`"
        notes = (f"python -m spacy download {pipeline}",) if pipeline is not None else ()
        raise UsageError(Problem(f"spaCy cannot load {asked}: {error}", notes=notes)) from error
    tokenizer: Callable[[str], Iterable[Any]] = loaded.tokenizer
    return tokenizer
