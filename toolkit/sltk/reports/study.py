"""A study: one task per data set, one configuration per setting, one run per seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from statistics import fmean, stdev
from typing import Any

from ..masks import is_causal, is_digits
from ..rundir.pretrained_origin import Origin
from .mask_order import gray_code
from .run_reader import SPLITS
from .run_records import RunRecord


@dataclass(frozen=True, slots=True)
class Summary:
    """Mean and sample standard deviation (n - 1) of a score over n seeds; the deviation of one seed is NaN."""

    mean: float
    sd: float = math.nan
    n: int = 1

    @classmethod
    def of(cls, values: Sequence[float]) -> Summary:
        """Summarise at least one value."""
        return cls(fmean(values), stdev(values) if len(values) > 1 else math.nan, len(values))

    def points(self) -> str:
        """The score in points, such as `51.23 ± 1.10`."""
        return points(self.mean) + ("" if math.isnan(self.sd) else f" ± {points(self.sd)}")


def points(fraction: float | None, *, sign: bool = False) -> str:
    """A fraction in points (percent) with two decimals."""
    return "" if fraction is None else f"{100 * fraction:{'+' if sign else ''}.2f}"


def mean_of_known(values: Iterable[float | None]) -> float | None:
    """The mean of the values that are not None; None if all are."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


@dataclass
class Configuration:
    """Runs that differ in their seed only."""

    series: str
    """The settings that vary within the task, except the mask, in words; empty if only the mask varies.

    In a study with named arms, the name of the arm, and the settings that vary within it.
    """
    mask: str | None
    label: str
    runs: dict[int, RunRecord]
    curve: str = ""
    """The label without the limit of the training data, which all points of a learning curve share."""

    @property
    def origin(self) -> Origin | None:
        """The pre-trained model that the runs start from."""
        return next(iter(self.runs.values())).origin

    @property
    def attends_to_padding(self) -> bool:
        """Whether the runs have the published flaw on purpose, so that their scores depend on their batches."""
        backbone = next(iter(self.runs.values())).settings.get("backbone", {})
        return bool(backbone.get("attend_to_padding", False))

    def scores(self, split: str) -> dict[int, float]:
        """The score of each seed."""
        scores = {seed: record.score(split) for seed, record in self.runs.items()}
        return {seed: score for seed, score in scores.items() if score is not None}

    def summary(self, split: str) -> Summary:
        """Mean and deviation over seeds, for a split that the runs are scored on."""
        return Summary.of(list(self.scores(split).values()))

    def type_scores(self, split: str) -> dict[str, list[dict[str, Any]]]:
        """The scores of each type, one per seed."""
        by_type: dict[str, list[dict[str, Any]]] = {}
        for record in self.runs.values():
            for name, scores in record.scores[split].get("per_type", {}).items():
                by_type.setdefault(name, []).append(scores)
        return by_type

    def corpus_scores(self, split: str) -> dict[str, list[float]]:
        """The score of each corpus, one per seed, if the data has several."""
        by_corpus: dict[str, list[float]] = {}
        for record in self.runs.values():
            for name, scores in record.scores[split].get("corpora", {}).items():
                by_corpus.setdefault(name, []).append(float(scores[record.measure]))
        return by_corpus

    def cost(self, key: str) -> float | None:
        """Mean over seeds of a cost of training: a key of `train` in metrics.json."""
        return mean_of_known(record.train.get(key) for record in self.runs.values())


