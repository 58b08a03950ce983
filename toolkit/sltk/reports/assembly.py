"""`write_report`: read runs, arrange them, test, draw, and write the report atomically."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files import atomic
from ..files.paths import resolved
from ..files.writable import check_file, check_folder
from . import (
    arm_figures,
    diagnostics,
    figures,
    fold_tables,
    pages,
    plotting,
    pretraining_curves,
    search_figures,
    size_curves,
    slice_tables,
)
from .arm_tables import arm_table, cost_table, learning_table
from .arrangement import arrange
from .comparability import LIMITS, flat
from .comparisons import compare_declared, missing_comparisons
from .discovery import CollectedRuns, collect
from .fold_pooling import pooled
from .pages import Picture, Section
from .result_tables import (
    ResultTable,
    all_runs,
    choice_text,
    corpus_table,
    response_table,
    run_table,
    score_table,
    type_table,
)
from .run_records import write_records
from .search_results import SearchRecord, trial_table, with_scores
from .significance_tables import significance_tables
from .study import StudyTask

FILES = {"report.html", "report.md", "table.tex", "results.csv", "figures"}
"""The contents of a report's folder."""


@dataclass(frozen=True)
class Report:
    """The contents of a report, for use without its files."""

    folder: Path
    runs: CollectedRuns
    tasks: list[StudyTask]


def write_report(
    paths: str | Path | Sequence[str | Path],
    output: str | Path | None = None,
    *,
    separate: bool = False,
    baseline: str | None = None,
    compare: Sequence[str] = (),
    records: Path | None = None,
) -> Report:
    """Write the report of all finished runs in and below `paths`.

    Args:
        paths: run directories, folders of them, or files of records.
        output: the folder to write, by default `reports/NAME`; an older report there is replaced.
        separate: report on runs of different data side by side, instead of refusing them.
        baseline: the configuration that others are compared with; by default the mask 0000, else the first. The
            tests of comparisons, chosen or declared, do not use it.
        compare: comparisons to test, `A:B` or `A:B::C:D`, instead of those with the baseline; by default those that
            the sweeps declare.
        records: a file to write the runs to, as records.

    Raises:
        UsageError: `paths` contain no finished run, runs cannot be compared, or `output` contains other files.
        DataError: a run directory or a record is damaged.
    """
    sources = [Path(path) for path in ([paths] if isinstance(paths, str | Path) else paths)]
    output = Path(output) if output else Path("reports") / (resolved(sources[0]).stem or "report")
    _check_output(output)
    if records is not None:
        check_file(records)
    runs = collect(sources)
    separate = separate or runs.varies_data
    scored, left_out = pooled(runs.records)
    tasks = arrange(scored, separate=separate, baseline=baseline, compare=compare)
    runs.left_out += left_out
    # One task remains if only the fold, or the limit of the training data, varies.
    runs.varies_data = runs.varies_data and len(tasks) > 1
    with atomic.new_folder(output) as folder:
        _write_files(tasks, runs, folder)
    if records is not None:
        write_records(records, runs.records)
    return Report(output, runs, tasks)


def _check_output(output: Path) -> None:
    check_folder(output)
    others = sorted(_others(output)) if output.exists() else []
    if others:
        raise UsageError(
            f"`{output}` contains files that are not part of a report ({', '.join(others[:3])}); "
            "choose another --output"
        )


def _others(output: Path) -> Iterator[str]:
    """What is in a folder and is not part of a report; everything, if the folder holds no report."""
    is_report = (output / "report.html").exists()
    known = {kind.name for kind in (*_KINDS, *_SEARCH_KINDS)}
    for path in output.iterdir():
        if path.name not in FILES or not is_report:
            yield path.name
        elif path.is_dir():
            yield from (f"{path.name}/{figure.name}" for figure in path.iterdir() if figure.stem not in known)


