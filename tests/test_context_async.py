"""Exercises 10 to 12: what they commit, give and close; and users.db, which they all read."""

import asyncio
import contextlib
import csv
import functools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, USERS, _open_handles, run_python

import seed
import seed_users_db

ALL = "SELECT * FROM users"
OLDER = "SELECT name FROM users WHERE age > ?"
RENAME = "UPDATE users SET name = 'Augusta' WHERE id = 1"
ROWS = [(number, *user) for number, user in enumerate(USERS, start=1)]
RENAMED = [(1, "Augusta", *ROWS[0][2:]), *ROWS[1:]]
connect = sqlite3.connect  # as it is before a test replaces it
QUERIES = ("async_fetch_users", "async_fetch_older_users")


def stored(path: Path) -> list[tuple]:
    """Read past the code under test, on another connection."""
    with contextlib.closing(connect(path)) as other:
        return other.execute(ALL).fetchall()


def change(path: Path, sql: str) -> None:
    with contextlib.closing(connect(path)) as other:
        other.execute(sql)
        other.commit()


def rename_in(manager, error: BaseException | None = None) -> None:
    with manager as conn:
        conn.execute("PRAGMA busy_timeout = 0")
        conn.execute(RENAME)
        if error:
            raise error


@pytest.fixture
def connect_as(monkeypatch) -> Callable[..., None]:
    """Let every new connection be a real one with these methods in place of its own."""

    def connect_as(**methods):
        factory = type("Connection", (sqlite3.Connection,), methods)
        monkeypatch.setattr(sqlite3, "connect", functools.partial(connect, factory=factory))

    return connect_as


# --------------------------------------------------------- DatabaseConnection


@pytest.fixture
def database(script, users_db):
    return script("0-databaseconnection").DatabaseConnection


def test_connection_is_open_in_the_block_and_closed_after_it(database, users_db):
    manager = database("users.db")
    assert _open_handles(users_db) == []
    with manager as conn:
        assert isinstance(conn, sqlite3.Connection)
        assert conn.execute(ALL).fetchall() == ROWS
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        conn.execute(ALL)
    assert _open_handles(users_db) == []


def test_what_the_block_wrote_is_committed_at_its_end(database, users_db):
    with database() as conn:
        conn.execute(RENAME)
        assert stored(users_db) == ROWS
    assert stored(users_db) == RENAMED


@pytest.mark.parametrize("error", [ValueError("no"), sqlite3.Error("no"), KeyboardInterrupt("no")])
def test_block_that_raises_is_rolled_back_and_closed_and_its_error_seen(database, users_db, error):
    with pytest.raises(type(error)) as caught:
        rename_in(database(), error)
    assert caught.value is error
    assert not hasattr(error, "__notes__")
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        caught.traceback[-1].locals["conn"].execute(ALL)
    assert _open_handles(users_db) == []
    assert stored(users_db) == ROWS


@pytest.mark.parametrize("broken", [("rollback",), ("close",), ("rollback", "close")])
def test_clean_up_that_fails_is_a_note_on_the_error_of_the_block(
    database, users_db, connect_as, broken
):
    def rollback(connection):
        raise sqlite3.OperationalError("rollback: disk I/O error")

    def close(connection):
        sqlite3.Connection.close(connection)
        raise sqlite3.OperationalError("close: disk I/O error")

    methods = {"rollback": rollback, "close": close}
    connect_as(**{name: methods[name] for name in broken})
    with pytest.raises(ValueError, match="the block") as caught:
        rename_in(database(), ValueError("the block"))
    for note, name in zip(caught.value.__notes__, broken, strict=True):
        assert f"OperationalError: {name}: disk I/O error" in note
    assert _open_handles(users_db) == []
    assert stored(users_db) == ROWS


def test_commit_that_fails_is_raised_and_the_connection_closed(database, users_db):
    with contextlib.closing(sqlite3.connect(users_db)) as reader:
        reader.execute("BEGIN")
        reader.execute(ALL).fetchone()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rename_in(manager := database())
    assert _open_handles(users_db) == []
    assert stored(users_db) == ROWS
    rename_in(manager)  # the same object serves one block after another
    assert stored(users_db) == RENAMED


# --------------------------------------------------------------- ExecuteQuery


@pytest.fixture
def execute(script, users_db):
    return script("1-execute").ExecuteQuery


