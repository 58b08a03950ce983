"""The `jsonl` writer: one JSON object a sentence."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

from ...types import Prediction
from ..registry import register
from ..slots import Writer
from .highlights import text_and_offsets

# JSON may hold these as they are, but UTF-8 cannot hold surrogates, terminals obey C1 controls, and some
# programs end a line at U+0085, U+2028 or U+2029. As \u escapes they are the same text to every JSON reader.
_ESCAPED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")


@register.writer("jsonl")
class JsonlWriter(Writer):
    """One object a line: `text`, `words` (text, start, end, tag) and `spans` (start, end, text, type, score).

    Offsets are characters of `text`, half-open. `score` is null where there is none.
    """

    def render(self, predictions: Iterable[Prediction]) -> Iterator[str]:
        """One line a sentence."""
        for prediction in predictions:
            line = json.dumps(_record(prediction), ensure_ascii=False)
            yield _ESCAPED.sub(lambda found: f"\\u{ord(found[0]):04x}", line) + "\n"


def _record(prediction: Prediction) -> dict[str, Any]:
    text, offsets = text_and_offsets(prediction)
    words = [
        {"text": text[start:end], "start": start, "end": end, "tag": tag}
        for (start, end), tag in zip(offsets, prediction.tags, strict=True)
    ]
    spans = []
    for span in prediction.spans:
        start, end = offsets[span.start][0], offsets[span.end - 1][1]
        spans.append(
            {"start": start, "end": end, "text": text[start:end], "type": span.type, "score": span.score}
        )
    return {"text": text, "words": words, "spans": spans}
