#!/usr/bin/env python3
"""Run a query and get its rows with a reusable context manager.

Task: write a class `ExecuteQuery(query, params)` that runs the query and gives its rows to the block.
The naive way, `f"... WHERE name = '{name}'"`, fails at a quote in a name, or runs SQL put behind it.

    $ python 1-execute.py
    (1, 'José Cohen', 'jose.cohen@example.net', 67)
    (2, "Yusuf M'Bala", 'yusuf.mbala@example.com', 46)
"""

from contextlib import ExitStack, closing

import seed

DatabaseConnection = seed.import_script("0-databaseconnection").DatabaseConnection


class ExecuteQuery:
    """The rows of `query`, a list of tuples, for a `with` block.

    The database gets the values separately, so none is ever read as SQL. `params` is a tuple or list
    for `?`, a dict for `:name`, or a single value for one `?`. What the query wrote is committed if the
    block succeeds.
    """

    def __init__(self, query, params=(), db_name="users.db"):
        self.query = query
        if params is None:
            params = ()
        self.params = params if isinstance(params, tuple | list | dict) else (params,)
        self.db_name = db_name

    def __enter__(self):
        with ExitStack() as stack:  # if the query fails, __exit__ is not called: close here
            conn = stack.enter_context(DatabaseConnection(self.db_name))
            cursor = stack.enter_context(closing(conn.cursor()))
            cursor.execute(self.query, self.params)
            rows = cursor.fetchall()
            self._on_exit = stack.pop_all()
        return rows

    def __exit__(self, *exc_info):
        return self._on_exit.__exit__(*exc_info)


def main():
    with ExecuteQuery("SELECT * FROM users WHERE age > ? LIMIT ?", (25, 2)) as rows:
        print(*rows or ["no users older than 25"], sep="\n")


if __name__ == "__main__":
    seed.run_script(main)
