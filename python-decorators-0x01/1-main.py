#!/usr/bin/env python3
"""Check 1-with_db_connection.py: the caller gives no connection, and none is left open."""

import sqlite3

script = __import__("1-with_db_connection")


@script.with_db_connection
def keep_connection(conn):
    return conn


print(script.get_user_by_id(user_id=1))
print(script.get_user_by_id(0))
try:
    keep_connection().execute("SELECT 1")
except sqlite3.ProgrammingError as error:
    print(error)
