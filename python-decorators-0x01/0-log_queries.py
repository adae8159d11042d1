#!/usr/bin/env python3
"""Log each SQL query before it runs, with a decorator.

Task: write a decorator `@log_queries` that logs the SQL query of a function before it runs.
The naive way, `print(query)` in every function, is easily forgotten and cannot be turned off.
The log goes to stderr: 2026-01-31 12:00:00,000 INFO Executing query: SELECT * FROM users LIMIT 2

    $ python 0-log_queries.py
    (1, 'José Cohen', 'jose.cohen@example.net', 67)
    (2, "Yusuf M'Bala", 'yusuf.mbala@example.com', 46)
"""

import functools
import logging
import sqlite3
from contextlib import closing

import seed

logger = logging.getLogger("log_queries")


def log_queries(function):
    """Log the SQL that `function` is called with; the values of its parameters are not logged.

    The wrapper sees the arguments before the function does. The SQL is the keyword argument `query`,
    or else the first positional string, so pass the SQL before any other text.
    """

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        seed.ensure_log_handler(logger)
        if logger.isEnabledFor(logging.INFO):
            texts = (value for value in args if isinstance(value, str))
            sql = kwargs.get("query") or next(texts, None)
            logger.info("Executing query: %s", sql or f"none given to {wrapper.__qualname__}")
        return function(*args, **kwargs)

    return wrapper


@log_queries
def fetch_all_users(query):
    """Return all rows of `query`, run on users.db."""
    with closing(sqlite3.connect(seed.users_db())) as conn:
        cursor = conn.cursor()
        cursor.execute(query)
        return cursor.fetchall()


def main():
    users = fetch_all_users(query="SELECT * FROM users LIMIT 2")
    print(*users or ["no users"], sep="\n")


if __name__ == "__main__":
    seed.run_script(main)
