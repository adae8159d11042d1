"""Exercises 10 to 12: what they commit, return and close; and users.db, which they all read."""

import contextlib
import csv
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import ROOT, USERS, _open_handles, run_at_once, run_python

import seed

ALL = "SELECT * FROM users"
OLDER = "SELECT name FROM users WHERE age > ?"
RENAME = "UPDATE users SET name = 'Augusta' WHERE id = 1"
ROWS = [(number, *user) for number, user in enumerate(USERS, start=1)]
RENAMED = [(1, "Augusta", *ROWS[0][2:]), *ROWS[1:]]
connect = sqlite3.connect  # as it is before a test replaces it


def stored(path: Path) -> list[tuple]:
    """Read without the code under test, on another connection."""
    with contextlib.closing(connect(path)) as other:
        return other.execute(ALL).fetchall()


def change(path: Path, sql: str) -> None:
    with contextlib.closing(connect(path)) as other, other:
        other.execute(sql)


@pytest.fixture
def database(script, users_db):
    return script("0-databaseconnection").DatabaseConnection


def rename_in(manager, error: BaseException | None = None) -> None:
    with manager as conn:
        conn.execute("PRAGMA busy_timeout = 0")
        conn.execute(RENAME)
        if error:
            raise error


def test_writes_of_the_block_are_committed_and_the_connection_closed(database, users_db):
    manager = database("users.db")
    assert _open_handles(users_db) == []
    with manager as conn:
        assert isinstance(conn, sqlite3.Connection)
        conn.execute(RENAME)
        assert conn.execute(ALL).fetchall() == RENAMED
        assert stored(users_db) == ROWS
    assert stored(users_db) == RENAMED
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        conn.execute(ALL)
    assert _open_handles(users_db) == []


def rollback(connection):
    raise sqlite3.OperationalError("rollback: disk I/O error")


def close(connection):
    sqlite3.Connection.close(connection)
    raise sqlite3.OperationalError("close: disk I/O error")


@pytest.mark.parametrize(
    ("error", "broken"),
    [
        (sqlite3.Error("no"), ()),
        (KeyboardInterrupt("no"), ()),
        (ValueError("no"), (rollback,)),
        (ValueError("no"), (close,)),
        (ValueError("no"), (rollback, close)),
    ],
)
def test_error_of_the_block_rolls_back_closes_and_is_raised(
    database, users_db, connect_as, error, broken
):
    connect_as(**{method.__name__: method for method in broken})
    with pytest.raises(type(error)) as caught:
        rename_in(database(), error)
    assert caught.value is error
    for note, method in zip(getattr(error, "__notes__", ()), broken, strict=True):
        assert f"OperationalError: {method.__name__}: disk I/O error" in note
    assert _open_handles(users_db) == []  # though the traceback, held here, refers to it
    assert stored(users_db) == ROWS


def test_commit_that_fails_is_raised_and_the_connection_closed(database, users_db):
    with contextlib.closing(connect(users_db)) as reader:
        reader.execute("BEGIN")
        reader.execute(ALL).fetchone()
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            rename_in(manager := database())
    assert _open_handles(users_db) == []
    assert stored(users_db) == ROWS
    rename_in(manager)  # the same object serves one block after another
    assert stored(users_db) == RENAMED


@pytest.fixture
def execute(script, users_db):
    return script("1-execute").ExecuteQuery


@pytest.mark.parametrize(
    ("query", "params", "found"),
    [
        (OLDER, (25,), ["Grace", "Linus"]),
        (OLDER, 0, ["Ada", "Grace", "Linus"]),
        (OLDER, [67], []),
        ("SELECT name FROM users WHERE age > ? AND id < ?", (25, 3), ["Grace"]),
        ("SELECT name FROM users WHERE age > :age AND id < :id", {"age": 25, "id": 3}, ["Grace"]),
        ("SELECT name FROM users WHERE id = 2", None, ["Grace"]),
        ("SELECT ?", "'); DROP TABLE users; --", ["'); DROP TABLE users; --"]),
        ("SELECT ?", '"O\'Brien" {} %s ?', ['"O\'Brien" {} %s ?']),
    ],
)
def test_query_returns_the_rows_for_its_parameters(execute, users_db, query, params, found):
    with execute(query, params) as rows:
        assert rows == [(name,) for name in found]
    assert stored(users_db) == ROWS


@pytest.mark.parametrize(
    ("query", "params", "error", "text"),
    [
        ("SELECT * FROM nobody", (), sqlite3.OperationalError, "no such table"),
        (OLDER, (), sqlite3.ProgrammingError, "bindings"),
        ("INSERT INTO users (id) VALUES (?)", 1, sqlite3.IntegrityError, "UNIQUE"),
    ],
)
def test_connection_is_closed_when_the_query_fails(execute, users_db, query, params, error, text):
    with pytest.raises(error, match=text) as caught, execute(query, params):
        pytest.fail("the block ran")
    assert _open_handles(users_db) == []  # though the traceback, held here, refers to it
    assert not hasattr(caught.value, "__notes__")


def test_query_runs_again_and_ends_its_transaction_in_each_block(execute, users_db):
    other, error = Path(shutil.copy(users_db, "other.db")), ValueError("the block")
    read, rename = execute(ALL, db_name="other.db"), execute(RENAME, db_name=other)
    with pytest.raises(ValueError, match="the block") as caught, rename:
        raise error
    assert caught.value is error
    assert _open_handles(other) == []
    for expected in (ROWS, RENAMED):
        with read as rows:
            assert rows == expected
        with rename as rows:
            assert rows == []
    assert (stored(users_db), stored(other), _open_handles(other)) == (ROWS, RENAMED, [])


