"""What a query cache has to know to be never stale: whether a result may be kept, and since when.

`data_state` tells whether anybody has changed a SQLite database, `find_read` which calls are the
same; `QueryCache` is the bounded place to keep results in.
"""

import atexit
import copy
import itertools
import os
import re
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from sqlite3 import connect  # by name: programs replace sqlite3.connect to count connections
from typing import NamedTuple

from seed_script import find_sql

OPEN_FILES = "/proc/self/fd"
MAX_WATCHERS = 16  # files watched at a time

# What gives another result without any change of the data: the clock, chance, the last write.
# Between the name and its parenthesis may stand a closing quote, a comment, white space.
_UNREPEATABLE = re.compile(
    r"\b(random|randomblob|changes|total_changes|last_insert_rowid"
    r"|date|time|datetime|julianday|unixepoch|strftime|timediff)"
    r"[\"'`\]]?(\s|--[^\n]*\n|/\*.*?\*/)*\(|\bcurrent_(date|time|timestamp)\b",
    re.IGNORECASE | re.DOTALL,
)
_READ = re.compile(
    r"(\s|\(|--[^\n]*\n|/\*.*?\*/)*(SELECT|VALUES|WITH)\b", re.IGNORECASE | re.DOTALL
)
_PLAIN_RESULTS = (list, tuple, dict, set, str, bytes, int, float, type(None))


class Kept(NamedTuple):
    version: Hashable
    result: object


class LookUp:
    """`with` it: the result that is kept, or None, and then the block is to read and keep it."""

    __slots__ = ("_cache", "_key", "_read", "_version")

    def __init__(self, cache: "QueryCache", key: tuple, version: Hashable):
        self._cache, self._key, self._version, self._read = cache, key, version, None

    def __enter__(self) -> Kept | None:
        kept = self._cache.find(self._key, self._version)
        if kept is not None:
            return kept
        # The process is part of it: a forked one inherits reads that it will never see end.
        read = os.getpid(), self._key, self._version
        under_way = self._cache.begin(read)
        if under_way is None:
            self._read = read
            return None
        under_way.wait()
        return self._cache.find(self._key, self._version)

    def __exit__(self, *exc_info) -> None:
        if self._read is not None:
            self._cache.end(self._read)


class _ReadUnderWay(NamedTuple):
    thread: int
    ended: threading.Event


_ENDED = threading.Event()
_ENDED.set()


class QueryCache(Mapping):
    """At most `limit` results of queries, to `look_up` and `keep`; what was kept longest ago goes first.

    Of the threads that look up one thing at once, the first reads it and the others wait for it.
    As a mapping it is seen by SQL text: `sql in cache`, `cache[sql]`, the newest result of that text.
    A key is a tuple that begins with the SQL text.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._entries: OrderedDict[tuple, Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._under_way: dict[tuple, _ReadUnderWay] = {}

    def look_up(self, key: tuple, version: Hashable) -> LookUp:
        return LookUp(self, key, version)

    def find(self, key: tuple, version: Hashable) -> Kept | None:
        kept = self._entries.get(key)
        return kept if kept is not None and kept.version == version else None

    def begin(self, read: tuple) -> threading.Event | None:
        """Note that this thread begins the read, or tell what ends with the one that does it now.

        A thread in the middle of a read never waits: two could wait for each other.
        """
        thread = threading.get_ident()
        with self._lock:
            other = self._under_way.get(read)
            if other is None:
                self._under_way[read] = _ReadUnderWay(thread, threading.Event())
                return None
            if any(own.thread == thread for own in self._under_way.values()):
                return _ENDED
        return other.ended

    def end(self, read: tuple) -> None:
        with self._lock:
            self._under_way.pop(read).ended.set()

    def keep(self, key: tuple, version: Hashable, result) -> None:
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = Kept(version, result)
            if len(self._entries) > self._limit:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter([key[0] for key in self._entries])

    def __getitem__(self, sql: str):
        with self._lock:
            for key, kept in reversed(self._entries.items()):
                if key[0] == sql:
                    return copy.copy(kept.result)
        raise KeyError(sql)


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
        if any(_UNREPEATABLE.search(sql) for (sql,) in _plain_rows(connection, views)):
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
        current += (status.st_dev, status.st_ino) == present
    return current < 2


class Read(NamedTuple):
    sql: str
    arguments: Hashable  # all but the connection, with their types: 1, 1.0 and True are different


def find_read(function: Callable, connection, args: tuple, kwargs: dict) -> Read | None:
    """Find the SQL and the other arguments of a call that reads, and would read the same again.

    None if it writes, asks for the clock or chance, or has an argument that is no plain data, that is
    numbers, text, bytes, None, and lists, tuples and dicts of them: another may change and be equal.
    """
    sql = find_sql(function, args, kwargs)
    if sql is None or not _READ.match(sql) or _UNREPEATABLE.search(sql):
        return None
    named = sorted(kwargs.items())
    try:
        return Read(
            sql,
            (
                tuple(_typed(value) for value in args if value is not connection),
                tuple((name, _typed(value)) for name, value in named if value is not connection),
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
