"""Readers: one file a format. Importing this registers them all."""

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