def _write_files(tasks: Sequence[StudyTask], runs: CollectedRuns, folder: Path) -> None:
    pictures = list(_pictures(tasks, folder / "figures"))
    searches = list(_search_sections(runs.searches, folder / "figures"))
    summary, *others = _sections(tasks, runs.notes, pictures)
    sections = [summary, *searches, *others]
    count = sum(1 for _ in all_runs(tasks))
    title = f"Report on {count} run{'s' if count > 1 else ''}"
    atomic.write_text(folder / "report.html", pages.html(title, sections))
    atomic.write_text(folder / "report.md", pages.markdown(title, sections))
    atomic.write_text(folder / "table.tex", pages.latex(tasks))
    atomic.write_text(folder / "results.csv", pages.results_csv(tasks))


@dataclass(frozen=True)
class _Kind:
    """A kind of figure: name, caption, the function that draws it, and the tasks that it applies to."""

    name: str
    caption: str
    draw: Callable[[Sequence[StudyTask]], Any]
    applies: Callable[[StudyTask], bool]


def _shows_arms(task: StudyTask) -> bool:
    return task.has_arms and not pretraining_curves.is_over_checkpoints(task)


def _shows_configurations(task: StudyTask) -> bool:
    others = (
        task.has_arms,
        task.is_search,
        pretraining_curves.is_over_checkpoints(task),
        size_curves.has_sizes(task),
    )
    return not any(others)


_KINDS = (
    _Kind("configurations", "Score by configuration: mean ± one standard deviation over seeds",
          figures.configurations,
          _shows_configurations),
    _Kind("training_size", "Score by number of training sentences: mean, 95 % interval by bootstrap, and each seed",
          size_curves.figure, size_curves.has_sizes),
    _Kind("arms", "Score by arm: mean, 95 % interval over sentences, and each seed",
          arm_figures.arms, _shows_arms),
    _Kind("comparisons", "Differences between configurations: mean, 95 % intervals, and each seed",
          arm_figures.differences, lambda task: bool(compare_declared(task))),
    _Kind("checkpoints", "Score by checkpoint of pre-training: mean ± one standard deviation over seeds",
          pretraining_curves.figure, pretraining_curves.has_checkpoints),
    _Kind("learning_curves", "Training loss and validation score by epoch, mean over seeds",
          diagnostics.learning_curves, lambda task: not task.has_arms and diagnostics.has_curves(task)),
    _Kind("arm_curves", "Validation score by epoch: each arm in colour, mean ± one standard deviation over seeds",
          arm_figures.curves, lambda task: _shows_arms(task) and arm_figures.has_curves(task)),
    _Kind("types", "F1 by type, most frequent first: mean ± one standard deviation over seeds",
          diagnostics.per_type, diagnostics.has_types),
    _Kind("confusion", "Confusion of types; colours show shares of a row",
          diagnostics.confusion, diagnostics.has_confusion),
    _Kind("slices", "Difference between configurations in classes of spans, with 95 % intervals",
          slice_tables.figure, lambda task: bool(slice_tables.slice_pairs(task))),
    _Kind("cost", "Score against training time; times are comparable on one machine only",
          diagnostics.cost, lambda task: not task.has_arms and diagnostics.has_cost(task)),
    _Kind("arm_cost", "Score against time per word; times are comparable on one machine only",
          arm_figures.cost, lambda task: _shows_arms(task) and arm_figures.has_cost(task)),
)  # fmt: skip


@dataclass(frozen=True)
class _SearchKind:
    """A kind of figure of searches over values of keys."""

    name: str
    caption: str
    draw: Callable[[Sequence[SearchRecord]], Any]
    applies: Callable[[SearchRecord], bool] = lambda search: True


_SEARCH_KINDS = (
    _SearchKind(
        "search_history", "Validation score of each trial, and the best so far", search_figures.history
    ),
    _SearchKind(
        "search_importance",
        "Importance: the share of each key in the variance of the scores (fANOVA), in percent",
        search_figures.importances,
        lambda search: bool(search.importance),
    ),
    _SearchKind("search_slices", "Validation score by the value of each key", search_figures.slices),
)


