#!/usr/bin/env python3
"""Try again when a database is busy for a moment, with a decorator that takes arguments.

Task: write a decorator `@retry_on_failure(retries=3, delay=2)` that tries a function again if it fails.
The naive way, `except Exception: time.sleep(delay)`, retries a missing table too, and sleeps once more
after the last attempt.

    $ python 3-retry_on_failure.py
    (1, 'José Cohen', 'jose.cohen@example.net', 67)
    (2, "Yusuf M'Bala", 'yusuf.mbala@example.com', 46)
"""

import functools
import time

import seed

with_db_connection = seed.import_script("1-with_db_connection").with_db_connection


@seed.at_least(retries=1)
def retry_on_failure(retries=3, delay=2):
    """Call the function up to `retries` times in all, `delay` seconds apart, then raise its error.

    An error is retried if it may pass: a locked database, a lost connection, a plain Exception; others
    are raised at once. Put it above the other decorators, so that each attempt opens a connection and
    commits again. Below them it rolls back each failed attempt; in a transaction that is already open it
    does not retry. Raises ValueError for bad arguments.
    """
    if not isinstance(delay, int | float) or not 0 <= delay < float("inf"):
        raise ValueError(f"delay must be a number of seconds from 0 on, not {delay!r}")

    def decorate(function):
        seed.require_plain_function(function, "retry_on_failure")

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            conn = seed.find_connection(args, kwargs)
            in_transaction = getattr(conn, "in_transaction", False) is True
            for attempt in range(1, retries + 1):
                try:
                    return function(*args, **kwargs)
                except BaseException as error:
                    if in_transaction:  # what was written before this call cannot be repeated here
                        raise
                    is_undone = conn is None or seed.clean_up(conn.rollback, error)
                    if attempt == retries or not is_undone or not seed.is_transient(error):
                        raise
                    time.sleep(delay)

        return wrapper

    return decorate


@retry_on_failure(retries=3, delay=1)
@with_db_connection
def fetch_users_with_retry(conn):
    """Return all rows of the table users."""
    cursor = conn.cursor()
    cursor.execute("SELECT * FROM users")
    return cursor.fetchall()


def main():
    print(*fetch_users_with_retry()[:2] or ["no users"], sep="\n")


if __name__ == "__main__":
    seed.run_script(main)
