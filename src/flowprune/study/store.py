"""Rows of finished trials: published ones as plain text in the repository, local ones in SQLite.

A row is a dict: ``key``, ``experiment``, ``version``, ``spec``, ``status`` (done, failed), ``error``,
``result``, ``seconds`` and ``made`` (its provenance). Published files are ``data/trials/*.jsonl``: one
compact row a line, sorted by key.
"""

from __future__ import annotations

import atexit
import json
import os
import shutil
import sqlite3
import tempfile
import uuid
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from . import project

if TYPE_CHECKING:
    from .specs import Trial

Row = dict[str, Any]
SHAPE: dict[str, type | tuple[type, ...]] = {
    "key": str, "experiment": str, "version": int, "spec": dict, "status": str, "result": dict,
    "seconds": (int, float), "made": dict,
}  # fmt: skip
PATIENCE = 60.0  # seconds to wait for another process's transaction
# faults that lie outside the file: a full disk, a folder without permission, a process that does not end
OUTSIDE = {
    sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_BUSY,
}  # fmt: skip


class StoreError(RuntimeError):
    """The store cannot be used; the sentence names the file and how to go on."""


class StoreWarning(UserWarning):
    """Rows that were skipped, ignored or failed."""


def recomputing() -> bool:
    """``FLOWPRUNE_RECOMPUTE=1``: published rows are not read and local rows live in a temporary store."""
    return os.environ.get("FLOWPRUNE_RECOMPUTE") == "1"


