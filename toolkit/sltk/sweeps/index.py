"""The index of a sweep's runs: an SQLite file that only saves looking at every folder.

Write-ahead logging, brought to disk with each change: what it says survives a power cut. Which runs are finished
is in the run directories, and `records.py` brings the index up to date with them; without the file nothing is
lost but how often a run has died, and what the failed ones died of.
"""

from __future__ import annotations

import sqlite3
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Literal

State = Literal["waiting", "running", "done", "failed", "damaged"]
VERSION = 1


@dataclass(frozen=True)
class Row:
    """What is known of one run."""

    name: str
    digest: str
    """Of its spec."""
    state: State = "waiting"
    reason: str = ""
    """Why it failed, or how it is damaged."""
    deaths: int = 0
    """How often in a row its process died without getting further."""
    interruptions: int = 0
    """How often the whole sweep ended while it ran."""
    seconds: float = 0.0
    """Wall-clock time of all its attempts."""
    bytes: int = 0
    """Size of its directory when it was finished."""
    validation: float | None = None
    """F1, or accuracy where there is none; so for `test`."""
    test: float | None = None
    metrics: str = ""
    """Hash of metrics.json as it was written."""

    @property
    def score(self) -> float | None:
        """What runs are compared by: validation, or test where there is no validation data."""
        return self.validation if self.validation is not None else self.test


_COLUMNS = [field.name for field in fields(Row)]


class Index:
    """The rows by name. A file that is no index of this version is put aside, and a new one begun."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.replaced: Path | None = None
        """Where a file that could not be read was put."""
        try:
            self._connection = self._open()
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                raise  # the disk, not the file
            self.replaced = self._put_aside()
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"index of version {version}")
            connection.execute(f"CREATE TABLE IF NOT EXISTS runs ({', '.join(_COLUMNS)}, PRIMARY KEY (name))")
            connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM runs").fetchall()
            connection.execute(f"PRAGMA user_version={VERSION}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _put_aside(self) -> Path:
        aside = self.path.with_name(f"{self.path.name}.damaged")
        self.path.replace(aside)
        for ending in ("-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        return aside

    def rows(self) -> dict[str, Row]:
        """All rows."""
        found = self._connection.execute(f"SELECT {', '.join(_COLUMNS)} FROM runs")
        return {values[0]: Row(*values) for values in found}

    def put(self, *rows: Row) -> None:
        """Write rows, on disk when this returns.

        Raises:
            sqlite3.OperationalError: the disk is full.
        """
        marks = ", ".join("?" * len(_COLUMNS))
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.executemany(
                f"INSERT OR REPLACE INTO runs VALUES ({marks})", [astuple(row) for row in rows]
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()
