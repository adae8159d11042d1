"""The table user_data as a load sees it: its definition, what it holds, how rows are added."""

import json
import logging
import math
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from seed_csv import COLUMNS, MAX_AGE, MAX_TEXT, User
from seed_engine import is_embedded
from seed_errors import explained
from seed_retry import clean_up, closing

LOAD_LOCK_SECONDS = 3600  # how long a load waits for another one to end
# Of a statement, at most: bytes for each character (a control character in JSON, its backslash
# doubled), for a row beside its text (id, brackets, quotes), for the statement around the rows.
CHARACTER_BYTES, ROW_BYTES, STATEMENT_BYTES = 7, 80, 500
SYNTAX_ERROR = 1064  # MySQL
# MySQL's numbers for a row that the table does not take: a duplicate key, NULL, out of range, not in
# the character set, too long, a CHECK (MariaDB's number and MySQL's).
REFUSED_BY_TABLE = frozenset({1062, 1048, 1264, 1366, 1406, 4025, 3819})

logger = logging.getLogger(__name__)

_TABLE = f"""
CREATE TABLE IF NOT EXISTS user_data (
    user_id CHAR(36) {{ascii}} NOT NULL PRIMARY KEY,
    name VARCHAR({MAX_TEXT}) NOT NULL,
    email VARCHAR({MAX_TEXT}) NOT NULL UNIQUE,
    age DECIMAL(3,0) NOT NULL CHECK ({{whole}} age BETWEEN 0 AND {MAX_AGE})
) {{options}}
"""
MYSQL_TABLE = _TABLE.format(
    ascii="CHARACTER SET ascii COLLATE ascii_bin",
    whole="",
    # InnoDB: a load is one transaction. Bytewise, as in SQLite: A@x and a@x are two addresses.
    options="ENGINE=InnoDB CHARACTER SET utf8mb4 COLLATE utf8mb4_bin",
)
# WITHOUT ROWID keeps the rows in the order of the key, as InnoDB does.
SQLITE_TABLE = _TABLE.format(
    ascii="", whole="age = CAST(age AS INTEGER) AND", options="WITHOUT ROWID"
)


def create_table(connection) -> None:
    """Create the table user_data if it is missing, and say so."""
    with explained("cannot create user_data in"), closing(connection.cursor()) as cursor:
        if is_embedded(connection):
            cursor.execute(SQLITE_TABLE)
        else:
            # Looked up first: IF NOT EXISTS wants the right to create even where there is one.
            cursor.execute("SHOW TABLES LIKE 'user_data'")
            if not cursor.fetchall():
                cursor.execute(MYSQL_TABLE)
    print("Table user_data created successfully")


def has_table(connection) -> bool:
    tables = "SELECT name FROM main.sqlite_master WHERE name = 'user_data'"
    return connection.execute(tables).fetchone() is not None


