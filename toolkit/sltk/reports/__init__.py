"""`sltk report`: finished runs as tables, figures and tests.

    assembly.py            READ THIS FIRST: the whole report, step by step
    run_records.py         one run as one JSON object; files of records can be committed
    discovery.py           finds runs and records; run_reader.py and predictions.py read a run directory,
                           sweep_plans.py the plan of their sweep
    comparability.py       which runs can be compared with each other
    study.py               tasks, configurations, seeds, means; arrangement.py makes them of records
    mask_order.py          the order of masks in tables and figures
    pretraining_curves.py  curves over the checkpoints of pre-training
    comparisons.py         the significance tests that the runs allow; significance/ has the tests themselves
    result_tables.py, significance_tables.py    tables, as text; arm_tables.py those of named arms
    figures.py, diagnostics.py, plotting.py     figures; arm_figures.py those of named arms
    pages.py               HTML, Markdown, LaTeX and CSV

Imports no torch.
"""
