"""Executors: where the runs of a sweep run."""

from . import local, ray_tasks, slurm
