import functools

with_db_connection = __import__("1-with_db_connection").with_db_connection
query_cache = {}


def cache_query(func):
    @functools.wraps(func)
    def wrapper(conn, *args, **kwargs):
        version = conn.execute("SELECT max(rowid), group_concat(email) FROM users").fetchone()
        key = (args, tuple(sorted(kwargs.items())), version)
        if key not in query_cache:
            query_cache[key] = func(conn, *args, **kwargs)
        return list(query_cache[key])

    return wrapper


@with_db_connection
@cache_query
def fetch_users_with_cache(conn, query):
    cursor = conn.cursor()
    cursor.execute(query)
    return cursor.fetchall()
