"""The users that the checker puts into its tables, users.db and user_data.csv."""

import contextlib
import csv
import io
import sqlite3
import time
from pathlib import Path

NAMES = ("Ada", "Grace", "Linus", "Björn", "Siobhán O'Brien", "Ngozi", "José", "Ayşe", 'Li "Bo"')
AGES = (25, 26, 40, 41, 18, 67, 33, 52, 107, 29, 24, 45, 71)
TWIN = 29
STRANGER = ("99999999-0000-4000-8000-000000000001", "Somebody Else", "else@checker.example", 44)


def small_users() -> list[tuple[str, str, str, int]]:
    """57 users in user_id order, whose ids in the table users are 1 to 57.

    No usual batch size divides 57, but 19 does. Names have accents and quotes, some emails a capital
    letter, and some ages three digits. Two users have the same name, with other emails and ages.
    """
    return [
        (
            f"{number:08x}-0000-4000-8000-{number * 7919:012x}",
            f"{NAMES[number % len(NAMES)]} {20 if number == TWIN else number}",
            f"{'user' if number % 4 else 'User'}{number}@checker.example",
            AGES[number % len(AGES)],
        )
        for number in range(1, 58)
    ]


def make_users_db(path: Path) -> None:
    """Create the SQLite file of the decorator and context manager exercises."""
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        for table, key, rows in (
            ("users", "id INTEGER", [(None, *row[1:]) for row in small_users()]),
            ("user_data", "user_id TEXT", small_users()),
        ):
            columns = f"({key} PRIMARY KEY, name TEXT, email TEXT, age INTEGER)"
            connection.execute(f"CREATE TABLE {table} {columns}")
            connection.executemany(f"INSERT INTO {table} VALUES (?, ?, ?, ?)", rows)


def read_sqlite(path: Path) -> list[list]:
    """The users committed in the table users of the file; [] if it has none or other columns.

    The answer wrote this file: a view could run forever, a generated column could have any size.
    """
    deadline = time.monotonic() + 2
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 100_000)
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 10_000)
            connection.execute("PRAGMA trusted_schema = OFF")
            rows = connection.execute("SELECT * FROM users LIMIT 2000").fetchall()
    except (sqlite3.Error, ValueError, MemoryError):  # ValueError: text that is not UTF-8
        return []
    return [list(row) for row in rows if len(row) == 4 and isinstance(row[3], int | float)]


def csv_text(header: list[str]) -> str:
    """The users as CSV with these columns, quoted as in the course's file."""
    columns = ("user_id", "name", "email", "age")
    users = [dict(zip(columns, row, strict=True)) for row in small_users()]
    text = io.StringIO()
    table = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\n")
    table.writerow(header)
    table.writerows([user.get(name.strip().lower(), "") for name in header] for user in users)
    return text.getvalue()
