"""The training loop: packed batches, optimizers, schedules, checkpoints, resuming."""
