"""What a run is trained on, in a few numbers: one that goes on is known to go on with the same.

The digest is of what a model could learn from: words, tags, the text around them, documents and labels, as they
were read. It is not that of tokenised data (subwords/token_cache.py), which depends on the tokenizer and knows no
tags, nor that of a report (reports/predictions.py), which takes the schemes of two runs for the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..types import Sentence

Fingerprint = dict[str, Any]
"""Numbers of things read, and a `digest` of them: `{"sentences": 21, "words": 133, "digest": "…"}`."""

HEARD = ("train", "validation")
"""The splits that training hears: after the last update the others may be what they like."""


def fingerprints(splits: Mapping[str, Iterable[Sentence]], labels: Sequence[str]) -> dict[str, Fingerprint]:
    """Of each split that training hears, what identifies it."""
    return {name: fingerprint(splits[name], labels) for name in HEARD if name in splits}


def fingerprint(sentences: Iterable[Sentence], labels: Sequence[str] = ()) -> Fingerprint:
    """What identifies these sentences; a twentieth of a second for 200,000 words."""
    digest = hashlib.blake2b(json.dumps(list(labels)).encode(), digest_size=20)
    count = words = 0
    for sentence in sentences:
        # Not `repr`, which writes a character as the Unicode tables of this Python have it.
        values = sentence.words, sentence.tags, sentence.text, sentence.document
        digest.update(json.dumps(values).encode())
        count, words = count + 1, words + len(sentence)
    return {"sentences": count, "words": words, "digest": digest.hexdigest()}


def changes(before: Mapping[str, Fingerprint], now: Mapping[str, Fingerprint]) -> Iterator[str]:
    """`train: 21 sentences, 133 words when it began, 20 sentences, 130 words now` for each that is not the same.

    What was not written down then is not compared.
    """
    for name in [name for name in now if name in before]:
        then, found = before[name], now[name]
        if then["digest"] == found["digest"]:
            continue
        if _counts(then) == _counts(found):
            yield f"{name}: {_counts(then)} as when it began, but not the same ones"
        else:
            yield f"{name}: {_counts(then)} when it began, {_counts(found)} now"


def _counts(identity: Fingerprint) -> str:
    return ", ".join(f"{number:,} {what}" for what, number in identity.items() if what != "digest")
