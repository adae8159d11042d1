"""Compare an answer's rows, in whatever form, with those of the table."""

import sqlite3
from collections import Counter
from contextlib import closing


def count(number: int, one: str, many: str = "") -> str:
    """A number and its noun: 1 row, 2 rows."""
    return f"{number} {one}" if number == 1 else f"{number} {many or one + 's'}"


def select(users: list[list], sql: str, *values) -> list[list]:
    """The rows that a query with at most one tuple of values reads from a table of these users."""
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE users (id, name, email, age)")
        database.executemany("INSERT INTO users VALUES (?, ?, ?, ?)", users)
        return [list(row) for row in database.execute(sql, *values)]


def same_row(found, expected: list) -> bool:
    """Whether a row (a dict or a list) has the expected values; numbers are compared by value."""
    if isinstance(found, dict):
        names = ("user_id", "id", "name", "email", "age")
        lower = {str(key).lower(): value for key, value in found.items()}
        found = [lower[name] for name in names if name in lower] or list(lower.values())
    if not isinstance(found, list):
        return False
    return len(found) == len(expected) and all(map(_same, found, expected))


def _same(found, expected) -> bool:
    if isinstance(expected, int | float):
        try:
            return abs(float(found) - float(expected)) < 1e-6
        except (TypeError, ValueError, OverflowError):
            return False
    return found == expected


def compare_rows(found, expected: list[list], what: str = "rows") -> str:
    """Say how the rows differ from the expected ones, in any order; '' if they do not."""
    if not isinstance(found, list):
        return f"expected a list of {what}, got {short(found)}"
    if not expected:  # then no answer could be right
        return "after the file was imported, its database held no users"
    numbers = places(found, expected)
    if -1 in numbers:
        is_one = any(same_row(found, row) for row in expected)
        got = f"a single row: {short(found)}" if is_one else short(found[numbers.index(-1)])
        return f"expected rows like {short(expected[0])}, got {got}"
    if doubled := sum(times > 1 for times in Counter(numbers).values()):
        return f"{count(doubled, 'row appears', 'rows appear')} more than once"
    missing = [row for number, row in enumerate(expected) if number not in numbers]
    which = which_rows(missing, expected)
    return f"{len(missing)} of {len(expected)} {what} are missing{which}" if missing else ""


def places(found: list, expected: list) -> list[int]:
    """For each row, the number of the expected row that is the same; -1 if none is."""
    numbered = list(enumerate(expected))
    return [next((n for n, row in numbered if same_row(one, row)), -1) for one in found]


def which_rows(missing: list, expected: list) -> str:
    """Say which rows are missing, if their places or ages show it; a fourth value is the age."""
    number, first = len(missing), expected.index(missing[0]) if missing else 0
    if number in (0, len(expected)):
        return ""
    if missing == [row for row in expected if row[3:] and row[3] <= 25]:
        return ": those aged 25 or less"
    for end, rows in (("first", expected[:number]), ("last", expected[-number:])):
        if missing == rows:
            return f": the {end} {number}" if number > 1 else f": the {end} one"
    if len(missing[0]) == 4 and missing == [
        row for n, row in enumerate(expected) if row[1] in (other[1] for other in expected[:n])
    ]:
        return ": the second of the same name"
    is_regular = number > 1 and missing == expected[first :: first + 1]
    return f": one after every {first} rows" if is_regular else ""


def short(value) -> str:
    """The value as at most 100 characters of text."""
    if isinstance(value, dict) and "$object" in value:  # what JSON could not hold
        return f"an object of type {value['$object']}"[:100]
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."
