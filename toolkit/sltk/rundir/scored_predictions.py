"""Read `predictions/SPLIT.conll`, the tags that the scores of a run were computed from.

`predictions/SPLIT.scores.jsonl` beside it has one line per sentence with the confidence of the model, and no text:
`{"words": [0.98, …], "spans": [[start, end, type, score], …]}`; either is null if the model gives no such scores.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from ..components.metrics import SeqevalMetric
from ..errors import DataError
from ..files import atomic
from ..files.safety import json_text
from ..files.text_lines import TextLines
from ..schemes import Chunk
from ..types import Prediction

TaggedSentence = tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]
"""Words, gold tags, predicted tags."""


def read_predictions(path: Path) -> list[TaggedSentence]:
    """Read a predictions file. Columns are split from the right, since a word may contain anything but a tab.

    Raises:
        DataError: a line does not have three columns; the message names it.
    """
    sentences: list[TaggedSentence] = []
    rows: list[list[str]] = []
    for number, line in chain(TextLines(path, content="text"), [(0, "")]):
        if line:
            rows.append(line.rsplit("\t", 2))
            if len(rows[-1]) != 3:
                raise DataError.at("expected tab-separated word, gold tag and predicted tag", path, number)
        elif rows:
            words, gold, predicted = zip(*rows, strict=True)
            sentences.append((words, gold, predicted))
            rows = []
    return sentences


@dataclass(frozen=True, slots=True)
class SentenceScores:
    """The confidence of a model in its tags and spans of one sentence, from 0 to 1."""

    words: list[float] | None
    """The probability of each word's tag."""
    spans: dict[Chunk, float]
    """The score of each span; empty if there are none."""


def write_scores(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write the scores of sentences with words, one line each; without any score, an older file is removed."""
    lines = [_scores_line(prediction) for prediction in predictions if prediction.words]
    if all(line is None for line in lines):
        path.unlink(missing_ok=True)
        return
    atomic.write_text(path, "".join(f"{line or _NO_SCORES}\n" for line in lines))


_NO_SCORES = '{"words": null, "spans": null}'


def _scores_line(prediction: Prediction) -> str | None:
    spans = [
        [span.start, span.end, span.type, round(span.score, 4)]
        for span in prediction.spans
        if span.score is not None
    ]
    if prediction.scores is None and not spans:
        return None
    words = None if prediction.scores is None else [round(score, 4) for score in prediction.scores]
    return json_text({"words": words, "spans": spans})


def read_scores(path: Path, sentences: Sequence[TaggedSentence]) -> list[SentenceScores] | None:
    """The scores of the sentences of `SPLIT.conll`, from the file beside it; None if the run has no such file.

    Raises:
        DataError: the file is damaged, or belongs to other predictions.
    """
    path = path.with_suffix(".scores.jsonl")
    if not path.exists():
        return None
    scores = [_read_line(line, path, number) for number, line in TextLines(path, content="text") if line]
    lengths = [None if each.words is None else len(each.words) for each in scores]
    if len(lengths) != len(sentences) or any(
        length not in (None, len(words)) for length, (words, *_) in zip(lengths, sentences, strict=True)
    ):
        raise DataError.at(f"these are not the scores of `{path.name.split('.')[0]}.conll`", path)
    return scores


def _read_line(line: str, path: Path, number: int) -> SentenceScores:
    try:
        values = json.loads(line)
        words = values["words"]
        spans = {
            (int(start), int(end), str(kind)): float(score)
            for start, end, kind, score in values["spans"] or ()
        }
        return SentenceScores(None if words is None else [float(score) for score in words], spans)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError.at(
            "the file is damaged: expected `words` and `spans` with scores", path, number
        ) from error


def span_metric(settings: dict[str, Any]) -> SeqevalMetric | None:
    """The metric that counted the spans of a resolved spec; None unless `seqeval` comes first, on spans."""
    first = dict((settings.get("metrics") or [{"type": "seqeval"}])[0])
    if first.pop("type", None) != "seqeval" or settings.get("scheme") == "plain":
        return None
    return SeqevalMetric(**first)