@pytest.mark.parametrize(
    ("query", "params", "found"),
    [
        (OLDER, (25,), ["Grace", "Linus"]),
        (OLDER, 25, ["Grace", "Linus"]),
        (OLDER, [41], ["Linus"]),
        (OLDER, 0, ["Ada", "Grace", "Linus"]),
        (OLDER, 67, []),
        ("SELECT name FROM users WHERE age > ? AND id < ?", (25, 3), ["Grace"]),
        ("SELECT name FROM users WHERE age > :age AND id < :id", {"age": 25, "id": 3}, ["Grace"]),
        ("SELECT name FROM users WHERE name = ?", "Ada", ["Ada"]),
        ("SELECT name FROM users WHERE id = 2", None, ["Grace"]),
        ("SELECT name FROM users WHERE id = 2", (), ["Grace"]),
    ],
)
def test_query_gives_the_rows_of_its_parameters(execute, query, params, found):
    with execute(query, params) as rows:
        assert rows == [(name,) for name in found]


@pytest.mark.parametrize("text", ["'); DROP TABLE users; --", '"O\'Brien" {} %s ?'])
@pytest.mark.parametrize("kind", [str, lambda text: (text,), lambda text: [text]])
def test_parameter_that_looks_like_sql_is_stored_and_found_as_text(execute, users_db, text, kind):
    params = kind(text)
    with execute("INSERT INTO users (name, age) VALUES (?, 30)", params) as rows:
        assert rows == []
    with execute("SELECT id, name FROM users WHERE name = ?", params) as rows:
        assert rows == [(4, text)]
    assert stored(users_db)[:3] == ROWS


@pytest.mark.parametrize(
    ("query", "params", "error", "text"),
    [
        ("SELEC * FROM users", (), sqlite3.OperationalError, "syntax error"),
        ("SELECT * FROM nobody", (), sqlite3.OperationalError, "no such table: nobody"),
        (OLDER, (), sqlite3.ProgrammingError, "bindings"),
        ("INSERT INTO users (id) VALUES (?)", 1, sqlite3.IntegrityError, "UNIQUE"),
    ],
)
def test_connection_is_closed_when_the_query_fails(execute, users_db, query, params, error, text):
    with pytest.raises(error, match=text) as caught, execute(query, params):
        pytest.fail("the block ran")
    assert (
        _open_handles(users_db) == []
    )  # though the traceback, held here, refers to the connection
    assert not hasattr(caught.value, "__notes__")


def test_what_a_query_wrote_is_rolled_back_when_the_block_raises_else_committed(execute, users_db):
    query, error = execute(RENAME), ValueError("the block")
    with pytest.raises(ValueError, match="the block") as caught, query:
        raise error
    assert caught.value is error
    assert _open_handles(users_db) == []
    assert stored(users_db) == ROWS
    with query:
        pass
    assert stored(users_db) == RENAMED


def test_same_query_runs_anew_in_each_block_and_closes_after_it(execute, users_db):
    shutil.copy(users_db, "other.db")
    query = execute(ALL, db_name="other.db")
    with query as rows:
        assert rows == ROWS
    change("other.db", RENAME)
    with query as rows:
        assert rows == RENAMED
    assert _open_handles(Path("other.db")) == []


# --------------------------------------------------------- the async functions


@pytest.fixture
def concurrent(script, users_db):
    return script("3-concurrent")


@pytest.fixture
def assert_nothing_left(users_db):
    """Check that no task, no thread (but the loop's own, idle) and no open file is left."""
    before = threading.enumerate()

    def assert_nothing_left():
        assert asyncio.all_tasks() == {asyncio.current_task()}
        new = [thread for thread in threading.enumerate() if thread not in before]
        workers = [thread for thread in new if not thread.name.startswith("asyncio_")]
        for thread in workers:
            thread.join(5)  # it has done its work, and may be in its last instructions
        assert not any(thread.is_alive() for thread in workers)
        assert _open_handles(users_db) == []

    return assert_nothing_left


async def test_users_come_as_lists_of_tuples_and_40_is_not_older_than_40(concurrent, users_db):
    change(users_db, "INSERT INTO users (name, email, age) VALUES ('Alan', 'a@example.com', 40)")
    rows = [*ROWS, (4, "Alan", "a@example.com", 40)]
    assert await concurrent.async_fetch_users() == rows
    assert await concurrent.async_fetch_older_users() == ROWS[1:]
    users, older = await concurrent.fetch_concurrently()
    assert (users, older) == (rows, ROWS[1:])


async def test_both_queries_are_under_way_at_once_on_connections_of_their_own(
    concurrent, connect_as, assert_nothing_left
):
    both_there, connections = threading.Barrier(2, timeout=5), set()

    def meet(connection, *args):
        connections.add(connection)
        both_there.wait()  # an error, if the other comes only after this one is done
        return sqlite3.Connection.execute(connection, *args)

    connect_as(execute=meet)
    assert list(await concurrent.fetch_concurrently()) == [ROWS, ROWS[1:]]
    assert len(connections) == 2
    assert_nothing_left()


