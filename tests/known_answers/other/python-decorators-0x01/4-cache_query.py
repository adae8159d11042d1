"""Another style: no parameters are taken, the version is SQLite's own counter of changes."""

import sqlite3
from contextlib import closing
from functools import wraps

query_cache = {}


def cache_query(function):
    @wraps(function)
    def inner(connection, query):
        state = connection.total_changes
        if query in query_cache and query_cache[query][0] == state:
            return query_cache[query][1].copy()
        rows = function(connection, query)
        query_cache[query] = (state, rows)
        return rows.copy()

    return inner


@cache_query
def _fetch(connection, query):
    return connection.execute(query).fetchall()


def fetch_users_with_cache(query):
    with closing(sqlite3.connect("users.db")) as connection:
        return _fetch(connection, query=query)
