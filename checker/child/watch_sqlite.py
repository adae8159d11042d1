"""SQLite in the child: redirect every path to the scratch database, and watch every connection."""

import contextlib
import os
import re
import shutil
import sqlite3
import sqlite3.dbapi2
import threading

MEMORY = re.compile(r"^$|:memory:|mode=memory")


class Watch:
    """The events on SQLite connections, in order: (event, connection's number, text)."""

    def __init__(self):
        self.events: list[tuple[str, int, str]] = []
        self.connections = 0

    def position(self) -> int:
        return len(self.events)

    def note(self, event: str, number: int, text: str = "") -> None:
        self.events.append((event, number, text[:500]))

    def since(self, position: int) -> list[tuple[str, int, str]]:
        return self.events[position : position + 2000]


def install(path: str, pristine: str) -> Watch:
    """Redirect sqlite3.connect, and so aiosqlite, to `path`, a copy of `pristine`; return its Watch."""
    watch, real_connect = Watch(), sqlite3.connect
    if os.path.exists(pristine):
        shutil.copyfile(pristine, path)

    class WatchedConnection(sqlite3.Connection):
        number = 0

        def close(self):
            watch.note("close", self.number)
            super().close()

    def connect(database, *args, **options):
        options.setdefault("timeout", 1) if not args else None
        if len(args) < 5:
            options.setdefault("factory", WatchedConnection)
        connection = real_connect(_redirected(database, options), *args, **options)
        watch.connections += 1
        number = watch.connections
        if isinstance(connection, WatchedConnection):
            connection.number = number
        in_main = threading.current_thread() is threading.main_thread()
        watch.note(
            "open" if isinstance(connection, WatchedConnection) else "open unwatched",
            number,
            "main" if in_main else "thread",
        )
        connection.set_trace_callback(lambda sql: watch.note("sql", number, sql))
        return connection

    def _redirected(database, options):
        text = database.decode() if isinstance(database, bytes) else str(database)
        if MEMORY.search(text):
            return database
        if options.get("uri") and text.startswith("file:"):
            return f"file:{path}?{text.partition('?')[2]}"
        return path

    # Errors show these names.
    WatchedConnection.__name__, connect.__qualname__ = "sqlite3.Connection", "connect"
    sqlite3.connect = sqlite3.dbapi2.connect = connect

    def reset() -> None:
        """Fill the tables anew: the answer may have created some of its own."""
        if not os.path.exists(pristine):
            return
        with (
            contextlib.suppress(sqlite3.Error),  # the answer may still hold a lock on them
            contextlib.closing(real_connect(pristine)) as source,
            contextlib.closing(watch.real_connect()) as target,
            target,
        ):
            target.execute("BEGIN IMMEDIATE")
            for name, sql in source.execute("SELECT name, sql FROM sqlite_master WHERE sql != ''"):
                found = "SELECT type FROM sqlite_master WHERE name = ?"
                for (kind,) in target.execute(found, (name,)).fetchall():
                    target.execute(f"DROP {kind} {name}")
                target.execute(sql)
                target.executemany(
                    f"INSERT INTO {name} VALUES (?, ?, ?, ?)",
                    source.execute(f"SELECT * FROM {name}"),
                )

    watch.real_connect = lambda: real_connect(path, timeout=2)
    watch.reset = reset
    return watch
