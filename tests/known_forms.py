"""Answers in less usual forms, with the verdict on each: right ones, and mistakes that look right."""

from known_ends import End

from checker.judge import CRASH, PASS, WRONG

GIVES_ROWS = """
import sqlite3


class DatabaseConnection:
    def __init__(self, db_name, query):
        self.db_name, self.query = db_name, query

    def __enter__(self):
        self.conn = sqlite3.connect(self.db_name)
        return self.conn.execute(self.query).fetchall()

    def __exit__(self, *_):
        self.conn.close()
"""

VARIADIC = """
import sqlite3


class ExecuteQuery:
    def __init__(self, query, *params, db_name="users.db"):
        self.query, self.params, self.db_name = query, params, db_name

    def __enter__(self):
        self.conn = sqlite3.connect(self.db_name)
        return self.conn.execute(self.query, self.params).fetchall()

    def __exit__(self, *_):
        self.conn.close()
"""

ASYNC = """
import asyncio

import aiosqlite


async def async_fetch_users(db):
    return await db.execute_fetchall("SELECT * FROM users")


async def async_fetch_older_users(db):
    return await db.execute_fetchall("SELECT * FROM users WHERE age > 40")


async def fetch_concurrently():
    async with aiosqlite.connect("users.db") as db:
        users, older = await asyncio.gather(async_fetch_users(db), async_fetch_older_users(db))
    SHOW


asyncio.run(fetch_concurrently())
"""

POOL = """
from mysql.connector.pooling import MySQLConnectionPool

pools = []


def paginate_users(page_size, offset):
    if not pools:
        pools.append(MySQLConnectionPool(pool_size=2, user="root", database="ALX_prodev"))
    connection = pools[0].get_connection()
    cursor = connection.cursor(dictionary=True)
    cursor.execute("SELECT * FROM user_data LIMIT %s OFFSET %s", (page_size, offset))
    rows = cursor.fetchall()
    GIVE_BACK
    return rows


def lazy_paginate(page_size):
    offset = 0
    while page := paginate_users(page_size, offset):
        yield page
        offset += page_size
"""

CONNECTION_IN_KEY = """
def cache_query(func):
    cache = {}

    def wrapper(*args, **kwargs):
        key = str(args) + str(kwargs)
        if key not in cache:
            cache[key] = func(*args, **kwargs)
        return cache[key]
    return wrapper
"""

OWN_TABLE = """
import sqlite3

connection = sqlite3.connect("users.db")
connection.execute("DROP TABLE IF EXISTS users")
connection.execute("CREATE TABLE users (name TEXT, age TEXT)")
connection.execute("INSERT INTO users VALUES ('Ann', NULL)")
"""

FIRST_ROWS = """
import sqlite3

connection = sqlite3.connect("users.db")
connection.execute("CREATE TABLE IF NOT EXISTS users (id INTEGER PRIMARY KEY, age INTEGER)")
connection.execute("INSERT INTO users VALUES (1, 30)")
connection.commit()
connection.close()
"""

EMPTIED = """
import mysql.connector

connection = mysql.connector.connect(user="root", database="ALX_prodev", autocommit=True)
connection.cursor().execute("DELETE FROM user_data")
connection.close()


def stream_users():
    yield from []
"""

BOTH = "neither returned nor printed both"
FORMS = {
    "manager gives rows": End("10", GIVES_ROWS, PASS, ""),
    "parameters as *args": End("11", VARIADIC, PASS, ""),
    "a connection is passed": End("12", ASYNC.replace("SHOW", "return users, older"), PASS, ""),
    "rows are printed": End("12", ASYNC.replace("SHOW", "print(users, older)"), PASS, ""),
    "numbers are printed": End("12", ASYNC.replace("SHOW", "print(len(users), len(older))"), PASS, ""),
    "one result is printed": End("12", ASYNC.replace("SHOW", "print(users)"), WRONG, BOTH),
    "another name": End("12", ASYNC.replace("fetch_concurrently", "main").replace("SHOW", "pass"),
                        WRONG, "no async function fetch_concurrently"),
    "a table of its own": End("11", OWN_TABLE + "connection.commit()\n" + VARIADIC, PASS, ""),
    "a table for an empty database": End("11", FIRST_ROWS + VARIADIC, PASS, ""),
    "a table that it keeps locked": End("11", OWN_TABLE + VARIADIC, WRONG, "held no users"),
    "empties the table": End("1", EMPTIED, WRONG, "held no users"),
    "pool": End("3", POOL.replace("GIVE_BACK", "connection.close()"), PASS, ""),
    "pool that gets nothing back": End("3", POOL.replace("GIVE_BACK", "pass"), CRASH, "PoolError"),
    "connection in the key": End("9", CONNECTION_IN_KEY, WRONG, "ran 2 times for two equal calls"),
}  # fmt: skip
