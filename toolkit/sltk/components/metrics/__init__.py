"""Metrics: compare predictions with gold annotation. One module per metric, and what they share."""

from .accuracy import AccuracyMetric
from .partial import PartialMetric
from .seqeval import SeqevalMetric
from .spans import SpansMetric

__all__ = ["AccuracyMetric", "PartialMetric", "SeqevalMetric", "SpansMetric"]