@pytest.fixture
def waiting(concurrent, monkeypatch) -> dict[str, asyncio.Event]:
    """Let both queries wait for ever; each sets its event in time, and is gone once cancelled."""
    started = {name: asyncio.Event() for name in QUERIES}

    async def wait(name):
        started[name].set()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # a clean-up that takes a turn of the loop
            del started[name]

    for name in QUERIES:
        monkeypatch.setattr(concurrent, name, functools.partial(wait, name))
    return started


@pytest.mark.parametrize("name", QUERIES)
async def test_error_of_one_query_is_raised_once_the_other_has_ended(
    concurrent, waiting, monkeypatch, assert_nothing_left, name
):
    (other,) = set(QUERIES) - {name}
    error = sqlite3.OperationalError("disk I/O error")

    async def fail():
        await waiting[other].wait()
        raise error

    monkeypatch.setattr(concurrent, name, fail)
    async with asyncio.timeout(5):
        with pytest.raises(sqlite3.OperationalError) as caught:
            await concurrent.fetch_concurrently()
    assert caught.value is error
    assert other not in waiting
    assert_nothing_left()


async def test_cancelling_ends_both_queries(concurrent, waiting, assert_nothing_left):
    task = asyncio.create_task(concurrent.fetch_concurrently())
    async with asyncio.timeout(5):
        await asyncio.gather(*(event.wait() for event in waiting.values()))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert waiting == {}
    assert_nothing_left()


async def test_error_of_one_query_comes_when_the_connection_of_the_other_is_closed(
    concurrent, users_db, connect_as, assert_nothing_left
):
    change(users_db, "ALTER TABLE users RENAME COLUMN age TO years")  # so only one query fails
    failed = threading.Event()

    def execute(connection, sql, params=()):
        if not params:
            assert failed.wait(5)  # still under way when the other fails
        try:
            return sqlite3.Connection.execute(connection, sql, params)
        finally:
            failed.set()

    connect_as(execute=execute)
    with pytest.raises(sqlite3.OperationalError, match="no such column: age"):
        await concurrent.fetch_concurrently()
    assert_nothing_left()


@pytest.mark.parametrize("method", ["__init__", "execute"], ids=["opening", "executing"])
async def test_cancelling_waits_for_connections_that_are_still_at_work(
    concurrent, connect_as, assert_nothing_left, method
):
    loop, there, go_on = asyncio.get_running_loop(), asyncio.Semaphore(0), threading.Event()

    def wait(connection, *args, **kwargs):
        loop.call_soon_threadsafe(there.release)
        assert go_on.wait(5)
        return getattr(sqlite3.Connection, method)(connection, *args, **kwargs)

    connect_as(**{method: wait})
    task = asyncio.create_task(concurrent.fetch_concurrently())
    async with asyncio.timeout(5):
        await there.acquire()
        await there.acquire()
        task.cancel()
        for _ in range(50):
            await asyncio.sleep(0)  # a turn of the loop
        over_too_soon = task.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not over_too_soon, "it ended while its threads were at work"
    assert_nothing_left()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("ALTER TABLE users RENAME COLUMN age TO years", "no such column: age"),
        ("DROP TABLE users", "no such table: users"),
    ],
    ids=["one fails", "both fail"],
)
def test_program_ends_by_itself_and_says_what_failed(concurrent, users_db, damage, message):
    change(users_db, damage)
    done = run_python(concurrent.__file__, cwd=users_db.parent)
    assert done.stderr == f"3-concurrent.py: {message}\n"
    assert (done.returncode, done.stdout) == (1, "")


def test_door_hands_out_the_same_objects(script, concurrent):
    for name in (*QUERIES, "fetch_concurrently"):
        assert getattr(script("8-async_fetch"), name) is getattr(concurrent, name)


# -------------------------------------------------------------------- users.db


