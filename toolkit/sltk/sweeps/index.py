"""The index of a sweep: an SQLite file with one row per run, so that not every folder must be read again.

Changes are written through to disk, in write-ahead logging mode, so they survive a power failure. The run
directories are the authority on which runs are finished, and `run_state.py` updates the index from them. Without
the file, only the counts of crashes and the reasons of failures are lost.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

from ..errors import RunError

State = Literal["waiting", "running", "done", "pruned", "failed", "damaged"]
"""`pruned`: ended early on purpose, and without a model."""
VERSION = 1


@dataclass(frozen=True)
class Row:
    """The state of one run."""

    name: str
    digest: str
    """Digest of its spec."""
    state: State = "waiting"
    reason: str = ""
    """The reason why it failed, was ended early or counts as damaged."""
    deaths: int = 0
    """Number of times in a row that its process died without progress."""
    interruptions: int = 0
    """Number of times that the whole sweep ended while the run was running."""
    seconds: float = 0.0
    """Wall-clock time of all attempts."""
    bytes: int = 0
    """Size of its directory when it was finished."""
    validation: float | None = None
    """F1 on validation data, or accuracy for metrics without F1."""
    test: float | None = None
    """The same on test data."""
    metrics: str = ""
    """SHA-256 of metrics.json when it was written."""

    @property
    def score(self) -> float | None:
        """The score to compare runs by: validation, or test if there is no validation data."""
        return self.validation if self.validation is not None else self.test


class IndexUnreadableError(Exception):
    """The index cannot be read without changing it; the run directories say which runs are finished."""


_COLUMNS = ", ".join(field.name for field in fields(Row))


class Index:
    """The rows by name. A file that is not an index of this version is moved aside, and a new one created."""

    def __init__(self, path: Path) -> None:
        """Open or create the file.

        Raises:
            RunError: the file cannot be opened for writing, or another program has locked it.
        """
        self.path = path
        self.replaced: Path | None = None
        """The new path of an unreadable file, which was moved aside."""
        try:
            self._connection = self._open()
        except sqlite3.OperationalError as error:  # the disk, or another program, not the file
            raise RunError(f"cannot open the index `{path}`: {error}") from error
        except sqlite3.DatabaseError:
            self.replaced = self._move_aside()
            self._connection = self._open()

    def _open(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None)
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version not in (0, VERSION):
                raise sqlite3.DatabaseError(f"index of version {version}")
            connection.execute(f"CREATE TABLE IF NOT EXISTS runs ({_COLUMNS}, PRIMARY KEY (name))")
            connection.execute(f"SELECT {_COLUMNS} FROM runs").fetchall()
            connection.execute(f"PRAGMA user_version={VERSION}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _move_aside(self) -> Path:
        aside = self.path.with_name(f"{self.path.name}.damaged")
        self.path.replace(aside)
        for ending in ("-wal", "-shm"):
            self.path.with_name(self.path.name + ending).unlink(missing_ok=True)
        return aside

    def rows(self) -> dict[str, Row]:
        """All rows."""
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM runs")
        return {values[0]: Row(*values) for values in rows}

    def put(self, *rows: Row) -> None:
        """Write rows; they are on disk when this returns.

        Raises:
            sqlite3.OperationalError: the disk is full.
        """
        marks = ", ".join("?" * len(fields(Row)))
        with self._connection:
            self._connection.execute("BEGIN")
            self._connection.executemany(
                f"INSERT OR REPLACE INTO runs VALUES ({marks})", [astuple(row) for row in rows]
            )

    def close(self) -> None:
        """Close the file."""
        self._connection.close()


def read_rows(path: Path) -> dict[str, Row]:
    """The rows of an index, which may be locked or read-only; nothing is written next to it.

    SQLite would create files beside it, so a copy is read.

    Raises:
        IndexUnreadableError: the file cannot be read, or is not an index of this version.
    """
    if not path.exists():
        return {}
    with TemporaryDirectory(prefix="sltk-index-") as name:
        copy = Path(name) / path.name
        try:
            for ending in ("", "-wal"):
                source = path.with_name(path.name + ending)
                if source.exists():
                    shutil.copyfile(source, copy.with_name(copy.name + ending))
            with closing(sqlite3.connect(copy)) as connection:
                (version,) = connection.execute("PRAGMA user_version").fetchone()
                if version != VERSION:
                    raise IndexUnreadableError(f"it has version {version}")
                return {
                    values[0]: Row(*values) for values in connection.execute(f"SELECT {_COLUMNS} FROM runs")
                }
        except (OSError, sqlite3.Error) as error:
            raise IndexUnreadableError(str(error)) from error
