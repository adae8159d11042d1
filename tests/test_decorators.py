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
LOCKED = "database is locked"


def stored(path: Path, sql: str = ALL) -> list[tuple]:
    """Read on another connection."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        return other.execute(sql).fetchall()


def change(path: Path, sql: str = RENAME) -> None:
    """Run one statement on another connection, and commit."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(sql)
        other.commit()


@pytest.fixture
def conn(users_db) -> Iterator[sqlite3.Connection]:
    with contextlib.closing(sqlite3.connect(users_db, timeout=0)) as connection:
        yield connection


@pytest.fixture
def calls() -> list:
    """What the decorated function noted, once a call."""
    return []


RAISED = pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()], ids=repr)


# -------------------------------------------------------- all five decorators

DECORATORS = {
    "log_queries": LOG.log_queries,
    "with_db_connection": CONNECT.with_db_connection,
    "transactional": TRANSACTION.transactional,
    "retry_on_failure": RETRY.retry_on_failure(),
    "cache_query": CACHE.cache_query,
}


@pytest.mark.parametrize("name", DECORATORS)
def test_decorator_keeps_what_describes_a_function_and_passes_every_kind_of_argument_on(name, conn):
    def echo(conn, query, /, age=25, *rest, order="id", **others):
        """Return them."""
        return [conn.execute("SELECT 1").fetchone(), query, age, rest, order, others]

    decorated = DECORATORS[name](echo)
    assert (decorated.__name__, decorated.__doc__) == ("echo", "Return them.")
    assert decorated.__wrapped__ is echo
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


# ------------------------------------------------------------------- the log


def test_query_is_logged_once_before_it_runs(caplog):
    caplog.set_level(logging.INFO)
    fetch = LOG.log_queries(lambda query: caplog.messages.copy())
    assert fetch(ALL) == caplog.messages == [f"Executing query: {ALL}"]


def test_fetch_all_users_logs_and_closes_its_connections(users_db, caplog):
    caplog.set_level(logging.INFO)
    assert LOG.fetch_all_users(ALL) == LOG.fetch_all_users(query=ALL) == ROWS
    assert caplog.messages == [f"Executing query: {ALL}"] * 2
    assert _open_handles(users_db) == []


@pytest.mark.parametrize(
    ("args", "kwargs", "logged"),
    [
        ((ALL, "secret"), {}, ALL),
        ((None, ALL, ("secret",)), {}, ALL),
        (("secret",), {"query": ALL}, ALL),
        ((None,), {"query": ALL, "name": "secret"}, ALL),
        ((None,), {"name": "secret"}, "count_users"),
    ],
)
def test_log_shows_the_query_or_the_function_but_no_value(caplog, args, kwargs, logged):
    def count_users(*args, **kwargs): ...

    caplog.set_level(logging.INFO)
    LOG.log_queries(count_users)(*args, **kwargs)
    assert logged in caplog.text
    assert "secret" not in caplog.text


def test_query_is_logged_under_with_db_connection_too(users_db, caplog):
    caplog.set_level(logging.INFO)
    fetch = LOG.log_queries(lambda conn, query: conn.execute(query).fetchall())
    assert CONNECT.with_db_connection(fetch)(NAMES) == stored(users_db, NAMES)
    assert caplog.messages == [f"Executing query: {NAMES}"]


LINE = "Executing query: SELECT name FROM users WHERE id = 1\n"
WITH_TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO "


