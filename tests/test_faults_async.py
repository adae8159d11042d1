"""Exercise 12 on real faults: a query that fails, is cancelled or finds its file missing or locked.

Each is shown twice: in this process, where nothing may be left, and by the program itself, which has
to end by itself with one line.
"""

import asyncio
import contextlib
import functools
import gc
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import aiosqlite
import pytest
from conftest import _open_handles

import seed

SECONDS = 20  # far more than any of this takes; what hangs is found by it
ENDLESS = (
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) AS id{} FROM n"
)
READS_FOR_EVER = ENDLESS.format(", 41 AS age")
# The query for the older users fails, while that for all users would never end.
FAILS_AND_READS_FOR_EVER = ENDLESS.format("")
HOLD_LOCK = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('BEGIN EXCLUSIVE');"
    "print('locked', flush=True); sys.stdin.read()"
)


@pytest.fixture
def concurrent(script, users_db):
    return script("3-concurrent")


@pytest.fixture
def users_are(users_db) -> Callable[[str], None]:
    """Put a view in the place of the table."""

    def users_are(sql: str) -> None:
        with contextlib.closing(sqlite3.connect(users_db)) as connection:
            connection.executescript(f"DROP TABLE users; CREATE VIEW users AS {sql}")

    return users_are


@pytest.fixture
def locked(users_db) -> Iterator[None]:
    """Another process, in a long commit: nobody can read."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, users_db], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"locked\n"
        yield
        other.communicate()


@pytest.fixture
def short_lock_wait(monkeypatch) -> None:
    """SQLite waits 5 s for a lock by itself."""
    monkeypatch.setattr(aiosqlite, "connect", functools.partial(aiosqlite.connect, timeout=0.05))


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
    assert open_handles(path) == 0


def open_handles(path: Path) -> int:
    return len(_open_handles(path)) if path.exists() else 0


async def reading(path: Path, connections: int) -> None:
    """Return when so many connections are open, so that their queries begin or have begun."""
    while open_handles(path) < connections:  # noqa: ASYNC110, SQLite tells nobody
        await asyncio.sleep(0)


# ------------------------------------------------------------ in this process


async def test_query_that_fails_ends_the_other_one_which_would_read_for_ever(
    concurrent, users_db, users_are
):
    users_are(FAILS_AND_READS_FOR_EVER)
    async with nothing_left(users_db):
        with pytest.raises(sqlite3.OperationalError, match="no such column: age"):
            await concurrent.fetch_concurrently()


@pytest.mark.parametrize(
    ("function", "connections"),
    [("async_fetch_users", 1), ("async_fetch_older_users", 1), ("fetch_concurrently", 2)],
)
async def test_cancelling_a_read_for_ever_ends_it(
    concurrent, users_db, users_are, function, connections
):
    users_are(READS_FOR_EVER)
    async with nothing_left(users_db):
        task = asyncio.create_task(getattr(concurrent, function)())
        await reading(users_db, connections)
        task.cancel("enough")
        with pytest.raises(asyncio.CancelledError, match="enough"):
            await task


async def test_cancelling_at_any_turn_of_the_loop_leaves_nothing(concurrent, users_db):
    turns, cancelled = 0, True
    while cancelled:  # until it is done before it is cancelled
        async with nothing_left(users_db):
            task = asyncio.create_task(concurrent.fetch_concurrently())
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            try:
                users, older_users = await task
            except asyncio.CancelledError:
                turns = turns * 5 // 4 + 1
            else:
                cancelled = False
    assert turns > 10
    assert (len(users), len(older_users)) == (3, 2)


@pytest.mark.parametrize("answer", range(1, 5))
async def test_cancelling_right_after_an_answer_of_the_driver_leaves_the_file_unlocked(
    concurrent, users_db, monkeypatch, answer
):
    answers = 0

    def set_result(future, result, set_result=aiosqlite.core.set_result):
        nonlocal answers
        answers += 1
        set_result(future, result)
        if answers == answer:
            task.cancel()

    monkeypatch.setattr(aiosqlite.core, "set_result", set_result)
    gc.disable()  # nothing may depend on it
    try:
        async with nothing_left(users_db):
            task = asyncio.create_task(concurrent.async_fetch_users())
            await asyncio.wait([task])
        with contextlib.closing(sqlite3.connect(users_db, timeout=0)) as writer:
            writer.execute("DELETE FROM users")
            writer.commit()
    finally:
        gc.enable()
    assert answers >= answer


async def test_query_that_begins_only_after_the_cancelling_does_not_run_to_its_end(
    concurrent, users_db, monkeypatch
):
    loop, there, go_on, ends = asyncio.get_running_loop(), asyncio.Event(), threading.Event(), []

    class Late(sqlite3.Connection):
        def execute(self, sql, *values):
            loop.call_soon_threadsafe(there.set)
            assert go_on.wait(SECONDS)
            try:
                return super().execute(sql, *values)
            except sqlite3.OperationalError as error:
                ends.append(str(error))
                raise

    monkeypatch.setattr(aiosqlite, "connect", functools.partial(aiosqlite.connect, factory=Late))
    long = ENDLESS.format("").replace(
        "FROM n)", "FROM n LIMIT 3000000)"
    )  # a second, if not stopped
    async with nothing_left(users_db):
        task = asyncio.create_task(concurrent.fetch(long))
        await there.wait()
        task.cancel()
        for _ in range(50):
            await asyncio.sleep(0)  # a turn of the loop
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert ends == ["interrupted"]


async def test_cancelling_stays_a_cancelling_when_the_file_cannot_be_opened(users_db):
    async def read():
        async with seed.closing_async(aiosqlite.connect(users_db.parent)):
            pytest.fail("the block ran")

    async with nothing_left(users_db):
        task = asyncio.create_task(read())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as raised:
            await task
    (note,) = raised.value.__notes__
    assert "OperationalError: unable to open database file" in note


async def test_time_that_is_up_in_the_middle_of_a_read_is_a_timeout(
    concurrent, users_db, users_are
):
    users_are(READS_FOR_EVER)
    async with nothing_left(users_db):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await concurrent.fetch_concurrently()


async def test_lock_of_another_process_is_an_error_of_sqlite(
    concurrent, users_db, locked, short_lock_wait
):
    async with nothing_left(users_db):
        with pytest.raises(sqlite3.OperationalError, match="database is locked"):
            await concurrent.fetch_concurrently()


async def test_file_that_cannot_be_opened_is_an_error_of_sqlite(concurrent, users_db):
    users_db.unlink()
    users_db.mkdir()
    async with nothing_left(users_db / "none"):
        with pytest.raises(sqlite3.OperationalError, match="unable to open database file"):
            await concurrent.fetch_concurrently()


async def test_missing_file_that_cannot_be_made_is_an_error_that_names_what_is_missing(
    script, home
):
    (home / "user_data.csv").unlink()
    async with nothing_left(home / "users.db"):
        with pytest.raises(FileNotFoundError, match=r"no CSV file user_data\.csv in"):
            await script("3-concurrent").fetch_concurrently()
    # A thread cannot be cancelled: that of the other query ends as the program's loop does.
    await asyncio.get_running_loop().shutdown_default_executor()
    assert list(home.iterdir()) == []


async def test_error_of_the_block_is_seen_and_its_connection_closed(users_db):
    async with nothing_left(users_db):
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE") as raised:
            async with seed.closing_async(aiosqlite.connect(users_db)) as db:
                await db.execute("INSERT INTO users (id) VALUES (1)")
        assert not hasattr(raised.value, "__notes__")


# ------------------------------------------------------------- as a program

LOUD = ("-W", "error")  # "was never awaited" and what is left open are told


@contextlib.contextmanager
def program(path: Path, cwd: Path, *options: str) -> Iterator[subprocess.Popen]:
    with subprocess.Popen(
        [sys.executable, *LOUD, *options, path],
        cwd=cwd,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()  # nothing, if it has ended by itself


def ended(running: subprocess.Popen) -> tuple[int, str, str]:
    stdout, stderr = running.communicate(timeout=SECONDS)
    return running.returncode, stdout, stderr


def test_program_ends_by_itself_when_one_query_fails_and_the_other_never_ends(
    concurrent, users_db, users_are
):
    users_are(FAILS_AND_READS_FOR_EVER)
    with program(concurrent.__file__, users_db.parent) as running:
        assert ended(running) == (1, "", "3-concurrent.py: no such column: age\n")


def test_program_that_is_interrupted_in_the_middle_of_its_reads_ends_without_a_word(
    concurrent, users_db, users_are
):
    users_are(READS_FOR_EVER)
    with program(concurrent.__file__, users_db.parent) as running:
        wait_until_open(users_db, running.pid, connections=2)
        assert interrupted(running) == (130, "", "")


def interrupted(running: subprocess.Popen) -> tuple[int, str, str]:
    """Press Ctrl-C, and again if need be.

    Python itself may miss one, 4 in 1,000 here: a signal that comes just as asyncio goes to wait.
    """
    for _ in range(4):
        running.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            running.wait(SECONDS / 4)
            break
    return ended(running)


def wait_until_open(path: Path, process: int, connections: int) -> None:
    deadline = time.monotonic() + SECONDS
    handles = Path(f"/proc/{process}/fd")
    while sum(is_same(handle, path) for handle in handles.iterdir()) < connections:
        assert time.monotonic() < deadline


def is_same(handle: Path, path: Path) -> bool:
    with contextlib.suppress(OSError):  # closed meanwhile
        return handle.samefile(path)
    return False


def test_program_ends_by_itself_when_the_file_stays_locked(concurrent, users_db, locked, tmp_path):
    impatient = tmp_path / "impatient.py"
    impatient.write_text(
        "import aiosqlite, functools, runpy, sys\n"
        "aiosqlite.connect = functools.partial(aiosqlite.connect, timeout=0.05)\n"
        f"sys.path.insert(0, {str(Path(concurrent.__file__).parent)!r})\n"
        f"runpy.run_path({concurrent.__file__!r}, run_name='__main__')\n"
    )
    with program(impatient, users_db.parent) as running:
        assert ended(running) == (1, "", "3-concurrent.py: database is locked\n")


def test_program_ends_by_itself_when_there_is_no_file_and_none_can_be_made(clone, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(clone, copy, ignore=shutil.ignore_patterns("user_data.csv", "users.db"))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (path,) = copy.glob("*/3-concurrent.py")
    with program(path, elsewhere) as running:
        status, stdout, stderr = ended(running)
    assert (status, stdout) == (1, "")
    (line,) = stderr.splitlines()
    assert line.startswith("3-concurrent.py: no CSV file user_data.csv in ")