async def test_both_queries_run_at_once_and_40_is_not_older_than_40(script, users_db, connect_as):
    concurrent = script("3-concurrent")
    change(users_db, "INSERT INTO users (name, email, age) VALUES ('Alan', 'a@example.com', 40)")
    rows = [*ROWS, (4, "Alan", "a@example.com", 40)]
    assert await concurrent.async_fetch_users() == rows
    assert await concurrent.async_fetch_older_users() == ROWS[1:]
    both_there, connections = threading.Barrier(2, timeout=5), set()

    def meet(connection, *args):
        connections.add(connection)
        both_there.wait()  # an error, if the other comes only after this one is done
        return sqlite3.Connection.execute(connection, *args)

    connect_as(execute=meet)
    users, older = await concurrent.fetch_concurrently()
    assert (users, older, len(connections)) == (rows, ROWS[1:], 2)
    assert _open_handles(users_db) == []


# -------------------------------------------------------------------- users.db

# Does something at the moment when the CSV file is opened to make users.db.
WHILE_IT_IS_MADE = """
import os, pathlib, sys, seed
def while_it_is_made(act):
    sys.addaudithook(lambda event, args:
        act() if event == "open" and str(args[0]).endswith("user_data.csv") else None)
"""


@pytest.fixture
def run_in_clone(own_clone, tmp_path) -> Callable[..., str]:
    """Run this code, whose seed.py is that of a fresh clone, in a folder beside it."""
    (tmp_path / "beside").mkdir()

    def run_in_clone(code: str) -> str:
        settings = {"PYTHONPATH": str(own_clone)}
        done = run_python("-c", code, cwd=tmp_path / "beside", settings=settings)
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    return run_in_clone


def test_programs_that_make_users_db_at_once_all_get_every_user(own_clone, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, made = set(own_clone.iterdir()), own_clone / "users.db"
    program = tmp_path / "program.py"
    program.write_text(
        "import seed, sqlite3\n"
        "connection = sqlite3.connect(path := seed.users_db())\n"
        "print(path, *connection.execute('SELECT COUNT(*), MAX(id) FROM users').fetchone())\n"
    )
    settings = {"PYTHONPATH": str(own_clone), "PYTHONDONTWRITEBYTECODE": "1"}
    statuses, outputs = run_at_once(6, program, settings)
    assert (statuses, outputs) == ([0] * 6, [(f"{made} 1000 1000\n", "")] * 6)
    with (ROOT / "user_data.csv").open(encoding="utf-8", newline="") as file:
        rows = [(row["name"], row["email"], int(row["age"])) for row in csv.DictReader(file)]
    assert stored(made) == [(n, *row) for n, row in enumerate(rows, start=1)]
    assert set(own_clone.iterdir()) == before | {made}


@pytest.mark.parametrize("content", [b"", b"no database"])
def test_users_db_in_the_working_directory_wins_and_is_never_overwritten(
    own_clone, run_in_clone, tmp_path, content
):
    here, kept = tmp_path / "beside" / "users.db", own_clone / "users.db"
    for path in (here, kept):
        path.write_bytes(content)
    printed = run_in_clone("""
import pathlib, seed
query = seed.import_script("1-execute").ExecuteQuery("PRAGMA database_list")
for _ in range(2):
    with query as [(_, _, path)]:
        print(path, pathlib.Path(path).read_bytes())
    pathlib.Path("users.db").unlink(missing_ok=True)
""")
    assert printed == f"{here} {content}\n{kept} {content}\n"


def test_given_path_is_used_unchanged_and_not_created(users_db):
    for path in ("./users.db", "other.db", Path("folder/users.db"), ":memory:"):
        assert seed.users_db(path) is path
    assert list(users_db.parent.iterdir()) == [users_db]


@pytest.mark.parametrize(
    ("has_links", "somebody_is_faster"), [(True, True), (False, True), (False, False)]
)
def test_users_db_appears_whole_and_never_replaces_another(
    own_clone, run_in_clone, has_links, somebody_is_faster
):
    before, path = set(own_clone.iterdir()), own_clone / "users.db"
    run_in_clone(f"""{WHILE_IT_IS_MADE}
def link(*_):
    raise PermissionError(1, "Operation not permitted")  # as on a file system without links
if not {has_links}:
    os.link = link
if {somebody_is_faster}:
    while_it_is_made(lambda: pathlib.Path({str(path)!r}).write_bytes(b"somebody's"))
seed.users_db()
""")
    if somebody_is_faster:
        assert path.read_bytes() == b"somebody's"
    else:
        assert len(stored(path)) == 1000
    assert set(own_clone.iterdir()) == before | {path}


def test_event_loop_continues_while_users_db_is_made(run_in_clone):
    printed = run_in_clone(f"""{WHILE_IT_IS_MADE}
import asyncio, threading
answers = set()
async def fetch():
    loop = asyncio.get_running_loop()
    def ask_the_loop():
        answered = threading.Event()
        loop.call_soon_threadsafe(answered.set)
        answers.add(answered.wait(5))
    while_it_is_made(ask_the_loop)
    return await seed.import_script("3-concurrent").fetch_concurrently()
users, older = asyncio.run(fetch())
print(answers, len(users), older == [user for user in users if user[3] > 40])
""")
    assert printed == "{True} 1000 True\n"
