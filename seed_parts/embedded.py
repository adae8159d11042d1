"""The embedded engine: SQLite connections that offer the part of mysql.connector's interface used here.

It serves the scripts and the course's main files, and does not replace MySQL: unsupported SQL raises
SQLite's own error.
"""

import re
import sqlite3
import sys
from decimal import Decimal
from functools import cache
from pathlib import Path

from seed_parts.errors import clean_up, closing, explained

CANNOT_OPEN = "cannot open the embedded database"
LOCK_WAIT_SECONDS = 50  # InnoDB's default, so that both engines wait alike


class EmbeddedCursor(sqlite3.Cursor):
    """A sqlite3 cursor that takes `%s` and `%(name)s` and is a context manager, like the driver's."""

    def execute(self, sql, params=()):
        if not params:
            return super().execute(sql)
        return super().execute(_sqlite_marks(sql), _sqlite_values(params))

    def executemany(self, sql, rows):
        return super().executemany(_sqlite_marks(sql), map(_sqlite_values, rows))

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column[0] for column in self.description or ())

    def __enter__(self):
        return self

    def __exit__(self, *exc_info):
        self.close()


class EmbeddedConnection(sqlite3.Connection):
    """A sqlite3 connection with the part of mysql.connector's interface that is used here."""

    def cursor(self, *, dictionary=False, **_buffered_and_such):
        cursor = super().cursor(EmbeddedCursor)
        if dictionary:
            cursor.row_factory = _dict_row
        return cursor

    @property
    def autocommit(self) -> bool:  # as the driver means it; Python 3.12's own means another thing
        return self.isolation_level is None

    @autocommit.setter
    def autocommit(self, wanted: bool) -> None:
        self.isolation_level = None if wanted else "DEFERRED"

    def start_transaction(self, **_isolation) -> None:
        self.execute("BEGIN")

    def is_connected(self) -> bool:
        try:
            return self.total_changes >= 0
        except sqlite3.ProgrammingError:  # closed
            return False

    def list_database(self, name: str) -> None:
        """Show `name` in INFORMATION_SCHEMA.SCHEMATA, a table in memory."""
        self.execute("INSERT INTO INFORMATION_SCHEMA.SCHEMATA VALUES (?)", (name,))
        self.commit()

    def __exit__(self, *exc_info):  # the driver's `with connection:` closes, sqlite3's does not
        self.close()


def _sqlite_values(params):
    if isinstance(params, dict):
        return {name: _sqlite_value(value) for name, value in params.items()}
    return tuple(map(_sqlite_value, params))


def _sqlite_value(value):
    return float(value) if isinstance(value, Decimal) else value  # sqlite3 knows no Decimal


def _sqlite_marks(sql: str) -> str:
    return re.sub(r"%\((\w+)\)s", r":\1", sql).replace("%s", "?")


def _dict_row(cursor: sqlite3.Cursor, row: tuple) -> dict:
    return {column[0]: value for column, value in zip(cursor.description, row, strict=True)}


def create_file(file: Path) -> None:
    """Make `file` an empty database if it is missing."""
    with closing(_open_file(file)) as database:
        database.execute("PRAGMA user_version = 0")  # a write, so that the file exists


def _open_file(database: Path | str) -> EmbeddedConnection:
    with explained(CANNOT_OPEN, database):
        return sqlite3.connect(
            database,
            timeout=LOCK_WAIT_SECONDS,
            factory=EmbeddedConnection,
            check_same_thread=False,  # as with MySQL, a generator may move to another thread
        )


def connect_embedded(file: Path, name: str, *, to_server: bool = False) -> EmbeddedConnection:
    """Connect to the database `name` in `file`; with `to_server`, choose none, as connect_db() does."""
    _announce(file)
    database = ":memory:" if to_server else file
    connection = _open_file(database)
    try:
        with explained(CANNOT_OPEN, database):
            connection.execute("SELECT 1 FROM sqlite_master")  # the first look into the file
            connection.execute("PRAGMA case_sensitive_like = ON")  # as in the table on a server
            connection.execute("ATTACH ':memory:' AS INFORMATION_SCHEMA")
            connection.execute("CREATE TABLE INFORMATION_SCHEMA.SCHEMATA (SCHEMA_NAME TEXT)")
            if file.exists() or not to_server:
                connection.list_database(name)
    except BaseException as error:
        clean_up(connection.close, error)
        raise
    return connection


@cache
def _announce(file: Path) -> None:
    print(f"DB_HOST is not set: using the embedded SQLite file {file}", file=sys.stderr)
