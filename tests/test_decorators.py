"""Exercises 5 to 9: what the decorators log, close, commit, try again and keep."""

import contextlib
import functools
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
import seed_data_state

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
LOCKED = "database is locked"
LOCKED = "database is locked"


def stored(path: Path, sql: str = ALL) -> list[tuple]:
    """Read past the code under test, on another connection."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        return other.execute(sql).fetchall()


def change(path: Path, sql: str) -> None:
    """Run one statement as another connection, and commit."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        other.execute(sql)
        other.commit()


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
        yield lambda: other.communicate()


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


def make_late_functions() -> list:
    def numbers(conn):
        yield 1

    async def number(conn):
        return 1

    async def async_numbers(conn):
        yield 1

    return [
        (numbers, "a generator"),
        (number, "an async function"),
        (async_numbers, "an async generator"),
    ]


def test_what_runs_after_its_call_is_refused_or_else_logged(decorate, name, script):
    for function, kind in make_late_functions():
        if name == "log_queries":
            assert callable(decorate(function))
            continue
        message = (
            f"@{name} cannot wrap {function.__name__}, {kind}: its body runs only after the call"
        )
        for wrapped in (function, script(LOG).log_queries(function)):
            with pytest.raises(TypeError, match=re.escape(message)):
                decorate(wrapped)


# ------------------------------------------------------------------- the log

BY_POSITION_AND_NAME = pytest.mark.parametrize(
    ("args", "kwargs"), [((ALL,), {}), ((), {"query": ALL})], ids=["position", "name"]
)


def test_query_is_logged_before_it_runs(script, caplog):
    caplog.set_level(logging.INFO)

    @script(LOG).log_queries
    def fetch(query):
        return caplog.messages.copy()

    assert fetch(ALL) == [f"Executing query: {ALL}"]
    assert caplog.messages == [f"Executing query: {ALL}"]  # once, and not again afterwards


@BY_POSITION_AND_NAME
def test_fetch_all_users_logs_and_leaves_no_connection(script, users_db, caplog, args, kwargs):
    caplog.set_level(logging.INFO)
    assert script(LOG).fetch_all_users(*args, **kwargs) == ROWS
    assert caplog.messages == [f"Executing query: {ALL}"]
    assert _open_handles(users_db) == []


@pytest.mark.parametrize(
    ("function", "args", "logged"),
    [
        (lambda query, name: [], (ALL, "secret"), ALL),
        (lambda query, name: [], ("-- all\nSELECT 1", "secret"), "-- all\nSELECT 1"),
        (lambda conn, title, query: [], (None, "secret", ALL), ALL),
        (lambda conn, title, query: [], (None, "Select secret", ALL), ALL),
        (lambda q, *values: [], (ALL, "secret"), ALL),
        (lambda name=None, query=ALL: [], (), ALL),
        (lambda name=None, query=ALL: [], ("secret",), ALL),
    ],
)
def test_query_is_found_by_parameter_and_no_value_is_logged(script, caplog, function, args, logged):
    caplog.set_level(logging.INFO)
    script(LOG).log_queries(function)(*args)
    assert caplog.messages == [f"Executing query: {logged}"]


def test_value_is_not_logged_where_there_is_no_query(script, caplog):
    caplog.set_level(logging.INFO)
    script(LOG).log_queries(lambda email: [])("secret")
    script(LOG).log_queries(lambda *values, sql: [])("Select secret", sql=ALL)
    for value in ("Set secret free", "Use the secret", "Call the secret service"):
        script(LOG).log_queries(functools.partial(lambda user, password: [], "ann"))(value)
    assert "secret" not in caplog.text
    assert ALL in caplog.text


LINE = "Executing query: SELECT name FROM users WHERE id = 1\n"


def run_with_logging(set_up: str, users_db: Path):
    code = f"""
import logging, sys
script = __import__("0-log_queries")
{set_up}
print(script.fetch_all_users("SELECT name FROM users WHERE id = 1"))
"""
    path = str(ROOT / "python-decorators-0x01")
    return run_python("-c", code, cwd=users_db.parent, settings={"PYTHONPATH": path})


