"""The command line: the only package that prints and that catches `SltkError`.

    app.py                  the app, options shared by commands, output, errors
    run_commands.py         train, evaluate, export
    predict_command.py      predict
    threshold_commands.py   thresholds
    serve_commands.py       serve
    hub_commands.py         card, push
    sweep_commands.py       sweep
    search_commands.py      search
    pretrain_commands.py    pretrain
    spec_commands.py        check, schema
    component_commands.py   list, show
    data_commands.py        stats, convert, score
    report_commands.py      report

Importing this package imports no torch, no transformers and no pydantic: a command imports what it needs when it
runs, so that `--help` is instant.
"""

# Each module registers its commands on the app, and `sltk --help` lists them in this order.
from . import run_commands  # noqa: F401  # isort: skip
from . import predict_command, threshold_commands  # noqa: F401  # isort: skip
from . import serve_commands, hub_commands, sweep_commands, search_commands, pretrain_commands  # noqa: F401  # isort: skip
from . import spec_commands, component_commands, data_commands, report_commands  # noqa: F401  # isort: skip
from .app import main

__all__ = ["main"]
