"""Exercise 12 on real faults: nothing is left running, and the program ends by itself, with one line."""

import asyncio
import contextlib
import gc
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import aiosqlite
import pytest
from conftest import ROOT, _open_handles, run_python, wait_until

import seed

SCRIPT = "python-context-async-perations-0x02/3-concurrent.py"
LOUD = ("-W", "error")  # reports coroutines never awaited and files left open
SECONDS = 20  # far more than any of this takes; ends a test that hangs
# READS_FOR_EVER takes minutes, so that a test of broken code ends too.
NUMBERS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 500000000)"
READ = NUMBERS + " SELECT {} FROM n"
READS_FOR_EVER = READ.format("max(i) AS id, 41 AS age")
A_WHILE = READ.replace("500000000", "200000")
OLDER_FAILS = A_WHILE.format("max(i) AS id")  # while the query for all users still reads
# The first row fails, but only if it is given; for the older users there is never a row to give.
ALL_FAILS = A_WHILE.format("CASE i WHEN 1 THEN abs(-9223372036854775808) END AS id, i % 40 AS age")


@pytest.fixture
def concurrent(script, users_db):
    return script("3-concurrent")


def put_view(path: Path, sql: str) -> None:
    """Put a view in the place of the table."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(f"DROP TABLE users; CREATE VIEW users AS {sql}")


@contextlib.asynccontextmanager
async def nothing_left(path: Path):
    """Check that the block leaves no task, no thread (but the loop's own, idle) and no open file."""
    before = set(threading.enumerate())
    async with asyncio.timeout(SECONDS):
        yield
    assert asyncio.all_tasks() == {asyncio.current_task()}
    for thread in set(threading.enumerate()) - before:
        if not thread.name.startswith("asyncio_"):
            thread.join(SECONDS)  # it may be in its last instructions
            assert not thread.is_alive()
    assert _open_handles(path) == []


# ------------------------------------------------------------ in this process


@pytest.mark.parametrize(
    ("users", "message"),
    [
        (OLDER_FAILS, "no such column: age"),
        (ALL_FAILS, "integer overflow"),
        ("SELECT * FROM nobody", "no such table: main.nobody"),
    ],
    ids=["older users", "all users", "both"],
)
async def test_query_that_fails_is_one_line_and_leaves_nothing_running(
    concurrent, users_db, users, message
):
    put_view(users_db, users)
    async with nothing_left(users_db):
        with pytest.raises(sqlite3.OperationalError, match=message):
            await concurrent.fetch_concurrently()
    done = run_python(*LOUD, ROOT / SCRIPT, cwd=users_db.parent)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"3-concurrent.py: {message}\n")


async def test_cancelling_or_a_timeout_ends_endless_reads(concurrent, users_db):
    put_view(users_db, READS_FOR_EVER)
    async with nothing_left(users_db):
        task = asyncio.create_task(concurrent.fetch_concurrently())
        while len(_open_handles(users_db)) < 2:  # noqa: ASYNC110, SQLite has no event for it
            await asyncio.sleep(0)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task
    async with nothing_left(users_db):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await concurrent.fetch_concurrently()


@pytest.mark.parametrize("is_late", [False, True], ids=["just before", "right after"])
async def test_cancelling_at_any_turn_of_the_loop_leaves_nothing_running(
    concurrent, users_db, monkeypatch, is_late
):
    loop = asyncio.get_running_loop()
    call_soon = loop.call_soon_threadsafe  # the way on which threads give their answers
    answers = number = 0  # the loop turns for them only: it is cancelled at each, one after another

    def call_and_cancel(give, *args, **kwargs):
        def answer(*args):
            nonlocal answers
            answers += 1
            if answers == number and not is_late:
                task.cancel()
            give(*args)
            if answers == number and is_late:
                task.cancel()

        return call_soon(answer, *args, **kwargs)

    monkeypatch.setattr(loop, "call_soon_threadsafe", call_and_cancel)
    gc.disable()  # nothing may depend on it
    try:
        while answers >= number:  # until it is done before it is cancelled
            answers, number = 0, number + 1
            async with nothing_left(users_db):
                task = asyncio.create_task(concurrent.fetch_concurrently())
                await asyncio.wait([task])
            with contextlib.closing(sqlite3.connect(users_db, timeout=0)) as writer, writer:
                writer.execute("UPDATE users SET age = age + 1")  # the file is not locked
    finally:
        gc.enable()
    assert number > 8
    assert list(map(len, task.result())) == [3, 2]


@pytest.mark.parametrize("method", ["__init__", "execute"], ids=["opening", "executing"])
async def test_cancelling_stops_a_query_that_has_not_begun(
    concurrent, users_db, connect_as, method
):
    put_view(users_db, READS_FOR_EVER)
    loop, there, go_on = asyncio.get_running_loop(), asyncio.Semaphore(0), threading.Event()

    def wait(connection, *args, **kwargs):
        loop.call_soon_threadsafe(there.release)
        assert go_on.wait(SECONDS)
        return getattr(sqlite3.Connection, method)(connection, *args, **kwargs)

    connect_as(**{method: wait})
    async with nothing_left(users_db):
        task = asyncio.create_task(concurrent.fetch_concurrently())
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


async def test_cancelling_is_raised_even_if_the_file_cannot_be_opened(users_db):
    async def read():
        async with seed.closing_async(aiosqlite.connect(users_db.parent)):
            pytest.fail("the block ran")

    async with nothing_left(users_db):
        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def test_file_that_is_locked_or_cannot_be_opened_raises_sqlites_error(
    concurrent, users_db, connect_as
):
    connect_as(timeout=0.05)
    async with nothing_left(users_db):
        with contextlib.closing(sqlite3.connect(users_db)) as other:
            other.execute("BEGIN EXCLUSIVE")
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                await concurrent.fetch_concurrently()
    users_db.unlink()
    users_db.mkdir()
    async with nothing_left(users_db):
        with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
            await concurrent.async_fetch_users()


# ------------------------------------------------------------- as a program


def test_program_ends_if_users_db_cannot_be_made(own_clone, tmp_path):
    (own_clone / "user_data.csv").unlink()
    before = sorted(own_clone.iterdir())
    done = run_python(*LOUD, own_clone / SCRIPT, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"3-concurrent\.py: no CSV file user_data\.csv in .+\n", done.stderr)
    assert sorted(own_clone.iterdir()) == before


def test_ctrl_c_during_the_reads_ends_the_program_silently(users_db):
    put_view(users_db, READS_FOR_EVER)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    command = [sys.executable, *LOUD, "-B", ROOT / SCRIPT]
    with subprocess.Popen(command, cwd=users_db.parent, **pipes) as running:
        try:
            wait_until(lambda: len(_open_handles(users_db, running.pid)) == 2)
            for _ in range(4):  # Python may miss one that comes just as asyncio goes to wait
                running.send_signal(signal.SIGINT)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    running.wait(SECONDS / 4)
                    break
            assert running.communicate(timeout=SECONDS) == (b"", b"")
            assert running.returncode == 130
        finally:
            running.kill()  # nothing, if it has ended by itself
