"""A whole adapter: files in an SQLite database. ``docs/adapters.md`` goes through it."""

import json
import sqlite3
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import file_keeper as fk
from file_keeper import exc, hashing
from file_keeper.backend import Backend, Body, Limits, ObjectInfo, Page, WriteOptions, cut_pages, option

SCHEMA = """PRAGMA journal_mode = WAL;
CREATE TABLE IF NOT EXISTS objects (key TEXT PRIMARY KEY, etag TEXT, size INT, modified TEXT, attributes TEXT);
CREATE TABLE IF NOT EXISTS chunks (etag TEXT, start INT, data BLOB, PRIMARY KEY (etag, start));
"""


@dataclass(frozen=True, kw_only=True, repr=False)
class SqliteSettings(fk.Settings):
    database: str = option("text", required=True)


class SqliteBackend(Backend[SqliteSettings]):
    """Objects are rows, their content is cut into chunks, and the transaction makes each verb one step."""

    settings_type = SqliteSettings
    # `put` takes a stream of any size, so uploads need no parts, and keeps the hash that is known at its end.
    limits = Limits(streaming_put=True, late_metadata=True, put_digests=hashing.NAMES, put_max=1 << 40, local=True)

    @contextmanager
    def _transaction(self, mode: str = "DEFERRED") -> Generator[sqlite3.Connection]:
        """One connection a call: nothing is shared between threads, nothing lives on after a fork."""
        db = sqlite3.connect(self.settings.resolve().database, timeout=60, isolation_level=None)
        try:
            db.execute(f"BEGIN {mode}")
            yield db
            db.execute("COMMIT")
        finally:
            db.close()  # what was not committed is rolled back

    def _find(self, db: sqlite3.Connection, key: str, etag: str = "") -> ObjectInfo:
        row = db.execute("SELECT * FROM objects WHERE key = ?", (key,)).fetchone()
        if row is None:
            raise exc.MissingFileError("there is no such row")
        if etag and row[1] != etag:
            raise exc.ChangedFileError("the row is another version")
        return info_of(*row)

    def head(self, key: str) -> ObjectInfo:
        with self._transaction() as db:
            return self._find(db, key)

    def read(self, key: str, start: int = 0, end: int | None = None, *, etag: str = "") -> Body:
        with self._transaction() as db:
            info = self._find(db, key, etag)
        end = info.size if end is None else min(end, info.size)
        return Body(info, max(0, end - start), fk.IterableBytesReader(self._chunks(info, start, end)))

    def _chunks(self, info: ObjectInfo, position: int, end: int) -> Iterator[bytes]:
        query = "SELECT start, data FROM chunks WHERE etag = ? AND start <= ? ORDER BY start DESC LIMIT 1"
        while position < end:
            with self._transaction() as db:
                row = db.execute(query, (info.etag, position)).fetchone()
            if row is None:
                raise exc.ChangedFileError("the row was replaced while it was read")
            yield row[1][position - row[0] : end - row[0]]
            position = row[0] + len(row[1])

    def list(
        self, prefix: str, *, start_after: str = "", delimiter: str = "", keys_only: bool = False
    ) -> Iterator[Page]:
        return cut_pages(self._objects(prefix, start_after), prefix, start_after=start_after, delimiter=delimiter)

    def _objects(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        query = "SELECT * FROM objects WHERE key > ? AND key >= ? ORDER BY key LIMIT 1000"
        rows = list[Any]([None])
        while rows:
            with self._transaction() as db:
                rows = db.execute(query, (after, prefix)).fetchall()
            for row in rows:
                if not row[0].startswith(prefix):
                    return
                yield info_of(*row)
                after = row[0]

    def put(self, key: str, body: Any, options: WriteOptions) -> ObjectInfo:
        etag, size = uuid.uuid4().hex, 0
        with self._transaction("IMMEDIATE") as db:
            self._make_room(db, key, options)
            chunks: Any = body if hasattr(body, "digests") else [body]
            for chunk in chunks:
                if len(chunk):
                    db.execute("INSERT INTO chunks VALUES (?, ?, ?)", (etag, size, chunk))
                size += len(chunk)
            facts: dict[str, Any] = {name: getattr(options, name) for name in ("content_type", "metadata", "headers")}
            facts["digests"] = {**options.digests, **getattr(body, "digests", {})}
            row = (key, etag, size, datetime.now(UTC).isoformat(), json.dumps(facts, default=dict))
            db.execute("INSERT INTO objects VALUES (?, ?, ?, ?, ?)", row)
            return info_of(*row)

    def _make_room(self, db: sqlite3.Connection, key: str, options: WriteOptions) -> None:
        try:
            found = self._find(db, key, options.if_match)
        except exc.MissingFileError:
            if options.if_match:
                raise exc.ChangedFileError("the row is gone") from None
            return
        if options.if_absent:
            raise exc.ExistingFileError("there is such a row already")
        self._remove(db, found)

    def _remove(self, db: sqlite3.Connection, info: ObjectInfo) -> None:
        db.execute("DELETE FROM objects WHERE key = ?", (info.key,))
        db.execute("DELETE FROM chunks WHERE etag = ?", (info.etag,))

    def delete(self, key: str, *, etag: str = "") -> bool:
        with self._transaction("IMMEDIATE") as db:
            try:
                self._remove(db, self._find(db, key, etag))
            except exc.MissingFileError:
                return False
            return True

    def translate(self, error: Exception) -> exc.FilesError | None:
        if not isinstance(error, sqlite3.Error):
            return None
        if "no such table" in str(error) or "unable to open" in str(error):
            return exc.InvalidStorageConfigurationError(f"there is no database ({error}): set 'initialize'")
        if "locked" in str(error):
            return exc.ThrottledError(f"the database is busy ({error})", retryable=True)
        return exc.StorageError(str(error))

    def prepare(self) -> None:
        db = sqlite3.connect(self.settings.resolve().database, timeout=60)
        db.executescript(SCHEMA)
        db.close()


def info_of(key: str, etag: str, size: int, modified: str, attributes: str) -> ObjectInfo:
    when = datetime.fromisoformat(modified)
    return ObjectInfo(key=key, etag=etag, size=size, modified=when, **json.loads(attributes))


fk.adapters.register("example:sqlite", SqliteBackend)