def test_log_goes_to_stderr_with_the_time_if_the_program_set_up_no_logging(users_db):
    done = run_with_logging("", users_db)
    assert done.stdout == "[('Ada',)]\n"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} INFO " + LINE, done.stderr)


@pytest.mark.parametrize(
    ("set_up", "stdout", "stderr"),
    [
        ("logging.basicConfig(level='INFO', format='It: %(message)s')", "", f"It: {LINE}"),
        ("logging.basicConfig(level='INFO', format='%(message)s', stream=sys.stdout)", LINE, ""),
        ("logging.basicConfig(level='WARNING')", "", ""),
        ("logging.getLogger('log_queries').setLevel('WARNING')", "", ""),
    ],
)
def test_log_obeys_the_set_up_of_the_program(users_db, set_up, stdout, stderr):
    done = run_with_logging(set_up, users_db)
    assert (done.stdout, done.stderr) == (f"{stdout}[('Ada',)]\n", stderr)


def test_set_up_that_comes_after_the_first_query_does_not_double_the_lines(users_db):
    set_up = "script.fetch_all_users('SELECT 1'); logging.basicConfig(level='INFO')"
    assert run_with_logging(set_up, users_db).stderr.count(LINE) == 1


# ------------------------------------------------------------ the connection


def test_connection_comes_first_and_closes_on_return(script, users_db):
    @script(CONNECT).with_db_connection
    def fetch(connection, sql, *, limit):
        rows = connection.execute(sql).fetchmany(limit)
        return connection, rows, len(_open_handles(users_db))

    connection, rows, handles = fetch(ALL, limit=2)
    assert (rows, handles) == (ROWS[:2], 1)
    assert _open_handles(users_db) == []
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute(ALL)


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()], ids=repr)
def test_connection_closes_and_the_error_comes_through(script, users_db, calls, error):
    @script(CONNECT).with_db_connection
    def fail(conn):
        calls.append(conn)
        conn.execute(ADD)
        raise error

    with pytest.raises(type(error)) as raised:
        fail()
    assert raised.value is error
    assert _open_handles(users_db) == []
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        calls[0].execute(ALL)


def test_get_user_by_id(script, users_db):
    get_user_by_id = script(CONNECT).get_user_by_id
    assert get_user_by_id(user_id=1) == get_user_by_id(1) == ROWS[0]
    assert get_user_by_id(user_id="1 OR 1 = 1") is None
    assert _open_handles(users_db) == []


def test_users_db_is_made_beside_seed_py_and_then_left_as_it_is(script, home, tmp_path):
    get_user_by_id = script(CONNECT).get_user_by_id
    assert get_user_by_id(user_id=1) == (1, "José Cohen", "jose.cohen@example.net", 67)
    assert len(stored(home / "users.db")) == 1000
    change(home / "users.db", RENAME)
    assert get_user_by_id(user_id=1)[1] == "Augusta"
    assert sorted(path.name for path in tmp_path.rglob("*.db*")) == ["users.db"]  # and no left-over


def test_users_db_of_the_working_directory_comes_first(script, home, users_db):
    shutil.copy(users_db, home)
    change(home / "users.db", RENAME)
    assert script(CONNECT).get_user_by_id(user_id=1) == ROWS[0]


def test_path_that_is_given_is_taken_as_it_is(home):
    for path in ("./users.db", "other.db", Path("folder/users.db"), ":memory:"):
        assert seed.users_db(path) is path


# ----------------------------------------------------------- the transaction


def test_transaction_is_committed_and_the_connection_stays_open(script, conn, users_db):
    @script(TRANSACTION).transactional
    def rename(conn, *, answer):
        conn.execute(RENAME)
        return answer

    assert rename(conn, answer=42) == 42
    assert not conn.in_transaction
    assert stored(users_db, NAMES)[0] == ("Augusta",)
    assert rename(answer=7, conn=conn) == 7  # the connection by its name


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()], ids=repr)
def test_transaction_is_rolled_back_and_the_same_error_raised(script, conn, users_db, error):
    @script(TRANSACTION).transactional
    def rename_and_fail(conn):
        conn.execute(RENAME)
        raise error

    with pytest.raises(type(error)) as raised:
        rename_and_fail(conn)
    assert raised.value is error
    assert not conn.in_transaction
    conn.commit()
    assert stored(users_db) == ROWS


