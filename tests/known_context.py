"""Answers to exercises 10 to 12: the checks that each fails, and what must be said of it."""

from typing import NamedTuple

from checker.judge import CRASH, EXITED, NEEDS, PASS, SYNTAX, WRONG


class Case(NamedTuple):
    name: str
    exercise: str
    text: str
    verdict: str = PASS
    checks: tuple[str, ...] = ()  # the checks that fail
    said: str = ""  # what the first of them says
    line: int = 0  # and where
    hint: str = ""  # and a part of its hint


CONNECTION = """import sqlite3

class DatabaseConnection:
    def __init__(self, db_name):
        self.db_name = db_name

    def __enter__(self):
        self.conn = sqlite3.connect(self.db_name)
        return self.conn

    def __exit__(self, kind, error, trace):
        self.conn.close()
"""
QUERY = """import sqlite3

class ExecuteQuery:
    def __init__(self, query, params=()):
        self.query, self.params = query, params

    def __enter__(self):
        self.conn = sqlite3.connect("users.db")
        self.cursor = self.conn.cursor()
        self.cursor.execute(self.query, self.params)
        return self.cursor.fetchall()

    def __exit__(self, kind, error, trace):
        self.conn.close()
"""
MYSQL_QUERY = (
    QUERY.replace("import sqlite3", "import mysql.connector")
    .replace('sqlite3.connect("users.db")', 'mysql.connector.connect(database="ALX_prodev")')
    .replace("        return self.cursor.fetchall()", "        return self")
)
MYSQL_CONNECTION = CONNECTION.replace("import sqlite3", "import mysql.connector").replace(
    "sqlite3.connect(self.db_name)", "mysql.connector.connect(database=self.db_name)"
)
CONCURRENT = """import asyncio
import aiosqlite

async def async_fetch_users():
    async with aiosqlite.connect("users.db") as db:
        async with db.execute("SELECT * FROM users") as cursor:
            return await cursor.fetchall()

async def async_fetch_older_users():
    async with aiosqlite.connect("users.db") as db:
        async with db.execute("SELECT * FROM users WHERE age > 40") as cursor:
            return await cursor.fetchall()

async def fetch_concurrently():
    return await asyncio.gather(async_fetch_users(), async_fetch_older_users())
"""
IN_THREADS = """import asyncio
import sqlite3

def fetch(sql):
    conn = sqlite3.connect("users.db")
    try:
        return conn.execute(sql).fetchall()
    finally:
        conn.close()

async def async_fetch_users():
    return await asyncio.to_thread(fetch, "SELECT * FROM users")

async def async_fetch_older_users():
    return await asyncio.to_thread(fetch, "SELECT * FROM users WHERE age > 40")

async def fetch_concurrently():
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(f()) for f in (async_fetch_users, async_fetch_older_users)]
    return [task.result() for task in tasks]
"""


def changed(text: str, old: str, new: str) -> str:
    assert old in text, old
    return text.replace(old, new)