def _search_sections(searches: Sequence[SearchRecord], folder: Path) -> Iterator[Section]:
    """One section for all searches, with their figures and their trials."""
    drawable, pictures = with_scores(searches), []
    if not searches:
        return
    with plotting.style():
        for kind in _SEARCH_KINDS:
            if chosen := [search for search in drawable if kind.applies(search)]:
                plotting.save(kind.draw(chosen), folder, kind.name)
                pictures.append(Picture(kind.name, kind.caption, (folder / f"{kind.name}.png").read_bytes()))
    sentences = [search.summary() for search in searches]
    yield Section("Search", sentences, [trial_table(search) for search in searches], pictures)


def _pictures(tasks: Sequence[StudyTask], folder: Path) -> Iterator[Picture]:
    """Draw and save all figures that the runs allow."""
    with plotting.style():
        for kind in _KINDS:
            if drawable := [task for task in tasks if kind.applies(task)]:
                plotting.save(kind.draw(drawable), folder, kind.name)
                yield Picture(kind.name, kind.caption, (folder / f"{kind.name}.png").read_bytes())


def _sections(
    tasks: Sequence[StudyTask], notes: Sequence[str], pictures: Sequence[Picture]
) -> Iterator[Section]:
    yield Section("Summary", [f"{task.name}: {choice_text(task)}" for task in tasks], pictures=pictures)
    for task in tasks:
        tables = [
            pretraining_curves.table(task) if pretraining_curves.has_checkpoints(task) else None,
            arm_table(task) if task.has_arms else score_table(task),
            size_curves.table(task) if size_curves.has_sizes(task) else None,
            fold_tables.score_table(task) if task.folds else None,
            fold_tables.repetition_table(task),
            response_table(task),
            type_table(task) if diagnostics.has_types(task) else None,
            corpus_table(task),
            *significance_tables(task),
            fold_tables.test_table(task) if task.folds else None,
            *slice_tables.slice_tables(task),
            cost_table(task) if task.has_arms else None,
            learning_table(task) if task.has_arms else None,
        ]
        yield Section(
            task.name, [f"Note: {note}." for note in task_notes(task)], [table for table in tables if table]
        )
    sentences = [*(f"Note: {note}." for note in notes), *_data_lines(tasks)]
    yield Section("Data and runs", sentences, [run_table(tasks)])


def task_notes(task: StudyTask) -> list[str]:
    """Limits on the comparison of the runs of a task, and comparisons that it lacks runs for."""
    missing = missing_comparisons(task)
    return [
        *task.notes(),
        *([f"not compared, because runs are missing: {', '.join(missing)}"] if missing else []),
    ]


def main_table(task: StudyTask) -> ResultTable:
    """The most important table of a task: that of what varies (checkpoints, training data, folds), else scores."""
    over_checkpoints = pretraining_curves.is_over_checkpoints(task)
    if over_checkpoints:
        return pretraining_curves.table(task)
    if size_curves.has_sizes(task):
        return size_curves.table(task)
    if task.folds is not None:
        return fold_tables.score_table(task)
    return arm_table(task) if task.has_arms else score_table(task)


def _data_lines(tasks: Sequence[StudyTask]) -> Iterator[str]:
    """Data and scoring of each task, and the versions of sltk that made the runs."""
    for task in tasks:
        first = next(task.records())
        varied = LIMITS if size_curves.has_sizes(task) else ()
        items = ((key, value) for key, value in flat(first.data) if key not in varied)
        known = "; ".join(f"{key} {value}" for key, value in items if value is not None)
        yield f"{task.name}: {known}."
        for split, scores in first.scores.items():
            yield f"{split} scored by {scores.get('signature', 'an unnamed metric')}."
    versions = {str(run.environment.get("sltk", "?")) for task in tasks for run in task.records()}
    yield f"Runs made by sltk {', '.join(sorted(versions))}."
