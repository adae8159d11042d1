"""The table user_data as a load sees it: its definition, what it holds, how rows are added."""

import json
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from seed_parts.connect import at_any_node, connect_to_prodev, is_embedded
from seed_parts.csv_users import MAX_AGE, MAX_TEXT, User
from seed_parts.errors import REJECTED, clean_up, closing, explained, kind_of

LOAD_LOCK_SECONDS = 3600  # how long a load waits for another one to end
BATCH_ROWS, BATCH_TEXT = 2_000, 1 << 20  # of one statement: rows, and characters of the file
# Of a statement, at most: bytes for each character (a control character in JSON, its backslash
# doubled), for a row beside its text (id, brackets, quotes), for the statement around the rows.
CHARACTER_BYTES, ROW_BYTES, STATEMENT_BYTES = 7, 80, 500

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


@partial(at_any_node, connect_to_prodev)
def create_table(connection) -> None:
    """Create user_data if it is missing; print the course's line in either case."""
    with explained("cannot create user_data in"), closing(connection.cursor()) as cursor:
        if is_embedded(connection):
            cursor.execute(SQLITE_TABLE)
        else:
            # Looked up first: IF NOT EXISTS needs the right to create in any case.
            cursor.execute("SHOW TABLES LIKE 'user_data'")
            if not cursor.fetchall():
                cursor.execute(MYSQL_TABLE)
    print("Table user_data created successfully")


# The unique keys of one whole column.
_MYSQL_KEYS = """
    SELECT MAX(COLUMN_NAME) FROM INFORMATION_SCHEMA.STATISTICS
    WHERE TABLE_SCHEMA = DATABASE() AND TABLE_NAME = 'user_data' AND NON_UNIQUE = 0
    GROUP BY INDEX_NAME HAVING COUNT(*) = 1 AND MAX(SUB_PART) IS NULL
"""
_SQLITE_KEYS = """
    SELECT MAX(i.name) FROM pragma_index_list('user_data') AS l, pragma_index_info(l.name) AS i
    WHERE l."unique" GROUP BY l.name HAVING COUNT(*) = 1
"""
# One parameter for a whole batch: 0.6 times as fast as LOAD DATA, a mark for each value 0.36 times.
_MYSQL_INSERT = f"""
    INSERT INTO user_data (user_id, name, email, age)
    SELECT user_id, name, email, age FROM JSON_TABLE(%s, '$[*]' COLUMNS (
        user_id VARCHAR(36) CHARACTER SET utf8mb4 PATH '$[0]',
        name VARCHAR({MAX_TEXT}) CHARACTER SET utf8mb4 PATH '$[1]',
        email VARCHAR({MAX_TEXT}) CHARACTER SET utf8mb4 PATH '$[2]',
        age INT PATH '$[3]'
    )) AS users
"""
_SQLITE_INSERT = """
    INSERT INTO user_data (user_id, name, email, age)
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
        json_extract(value, '$[3]') FROM json_each(?)
"""


class UserTable:
    """user_data as a load sees it: what it holds already, and how rows are added."""

    def __init__(self, connection):
        self.connection = connection
        self._cursor = cursor = connection.cursor()
        self._packet_bytes = math.inf
        if is_embedded(connection):
            self._insert, self._mark, self._locking = _SQLITE_INSERT, "?", ""
            cursor.execute(_SQLITE_KEYS)
        else:
            self._insert, self._mark, self._locking = _MYSQL_INSERT, "%s", "LOCK IN SHARE MODE"
            # A server that is not strict would cut a long name, and store NULL as ''.
            cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")
            # Without it MariaDB from 11.6.2 ends the transaction with error 1020 where a locking read
            # meets a row that is newer than the transaction's snapshot.
            cursor.execute("SHOW VARIABLES LIKE 'innodb_snapshot_isolation'")
            if cursor.fetchall():
                cursor.execute("SET SESSION innodb_snapshot_isolation = OFF")
            cursor.execute("SELECT @@max_allowed_packet")
            ((self._packet_bytes,),) = cursor.fetchall()
            cursor.execute(_MYSQL_KEYS)
        unique = {name for (name,) in cursor.fetchall()}
        self.has_unique_keys = {"user_id", "email"} <= unique
        if "email" not in unique:
            logger.warning(
                "user_data has no UNIQUE index on email: a load is slow there, and other programs "
                "may store an email twice"
            )

    def fits(self, rows: int, characters: int) -> bool:
        """Return whether so many rows with so many characters are sure to fit into one statement."""
        size = STATEMENT_BYTES + rows * ROW_BYTES + characters * CHARACTER_BYTES
        return rows <= BATCH_ROWS and characters <= BATCH_TEXT and size <= self._packet_bytes

    def insert(self, users: list[User]) -> Exception | None:
        """Add all the users and return None, or add none and return why the table rejects them."""
        try:
            rows = json.dumps(users, ensure_ascii=False, separators=(",", ":"))
            self._cursor.execute(self._insert, (rows,))
        except Exception as error:
            if kind_of(error) != REJECTED:
                raise
            return error
        return None

    def stored(self, users: list[User]) -> tuple[dict[str, User], dict[str, User]]:
        """Look up the stored users who share an id or an email with these, by id and by email."""
        by_id: dict[str, User] = {}
        by_email: dict[str, User] = {}
        for column in ("user_id", "email") if users else ():
            # A locking read: a plain one sees only what was committed before our first read.
            self._cursor.execute(
                f"SELECT user_id, name, email, age FROM user_data WHERE {column} IN "
                f"({', '.join([self._mark] * len(users))}) {self._locking}",
                [getattr(user, column) for user in users],
            )
            for row in self._cursor.fetchall():
                user = User(*row)
                by_id[user.user_id] = by_email[user.email] = user
        return by_id, by_email


@contextmanager
def one_load_at_a_time(connection) -> Iterator[None]:
    """Hold the server's lock for loads: two that insert rows in opposite orders would deadlock.

    The embedded engine has one writer at a time anyway. Raises TimeoutError after an hour.
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
        for _ in range(LOAD_LOCK_SECONDS):  # in short waits, within the read time-out
            cursor.execute(f"SELECT GET_LOCK({name}, 1)")
            if cursor.fetchall() == [(1,)]:
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
