"""Exercises 5 to 9: what the decorators log, close, commit, retry and cache."""

import contextlib
import inspect
import logging
import re
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import ROOT, USERS, _open_handles, run_python
from mysql.connector.errors import OperationalError, get_mysql_exception

import seed

LOG = seed.import_script("0-log_queries")
CONNECT = seed.import_script("1-with_db_connection")
TRANSACTION = seed.import_script("2-transactional")
RETRY = seed.import_script("3-retry_on_failure")
CACHE = seed.import_script("4-cache_query")
query_cache = CACHE.query_cache

ROWS = [(number, *user) for number, user in enumerate(USERS, start=1)]
ALL = "SELECT * FROM users"
NAMES = "SELECT name FROM users"
RENAME = "UPDATE users SET name = 'Augusta' WHERE id = 1"
ADD = "INSERT INTO users (name, email, age) VALUES ('Alan', 'alan@example.com', 41)"


def stored(path: Path, sql: str = ALL) -> list[tuple]:
    """Read on another connection."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        return other.execute(sql).fetchall()


@pytest.fixture
def conn(users_db) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(users_db, timeout=0)) as connection:
        yield connection


@pytest.fixture
def calls() -> list:
    """A list to which the decorated function adds an entry for each call."""
    return []


@contextlib.contextmanager
def raises_itself(error: BaseException) -> Iterator[None]:
    """Expect this very error, unchanged."""
    with pytest.raises(type(error)) as raised:
        yield
    assert raised.value is error
    assert not hasattr(error, "__notes__")


ERRORS = pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()], ids=repr)


# -------------------------------------------------------- all five decorators

DECORATORS = {
    "log_queries": LOG.log_queries,
    "with_db_connection": CONNECT.with_db_connection,
    "transactional": TRANSACTION.transactional,
    "retry_on_failure": RETRY.retry_on_failure(),
    "cache_query": CACHE.cache_query,
}


@pytest.mark.parametrize("name", DECORATORS)
def test_decorator_keeps_the_signature_and_passes_all_arguments(name, conn):
    def echo(conn, query, /, age=25, *rest, order="id", **others):
        """Return them."""
        return [conn.execute("SELECT 1").fetchone(), query, age, rest, order, others]

    decorated = DECORATORS[name](echo)
    assert (decorated.__name__, decorated.__doc__) == ("echo", "Return them.")
    assert inspect.signature(decorated) == inspect.signature(echo)
    given = () if name == "with_db_connection" else (conn,)
    assert decorated(*given, ALL) == [(1,), ALL, 25, (), "id", {}]
    expected = [(1,), ALL, 40, (1, 2), "age", {"self": 3}]
    assert decorated(*given, ALL, 40, 1, 2, order="age", self=3) == expected


@pytest.mark.parametrize("name", [name for name in DECORATORS if name != "log_queries"])
def test_function_whose_body_runs_after_its_call_is_refused(name):
    def a_generator(conn):
        yield 1

    async def an_async_function(conn): ...

    async def an_async_generator(conn):
        yield 1

    for function in (a_generator, an_async_function, an_async_generator):
        kind = function.__name__.replace("_", " ")
        for wrapped in (function, LOG.log_queries(function)):
            with pytest.raises(TypeError, match=f"@{name} cannot wrap {function.__name__}, {kind}"):
                DECORATORS[name](wrapped)


def test_script_functions_accept_both_kinds_of_arguments_and_close(users_db):
    TRANSACTION.update_user_email(3, "new")
    TRANSACTION.update_user_email(user_id=1, new_email="new")
    rows = [(1, "Ada", "new", 20), ROWS[1], (3, "Linus", "new", 67)]
    assert CONNECT.get_user_by_id(1) == CONNECT.get_user_by_id(user_id=1) == rows[0]
    assert CONNECT.get_user_by_id(4) is None
    assert LOG.fetch_all_users(ALL) == LOG.fetch_all_users(query=ALL) == rows
    assert RETRY.fetch_users_with_retry() == rows
    assert _open_handles(users_db) == []
    query_cache.clear()
    fetch = CACHE.fetch_users_with_cache
    assert fetch(ALL) == fetch(ALL) == fetch(query=ALL) == fetch(query=ALL) == rows
    assert query_cache
    assert len(_open_handles(users_db)) <= 1  # one may watch for changes


# ------------------------------------------------------------------- the log


@pytest.mark.parametrize(
    ("args", "kwargs", "logged"),
    [
        ((None, ALL, "secret"), {}, ALL),
        (("secret",), {"query": ALL}, ALL),
        ((None,), {"name": "secret"}, "count_users"),
    ],
)
def test_log_shows_the_query_before_the_call_but_no_value(caplog, args, kwargs, logged):
    def count_users(*args, **kwargs):
        return caplog.messages.copy()

    caplog.set_level(logging.INFO)
    (line,) = LOG.log_queries(count_users)(*args, **kwargs)
    assert caplog.messages == [line]
    assert logged in line
    assert "secret" not in line


LINE = "Executing query: SELECT name FROM users WHERE id = 1\n"
WITH_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO "


@pytest.mark.parametrize(
    ("set_up", "stdout", "stderr"),
    [
        ("", "", WITH_TIME + LINE),
        ("logging.basicConfig(level='INFO', format='%(message)s', stream=sys.stdout)", LINE, ""),
        ("logging.basicConfig(level='WARNING')", "", ""),
        (  # set up only after the first query: no line appears twice
            f"fetch('{ALL}'); logging.basicConfig(level='INFO', format='It: %(message)s')",
            "",
            f"{WITH_TIME}Executing query: {re.escape(ALL)}\nIt: {LINE}",
        ),
    ],
)
def test_log_goes_to_stderr_unless_the_program_sets_up_logging(users_db, set_up, stdout, stderr):
    code = f"""
