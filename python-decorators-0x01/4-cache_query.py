#!/usr/bin/env python3
"""Cache query results until the data change, with a decorator.

Task: write a decorator `@cache_query` that keeps the results of a function by its SQL query.
The naive way, `cache[query] = result`, forgets the parameters, grows for ever and goes stale.

    $ python 4-cache_query.py
    queried: 1000 users, 1 result kept
    cached: 1000 users, 1 result kept
"""

import functools
import threading
from collections import OrderedDict
from contextlib import suppress

import seed

with_db_connection = seed.import_script("1-with_db_connection").with_db_connection
MAX_RESULTS = 128
query_cache = OrderedDict()  # call: (version of the data, rows), the oldest first
cache_lock = threading.Lock()


def cache_query(function):
    """Return the kept rows if the same query ran before and nothing was committed since.

    The version of the data changes with every commit, by any program: rows are kept if it was the same
    before and after the query. Each caller gets its own list. At most 128 are kept; the oldest goes
    first. Not cached: writes, :memory:, reads in an open transaction, results not a list or tuple.
    """
    seed.require_plain_function(function, "cache_query")

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        conn = seed.find_connection(args, kwargs)
        call = seed.call_key(function, args, kwargs)  # SQL and parameters; None if it does not read
        version = seed.data_version(conn)  # None if unknown
        if call is None or version is None:
            return function(*args, **kwargs)
        kept_version, rows = query_cache.get(call, (None, None))
        if kept_version == version:
            return rows[:]
        rows = function(*args, **kwargs)
        if type(rows) in (list, tuple) and seed.data_version(conn) == version:
            with cache_lock, suppress(KeyError):  # another thread may clear the cache in between
                query_cache.pop(call, None)
                query_cache[call] = version, rows[:]
                if len(query_cache) > MAX_RESULTS:
                    query_cache.popitem(last=False)
        return rows

    return wrapper


@with_db_connection
@cache_query
def fetch_users_with_cache(conn, query):
    """Return all rows of `query`."""
    return conn.execute(query).fetchall()


def main():
    for source in ("queried", "cached"):
        users = fetch_users_with_cache(query="SELECT * FROM users")
        print(f"{source}: {len(users)} users, {len(query_cache)} result kept")


if __name__ == "__main__":
    seed.run_script(main)
