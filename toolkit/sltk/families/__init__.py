"""Families, shapes and files of models: information about a model that is available without its weights."""
