"""All database error numbers: whether another try may succeed, and what to do; and clean-up."""

import asyncio
import re
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress

from seed_parts.settings import read_settings

# After a CONFLICT the connection is as good as before; the table does not accept a REJECTED row; what
# fails with ELSEWHERE may succeed at another node.
TRANSIENT, CONFLICT, ELSEWHERE, REJECTED, PERMANENT = range(5)

# MySQL and MariaDB, and from 2000 to 2999 their client. Classify by number, not by class: the C
# extension and the pure Python driver raise different classes for one fault, MySQL and MariaDB too.
LOST, BAD_TLS = 2013, 2026
_RUN_AGAIN = "the connection was lost: run it again, nothing is stored twice"
_MYSQL = (
    # The server goes down, the network, a killed or idle connection.
    (TRANSIENT, _RUN_AGAIN, (1053, 1158, 1159, 1160, 1161, 1927, 2006, LOST, 2055, 4031)),
    (TRANSIENT, "the server has too many connections: try again later", (1040, 1203)),
    (TRANSIENT, "the server is offline for users: wait, or use another one", (3032, 6400)),
    (TRANSIENT, "this node is cut off from its cluster: wait until most nodes are back", (1047,)),
    (TRANSIENT, "this node is joining its cluster: wait, or use another one", (3796, 3797)),
    (TRANSIENT, "is the server running? check DB_SOCKET", (2002,)),
    (TRANSIENT, "is the server running? check DB_HOST and DB_PORT", (2003,)),
    # A deadlock; a row changed since the snapshot (MariaDB from 11.6.2), or on another node.
    (CONFLICT, "another program changed the same rows: run it again", (1020, 1213, 3101)),
    (CONFLICT, "another program holds a lock on those rows: try again later", (1205,)),
    # NULL, a duplicate key, out of range, wrong characters, too long, a CHECK (MySQL's, MariaDB's).
    (REJECTED, "the table does not accept the row", (1048, 1062, 1264, 1366, 1406, 3819, 4025)),
    (PERMANENT, "check DB_USER and DB_PASSWORD", (1045,)),
    (
        PERMANENT,
        "Debian and Ubuntu let root in by the Unix socket only: in `sudo mysql`, CREATE USER 'learner'"
        "@'localhost' IDENTIFIED BY 'a password'; GRANT ALL ON ALX_prodev.* TO 'learner'@'localhost'; "
        "then set DB_USER and DB_PASSWORD",
        (1698,),
    ),
    (PERMANENT, "the password has expired: set a new one with ALTER USER", (1862,)),
    (PERMANENT, "the account is locked: ask for ALTER USER ... ACCOUNT UNLOCK", (3118,)),
    (PERMANENT, "this login needs TLS or the Unix socket: set one of them up", (2061,)),
    (PERMANENT, "this user has reached a limit of the server: ask for a higher one", (1226,)),
    (PERMANENT, "ask for the right to connect from this machine", (1130,)),
    (PERMANENT, "the server blocks this machine after many errors: ask for FLUSH HOSTS", (1129,)),
    (PERMANENT, "ask for rights on that database, or correct DB_NAME", (1044,)),
    (PERMANENT, "ask for that right, or use another DB_USER", (1142, 1143, 1227)),
    (ELSEWHERE, "the server is read-only: use one that accepts writes", (1290,)),
    (PERMANENT, "no database is chosen: connect with connect_to_prodev()", (1046,)),
    (ELSEWHERE, "run `python seed.py` to create it, or correct DB_NAME", (1049,)),
    (PERMANENT, "run `python seed.py` to create it, or correct DB_NAME", (1146,)),
    (PERMANENT, "raise the server's max_allowed_packet", (1153,)),
    (PERMANENT, "check the SQL; loading needs MySQL 8.0, MariaDB 10.6 or newer", (1064,)),
    (PERMANENT, "the query was stopped: run it again", (1317,)),
    (PERMANENT, "the query took longer than the server's max_execution_time allows", (3024,)),
    (ELSEWHERE, "no such host: check DB_HOST", (2005,)),
    (PERMANENT, "check DB_SSL_CA, and that the server's certificate is for DB_HOST", (BAD_TLS,)),
)
_MYSQL_KIND = {number: kind for kind, _, numbers in _MYSQL for number in numbers}
_MYSQL_ADVICE = {number: advice for _, advice, numbers in _MYSQL for number in numbers}
# Numbers that stand for several errors are permanent without this text.
_TEXT = {
    -1: "Connection not available",  # the driver's number for all errors that have none
    1180: "Not connected to Primary Component|Got error 149",  # error during COMMIT: a conflict
    1290: "--(super-)?read-only",
    3100: "before_commit",  # a group's hook failed: the node is leaving
}
_NO_ANSWER = "the server does not answer: is it running? check DB_HOST and DB_PORT"

# SQLite, by primary code (the low byte of an extended one), sqlite3.h: BUSY and LOCKED; READONLY,
# IOERR, FULL.
_SQLITE_TRANSIENT = frozenset({5, 6})
_SQLITE_ADVICE = {
    5: "another program is writing to it: try again when it has ended",
    8: "you may not write to its file or folder: set DB_FILE to another one",
    10: "is its disk full? free some space, or set DB_FILE to a file on another one",
    13: "free some space, or set DB_FILE to a file on another disk",
}
_OTHER_SQLITE_ADVICE = "check the file and its folder, or set DB_FILE to another one"
# An OperationalError raised by hand has no code: it is permanent only if its text says so.
_SQLITE_PERMANENT_TEXT = re.compile(
    r"no such|syntax error|already exists|has no column|ambiguous|constraint|readonly|read-only"
    r"|unable to open|malformed|not a database|could not decode|closed",
    re.IGNORECASE,
)


