#!/usr/bin/env python3
"""Try again when a database is busy for a moment, with a decorator that takes arguments.

The naive way tries everything again, a missing table too, and sleeps once more after the last try.

    $ python 3-retry_on_failure.py
    (1, 'José Cohen', 'jose.cohen@example.net', 67)
    (2, "Yusuf M'Bala", 'yusuf.mbala@example.com', 46)
"""

import functools
import time

import seed

with_db_connection = seed.import_script("1-with_db_connection").with_db_connection


@seed.whole_numbers(retries=1)
def retry_on_failure(retries=3, delay=2):
    """Call the function up to `retries` times in all, `delay` seconds apart, then raise its error.

    Only what may succeed on a second try is tried again: a locked database, a lost connection, a
    plain Exception. What a failed attempt wrote is rolled back. Inside a transaction that was open
    before, there is one attempt. Put it outermost: only there can it cure a COMMIT that finds the
    database busy, or a dead connection. Raises ValueError for bad arguments.
    """
    if not isinstance(delay, int | float) or not delay >= 0:
        raise ValueError(f"delay must be a number of seconds from 0 on, not {delay!r}")

    def decorate(function):
        seed.require_plain_function(function, "retry_on_failure")

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            conn = seed.find_connection(args, kwargs)
            for attempt in seed.attempts(retries, delay, connection=conn, sleep=time.sleep):
                with attempt:  # swallows a transient error, unless this was the last attempt
                    result = function(*args, **kwargs)
            return result  # only a success ends the loop without an error

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
    for user in fetch_users_with_retry()[:2]:
        print(user)


if __name__ == "__main__":
    seed.run_script(main)
