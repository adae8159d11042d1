"""How a CSV file gets into the table user_data: nothing changed, nothing lost, nothing doubled.

Good rows are loaded in one transaction, in batches; each unacceptable row goes to a reject file with
its line number and the reason. pgloader works that way.
"""

import csv
import io
import json
import os
import sqlite3
import sys
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from seed_csv import COLUMNS, MAX_AGE, MAX_TEXT, Record, User, find_csv, open_csv
from seed_engine import ROOT, is_embedded
from seed_retry import clean_up, closing

BATCH_ROWS = 2_000
BATCHES_UNDER_WAY = 2  # 1 is stored, 1 waits: 105,000 rows/s; with none waiting 77,000
BATCH_TEXT = 1 << 20  # characters of the file in a batch, whose statement must fit a packet
LOAD_LOCK_SECONDS = 3600  # how long a load waits for another one to end
SYNTAX_ERROR = 1064  # MySQL
# MySQL's numbers for a row that the table does not take: a duplicate key, NULL, out of range, not in
# the character set, too long, a CHECK (MariaDB's number and MySQL's).
REFUSED_BY_TABLE = frozenset({1062, 1048, 1264, 1366, 1406, 4025, 3819})

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


class LoadCounts(NamedTuple):
    """read = added + present + refused, always."""

    read: int
    added: int
    present: int
    refused: int


def create_table(connection) -> None:
    """Create the table user_data if it is missing, and say so."""
    with closing(connection.cursor()) as cursor:
        cursor.execute(SQLITE_TABLE if is_embedded(connection) else MYSQL_TABLE)
    print("Table user_data created successfully")


def insert_data(connection, data: str | os.PathLike, *, progress: bool = False) -> LoadCounts:
    """Load the CSV file named by `data` in one transaction, commit it, and return the counts.

    The columns are user_id (made of the email where it is missing), name, email and age. A row that
    is stored already is left as it is; one that cannot be accepted, or that differs from what is
    stored under its id or email, is refused and written to the file of `reject_path`. Nothing is
    stored if anything else fails. Raises FileNotFoundError, or ValueError for no CSV file of users.
    """
    return _load(connection, find_csv(data), progress=progress)


def reject_path(csv_path: Path) -> Path:
    return csv_path.with_name(f"{csv_path.name}.rejected")


def fill_if_missing(connection) -> None:
    """Create and fill the embedded table from user_data.csv, in one transaction, if it is missing."""
    if _has_table(connection):
        return
    path = find_csv(ROOT / "user_data.csv")
    counts = _load(connection, path, create=True)
    if counts.refused:
        message = f"{counts.refused} rows of {path} were refused: see {reject_path(path)}"
        print(message, file=sys.stderr)


def _has_table(connection) -> bool:
    tables = "SELECT name FROM main.sqlite_master WHERE name = 'user_data'"
    return connection.execute(tables).fetchone() is not None


def _load(connection, path: Path, *, progress: bool = False, create: bool = False) -> LoadCounts:
    read = added = present = 0
    with (
        open_csv(path) as file,
        _RejectFile(reject_path(path)) as rejects,
        _one_load_at_a_time(connection),
        _transaction(connection),
        closing(connection.cursor()) as cursor,
        _progress_bar(path, progress) as bar,
    ):
        if create and _has_table(connection):  # somebody else made it while we waited for the lock
            return LoadCounts(0, 0, 0, 0)
        if create:
            cursor.execute(SQLITE_TABLE)
        table = _UserTable(connection, cursor)
        for batch, refused, batch_added in table.store_all(_batches(file.records)):
            rejects.write(refused)
            read += len(batch)
            added += batch_added
            present += len(batch) - batch_added - len(refused)
            bar.update(file.binary.tell() - bar.n)
        rejects.close()  # a disk that is full for it must fail before the commit
    return LoadCounts(read, added, present, rejects.count)


