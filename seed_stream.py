"""How rows of user_data reach the generators: in blocks, in constant memory, on either engine.

The table is read in segments by key, `WHERE user_id > last ORDER BY user_id LIMIT n`, so a consumer
that stops leaves the server at most one segment to throw away, a segment costs the same at the end of
the table as at its start, and when the server is lost, the next connection goes on after the last
key. There is no snapshot: rows that others insert or delete meanwhile are seen or not, all others
exactly once.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice

from seed_connection import open_reader
from seed_csv import MAX_AGE
from seed_engine import is_embedded
from seed_errors import explained
from seed_mysql import whole_or_decimal

# A million users: 250 or 500 rows a block 0.52 s, 1,000 a block 0.57 s; the driver's own
# `for row in cursor(dictionary=True)` 2.9 s.
BLOCK_ROWS = 500
# The first segment is small, so that the first row and an early stop are cheap; then it doubles.
FIRST_SEGMENT_ROWS, LAST_SEGMENT_ROWS = 100, 25_600


def user_blocks() -> Iterator[list[dict]]:
    """Yield blocks of users, in user_id order, as lists of dicts; close it to free the connection."""
    return _blocks("user_id, name, email, age", _sqlite_users, _mysql_users)


def age_blocks() -> Iterator[list[int]]:
    """Yield blocks of ages, in user_id order, as lists; close it to free the connection."""
    return _blocks("user_id, age", _sqlite_ages, _mysql_ages)


def _blocks(columns: str, from_sqlite: Callable, from_mysql: Callable) -> Iterator[list]:
    table = _Table(columns)
    with open_reader(raw=True) as reader:
        while True:
            with explained("cannot read user_data in"):
                rows = reader.run(table.next_block)
            if not rows:
                return
            yield (from_sqlite if table.is_embedded else from_mysql)(rows)


class _Table:
    """The rows of user_data, block by block, in user_id order, on whichever connection there is."""

    def __init__(self, columns: str):
        # The first segment has no lower bound: not every type of key has a value below all others.
        select = f"SELECT {columns} FROM user_data"
        self._first = f"{select} ORDER BY user_id LIMIT %s"
        self._after = f"{select} WHERE user_id > %s ORDER BY user_id LIMIT %s"
        self._last_key: tuple = ()  # of the block that was given last
        self._connection = None

    def next_block(self, connection) -> list[tuple]:
        """Give the rows after the last block, an empty list at the end."""
        if connection is not self._connection:  # the first one, or one in place of a lost one
            self._connection, self.is_embedded = connection, is_embedded(connection)
            blocks = _sqlite_blocks if self.is_embedded else _mysql_blocks
            self._blocks = blocks(connection, self._first, self._after, self._last_key)
        try:
            rows = next(self._blocks, [])
        except BaseException:
            self._connection = None  # what failed is over; asked again, it would look like the end
            raise
        if rows:
            self._last_key = _key(rows)
        return rows


def _key(rows: list[tuple]) -> tuple:
    key = rows[-1][0]
    return (key.decode() if isinstance(key, bytes | bytearray) else key,)


def _mysql_blocks(connection, first: str, after: str, last_key: tuple) -> Iterator[list[tuple]]:
    limit = FIRST_SEGMENT_ROWS
    while True:
        cursor = connection.cursor()  # unbuffered: rows come while the server still sends
        cursor.execute(after if last_key else first, (*last_key, limit))
        received = 0
        fetch_block = _block_fetcher(connection, cursor)
        while rows := fetch_block():
            yield rows
            received += len(rows)
            last_key = _key(rows)
        if connection.unread_result:
            connection.free_result()
        cursor.close()  # in no `finally`: half read, it raises; closing the connection does not
        if received < limit:
            return
        limit = min(2 * limit, LAST_SEGMENT_ROWS)


def _block_fetcher(connection, cursor) -> Callable[[], list[tuple]]:
    """Give what fetches the next block of raw rows, an empty list at the end.

    It goes past `fetchmany`, which handles each row in Python: a million users take 0.52 s instead of
    0.69. What it uses of the C extension is the driver's own, which is a reason for its pin; what it
    raises is the extension's own class, which `explained` turns into the driver's.
    """
    c_connection = getattr(connection, "_cmysql", None)
    if c_connection is None:  # the driver in pure Python
        return lambda: cursor.fetchmany(BLOCK_ROWS)
    c_connection.raw(True)
    rows = iter(c_connection.fetch_row, None)
    return lambda: list(islice(rows, BLOCK_ROWS))


def _sqlite_blocks(connection, first: str, after: str, last_key: tuple) -> Iterator[list[tuple]]:
    # Each block is a query read to its end: a half-read one would keep the file's writers waiting.
    cursor = connection.cursor()
    while rows := cursor.execute(after if last_key else first, (*last_key, BLOCK_ROWS)).fetchall():
        yield rows
        last_key = _key(rows)


def _sqlite_users(rows: list[tuple]) -> list[dict]:
    return [{"user_id": i, "name": n, "email": e, "age": a} for i, n, e, a in rows]


class _Ages(dict):
    """Ages by their text: looked up in 25 ns, where int() takes 75; others are made as they come."""

    def __missing__(self, text: bytes | None) -> int | Decimal | None:
        return None if text is None else whole_or_decimal(Decimal(text.decode()))


_AGE = _Ages((str(age).encode(), age) for age in range(MAX_AGE + 1))


def _mysql_users(rows: list[tuple]) -> list[dict]:
    try:
        return [
            {"user_id": i.decode(), "name": n.decode(), "email": e.decode(), "age": _AGE[a]}
            for i, n, e, a in rows
        ]
    except AttributeError:  # a NULL, in a table made by others
        return _sqlite_users([(*map(_text, row[:-1]), _AGE[row[-1]]) for row in rows])


def _sqlite_ages(rows: list[tuple]) -> list[int]:
    return [age for _, age in rows]


def _mysql_ages(rows: list[tuple]) -> list[int]:
    return [_AGE[age] for _, age in rows]


def _text(raw: bytes | None) -> str | None:
    return None if raw is None else raw.decode()
