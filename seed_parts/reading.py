"""Read a table as dicts, in constant memory, on either engine, reconnecting if the server is lost.

A table is read in segments by key, `WHERE key > last ORDER BY key LIMIT n`: a consumer that stops
leaves the server at most one segment to throw away, a segment costs the same at the end of the table
as at its start, and after a lost connection the next one goes on after the last key.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from functools import lru_cache, partial
from itertools import islice

from seed_parts.connect import LastingConnection, connect_to_prodev, is_embedded
from seed_parts.errors import closing, explained
from seed_parts.load import fill_if_missing
from seed_parts.mysql import whole_or_decimal

# A million users: 250 or 500 rows a block 0.52 s, 1,000 a block 0.57 s; the driver's own
# `for row in cursor(dictionary=True)` 2.9 s.
BLOCK_ROWS = 500
# The first segment is small, so that the first row and an early stop are cheap; then it doubles.
FIRST_SEGMENT_ROWS, LAST_SEGMENT_ROWS = 100, 25_600
BINARY = 63  # the number of the character set of bytes

Rows = list[dict]


@contextmanager
def open_reader() -> Iterator["Reader"]:
    """Give a Reader of the database DB_NAME, and close its connections on the way out.

    Each statement is a transaction of its own, so a reader that pauses holds no lock. If the table
    user_data is missing, a server's error says to run `python seed.py`; the embedded engine makes the
    table and fills it from user_data.csv.
    """
    with ExitStack() as on_exit:
        yield Reader(on_exit)


class Reader:
    """Runs queries and returns their rows as dicts, also when the server is lost in between.

    Columns and types are the driver's, but a whole DECIMAL is an int. After a lost connection a query is
    run again, up to 15 attempts within DB_DEADLINE seconds; then the driver's error is raised. Raises
    ValueError for two columns of one name.
    """

    def __init__(self, on_exit: ExitStack):
        self._on_exit = on_exit
        self._lasting: LastingConnection | None = None

    def _connect(self) -> LastingConnection:
        lasting = LastingConnection(partial(connect_to_prodev, for_reading=True))
        return self._on_exit.enter_context(closing(lasting))

    def fetch(self, sql: str, values: tuple = ()) -> Rows:
        """Return all rows of one query; `%s` stands for a value, on either engine."""

        def step(connection) -> Rows:
            return [row for rows in _run_query(connection, sql, values) for row in rows]

        lasting, self._lasting = self._lasting or self._connect(), None
        rows = self._run(lasting, step)
        self._lasting = lasting  # not after an error, whose result may be half read
        return rows

    def blocks(self, first: str, after: str) -> Iterator[Rows]:
        """Yield the rows of a table in the order of its key, in lists of at most 500.

        Both SELECTs start with the key and end in `ORDER BY key LIMIT %s`; `after` has `WHERE key > %s`
        too. `blocks` fills in both values. Because each segment begins after a key, reading continues
        there when a lost server is back, and every row arrives once. There is no snapshot: rows that
        others insert or delete meanwhile may be seen or not.

        The key may be text, integers or bytes. It must be unique and never NULL, since otherwise rows
        would be lost; raises ValueError if it notices.
        """
        lasting, segments = self._connect(), _Segments(first, after)
        while rows := self._run(lasting, segments.next_block):
            yield rows
        lasting.close()

    def _run(self, lasting: LastingConnection, step: Callable[..., Rows]) -> Rows:
        with explained("cannot read from"):
            try:
                return lasting.run(step)
            except sqlite3.OperationalError as error:
                if str(error) != "no such table: user_data":
                    raise
            lasting.run(fill_if_missing)
            return lasting.run(step)


class _Segments:
    """The rows of a table, block by block, on whichever connection there is."""

    def __init__(self, first: str, after: str):
        self._first, self._after = first, after
        self._last_key: tuple = ()  # of the block that was read last
        self._connection = None

    def next_block(self, connection) -> Rows:
        """Return the rows after the last block, an empty list at the end."""
        if connection is not self._connection:  # the first one, or one in place of a lost one
            self._connection, self._blocks = connection, self._read(connection)
        try:
            return next(self._blocks, [])
        except BaseException:
            self._connection = None  # a generator that failed is over: it would look like the end
            raise

    def _read(self, connection) -> Iterator[Rows]:
        # Embedded, each segment is one block, read to its end: a half-read query keeps writers waiting.
        limit, longest = FIRST_SEGMENT_ROWS, LAST_SEGMENT_ROWS
        if is_embedded(connection):
            limit = longest = BLOCK_ROWS
        while True:
            received = 0
            sql = self._after if self._last_key else self._first
            for rows in _run_query(connection, sql, (*self._last_key, limit)):
                self._last_key = self._key_of(rows)
                received += len(rows)
                yield rows
            if received < limit:
                return
            limit = min(2 * limit, longest)

    def _key_of(self, rows: Rows) -> tuple:
        """Return the key of the last row. Raises ValueError if reading after it would lose rows."""
        name = next(iter(rows[0]))
        key = rows[-1][name]
        if key is None or rows[0][name] is None:
            raise ValueError(f"{name} is NULL in a row: the key must never be NULL")
        if self._last_key == (key,) or (len(rows) > 1 and rows[-2][name] == key):
            raise ValueError(f"{name} is {key!r} in two rows: the key must be unique")
        return (key,)


def _run_query(connection, sql: str, values: tuple) -> Iterator[Rows]:
    """Run one query and yield its rows in blocks; a MySQL server keeps sending meanwhile."""
    cursor = connection.cursor()
    cursor.execute(sql, values)
    if is_embedded(connection):
        if rows := cursor.fetchall():
            yield _dict_maker(cursor.column_names)(rows)
        return
    if cursor.description is None:  # not a query
        return
    to_dicts = _mysql_dict_maker(tuple(cursor.description))
    convert = connection.converter.to_python
    fetch_block = _block_fetcher(connection, cursor)
    while rows := fetch_block():
        yield to_dicts(rows, convert)
    if connection.unread_result:
        connection.free_result()
    cursor.close()  # in no `finally`: half read, it raises; closing the connection does not


def _block_fetcher(connection, cursor) -> Callable[[], list[tuple]]:
    """Return a function that fetches the next block of raw rows, an empty list at the end.

    It skips `fetchmany`, which handles each row in Python: a million users take 0.52 s instead of 0.69.
    It uses a private attribute of the C extension, one reason why the driver is pinned; errors are of
    the extension's own class, which `explained` turns into the driver's.
    """
    c_connection = getattr(connection, "_cmysql", None)
    if c_connection is None:  # the driver in pure Python
        return lambda: cursor.fetchmany(BLOCK_ROWS)
    rows = iter(c_connection.fetch_row, None)
    return lambda: list(islice(rows, BLOCK_ROWS))


class _Numbers(dict):
    """Numbers by their text: a look-up takes 25 ns, int() takes 75."""

    def __missing__(self, text: bytes | None) -> int | Decimal | None:
        return None if text is None else whole_or_decimal(Decimal(text.decode()))


_NUMBERS = _Numbers((str(number).encode(), number) for number in range(1_000))


@lru_cache
def _mysql_dict_maker(columns: tuple[tuple, ...]) -> Callable[[list[tuple], Callable], Rows]:
    """Return a function of raw rows and the driver's converter, for a result with these columns."""
    from mysql.connector.constants import FieldFlag, FieldType

    integers = [getattr(FieldType, name) for name in ("LONG", "LONGLONG", "INT24", "SHORT", "TINY")]
    texts = (FieldType.VAR_STRING, FieldType.STRING, FieldType.BLOB)
    values = []
    for number, (_name, kind, *_, flags, charset) in enumerate(columns):
        value = f"convert(columns[{number}], v{number})"
        if kind in (FieldType.DECIMAL, FieldType.NEWDECIMAL):
            value = f"numbers[v{number}]"
        elif kind in integers:
            value = f"None if v{number} is None else int(v{number})"
        elif kind in texts and charset != BINARY and not flags & FieldFlag.SET:
            value = f"None if v{number} is None else v{number}.decode()"
        values.append(value)
    return _dict_maker(tuple(column[0] for column in columns), tuple(values), columns)


@lru_cache
def _dict_maker(
    names: tuple[str, ...], values: tuple[str, ...] = (), columns: tuple = ()
) -> Callable[..., Rows]:
    """Return a function that turns rows into dicts, compiled from the column names, as namedtuple does.

    `values` are the expressions of the dicts' values; the row's own values are called v0, v1 ... A
    million users' dicts take 0.24 s; with `dict(zip(names, ...))` and a decoder for each, 0.73 s.
    """
    if twice := [name for name in names if names.count(name) > 1]:
        raise ValueError(f"two columns are called {twice[0]}: rename one with AS")
    variables = [f"v{number}" for number in range(len(names))]
    pairs = zip(names, values or variables, strict=True)
    items = ", ".join(f"{name!r}: {value}" for name, value in pairs)
    source = f"lambda rows, convert=None: [{{{items}}} for {', '.join(variables)}, in rows]"
    return eval(source, {"numbers": _NUMBERS, "columns": columns})  # noqa: S307, names go through repr
