"""Fingerprints of the training data: a resumed run uses them to detect changed data.

The digest covers what a model can learn from: words, tags, the text around them, documents, labels, and the types that
the corpus of a partly labelled sentence annotates, as they were read. The digest of tokenized data
(subwords/token_cache.py) is another: it depends on the tokenizer and ignores tags. So is that of a report
(reports/predictions.py), which treats the schemes of two runs as the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from ..types import Sentence

Fingerprint = dict[str, Any]
"""Counts and a `digest` of the data: `{"sentences": 21, "words": 133, "digest": "…"}`."""

_USED_IN_TRAINING = ("train", "validation")
"""The splits that influence training; the test data may change after the last update."""


def fingerprints(splits: Mapping[str, Iterable[Sentence]], labels: Sequence[str]) -> dict[str, Fingerprint]:
    """The fingerprint of each split that influences training."""
    return {name: fingerprint(splits[name], labels) for name in _USED_IN_TRAINING if name in splits}


def fingerprint(sentences: Iterable[Sentence], labels: Sequence[str] = ()) -> Fingerprint:
    """The fingerprint of sentences; takes 0.05 s for 200,000 words."""
    digest = hashlib.blake2b(json.dumps(list(labels)).encode(), digest_size=20)
    count = words = 0
    for sentence in sentences:
        # Not `repr`: which characters it escapes depends on the Unicode tables of the Python version.
        values = [sentence.words, sentence.tags, sentence.text, sentence.document]
        if sentence.annotated is not None:
            values.append(sorted(sentence.annotated))
        digest.update(json.dumps(values).encode())
        count, words = count + 1, words + len(sentence)
    return {"sentences": count, "words": words, "digest": digest.hexdigest()}


def describe_changes(before: Mapping[str, Fingerprint], now: Mapping[str, Fingerprint]) -> Iterator[str]:
    """Yield a line such as `train: 21 sentences, 133 words when the run began, 20 … now` per changed split.

    Splits without a fingerprint in `before` are not compared.
    """
    for name in [name for name in now if name in before]:
        old, new = before[name], now[name]
        if old["digest"] == new["digest"]:
            continue
        if _counts(old) == _counts(new):
            yield f"{name}: {_counts(old)} as when the run began, but not the same ones"
        else:
            yield f"{name}: {_counts(old)} when the run began, {_counts(new)} now"


def _counts(fingerprint: Fingerprint) -> str:
    return ", ".join(f"{number:,} {unit}" for unit, number in fingerprint.items() if unit != "digest")
