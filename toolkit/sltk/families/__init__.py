"""Families, shapes and files of models: what is known of a model without loading its weights."""