@pytest.fixture
def while_it_is_made(monkeypatch) -> Callable[[Callable], None]:
    """Have something done at the moment when the CSV file is opened to make users.db."""

    def while_it_is_made(act):
        open_csv = seed_users_db.open_csv
        monkeypatch.setattr(seed_users_db, "open_csv", lambda path: [act(), open_csv(path)][1])

    return while_it_is_made


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_users_db_is_made_beside_seed_py_from_the_csv_file_in_its_order(home):
    with (ROOT / "user_data.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["name"], row["email"], int(row["age"])) for row in csv.DictReader(file)]
    assert seed.users_db() == home / "users.db"
    assert stored(home / "users.db") == [(n, *row) for n, row in enumerate(rows, start=1)]
    assert names(home) == ["user_data.csv", "users.db"]


def test_users_db_is_looked_for_at_each_call_in_the_working_directory_first(
    script, home, users_db, monkeypatch
):
    query = script("1-execute").ExecuteQuery(ALL)
    with query as rows:
        assert rows == ROWS
    assert names(home) == ["user_data.csv"]
    change(shutil.copy(users_db, home), RENAME)
    with query as rows:
        assert rows == ROWS
    users_db.unlink()
    with query as rows:
        assert rows == RENAMED


def test_path_that_is_given_is_taken_as_it_is_and_not_made(home):
    for path in ("./users.db", "other.db", Path("folder/users.db"), home / "users.db", ":memory:"):
        assert seed.users_db(path) is path
    assert names(home) == ["user_data.csv"]


@pytest.mark.parametrize("content", [b"", b"no database"])
@pytest.mark.parametrize("place", [".", "home"])
def test_users_db_that_somebody_made_is_never_overwritten(home, tmp_path, place, content):
    path = tmp_path / place / "users.db"
    path.write_bytes(content)
    assert Path(seed.users_db()).samefile(path)
    assert path.read_bytes() == content


def test_users_db_that_somebody_makes_meanwhile_is_kept(home, while_it_is_made):
    while_it_is_made(lambda: (home / "users.db").write_bytes(b""))
    assert seed.users_db().read_bytes() == b""
    assert names(home) == ["user_data.csv", "users.db"]


@pytest.mark.parametrize("somebody_was_faster", [False, True])
def test_file_system_without_links_gets_users_db_too(home, monkeypatch, somebody_was_faster):
    def link(source, target):
        if somebody_was_faster:
            Path(target).write_bytes(b"somebody's")
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    content = seed.users_db().read_bytes()
    assert content == b"somebody's" if somebody_was_faster else content.startswith(b"SQLite format")
    assert names(home) == ["user_data.csv", "users.db"]


def test_failure_halfway_leaves_nothing_behind_and_the_next_call_makes_it(home, monkeypatch):
    @contextlib.contextmanager
    def broken(path, open_csv=seed_users_db.open_csv):
        def records():
            yield next(file.records)
            raise OSError("the disk was pulled out")

        with open_csv(path) as file:
            yield file._replace(records=records())

    with monkeypatch.context() as patch:
        patch.setattr(seed_users_db, "open_csv", broken)
        with pytest.raises(OSError, match="pulled out"):
            seed.users_db()
    assert names(home) == ["user_data.csv"]
    assert len(stored(seed.users_db())) == 1000


async def test_event_loop_goes_on_while_users_db_is_made(script, home, while_it_is_made):
    loop, answers = asyncio.get_running_loop(), []

    def ask_the_loop():
        answered = threading.Event()
        loop.call_soon_threadsafe(answered.set)
        answers.append(answered.wait(5))

    while_it_is_made(ask_the_loop)
    users, older = await script("3-concurrent").fetch_concurrently()
    assert set(answers) == {True}
    assert len(users) == 1000
    assert older == [user for user in users if user[3] > 40]


def test_programs_that_make_users_db_at_once_all_get_the_whole_of_it(clone, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    for file in (*clone.glob("*.py"), clone / "user_data.csv"):
        shutil.copy(file, home)
    before = names(home)
    code = (
        "import seed, sqlite3; print('ready', flush=True); input();"
        "connection = sqlite3.connect(seed.users_db());"
        "print(connection.execute('SELECT COUNT(*), MAX(id) FROM users').fetchone())"
    )
    settings = os.environ | {"PYTHONPATH": str(home), "PYTHONDONTWRITEBYTECODE": "1"}
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with contextlib.ExitStack() as stack:
        programs = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", code], cwd=tmp_path, env=settings, text=True, **pipes
                )
            )
            for _ in range(6)
        ]
        assert [program.stdout.readline() for program in programs] == ["ready\n"] * 6
        for program in programs:
            print(file=program.stdin, flush=True)
        printed = [program.communicate(timeout=30) for program in programs]
    assert printed == [("(1000, 1000)\n", "")] * 6
    assert names(home) == sorted([*before, "users.db"])


async def test_cancelled_query_is_interrupted_and_does_not_run_to_its_end(script, users_db):
    # This query would never end; without an interrupt the test runs into pytest's patience.
    endless = (
        "WITH RECURSIVE n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n"
    )
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await script("3-concurrent").fetch(endless)
