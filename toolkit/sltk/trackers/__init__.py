"""Where a run is logged in addition to log.jsonl: `trainer.log_to` of a spec.

tracked_progress.py      passes loss, scores and settings on to each tracker
tensorboard_tracker.py   RUN/tensorboard/
wandb_tracker.py         RUN/wandb/, and the servers of W&B unless it is offline
mlflow_tracker.py        RUN/mlflow/, or the server that MLFLOW_TRACKING_URI names

All files are below the run directory, unless an environment variable of the library names another place.
"""