@cache
def temporary() -> Path:
    """A folder of this process alone, gone when it ends."""
    folder = Path(tempfile.mkdtemp(prefix="flowprune-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


class Store:
    """Published rows (a folder of ``.jsonl`` files, or None) over local rows (one SQLite file, opened when
    first needed).
    """

    def __init__(self, path: Path, published: Path | None) -> None:
        self.path, self.folder = Path(path), published
        self.published: dict[str, Row] = {}
        self.problems: list[
            str
        ] = []  # "file:line: what is wrong", one for each published row that is skipped
        for file in sorted(published.glob("*.jsonl")) if published else ():
            self._read(file)
        self._owner: str | None = None

    @classmethod
    def open(cls) -> Store:
        """The project's store; under ``FLOWPRUNE_RECOMPUTE=1`` a temporary one, shared by this process,
        nothing published.
        """
        if recomputing():
            return cls(temporary() / "trials.sqlite", None)
        return cls(project.state() / "trials.sqlite", project.root() / "data" / "trials")

    # reading

    def get(self, keys: Iterable[str]) -> dict[str, Row]:
        """The stored row of each key that has one, with its ``source``; a done row goes before a failed
        one.
        """
        keys = list(keys)
        found = {key: self.published[key] | {"source": "published"} for key in keys if key in self.published}
        unsure = [key for key in keys if key not in found or found[key]["status"] == "failed"]
        for row in self._local(unsure) if unsure else ():
            if row["key"] not in found or row["status"] == "done":
                found[row["key"]] = row | {"source": "local"}
        return found

    def rows(self, experiment: str | None = None) -> list[Row]:
        """All rows, of one experiment if named, sorted by key."""
        keys = set(self.published) | {key for (key,) in self._do("SELECT key FROM rows")}
        return [row for _, row in sorted(self.get(keys).items()) if experiment in (None, row["experiment"])]

    def tell(self, versions: Mapping[str, int]) -> None:
        """Warn of published rows that are damaged, and count those of these experiments in another version
        than asked.
        """
        for problem in self.problems:
            warnings.warn(problem, StoreWarning, stacklevel=3)
        others = Counter(
            (row["experiment"], row["version"])
            for row in self.published.values()
            if row["experiment"] in versions and row["version"] != versions[row["experiment"]]
        )
        for (experiment, version), count in sorted(others.items()):
            warnings.warn(
                f"{count} published rows of {experiment!r} are of version {version}, not "
                f"{versions[experiment]}: ignored.",
                StoreWarning,
                stacklevel=3,
            )

    def _read(self, file: Path) -> None:
        for number, line in enumerate(file.read_bytes().splitlines(), 1):
            where = f"{file.parent.name}/{file.name}:{number}"
            try:
                row = json.loads(line)
                wrong = [n for n, kind in SHAPE.items() if not isinstance(row.get(n), kind)]
                if wrong or row["status"] not in ("done", "failed"):
                    raise ValueError(f"{', '.join(wrong) or 'status'} missing or of the wrong kind")
            except (ValueError, AttributeError) as error:
                self.problems.append(f"{where}: not a trial's row ({error}); skipped.")
                continue
            if row["key"] in self.published:
                self.problems.append(
                    f"{where}: key {row['key']} was published before; the first row is kept."
                )
            else:
                self.published[row["key"]] = row | {"file": file.name}

    def _local(self, keys: list[str]) -> Iterator[Row]:
        for at in range(0, len(keys), 500):
            part = keys[at : at + 500]
            marks = ",".join("?" * len(part))
            for (text,) in self._do(f"SELECT row FROM rows WHERE key IN ({marks})", part):
                try:
                    yield json.loads(text)
                except ValueError as error:  # a damage that SQLite does not notice
                    raise self._unusable(error) from None

    # writing

    def save(self, row: Row) -> None:
        """Store one row; it is on disk when this returns. A done row is never replaced by a failed one."""
        keep = "WHERE rows.status = 'failed' OR excluded.status = 'done'"
        with self._transaction():
            self._do(
                "INSERT INTO rows VALUES (?, ?, ?, ?) ON CONFLICT (key) DO UPDATE "
                f"SET status = excluded.status, row = excluded.row {keep}",
                (row["key"], row["experiment"], row["status"], json.dumps(row)),
            )
            self._do("DELETE FROM claims WHERE key = ?", (row["key"],))

    def publish(self, trials: Iterable[Trial], name: str | None = None) -> Path:
        """Write ``data/trials/<name>.jsonl`` (by default the experiment's name): the rows of these trials, without
        those that another file holds (experiments may share trials, a row is published once).

        Raises StoreError when a trial has no row yet.
        """
        trials = list(trials)
        rows = self.get(trial.key for trial in trials)
        if lacking := [trial for trial in trials if trial.key not in rows]:
            raise StoreError(
                f"{len(lacking)} of {len(trials)} trials have no row yet, first {lacking[0]}: collect them."
            )
        if self.folder is None:
            raise StoreError("A temporary store publishes nothing: unset FLOWPRUNE_RECOMPUTE.")
        file = self.folder / f"{name or trials[0].experiment}.jsonl"
        lines = []
        for _, row in sorted(rows.items()):
            if row.get("file", file.name) != file.name:
                continue
            told = {name: value for name, value in row.items() if name not in ("source", "file")}
            lines.append(json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False) + "\n")
        project.write(file, "".join(lines))
        return file

    # many processes on one store: a claim is alive as long as its owner holds the lock of a file, which the
    # system releases even when the owner is killed

    @contextmanager
    def working(self) -> Iterator[None]:
        """Inside, this process may claim trials; its claims end with it, however it ends."""
        folder = self.path.with_name("running")
        folder.mkdir(parents=True, exist_ok=True)
        self._owner = uuid.uuid4().hex
        lock = FileLock(folder / self._owner)
        with lock:
            try:
                yield
            finally:
                self._do("DELETE FROM claims WHERE owner = ?", (self._owner,))
        Path(lock.lock_file).unlink(missing_ok=True)

    def claim(self, keys: list[str], retry: bool = False) -> tuple[set[str], dict[str, Row]]:
        """Claim the keys that nobody computes. Returns those, and the rows that were stored in the
        meantime.
        """
        with self._transaction():
            done = {row["key"]: row | {"source": "local"} for row in self._local(keys)}
            if retry:
                done = {key: row for key, row in done.items() if row["status"] == "done"}
            marks = ",".join("?" * len(keys))
            taken = dict(self._do(f"SELECT key, owner FROM claims WHERE key IN ({marks})", keys))
            alive = {owner for owner in set(taken.values()) if self._alive(owner)}
            free = {key for key in keys if key not in done and taken.get(key) not in alive}
            for key in free:
                self._do("INSERT OR REPLACE INTO claims VALUES (?, ?)", (key, self._owner))
        return free, done

    def _alive(self, owner: str) -> bool:
        file = self.path.with_name("running") / owner
        if not file.exists():
            return False
        try:
            with FileLock(file, timeout=0):
                pass
        except Timeout:
            return True
        file.unlink(missing_ok=True)
        return False

    # SQLite

    @cached_property
    def _db(self) -> sqlite3.Connection:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        db = sqlite3.connect(self.path, timeout=PATIENCE, isolation_level=None)
        # A change of the journal does not wait for others as transactions do: who opens a new store opens it alone.
        with FileLock(self.path.with_suffix(".opening"), timeout=PATIENCE):
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=NORMAL")
            db.execute(
                "CREATE TABLE IF NOT EXISTS rows (key TEXT PRIMARY KEY, experiment TEXT, status TEXT, row TEXT)"
            )
            db.execute("CREATE TABLE IF NOT EXISTS claims (key TEXT PRIMARY KEY, owner TEXT)")
        return db

    def _do(self, sql: str, values: Iterable[Any] = ()) -> list[tuple[Any, ...]]:
        try:
            return self._db.execute(sql, tuple(values)).fetchall()
        except sqlite3.DatabaseError as error:
            raise self._unusable(error) from None

    def _unusable(self, error: Exception) -> StoreError:
        code = getattr(error, "sqlite_errorcode", 0)  # its low byte is the kind of error
        if code & 0xFF in OUTSIDE and code != sqlite3.SQLITE_IOERR_SHORT_READ:  # a file cut off
            remedy = "Make room on its disk, see that it can be written to, and run again: its rows are kept."
        else:
            remedy = (
                "Move it away together with its -wal and -shm files: published rows stay readable, "
                "trials that only it held are computed again."
            )
        return StoreError(f"The local store {self.path} cannot be used ({error}). {remedy}")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._do("BEGIN IMMEDIATE")
        try:
            yield
            self._do("COMMIT")
        except BaseException:
            if self._db.in_transaction:  # a full disk may have ended it
                self._do("ROLLBACK")
            raise