def test_commit_that_fails_is_rolled_back_and_raised(script, conn, users_db):
    with contextlib.closing(sqlite3.connect(users_db)) as reader:
        unfinished = reader.execute(ALL)
        unfinished.fetchone()  # a reader half-way: others can write, but not commit
        with pytest.raises(sqlite3.OperationalError, match=LOCKED):
            script(TRANSACTION).transactional(lambda conn: conn.execute(RENAME))(conn)
    assert not conn.in_transaction
    assert stored(users_db) == ROWS


def test_rollback_that_fails_does_not_hide_the_first_error(script, conn):
    @script(TRANSACTION).transactional
    def close_and_fail(conn):
        conn.close()  # from here on a rollback fails
        raise ValueError("the first error")

    with pytest.raises(ValueError, match="the first error") as raised:
        close_and_fail(conn)
    (note,) = raised.value.__notes__
    assert note.endswith(
        "rollback() failed after it: ProgrammingError: Cannot operate on a closed database."
    )


def test_transaction_without_a_connection_is_an_error_that_tells_the_way_out(script, calls):
    message = (
        "@transactional found no connection among the arguments: pass one, or put @with_db_conn"
    )
    with pytest.raises(TypeError, match=re.escape(message)):
        script(TRANSACTION).transactional(calls.append)(1)
    assert calls == []


def test_update_user_email_changes_that_user_only(script, users_db):
    email = "Crawford_Cartwright@hotmail.com"
    script(TRANSACTION).update_user_email(user_id=1, new_email=email)
    script(TRANSACTION).update_user_email(3, email)
    assert stored(users_db) == [(1, "Ada", email, 20), ROWS[1], (3, "Linus", email, 67)]
    assert _open_handles(users_db) == []


# ----------------------------------------------------------------- the retry


@pytest.fixture
def sleeps(monkeypatch) -> list[float]:
    """The pauses that were asked for; none is made."""
    asked: list[float] = []
    monkeypatch.setattr(time, "sleep", asked.append)
    return asked


def failing(script, calls, errors: list, **arguments):
    """A function under @retry_on_failure that raises these errors in turn, then returns."""

    @script(RETRY).retry_on_failure(**arguments)
    def fail():
        calls.append("call")
        if len(calls) <= len(errors):
            raise errors[len(calls) - 1]
        return "done"

    return fail


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError(LOCKED),
        sqlite3.OperationalError("database table is locked: users"),
        ConnectionError("lost"),
        ConnectionResetError("lost"),
        Exception("for a moment"),
        mysql.connector.OperationalError(errno=2013, msg="Lost connection"),
    ],
    ids=repr,
)
def test_transient_error_is_tried_again_and_raised_after_the_last_try(script, sleeps, calls, error):
    with pytest.raises(type(error)) as raised:
        failing(script, calls, [error] * 9, retries=4, delay=5)()
    assert raised.value is error
    assert len(calls) == 4
    assert sleeps == [5, 5, 5]  # between the attempts, none after the last


@pytest.mark.parametrize(
    "error",
    [
        sqlite3.OperationalError("no such table: users"),
        sqlite3.IntegrityError("UNIQUE constraint failed: users.id"),
        sqlite3.ProgrammingError("Cannot operate on a closed database."),
        mysql.connector.ProgrammingError(errno=1045, msg="Access denied"),
        TypeError("a bug"),
        RuntimeError("a subclass of Exception"),
        FileNotFoundError("a lasting OSError"),
        KeyboardInterrupt(),
        BrokenPipeError("of the reader of its output"),
    ],
    ids=repr,
)
def test_error_that_lasts_is_raised_at_once(script, sleeps, calls, error):
    with pytest.raises(type(error)) as raised:
        failing(script, calls, [error] * 9)()
    assert raised.value is error
    assert (len(calls), sleeps) == (1, [])


def test_success_ends_the_attempts(script, sleeps, calls):
    assert failing(script, calls, [Exception(), Exception()])() == "done"
    assert (len(calls), sleeps) == (3, [2, 2])


