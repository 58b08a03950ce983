"""Datasets: loading, conversion to the model's tag scheme, statistics, scores of files, and checks."""