@pytest.mark.parametrize(
    ("set_up", "stdout", "stderr"),
    [
        ("", "", WITH_TIME + LINE),
        ("logging.basicConfig(level='INFO', format='It: %(message)s')", "", f"It: {LINE}"),
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


# ------------------------------------------------------------ the connection


def test_connection_is_the_first_argument_and_closes_on_return(users_db):
    @CONNECT.with_db_connection
    def fetch(connection, sql, *, limit):
        rows = connection.execute(sql).fetchmany(limit)
        return connection, rows, len(_open_handles(users_db))

    _connection, rows, handles = fetch(ALL, limit=2)
    assert (rows, handles) == (ROWS[:2], 1)
    assert _open_handles(users_db) == []


@RAISED
def test_connection_closes_on_an_error_and_the_error_is_raised(users_db, error):
    @CONNECT.with_db_connection
    def fail(conn):
        conn.execute(ADD)
        raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert raised.value is error
    assert _open_handles(users_db) == []


def test_get_user_by_id(users_db):
    assert CONNECT.get_user_by_id(user_id=1) == CONNECT.get_user_by_id(1) == ROWS[0]
    assert CONNECT.get_user_by_id(user_id="1 OR 1 = 1") is None
    assert _open_handles(users_db) == []


# ----------------------------------------------------------- the transaction


def test_transaction_is_committed_and_the_connection_stays_open(conn, users_db):
    @TRANSACTION.transactional
    def rename(conn, *, answer):
        conn.execute(RENAME)
        return answer

    assert rename(conn, answer=42) == 42
    assert not conn.in_transaction
    assert stored(users_db, NAMES)[0] == ("Augusta",)
    assert rename(answer=7, conn=conn) == 7  # the connection by its name


@RAISED
def test_transaction_is_rolled_back_and_the_same_error_raised(conn, users_db, error):
    @TRANSACTION.transactional
    def rename_and_fail(conn):
        conn.execute(RENAME)
        raise error

    with pytest.raises(type(error)) as raised:
        rename_and_fail(conn)
    assert raised.value is error
    assert not conn.in_transaction
    conn.commit()
    assert stored(users_db) == ROWS


def test_commit_that_fails_is_rolled_back_and_raised(conn, users_db):
    with contextlib.closing(sqlite3.connect(users_db)) as reader:
        unfinished = reader.execute(ALL)
        unfinished.fetchone()  # a half-read result: others can write, but not commit
        with pytest.raises(sqlite3.OperationalError, match=LOCKED):
            TRANSACTION.transactional(lambda conn: conn.execute(RENAME))(conn)
    assert not conn.in_transaction
    assert stored(users_db) == ROWS


def test_rollback_that_fails_does_not_hide_the_first_error(conn):
    @TRANSACTION.transactional
    def close_and_fail(conn):
        conn.close()  # from here on a rollback fails
        raise ValueError("the first error")

    with pytest.raises(ValueError, match="the first error") as raised:
        close_and_fail(conn)
    (note,) = raised.value.__notes__
    assert "rollback() failed after it: ProgrammingError: Cannot operate on a closed" in note


def test_transactional_refuses_what_it_cannot_roll_back(users_db, calls):
    run = TRANSACTION.transactional(calls.append)
    with pytest.raises(TypeError, match=r"found no connection .* put @with_db_connection above it"):
        run(1)
    with (
        contextlib.closing(sqlite3.connect(users_db, isolation_level=None)) as conn,
        pytest.raises(ValueError, match="isolation_level=None"),
    ):
        run(conn)  # each statement would be committed by itself
    assert calls == []


def test_update_user_email_changes_that_user_only(users_db):
    email = "Crawford_Cartwright@hotmail.com"
    TRANSACTION.update_user_email(user_id=1, new_email=email)
    TRANSACTION.update_user_email(3, email)
    assert stored(users_db) == [(1, "Ada", email, 20), ROWS[1], (3, "Linus", email, 67)]
    assert _open_handles(users_db) == []


# ----------------------------------------------------------------- the retry


@pytest.fixture
def sleeps(monkeypatch) -> list[float]:
    """The pauses that were asked for; none is made."""
    asked: list[float] = []
    monkeypatch.setattr("time.sleep", asked.append)
    return asked


TRANSIENT = [
    sqlite3.OperationalError(LOCKED),
    sqlite3.OperationalError("database table is locked: users"),
    ConnectionError("lost"),
    ConnectionResetError("a subclass of ConnectionError"),
    Exception("a plain one, as the course's checkers raise"),
    OperationalError("MySQL Connection not available."),  # has no number of its own
]
PERMANENT = [
    sqlite3.OperationalError("no such table: users"),
    sqlite3.IntegrityError("UNIQUE constraint failed: users.id"),
    sqlite3.ProgrammingError("Cannot operate on a closed database."),
    TypeError("a bug"),
    RuntimeError("a subclass of Exception"),
    FileNotFoundError("a permanent OSError"),
    KeyboardInterrupt(),
    BrokenPipeError("of the reader of the output"),
]


@pytest.mark.parametrize(
    ("error", "attempts"),
    [(error, 3) for error in TRANSIENT] + [(error, 1) for error in PERMANENT],
    ids=repr,
)
def test_only_transient_errors_are_retried(sleeps, calls, error, attempts):
    @RETRY.retry_on_failure()
    def fail():
        calls.append("call")
        raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert raised.value is error
    assert len(calls) == attempts
    assert sleeps == [2] * (attempts - 1)  # none after the last attempt


@pytest.mark.parametrize("delay", [0, 0.5])
def test_success_ends_the_attempts(sleeps, calls, delay):
    @RETRY.retry_on_failure(retries=4, delay=delay)
    def fail_twice():
        calls.append("call")
        if len(calls) < 3:
            raise ConnectionError
        return "done"

    assert fail_twice() == "done"
    assert (len(calls), sleeps) == (3, [delay, delay])


RETRIED_NUMBERS = {
    *(1020, 1040, 1047, 1053, 1158, 1159, 1160, 1161, 1205, 1213, 1927),
    *(2002, 2003, 2006, 2013, 2055, 4031),
}
OTHER_NUMBERS = {1045, 1049, 1054, 1062, 1064, 1146, 1153, 1264, 1366, 1406, 1698, 3819, 4025}


@pytest.mark.parametrize("number", RETRIED_NUMBERS | OTHER_NUMBERS)
def test_number_of_a_mysql_error_decides_whether_it_is_transient(number):
    is_transient = seed.is_transient(get_mysql_exception(number, "a message"))
    assert is_transient is (number in RETRIED_NUMBERS)


@pytest.mark.parametrize(
    ("sql", "attempts"),
    [
        ("SELECT 1", 2),
        ("SELECT * FROM nobody", 1),
        ("INSERT INTO users (id) VALUES (1)", 1),
        ("SELEC 1", 1),
    ],
)
def test_failed_attempt_is_rolled_back(conn, users_db, sleeps, calls, sql, attempts):
    @RETRY.retry_on_failure(retries=2)
    def add(conn):
        calls.append(conn.execute(ALL).fetchall())
        conn.execute(ADD)
        conn.execute(sql)  # SQLite's own errors are permanent ones
        raise ConnectionError("a transient one")

    with pytest.raises((sqlite3.Error, ConnectionError)):
        add(conn)
    assert calls == [ROWS] * attempts  # each attempt starts from the same rows
    assert not conn.in_transaction
    conn.commit()
    assert stored(users_db) == ROWS


def test_retry_in_a_transaction_makes_one_attempt_and_no_rollback(conn, users_db, sleeps, calls):
    @RETRY.retry_on_failure(retries=3)
    def fail(conn):
        calls.append("call")
        raise sqlite3.OperationalError(LOCKED)

    conn.execute(RENAME)
    with pytest.raises(sqlite3.OperationalError, match=LOCKED):
        fail(conn)
    assert (calls, sleeps) == (["call"], [])
    conn.commit()
    assert stored(users_db, NAMES)[0] == ("Augusta",)


@pytest.mark.parametrize(
    ("name", "value"),
    [("retries", bad) for bad in (0, -1, True, "3", 2.0, print)]  # print: no parentheses
    + [("delay", bad) for bad in (-1, "2", None, float("nan"))],
)
def test_bad_argument_of_retry_is_refused_before_anything_is_decorated(name, value):
    with pytest.raises(ValueError, match=f"{name} must be .*, not {re.escape(repr(value))}"):
        RETRY.retry_on_failure(**{name: value})


def test_fetch_users_with_retry(users_db, sleeps):
    assert RETRY.fetch_users_with_retry() == ROWS
    assert sleeps == []
    assert _open_handles(users_db) == []


# ----------------------------------------------------------------- the cache


@pytest.fixture(autouse=True)
def _empty_cache():
    query_cache.clear()


@pytest.fixture
def fetch(calls):
    """A cached function that notes each time it really runs."""

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
    assert len(calls) == len(values)
    assert fetch(conn, sql, (1.0,)) == results[1]
    assert len(calls) == len(values)
    assert fetch(conn, sql, parameters=[2]) == [("integer", 2)]
    for number in (1, 2):
        assert fetch(conn=conn, query="SELECT :n", parameters={"n": number}) == [(number,)]


def test_cache_holds_128_results_and_drops_the_oldest(fetch, conn, calls):
    for number in range(130):
        fetch(conn, f"SELECT {number}")
    assert len(query_cache) == 128
    calls.clear()
    for number in (129, 2, 1, 0):
        assert fetch(conn, f"SELECT {number}") == [(number,)]
    assert calls == ["SELECT 1", "SELECT 0"]
    query_cache.clear()
    assert len(query_cache) == 0


def test_nothing_is_cached_inside_a_transaction(fetch, conn):
    assert fetch(conn, NAMES)[0] == ("Ada",)
    conn.execute(RENAME)
    assert fetch(conn, NAMES)[0] == ("Augusta",)
    assert fetch(conn, ALL)[0][1] == "Augusta"
    conn.rollback()
    assert fetch(conn, NAMES)[0] == ("Ada",)
    assert fetch(conn, ALL) == ROWS


def test_writes_run_each_time(fetch, users_db, calls):
    writes = [ADD, f"{ADD} RETURNING name", f"WITH one AS (SELECT 1) {ADD}"]
    nothing_to_do = ["UPDATE users SET age = 1 WHERE id = 99", "DELETE FROM users WHERE id = 99"]
    with contextlib.closing(sqlite3.connect(users_db, isolation_level=None)) as conn:
        for sql in (*writes, *writes, *nothing_to_do, *nothing_to_do):
            fetch(conn, sql)
    assert len(calls) == 10
    assert len(stored(users_db)) == 9


def test_database_in_memory_is_not_cached(fetch, calls):
    for database, number in ((":memory:", 1), (":memory:", 2), ("", 3)):
        with contextlib.closing(sqlite3.connect(database)) as conn:
            conn.execute(f"CREATE TABLE t AS SELECT {number}")
            assert fetch(conn, "SELECT * FROM t") == fetch(conn, "SELECT * FROM t") == [(number,)]
    assert (len(calls), len(query_cache)) == (6, 0)


@pytest.mark.parametrize(
    "value",
    ["random()", "RANDOM ()", '"random"()', "datetime('now')", "time()", "CURRENT_TIMESTAMP"],
)
def test_query_of_the_clock_or_chance_runs_each_time(fetch, conn, calls, value):
    fetch(conn, f"SELECT {value}")
    fetch(conn, f"SELECT {value}")
    assert len(calls) == 2


@pytest.mark.parametrize("lazy", [iter, lambda cursor: map(tuple, cursor.fetchall())])
def test_result_that_can_be_read_only_once_is_not_cached(conn, lazy):
    fetch = CACHE.cache_query(lambda conn, query: lazy(conn.execute(query)))
    assert list(fetch(conn, ALL)) == list(fetch(conn, ALL)) == ROWS


def test_error_is_raised_and_not_cached(conn, users_db):
    statements = iter(["SELEC 1", ALL, ALL])
    fetch = CACHE.cache_query(lambda conn, query: conn.execute(next(statements)).fetchall())
    with pytest.raises(sqlite3.OperationalError, match="syntax error"):
        fetch(conn, ALL)
    with contextlib.closing(sqlite3.connect(users_db)) as other:
        other.execute("BEGIN EXCLUSIVE")
        with pytest.raises(sqlite3.OperationalError, match=LOCKED):
            fetch(conn, ALL)
    assert fetch(conn, ALL) == ROWS


def test_cached_function_may_close_its_connection(conn):
    fetch = CACHE.cache_query(lambda conn, sql: conn.execute(sql).fetchall() + (conn.close() or []))
    assert fetch(conn, ALL) == ROWS


def test_result_belongs_to_one_database_and_one_function(fetch, conn, users_db):
    other = shutil.copy(users_db, users_db.with_name("other.db"))
    change(other)
    count = CACHE.cache_query(lambda conn, query: [len(conn.execute(query).fetchall())])
    with contextlib.closing(sqlite3.connect(other)) as second:
        for connection, expected in ((conn, "Ada"), (second, "Augusta")) * 2:
            assert fetch(connection, NAMES)[0] == (expected,)
            assert count(connection, NAMES) == [3]


def test_result_belongs_to_one_form_of_rows(fetch, conn):
    assert fetch(conn, NAMES)[0] == ("Ada",)
    conn.row_factory = sqlite3.Row
    assert fetch(conn, NAMES)[0]["name"] == "Ada"
    conn.row_factory, conn.text_factory = None, bytes
    assert fetch(conn, NAMES)[0] == (b"Ada",)


def test_fetch_users_with_cache(users_db):
    fetch = CACHE.fetch_users_with_cache
    assert fetch(ALL) == fetch(ALL) == fetch(query=ALL) == fetch(query=ALL) == ROWS
    assert query_cache
    change(users_db)
    assert fetch(ALL)[0][1] == fetch(query=ALL)[0][1] == "Augusta"
    assert len(_open_handles(users_db)) <= 1  # one may watch for changes


def test_number_of_open_files_is_bounded(fetch, tmp_path):
    paths = [tmp_path / f"{number}.db" for number in range(40)]
    for path in paths:
        with contextlib.closing(sqlite3.connect(path)) as conn:
            fetch(conn, "SELECT 1")
    assert sum(len(_open_handles(path)) for path in paths) <= 20
