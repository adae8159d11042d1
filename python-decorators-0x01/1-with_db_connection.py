#!/usr/bin/env python3
"""Open a database connection for a function and close it afterwards, with a decorator.

Task: write a decorator `@with_db_connection` that opens, passes and closes a connection.
The naive way, `conn.close()` as the last line, leaks the connection when the query fails.

    $ python 1-with_db_connection.py
    (1, 'José Cohen', 'jose.cohen@example.net', 67)
"""

import functools
import sqlite3
from contextlib import closing

import seed


def with_db_connection(function):
    """Call `function` with a connection to users.db as its first argument; close it in any case.

    `closing` closes the connection when the `with` block ends, by a return or by an error. Nothing is
    committed here: @transactional, below it, does that. Raises TypeError for a generator or an async
    function, whose body would run only after the connection is closed.
    """
    seed.require_plain_function(function, "with_db_connection")

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        with closing(sqlite3.connect(seed.users_db())) as conn:
            return function(conn, *args, **kwargs)

    return wrapper


@with_db_connection
def get_user_by_id(conn, user_id):
    """Return the user's row, (id, name, email, age), or None."""
    cursor = conn.cursor()
    cursor.execute("SELECT * FROM users WHERE id = ?", (user_id,))
    return cursor.fetchone()


def main():
    print(get_user_by_id(user_id=1) or "no user with id 1")


if __name__ == "__main__":
    seed.run_script(main)
