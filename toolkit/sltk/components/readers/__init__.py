"""Readers: one module per file format, and what they share. Importing this package registers all readers."""

from . import (
    ace05,
    brat,
    concat,
    conll,
    conllu,
    csv,
    docbin,
    doccano,
    dygie,
    grammar,
    holdout,
    huggingface,
    jsonl,
    label_studio,
    maven,
    oneie,
    semeval14,
    spert,
    text,
)
