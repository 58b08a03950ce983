"""Readers: one file a format. Importing this registers them all."""

from . import ace05, conll, csv, grammar, holdout, huggingface, jsonl, maven, semeval14, text  # noqa: F401
