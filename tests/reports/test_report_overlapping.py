"""Counts of a report from predictions whose spans overlap."""

from __future__ import annotations

from sltk import schemes
from sltk.components.metrics import SeqevalMetric
from sltk.reports.predictions import count_spans, gold_digest
from sltk.types import Span

WORDS = ["a", "b", "c"]
GOLD = [Span(0, 3, "X"), Span(1, 2, "X"), Span(1, 2, "Y")]


def test_counts_and_confusion_of_overlapping_spans():
    """Each span counts, also of several over the same words, whose confusion pairs equal types first."""
    gold = schemes.encode(GOLD, 3, "layers")
    predicted = schemes.encode(
        [Span(0, 3, "X"), Span(1, 2, "Y"), Span(1, 2, "Z"), Span(0, 2, "Z")], 3, "layers"
    )
    counts, confusion = count_spans([(WORDS, gold, predicted)], SeqevalMetric(), "layers")
    assert (counts.gold, counts.predicted, counts.correct) == ([3], [4], [2])
    assert confusion == [("", "Z", 1), ("X", "X", 1), ("X", "Z", 1), ("Y", "Y", 1)]


def test_the_digest_covers_all_layers():
    """Gold annotation that differs in an inner span is not the same annotation."""
    inner, outer = schemes.encode(GOLD, 3, "layers"), schemes.encode(GOLD[:1], 3, "layers")
    digests = {gold_digest([(WORDS, tags, tags)], "layers") for tags in (inner, outer)}
    assert len(digests) == 2
    assert gold_digest([(WORDS, outer, outer)], "IOB2") in digests
