"""Metrics: predicted tags against gold ones. One file a metric; `counting` is what they share."""

from .accuracy import AccuracyMetric
from .seqeval import SeqevalMetric

__all__ = ["AccuracyMetric", "SeqevalMetric"]
