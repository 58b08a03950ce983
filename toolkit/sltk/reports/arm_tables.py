"""Tables of a study with named arms: scores with intervals, cost relative to the baseline, and the end of training."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from .result_tables import ResultTable
from .significance.paired import Interval, mean_interval
from .significance.sentences import f1_mean_interval
from .significance_tables import interval_text
from .study import Configuration, StudyTask, Summary, points

_CONDITIONS = ("device", "precision", "threads", "processes", "products")
"""Keys of environment.json that change speed and memory."""
_SPEEDS = {
    "training": ("words_per_second", "words_per_cpu_second"),
    "prediction": ("prediction_words_per_second", "prediction_words_per_cpu_second"),
}
"""What is measured, with the keys of its speed by wall-clock and by CPU time."""

_PADDED = "they label in the padded batches of `batch_size` sentences, and the others in larger passes"


def sentence_interval(configuration: Configuration, split: str) -> Interval | None:
    """95 % interval of the mean F1 by a bootstrap over sentences; None if a run has no counts."""
    counts = [each.unit_counts(split) for record in configuration.runs.values() for each in record.passes]
    known = [each for each in counts if each is not None]
    return f1_mean_interval(known) if len(known) == len(counts) else None


def arm_table(task: StudyTask) -> ResultTable:
    """Mean and intervals of each arm; the best by validation is highlighted."""
    split = task.splits[-1]
    rows = []
    for each in task.configurations:
        scores = (each.summary(name).points() for name in task.splits)
        intervals = sentence_interval(each, split), mean_interval(list(each.scores(split).values()))
        texts = (interval_text(interval, sign=False) for interval in intervals)
        rows.append((each.label, str(len(each.runs)), *scores, *texts))
    columns = ("arm", "n", *task.splits, f"95 % ({task.unit}s)", "95 % (seeds, t)")
    best = task.best(task.splits[0])
    note = (
        f"{task.measure_name} in points, mean ± sample standard deviation over n seeds. Intervals of the mean on "
        f"{split}: a bootstrap over {task.unit}s with these models, and t over seeds on these sentences. "
        f"Bold: best by {task.splits[0]}."
    )
    return ResultTable("Scores", columns, rows, note, task.configurations.index(best))


def cost_table(task: StudyTask) -> ResultTable:
    """Speed of training and prediction, memory and parameters, relative to the baseline."""
    baseline = task.baseline(task.configurations[0])
    columns: dict[str, list[str]] = {"arm": [each.label for each in task.configurations]}
    for name, keys in _SPEEDS.items():
        known = comparable(task, name)
        for key, unit in zip(keys, ("words/s", "words/CPU s"), strict=True):
            values = [each.cost(key) if each in known else None for each in task.configurations]
            columns[f"{name} {unit}"] = [_number(value) for value in values]
        columns[f"{name} time ×"] = [_ratio(relative_time(task, each, name)) for each in task.configurations]
    memory = [each.cost("peak_memory_bytes") for each in task.configurations]
    columns["peak memory (GiB)"] = [_number(value, 2**30, 2) for value in memory]
    columns["memory ×"] = [_ratio(_quotient(value, baseline.cost("peak_memory_bytes"))) for value in memory]
    for key, title in (("parameters", "parameters (M)"), ("trained_parameters", "trained (M)")):
        columns[title] = [_number(each.cost(key), 1e6, 2) for each in task.configurations]
    shown = {title: cells for title, cells in columns.items() if any(cells)}
    return ResultTable("Cost", tuple(shown), list(zip(*shown.values(), strict=True)), _cost_note(task))


def _cost_note(task: StudyTask) -> str:
    baseline = task.baseline(task.configurations[0]).label
    clocks = {_clock(task, name) for name in _SPEEDS}
    by_cpu = clocks == {1}
    time = "CPU time, which other work on the machine changes less" if by_cpu else "wall-clock time"
    note = (
        f"Means over seeds; × is relative to {baseline}: time per word, by {time}, and memory. Training words/s are "
        "without validation; prediction words/s are those of labelling validation and test. Memory is that of the "
        "GPU, or of the whole process on a CPU."
    )
    known = comparable(task, "prediction")
    if flawed := [each.label for each in task.configurations if each not in known]:
        note += f" Prediction is left out for arms that attend to padding, because {_PADDED}: {', '.join(flawed)}."
    if pretrained := [each.label for each in task.configurations if each.origin is not None]:
        note += f" The cost of pre-training is not included: {', '.join(pretrained)}."
    return f"{note} {conditions_text(task)}"


def conditions_text(task: StudyTask) -> str:
    """The device, number format and number of threads of all runs, and a warning if they are not the same."""
    alike, differing = [], []
    for key in _CONDITIONS:
        labels: dict[str, list[str]] = {}
        for each in task.configurations:
            for value in sorted({str(run.environment.get(key, "unknown")) for run in each.runs.values()}):
                labels.setdefault(value, []).append(each.label)
        if len(labels) > 1:
            differing.append(
                f"{key} " + ", ".join(f"{value} ({_listed(of)})" for value, of in labels.items())
            )
        elif labels.keys() != {"unknown"}:
            alike.append(f"{key} {next(iter(labels))}")
    text = f"All runs: {', '.join(alike)}." if alike else ""
    if differing:
        text += f" Note: measured under different conditions, so do not compare: {'; '.join(differing)}."
    return text.strip()


def _listed(labels: Sequence[str]) -> str:
    return ", ".join(labels[:3]) + (f" and {len(labels) - 3} more" if len(labels) > 3 else "")


def comparable(task: StudyTask, name: str) -> list[Configuration]:
    """The configurations whose speeds can be compared, for `training` or `prediction`.

    Prediction with `attend_to_padding` keeps the batches of the spec, and is not comparable with others.
    """
    fair = [each for each in task.configurations if not each.attends_to_padding]
    return fair if fair and name == "prediction" else task.configurations


def relative_time(task: StudyTask, configuration: Configuration, name: str) -> float | None:
    """Time per word divided by that of the baseline, for `training` or `prediction`.

    None if it is unknown, or not comparable.
    """
    key, baseline = _SPEEDS[name][_clock(task, name)], task.baseline(configuration)
    known = comparable(task, name)
    if configuration not in known or baseline not in known:
        return None
    return _quotient(baseline.cost(key), configuration.cost(key))


def _clock(task: StudyTask, name: str) -> int:
    """Which speed all comparable arms have: 1 for that by CPU time, else 0 for that by wall-clock time."""
    return int(all(each.cost(_SPEEDS[name][1]) for each in comparable(task, name)))


def _quotient(value: float | None, other: float | None) -> float | None:
    return value / other if value is not None and other else None


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _number(value: float | None, unit: float = 1, digits: int = 0) -> str:
    return "" if value is None else f"{value / unit:,.{digits}f}"


def learning_table(task: StudyTask) -> ResultTable | None:
    """Whether validation scores have flattened: the score during training, and the gain of the last epoch.

    None if no run has been scored in two epochs.
    """
    rows = [(each.label, *_learning_row(each)) for each in task.configurations if _epochs(each)]
    if not rows:
        return None
    columns = (
        "arm",
        "epochs",
        "at 1/3",
        "at 2/3",
        "at the end",
        "gain of last third",
        "gain of last epoch",
        "best epoch",
    )
    note = (
        f"{task.measure_name} on validation in points, mean over seeds, ± sample standard deviation of the gain. A "
        "learning rate that falls to 0 flattens every curve at its end; the gain of the last third shows more."
    )
    return ResultTable("Learning", columns, rows, note)


def _epochs(configuration: Configuration) -> list[list[float]]:
    """The validation scores of each epoch, one list per seed, cut to the shortest; empty with fewer than two."""
    curves = [[score for _, _, score in run.curve.validation] for run in configuration.runs.values()]
    length = min(map(len, curves))
    return [curve[:length] for curve in curves] if length > 1 else []


def _learning_row(configuration: Configuration) -> Iterator[str]:
    curves = _epochs(configuration)
    count = len(curves[0])
    means = [Summary.of(scores).mean for scores in zip(*curves, strict=True)]
    third, two_thirds = (max(0, round(count * part / 3) - 1) for part in (1, 2))
    yield str(count)
    yield from (points(means[place]) for place in (third, two_thirds, count - 1))
    for start in (two_thirds, count - 2):
        yield _gain(curve[-1] - curve[start] for curve in curves)
    yield str(1 + means.index(max(means)))


def _gain(gains: Iterable[float]) -> str:
    summary = Summary.of(list(gains))
    return f"{points(summary.mean, sign=True)}{summary.points()[len(points(summary.mean)) :]}"
