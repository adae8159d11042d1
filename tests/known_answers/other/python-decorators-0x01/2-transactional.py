"""Another style: the connection's own context manager commits and rolls back."""

import sqlite3
from contextlib import closing
from functools import wraps


def transactional(function):
    @wraps(function)
    def inner(connection, *args, **kwargs):
        with connection:
            return function(connection, *args, **kwargs)

    return inner


def update_user_email(user_id, new_email):
    with closing(sqlite3.connect("users.db")) as connection:
        return _update(connection, user_id, new_email)


@transactional
def _update(connection, user_id, new_email):
    connection.execute("UPDATE users SET email = ? WHERE id = ?", (new_email, user_id))
