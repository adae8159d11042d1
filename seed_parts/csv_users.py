"""Reading a CSV file of users row by row; each row is validated, none is changed.

An invalid row does not stop the reading: it comes with its line and the reason.
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

from seed_parts.settings import ROOT

MAX_TEXT = 255  # characters of name and email, as in the table
MAX_AGE = 150
MAX_RECORD = 1 << 20  # characters; a longer one would fill the memory

COLUMNS = ("user_id", "name", "email", "age")
UUID_FORM = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
AGE_FORM = re.compile(r"\s{0,9}([0-9]{1,3})(\.0{0,9})?\s{0,9}")
EMAIL_FORM = re.compile(r"[^@\s]+@[^\s]+")


class InvalidRow(ValueError):
    """A row that is not a user."""


class User(NamedTuple):
    user_id: str
    name: str
    email: str
    age: int


class Record(NamedTuple):
    """One row of the file: its line, its text, and the user or the reason why it is invalid."""

    line: int
    text: str
    user: User | None
    has_id: bool = False  # given in the file, not made from the email
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


def _lines(file: io.TextIOBase, path: Path, record: list[str]) -> Iterator[str]:
    """Yield the lines of a file; `record` collects those since it was cleared."""
    number = size = 0
    while line := file.readline(MAX_RECORD):
        number += 1
        size = len(line) + (size if record else 0)
        record.append(line)
        if size >= MAX_RECORD:
            raise ValueError(
                f"{path}, line {number}: a row of more than {MAX_RECORD} characters: "
                "this is not a CSV file of users"
            )
        yield line


@contextmanager
def open_csv(path: Path) -> Iterator[tuple[Iterator[Record], io.BufferedReader]]:
    """Open a CSV file of users; yield its records and the binary file (for progress).

    The header is checked at once: ValueError names the file, the line and what is wrong there.
    """
    with path.open("rb") as binary:
        if binary.peek(2)[:2] in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE):
            raise ValueError(f"{path}, line 1: the file is UTF-16; save it as UTF-8")
        # surrogateescape: a byte that is not UTF-8 rejects its row, not the file.
        with io.TextIOWrapper(binary, "utf-8-sig", "surrogateescape", newline="") as file:
            record: list[str] = []  # the lines of the row that the reader is at
            reader = csv.reader(_lines(file, path, record), strict=True)
            columns = _read_header(reader, path)
            yield _records(reader, record, columns), binary


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


def _records(reader, lines: list[str], columns: list[str]) -> Iterator[Record]:
    while True:
        lines.clear()
        first_line = reader.line_num + 1
        user, has_id, reason = None, False, ""
        try:
            fields = next(reader)
            if not fields:  # an empty line
                continue
            user, has_id = _validate(fields, columns)
        except StopIteration:
            return
        except csv.Error as error:
            reason = f"not a CSV row, up to line {reader.line_num}: {error}"
        except InvalidRow as error:
            reason = str(error)
        yield Record(first_line, "".join(lines), user, has_id, reason)


def _validate(fields: list[str], columns: list[str]) -> tuple[User, bool]:
    """Return the User that the fields make, and whether they gave the id.

    Raises InvalidRow with the reason.
    """
    if len(fields) != len(columns):
        raise InvalidRow(f"{len(fields)} fields, not {len(columns)}")
    row = dict(zip(columns, fields, strict=True))
    for column, value in row.items():
        if not value.strip() and column != "user_id":
            raise InvalidRow(f"{column} is blank")
        if "\0" in value:
            raise InvalidRow(f"{column} holds a NUL byte")
        try:
            value.encode()
        except UnicodeEncodeError:
            raise InvalidRow(f"{column} is not UTF-8") from None
    for column in ("name", "email"):
        if len(row[column]) > MAX_TEXT:
            raise InvalidRow(f"{column} has {len(row[column])} characters, more than {MAX_TEXT}")
    if not EMAIL_FORM.fullmatch(row["email"]):
        raise InvalidRow(f"email {row['email']!r} is not an address")
    age = AGE_FORM.fullmatch(row["age"])
    if not age or int(age[1]) > MAX_AGE:
        raise InvalidRow(f"age {row['age'][:40]!r} is not a whole number from 0 to {MAX_AGE}")
    given = row.get("user_id", "").strip()
    if given and not UUID_FORM.fullmatch(row["user_id"]):
        raise InvalidRow(f"user_id {row['user_id'][:40]!r} is not a UUID")
    # Without an id it is made from the email: always the same id, on any machine.
    user_id = given or str(uuid.uuid5(uuid.NAMESPACE_URL, row["email"]))
    return User(user_id, row["name"], row["email"], int(age[1])), bool(given)