def test_three_attempts_are_all_unless_told_otherwise(script, sleeps, calls):
    with pytest.raises(ConnectionError):
        failing(script, calls, [ConnectionError()] * 9)()
    assert (len(calls), sleeps) == (3, [2, 2])


def test_errors_of_sqlite_itself_are_told_apart(script, conn, sleeps):
    run = script(RETRY).retry_on_failure()(lambda conn, sql: conn.execute(sql))
    for sql in ("SELECT * FROM nobody", "INSERT INTO users (id) VALUES (1)", "SELEC 1"):
        with pytest.raises(sqlite3.Error):
            run(conn, sql)
    assert sleeps == []


def test_lock_of_another_process_is_waited_for(script, users_db, sleeps, calls, monkeypatch):
    @script(CONNECT).with_db_connection
    @script(RETRY).retry_on_failure(retries=3, delay=7)
    def add(conn):
        calls.append("call")
        conn.execute("PRAGMA busy_timeout = 0")
        conn.execute(ADD)
        conn.commit()

    with locked_by_another_process(users_db) as let_go:
        monkeypatch.setattr(time, "sleep", lambda delay: sleeps.append(delay) or let_go())
        add()
    assert (len(calls), sleeps) == (2, [7])
    assert len(stored(users_db)) == 4


@pytest.mark.parametrize("error", [Exception("for a moment"), TypeError("a bug")], ids=repr)
def test_failed_attempt_leaves_nothing_half_done(script, conn, users_db, sleeps, calls, error):
    @script(RETRY).retry_on_failure(retries=3)
    def add(conn):
        calls.append(len(conn.execute(ALL).fetchall()))  # each attempt starts from the same rows
        conn.execute(ADD)
        raise error

    with pytest.raises(type(error)):
        add(conn)
    assert set(calls) == {3}
    assert not conn.in_transaction
    conn.commit()
    assert stored(users_db) == ROWS


def test_transaction_that_was_open_before_gets_one_attempt_and_is_left_alone(
    script, conn, users_db, sleeps, calls
):
    @script(RETRY).retry_on_failure(retries=3)
    def fail(conn):
        calls.append("call")
        raise sqlite3.OperationalError(LOCKED)

    conn.execute(RENAME)
    with pytest.raises(sqlite3.OperationalError, match=LOCKED):
        fail(conn)
    assert (calls, sleeps) == (["call"], [])
    conn.commit()
    assert stored(users_db, NAMES)[0] == ("Augusta",)


@pytest.mark.parametrize("retries", [0, -1, True, "3", 2.0, print])  # print: no parentheses
def test_bad_retries_are_refused_before_anything_is_decorated(script, retries):
    message = f"retries must be a whole number of at least 1, not {retries!r}"
    with pytest.raises(ValueError, match=re.escape(message)):
        script(RETRY).retry_on_failure(retries=retries)


@pytest.mark.parametrize("delay", [-1, "2", None, float("nan")])
def test_bad_delay_is_refused(script, delay):
    message = f"delay must be a number of seconds from 0 on, not {delay!r}"
    with pytest.raises(ValueError, match=re.escape(message)):
        script(RETRY).retry_on_failure(delay=delay)


def test_fetch_users_with_retry(script, users_db, sleeps):
    assert script(RETRY).fetch_users_with_retry() == ROWS
    assert sleeps == []
    assert _open_handles(users_db) == []


# ----------------------------------------------------------------- the cache


@pytest.fixture
def query_cache(script):
    cache = script(CACHE).query_cache
    cache.clear()
    yield cache
    cache.clear()


@pytest.fixture
def fetch(script, calls, query_cache):
    """A cached function that notes each time it really runs."""

    @script(CACHE).cache_query
    def fetch(conn, query, parameters=()):
        calls.append(query)
        return conn.execute(query, parameters).fetchall()

    return fetch


def test_second_call_is_answered_without_a_query(fetch, conn, calls):
    assert fetch(conn, ALL) == fetch(conn, ALL) == ROWS
    assert calls == [ALL]


