"""Single errors of finished runs, and annotation that they disagree with.

    error_kinds.py    the kind of every gold and every predicted span
    run_errors.py     the errors of one run, read from its directory
    error_browser.py  the page of `sltk report --errors`; page/ has its style and its script

Imports no torch.
"""
