"""Metrics: predictions against gold annotation. One file a metric; the other files are what they share."""

from .accuracy import AccuracyMetric
from .partial import PartialMetric
from .seqeval import SeqevalMetric
from .spans import SpansMetric

__all__ = ["AccuracyMetric", "PartialMetric", "SeqevalMetric", "SpansMetric"]