def test_parameters_and_their_types_make_different_results(fetch, conn, calls):
    values = [1, 1.0, True, "1", b"1", None, 0.0, -0.0]
    results = [fetch(conn, "SELECT typeof(?1), ?1", (value,)) for value in values]
    assert [repr(value) for ((_, value),) in results] == [
        *("1", "1.0", "1", "'1'", "b'1'", "None", "0.0", "-0.0")
    ]
    assert len(calls) == len(values)
    assert fetch(conn, "SELECT typeof(?1), ?1", (1.0,)) == results[1]
    assert fetch(conn, "SELECT typeof(?1), ?1", parameters=(2,)) == [("integer", 2)]
    assert fetch(conn, "SELECT typeof(:n), :n", {"n": 1}) == results[0]
    assert fetch(conn, "SELECT typeof(:n), :n", {"n": 2}) == [("integer", 2)]


def test_each_caller_has_a_list_of_its_own(fetch, conn, calls):
    for _ in range(3):
        users = fetch(conn, ALL)
        assert users == ROWS
        users.clear()
    assert calls == [ALL]


def test_cache_is_a_bounded_mapping_that_is_asked_by_sql(fetch, conn, calls, query_cache):
    queries = [f"SELECT {number}" for number in range(130)]
    for query in queries:
        fetch(conn, query)
    assert len(query_cache) == 128
    assert [query for query in queries if query not in query_cache] == ["SELECT 0", "SELECT 1"]
    query_cache.clear()
    assert len(query_cache) == 0
    assert "SELECT 129" not in query_cache
    fetch(conn, "SELECT 129")
    assert calls[-2:] == ["SELECT 129", "SELECT 129"]


def by_this_connection(conn, _path):
    conn.execute(RENAME)
    conn.commit()


def by_another_connection(_conn, path):
    change(path, RENAME)


def by_another_process(_conn, path):
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute(sys.argv[2]); c.commit()"
    )
    subprocess.run([sys.executable, "-c", code, path, RENAME], check=True, timeout=60)


@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
@pytest.mark.parametrize("by", [by_this_connection, by_another_connection, by_another_process])
def test_changed_data_are_read_again(fetch, conn, users_db, calls, query_cache, by, journal):
    conn.execute(f"PRAGMA journal_mode = {journal}")
    assert fetch(conn, NAMES)[0] == ("Ada",)
    by(conn, users_db)
    assert fetch(conn, NAMES)[0] == fetch(conn, NAMES)[0] == ("Augusta",)
    assert (len(calls), len(query_cache)) == (2, 1)  # in the place of the stale one


def test_change_while_the_query_runs_is_seen_by_the_next_call(script, conn, users_db, query_cache):
    @script(CACHE).cache_query
    def fetch(conn, query):
        rows = conn.execute(query).fetchall()
        change(users_db, RENAME)
        return rows

    assert fetch(conn, NAMES)[0] == ("Ada",)
    assert fetch(conn, NAMES)[0] == ("Augusta",)


def test_file_that_was_replaced_is_read_again(fetch, users_db, calls):
    for expected in ("Ada", "Augusta"):
        with contextlib.closing(sqlite3.connect(users_db)) as conn:
            assert fetch(conn, NAMES)[0] == (expected,)
        shutil.copy(users_db, users_db.with_name("next.db"))
        change(users_db.with_name("next.db"), RENAME)
        users_db.with_name("next.db").replace(users_db)
    assert len(calls) == 2


def test_nothing_is_kept_or_given_inside_an_open_transaction(fetch, conn, query_cache):
    assert fetch(conn, NAMES)[0] == ("Ada",)
    conn.execute(RENAME)
    assert fetch(conn, NAMES)[0] == ("Augusta",)
    fetch(conn, ALL)
    assert ALL not in query_cache
    conn.rollback()
    assert fetch(conn, NAMES)[0] == ("Ada",)


@pytest.mark.parametrize("write", [ADD, f"{ADD} RETURNING name", f"WITH one AS (SELECT 1) {ADD}"])
def test_writes_run_each_time(fetch, users_db, query_cache, write):
    with contextlib.closing(sqlite3.connect(users_db, isolation_level=None)) as conn:
        fetch(conn, write)
        fetch(conn, write)
    assert len(stored(users_db)) == 5
    assert len(query_cache) == 0