def _batches(records: Iterator[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        batch.append(record)
        size += len(record.text)
        if len(batch) == BATCH_ROWS or size > BATCH_TEXT:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Stored(NamedTuple):
    batch: list[Record]
    refused: list[Record]  # in the order of the file
    added: int


def _store(table: "_UserTable", batch: list[Record]) -> Stored:
    """Add the new users of the batch, and tell the refused records and how many were added."""
    refused = [record for record in batch if record.user is None]
    good = [record for record in batch if record.user is not None]
    if table.has_unique_keys and table.insert([record.user for record in good]) is None:
        return Stored(
            batch, refused, len(good)
        )  # nothing of it was there: the usual case costs no look-up

    by_id, by_email = table.stored([record.user for record in good])
    new: list[Record] = []
    for record in good:
        user = record.user
        same_email = by_email.get(user.email)
        same_id = by_id.get(user.user_id) if record.has_id or not same_email else same_email
        if same_id is None and same_email is None:
            by_id[user.user_id] = by_email[user.email] = user
            new.append(record)
        elif reason := _conflict(user, same_id, same_email):
            refused.append(record._replace(reason=reason))
    added = len(new)
    if table.insert([record.user for record in new]) is not None:
        # A table made by others takes less than ours, or compares without regard to case: row by row.
        for record in new:
            if (error := table.insert([record.user])) is not None:
                reason = f"the table does not take it: {getattr(error, 'msg', error)}"
                refused.append(record._replace(reason=reason))
                added -= 1
    return Stored(batch, sorted(refused), added)


def _conflict(user: User, same_id: User | None, same_email: User | None) -> str:
    """Say why `user` cannot stand beside what is stored; empty if it is stored just so."""
    if same_id is None:
        return f"email {user.email} belongs to the stored user {same_email.user_id}"
    if same_id != same_email:
        return f"user_id {user.user_id} belongs to the stored user {same_id.email}"
    for column in ("name", "age"):
        stored = getattr(same_id, column)
        if stored != getattr(user, column):
            return f"stored already with another {column}: {stored}"
    return ""


class _UserTable:
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
    _INSERT_JSON = """
        INSERT INTO user_data (user_id, name, email, age)
        SELECT user_id, name, email, age FROM JSON_TABLE(%s, '$[*]' COLUMNS (
            user_id VARCHAR(36) CHARACTER SET utf8mb4 PATH '$[0]',
            name VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[1]',
            email VARCHAR(255) CHARACTER SET utf8mb4 PATH '$[2]',
            age INT PATH '$[3]'
        )) AS users
    """

    def __init__(self, connection, cursor):
        self._cursor = cursor
        self._is_embedded = is_embedded(connection)
        self._mark, self._locking = "%s", "LOCK IN SHARE MODE"
        if self._is_embedded:
            self._mark, self._locking = "?", ""
            cursor.execute(self._SQLITE_UNIQUE_KEYS)
        else:
            # A server that is not strict would cut a long name, and store NULL as ''.
            cursor.execute("SET SESSION sql_mode = CONCAT(@@sql_mode, ',STRICT_ALL_TABLES')")
            cursor.execute(self._UNIQUE_KEYS)
        self.has_unique_keys = {"user_id", "email"} <= {name for (name,) in cursor.fetchall()}
        self._has_json_table = not self._is_embedded and self._knows_json_table()

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

    def store_all(self, batches: Iterator[list[Record]]) -> Iterator[Stored]:
        """Store each batch; on a server, while the next one is read and validated here."""
        if self._is_embedded:
            yield from (_store(self, batch) for batch in batches)
            return
        with ThreadPoolExecutor(1, thread_name_prefix="load") as worker:
            under_way: deque[Future[Stored]] = deque()
            for batch in batches:
                under_way.append(worker.submit(_store, self, batch))
                if len(under_way) == BATCHES_UNDER_WAY:
                    yield under_way.popleft().result()
            while under_way:
                yield under_way.popleft().result()

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
def _one_load_at_a_time(connection) -> Iterator[None]:
    """Hold the server's lock for loads: two in opposite orders would deadlock.

    The embedded engine has one writer at a time anyway. Raises TimeoutError.
    """
    if is_embedded(connection):
        yield
        return
    name = "CONCAT(DATABASE(), '.user_data')"
    with closing(connection.cursor()) as cursor:
        cursor.execute(f"SELECT GET_LOCK({name}, %s)", (LOAD_LOCK_SECONDS,))
        if cursor.fetchone() != (1,):
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
def _transaction(connection) -> Iterator[None]:
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


class _RejectFile:
    """The refused rows as CSV: line, reason, the row's own text; in place only once all is stored."""

    def __init__(self, path: Path):
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        self._file: io.TextIOBase | None = None
        self.count = 0

    def write(self, records: list[Record]) -> None:
        if records and self._file is None:
            # surrogateescape gives back the very bytes that were no UTF-8.
            try:
                self._file = self._unfinished.open(
                    "x", encoding="utf-8", errors="surrogateescape", newline=""
                )
            except OSError as error:
                message = f"{error.strerror}, where the refused rows have to be written"
                raise type(error)(error.errno, message, str(self._path)) from error
            csv.writer(self._file).writerow(["line", "reason", "row"])
        for record in records:
            row = [record.line, record.reason, record.text.rstrip("\r\n")]
            csv.writer(self._file).writerow(row)
        self.count += len(records)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, _type, error, _traceback):
        if self._file is None:
            if error is None:
                self._path.unlink(missing_ok=True)  # what an earlier load refused is no longer so
        elif error is None:
            self._unfinished.replace(self._path)
        else:
            clean_up(self.close, error)
            clean_up(self._unfinished.unlink, error)


@contextmanager
def _progress_bar(path: Path, wanted: bool) -> Iterator:
    from tqdm import tqdm

    # disable=None: only where stderr is a terminal.
    size = path.stat().st_size
    with tqdm(
        total=size, unit="B", unit_scale=True, desc=path.name, disable=None if wanted else True
    ) as bar:
        yield bar
