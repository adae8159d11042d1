"""What makes a query cache never stale: the version of a database's data, and what may be kept."""

import atexit
import itertools
import os
import sqlite3
import threading
from collections import OrderedDict, deque
from collections.abc import Hashable
from pathlib import Path
from sqlite3 import connect  # by name: programs replace sqlite3.connect to count connections
from typing import NamedTuple

from seed_cache import UNREPEATABLE

OPEN_FILES = "/proc/self/fd"
MAX_WATCHERS = 16  # files watched at a time

_PLAIN_RESULTS = (list, tuple, dict, set, str, bytes, int, float, type(None))


class _Watcher:
    """A connection of its own to one database file, which never writes, to see others' commits.

    PRAGMA data_version changes when another connection commits, in this process or any other. A
    connection never sees its own commits there, so the watcher must not be the one that writes.
    """

    _serial = itertools.count()

    def __init__(self, path: str):
        self._path = path
        self.file_id = _file_id(path)
        self._serial_number = next(self._serial)
        self._lock = threading.Lock()
        self._connection = connect(
            f"{Path(path).as_uri()}?mode=rw",
            uri=True,
            timeout=0,  # busy: not known, so not cached; the query itself waits as it likes
            check_same_thread=False,
        )

    def version(self) -> tuple[int, ...]:
        # Time and size too: another file copied over this one may count its commits alike.
        status = os.stat(self._path)
        with self._lock:
            row = self._connection.execute("PRAGMA data_version").fetchone()
        return self._serial_number, row[0], status.st_mtime_ns, status.st_size

    def close(self) -> None:
        with self._lock:
            self._connection.close()


_watchers: OrderedDict[tuple[int, str], _Watcher] = OrderedDict()
_watchers_lock = threading.Lock()
_replaced: deque = deque(maxlen=100)  # path, and the file that was watched there before


class DataState(NamedTuple):
    database: Hashable  # the file, and what the connection makes of a row
    version: Hashable  # equal as long as nobody has committed a change


def data_state(connection) -> DataState | None:
    """Tell which database `connection` reads, and the version of its data.

    None where no version can be told, so that nothing may be cached: no SQLite connection, a database
    in memory, more than one database attached, a transaction under way.
    """
    if not isinstance(connection, sqlite3.Connection):
        return None
    try:
        if connection.in_transaction:
            return None
        databases = _plain_rows(connection, "PRAGMA database_list")
        if len(databases) != 1 or not databases[0][2]:
            return None
        path = databases[0][2]
        version = _watcher(path).version()
    except (OSError, sqlite3.Error):  # closed, gone, or locked: the query itself will tell
        return None
    return DataState((path, connection.row_factory, connection.text_factory), version)


def _plain_rows(connection: sqlite3.Connection, sql: str) -> list[tuple[str, ...]]:
    """Run `sql` past the connection's own row_factory and text_factory."""
    cursor = sqlite3.Cursor(connection)
    cursor.row_factory = None
    return [
        tuple(os.fsdecode(value) if isinstance(value, bytes) else value for value in row)
        for row in cursor.execute(sql)
    ]


def _file_id(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _watcher(path: str) -> _Watcher:
    key = os.getpid(), path  # a SQLite connection must not be used in a forked process
    with _watchers_lock:
        watcher = _watchers.get(key)
        if watcher is not None and watcher.file_id == _file_id(path):
            return watcher
        if watcher is not None:  # the file was replaced
            _replaced.append((path, watcher.file_id))
            _watchers.pop(key).close()
        if not _watchers:
            atexit.register(_close_watchers)
        watcher = _watchers[key] = _Watcher(path)
        if len(_watchers) > MAX_WATCHERS:
            (process, _path), oldest = _watchers.popitem(last=False)
            if process == os.getpid():
                oldest.close()
        return watcher


def _close_watchers() -> None:
    with _watchers_lock:
        for (process, _path), watcher in _watchers.items():
            if process == os.getpid():
                watcher.close()
        _watchers.clear()


def is_keepable(connection: sqlite3.Connection, result) -> bool:
    """Tell whether `result`, just read on `connection`, may be handed to others.

    It must be plain data: a cursor or an iterator, once read, would be empty for the next. No view
    may ask for the clock or chance. No other result may be half read on the connection: in WAL mode
    that one holds it to data that are older than `data_state` tells. And its file must still be there:
    another may have been put in its place since it was opened.
    """
    if not isinstance(result, _PLAIN_RESULTS):
        return False
    views = "SELECT sql FROM sqlite_master WHERE type = 'view'"
    try:
        # SQLite replaces no function while a statement is half read; the first call defines it.
        for _ in range(2):
            connection.create_function("seed_is_idle", 0, bool)
        if any(UNREPEATABLE.search(sql) for (sql,) in _plain_rows(connection, views)):
            return False
        ((_, _, path),) = _plain_rows(connection, "PRAGMA database_list")
        return not _was_replaced(path)
    except (OSError, sqlite3.Error):
        return False


def _was_replaced(path: str) -> bool:
    """Tell whether this process may still read another file that was at `path` before.

    Linux tells what is behind each open file. There must be two at `path`, the watcher's and the
    connection's, and none whose name is gone. Other systems: not told.
    """
    if not os.path.isdir(OPEN_FILES):
        return False
    present, current = _file_id(path), 0
    for number in os.listdir(OPEN_FILES):
        try:
            status = os.fstat(int(number))
            if (
                status.st_nlink == 0
                and os.readlink(f"{OPEN_FILES}/{number}") == f"{path} (deleted)"
            ):
                return True
        except OSError:  # closed meanwhile
            continue
        opened = status.st_dev, status.st_ino
        if opened != present and (path, opened) in _replaced:
            return True
        current += opened == present
    return current < 2
