"""The rules for using an exported token classifier in transformers, as sentences for the person who uses it."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from ..models.tagger_model import TaggerModel
from ..nn.mask_flags import is_bidirectional

FIRST = 'the pipeline "token-classification" labels whole words with aggregation_strategy="first"; "simple" cuts words'
LAST = (
    'the pipeline "token-classification" labels words by their first subword, and this model by their last: '
    "use the code for exact words"
)
GENERIC_TOKENIZER = (
    "load the tokenizer with PreTrainedTokenizerFast.from_pretrained(DIR) and pass it to the pipeline: AutoTokenizer "
    "replaces that of the family `{}` by one that reads text differently"
)
_VERSION = "use transformers 5.2 or later: earlier versions ignore `is_causal: false`, and give other labels silently"
THRESHOLDS = "sltk leaves out spans below the thresholds of the model; transformers knows no thresholds"
_DIFFICULTIES = {
    "words": "other words",
    "numbers": "numbers",
    "punctuation": "punctuation next to a word",
    "contractions": "contractions (`wasn't`)",
    "spaces": "several spaces, tabs",
    "scripts": "other scripts, emoji",
    "special": "names of special tokens (`</s>`)",
    "invisible": "invisible characters",
}
_JOINED = (
    "the pipeline takes words of a text to end at spaces (`{}` is one word): pass a list of words, "
    "`pipe(words, is_split_into_words=True)`"
)
_WORDS = {
    "joined": "joins words (`{}`)",
    "cut": "cuts words (`{}`)",
    "blank": "labels the white space before a word (`{}`) as a word",
    "score": "labels a word by another subword (`{}`)",
}
"""What the pipeline does with some words, by kind of disagreement."""


def usage_rules(
    model: TaggerModel,
    unlike: Mapping[bool, Collection[str]],
    disagreements: Mapping[bool, Mapping[str, str]],
    *,
    needs_generic_tokenizer: bool,
) -> list[str]:
    """All rules for an export.

    Args:
        model: the model, loaded from the export.
        unlike: the difficulties of text that transformers reads differently, in texts (False) and words (True).
        disagreements: examples of each kind of difference in the pipeline, in texts (False) and words (True).
        needs_generic_tokenizer: whether AutoTokenizer reads text differently.
    """
    rules = [*_loading_rules(model, needs_generic_tokenizer), *_text_rules(model, unlike)]
    if model.aligner.type_name == "first_subword":
        rules += [FIRST, *_pipeline_rules(disagreements)]
    else:
        rules.append(LAST)
    return [*rules, *_model_rules(model)]


def _loading_rules(model: TaggerModel, needs_generic_tokenizer: bool) -> Iterator[str]:
    config: Any = model.network.backbone.model.config
    if is_bidirectional(config):
        yield _VERSION
    if needs_generic_tokenizer:
        yield GENERIC_TOKENIZER.format(config.model_type)


def _text_rules(model: TaggerModel, unlike: Mapping[bool, Collection[str]]) -> Iterator[str]:
    """Which form of input is read as sltk reads it, and what no form can express."""
    both = [name for name in dict.fromkeys(unlike[False]) if name in unlike[True]]
    texts, lists = (
        [name for name in dict.fromkeys(unlike[is_split]) if name not in both] for is_split in (False, True)
    )
    if texts:
        where = "with " + ", ".join(_DIFFICULTIES[name] for name in texts)
        if model.spacing == "single" and "punctuation" in texts:
            where = (
                "where words are not separated by a space, because it was trained on words joined by spaces"
            )
        yield f"pass a list of words, `tokenizer(words, is_split_into_words=True)`: a text is read differently {where}"
    if lists:
        yield "join words by one space, and pass that text instead of a list of words, which is read differently"
    if both:
        names = ", ".join(_DIFFICULTIES[name] for name in both)
        yield f"leave out {names}: only sltk reads them as in training"


def _pipeline_rules(disagreements: Mapping[bool, Mapping[str, str]]) -> Iterator[str]:
    in_texts, in_words = disagreements[False], disagreements[True]
    if "joined" in in_texts and "joined" not in in_words:
        yield _JOINED.format(in_texts["joined"])
    kinds = [kind for kind in _WORDS if kind in in_words or (kind in in_texts and kind != "joined")]
    if kinds:
        parts = [_WORDS[kind].format(in_words.get(kind) or in_texts.get(kind)) for kind in kinds]
        yield f"the pipeline {', and '.join(parts)}: use the code for exact words"


def _model_rules(model: TaggerModel) -> Iterator[str]:
    scheme = model.labels.scheme
    if scheme in ("BIOES", "BILOU", "BMES"):
        yield f"the pipeline joins B- and I- tags only: entities come in pieces, because the tags are {scheme}"
    elif scheme == "plain":
        yield "the pipeline joins adjacent words with the same tag"
    else:
        yield "the pipeline makes an entity of an ill-formed tag, such as an I- after another type; sltk leaves it out"
    if model.decisions.decode == "constrained":
        yield "sltk chooses the best well-formed sequence of tags, transformers the best tag of each word"
    limit = model.max_length or model.network.backbone.max_length
    if limit is not None:
        yield (
            f"a text of more than {limit} subwords is cut there, where sltk reads overlapping windows; "
            "`stride` of the pipeline reads further"
        )
    if model.document_context:
        yield "sltk reads the sentences around each sentence too; transformers reads each text alone"
