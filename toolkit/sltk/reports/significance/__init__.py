"""Significance tests over seeds and over sentences, and the paper's own test over configurations.

    paired.py          paired t-test, sign flips, effect sizes, intervals for a difference, Holm's correction
    sentences.py       approximate randomisation and bootstrap over the sentences of a test set
    configurations.py  the paper's question: does unmasking further groups nearer the output help?

The functions take numbers and return numbers. docs/guides/report.md says when to trust which test.
"""
