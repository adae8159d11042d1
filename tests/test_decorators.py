"""Exercises 5 to 9: what the decorators log, close, commit, try again and keep."""

import contextlib
import inspect
import logging
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import mysql.connector
import pytest
from conftest import ROOT, USERS, _open_handles, run_python

import seed
import seed_cache
import seed_users_db

LOG = "0-log_queries"
CONNECT = "1-with_db_connection"
TRANSACTION = "2-transactional"
RETRY = "3-retry_on_failure"
CACHE = "4-cache_query"
DECORATORS = {
    "log_queries": LOG,
    "with_db_connection": CONNECT,
    "transactional": TRANSACTION,
    "retry_on_failure": RETRY,
    "cache_query": CACHE,
}

ROWS = [(number, *user) for number, user in enumerate(USERS, start=1)]
ALL = "SELECT * FROM users"
NAMES = "SELECT name FROM users"
RENAME = "UPDATE users SET name = 'Augusta' WHERE id = 1"
ADD = "INSERT INTO users (name, email, age) VALUES ('Alan', 'alan@example.com', 41)"


def stored(path: Path, sql: str = ALL) -> list[tuple]:
    """Read past the code under test, on another connection."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        return other.execute(sql).fetchall()


def change(path: Path, sql: str) -> None:
    """Run one statement as another connection, and commit."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(sql)
        other.commit()


def change_in_another_process(path: Path, sql: str) -> None:
    code = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"
    subprocess.run([sys.executable, "-c", code, path, sql], check=True, timeout=60)


@contextlib.contextmanager
def locked_by_another_process(path: Path):
    """Hold the write lock in another process; what is yielded lets go of it."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN IMMEDIATE');"
        "print('locked', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        other.stdout.readline()
        yield lambda: other.communicate(timeout=60)


@pytest.fixture
def conn(users_db) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(users_db, timeout=0)) as connection:
        yield connection


@pytest.fixture
def calls() -> list:
    """What the function under a decorator noted at each of its calls."""
    return []


# -------------------------------------------------------- all five decorators


@pytest.fixture(params=DECORATORS)
def name(request) -> str:
    return request.param


@pytest.fixture
def decorate(name, script):
    decorator = getattr(script(DECORATORS[name]), name)
    return decorator() if name == "retry_on_failure" else decorator


def test_decorator_keeps_the_name_docstring_and_signature(decorate):
    def fetch(conn, *, limit=10):
        """Fetch a few."""

    decorated = decorate(fetch)
    assert (decorated.__name__, decorated.__doc__) == ("fetch", "Fetch a few.")
    assert decorated.__wrapped__ is fetch
    assert str(inspect.signature(decorated)) == "(conn, *, limit=10)"


def test_decorator_works_on_a_function_of_any_signature(decorate, name, conn):
    @decorate
    def echo(conn, query, /, age=25, *rest, order="id", **others):
        return [conn.execute("SELECT 1").fetchone(), query, age, rest, order, others]

    given = () if name == "with_db_connection" else (conn,)
    assert echo(*given, ALL) == [(1,), ALL, 25, (), "id", {}]
    assert echo(*given, ALL, 40, 1, 2, order="age", self=3) == [
        *((1,), ALL, 40, (1, 2), "age"),
        {"self": 3},
    ]


def test_decorator_lets_a_wrong_call_fail_as_it_would_without_it(decorate, conn):
    @decorate
    def fetch(conn, query):
        return []

    with pytest.raises(TypeError, match=r"fetch\(\) (got an unexpected|missing 1)"):
        fetch(conn=conn, qurey=ALL)


def test_decorating_opens_nothing_and_runs_nothing(decorate, calls, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    decorate(calls.append)
    assert calls == []
    assert list(tmp_path.iterdir()) == []


def numbers(conn):
    yield 1


async def number(conn):
    return 1


async def async_numbers(conn):
    yield 1


@pytest.mark.parametrize("name", [name for name in DECORATORS if name != "log_queries"], indirect=True)
@pytest.mark.parametrize(
    ("function", "kind"),
    [(numbers, "a generator"), (number, "an async function"), (async_numbers, "an async generator")],
)
def test_what_runs_after_its_call_is_refused(decorate, name, function, kind, script):
    message = f"@{name} cannot wrap {function.__name__}, {kind}: its body runs only after the call"
    with pytest.raises(TypeError, match=re.escape(message)):
        decorate(function)
    with pytest.raises(TypeError, match=re.escape(message)):
        decorate(script(LOG).log_queries(function))


# ------------------------------------------------------------------- the log


def test_query_is_logged_before_it_runs(script, caplog):
    caplog.set_level(logging.INFO)

    @script(LOG).log_queries
    def fetch(query):
        return caplog.messages.copy()

    assert fetch(ALL) == [f"Executing query: {ALL}"]
    assert caplog.messages == [f"Executing query: {ALL}"]  # once, and not again afterwards


def test_query_that_fails_is_logged_and_its_error_raised(script, users_db, caplog):
    caplog.set_level(logging.INFO)
    with pytest.raises(sqlite3.OperationalError, match="no such table: nobody"):
        script(LOG).fetch_all_users("SELECT * FROM nobody")
    assert caplog.messages == ["Executing query: SELECT * FROM nobody"]
    assert _open_handles(users_db) == []


@script_calls := None if False else pytest.mark.parametrize(("args", "kwargs"), [((ALL,), {}), ((), {"query": ALL})])
def test_fetch_all_users_by_position_and_by_name(script, users_db, caplog, args, kwargs):
    caplog.set_level(logging.INFO)
    assert script(LOG).fetch_all_users(*args, **kwargs) == ROWS
    assert caplog.messages == [f"Executing query: {ALL}"]
    assert _open_handles(users_db) == []
