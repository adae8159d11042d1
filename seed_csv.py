"""How a CSV file of users is read: row by row, each validated, none changed.

A row that cannot be accepted does not stop the reading: it comes with its line and the reason.
"""

import codecs
import csv
import io
import os
import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from seed_settings import ROOT

MAX_TEXT = 255  # characters of name and email, as in the table
MAX_AGE = 150
MAX_RECORD = 1 << 20  # characters; longer is no CSV file of users, and would fill the memory

COLUMNS = ("user_id", "name", "email", "age")
UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
AGE_FORM = re.compile(r"\s{0,9}([0-9]{1,3})(\.0{0,9})?\s{0,9}")
EMAIL_FORM = re.compile(r"[^@\s]+@[^\s]+")


class User(NamedTuple):
    user_id: str
    name: str
    email: str
    age: int


class Record(NamedTuple):
    """One row of the file: where it stands, as what text, and the user or why there is none."""

    line: int
    text: str
    user: User | None
    has_id: bool = False  # given in the file, not made of the email
    reason: str = ""


def find_csv(data: str | os.PathLike) -> Path:
    """Find the file: a relative path in the working directory first, then beside seed.py."""
    path = Path(data)
    candidates = [path] if path.is_absolute() else [Path.cwd() / path, ROOT / path]
    for candidate in candidates:
        if candidate.exists():
            return candidate
    places = " nor ".join(str(candidate.parent) for candidate in candidates)
    raise FileNotFoundError(
        f"no CSV file {path.name} in {places}: give the path of one that exists"
    )


def user_id_of(email: str) -> str:
    """Make the id of a user without one: the same email gives the same id, on any machine."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, email))


class _Lines:
    """The lines of a file, remembering the text of the record that csv.reader is at."""

    def __init__(self, file: io.TextIOBase, path: Path):
        self._file, self._path = file, path
        self.number = 0
        self.record: list[str] = []
        self._size = 0

    def __iter__(self):
        return self

    def __next__(self) -> str:
        line = self._file.readline(MAX_RECORD)
        if not line:
            raise StopIteration
        self.number += 1
        self.record.append(line)
        self._size += len(line)
        if self._size >= MAX_RECORD:
            raise ValueError(
                f"{self._path}, line {self.number}: a row of more than {MAX_RECORD} characters: "
                "this is no CSV file of users"
            )
        return line

    def start_record(self) -> None:
        self.record.clear()
        self._size = 0


class CsvFile(NamedTuple):
    records: Iterator[Record]
    binary: io.BufferedReader  # its position tells how far the reading is


@contextmanager
def open_csv(path: Path) -> Iterator[CsvFile]:
    """Open a CSV file of users, to read its records one by one.

    The header is checked at once: ValueError names the file, the line and what is wrong there.
    """
    with path.open("rb") as binary:
        if binary.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise ValueError(f"{path}, line 1: the file is UTF-16; save it as UTF-8")
        # surrogateescape: a byte that is no UTF-8 refuses its row, not the file.
        with io.TextIOWrapper(binary, "utf-8-sig", "surrogateescape", newline="") as file:
            lines = _Lines(file, path)
            reader = csv.reader(lines, strict=True)
            columns = _read_header(reader, path)
            yield CsvFile(_records(reader, lines, columns), binary)


def _read_header(reader, path: Path) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error as error:
        raise ValueError(f"{path}, line 1: not a CSV header: {error}") from error
    columns = [name.strip().lower() for name in header]
    if sorted(columns) not in (sorted(COLUMNS), sorted(COLUMNS[1:])):
        shown = ",".join(header)[:80]
        raise ValueError(
            f"{path}, line 1: the header must be user_id,name,email,age or name,email,age, "
            f"in any order; it is {shown!r}"
        )
    return columns


def _records(reader, lines: _Lines, columns: list[str]) -> Iterator[Record]:
    while True:
        lines.start_record()
        first_line = lines.number + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"not a CSV row, up to line {lines.number}: {error}"
            yield Record(first_line, "".join(lines.record), None, reason=reason)
            continue
        if not fields:  # an empty line
            continue
        text = "".join(lines.record)
        try:
            user, has_id = _validate(fields, columns)
        except ValueError as error:
            yield Record(first_line, text, None, reason=str(error))
        else:
            yield Record(first_line, text, user, has_id)


def _validate(fields: list[str], columns: list[str]) -> tuple[User, bool]:
    """Make a User of the fields, and tell whether they gave the id.

    Raises ValueError with the reason why they are refused.
    """
    if len(fields) != len(columns):
        raise ValueError(f"{len(fields)} fields, not {len(columns)}")
    row = dict(zip(columns, fields, strict=True))
    for column, value in row.items():
        if not value.strip() and column != "user_id":
            raise ValueError(f"{column} is blank")
        if "\0" in value:
            raise ValueError(f"{column} holds a NUL byte")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError(f"{column} is not UTF-8") from None
    for column in ("name", "email"):
        if len(row[column]) > MAX_TEXT:
            raise ValueError(f"{column} has {len(row[column])} characters, more than {MAX_TEXT}")
    if not EMAIL_FORM.fullmatch(row["email"]):
        raise ValueError(f"email {row['email']!r} is no address")
    age = AGE_FORM.fullmatch(row["age"])
    if not age or int(age[1]) > MAX_AGE:
        raise ValueError(f"age {row['age'][:40]!r} is no whole number from 0 to {MAX_AGE}")
    user_id = row.get("user_id", "").strip()
    if user_id and not UUID_FORM.fullmatch(row["user_id"]):
        raise ValueError(f"user_id {row['user_id'][:40]!r} is no UUID")
    user = User(user_id or user_id_of(row["email"]), row["name"], row["email"], int(age[1]))
    return user, bool(user_id)
