"""Scores of files with tagged words, like the conlleval script, for `sltk score`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from .. import schemes
from ..components.metrics.accuracy import AccuracyMetric
from ..components.metrics.counting import tally_of
from ..components.metrics.seqeval import SeqevalMetric
from ..components.metrics.span_metric import Mode, SpanMetric
from ..components.slots import Metric
from ..errors import DataError
from ..schemes.label_text import twin_notes
from ..schemes.layers import is_layered
from ..schemes.names import ReaderScheme, ReaderStyle, SchemeName
from ..schemes.styles import advice
from .changes import Changes
from .tag_files import TagFiles


class Scored(NamedTuple):
    """Scores of files, and how their tags were read."""

    scores: dict[str, Any]
    notes: list[str]
    """How tags are written that do not have the form `B-PER`, and what is odd about them."""
    changes: Changes
    """What was left out of tags."""

    def as_json(self) -> dict[str, Any]:
        """The scores, with `notes` and `changes` if there are any."""
        more = {"notes": self.notes, "changes": self.changes.as_json()["changes"]}
        return {**self.scores, **{key: value for key, value in more.items() if value}}


def score_files(
    gold: Path,
    predicted: Path | None = None,
    scheme: ReaderScheme = "IOB2",
    mode: Mode = "strict",
    metric: Metric | None = None,
    tag_style: ReaderStyle = "auto",
) -> dict[str, Any]:
    """Score a file of gold and predicted tags, or two files, as JSON: see `scored_files`.

    Raises:
        DataError, SpecError: see `scored_files`.
    """
    return scored_files(gold, predicted, scheme, mode, metric, tag_style).as_json()


def scored_files(
    gold: Path,
    predicted: Path | None = None,
    scheme: ReaderScheme = "IOB2",
    mode: Mode = "strict",
    metric: Metric | None = None,
    tag_style: ReaderStyle = "auto",
) -> Scored:
    """Score a file of gold and predicted tags, or two files.

    `scheme` is that of both columns, and `tag_style` the way in which tags are written; `auto` detects them. The
    default metric is `seqeval` in `mode`, and `accuracy` for plain tags. Files contain no probabilities, so metrics
    that need them are not available.

    The files are read sentence by sentence, unless the metric needs all sentences at once, as `partial` and `spans`.

    Raises:
        DataError: a file is missing or empty, a line has too few columns or another number than the first, the
            words of two files differ, a tag is not in the scheme, or a single file has one column of tags; the message
            names file and line.
        SpecError: the metric cannot be computed from such tags.
    """
    files = TagFiles(gold, predicted)
    if scheme == "auto" or tag_style != "auto" or (scheme == "plain" and predicted is None):
        files.detect(scheme, tag_style)
    else:
        files.scheme = scheme
    scores = _score(files, mode, metric)
    if scores is None and not any(files.styles):
        files.detect(scheme, tag_style)
        scores = _score(files, mode, metric) if any(files.styles) else None
    if scores is None:
        raise _first_bad_tag(files, mode, metric)
    return scores


def _score(files: TagFiles, mode: Mode, metric: Metric | None) -> Scored | None:
    """The scores of the files in their scheme; None if a tag is not in it."""
    chosen, changes = metric or default_metric(files.scheme, mode), Changes()
    tally = tally_of(chosen, files.scheme)
    try:
        if tally is None:
            predictions = list(files.predictions())
            changes.add(unused for prediction in predictions for unused in prediction.sentence.unused)
            scores = chosen.score(predictions, files.scheme)
            return Scored(scores, _notes(files, scores), changes)
        for sentence in files:
            tally.add(*sentence.tags)
            changes.add(sentence.unused())
    except schemes.SchemeError:
        return None
    scores = tally.scores()
    return Scored(scores, _notes(files, scores), changes)


def default_metric(scheme: SchemeName, mode: Mode) -> Metric:
    """The metric without `--metric`: `accuracy` for plain tags, otherwise `seqeval`."""
    return AccuracyMetric() if scheme == "plain" else SeqevalMetric(mode=mode)


def _notes(files: TagFiles, scores: dict[str, Any]) -> list[str]:
    """How the tags are written, if not in the form `B-PER`, and what is odd about them."""
    gold, predicted = files.styles
    warnings = [f"warning: {files.warning}"] if files.warning else []
    tags = (name if is_layered(name) else f"B-{name}" for name in scores.get("per_type", {}))
    layered = next(filter(is_layered, tags), None)
    if layered is not None and files.scheme not in ("layers", "plain"):
        about = f"`{layered}` looks like the tags of several layers, but is read as one"
        warnings.append(f"warning: {about}: use `--scheme layers`")
    if gold == predicted:
        return [str(gold), *warnings] if gold else warnings
    sides = (("gold", gold), ("predicted", predicted))
    return [*(f"{name} {style}" for name, style in sides if style), *warnings]


def other_types(scores: dict[str, Any]) -> Iterator[str]:
    """Yield a warning if gold and predicted tags have no type in common, like columns of chunks and of names."""
    rows = scores.get("per_type", {}).items()
    gold, predicted = ([name for name, row in rows if row.get(key)] for key in ("support", "predicted"))
    if gold and predicted and not set(gold) & set(predicted):
        types = f"gold tags have {', '.join(gold[:5])}, predicted ones {', '.join(predicted[:5])}"
        yield f"gold and predicted tags have no type in common: {types}"


def _first_bad_tag(files: TagFiles, mode: Mode, metric: Metric | None) -> DataError:
    """The error for the first tag that is not in the scheme, at its line: in the gold tags, or else in the others."""
    metric = metric or default_metric(files.scheme, mode)
    scheme = metric.read_as(files.scheme) if isinstance(metric, SpanMetric) else files.scheme
    for side, file in enumerate((files.gold, files.predicted or files.gold)):
        for sentence in files:
            try:
                schemes.chunks(sentence.tags[side], scheme, strict=False)
            except schemes.SchemeError as error:
                words = sentence.predicted if side else sentence.gold
                notes = twin_notes(sentence.tags[side][error.index], [schemes.OUTSIDE]) or _advice(
                    files, scheme
                )
                return DataError.at(str(error), file, words[error.index].line, *notes)
    raise AssertionError("no tag is wrong")


def _advice(files: TagFiles, scheme: SchemeName) -> Iterator[str]:
    """How the tags might be read."""
    gold, predicted = files.detectors()
    tags = gold + predicted
    detected = tags.scheme()
    if detected == "plain":
        plain = "these tags look like plain ones, such as parts of speech: use `--scheme plain`"
        yield from advice(tags.counts(), "--tag-style ", plain)
    elif detected != scheme:
        yield f"these tags look like {detected}: use `--scheme {detected}`"


def conlleval_report(scores: dict[str, Any]) -> str:
    """Span scores as the conlleval script prints them, then the signature; for plain tags the accuracy."""
    if "support" not in scores:
        head = [f"processed {scores['words']} tokens.", f"accuracy: {_percent(scores['accuracy'])}%"]
    else:
        head = [
            f"processed {scores['words']} tokens with {scores['support']} phrases; "
            f"found: {scores['predicted']} phrases; correct: {scores['correct']}.",
            f"accuracy: {_percent(scores['accuracy'])}%; {_prf(scores)}",
        ]
    rows = [f"{name:>17}: {_prf(row)}  {row['predicted']}" for name, row in scores["per_type"].items()]
    return "\n".join([*head, *rows, scores["signature"]])


def _prf(scores: dict[str, Any]) -> str:
    return (
        f"precision: {_percent(scores['precision'])}%; recall: {_percent(scores['recall'])}%; "
        f"FB1: {_percent(scores['f1'])}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:6.2f}"
