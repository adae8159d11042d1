"""Choose the engine, connect to it, and reconnect when the server is lost.

If DB_HOST or DB_SOCKET is set, the engine is that MySQL or MariaDB server, and nothing else. If neither
is set, it is a SQLite file whose connections answer the same calls. Callers need not know which it is.
"""

import logging
import random
import sqlite3
import time
from collections.abc import Callable
from functools import partial, wraps

from seed_parts.embedded import connect_embedded, create_file
from seed_parts.errors import CONFLICT, ELSEWHERE, TRANSIENT, clean_up, closing, explained, kind_of
from seed_parts.mysql import connect_mysql, note_lost
from seed_parts.settings import read_settings

# A server that is started again is back within seconds: 15 attempts take 23 to 46 seconds.
ATTEMPTS, FIRST_PAUSE, LONGEST_PAUSE = 15, 0.1, 5.0

logger = logging.getLogger(__name__)


def connect_db(*, within: float | None = None):
    """Connect to the server, with no database chosen.

    Raises the driver's own error, with host, port, user and what to do; never the password.
    """
    settings = read_settings()
    if settings.nodes:
        return connect_mysql(settings, within=within)
    return connect_embedded(settings.file, settings.database, to_server=True)


def connect_to_prodev(*, for_reading: bool = False, within: float | None = None):
    """Connect to the database DB_NAME. Raises as `connect_db` does.

    With `for_reading`, MySQL returns values as bytes, unconverted, and each statement is a transaction
    of its own. Every time-out of the connection is cut to `within` seconds.
    """
    settings = read_settings()
    if not settings.nodes:
        return connect_embedded(settings.file, settings.database)
    # raw for the whole connection, not for a cursor: connector 9.7's `fetchmany` asks the connection
    # how to convert the first row of the next block.
    options = {"raw": True, "autocommit": True} if for_reading else {}
    return connect_mysql(settings, within=within, database=settings.database, **options)


def is_embedded(connection) -> bool:
    return isinstance(connection, sqlite3.Connection)


def is_in_cluster(connection) -> bool:
    """Return whether `connection` is to one of several nodes that the settings name."""
    nodes = () if is_embedded(connection) else read_settings().nodes
    return len(nodes) > 1 and (connection.server_host, connection.server_port) in nodes


def at_any_node(connect: Callable, function: Callable) -> Callable:
    """Decorate a function of a connection; in a cluster it runs at another node if need be."""

    @wraps(function)
    def wrapper(connection):
        if not is_in_cluster(connection):
            return function(connection)
        with closing(LastingConnection(connect, given=connection)) as lasting:
            return lasting.run(function)

    return wrapper


@partial(at_any_node, connect_db)
def create_database(connection) -> None:
    """Create the database DB_NAME on `connection` if it is missing."""
    settings = read_settings()
    with explained("cannot create the database in"), closing(connection.cursor()) as cursor:
        # Looked up first: CREATE DATABASE IF NOT EXISTS needs the right to create in any case.
        cursor.execute(
            "SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = %s",
            (settings.database,),
        )
        if cursor.fetchall():
            return
        if is_embedded(connection):
            create_file(settings.file)
            connection.list_database(settings.database)
        else:
            name = settings.database.replace("`", "``")
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")


class LastingConnection:
    """Runs steps on a connection; a lost connection is replaced and its step run again.

    `connect(within=seconds)` makes a connection. The first one is one attempt, so that a server that is
    not there is reported immediately. A `given` connection is used first and is never closed here.
    """

    def __init__(self, connect: Callable, given=None):
        self._connect, self._given = connect, given
        self._settings = read_settings()
        self._connection = connect(within=None) if given is None else given

    def run(self, step: Callable):
        """Return `step(connection)`; after a transient error run it again, on a new connection.

        There are ATTEMPTS in all, within DB_DEADLINE seconds; then the last error is raised. While no
        node of a cluster takes writes, only the time counts: choosing a new primary takes 21 seconds.
        On the embedded engine SQLite itself waits for locks.
        """
        if is_embedded(self._connection):
            return step(self._connection)
        deadline = time.monotonic() + self._settings.deadline
        attempt = 1
        while True:
            try:
                if self._connection is None:
                    self._connection = self._connect(within=deadline - time.monotonic())
                return step(self._connection)
            except Exception as error:
                # With jitter: all clients of a server lose it at the same moment.
                longest = min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE)
                pause = longest * random.uniform(0.5, 1)  # noqa: S311, no secret
                kind = kind_of(error)
                again = attempt < ATTEMPTS and kind in (TRANSIENT, CONFLICT)
                again |= kind == ELSEWHERE and len(self._settings.nodes) > 1
                if not again or time.monotonic() + pause >= deadline:
                    raise
                logger.warning("trying again: %s", error)
                if kind != CONFLICT and self._connection is not None:
                    note_lost(self._connection)
                    if kind == ELSEWHERE:  # so that a given one sees what is written elsewhere
                        clean_up(self._connection.rollback, error)
                    clean_up(self.close, error)
                    self._connection = None
                time.sleep(pause)
                attempt += 1

    def close(self) -> None:
        if self._connection is not None and self._connection is not self._given:
            self._connection.close()