def test_write_that_changed_no_row_runs_again_too(fetch, conn, query_cache):
    conn.isolation_level = None
    fetch(conn, "UPDATE users SET age = 1 WHERE id = 99")
    fetch(conn, "DELETE FROM users WHERE id = 99")
    assert len(query_cache) == 0


def test_database_in_memory_is_not_cached(fetch, query_cache):
    for database, value in ((":memory:", 1), (":memory:", 2), ("", 3)):
        with contextlib.closing(sqlite3.connect(database)) as conn:
            assert fetch(conn, "SELECT ?", (value,)) == [(value,)]
    assert len(query_cache) == 0


@pytest.mark.parametrize(
    "query",
    [
        "SELECT random()",
        "SELECT * FROM users ORDER BY RANDOM ()",
        'SELECT "random"()',
        "SELECT random/* */()",
        "SELECT datetime('now')",
        "SELECT strftime('%s', 'now')",
        "SELECT CURRENT_TIMESTAMP",
        "SELECT last_insert_rowid()",
        "SELECT moment FROM clock",
    ],
)
def test_what_changes_without_the_data_is_asked_each_time(fetch, conn, calls, query):
    conn.execute("CREATE VIEW clock AS SELECT julianday('now') AS moment")
    fetch(conn, query)
    fetch(conn, query)
    assert len(calls) == 2


def test_two_databases_have_a_result_each(fetch, conn, users_db, calls):
    other = shutil.copy(users_db, users_db.with_name("other.db"))
    change(other, RENAME)
    with contextlib.closing(sqlite3.connect(other)) as second:
        for connection, expected in ((conn, "Ada"), (second, "Augusta")) * 2:
            assert fetch(connection, NAMES)[0] == (expected,)
    assert len(calls) == 2


def test_two_functions_with_one_query_have_a_result_each(script, fetch, conn):
    @script(CACHE).cache_query
    def count(conn, query):
        return len(conn.execute(query).fetchall())

    assert (fetch(conn, ALL), count(conn, ALL)) == (ROWS, 3)
    assert (fetch(conn, ALL), count(conn, ALL)) == (ROWS, 3)


def test_form_of_the_rows_belongs_to_the_connection(fetch, conn, users_db):
    assert fetch(conn, NAMES)[0] == ("Ada",)
    conn.row_factory = sqlite3.Row
    assert fetch(conn, NAMES)[0]["name"] == "Ada"
    conn.row_factory, conn.text_factory = None, bytes
    assert fetch(conn, NAMES)[0] == (b"Ada",)


@BY_POSITION_AND_NAME
def test_fetch_users_with_cache(script, users_db, query_cache, args, kwargs):
    fetch_users_with_cache = script(CACHE).fetch_users_with_cache
    assert (
        fetch_users_with_cache(*args, **kwargs) == fetch_users_with_cache(*args, **kwargs) == ROWS
    )
    assert ALL in query_cache
    assert len(query_cache) == 1
    assert len(_open_handles(users_db)) == 1  # the one that watches for changes
    change(users_db, RENAME)
    assert fetch_users_with_cache(*args, **kwargs)[0][1] == "Augusta"
    assert len(_open_handles(users_db)) == 1


def test_number_of_files_that_are_watched_is_bounded(fetch, tmp_path):
    paths = [tmp_path / f"{number}.db" for number in range(seed_data_state.MAX_WATCHERS + 4)]
    for path in paths:
        with contextlib.closing(sqlite3.connect(path)) as conn:
            fetch(conn, "SELECT 1 WHERE 1 = 1")
    assert sum(len(_open_handles(path)) for path in paths) <= seed_data_state.MAX_WATCHERS


# ---------------------------------------------------------- one upon another


