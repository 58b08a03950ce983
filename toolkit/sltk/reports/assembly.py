"""A whole report: read runs, put them in order, test, draw, write. Written whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UsageError
from ..files import atomic
from ..files.writable import check_file, check_folder
from . import diagnostics, figures, pages, plotting, pretraining_curves
from .comparability import flat
from .comparisons import Evidence, weigh
from .discovery import CollectedRuns, collect
from .pages import Picture, Section
from .response_table import has_responses, response_table
from .result_tables import ResultTable, choice_text, run_table, score_table, tests_of, type_table
from .run_records import write_records
from .study import Study, StudyTask, arrange

FILES = {"report.html", "report.md", "table.tex", "results.csv", "figures"}
"""What a report's folder holds."""


@dataclass(frozen=True)
class Report:
    """What was read and found, for those who want it without the files."""

    found: CollectedRuns
    study: Study
    evidence: list[Evidence]
    folder: Path


def write_report(
    paths: Sequence[Path],
    output: Path,
    *,
    separate: bool = False,
    baseline: str | None = None,
    records: Path | None = None,
) -> Report:
    """Write the report of all finished runs in and below `paths`.

    Args:
        paths: run directories, folders of them, or files of records.
        output: the folder to write; an older report there is replaced.
        separate: report on runs of different data side by side, instead of refusing them.
        baseline: the configuration that others are compared with; unset: the mask 0000, else the first.
        records: also write the runs to this file, as records.

    Raises:
        UsageError: nothing to report on, runs that do not compare, or `output` holds something else.
        DataError: a run directory or a record is damaged.
    """
    _check_output(output)
    if records is not None:
        check_file(records)
    found = collect(paths)
    notes = list(found.notes)
    if found.unfinished:
        notes.append(f"{len(found.unfinished)} unfinished, left out: {', '.join(found.unfinished[:5])}")
    if found.pretraining:
        notes.append(
            f"{len(found.pretraining)} of pre-training, which label nothing, left out: "
            f"{', '.join(found.pretraining[:5])}"
        )
    if found.varies_data and not separate:
        notes.append("the sweep varies its data: each data set is a task")
    separate = separate or found.varies_data
    study = arrange(found.records, separate=separate, baseline=baseline, notes=notes)
    evidence = weigh(study)
    with atomic.making(output) as folder:
        write(study, evidence, folder)
    if records is not None:
        write_records(records, found.records)
    return Report(found, study, evidence, output)


def _check_output(output: Path) -> None:
    check_folder(output)
    if not output.exists():
        return
    others = sorted({path.name for path in output.iterdir()} - FILES)
    if others:
        raise UsageError(
            f"`{output}` holds other files than a report ({', '.join(others[:3])}); choose another --output"
        )


def write(study: Study, evidence: Sequence[Evidence], folder: Path) -> None:
    """Write all files of a report into a folder."""
    pictures = list(_pictures(study, folder / "figures"))
    sections = list(_sections(study, evidence, pictures))
    count = sum(1 for _ in study.records())
    title = f"Report on {count} run{'s' if count > 1 else ''}"
    atomic.write_text(folder / "report.html", pages.html(title, sections))
    atomic.write_text(folder / "report.md", pages.markdown(title, sections))
    atomic.write_text(folder / "table.tex", pages.latex(study))
    atomic.write_text(folder / "results.csv", pages.results_csv(study))


@dataclass(frozen=True)
class _Kind:
    """A kind of figure: its name, what it shows, how it is drawn, and of which tasks it can be."""

    name: str
    caption: str
    draw: Callable[[Sequence[StudyTask]], Any]
    possible: Callable[[StudyTask], bool] = lambda task: True


_KINDS = (
    _Kind("configurations", "Score by configuration, mean with ± one standard deviation over seeds",
          figures.configurations, lambda task: not pretraining_curves.is_over_checkpoints(task)),
    _Kind("checkpoints", "Score by checkpoint of pre-training, mean with ± one standard deviation over seeds",
          pretraining_curves.figure, pretraining_curves.has_checkpoints),
    _Kind("learning_curves", "Training loss and validation score by epoch, mean over seeds",
          diagnostics.learning_curves, diagnostics.has_curves),
    _Kind("types", "F1 by type, most frequent first, with one standard deviation over seeds",
          diagnostics.per_type, diagnostics.has_types),
    _Kind("confusion", "Which type is taken for which; colours are shares of a row",
          diagnostics.confusion, diagnostics.has_confusion),
    _Kind("cost", "Score against seconds of training; seconds compare on one machine only",
          diagnostics.cost, diagnostics.has_cost),
)  # fmt: skip


def _pictures(study: Study, folder: Path) -> Iterator[Picture]:
    """Draw and save all figures that the runs allow."""
    with plotting.style():
        for kind in _KINDS:
            tasks = [task for task in study.tasks if kind.possible(task)]
            if not tasks:
                continue
            made = kind.draw(tasks)
            plotting.save(made, folder, kind.name)
            yield Picture(kind.name, kind.caption, (folder / f"{kind.name}.png").read_bytes())


def _sections(study: Study, evidence: Sequence[Evidence], pictures: Sequence[Picture]) -> Iterator[Section]:
    short = [f"{task.name}: {choice_text(task)}" for task in study.tasks]
    yield Section("In short", short, pictures=pictures)
    for task, tests in zip(study.tasks, evidence, strict=True):
        tables = [
            *([pretraining_curves.table(task)] if pretraining_curves.has_checkpoints(task) else []),
            score_table(task),
            *([response_table(task)] if has_responses(task) else []),
            *([type_table(task)] if diagnostics.has_types(task) else []),
            *tests_of(task, tests),
        ]
        yield Section(task.name, [*map(_sentence, task.notes)], tables)
    yield Section("What was read", [*map(_sentence, study.notes), *_data_lines(study)], [run_table(study)])


def main_table(task: StudyTask) -> ResultTable:
    """The one table of a task where there is room for one: checkpoints if that is what differs, else scores."""
    return (
        pretraining_curves.table(task) if pretraining_curves.is_over_checkpoints(task) else score_table(task)
    )


def _sentence(note: str) -> str:
    return f"Note: {note}."


def _data_lines(study: Study) -> Iterator[str]:
    """Data and scoring of each task, and the versions of sltk that made the runs."""
    for task in study.tasks:
        first = next(task.records())
        known = "; ".join(f"{key} {value}" for key, value in flat(first.data) if value is not None)
        yield f"{task.name}: {known}."
        for split, scores in first.scores.items():
            yield f"{split} scored by {scores.get('signature', 'an unnamed metric')}."
    versions = {str(record.environment.get("sltk", "?")) for record in study.records()}
    yield f"Made by sltk {', '.join(sorted(versions))}."
