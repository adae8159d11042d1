"""What to do when something fails: what is worth another try, the loop over attempts, clean-up."""

import asyncio
import math
import re
import sqlite3
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

# sqlite3.h: SQLITE_BUSY and SQLITE_LOCKED, the primary codes (the low byte of an extended one).
SQLITE_BUSY, SQLITE_LOCKED = 5, 6
STEPS_BETWEEN_LOOKS = 10_000  # of SQLite's machine: under a millisecond
PERMANENT_TEXT = re.compile(
    r"no such|syntax error|already exists|has no column|ambiguous|constraint|readonly|read-only"
    r"|unable to open|malformed|not a database|could not decode|closed",
    re.IGNORECASE,
)
# https://mariadb.com/kb/en/mariadb-error-codes/: too many connections, shutdown, network, lock wait,
# deadlock, connection killed, a node cut off from its cluster (1047); 2xxx: the client's own, no
# connection or a lost one.
TRANSIENT_MYSQL = frozenset(
    {1040, 1047, 1053, 1158, 1159, 1160, 1161, 1205, 1213, 1927, 2002, 2003, 2006, 2013, 2055, 4031}
)
# Where one number stands for many errors: the driver's for all without one, and "error during COMMIT".
TRANSIENT_TEXT = {-1: "Connection not available", 1180: "Not connected to Primary Component"}


def is_transient(error: BaseException) -> bool:
    """Tell whether the same call may succeed on a second try.

    A lock held by somebody else, a lost or refused connection, a deadlock: yes. A missing table, a
    constraint, a wrong password, a bug: no. A plain `Exception`, that very class, counts as
    transient, since it is what learners raise to stand for a passing fault.
    """
    if isinstance(error, BrokenPipeError):  # a ConnectionError, but of whoever read the output
        return False
    if type(error) is Exception or isinstance(error, ConnectionError | TimeoutError):
        return True
    if isinstance(error, sqlite3.OperationalError):
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:  # raised by hand: it stands for a passing fault, unless it says otherwise
            return not PERMANENT_TEXT.search(str(error))
        return code & 0xFF in (SQLITE_BUSY, SQLITE_LOCKED)
    if not hasattr(error, "sqlstate"):  # no error of the MySQL driver
        return False
    # A read time-out, in pure Python; the C extension says 2013, lost connection.
    if type(error).__name__.endswith("TimeoutError"):
        return True
    # By number, not by class: the C extension and pure Python raise different classes for one fault.
    number = getattr(error, "errno", None)
    if number in TRANSIENT_TEXT:
        return TRANSIENT_TEXT[number] in str(error)
    return number in TRANSIENT_MYSQL


class Attempt:
    """One try: `with attempt:` swallows a transient error, unless there may be no other try."""

    def __init__(self, may_retry: Callable[[], bool], rollback: Callable[[], None] | None):
        self.error: BaseException | None = None
        self._may_retry = may_retry
        self._rollback = rollback

    def __enter__(self):
        return self

    def __exit__(self, _type, error, _traceback) -> bool:
        self.error = error
        if error is None:
            return False
        # A connection that cannot roll back is lost, or still holds what this attempt wrote.
        rolled_back = self._rollback is None or clean_up(self._rollback, error)
        return rolled_back and is_transient(error) and self._may_retry()


def attempts(
    retries: int,
    delay: float | Callable[[int], float],
    *,
    connection=None,
    deadline: float = math.inf,
    sleep: Callable[[float], None] | None = None,
) -> Iterator[Attempt]:
    """Yield up to `retries` attempts in all, `delay` seconds apart, until one succeeds.

    Use it as `for attempt in attempts(3, 2):` / `with attempt:`. `delay` may be a function of the
    attempt's number. None begins after `deadline`, a time of time.monotonic(). What a failed attempt
    wrote on `connection` is rolled back. If a transaction was open there before the first attempt,
    there is only one: the writes made before it cannot be made again from here.
    """
    has_rollback = hasattr(connection, "rollback")
    in_transaction = has_rollback and getattr(connection, "in_transaction", False) is True
    rollback = connection.rollback if has_rollback and not in_transaction else None
    for number in range(1, retries + 1):
        pause = delay(number) if callable(delay) else delay

        def may_retry(number=number, pause=pause) -> bool:
            more = number < retries and not in_transaction
            return more and time.monotonic() + pause < deadline

        attempt = Attempt(may_retry, rollback)
        yield attempt
        if attempt.error is None:
            return
        (sleep or time.sleep)(pause)


def clean_up(action: Callable[[], object], error: BaseException) -> bool:
    """Run `action`, say a rollback, because of `error`; if it fails too, add that to `error` as a note.

    So the first error is what the caller sees. Tell whether `action` worked. The C extension's own
    class is no mysql.connector.Error, hence `Exception`.
    """
    try:
        action()
    except Exception as second:
        _add_note(action, second, error)
        return False
    return True


async def clean_up_async(action: Callable[[], Awaitable], error: BaseException) -> None:
    """Do as `clean_up` does, with an `action` to await."""
    try:
        await action()
    except Exception as second:
        _add_note(action, second, error)


def _add_note(action: Callable, second: Exception, error: BaseException) -> None:
    name = getattr(action, "__qualname__", repr(action))
    error.add_note(f"{name}() failed after it: {type(second).__name__}: {second}")


@contextmanager
def closing(resource) -> Iterator:
    """Close `resource` on the way out, as contextlib.closing does, but never hide the first error.

    What has nothing to close, say a plain iterator, is let be.
    """
    close = getattr(resource, "close", _nothing)
    try:
        yield resource
    except BaseException as error:
        clean_up(close, error)
        raise
    close()


def _nothing() -> None:
    pass


@asynccontextmanager
async def closing_async(connecting) -> AsyncIterator:
    """Open an aiosqlite connection, close it on the way out, and leave nothing running if cancelled.

    `async with aiosqlite.connect(path)` alone, cancelled while it opens, ends before its thread does;
    cancelled during a query, it waits until the query has run to its end.
    """
    opening = asyncio.ensure_future(connecting)
    try:
        connection = await asyncio.shield(opening)
    except asyncio.CancelledError as error:
        # Its thread ends by itself; asyncio.run waits for its executor's, even when cancelled twice.
        ended = asyncio.get_running_loop().run_in_executor(None, connecting._thread.join)

        async def close_once_open():
            await (await opening).close()
            await ended

        await clean_up_async(close_once_open, error)
        raise
    # interrupt() would miss a query that its thread has not begun yet: this stops that one too.
    cancelled = threading.Event()
    try:
        await connection.set_progress_handler(cancelled.is_set, STEPS_BETWEEN_LOOKS)
        yield connection
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError):
            cancelled.set()
        await clean_up_async(connection.close, error)
        raise
    await connection.close()
