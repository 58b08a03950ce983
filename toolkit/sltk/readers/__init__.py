"""Readers: one file a format. Importing this registers them all."""

from . import conll, csv, grammar, holdout, text  # noqa: F401
