"""Significance tests over seeds and over sentences, and the paper's own test over configurations.

    paired.py          paired t-test, sign flips, effect sizes, intervals for a difference, Holm's correction
    dependent_folds.py the t-test over folds of a cross-validation, corrected for their common training data
    sentences.py       approximate randomisation and bootstrap over the sentences of a test set
    configurations.py  the paper's question: does unmasking further groups nearer the output help?

The functions take numbers and return numbers. docs/guides/report.md says when to trust which test.
"""