import logging, sys
fetch = __import__("0-log_queries").fetch_all_users
{set_up}
print(fetch("SELECT name FROM users WHERE id = 1"))
"""
    path = str(ROOT / "python-decorators-0x01")
    done = run_python("-c", code, cwd=users_db.parent, settings={"PYTHONPATH": path})
    assert done.stdout == f"{stdout}[('Ada',)]\n"
    assert re.fullmatch(stderr, done.stderr)


# ------------------------------------------ the connection, the transaction


@ERRORS
def test_connection_is_the_first_argument_and_closes_on_return_or_error(users_db, error):
    @CONNECT.with_db_connection
    def fetch(connection, sql, *, error=None):
        connection.execute(ADD)  # nothing is committed here
        if error:
            raise error
        return connection, connection.execute(sql).fetchone(), len(_open_handles(users_db))

    _connection, *result = fetch(NAMES, error=None)
    assert result == [("Ada",), 1]
    assert _open_handles(users_db) == []
    with raises_itself(error):
        fetch(NAMES, error=error)
    assert _open_handles(users_db) == []
    assert stored(users_db) == ROWS


@ERRORS
def test_transaction_is_rolled_back_on_an_error_and_committed_on_return(conn, users_db, error):
    @TRANSACTION.transactional
    def rename(conn, *, error=None):
        conn.execute(RENAME)
        if error:
            raise error
        return 42

    with raises_itself(error):
        rename(conn, error=error)
    conn.commit()  # nothing is left to commit
    assert stored(users_db) == ROWS
    assert rename(conn) == 42
    assert stored(users_db, NAMES)[0] == ("Augusta",)
    assert rename(conn=conn) == 42  # the connection by its name, and it is still open


def test_transactional_refuses_a_call_that_it_cannot_roll_back(conn, calls):
    run = TRANSACTION.transactional(calls.append)
    with pytest.raises(TypeError, match=r"found no connection .* put @with_db_connection above it"):
        run(1)
    conn.isolation_level = None  # each statement would be committed by itself
    with pytest.raises(ValueError, match="isolation_level=None"):
        run(conn)
    assert calls == []


# ----------------------------------------------------------------- the retry


@pytest.fixture
def sleeps(monkeypatch) -> list[float]:
    """The pauses that were asked for; none is made."""
    monkeypatch.setattr("time.sleep", (asked := []).append)
    return asked


TRANSIENT_NUMBERS = (
    *(1020, 1040, 1047, 1053, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1927, 3032, 3101, 4031),
    *(2002, 2003, 2006, 2013, 2055, 3796, 3797, 6400),
)
OTHER_NUMBERS = (1045, 1049, 1054, 1062, 1064, 1146, 1153, 1264, 1366, 1406, 1698, 3819, 4025)
OTHER_NUMBERS += (1180, 1226, 1290, 1317, 1862, 2061, 3024, 3100, 3118)
TRANSIENT = [
    sqlite3.OperationalError("database is locked"),
    ConnectionError("lost"),
    Exception("a plain one, as the course's checkers raise"),
    OperationalError("MySQL Connection not available."),  # has no number of its own
    get_mysql_exception(1180, "Got error 149 during COMMIT"),  # a conflict in a cluster
    get_mysql_exception(3100, "Error on observer while running replication hook 'before_commit'."),
    *(get_mysql_exception(number, "a message") for number in TRANSIENT_NUMBERS),
]
PERMANENT = [
    sqlite3.OperationalError("no such table: users"),
    sqlite3.IntegrityError("UNIQUE constraint failed: users.id"),
    RuntimeError("a subclass of Exception"),
    FileNotFoundError("a permanent OSError"),
    KeyboardInterrupt(),
    BrokenPipeError("of the reader of the output"),
    get_mysql_exception(1290, "The MySQL server is running with the --super-read-only option"),
    *(get_mysql_exception(number, "a message") for number in OTHER_NUMBERS),
]


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(error, 3) for error in TRANSIENT] + [(error, 1) for error in PERMANENT],
    ids=repr,
)
def test_only_transient_errors_are_retried_with_no_sleep_at_the_end(sleeps, calls, error, attempts):
    @RETRY.retry_on_failure()
    def fail():
        calls.append("call")
        raise error

    with raises_itself(error):
        fail()
    assert len(calls) == attempts
    assert sleeps == [2] * (attempts - 1)


@pytest.mark.parametrize(("sql", "attempts"), [("SELECT 1", 2), ("SELECT * FROM nobody", 1)])
def test_failed_attempt_is_rolled_back_unless_in_an_open_transaction(
    conn, users_db, sleeps, calls, sql, attempts
):
    @RETRY.retry_on_failure(retries=2)
    def add(conn):
        calls.append(len(conn.execute(ALL).fetchall()))
        conn.execute(ADD)
        conn.execute(sql)  # SQLite's own errors are permanent ones
        raise ConnectionError("a transient one")

    for statement in (ALL, RENAME):  # the second one begins a transaction
        conn.execute(statement)
        with pytest.raises((sqlite3.Error, ConnectionError)):
            add(conn)
    conn.commit()
    assert calls == [3] * (attempts + 1)  # each attempt starts from the same rows
    assert stored(users_db, NAMES) == [("Augusta",), ("Grace",), ("Linus",), ("Alan",)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("retries", bad) for bad in (0, -1, True, "3", 2.0, print)]  # print: no parentheses
    + [("delay", bad) for bad in (-1, "2", None, float("nan"))],
)
def test_invalid_argument_of_retry_is_refused_before_decorating(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*, not {re.escape(repr(value))}"):
        RETRY.retry_on_failure(**{name: value})


# ----------------------------------------------------------------- the cache


@pytest.fixture
def fetch(calls):
    """A cached function that notes each time it really runs; the cache is empty."""
    query_cache.clear()

    @CACHE.cache_query
    def fetch(conn, query, parameters=()):
        calls.append(query)
        return conn.execute(query, parameters).fetchall()

    return fetch


def test_second_call_runs_no_query_and_each_caller_gets_its_own_list(fetch, conn, calls):
    for _ in range(3):
        users = fetch(conn, ALL)
        assert users == ROWS
        users.clear()
    assert calls == [ALL]


def test_parameters_and_their_types_are_part_of_the_key(fetch, conn, calls):
    sql, values = "SELECT typeof(?1), ?1", [1, 1.0, True, "1", b"1", None, 0.0, -0.0]
    results = [fetch(conn, sql, (value,)) for value in values]
    shown = [repr(value) for ((_, value),) in results]
    assert shown == ["1", "1.0", "1", "'1'", "b'1'", "None", "0.0", "-0.0"]
    assert fetch(conn, sql, (1.0,)) == results[1]
    assert len(calls) == len(values)
    assert fetch(conn, sql, parameters=[2]) == [("integer", 2)]
    changing = type("Changing", (list,), {"__repr__": object.__repr__})()
    for number in (1, 2):
        assert fetch(conn=conn, query="SELECT :n", parameters={"n": number}) == [(number,)]
        changing[:] = [number]
        assert fetch(conn, "SELECT ?", changing) == [(number,)]  # not cached: it always looks alike


def test_cache_holds_128_results_and_drops_the_oldest(fetch, conn, calls):
    for number in range(130):
        fetch(conn, f"SELECT {number}")
    assert len(query_cache) == 128
    calls.clear()
    for number in (129, 2, 1, 0):
        assert fetch(conn, f"SELECT {number}") == [(number,)]
    assert calls == ["SELECT 1", "SELECT 0"]


def test_nothing_is_cached_inside_a_transaction(fetch, conn):
    assert fetch(conn, NAMES)[0] == ("Ada",)
    conn.execute(RENAME)
    assert fetch(conn, NAMES)[0] == ("Augusta",)
    assert fetch(conn, ALL)[0][1] == "Augusta"
    conn.rollback()
    assert fetch(conn, NAMES)[0] == ("Ada",)
    assert fetch(conn, ALL) == ROWS


@pytest.mark.parametrize(
    "sql",
    [
        *(ADD, f"{ADD} RETURNING name", f"WITH one AS (SELECT 1) {ADD}"),
        *("UPDATE users SET age = 1 WHERE id = 99", "DELETE FROM users WHERE id = 99"),
        *("SELECT random()", "SELECT RANDOM ()", 'SELECT "random"()'),
        *("SELECT datetime('now')", "SELECT time()", "SELECT CURRENT_TIMESTAMP"),
    ],
)
def test_write_and_query_of_clock_or_chance_are_not_cached(fetch, conn, calls, sql):
    conn.isolation_level = None
    fetch(conn, sql)
    fetch(conn, sql)
    assert len(calls) == 2


@pytest.mark.parametrize(
    ("database", "set_up"),
    [(":memory:", "SELECT 1"), ("", "SELECT 1"), ("users.db", "ATTACH ':memory:' AS other")],
)
def test_database_in_memory_or_with_another_attached_is_not_cached(
    fetch, users_db, calls, database, set_up
):
    with contextlib.closing(sqlite3.connect(database)) as conn:
        conn.execute(set_up)
        assert fetch(conn, "SELECT 1") == fetch(conn, "SELECT 1") == [(1,)]
    assert (len(calls), len(query_cache)) == (2, 0)


def test_result_that_can_be_read_only_once_is_not_cached(conn):
    fetch = CACHE.cache_query(lambda conn, query: iter(conn.execute(query)))
    assert list(fetch(conn, ALL)) == list(fetch(conn, ALL)) == ROWS


def test_function_database_and_row_factory_are_part_of_the_key(fetch, conn, users_db):
    count = CACHE.cache_query(lambda conn, query: [len(conn.execute(query).fetchall())])
    other = shutil.copy(users_db, users_db.with_name("other.db"))
    with contextlib.closing(sqlite3.connect(other)) as second:
        second.execute(RENAME)
        second.commit()
        for connection, expected in ((conn, "Ada"), (second, "Augusta")) * 2:
            assert fetch(connection, NAMES)[0] == (expected,)
            assert count(connection, NAMES) == [3]
    conn.row_factory = sqlite3.Row
    assert fetch(conn, NAMES)[0]["name"] == "Ada"
    conn.row_factory, conn.text_factory = None, bytes
    assert fetch(conn, NAMES)[0] == (b"Ada",)


def test_number_of_open_files_is_bounded(fetch, tmp_path):
    paths = [tmp_path / f"{number}.db" for number in range(40)]
    for path in paths:
        with contextlib.closing(sqlite3.connect(path)) as conn:
            fetch(conn, "SELECT 1")
    assert sum(len(_open_handles(path)) for path in paths) <= 20
