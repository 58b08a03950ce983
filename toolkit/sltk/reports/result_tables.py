"""Tables of scores, types, responses and runs, as text; HTML, Markdown and the terminal show the same ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from .run_records import RunRecord
from .study import Configuration, StudyTask, Summary, mean_of_known, points

_DROPPED = ("malformed", "unknown_type", "unmatched", "lost_sentences", "cut")
"""Counts of unusable output in metrics.json."""


@dataclass(frozen=True)
class ResultTable:
    """Columns and rows of text."""

    title: str
    columns: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]
    note: str = ""
    best_row: int | None = None
    """The row to highlight."""


def score_table(task: StudyTask) -> ResultTable:
    """Mean ± sample sd of each configuration, with n; the best by validation is highlighted."""
    rows = []
    for each in task.configurations:
        scores = (each.summary(split).points() for split in task.splits)
        costs = (each.cost("seconds"), each.cost("words_per_second"))
        cost_texts = ("" if value is None else f"{value:,.0f}" for value in costs)
        rows.append((each.label, str(len(each.runs)), *scores, *cost_texts))
    columns = ("configuration", "n", *task.splits, "seconds", "words/s")
    note = f"{task.measure_name} in points, mean ± sample standard deviation over n seeds."
    if len(rows) == 1:
        return ResultTable("Scores", columns, rows, note)
    best = task.configurations.index(task.best(task.splits[0]))
    return ResultTable("Scores", columns, rows, f"{note} Bold: best by {task.splits[0]}.", best)


def choice_text(task: StudyTask) -> str:
    """The configuration that validation chooses, its test score, and its distance from the best test score."""
    chosen = task.best(task.splits[0])
    scores = {split: chosen.summary(split) for split in task.splits}
    first = scores[task.splits[0]]
    if len(task.configurations) == 1:
        text = ", ".join(f"{score.points()} on {split}" for split, score in scores.items())
        return f"{chosen.label}, {task.measure_name} {text} (n = {first.n})."
    text = f"Best by {task.splits[0]}: {chosen.label}, {task.measure_name} {first.points()} (n = {first.n})."
    if task.splits != ["validation", "test"]:
        return text
    text += f" On test it scores {scores['test'].points()}, "
    best = task.best("test")
    if best is chosen:
        return f"{text}the best of all."
    behind = best.summary("test").mean - scores["test"].mean
    return f"{text}{points(behind)} below the best, {best.label}."


def type_table(task: StudyTask) -> ResultTable:
    """Precision, recall and F1 of each type in the configuration that is best by validation."""
    best, split = task.best(task.splits[0]), task.splits[-1]
    rows = []
    for name, scores in sorted(best.type_scores(split).items()):
        means = (mean_of_known(each[key] for each in scores) for key in ("precision", "recall", "f1"))
        rows.append((name, *map(points, means), f"{scores[0].get('support', 0):,}"))
    note = f"{best.label} on {split}, mean of {len(best.runs)} seed{'s' if len(best.runs) > 1 else ''}."
    return ResultTable("Types", ("type", "precision", "recall", "F1", "support"), rows, note)


def corpus_table(task: StudyTask) -> ResultTable | None:
    """The score of each configuration on each corpus of the last split; None if no run names corpora."""
    split = task.splits[-1]
    by_label = {each.label: each.corpus_scores(split) for each in task.configurations}
    names = list(dict.fromkeys(name for scores in by_label.values() for name in scores))
    if not names:
        return None
    rows = [
        (each.label, *(Summary.of(by_label[each.label][name]).points() if name in by_label[each.label] else ""
                       for name in names), each.summary(split).points())
        for each in task.configurations
    ]  # fmt: skip
    unscored = "Predictions of types that a corpus does not annotate are not scored."
    note = f"{task.measure_name} on {split} in points. {unscored}"
    return ResultTable("Corpora", ("configuration", *names, "all"), rows, note)


def response_table(task: StudyTask) -> ResultTable | None:
    """Output of each configuration of `type: instruct`: what was dropped, speed, and the best possible score.

    None if no configuration writes responses.
    """
    split = task.splits[-1]
    counted = [(each, _responses(each, split)) for each in task.configurations]
    rows = [_response_row(each.label, responses) for each, responses in counted if responses]
    dropped = (name.replace("_", " ") for name in _DROPPED)
    columns = ("configuration", "responses", "pieces", *dropped, "sentences/s", "ceiling")
    note = (
        f"Means over seeds on {split}. A piece is one span in a response. Pieces that are malformed, of an unknown "
        f"type, or not in the sentence are dropped. The ceiling is the {task.measure_name} of perfect responses."
    )
    return ResultTable("Responses", columns, rows, note) if rows else None


def _responses(configuration: Configuration, split: str) -> list[dict[str, Any]]:
    """The `responses` in metrics.json of each run that has them."""
    scores = (record.scores.get(split, {}) for record in configuration.runs.values())
    return [each["responses"] for each in scores if isinstance(each.get("responses"), dict)]


def _response_row(label: str, responses: Sequence[dict[str, Any]]) -> tuple[str, ...]:
    counts = (
        mean_of_known(each.get(key) for each in responses) for key in ("responses", "pieces", *_DROPPED)
    )
    texts = ("" if count is None else format(count, ",.4g" if count < 1000 else ",.0f") for count in counts)
    speed = mean_of_known(each.get("sentences_per_second") for each in responses)
    ceiling = mean_of_known(each.get("ceiling", {}).get("f1") for each in responses)
    return (label, *texts, "" if speed is None else f"{speed:,.2f}", points(ceiling))


def run_table(tasks: Sequence[StudyTask]) -> ResultTable:
    """All runs, one per row."""
    rows = []
    for task, configuration, record in all_runs(tasks):
        scores = (points(record.score(split)) for split in ("validation", "test"))
        costs = (str(record.train.get("steps", "")), f"{record.train.get('seconds', 0):,.0f}")
        folds = record.data.get("folds", {})
        divided = f", folds {folds.get('seed')}" if "seeds" in (task.folds or {}) else ""
        name = record.name if "fold" not in folds else f"{record.name}{divided}, fold {folds['fold']}"
        rows.append((name, configuration.label, str(record.seed), *scores, *costs))
    columns = ("run", "configuration", "seed", "validation", "test", "updates", "seconds")
    return ResultTable("Runs", columns, rows)


def all_runs(tasks: Sequence[StudyTask]) -> Iterator[tuple[StudyTask, Configuration, RunRecord]]:
    """Every run with its task and configuration; for cross-validation, the run of each fold."""
    for task in tasks:
        for configuration in task.configurations:
            for record in configuration.runs.values():
                yield from ((task, configuration, run) for run in record.fold_runs or (record,))
