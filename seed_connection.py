"""A connection that is replaced when the server is lost, and what was under way on it done again."""

import logging
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from seed_engine import connect_to_prodev, is_embedded
from seed_errors import explained
from seed_mysql import note_lost
from seed_retry import attempts, clean_up, closing
from seed_settings import read_settings

Result = TypeVar("Result")

CONFLICTS = frozenset({1205, 1213})  # lock wait, deadlock: the connection is as good as before

# A server that is started again is back within seconds: 15 attempts are spread over 25 to 50 of them.
ATTEMPTS, FIRST_PAUSE, LONGEST_PAUSE = 15, 0.1, 5.0

logger = logging.getLogger(__name__)


def pause_after(attempt: int) -> float:
    """Tell the seconds to wait after the failed attempt: twice as many each time, with jitter.

    Jitter, since all clients of a server lose it at the same moment, and shall not come back so.
    """
    return min(FIRST_PAUSE * 2 ** (attempt - 1), LONGEST_PAUSE) * random.uniform(0.5, 1)  # noqa: S311, no secret


class LastingConnection:
    """Runs steps on a connection; one that is lost is replaced and its step done again.

    `connect(within=seconds)` makes a connection. The first one is made in one attempt: a server that
    is not there at the start is told at once. Or it is `given`, and stays its owner's to close.
    """

    def __init__(self, connect: Callable, given=None):
        self._connect, self._given = connect, given
        self._seconds = read_settings().deadline
        self._connection = connect(within=None) if given is None else given

    def run(self, step: Callable[..., Result]) -> Result:
        """Return `step(connection)`; after a transient error call it again, on a new connection.

        There are ATTEMPTS in all, as far as DB_DEADLINE seconds reach; then the last one's error is
        raised. On the embedded engine SQLite itself waits for locks.
        """
        if is_embedded(self._connection):
            return step(self._connection)
        deadline = time.monotonic() + self._seconds
        for attempt in attempts(ATTEMPTS, pause_after, deadline=deadline):
            with attempt:
                if self._connection is None:
                    self._connection = self._connect(within=deadline - time.monotonic())
                result = step(self._connection)
            if attempt.error:
                logger.warning("trying again: %s", attempt.error)
                if getattr(attempt.error, "errno", None) not in CONFLICTS:
                    self._drop(attempt.error)
        return result

    def fetch_dicts(self, sql: str, values: tuple = ()) -> list[dict]:
        """Return the rows of one query as dicts."""

        def fetch(connection) -> list[dict]:
            with closing(connection.cursor(dictionary=True)) as cursor:
                cursor.execute(sql, values)
                return cursor.fetchall()

        with explained("cannot read user_data in"):
            return self.run(fetch)

    def close(self) -> None:
        if self._connection is not None and self._connection is not self._given:
            self._connection.close()

    def _drop(self, error: BaseException) -> None:
        if self._connection is not None:
            note_lost(self._connection)
        clean_up(self.close, error)
        self._connection = None


@contextmanager
def open_reader(*, raw: bool = False) -> Iterator[LastingConnection]:
    """Give a LastingConnection to read user_data on, and close it on the way out.

    Every statement on it is a transaction of its own, so a reader that pauses holds no lock.
    Embedded, a missing table is made and filled from user_data.csv first. On a server nothing is
    created: a missing table raises ProgrammingError, which names `python seed.py`.
    """

    def connect(*, within: float | None):
        connection = connect_to_prodev(raw=raw, within=within)
        try:
            if is_embedded(connection):
                from seed_load import fill_if_missing  # here, since loading builds on this module

                fill_if_missing(connection)
            else:
                connection.autocommit = True
                _check_table(connection)
        except BaseException as error:
            clean_up(connection.close, error)
            raise
        return connection

    with closing(LastingConnection(connect)) as reader:
        yield reader


def _check_table(connection) -> None:
    with explained("cannot read user_data in"), closing(connection.cursor()) as cursor:
        cursor.execute("SELECT user_id, name, email, age FROM user_data LIMIT 0")
        cursor.fetchall()
