"""What became of the responses of models that write spans (`type: instruct`), as a table."""

from __future__ import annotations

from typing import Any

from .result_tables import ResultTable
from .study import Configuration, StudyTask, points

_KINDS = {
    "malformed": "malformed",
    "unknown_type": "unknown type",
    "unmatched": "unmatched",
    "lost_sentences": "sentences lost",
    "cut": "cut",
}
"""Counts of what was of no use, by their names in metrics.json."""


def has_responses(task: StudyTask) -> bool:
    """Whether any run has written responses."""
    return any(_accounts(each, task.splits[-1]) for each in task.configurations)


def response_table(task: StudyTask) -> ResultTable:
    """A row for each configuration that writes responses: what was dropped and why, speed, and the best possible."""
    split = task.splits[-1]
    rows = [_row(each, accounts) for each in task.configurations if (accounts := _accounts(each, split))]
    columns = ("configuration", "responses", "pieces", *_KINDS.values(), "sentences/s", "ceiling")
    note = (
        f"Of {split}, means over seeds. A piece is a span that was written: malformed, of an unknown type, or "
        f"not in the sentence, it is dropped. The ceiling is the {task.measure_name} of perfect responses."
    )
    return ResultTable("Responses", columns, rows, note)


def _accounts(configuration: Configuration, split: str) -> list[dict[str, Any]]:
    """The account of each run that has one."""
    scores = (record.scores.get(split, {}) for record in configuration.runs.values())
    return [each["responses"] for each in scores if isinstance(each.get("responses"), dict)]


def _row(configuration: Configuration, accounts: list[dict[str, Any]]) -> tuple[str, ...]:
    counts = (_mean([each.get(key) for each in accounts]) for key in ("responses", "pieces", *_KINDS))
    shown = (
        "" if value is None else f"{value:,.4g}" if value < 1000 else f"{value:,.0f}" for value in counts
    )
    speed = _mean([each.get("sentences_per_second") for each in accounts])
    ceiling = _mean([each.get("ceiling", {}).get("f1") for each in accounts])
    return (configuration.label, *shown, "" if speed is None else f"{speed:,.2f}", points(ceiling))


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
