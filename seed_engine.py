"""Where user_data lives: settings, and a connection to MySQL or to the embedded SQLite file.

With DB_HOST set it is the MySQL or MariaDB server there, and nothing else. Without it, it is a SQLite
file whose connections answer the same calls. Callers never need to know which one they have.
"""

import os
import re
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache
from pathlib import Path

from seed_embedded import connect_embedded, create_file
from seed_retry import closing

ROOT = Path(__file__).resolve().parent
UNKNOWN_DATABASE, NO_SUCH_TABLE = 1049, 1146  # MySQL's own error numbers
CONNECT_SECONDS = 10

ADVICE = {
    1044: "ask for rights on that database, or correct DB_NAME",
    1045: "check DB_USER and DB_PASSWORD",
    1049: "run `python seed.py` to create it, or correct DB_NAME",
    1698: "check DB_USER and DB_PASSWORD",
    2003: "is the server running? check DB_HOST and DB_PORT",
    2005: "no such host: check DB_HOST",
}


@dataclass(frozen=True)
class Settings:
    host: str
    port: int
    user: str
    password: str = field(repr=False)
    database: str
    file: Path

    def __str__(self) -> str:
        if self.host:
            return f"MySQL at {self.host}:{self.port}, database {self.database}, user {self.user}"
        return f"embedded SQLite file {self.file}"


def read_settings() -> Settings:
    """Read DB_HOST and its like from the environment, else from `.env` beside seed.py.

    A variable that is set wins even when it is empty: `DB_HOST=` asks for the embedded engine.
    Raises ValueError for a DB_PORT or DB_NAME that cannot be meant.
    """
    from_file: dict[str, str | None] = {}
    if (ROOT / ".env").is_file():
        from dotenv import dotenv_values

        # No interpolation: a `$` in a password is a `$`. utf-8-sig: Windows editors write a BOM.
        try:
            from_file = dotenv_values(ROOT / ".env", interpolate=False, encoding="utf-8-sig")
        except UnicodeDecodeError as error:
            raise ValueError(f"{ROOT / '.env'} is not UTF-8 ({error}): save it as UTF-8") from error

    def value(name: str, default: str) -> str:
        return os.environ.get(name, from_file.get(name)) or default

    port, database = value("DB_PORT", "3306").strip(), value("DB_NAME", "ALX_prodev")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65536):
        raise ValueError(f"DB_PORT is {port!r}: it must be a whole number from 1 to 65535")
    if re.search(r"[/\\\0]", database) or database in (".", ".."):
        raise ValueError(f"DB_NAME is {database!r}: a database name holds no slash")
    return Settings(
        host=value("DB_HOST", "").strip(),
        port=int(port),
        user=value("DB_USER", "root"),
        password=value("DB_PASSWORD", ""),
        database=database,
        file=ROOT / Path(value("DB_FILE", f"{database}.sqlite3")).expanduser(),
    )


# ---------------------------------------------------------------- connecting


def connect_db():
    """Connect to the server, with no database chosen.

    Raises the driver's own error, saying host, port, user and what to do; never the password.
    """
    settings = read_settings()
    if settings.host:
        return _connect_mysql(settings)
    return connect_embedded(settings.file, settings.database, to_server=True)


def connect_to_prodev(*, raw: bool = False):
    """Connect to the database DB_NAME. Raises as `connect_db` does.

    With `raw`, MySQL gives values as bytes, unconverted. That must be said here, not to a cursor:
    `fetchmany` of connector 9.7 asks the connection how to give the first row of the next block.
    """
    settings = read_settings()
    if settings.host:
        return _connect_mysql(settings, database=settings.database, raw=raw)
    return connect_embedded(settings.file, settings.database)


def create_database(connection) -> None:
    """Create the database DB_NAME on `connection` if it is missing."""
    settings = read_settings()
    with closing(connection.cursor()) as cursor:
        # Looked up first: CREATE DATABASE IF NOT EXISTS wants the right to create even if it does.
        cursor.execute(
            "SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = %s",
            (settings.database,),
        )
        if cursor.fetchall():
            return
        if is_embedded(connection):
            create_file(settings.file)
            connection.list_database(settings.database)
        else:
            name = settings.database.replace("`", "``")
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")


def is_embedded(connection) -> bool:
    return isinstance(connection, sqlite3.Connection)


@contextmanager
def open_reader(*, raw: bool = False) -> Iterator:
    """Give a connection on which user_data can be read, and close it on the way out.

    Every statement on it is a transaction of its own, so a reader that pauses holds no lock.
    Embedded, a missing table is made and filled from user_data.csv first. On a server nothing is
    created: a missing table raises ProgrammingError, which names `python seed.py`.
    """
    with closing(connect_to_prodev(raw=raw)) as connection:
        if is_embedded(connection):
            from seed_load import fill_if_missing  # here, since loading builds on this module

            fill_if_missing(connection)
        else:
            connection.autocommit = True
            _check_table(connection)
        yield connection


# --------------------------------------------------------------------- MySQL


def whole_or_decimal(number: Decimal) -> int | Decimal:
    """Give 67 for 67.00, and 67.5 as it is."""
    return int(number) if number == number.to_integral_value() else number


@cache
def _converter_class() -> type:
    from mysql.connector.conversion import MySQLConverter

    class WholeNumbers(MySQLConverter):
        """Give a DECIMAL that is whole as an int: an age is 67, not Decimal('67')."""

        def _decimal_to_python(self, value, desc=None):
            return whole_or_decimal(super()._decimal_to_python(value, desc))

        _newdecimal_to_python = _decimal_to_python

    return WholeNumbers


def _connect_mysql(settings: Settings, **options):
    import mysql.connector

    try:
        return mysql.connector.connect(
            host=settings.host,
            port=settings.port,
            user=settings.user,
            password=settings.password,
            charset="utf8mb4",
            collation="utf8mb4_general_ci",  # the driver's default is unknown to MariaDB
            connection_timeout=CONNECT_SECONDS,
            converter_class=_converter_class(),
            # The driver escapes parameters with backslashes, whatever the server makes of them.
            # SPACE(0), since in another mode a plain '' is NULL, and would switch all modes off.
            init_command="SET sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', SPACE(0))",
            **options,
        )
    except mysql.connector.Error as error:
        advice = ADVICE.get(error.errno, "see README.md, Troubleshooting")
        raise type(error)(
            msg=f"cannot connect to {settings}: {error.msg}; {advice}",
            errno=error.errno,
            sqlstate=error.sqlstate,
        ) from error


def _check_table(connection) -> None:
    import mysql.connector

    try:
        with closing(connection.cursor()) as cursor:
            cursor.execute("SELECT user_id, name, email, age FROM user_data LIMIT 0")
            cursor.fetchall()
    except mysql.connector.Error as error:
        if error.errno != NO_SUCH_TABLE:
            raise
        raise type(error)(
            msg=f"no table user_data in {read_settings()}: run `python seed.py` to create it",
            errno=error.errno,
            sqlstate=error.sqlstate,
        ) from error
