"""Is a difference more than chance? Tests over seeds, over sentences, and the paper's own over configurations.

    paired.py     paired t-test, exact sign-flip permutation test, effect sizes, intervals for a difference
    sentences.py  approximate randomisation and bootstrap over the sentences of a test set
    unmasking.py  the paper's question: does unmasking further groups nearer the output help?
    holm.py       correction for several tests at once

Numbers in, numbers out: nothing here knows runs, files or masks but as digits. See docs/guides/report.md for when to
believe which.
"""

from .holm import holm
from .paired import (
    Alternative,
    EffectSize,
    Interval,
    TestResult,
    bootstrap_interval,
    effect_size,
    paired_t,
    sign_flip,
    t_interval,
)
from .sentences import SentenceCounts, f1_interval, f1_randomisation
from .unmasking import UnmaskingTest, unmasking_over_seeds, unmasking_pairs, unmasking_test

__all__ = [
    "Alternative",
    "EffectSize",
    "Interval",
    "SentenceCounts",
    "TestResult",
    "UnmaskingTest",
    "bootstrap_interval",
    "effect_size",
    "f1_interval",
    "f1_randomisation",
    "holm",
    "paired_t",
    "sign_flip",
    "t_interval",
    "unmasking_over_seeds",
    "unmasking_pairs",
    "unmasking_test",
]
