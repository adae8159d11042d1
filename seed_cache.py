"""What a query cache has to know to be never stale: whether a result may be kept, and since when.

`data_state` tells whether anybody has changed a SQLite database, `is_repeatable_read` and
`typed_arguments` which calls are the same; `QueryCache` is the bounded place to keep results in.
"""

import itertools
import os
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Hashable
from pathlib import Path
from typing import NamedTuple

from seed_engine import LOCK_WAIT_SECONDS

MAX_WATCHERS = 16  # files watched at a time

# What gives another result without any change of the data: the clock, chance, the last write.
_UNREPEATABLE = re.compile(
    r"\b(random|randomblob|changes|total_changes|last_insert_rowid"
    r"|date|time|datetime|julianday|unixepoch|strftime|timediff)\s*\(|\bcurrent_(date|time|timestamp)\b",
    re.IGNORECASE,
)
_READ = re.compile(r"[\s(]*(SELECT|VALUES|WITH)\b", re.IGNORECASE)


class QueryCache(OrderedDict):
    """A dict of at most `limit` entries: a key that begins with the SQL text, (version, result).

    `sql in cache` and `cache[sql]`, its newest result, ask by the text alone. What was stored longest
    ago goes first.
    """

    def __init__(self, limit: int):
        super().__init__()
        self._limit = limit
        self._lock = threading.Lock()

    def __setitem__(self, key: tuple, value) -> None:
        with self._lock:
            super().__setitem__(key, value)
            if len(self) > self._limit:
                self.popitem(last=False)

    def __contains__(self, key) -> bool:
        return super().__contains__(key) or any(known[0] == key for known in list(self))

    def __missing__(self, sql: str):
        for key in reversed(list(self)):
            if key[0] == sql:
                _version, result = self[key]
                return result
        raise KeyError(sql)


def is_repeatable_read(sql: str | None) -> bool:
    """Tell whether `sql` only reads, and gives the same rows again while the data are the same."""
    return bool(sql and _READ.match(sql) and not _UNREPEATABLE.search(sql))


def typed_arguments(args: tuple, kwargs: dict, without) -> Hashable | None:
    """Make of a call's arguments, but for `without`, a key in which 1, 1.0 and True are different.

    None unless all are plain data: numbers, text, bytes, None, and lists, tuples and dicts of them.
    Any other object may change and still be equal.
    """
    try:
        return (
            tuple(_typed(value) for value in args if value is not without),
            tuple(
                (name, _typed(kwargs[name]))
                for name in sorted(kwargs)
                if kwargs[name] is not without
            ),
        )
    except TypeError:
        return None


def _typed(value) -> Hashable:
    kind = type(value)
    if kind in (list, tuple):
        return kind, tuple(map(_typed, value))
    if kind is dict:
        return kind, tuple((_typed(name), _typed(item)) for name, item in value.items())
    if kind is float:
        return kind, repr(value)  # -0.0 == 0.0, and nan is not itself
    if kind in (str, int, bool, bytes, type(None)):
        return kind, value
    raise TypeError(f"a {kind.__name__} is no plain data")


class _Watcher:
    """A connection of its own to one database file, which never writes, to see others' commits.

    PRAGMA data_version changes when another connection commits, in this process or any other. A
    connection never sees its own commits there, so the watcher must not be the one that writes.
    """

    _serial = itertools.count()

    def __init__(self, path: str):
        self.file_id = _file_id(path)
        self._serial_number = next(self._serial)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            f"{Path(path).as_uri()}?mode=rw",
            uri=True,
            timeout=LOCK_WAIT_SECONDS,
            check_same_thread=False,
        )

    def version(self) -> tuple[int, int]:
        with self._lock:
            row = self._connection.execute("PRAGMA data_version").fetchone()
        return self._serial_number, row[0]

    def close(self) -> None:
        with self._lock:
            self._connection.close()


_watchers: OrderedDict[tuple[int, str], _Watcher] = OrderedDict()
_watchers_lock = threading.Lock()


class DataState(NamedTuple):
    database: Hashable  # the file, and what the connection makes of a row
    version: Hashable  # equal as long as nobody has committed a change


def data_state(connection) -> DataState | None:
    """Tell which database `connection` reads, and the version of its data.

    None where no version can be told, so that nothing may be cached: no SQLite connection, a database
    in memory, more than one database attached, a transaction under way. A connection that is in the
    middle of reading another result in WAL mode sees older data than this tells.
    """
    if not isinstance(connection, sqlite3.Connection) or connection.in_transaction:
        return None
    cursor = connection.cursor()
    cursor.row_factory = None
    databases = cursor.execute("PRAGMA database_list").fetchall()
    if len(databases) != 1 or not databases[0][2]:
        return None
    path = os.fsdecode(databases[0][2])
    try:
        version = _watcher(path).version()
    except (OSError, sqlite3.OperationalError):  # gone, or locked: the query itself will tell
        return None
    return DataState((path, connection.row_factory, connection.text_factory), version)


def _file_id(path: str) -> tuple[int, int]:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _watcher(path: str) -> _Watcher:
    key = os.getpid(), path  # a SQLite connection must not be used in a forked process
    with _watchers_lock:
        watcher = _watchers.get(key)
        if watcher is None or watcher.file_id != _file_id(path):  # the file was replaced
            watcher = _watchers[key] = _Watcher(path)
            if len(_watchers) > MAX_WATCHERS:
                _watchers.popitem(last=False)
        return watcher