def kind_of(error: BaseException) -> int:
    """Return what the error is: TRANSIENT, CONFLICT (transient too), ELSEWHERE, REJECTED, PERMANENT."""
    if isinstance(error, BrokenPipeError):  # a ConnectionError, but of whoever read the output
        return PERMANENT
    if type(error) is Exception or isinstance(error, ConnectionError | TimeoutError):
        return TRANSIENT
    if isinstance(error, sqlite3.IntegrityError):
        return REJECTED
    if isinstance(error, sqlite3.OperationalError):
        code = getattr(error, "sqlite_errorcode", None)
        if code is None:
            return PERMANENT if _SQLITE_PERMANENT_TEXT.search(str(error)) else TRANSIENT
        return TRANSIENT if code & 0xFF in _SQLITE_TRANSIENT else PERMANENT
    if not hasattr(error, "sqlstate"):  # not of the MySQL driver
        return PERMANENT
    number = getattr(error, "errno", None)
    # The pure Python driver's time-out has the number of the server's own max_execution_time.
    if type(error).__name__.endswith("TimeoutError"):
        return TRANSIENT
    if number in _TEXT and not re.search(_TEXT[number], str(error)):
        return PERMANENT
    return _MYSQL_KIND.get(number, TRANSIENT if number in _TEXT else PERMANENT)


def is_transient(error: BaseException) -> bool:
    """Return whether the same call may succeed on a second try.

    A lock that somebody else holds, a lost or refused connection, a deadlock: yes. A missing table, a
    constraint, a wrong password, a bug: no. A plain `Exception`, that very class, counts as
    transient, since learners raise it to stand for a passing fault.
    """
    return kind_of(error) in (TRANSIENT, CONFLICT)


@contextmanager
def explained(what: str, place: object = None, advice: str = "") -> Iterator[None]:
    """Raise a database error again, with `what`, `place` and what to do about it in its text.

    `place` defaults to the configured database, `advice` to the text for the error's number. Class and
    number stay the same, but the C extension's own class becomes a mysql.connector.Error. Other
    errors pass unchanged, and so do those that are explained already.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "is_explained", False):
            raise
        code = getattr(error, "sqlite_errorcode", 0)
        advice = advice or _SQLITE_ADVICE.get(code & 0xFF, _OTHER_SQLITE_ADVICE)
        explanation = type(error)(f"{what} {place or read_settings()}: {error}; {advice}")
        explanation.sqlite_errorcode, explanation.is_explained = code, True
        raise explanation from error
    except Exception as error:
        if not hasattr(error, "sqlstate") or getattr(error, "is_explained", False):
            raise
        from mysql.connector.errors import get_mysql_exception

        message = " ".join(str(error.msg).split())
        advice = advice or _mysql_advice(error, message)
        text = f"{what} {place or read_settings()}: {message}; {advice}"
        if type(error).__module__ == "_mysql_connector":
            explanation = get_mysql_exception(error.errno, text, error.sqlstate)
        else:
            explanation = type(error)(msg=text, errno=error.errno, sqlstate=error.sqlstate)
        explanation.is_explained = True
        raise explanation from error


def _mysql_advice(error: Exception, message: str) -> str:
    number = error.errno
    if "initial communication packet" in message or (number == 3024 and is_transient(error)):
        return _NO_ANSWER  # the number alone would be that of a lost connection or a slow query
    if "[SSL" in message:  # 2055 in pure Python
        number = BAD_TLS
    elif "Connection not available" in message:  # -1
        number = LOST
    return _MYSQL_ADVICE.get(number, "see docs/troubleshooting.md")


def clean_up(action: Callable[[], object], error: BaseException) -> bool:
    """Run `action`, say a rollback, because of `error`; return whether it worked.

    If it fails too, that is added to `error` as a note, so the caller sees the first error.
    """
    try:
        action()
    except Exception as second:  # the C extension's own class has no narrower base
        name = getattr(action, "__qualname__", repr(action))
        error.add_note(f"{name}() failed after it: {type(second).__name__}: {second}")
        return False
    return True


@contextmanager
def closing(resource) -> Iterator:
    """Close `resource` on the way out, as contextlib.closing does, but never hide the first error.

    A MySQL cursor or connection that lost its server may fail to close.
    """
    try:
        yield resource
    except BaseException as error:
        clean_up(resource.close, error)
        raise
    resource.close()


@asynccontextmanager
async def closing_async(connecting) -> AsyncIterator:
    """Open an aiosqlite connection, close it on the way out, and leave nothing running if cancelled.

    Plain `async with aiosqlite.connect(path)` has two faults: cancelled while it opens, it leaves a
    thread running; cancelled during a query, it waits until the query is finished.
    """
    opening = asyncio.ensure_future(connecting)
    try:
        connection = await asyncio.shield(opening)
    except asyncio.CancelledError:
        # Its thread ends by itself; asyncio.run waits for its executor's, even when cancelled twice.
        # Without the private _thread Ctrl-C left the thread running (a fault test shows it).
        ended = asyncio.get_running_loop().run_in_executor(None, connecting._thread.join)
        with suppress(Exception):  # if it was not opened, there is nothing to close
            await (await opening).close()
        await ended
        raise
    # interrupt() would miss a query that its thread has not begun yet: this stops that one too.
    cancelled = threading.Event()
    try:
        await connection.set_progress_handler(cancelled.is_set, 10_000)  # each under a millisecond
        yield connection
    except BaseException as error:
        if isinstance(error, asyncio.CancelledError):
            cancelled.set()
        with suppress(sqlite3.Error):  # it must not hide the first error
            await connection.close()
        raise
    await connection.close()
