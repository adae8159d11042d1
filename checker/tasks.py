"""The tasks: what an exercise asks for, in words that the model script, --explain and a stub share.

The sentence and the signatures are read from the model script; here is what it does not say: the
rules that its checks take for granted, and an example, which the tests run on the model.
"""

import ast
import re
import textwrap
from pathlib import Path
from typing import NamedTuple

from checker.child.wanted import NAMES

ROOT = Path(__file__).resolve().parent.parent
TO_DO = 'raise NotImplementedError("still to do")'


class Task(NamedTuple):
    example: str
    rules: str = ""
    head: str = "import sqlite3"  # what the learner will need
    foot: str = ""  # a function that uses a decorator


RENEE = (
    "{'user_id': '00043497-ee5e-5142-8de0-765c3864e0d9', 'name': 'Renée Núñez', "
    "'email': 'renee.nunez@example.net', 'age': 95}"
)
JOSE = "(1, 'José Cohen', 'jose.cohen@example.net', 67)"
TASKS = {
    "seed": Task("""
>>> connection = connect_db()
>>> create_database(connection)
>>> connection.close()
>>> connection = connect_to_prodev()
>>> create_table(connection)
Table user_data created successfully
>>> counts = insert_data(connection, "user_data.csv")
>>> connection.close()
""", "`user_id` is a UUID, which you make if the file has none. The database's name is ALX_prodev.",
        "import mysql.connector"),
    "1": Task(f">>> next(stream_users())\n{RENEE}\n", head="import seed"),
    "2": Task(f"""
>>> [len(batch) for batch in stream_users_in_batches(400)]
[400, 400, 200]
>>> batch_processing(400)  # doctest: +ELLIPSIS
{RENEE}
...
""", "A batch is a list of rows. The last one may be shorter, and none is empty.", "import seed"),
    "3": Task("""
>>> [len(page) for page in lazy_paginate(400)]
[400, 400, 200]
>>> [user["age"] for user in paginate_users(2, 400)]
[68, 64]
""", "A page is a list of rows, and `offset` the number of rows before it. No page is empty.",
        "import seed"),
    "4": Task("""
>>> next(stream_user_ages())
95
>>> average = calculate_average_age()
Average age of users: 47.75
""", "Two decimals are printed. The ages are never all in memory. There may be no users.",
        "import seed"),
    "5": Task(f'>>> fetch_all_users(query="SELECT * FROM users LIMIT 1")\n[{JOSE}]\n',
        "The query is the argument `query`, or the first argument. Print it or log it.", foot='''
@log_queries
def fetch_all_users(query):
    connection = sqlite3.connect("users.db")
    try:
        return connection.execute(query).fetchall()
    finally:
        connection.close()
'''),
    "6": Task(f">>> get_user_by_id(user_id=1)\n{JOSE}\n",
        "The connection, to users.db, becomes the function's first argument.", foot='''
@with_db_connection
def get_user_by_id(conn, user_id):
    return conn.execute("SELECT * FROM users WHERE id = ?", (user_id,)).fetchone()
'''),
    "7": Task("""
>>> connection = sqlite3.connect(":memory:")
>>> table = connection.execute("CREATE TABLE users (name)")
>>> @transactional
... def add(conn, name):
...     conn.execute("INSERT INTO users VALUES (?)", (name,))
>>> add(connection, "Ada")
>>> connection.in_transaction  # it is committed
False
>>> connection.close()
""", "The decorated function's first argument is the connection. The caller gets its error."),
    "8": Task("""
>>> calls = []
>>> @retry_on_failure(retries=3, delay=0)
... def busy_twice():
...     calls.append("call")
...     if len(calls) < 3:
...         raise ConnectionError("the database is busy")
...     return "done"
>>> busy_twice(), len(calls)
('done', 3)
""", "`retries` is the number of calls in all, `delay` the seconds of the time.sleep() between two.",
        "import time"),
    "9": Task("""
>>> @cache_query
... def fetch(conn, query, params=()):
...     print("running", query)
...     return conn.execute(query, params).fetchall()
>>> connection = sqlite3.connect("users.db")
>>> fetch(connection, query="SELECT MAX(id) FROM users")
running SELECT MAX(id) FROM users
[(1000,)]
>>> fetch(connection, query="SELECT MAX(id) FROM users")
[(1000,)]
>>> connection.close()
""", "The decorated function's first argument is the connection, the next one the query."),
    "10": Task(f"""
>>> with DatabaseConnection("users.db") as conn:
...     conn.execute("SELECT * FROM users LIMIT 1").fetchall()
[{JOSE}]
"""),
    "11": Task("""
>>> with ExecuteQuery("SELECT COUNT(*) FROM users WHERE age > ?", (40,)) as rows:
...     rows
[(617,)]
""", "The database is users.db. The connection is closed after the block."),
    "12": Task("""
>>> everybody, older = asyncio.run(fetch_concurrently())
>>> len(everybody), len(older)
(1000, 617)
""", "Older means older than 40. The database is users.db, read with aiosqlite.",
        "import asyncio\n\nimport aiosqlite"),
}  # fmt: skip


def model(file: str) -> Path:
    """The project's own script for an exercise."""
    return next(path for path in (ROOT / file, *ROOT.glob(f"python-*/{file}")) if path.is_file())


def sentence(file: str) -> str:
    """What the exercise asks for: the line "Task:" of the model script."""
    text = ast.get_docstring(ast.parse(model(file).read_bytes()))
    return "W" + re.search("^Task: w(.*)", text, re.MULTILINE)[1]


def stub(exercise, checks: str) -> str:
    """A file to work in: the task in its docstring, and functions that are still to do."""
    task = TASKS[exercise.number]
    example = textwrap.indent(task.example.strip(), "    ")
    text = "\n\n".join(filter(None, (exercise.about, task.rules, example, checks)))
    parts = (f'"""{text}\n"""\n\n{task.head}', *_to_do(exercise), task.foot.strip())
    return "\n\n\n".join(filter(None, parts)) + "\n"


def _to_do(exercise) -> list[str]:
    """The model's functions and classes that the exercise asks for, without what they do."""
    parts = [*(ROOT / "seed_parts").glob("*.py")] if exercise.number == "seed" else []
    trees = [ast.parse(path.read_bytes()) for path in (model(exercise.file), *parts)]
    found = {n.name: n for tree in trees for n in tree.body if hasattr(n, "name")}
    return [ast.unparse(_emptied(found[name])) for name in NAMES[exercise.number]]


def _emptied(node):
    """The definition with its first method only, and TO_DO as its body."""
    first = next((n for n in node.body if isinstance(n, ast.FunctionDef)), None)
    function = first if isinstance(node, ast.ClassDef) else node
    node.decorator_list, node.body = [], [function]
    function.body, function.returns = ast.parse(TO_DO).body, None
    function.args.kwonlyargs, function.args.kw_defaults = [], []
    for argument in function.args.args:
        argument.annotation = None
    return node
