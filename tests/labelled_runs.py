"""Run directories with chosen gold and predicted spans, without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sltk import schemes
from sltk.rundir.directory import RunDirectory
from sltk.schemes.names import SchemeName
from sltk.types import Prediction, Sentence, Span

Labelled = tuple[str, Sequence[Span], Sequence[Span]]
"""Words, gold spans, predicted spans."""


def prediction(
    labelled: Labelled, scores: Sequence[float] | None = None, scheme: SchemeName = "IOB2"
) -> Prediction:
    """A prediction; each word has its score, or those of the span it is in."""
    text, gold, predicted = labelled
    words = text.split(" ")
    own = [1.0] * len(words) if scores is None else list(scores)
    for span in predicted:
        if span.score is not None:
            own[span.start : span.end] = [span.score] * (span.end - span.start)
    has_scores = scores is not None or any(span.score is not None for span in predicted)
    sentence = Sentence(words, tags=schemes.encode(gold, len(words), scheme))
    tags = schemes.encode(predicted, len(words), scheme)
    return Prediction(sentence, tags, own if has_scores else None, list(predicted), scheme=scheme)


def write_run(
    folder: Path,
    labelled: Sequence[Labelled],
    *,
    split: str = "test",
    scores: Sequence[Any] = (),
    **spec: Any,
) -> Path:
    """Write what a finished run leaves of the labels of a split."""
    own = [*scores, *[None] * (len(labelled) - len(scores))]
    scheme = "layers" if spec.get("scheme") == "layers" else "IOB2"
    predictions = [prediction(each, score, scheme) for each, score in zip(labelled, own, strict=True)]
    RunDirectory(folder).write_predictions(split, predictions)
    counts = {
        "support": sum(len(gold) for _, gold, _ in labelled),
        "predicted": sum(len(predicted) for *_, predicted in labelled),
        "correct": sum(len(set(gold) & set(predicted)) for _, gold, predicted in labelled),
    }
    stored = {"name": folder.name, "seed": 1, "scheme": "IOB2", "data": {}, "backbone": {}, **spec}
    (folder / "spec.yaml").write_text(json.dumps(stored), encoding="utf-8")
    (folder / "environment.json").write_text('{"format": 1}', encoding="utf-8")
    metrics = json.loads((folder / "metrics.json").read_text()) if (folder / "metrics.json").exists() else {}
    (folder / "metrics.json").write_text(json.dumps({**metrics, split: counts}), encoding="utf-8")
    return folder
