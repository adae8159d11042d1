"""When a kept query result is still fresh: the version of a SQLite database's data."""

import atexit
import os
import sqlite3
import threading
from collections import OrderedDict
from collections.abc import Hashable
from functools import cache
from pathlib import Path
from sqlite3 import connect  # by name: programs replace sqlite3.connect to count connections

MAX_WATCHERS = 16  # files watched at a time

_watchers: OrderedDict[tuple, sqlite3.Connection] = OrderedDict()
_lock = threading.Lock()
_inherited: list = []  # the watchers of a parent process, which its child must not close


def data_version(connection) -> Hashable | None:
    """Return a value that changes with every commit to the database, by any program; None if unknown.

    A connection of its own watches the file: a connection never sees its own commits in SQLite's
    counter. The value includes the file and the connection's row_factory and text_factory. It is None
    inside a transaction, while a result is half read on `connection` (in WAL mode it would still read
    old data), for a database in memory or with others attached, and if it is not a SQLite connection.
    PRAGMAs and SQL functions are not part of the value, so set them the same on all connections.
    """
    if not isinstance(connection, sqlite3.Connection):
        return None
    try:
        if connection.in_transaction:
            return None
        # SQLite replaces no function while a result is half read; the first call defines it.
        for _ in range(2):
            connection.create_function("seed_is_idle", 0, bool)
        cursor = sqlite3.Cursor(connection)
        cursor.row_factory = None
        databases = cursor.execute("PRAGMA database_list").fetchall()
        if len(databases) != 1 or not databases[0][2]:
            return None
        path = os.fsdecode(databases[0][2])  # the connection's text_factory may make it bytes
        version = _version(path)
    except (OSError, sqlite3.Error):  # half read, closed, gone, locked
        return None
    return path, connection.row_factory, connection.text_factory, version


def _version(path: str) -> tuple:
    """Return the watcher, its PRAGMA data_version, and the file's time and size.

    The watcher is a connection of our own that never writes. Its version changes when another
    connection commits, in this process or any other.
    """
    status = os.stat(path)
    key = path, status.st_dev, status.st_ino  # a file that replaced another has another number
    with _lock:
        if key not in _watchers:
            # If the file is busy, the version is unknown; the query itself waits as it likes.
            uri = f"{Path(path).as_uri()}?mode=rw"
            connection = connect(uri, uri=True, timeout=0, check_same_thread=False)
            _watchers[key] = connection
            _call_at_exit_and_fork()
            if len(_watchers) > MAX_WATCHERS:
                _watchers.popitem(last=False)[1].close()
        watcher = _watchers[key]
        ((version,),) = watcher.execute("PRAGMA data_version")
    # Time and size too: another file copied over this one may count its commits alike.
    return watcher, version, status.st_mtime_ns, status.st_size


@cache
def _call_at_exit_and_fork() -> None:
    atexit.register(_close_all)
    if hasattr(os, "register_at_fork"):  # not on Windows
        os.register_at_fork(after_in_child=_start_anew)


def _close_all() -> None:
    with _lock:
        while _watchers:
            _watchers.popitem()[1].close()


def _start_anew() -> None:
    """Let a forked process begin without its parent's connections, and without its lock."""
    global _watchers, _lock
    _inherited.append(_watchers)
    _watchers, _lock = OrderedDict(), threading.Lock()
