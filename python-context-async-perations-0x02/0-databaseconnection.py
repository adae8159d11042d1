#!/usr/bin/env python3
"""Manage a database connection with a class-based context manager.

Task: write a class `DatabaseConnection` whose `__enter__` opens a connection, and `__exit__` closes it.
The naive way, `with sqlite3.connect("users.db") as conn`, commits or rolls back, but never closes.

    $ python 0-databaseconnection.py
    (1, 'José Cohen', 'jose.cohen@example.net', 67)
    (2, "Yusuf M'Bala", 'yusuf.mbala@example.com', 46)
"""

import sqlite3
from contextlib import closing

import seed


class DatabaseConnection:
    """A connection to a SQLite database for the length of a `with` block.

    Python calls `__exit__` however the block ends: it commits if the block succeeded, rolls back if it
    raised, and closes in both cases. The default name, users.db, is looked for in the working
    directory, then beside seed.py, where it is made on first use; any other path is used unchanged.
    """

    def __init__(self, db_name="users.db"):
        self.db_name = db_name

    def __enter__(self):
        self.connection = sqlite3.connect(seed.users_db(self.db_name))
        return self.connection

    def __exit__(self, exc_type, exc_value, traceback):
        if exc_value is None:
            with closing(self.connection):
                self.connection.commit()
        else:  # returning nothing lets the exception of the block go on
            seed.clean_up(self.connection.rollback, exc_value)
            seed.clean_up(self.connection.close, exc_value)


def main():
    with DatabaseConnection("users.db") as conn:
        users = conn.execute("SELECT * FROM users LIMIT 2").fetchall()
    print(*users or ["no users"], sep="\n")


if __name__ == "__main__":
    seed.run_script(main)
