"""Log to MLflow: files in RUN/mlflow, or the server or folder that MLFLOW_TRACKING_URI names."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from ..errors import Problem, UsageError
from ..runtime.optional_imports import import_optional, is_installed
from .environment_defaults import environment_defaults

_DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
_LONGEST_VALUE = 6000
_MOST_AT_ONCE = 100
_NOT_IN_NAMES = re.compile(r"[^0-9A-Za-z_\-. :/]")


class MlflowTracker:
    """A run of MLflow in the experiment that MLFLOW_EXPERIMENT_NAME names, `sltk` by default.

    A resumed run continues it, if the store still has it.
    """

    def __init__(self, folder: Path, run: str, parameters: Mapping[str, str], run_id: str | None) -> None:
        with _with_files():
            mlflow = import_optional("mlflow", "`log_to: [mlflow]`", "mlflow")
            entities = import_optional("mlflow.entities", "`log_to: [mlflow]`", "mlflow")
            self._metric, self._param = entities.Metric, entities.Param
            own = (folder / "mlflow").absolute().as_uri()
            uri = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else own
            _check_database(uri)
            self._client: Any = mlflow.MlflowClient(tracking_uri=uri, registry_uri=own)
            known = None if run_id is None else self._known(run_id, mlflow.MlflowException)
            if known is None:
                known = self._client.create_run(self._experiment(), run_name=run).info.run_id
                self._log_parameters(known, parameters)
            else:
                self._client.update_run(known, status="RUNNING")
        self.run_id: str | None = known

    def _known(self, run_id: str, error: type[Exception]) -> str | None:
        try:
            return str(self._client.get_run(run_id).info.run_id)
        except error:
            return None

    def _experiment(self) -> str:
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "sltk"
        existing = self._client.get_experiment_by_name(name)
        return str(existing.experiment_id if existing else self._client.create_experiment(name))

    def _log_parameters(self, run_id: str, parameters: Mapping[str, str]) -> None:
        entries = [
            self._param(_NOT_IN_NAMES.sub("_", key), value[:_LONGEST_VALUE])
            for key, value in parameters.items()
        ]
        for start in range(0, len(entries), _MOST_AT_ONCE):
            self._client.log_batch(run_id, params=entries[start : start + _MOST_AT_ONCE])

    def started(self, done: int) -> None:
        """Nothing: numbers of repeated updates are logged again, with the same step."""

    def log(self, step: int, values: Mapping[str, float]) -> None:
        """Log numbers of an update."""
        now = int(time.time() * 1000)
        entries = [
            self._metric(_NOT_IN_NAMES.sub("_", name), value, now, step) for name, value in values.items()
        ]
        with _with_files():
            for start in range(0, len(entries), _MOST_AT_ONCE):
                self._client.log_batch(self.run_id, metrics=entries[start : start + _MOST_AT_ONCE])

    def finish(self, error: BaseException | None) -> None:
        """End the run."""
        is_stopped = isinstance(error, KeyboardInterrupt)
        status = "FINISHED" if error is None else "KILLED" if is_stopped else "FAILED"
        with _with_files():
            self._client.set_terminated(self.run_id, status=status)


def _check_database(uri: str) -> None:
    """Check that the package can use the database that an address names, if it names one.

    Raises:
        UsageError: it cannot.
    """
    if uri.partition(":")[0].partition("+")[0] in _DATABASES and not is_installed("sqlalchemy"):
        note = "`pip install mlflow`, or name a server (http://…) or a folder"
        message = "MLFLOW_TRACKING_URI names a database, which the package mlflow-skinny cannot use"
        raise UsageError(Problem(message, notes=(note,)))


def _with_files() -> AbstractContextManager[None]:
    """Allow a store in files, which needs no database."""
    return environment_defaults({"MLFLOW_ALLOW_FILE_STORE": "true"})