CASES = [
    Case("a wrapper around the connection's own cursor", "10",
         changed(CONNECTION, "return self.conn\n", "return self.conn.cursor()\n")),
    Case("a generator function", "10", """import contextlib
import sqlite3

@contextlib.contextmanager
def DatabaseConnection(path="users.db"):
    connection = sqlite3.connect(path)
    try:
        yield connection
    finally:
        connection.close()
"""),
    Case("enter returns nothing", "10", changed(CONNECTION, "return self.conn\n", "pass\n"),
         WRONG, ("rows",), "sets x to None", 7),
    Case("close is left out on error", "10",
         changed(CONNECTION, "self.conn.close()", "if error is None:\n            self.conn.close()"),
         WRONG, ("closed on error",), "a block that raised LookupError opens 1 connection that your code never closes", 13),
    Case("exit returns True", "10",
         changed(CONNECTION, "self.conn.close()", "self.conn.close()\n        return True"),
         WRONG, ("raises",), "the caller got no error", 13),
    Case("exit raises another error", "10",
         changed(CONNECTION, "self.conn.close()", "self.conn.close()\n        if error: raise KeyError('own') from None"),
         CRASH, ("raises",), "a block that raised LookupError raised KeyError: 'own'", 13),
    Case("exit raises an error from the block's", "10",
         changed(CONNECTION, "self.conn.close()", "self.conn.close()\n        if error: raise KeyError('own') from error")),
    Case("MySQL", "10", MYSQL_CONNECTION),
    Case("MySQL, never closed", "10", changed(MYSQL_CONNECTION, "self.conn.close()", "pass"),
         WRONG, ("closed",), "the connection still works after the block", 11),
    Case("MySQL, commit before half-read rows are gone", "10",
         changed(MYSQL_CONNECTION, "self.conn.close()", "self.conn.commit()\n        self.conn.close()"),
         WRONG, ("closed on error",), "never closes, since your code raised InternalError: Unread", 12),
    Case("parameters called sql_args", "11", changed(changed(QUERY, "query, params=()", "sql, sql_args=()"),
         "query, params\n", "sql, sql_args\n")),
    Case("parameters as *values", "11", changed(changed(QUERY, "query, params=()", "query, *values"),
         "query, params\n", "query, values\n")),
    Case("a connection class as a default", "11",
         changed(changed(QUERY, "params=()", "params=(), connection_class=sqlite3.connect"),
                 'sqlite3.connect("users.db")', 'connection_class("users.db")')
         .replace("self.params = query, params", "self.params, self.open = query, params, connection_class")
         .replace("= connection_class(", "= self.open(")),
    Case("an own DatabaseConnection as a parameter", "11",
         CONNECTION + changed(QUERY, "query, params=()", "connection, query, params=()")
         .replace("import sqlite3\n", "")
         .replace("self.params = query, params", "self.params, self.manager = query, params, connection")
         .replace('sqlite3.connect("users.db")', "self.manager.__enter__()")
         .replace("self.conn.close()", "self.manager.__exit__(kind, error, trace)")),
    Case("MySQL's placeholder, rows in .cursor", "11", MYSQL_QUERY),
    Case("MySQL, never closed", "11", changed(MYSQL_QUERY, "self.conn.close()", "pass"),
         WRONG, ("closed",), "connection to the server that your code never closes"),
    Case("a value in the text of the query", "11",
         changed(QUERY, "self.query, self.params)\n", "self.query.replace('?', f\"'{self.params[0]}'\"))\n"),
         CRASH, ("quote",), "`with ExecuteQuery(...)` for `SELECT * FROM users WHERE name = ?` and \"Siobhán O'Brien 4\" raised", 10),
    Case("`with` in enter does not close", "11",
         changed(changed(QUERY, 'self.conn = sqlite3.connect("users.db")', 'with sqlite3.connect("users.db") as self.conn:\n            pass'),
                 "self.conn.close()", "pass"),
         WRONG, ("closed",), "the block opens 1 connection that your code never closes", 8),
    Case("enter hides a query's error and prints it", "11",
         changed(QUERY, "        self.cursor.execute(self.query, self.params)\n        return self.cursor.fetchall()",
                 "        try:\n            return self.cursor.execute(self.query, self.params).fetchall()\n"
                 "        except sqlite3.Error as error:\n            print('Query failed:', error)\n            return []"),
         WRONG, ("bad query",), "it printed: Query failed: no such table: nowhere", 12),
    Case("another error than the query's", "11",
         changed(QUERY, "        self.cursor.execute", "        if 'nowhere' in self.query: raise TypeError('own')\n        self.cursor.execute"),
         CRASH, ("bad query",), "raised TypeError: own", 10),
    Case("an import that fails after two right functions", "12",
         changed(CONCURRENT, "async def fetch_concurrently", "raise ValueError('half way')\n\nasync def fetch_concurrently"),
         CRASH, (), "importing the file raised ValueError: half way", 14),
    Case("an import that fails beside a mistake", "12",
         changed(CONCURRENT, "age > 40", "age >= 40") + "\nprint(asyncio.run(fetch_concurrently())[2])\n",
         CRASH, ("older users",), "importing the file raised IndexError", 17),
    Case("sqlite3 in threads", "12", IN_THREADS),
    Case("gather returns the errors", "12",
         changed(CONCURRENT, "async_fetch_older_users())", "async_fetch_older_users(), return_exceptions=True)"),
         WRONG, ("errors",), "fetch_concurrently() on a missing table returned the error in place of the rows", 15),
    Case("only one function hides its error", "12",
         CONCURRENT.replace("async def async_fetch_older_users():\n", "async def async_fetch_older_users():\n  try:\n")
         .replace("\nasync def fetch_concurrently", "  except aiosqlite.Error:\n    return []\n\nasync def fetch_concurrently"),
         WRONG, ("errors",), "async_fetch_older_users() on a missing table failed, but the caller got no error", 14),
    Case("fetch_concurrently hides the error", "12",
         changed(CONCURRENT, "    return await asyncio.gather(async_fetch_users(), async_fetch_older_users())",
                 "    try:\n        return await asyncio.gather(async_fetch_users(), async_fetch_older_users())\n"
                 "    except Exception as error:\n        print('Error:', error)"),
         WRONG, ("errors",), "it printed: Error: no such table", 17),
    Case("plain functions that return a coroutine", "12",
         CONCURRENT.replace("async def async_fetch", "async def _fetch").replace("async def fetch_", """
def async_fetch_users():
    return _fetch_users()

async_fetch_older_users = functools.partial(_fetch_older_users)

def fetch_""").replace("return await asyncio", "return asyncio").replace("import asyncio", "import asyncio, functools")),
    Case("a plain function that waits for its queries itself", "12",
         changed(CONCURRENT, "async def fetch_concurrently():", "async def both():")
         + "\ndef fetch_concurrently():\n    return asyncio.run(both())\n"),
    Case("a function that cannot be awaited", "12",
         CONCURRENT.replace("async def async_fetch_users():", "async def fetch():")
         .replace("async def fetch_concurrently", "def async_fetch_users():\n    return asyncio.run(fetch())\n\nasync def fetch_concurrently")
         .replace("gather(async_fetch_users()", "gather(fetch()"),
         WRONG, ("all users",), "async_fetch_users() returns a value that cannot be awaited", 14),
    Case("a lock lets one query run at a time", "12",
         CONCURRENT.replace("    async with aiosqlite", "    async with lock, aiosqlite")
         .replace("fetch_concurrently():\n", "fetch_concurrently():\n    global lock\n    lock = asyncio.Lock()\n")
         .replace("async def async_fetch_users", "lock = asyncio.Lock()\n\nasync def async_fetch_users")
         .replace("lock = asyncio.Lock()\n\n", "lock = contextlib.nullcontext()\n\n")
         .replace("import asyncio", "import asyncio, contextlib"),
         WRONG, ("concurrent",), "started only after the first had ended", 7),
    Case("a query of its own before both run together", "12",
         changed(CONCURRENT, "    return await asyncio", "    print(len(await async_fetch_users()))\n    return await asyncio")),
    Case("a slow start of one query", "12",
         changed(CONCURRENT, "users():\n    async with", "users():\n    await asyncio.sleep(3)\n    async with")),
    Case("sqlite3 without threads", "12",
         IN_THREADS.replace("asyncio.to_thread(fetch, ", "asyncio.sleep(0, fetch(").replace('")\n\nasync', '"))\n\nasync'),
         WRONG, ("async", "concurrent"), "sqlite3 runs in the event loop's thread", 5),
    Case("time.sleep in a coroutine", "12",
         changed(CONCURRENT, "users():\n    async with", "users():\n    time.sleep(1)\n    async with").replace("import asyncio", "import asyncio, time"),
         WRONG, ("async",), "time.sleep(1) blocks the event loop", 5),
    Case("time.sleep in a thread", "12", changed(IN_THREADS, "sql):\n", "sql):\n    time.sleep(1)\n").replace("import asyncio", "import asyncio, time")),
    Case("a connection that only its cursor closes", "12",
         changed(CONCURRENT, '    async with aiosqlite.connect("users.db") as db:\n        async with db.execute("SELECT * FROM users W',
                 '    db = await aiosqlite.connect("users.db")\n    if db:\n        async with db.execute("SELECT * FROM users W'),
         WRONG, ("closed",), "async_fetch_older_users() opens 1 connection that your code never closes", 10),
    Case("await outside of an async function", "12", changed(CONCURRENT, "async def fetch_conc", "def fetch_conc"),
         SYNTAX, (), "'await' outside async function", 15),
    Case("a package for databases", "12", "from databases import Database\n" + CONCURRENT, NEEDS, (), "package databases is not installed", 1),
    Case("the wrong users twice", "12", changed(CONCURRENT, "age > 40", "age >= 40"), WRONG, ("older users",), "got [2, 'Linus 2'", 11),
    Case("exit hides database errors only", "10",
         changed(CONNECTION, "self.conn.close()", "self.conn.close()\n        return kind is not None and issubclass(kind, sqlite3.Error)"),
         WRONG, ("raises",), "a block that raised OperationalError failed, but the caller got no error", 13),
    Case("exit hides database errors only", "11",
         changed(QUERY, "self.conn.close()", "self.conn.close()\n        return kind is not None and issubclass(kind, sqlite3.Error)"),
         WRONG, ("raises",), "a block that raised OperationalError failed, but the caller got no error", 15),
    Case("closed when it is collected", "10",
         changed(CONNECTION, "self.conn.close()", "pass\n\n    def __del__(self):\n        self.conn.close()"),
         WRONG, ("closed",), "the connection still works after the block", 11),
    Case("a generator function that closes only at the end", "10", """import contextlib
import sqlite3

@contextlib.contextmanager
def DatabaseConnection(path="users.db"):
    connection = sqlite3.connect(path)
    yield connection
    connection.close()
""", WRONG, ("closed on error",), "a block that raised LookupError opens 1 connection", 8, "at the `yield`"),
    Case("a generator function without its decorator", "10",
         "import sqlite3\n\ndef DatabaseConnection(path):\n    yield sqlite3.connect(path)\n",
         CRASH, ("rows",), "'generator' object does not support", 3, "Which decorator"),
    Case("no __exit__", "10", changed(CONNECTION, "__exit__", "__end__"),
         CRASH, ("rows",), "missed __exit__ method", 3, "Where do you define each?"),
    Case("a name that is not defined", "11", changed(QUERY, "ExecuteQuery", "ExecuteQuery(DatabaseConnection)"),
         CRASH, (), "name 'DatabaseConnection' is not defined", 3, "defined or imported"),
    Case("values formatted into the SQL", "11",
         changed(QUERY, "execute(self.query, self.params)", "execute(self.query.replace('?', repr(self.params[0]).replace('\"', \"'\")))"),
         CRASH, ("quote",), 'near "Brien": syntax error', 10, "Let the driver insert the values"),
    Case("one row", "11", changed(QUERY, "fetchall", "fetchmany"),
         WRONG, ("rows",), "43 of 44 users are missing", 11, "How many rows does this call return?"),
    Case("the same value for every query", "11", changed(QUERY, "self.query, self.params)", "self.query, (25,))"),
         WRONG, ("parameters",), "got [1, 'Grace 1'", 10, "the caller's value"),
    Case("a method of its own hides a query's error", "11",
         changed(QUERY, "        self.cursor.execute(self.query, self.params)\n        return self.cursor.fetchall()",
                 "        return self.run()\n\n    def run(self):\n        try:\n            return self.cursor.execute(self.query, self.params).fetchall()\n"
                 "        except sqlite3.Error:\n            return []"),
         WRONG, ("bad query",), "the caller got no error", 15, "This `except` hides the error"),
    Case("a function behind both hides its error", "12",
         "import aiosqlite\nimport asyncio\n\nasync def read(sql):\n    try:\n        async with aiosqlite.connect('users.db') as db:\n"
         "            return await db.execute_fetchall(sql)\n    except aiosqlite.Error:\n        return []\n\n"
         "async def async_fetch_users():\n    return await read('SELECT * FROM users')\n\n"
         "async def async_fetch_older_users():\n    return await read('SELECT * FROM users WHERE age > 40')\n\n"
         "async def fetch_concurrently():\n    return await asyncio.gather(async_fetch_users(), async_fetch_older_users())\n",
         WRONG, ("errors",), "async_fetch_users() on a missing table failed", 8, "This `except` hides the error"),
    Case("all users twice", "12", changed(CONCURRENT, "gather(async_fetch_users(), async_fetch_older_users())", "gather(async_fetch_users(), async_fetch_users())"),
         WRONG, ("both",), "second result (older users): expected rows like [3,", 15, "Each function alone gives the right rows"),
    Case("an exit before the function is defined", "5",
         "import functools, sys\n\ndef log_queries(function):\n    @functools.wraps(function)\n    def wrapper(*args, **kwargs):\n"
         "        print(kwargs.get('query') or args[0])\n        return function(*args, **kwargs)\n    return wrapper\n\nsys.exit(2)\n\n@log_queries\ndef fetch_all_users(query):\n    return []\n",
         EXITED, (), "importing the file raised SystemExit: 2", 10),
]  # fmt: skip
