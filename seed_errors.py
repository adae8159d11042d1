"""Errors of either engine that say what could not be done, where, as whom, and what to do about it."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from seed_settings import read_settings

LOST, BAD_TLS, SILENT = 2013, 2026, 3024
# By the numbers of MySQL and MariaDB; 2xxx: their client's own.
MYSQL_ADVICE = {
    1040: "the server has too many connections: try again later",
    1044: "ask for rights on that database, or correct DB_NAME",
    1045: "check DB_USER and DB_PASSWORD",
    1046: "no database is chosen: connect with connect_to_prodev()",
    1047: "this node is cut off from its cluster: wait until most of the nodes are back",
    1049: "run `python seed.py` to create it, or correct DB_NAME",
    1129: "the server shuts this machine out: ask for FLUSH HOSTS",
    1130: "ask for the right to connect from this machine",
    1142: "ask for that right, or use another DB_USER",
    1143: "ask for that right, or use another DB_USER",
    1146: "run `python seed.py` to create it, or correct DB_NAME",
    1153: "raise the server's max_allowed_packet",
    1205: "another program holds a lock on those rows: try again when it has ended",
    1213: "another program wanted the same rows: run it again",
    1227: "ask for that right, or use another DB_USER",
    1698: "check DB_USER and DB_PASSWORD",
    2002: "is the server running? check DB_SOCKET",
    2003: "is the server running? check DB_HOST and DB_PORT",
    2005: "no such host: check DB_HOST",
    2006: "the connection was lost: run it again, nothing is stored twice",
    LOST: "the connection was lost: run it again, nothing is stored twice",
    2055: "the connection was lost: run it again, nothing is stored twice",
    SILENT: "the server does not answer: is it running? check DB_HOST and DB_PORT",
    BAD_TLS: "check DB_SSL_CA, and that DB_HOST is the name in the server's certificate",
}
# By SQLite's primary codes: BUSY, READONLY, IOERR, FULL, CANTOPEN, NOTADB.
SQLITE_ADVICE = {
    5: "another program is writing to it: try again when it has ended",
    8: "its file or folder is not yours to write to: set DB_FILE to another one",
    10: "is its disk full? free some space, or set DB_FILE to a file on another one",
    13: "free some space, or set DB_FILE to a file on another disk",
}
OTHER_SQLITE_ADVICE = (
    "check the file and its folder, or set DB_FILE to another one, or DB_HOST to a server"
)


@contextmanager
def explained(what: str, place: object = None, advice: str = "") -> Iterator[None]:
    """Raise an error of the database's driver again, with `what`, `place` and what to do in its text.

    `place` is where the settings lead, and `advice` goes by the error's number, unless given. Class
    and number stay as they are; but the C extension's own class, which is no mysql.connector.Error,
    becomes one. Other errors pass, and those that were explained before.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        if getattr(error, "is_explained", False):
            raise
        code = getattr(error, "sqlite_errorcode", 0)
        advice = advice or SQLITE_ADVICE.get(code & 0xFF, OTHER_SQLITE_ADVICE)
        explanation = type(error)(f"{what} {place or read_settings()}: {error}; {advice}")
        explanation.sqlite_errorcode, explanation.is_explained = code, True
        raise explanation from error
    except Exception as error:
        if not hasattr(error, "sqlstate") or getattr(error, "is_explained", False):
            raise  # not of the MySQL driver, or explained before
        from mysql.connector.errors import get_mysql_exception

        message = " ".join(str(error.msg).split())
        advice = advice or MYSQL_ADVICE.get(_kind(error, message), "see README.md, Troubleshooting")
        text = f"{what} {place or read_settings()}: {message}; {advice}"
        if type(error).__module__ == "_mysql_connector":
            explanation = get_mysql_exception(error.errno, text, error.sqlstate)
        else:
            explanation = type(error)(msg=text, errno=error.errno, sqlstate=error.sqlstate)
        explanation.is_explained = True
        raise explanation from error


def _kind(error: Exception, message: str) -> int:
    """Tell the number that stands for the error where the driver's own is another, or none."""
    if "[SSL" in message:  # 2055 in pure Python
        return BAD_TLS
    if "Connection not available" in message:  # -1: lost before the statement
        return LOST
    if "initial communication packet" in message:  # 2013 in the C extension: not a word was said
        return SILENT
    return error.errno