@pytest.mark.parametrize(
    "order",
    [
        ("with_db_connection", "transactional", "retry_on_failure"),
        ("with_db_connection", "retry_on_failure", "transactional"),
        ("retry_on_failure", "with_db_connection", "transactional"),
        ("log_queries", "with_db_connection", "transactional", "retry_on_failure"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(("failures", "added"), [(0, 1), (2, 1), (3, 0)])
def test_stacked_write_is_stored_once_or_not_at_all(
    script, users_db, sleeps, calls, order, failures, added
):
    def add(conn, sql):
        conn.execute(sql)
        calls.append("call")
        if len(calls) <= failures:
            raise sqlite3.OperationalError(LOCKED)
        return "added"

    for name in reversed(order):
        decorator = getattr(script(DECORATORS[name]), name)
        add = (decorator(retries=3, delay=1) if name == "retry_on_failure" else decorator)(add)

    if added:
        assert add(ADD) == "added"
    else:
        with pytest.raises(sqlite3.OperationalError, match=LOCKED):
            add(ADD)
    assert len(calls) == min(failures + 1, 3)
    assert len(stored(users_db)) == 3 + added
    assert _open_handles(users_db) == []


def test_commit_that_fails_for_a_moment_is_tried_again_from_the_start(
    script, conn, users_db, calls, monkeypatch
):
    @script(RETRY).retry_on_failure(retries=2)
    @script(TRANSACTION).transactional
    def add(conn):
        calls.append("call")
        conn.execute(ADD)

    with contextlib.closing(sqlite3.connect(users_db)) as reader:
        monkeypatch.setattr(time, "sleep", lambda _delay: unfinished.close())
        unfinished = reader.execute(ALL)
        unfinished.fetchone()
        add(conn)
    assert len(calls) == 2
    assert len(stored(users_db)) == 4


# ------------------------------------------------------- never stale, the hard cases


@pytest.fixture
def cached(script):
    cache = script(CACHE)
    cache.query_cache.clear()

    @cache.cache_query
    def oldest(conn, query="SELECT max(age) FROM users"):
        return conn.execute(query).fetchall()

    yield oldest
    cache.query_cache.clear()


def test_file_copied_over_the_database_is_noticed(cached, users_db, tmp_path):
    other = tmp_path / "other.db"
    shutil.copy(users_db, other)
    for path, age in ((users_db, 70), (other, 80)):  # each commits once: their counters agree
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE users SET age = ? WHERE id = 3", (age,))
            connection.commit()
    with contextlib.closing(sqlite3.connect(users_db)) as connection:
        assert cached(connection) == [(70,)]
    shutil.copy(other, users_db)
    with contextlib.closing(sqlite3.connect(users_db)) as connection:
        assert cached(connection) == [(80,)]


def test_connection_held_to_old_data_by_a_half_read_result_keeps_nothing(cached, users_db):
    with (
        contextlib.closing(sqlite3.connect(users_db)) as reader,
        contextlib.closing(sqlite3.connect(users_db)) as writer,
        contextlib.closing(sqlite3.connect(users_db)) as other,
    ):
        writer.execute("PRAGMA journal_mode = WAL")
        half_read = reader.execute("SELECT * FROM users")
        half_read.fetchone()
        writer.execute("UPDATE users SET age = 99 WHERE id = 3")
        writer.commit()
        assert cached(reader) == [(67,)]  # what this connection can see
        assert cached(other) == [(99,)]
        half_read.close()
        assert cached(reader) == [(99,)]


def test_locked_database_keeps_no_cached_call_waiting_longer_than_its_own_connection(
    cached, users_db
):
    with (
        contextlib.closing(sqlite3.connect(users_db)) as locker,
        contextlib.closing(sqlite3.connect(users_db, timeout=0)) as reader,
    ):
        locker.execute("BEGIN EXCLUSIVE")
        started = time.monotonic()
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            cached(reader)
        assert time.monotonic() - started < 40  # the embedded engine's wait is 50 s


def test_function_that_closes_its_connection_is_let_be(script, users_db):
    @script(CACHE).cache_query
    def fetch(conn, query):
        rows = conn.execute(query).fetchall()
        conn.close()
        return rows

    assert fetch(sqlite3.connect(users_db), "SELECT count(*) FROM users") == [(3,)]


def test_connection_that_commits_by_itself_is_refused_by_transactional(script, users_db):
    write = script(TRANSACTION).transactional(lambda conn: conn.execute("DELETE FROM users"))
    with contextlib.closing(sqlite3.connect(users_db, isolation_level=None)) as connection:
        with pytest.raises(ValueError, match="isolation_level=None"):
            write(connection)
        assert connection.execute("SELECT count(*) FROM users").fetchone() == (3,)
