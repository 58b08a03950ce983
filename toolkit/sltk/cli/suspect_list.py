"""Probable annotation errors, as `sltk check --data --suspects` prints them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..inspection.suspects import Suspect, Suspects, SuspectSpan

_SHOWN = 20
_LONGEST_TEXT = 40


def suspect_lines(suspects: Suspects) -> Iterator[str]:
    """The counts, and the first probable errors, each with its place, what was annotated and what was predicted."""
    runs = f"{suspects.runs} run{'' if suspects.runs == 1 else 's'}"
    left_out = f", {suspects.unfinished} unfinished left out" if suspects.unfinished else ""
    yield ""
    yield f"annotation compared with {runs}{left_out}"
    yield f"  sentences        {suspects.sentences:,} of {suspects.of:,}, by runs not trained on them"
    yield f"  agreement        {100 * suspects.f1:.1f} (F1)"
    yield f"  disagreements    {suspects.disagreements:,}, of which {suspects.probable:,} probably in the annotation"
    shown = [each for each in suspects.listed if each.is_probable][:_SHOWN]
    if len(shown) < suspects.probable:
        yield f"  the first {len(shown)}; --json has up to {len(suspects.listed):,}"
    for number, each in enumerate(shown, 1):
        yield from _entry(number, each)


def _entry(number: int, each: Suspect) -> Iterator[str]:
    score = "" if each.score is None else f", score {each.score:.2f}"
    yield f"{number:>4}. {each.place}"
    yield f"      {each.kind}, {each.runs} of {each.of} run{'' if each.of == 1 else 's'}{score}"
    yield f"      gold {_spans(each.gold)}, predicted {_spans(each.predicted)}"


def _spans(spans: Sequence[SuspectSpan]) -> str:
    return " ".join(f"`{_cut(span.text)}` {span.type}" for span in spans) or "nothing"


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
