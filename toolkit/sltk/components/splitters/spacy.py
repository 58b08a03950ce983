"""The `spacy` splitter: the words of spaCy's tokenizers."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any, ClassVar

from pydantic import Field

from ...errors import Problem, UsageError
from ...files.safety import encodable
from ...runtime.optional_imports import import_optional, install_extra
from ..registry import register
from ..slots import Splitter


@register.splitter("spacy")
class SpacySplitter(Splitter):
    """The words of spaCy's tokenizer for a language, or of an installed pipeline.

    Needs the optional extra: `pip install 'sltk[spacy]'`. White-space tokens are left out. A pipeline is a Python
    package, whose code is run.
    """

    requires: ClassVar[Mapping[str, str]] = {"spacy": install_extra("spacy")}

    lang: str = Field(default="en", description="language of spaCy's rules: en, de, …; xx for any language")
    pipeline: str | None = Field(
        default=None, description="an installed pipeline to use instead of `lang`, such as en_core_web_sm"
    )

    def required_packages(self) -> Mapping[str, str]:
        """SpaCy, and the pipeline unless it is a folder."""
        if self.pipeline is None or not self.pipeline.isidentifier():
            return self.requires
        return {**self.requires, self.pipeline: f"python -m spacy download {self.pipeline}"}

    def split(self, text: str) -> list[tuple[int, int]]:
        """Half-open offsets of the words.

        Raises:
            UsageError: spaCy, the language or the pipeline is not installed.
        """
        words: list[tuple[int, int]] = []
        # spaCy encodes strings as UTF-8, which cannot contain lone surrogates: they become U+FFFD.
        for token in load_spacy("splitter `spacy`", self.lang, self.pipeline).tokenizer(encodable(text)):
            # Some tokenizers return tokens that contain white space; a word may not.
            words += [
                (token.idx + match.start(), token.idx + match.end())
                for match in re.finditer(r"\S+", token.text)
            ]
        return words


@cache
def load_spacy(user: str, lang: str, pipeline: str | None) -> Any:
    """A spaCy pipeline, or the blank one of a language; loaded once. `user` is named in errors.

    Raises:
        UsageError: spaCy, the language or the pipeline is not installed.
    """
    spacy = import_optional("spacy", user, "spacy")
    try:
        return spacy.load(pipeline) if pipeline is not None else spacy.blank(lang)
    except (ImportError, OSError, ValueError) as error:
        name = f"the pipeline `{pipeline}`" if pipeline is not None else f"the language `{lang}`"
        notes = (f"python -m spacy download {pipeline}",) if pipeline is not None else ()
        raise UsageError(Problem(f"spaCy cannot load {name}: {error}", notes=notes)) from error
