#!/usr/bin/env python3
"""Check 3-retry_on_failure.py: two failures and a success, then failures only."""

import sqlite3

script = __import__("3-retry_on_failure")
calls = []


@script.retry_on_failure(retries=3, delay=0)
def busy_twice():
    calls.append("call")
    if len(calls) < 3:
        raise sqlite3.OperationalError("database is locked")
    return "done"


@script.retry_on_failure(retries=3, delay=0)
def no_such_table():
    calls.append("call")
    raise sqlite3.OperationalError("no such table: users")


print(len(script.fetch_users_with_retry()))
print(busy_twice(), len(calls))
calls.clear()
try:
    no_such_table()
except sqlite3.OperationalError as error:
    print(error, len(calls))