class UserTable:
    """user_data as a load sees it: what it holds already, and how rows are added."""

    _UNIQUE_KEYS = """
        SELECT MAX(COLUMN_NAME) FROM INFORMATION_SCHEMA.STATISTICS
        WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'user_data' AND NON_UNIQUE = 0
        GROUP BY INDEX_NAME HAVING COUNT(*) = 1 AND MAX(SUB_PART) IS NULL
    """
    _SQLITE_UNIQUE_KEYS = """
        SELECT MAX(i.name) FROM pragma_index_list('user_data') AS l, pragma_index_info(l.name) AS i
        WHERE l."unique" GROUP BY l.name HAVING COUNT(*) = 1
    """

    # One parameter for a whole batch: 0.6 times as fast as LOAD DATA, a mark for each value 0.36 times.
    _INSERT_JSON = f"""
        INSERT INTO user_data (user_id, name, email, age)
        SELECT user_id, name, email, age FROM JSON_TABLE(%s, '$[*]' COLUMNS (
            user_id VARCHAR(36) CHARACTER SET utf8mb4 PATH '$[0]',
            name VARCHAR({MAX_TEXT}) CHARACTER SET utf8mb4 PATH '$[1]',
            email VARCHAR({MAX_TEXT}) CHARACTER SET utf8mb4 PATH '$[2]',
            age INT PATH '$[3]'
        )) AS users
    """

    def __init__(self, connection, cursor):
        self._cursor = cursor
        embedded = is_embedded(connection)
        self._mark, self._locking = ("?", "") if embedded else ("%s", "LOCK IN SHARE MODE")
        if embedded:
            cursor.execute(self._SQLITE_UNIQUE_KEYS)
        else:
            # A server that is not strict would cut a long name, and store NULL as ''.
            cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")
            cursor.execute(self._UNIQUE_KEYS)
        unique = {name for (name,) in cursor.fetchall()}
        self.has_unique_keys = {"user_id", "email"} <= unique
        if "email" not in unique:
            logger.warning(
                "user_data has no UNIQUE index on email: a load is slow there, and other programs "
                "may store an email twice"
            )
        self._has_json_table = not embedded and self._knows_json_table()
        self._packet_bytes = math.inf if embedded else self._max_allowed_packet()

    def _max_allowed_packet(self) -> int:
        self._cursor.execute("SELECT @@max_allowed_packet")
        return self._cursor.fetchone()[0]

    def fits(self, rows: int, characters: int) -> bool:
        """Tell whether so many rows, of so many characters in all, surely fit one statement."""
        return self._packet_bytes >= (
            STATEMENT_BYTES + rows * ROW_BYTES + characters * CHARACTER_BYTES
        )

    def _knows_json_table(self) -> bool:
        """MariaDB from 10.6 and MySQL from 8.0 do."""
        try:
            self._cursor.execute(
                "SELECT a FROM JSON_TABLE('[]', '$[*]' COLUMNS (a INT PATH '$')) AS j"
            )
            self._cursor.fetchall()
        except Exception as error:
            if getattr(error, "errno", None) == SYNTAX_ERROR:
                return False
            raise
        return True

    def insert(self, users: list[User]) -> Exception | None:
        """Add all the users in one statement, or none: then return why the table does not take them."""
        if not users:
            return None
        try:
            if self._has_json_table:
                rows = json.dumps(users, ensure_ascii=False, separators=(",", ":"))
                self._cursor.execute(self._INSERT_JSON, (rows,))
            else:
                row = f"({', '.join([self._mark] * len(COLUMNS))})"
                rows = ", ".join([row] * len(users))
                self._cursor.execute(
                    f"INSERT INTO user_data (user_id, name, email, age) VALUES {rows}",
                    [value for user in users for value in user],
                )
        except Exception as error:
            if _is_refused_by_table(error):
                return error
            raise
        return None

    def stored(self, users: list[User]) -> tuple[dict[str, User], dict[str, User]]:
        """Look up the stored users who share an id or an email with these, by id and by email."""
        by_id: dict[str, User] = {}
        by_email: dict[str, User] = {}
        for column in ("user_id", "email"):
            values = [getattr(user, column) for user in users]
            marks = ", ".join([self._mark] * len(values))
            # A locking read: a plain one does not see what others committed since our first.
            self._cursor.execute(
                f"SELECT user_id, name, email, age FROM user_data WHERE {column} IN ({marks}) "
                f"{self._locking}",
                values,
            )
            for row in self._cursor.fetchall():
                user = User(*row)
                by_id[user.user_id] = by_email[user.email] = user
        return by_id, by_email


def _is_refused_by_table(error: Exception) -> bool:
    if isinstance(error, sqlite3.IntegrityError):
        return True
    return getattr(error, "errno", None) in REFUSED_BY_TABLE


@contextmanager
def one_load_at_a_time(connection) -> Iterator[None]:
    """Hold the server's lock for loads: two in opposite orders would deadlock.

    The embedded engine has one writer at a time anyway. Raises TimeoutError.
    """
    if is_embedded(connection):
        yield
        return
    # MySQL takes 64 characters: of SHA2 there are 56. MD5 is gone from MySQL 9.6 on.
    name = "CONCAT(SHA2(DATABASE(), 224), '.load')"
    with closing(connection.cursor()) as cursor:
        # Fails where no database is chosen, for which GET_LOCK would be NULL, or the table is missing.
        cursor.execute("SHOW COLUMNS FROM user_data")
        cursor.fetchall()
        for _ in range(LOAD_LOCK_SECONDS):
            # In short waits, within the read time-out.
            cursor.execute(f"SELECT GET_LOCK({name}, 1)")
            if cursor.fetchone() == (1,):
                break
        else:
            raise TimeoutError(f"another load into user_data runs for over {LOAD_LOCK_SECONDS} s")
        try:
            yield
        except BaseException as error:
            clean_up(lambda: _release_lock(cursor, name), error)
            raise
        _release_lock(cursor, name)


def _release_lock(cursor, name: str) -> None:
    cursor.execute(f"SELECT RELEASE_LOCK({name})")
    cursor.fetchall()


@contextmanager
def transaction(connection) -> Iterator[None]:
    """Commit on success; on any failure roll back and re-raise it."""
    if not connection.in_transaction:
        begin = "BEGIN IMMEDIATE" if is_embedded(connection) else "START TRANSACTION"
        with closing(connection.cursor()) as cursor:
            cursor.execute(begin)
    try:
        yield
        connection.commit()
    except BaseException as error:
        clean_up(connection.rollback, error)
        raise
