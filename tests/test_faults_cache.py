"""Exercise 9 among other connections, threads and processes: never stale, thread-safe."""

import contextlib
import shutil
import sqlite3
import sys
from subprocess import PIPE, Popen
from threading import Thread

import pytest

import seed

CACHE = seed.import_script("4-cache_query")
AGE = "SELECT age FROM users WHERE id = 1"  # 20 at first
GET_OLDER = "UPDATE users SET age = age + 1"


@pytest.fixture
def fetch():
    """A cached function; its list `calls` notes each time it really ran."""

    @CACHE.cache_query
    def fetch(conn, query):
        fetch.calls.append(query)
        return conn.execute(query).fetchall()

    fetch.calls = []
    CACHE.query_cache.clear()
    return fetch


@pytest.fixture
def connect(users_db):
    """Open connections to users.db that any thread may use; they close at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda: stack.enter_context(
            contextlib.closing(sqlite3.connect(users_db, timeout=60, check_same_thread=False))
        )


def change(conn) -> None:
    with conn:  # it commits
        conn.execute(GET_OLDER)


def test_query_runs_again_after_any_commit(fetch, connect):
    conn, other = connect(), connect()
    for age, writer in ((20, conn), (21, other)):
        assert fetch(conn, AGE) == fetch(conn, AGE) == fetch(other, AGE) == [(age,)]
        change(writer)
    assert fetch(conn, AGE) == [(22,)]
    assert len(fetch.calls) == 3
    # A commit while the query runs: the first call ends too late to keep its result.
    fetch = CACHE.cache_query(lambda conn, query: [conn.execute(query).fetchall(), change(other)])
    assert [fetch(conn, AGE)[0] for _ in range(3)] == [[(22,)], [(23,)], [(24,)]]


def test_nothing_is_cached_while_a_result_is_half_read(fetch, connect):
    reader, other = connect(), connect()
    other.execute("PRAGMA journal_mode = WAL")
    (half_read := reader.execute("SELECT * FROM users")).fetchone()
    change(other)
    assert fetch(reader, AGE) == [(20,)]  # what this connection can see
    assert fetch(other, AGE) == [(21,)]
    half_read.close()
    assert fetch(reader, AGE) == [(21,)]


def test_replaced_file_is_read_again(fetch, connect, users_db):
    for age in (20, 21, 22):
        with contextlib.closing(connect()) as conn:
            assert fetch(conn, AGE) == [(age,)]
        new = shutil.copy(users_db, users_db.with_name("new.db"))
        with contextlib.closing(sqlite3.connect(new)) as conn:
            change(conn)
        new.replace(users_db)


# Each change raises all ages by one, so half of a change would show in their differences.
WRITER = f"""
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
connection.execute("PRAGMA synchronous = OFF")
print(flush=True)
while True:
    connection.execute("{GET_OLDER}")
    time.sleep(0.001)  # else no reader gets a turn
"""


@pytest.mark.parametrize("reads", [10_000, pytest.param(100_000, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("journal", ["DELETE", "WAL"])
def test_no_read_is_stale_while_another_process_writes(fetch, connect, users_db, reads, journal):
    cached, plain = connect(), connect()
    plain.execute(f"PRAGMA journal_mode = {journal}")
    with Popen([sys.executable, "-c", WRITER, users_db], stdout=PIPE) as writer:
        try:
            writer.stdout.readline()  # it writes
            for _ in range(reads):
                ((committed,),) = plain.execute(AGE)
                (age,), *others = fetch(cached, "SELECT age FROM users ORDER BY id")
                assert others == [(age + 21,), (age + 47,)], "half of a change"
                assert age >= committed, "older than what was committed before the call"
        finally:
            writer.kill()
    assert 50 < len(fetch.calls) < reads  # so there were changes, and results from the cache


def test_threads_share_the_cache_and_a_cached_function_may_call_another(fetch, connect):
    @CACHE.cache_query
    def fetch_twice(conn, query):
        return fetch(conn, query) + fetch(conn, query)

    def read():
        conn = connect()
        for number in range(400):
            assert fetch_twice(conn, f"SELECT {number % 100}") == [(number % 100,)] * 2
        done.append("right")

    done, threads = [], [Thread(target=read, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(done) == len(threads), "one waits for itself or another, or its result is wrong"


def test_another_thread_may_clear_the_cache_at_any_moment(fetch, connect):
    conn, places, before = connect(), set(), -1

    def clear_at_a_new_place(frame, event, _arg):
        place = frame.f_code, frame.f_lineno
        is_new = len(places) == before and place not in places  # one place a round
        if event == "line" and fetch.calls[-1] == AGE and is_new:  # once the query has run
            places.add(place)
            (clearing := Thread(target=CACHE.query_cache.clear)).start()
            clearing.join(0.05)  # not until its end: it may wait for a lock
        return clear_at_a_new_place

    while len(places) > before:  # the round before found a new place
        before = len(places)
        for number in range(128):
            fetch(conn, f"SELECT {number}")  # full: the next one drops the oldest
        sys.settrace(clear_at_a_new_place)
        try:
            assert fetch(conn, AGE) == fetch(conn, AGE) == [(20,)]
        finally:
            sys.settrace(None)
    assert places
