"""SQLite in the child: redirect every path to the scratch database, and watch every connection."""

import contextlib
import itertools
import os
import re
import sqlite3
import sqlite3.dbapi2
import threading

MEMORY = re.compile(r"^$|:memory:|mode=memory")
REAL_CONNECT = sqlite3.connect


class Watch:
    """The events on SQLite connections, in order: (event, connection's number, text)."""

    def __init__(self, path: str, pristine: str):
        self._path, self._pristine = path, pristine
        self.events: list[tuple[str, int, str]] = []

    def note(self, event: str, number: int, text: str = "") -> None:
        self.events.append((event, number, text[:500]))

    def real_connect(self) -> sqlite3.Connection:
        """Connect to the scratch database, unwatched."""
        return REAL_CONNECT(self._path, timeout=2)

    def reset(self) -> None:
        """Fill the tables anew: the answer may have created some of its own."""
        # The answer may still hold a lock on the tables.
        with contextlib.suppress(sqlite3.Error), contextlib.closing(self.real_connect()) as target:
            target.execute("ATTACH ? AS pristine", (self._pristine,))
            tables = "SELECT name, sql FROM pristine.sqlite_master WHERE sql != ''"
            with target:
                target.execute("BEGIN")
                for name, sql in target.execute(tables).fetchall():
                    target.execute(f"DROP TABLE IF EXISTS main.{name}")
                    target.execute(sql)
                    target.execute(f"INSERT INTO main.{name} SELECT * FROM pristine.{name}")


def install(path: str, pristine: str) -> Watch:
    """Redirect sqlite3.connect, and so aiosqlite, to the file `path`, a copy of `pristine`."""
    watch, numbers = Watch(path, pristine), itertools.count(1)
    watch.reset()

    class WatchedConnection(sqlite3.Connection):
        number = 0

        def close(self):
            watch.note("close", self.number)
            super().close()

    def connect(database, *args, **options):
        if not args:
            options.setdefault("timeout", 1)
        if len(args) < 5:
            options.setdefault("factory", WatchedConnection)
        text = os.fsdecode(database)
        connection = REAL_CONNECT(text if MEMORY.search(text) else path, *args, **options)
        number, event = next(numbers), "open unwatched"
        if isinstance(connection, WatchedConnection):
            connection.number, event = number, "open"
        in_main = threading.current_thread() is threading.main_thread()
        watch.note(event, number, "main" if in_main else "thread")
        connection.set_trace_callback(lambda sql: watch.note("sql", number, sql))
        return connection

    # Errors show these names.
    WatchedConnection.__name__, connect.__qualname__ = "sqlite3.Connection", "connect"
    sqlite3.connect = sqlite3.dbapi2.connect = connect
    return watch
