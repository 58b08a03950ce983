"""`sltk report --errors`: one page with the errors of a run, or of two runs, that filters them without a server.

The page holds the data as JSON, and one script that shows a few sentences at a time. Text of the data reaches the
document only through `textContent`, and the page's policy allows no other script.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from ..errors import DataError, Problem, UsageError
from ..files import atomic, web_page
from ..files.safety import encodable, json_text, printable
from ..files.web_page import escape_text
from ..files.writable import check_file, check_not_read
from ..rundir.ownership import own_files
from ..schemes import Chunk
from .error_kinds import KINDS, KindCounts, SpanComparison, count_kinds
from .fold_errors import page_name, shown_runs
from .run_errors import ComparedSentence, RunErrors

MOST_RUNS = 2
_LONGEST_WORD = 200
"""Characters of a word that the page shows; a longer one is cut, and its length is shown."""


def write_error_browser(
    folders: Sequence[str | Path], output: str | Path | None = None, *, split: str | None = None
) -> tuple[Path, list[RunErrors]]:
    """Write the errors of one run, or of two runs on the same sentences side by side, as a page.

    The folds of a cross-validation are one run, with the test part of each.

    Args:
        folders: run directories, or folders of a sweep over folds.
        output: the file to write, by default `reports/NAME-errors.html`.
        split: `test` or `validation`; by default, the test data, else the validation data.

    Returns:
        The file, and what it shows of each run.

    Raises:
        UsageError: a folder holds no finished run, or no such split, folds are missing, or there are too many runs.
        DataError: a run directory is damaged, or two runs labelled different sentences or have different gold spans.
    """
    paths = [Path(folder) for folder in folders]
    shown = shown_runs(paths)
    if len(shown) > MOST_RUNS:
        notes = (
            "runs of one configuration differ by chance; `sltk report` without `--errors` compares their scores",
            "of a sweep over folds, give the run directories of one or two configurations",
        )
        raise UsageError(
            Problem(f"`--errors` shows one run, or two side by side, not {len(shown)}", notes=notes)
        )
    output = Path(output) if output else Path("reports") / f"{page_name(paths)}-errors.html"
    check_file(output)
    runs = [shown[0].read(split)]
    runs += [each.read(runs[0].split) for each in shown[1:]]
    for other in runs[1:]:
        _check_same_gold(runs[0], other)
    check_not_read([output], _read_files([folder for each in shown for folder in each.folders]))
    atomic.write_text(output, page(runs))
    return output, runs


def _read_files(folders: Sequence[Path]) -> Iterator[Path]:
    """The files of run directories that a page must not replace."""
    for folder in folders:
        for path in [*own_files(folder), folder / "predictions"]:
            yield from path.rglob("*") if path.is_dir() else [path]


def _check_same_gold(one: RunErrors, other: RunErrors) -> None:
    """Check that two runs labelled the same sentences with the same gold spans."""
    problem: str | None = None
    if len(one.sentences) != len(other.sentences):
        problem = f"{len(one.sentences):,} and {len(other.sentences):,} sentences"
    for number, (left, right) in enumerate(zip(one.sentences, other.sentences, strict=False), 1):
        if left.words != right.words:
            problem = problem or f"sentence {number} has other words"
        elif set(left.gold) != set(right.gold):
            problem = problem or f"sentence {number} has other gold spans"
    if problem is not None:
        message = f"the runs labelled different {one.split} data: {problem}"
        raise DataError.at(message, other.folder, None, "run directories of the same data can be compared")


def page(runs: Sequence[RunErrors]) -> str:
    """The page of one run, or of several on the same sentences."""
    title = f"Errors of {' and '.join(run.name for run in runs)} on {runs[0].split}"
    style, script = _asset("errors.css"), _asset("errors.js")
    data = json_text(page_data(runs), separators=(",", ":"))
    for letter in "<>&":  # so that nothing in it is markup
        data = data.replace(letter, f"\\u{ord(letter):04x}")
    return "".join(
        [
            web_page.opening(title, style, script=script),
            f"<h1>{escape_text(title)}</h1>\n",
            _asset("errors.html"),
            f'<script type="application/json" id="data">{data}</script>\n',
            f"<script>{script}</script>\n",
            web_page.ENDING,
        ]
    )


@cache
def _asset(name: str) -> str:
    return (files("sltk") / "inspection" / "page" / name).read_text(encoding="utf-8")


def page_data(runs: Sequence[RunErrors]) -> dict[str, Any]:
    """What the script of the page reads. Types and kinds are numbers, to keep it small.

    A sentence is `[words, gold, [[predicted, comparisons], …]]`, with one pair per run. Gold spans are
    `[start, end, type]`, predicted ones have a score too. A comparison is
    `[kind, gold spans, predicted spans, confidence]`, with spans as places in the two lists.
    """
    first = runs[0]
    types = _types(runs)
    number = {type_: place for place, type_ in enumerate(types)}
    return {
        "runs": [run.name for run in runs],
        "split": first.split,
        "plain": first.scheme == "plain",
        "scored": [run.has_scores for run in runs],
        "kinds": list(KINDS),
        "types": [_shown(type_) for type_ in types],
        "hues": [web_page.hue(place) for place in range(len(types))],
        "counts": [[_row(row) for row in count_kinds(run.comparisons())] for run in runs],
        "sentences": [
            [
                list(map(_shown, sentence.words)),
                [[*span[:2], number[span[2]]] for span in sentence.gold],
                [_of_run(run.sentences[place], sentence.gold, number) for run in runs],
            ]
            for place, sentence in enumerate(first.sentences)
        ],
    }


def _types(runs: Sequence[RunErrors]) -> list[str]:
    """All types, the most frequent in the gold annotation first."""
    gold = Counter(span[2] for sentence in runs[0].sentences for span in sentence.gold)
    predicted = {span[2] for run in runs for sentence in run.sentences for span in sentence.predicted}
    return sorted(gold.keys() | predicted, key=lambda type_: (-gold[type_], type_))


def _row(counts: KindCounts) -> list[int]:
    return [counts.number, counts.gold, counts.predicted]


def _of_run(sentence: ComparedSentence, gold: Sequence[Chunk], number: dict[str, int]) -> list[Any]:
    predicted = [[*span[:2], number[span[2]], *_rounded(sentence.score(span))] for span in sentence.predicted]
    places = [{span: place for place, span in enumerate(side)} for side in (gold, sentence.predicted)]
    return [predicted, [_comparison(each, sentence, *places) for each in sentence.comparisons]]


def _comparison(
    each: SpanComparison, sentence: ComparedSentence, gold: dict[Chunk, int], predicted: dict[Chunk, int]
) -> list[Any]:
    spans = [[gold[span] for span in each.gold], [predicted[span] for span in each.predicted]]
    return [KINDS.index(each.kind), *spans, *_rounded(sentence.confidence(each))]


def _rounded(score: float | None) -> Iterator[float]:
    if score is not None:
        yield round(score, 4)


def _shown(text: str) -> str:
    """Text that is safe to show: control characters become symbols, and a very long word is cut."""
    text = printable(encodable(text))
    return text if len(text) <= _LONGEST_WORD else f"{text[:_LONGEST_WORD]}… ({len(text):,} characters)"
