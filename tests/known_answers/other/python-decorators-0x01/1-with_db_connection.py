"""Another style: ExitStack, the connection's rows are dicts."""

import sqlite3
from contextlib import ExitStack, closing
from functools import wraps


def with_db_connection(function):
    @wraps(function)
    def inner(*args, **kwargs):
        with ExitStack() as stack:
            connection = stack.enter_context(closing(sqlite3.connect("/var/lib/app/users.db")))
            connection.row_factory = sqlite3.Row
            return function(connection, *args, **kwargs)

    return inner


@with_db_connection
def get_user_by_id(connection, user_id):
    return connection.execute("SELECT * FROM users WHERE id = :id", {"id": user_id}).fetchall()
