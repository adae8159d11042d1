#!/usr/bin/env python3
"""Keep the results of queries and hand them out again while nobody has changed the data.

The naive way, a dict by SQL text, forgets the parameters, grows for ever and goes stale.

    $ python 4-cache_query.py
    queried: 1000 users, 1 result kept
    cached: 1000 users, 1 result kept
"""

import copy
import functools

import seed

with_db_connection = seed.import_script("1-with_db_connection").with_db_connection
query_cache = seed.QueryCache(limit=128)


def cache_query(function):
    """Run each read once per database, SQL and parameters, until the database changes.

    Any commit counts, by another connection or process too. Each caller gets a copy, of the list, not
    of its rows. Not cached: writes, :memory:, what is asked inside an open transaction. Open all
    connections to one file alike: with other PRAGMAs or functions, a query is another one.
    """
    seed.require_plain_function(function, "cache_query")

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        conn = seed.find_connection(args, kwargs)
        state = seed.data_state(conn)  # which database, and the version of its data
        read = seed.find_read(function, conn, args, kwargs)  # the SQL, its parameters, their types
        if state is None or read is None:
            return function(*args, **kwargs)
        key = (read.sql, read.arguments, state.database, function)
        with query_cache.look_up(key, state.version) as kept:  # where others wait for the first
            if kept:
                return copy.copy(kept.result)
            result = function(*args, **kwargs)
            # Not kept if it wrote, if somebody else did meanwhile, or if it is no list of rows.
            if seed.data_state(conn) == state and seed.is_keepable(conn, result):
                query_cache.keep(key, state.version, copy.copy(result))
        return result

    return wrapper


@with_db_connection
@cache_query
def fetch_users_with_cache(conn, query):
    """Return all rows of `query`."""
    cursor = conn.cursor()
    cursor.execute(query)
    return cursor.fetchall()


def main():
    for attempt in ("queried", "cached"):
        users = fetch_users_with_cache(query="SELECT * FROM users")
        print(f"{attempt}: {len(users)} users, {len(query_cache)} result kept")


if __name__ == "__main__":
    seed.run_script(main)
