"""Single errors of finished runs, and annotation that they disagree with.

    error_kinds.py    the kind of every gold and every predicted span
    run_errors.py     the errors of one run, read from its directory
    error_browser.py  the page of `sltk report --errors`; page/ has its style and its script
    held_out_runs.py  what runs predicted for sentences that they were not trained on
    suspects.py       annotation that such runs confidently disagree with: `sltk check --data --suspects`

Imports no torch.
"""
