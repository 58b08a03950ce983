"""Executors: run the jobs of a sweep on this machine, on Ray or through Slurm."""

from . import local, ray_tasks, slurm