@dataclass(eq=False)
class StudyTask:
    """All configurations that were run on one data set, ordered by series and by the Gray code of the mask.

    If their sweep names them, they are ordered as in the sweep.
    """

    name: str
    configurations: list[Configuration]
    chosen_baseline: str | None = None
    has_arms: bool = False
    """Whether the configurations are named arms, which may differ in anything."""
    compare: tuple[str, ...] = ()
    """The comparisons to test instead of those with the baseline: `A:B` or `A:B::C:D`."""

    @cached_property
    def splits(self) -> list[str]:
        """The splits that all runs are scored on, validation first.

        Of a search only validation, so that no trial is chosen by its test score.
        """
        splits = [split for split in SPLITS if all(run.score(split) is not None for run in self.records())]
        return splits[:1] if self.is_search else splits

    @property
    def is_search(self) -> bool:
        """Whether all runs are trials of a search over values of keys, each chosen by the scores of earlier ones."""
        return all(run.trial is not None for run in self.records())

    @property
    def folds(self) -> dict[str, Any] | None:
        """The settings of the cross-validation, if all runs pool the folds of one."""
        records = list(self.records())
        return records[0].data.get("folds") if all(record.fold_runs for record in records) else None

    @property
    def unit(self) -> str:
        """What tests over the test data draw: `sentence`, or `document` where documents are cross-validated."""
        split = self.splits[-1]
        return "document" if all(split in record.documents for record in self.records()) else "sentence"

    def records(self) -> Iterator[RunRecord]:
        """Every run."""
        for configuration in self.configurations:
            yield from configuration.runs.values()

    @property
    def measure(self) -> str:
        """The key of the score that ranks runs: `f1` or `accuracy`."""
        return next(self.records()).measure

    @property
    def measure_name(self) -> str:
        """The name of the score in tables and figures."""
        return "F1" if self.measure == "f1" else "accuracy"

    def series(self) -> dict[str, list[Configuration]]:
        """Configurations grouped by the settings that vary besides the mask."""
        groups: dict[str, list[Configuration]] = {}
        for configuration in self.configurations:
            groups.setdefault(configuration.series, []).append(configuration)
        return groups

    def has_masks(self) -> bool:
        """Whether masks vary, so that they make the x axis and other settings make series."""
        if self.has_arms or self.is_search:
            return False
        return len({configuration.mask for configuration in self.configurations}) > 1

    def best(self, split: str) -> Configuration:
        """The configuration with the best mean on a split, the first one in case of a tie.

        Configurations that attend to padding are never the best, unless there are no others.
        """
        fair = [each for each in self.configurations if not each.attends_to_padding]
        return max(fair or self.configurations, key=lambda configuration: configuration.summary(split).mean)

    def baseline(self, of: Configuration) -> Configuration:
        """The configuration to compare with: the chosen one, else the causal one of the series, else the first."""
        chosen = (each for each in self.configurations if each.label == self.chosen_baseline)
        peers = self.series()[of.series] if self.has_masks() else self.configurations
        causal = (peer for peer in peers if peer.mask is not None and is_causal(peer.mask))
        return next(chain(chosen, causal, peers))

    def complete_masks(self) -> dict[str, dict[str, Configuration]]:
        """Series in which each of the 2^m masks of some m ≥ 2 was run: mask → configuration."""
        complete = {}
        for name, members in self.series().items():
            masks = {each.mask: each for each in members if each.mask is not None and is_digits(each.mask)}
            lengths = {len(mask) for mask in masks}
            if len(lengths) == 1 and (count := lengths.pop()) > 1 and len(masks) == 2**count:
                complete[name] = {mask: masks[mask] for mask in gray_code(count)}
        return complete

    def notes(self) -> list[str]:
        """Limits on the comparison of these runs, which may still appear in one table."""
        notes = []
        if self.is_search:
            notes.append(
                "trials were chosen by the scores of earlier ones: differences between them are not tested"
            )
        if len({tuple(each.runs) for each in self.configurations}) > 1:
            notes.append(
                "not all configurations have the same seeds; paired tests use the seeds that both have"
            )
        if any(len(each.runs) == 1 for each in self.configurations):
            notes.append("configurations with one seed have no standard deviation and no test over seeds")
        for key in ("sltk", "device", "precision", "products", "threads", "processes"):
            values = {str(run.environment[key]) for run in self.records() if key in run.environment}
            if len(values) > 1:
                notes.append(f"runs differ in {key}: {', '.join(sorted(values))}")
        return notes
