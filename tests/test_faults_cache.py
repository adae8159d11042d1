"""The query cache among threads and other processes: one query for all, never a stale row, bounded."""

import contextlib
import itertools
import os
import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest
from conftest import ROOT, run_python

import seed_cache

THREADS = 8
# Each change raises all ages by one, in one transaction: a result with two ages is half of it.
WRITER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60)
connection.execute("PRAGMA synchronous = OFF")
print(flush=True)
while True:
    connection.execute("UPDATE users SET age = age + 1")
    connection.commit()
    time.sleep(0.001)  # else nobody gets a turn to read
"""


@pytest.fixture
def cache(script, monkeypatch):
    """The module of exercise 9, with nothing kept."""
    module = script("4-cache_query")
    module.query_cache.clear()
    yield module
    module.query_cache.clear()


@pytest.fixture
def connect(users_db):
    """Open connections to users.db that any thread may use, and that are closed in the end."""
    with contextlib.ExitStack() as stack:

        def connect(path=users_db) -> sqlite3.Connection:
            connection = sqlite3.connect(path, timeout=60, check_same_thread=False)
            return stack.enter_context(contextlib.closing(connection))

        yield connect


def at_once(function, count: int = THREADS) -> list:
    """Call `function` in so many threads, which begin together; return what they returned."""
    together, results = threading.Barrier(count, timeout=30), []

    def run():
        together.wait()
        try:
            results.append(function())
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    return results


# ------------------------------------------------------- many miss at once


def test_threads_that_miss_at_once_run_the_query_once(cache, connect):
    all_are_there, calls = threading.Barrier(2, timeout=30), []

    @cache.cache_query
    def fetch(conn, query):
        calls.append(query)
        all_are_there.wait()  # so that the others come while this one reads
        return conn.execute(query).fetchall()

    waiting = threading.Thread(target=lambda: wait_for_waiters(THREADS - 1, all_are_there))
    waiting.start()
    results = at_once(lambda: fetch(connect(), query="SELECT name FROM users"))
    waiting.join()
    assert len(calls) == 1
    assert results == [[("Ada",), ("Grace",), ("Linus",)]] * THREADS
    assert len({id(result) for result in results}) == THREADS  # a list of one's own each


def wait_for_waiters(count: int, barrier: threading.Barrier) -> None:
    """Pass the barrier when so many threads wait for the end of a read of another one."""
    pause = threading.Event()
    for _ in range(3_000):
        frames = sys._current_frames().values()
        if sum(_waits_in_look_up(frame) for frame in frames) == count:
            break
        pause.wait(0.01)
    barrier.wait()


def _waits_in_look_up(frame) -> bool:
    while frame is not None:
        if frame.f_code is seed_cache.LookUp.__enter__.__code__:
            return True
        frame = frame.f_back
    return False


def test_read_that_fails_fails_its_own_caller_only_and_leaves_nobody_waiting(cache, connect):
    calls = itertools.count(1)

    @cache.cache_query
    def fetch(conn, query):
        if next(calls) == 1:
            raise sqlite3.OperationalError("once")
        return conn.execute(query).fetchall()

    results = at_once(lambda: fetch(connect(), query="SELECT name FROM users"))
    failed = [result for result in results if isinstance(result, Exception)]
    assert [str(error) for error in failed] == ["once"]
    assert results.count([("Ada",), ("Grace",), ("Linus",)]) == THREADS - 1


def test_reads_that_ask_for_each_other_never_wait_for_each_other(cache, connect):
    both_read, nested = threading.Barrier(2, timeout=30), threading.local()
    other = {"SELECT 1": "SELECT 2", "SELECT 2": "SELECT 1"}

    @cache.cache_query
    def fetch(conn, query):
        if not hasattr(nested, "here"):
            nested.here = True
            both_read.wait()
            fetch(conn, query=other[query])
        return conn.execute(query).fetchall()

    queries = iter(other)
    results = at_once(lambda: fetch(connect(), query=next(queries)), 2)
    assert sorted(results) == [[(1,)], [(2,)]]


def test_function_that_asks_for_itself_again_does_not_wait_for_itself(cache, connect):
    depth = iter(range(3))

    @cache.cache_query
    def fetch(conn, query):
        if next(depth, None) is not None:
            return fetch(conn, query=query)
        return conn.execute(query).fetchall()

    assert at_once(lambda: fetch(connect(), query="SELECT 1"), 1) == [[(1,)]]


# ------------------------------------------------------------- never stale


@pytest.fixture(params=["DELETE", "WAL"])
def journal(request, connect) -> str:
    connection = connect()
    connection.execute(f"PRAGMA journal_mode = {request.param}")
    connection.execute("UPDATE users SET age = id")
    connection.commit()
    connection.close()
    return request.param


@pytest.mark.parametrize(
    "reads",
    [
        pytest.param(10_000, id="10,000 reads"),
        pytest.param(100_000, id="100,000 reads", marks=pytest.mark.nightly),
    ],
)
@pytest.mark.usefixtures("journal")
def test_no_read_is_stale_while_another_process_writes(cache, connect, users_db, reads):
    calls = []

    @cache.cache_query
    def fetch(conn, query):
        calls.append(query)
        return conn.execute(query).fetchall()

    with subprocess.Popen(
        [sys.executable, "-c", WRITER, users_db], stdout=subprocess.PIPE
    ) as writer:
        try:
            writer.stdout.readline()  # it writes
            cached, plain = connect(), connect()
            for _ in range(reads):
                ((committed,),) = plain.execute("SELECT age - id FROM users WHERE id = 1")
                changes = {
                    number for (number,) in fetch(cached, query="SELECT age - id FROM users")
                }
                assert len(changes) == 1, "half of a change"
                assert changes.pop() >= committed, "older than what was committed before the call"
        finally:
            writer.kill()
    assert 50 < len(calls) < reads  # so there were changes, and results from the cache


# ------------------------------------------------------------ another file


@pytest.mark.parametrize("how", ["replaced", "moved aside"])
def test_connection_to_a_file_that_is_no_longer_there_keeps_nothing_for_others(
    cache, connect, users_db, tmp_path, how
):
    @cache.cache_query
    def fetch(conn, query):
        return conn.execute(query).fetchall()

    names = "SELECT name FROM users"
    old = connect()
    assert len(fetch(old, query=names)) == 3
    other = tmp_path / "other.db"
    shutil.copy(users_db, other)
    with contextlib.closing(sqlite3.connect(other)) as changed:
        changed.execute("DELETE FROM users WHERE id > 1")
        changed.commit()
    if how == "moved aside":
        users_db.rename(tmp_path / "aside.db")
    os.replace(other, users_db)
    connect()  # another one, to the file that is there now
    fetch(old, query=names)  # still reads the file that it opened
    assert fetch(connect(), query=names) == [("Ada",)]
    assert fetch(old, query=names) in ([("Ada",)], [("Ada",), ("Grace",), ("Linus",)])
    assert fetch(connect(), query=names) == [("Ada",)]


# ------------------------------------------------------ bounded, and shared


PEAK_MEMORY = """
import resource, sqlite3, sys
import seed
conn = sqlite3.connect(sys.argv[1])
cache = seed.import_script("4-cache_query")

@cache.cache_query
def fetch(conn, query, params):
    return conn.execute(query, params).fetchall()

for number in range(int(sys.argv[2])):
    assert fetch(conn, "SELECT ? || name FROM users", (f"{number:1000}",))[0][0].endswith("Ada")
print(len(cache.query_cache), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_distinct_queries(users_db, tmp_path):
    """Were they all kept, the 100,000 would take 300 MB."""
    program = tmp_path / "peak_memory.py"
    program.write_text(PEAK_MEMORY)
    peaks = []
    for count in (1_000, 100_000):
        done = run_python(program, users_db, count, cwd=ROOT, settings={"PYTHONPATH": str(ROOT)})
        assert done.returncode == 0, done.stderr
        kept, kilobytes = map(int, done.stdout.split())
        assert kept == 128
        peaks.append(kilobytes)
    assert peaks[1] - peaks[0] < 4_000
