"""The functions of all exercises, called by 16 threads and by 4 processes at once."""

import asyncio
import contextlib
import multiprocessing
import os
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import Engine, csv_text, run_python, user_dict, user_row, wait_until

import seed

THREADS, PROCESSES = 16, 4
ROWS = 1_500  # several blocks and segments


def at_once(work: Callable, numbers: range, *arguments) -> list:
    """Call `work(number, *arguments)` for each number in a thread of its own, all at the same time."""
    start = threading.Barrier(len(numbers))

    def begin(number: int):
        start.wait(20)
        return work(number, *arguments)

    with ThreadPoolExecutor(len(numbers)) as pool:
        return list(pool.map(begin, numbers))


def in_threads(work: Callable, *arguments) -> list:
    return at_once(work, range(THREADS), *arguments)


def in_processes(work: Callable, *arguments) -> None:
    """Do as in_threads does, with the numbers shared out among PROCESSES processes."""
    shares = [range(first, THREADS, PROCESSES) for first in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        for part in [pool.submit(at_once, work, share, *arguments) for share in shares]:
            part.result(60)


EVERYWHERE = pytest.mark.parametrize("run", [in_threads, in_processes])
SLOW = """
import seed, threading
found = []
other = threading.Thread(target=lambda: found.append(vars(seed.import_script("9-slow")).get("end")))
other.start()
other.join(0.2)
end = "reached"
"""


def test_import_script_waits_for_another_thread_that_imports_it(own_clone):
    (own_clone / "python-generators-0x00" / "9-slow.py").write_text(SLOW)
    code = "import seed; m = seed.import_script('9-slow'); m.other.join(20); print(*m.found)"
    done = run_python("-c", code, cwd=own_clone)
    assert done.stdout == "reached\n", done.stderr


def read_everything(_number: int) -> None:
    """Use the functions of exercises 1 to 4."""
    users = [user_dict(user_row(number, age=number % 100)) for number in range(ROWS)]
    stream = seed.import_script("0-stream_users").stream_users
    batches = seed.import_script("1-batch_processing").stream_users_in_batches
    pages, ages = seed.import_script("2-lazy_paginate"), seed.import_script("4-stream_ages")
    assert list(stream()) == users
    assert list(batches(400)) == [users[n : n + 400] for n in range(0, ROWS, 400)]
    assert list(pages.lazy_paginate(750)) == [users[:750], users[750:]]
    assert list(ages.stream_user_ages()) == [user["age"] for user in users]
    assert ages.calculate_average_age() == 49.5


@EVERYWHERE
def test_generators_yield_every_user_in_each_thread(run, engine, load):
    load(*(user_row(number, age=number % 100) for number in range(ROWS)))
    run(read_everything)
    wait_until(lambda: engine.connections() == 0)  # a server forgets a closed one a moment later


def test_first_threads_all_read_the_whole_embedded_table(embedded, script):
    stream_users = script("0-stream_users").stream_users
    assert in_threads(lambda _number: len(list(stream_users()))) == [1_000] * THREADS
    assert embedded.connections() == 0


def test_concurrent_loads_in_threads_store_each_user_once(engine, load, tmp_path):
    load()
    for number in range(THREADS):  # each file has most of its users in common with the next one
        rows = [user_row(n) for n in range(10 * number, 10 * number + 100)]
        (tmp_path / f"{number}.csv").write_text(csv_text(rows))

    def load_own_file(number):
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            return seed.insert_data(connection, tmp_path / f"{number}.csv")

    counts = in_threads(load_own_file)
    assert {(count.read, count.added + count.present) for count in counts} == {(100, 100)}
    assert engine.query("SELECT COUNT(*) FROM user_data") == [(sum(c.added for c in counts),)]
    wait_until(lambda: engine.connections() == 0)  # a server forgets a closed one a moment later


TIMES, COUNTER = 3, 100  # COUNTER: the id of a user whom everybody makes a year older


def use_everything(number: int, folder: Path) -> None:
    """Use the functions of exercises 5 to 12."""
    os.chdir(folder)
    script = seed.import_script
    own = "SELECT * FROM users WHERE id = ?"
    own_in_text = f"SELECT * FROM users WHERE id = {number}"

    @script("3-retry_on_failure").retry_on_failure(retries=5, delay=0)
    @script("1-with_db_connection").with_db_connection
    @script("2-transactional").transactional
    def grow_older(conn):
        conn.execute("UPDATE users SET age = age + 1 WHERE id = ?", (COUNTER,))

    for time_ in range(TIMES):
        row = (number, "N", f"{number}-{time_}@x", 0)
        script("2-transactional").update_user_email(number, row[2])
        grow_older()
        with script("1-execute").ExecuteQuery(own, number) as rows:
            assert rows == [row]
        with script("0-databaseconnection").DatabaseConnection() as conn:
            assert conn.execute(own, (number,)).fetchall() == [row]
            conn.execute("INSERT INTO users (name, age) VALUES ('New', 41)")
        users, older = asyncio.run(script("3-concurrent").fetch_concurrently())
        assert row in users
        assert {user[1] for user in older} <= {"New", "N"}
        assert script("1-with_db_connection").get_user_by_id(number) == row
        assert row in script("3-retry_on_failure").fetch_users_with_retry()
        assert script("0-log_queries").fetch_all_users(own_in_text) == [row]
        for _ in ("first", "cached"):
            assert script("4-cache_query").fetch_users_with_cache(query=own_in_text) == [row]


@EVERYWHERE
def test_functions_on_users_db_are_right_in_each_thread_and_lose_no_write(run, users_db):
    ids = [(number,) for number in (*range(THREADS), COUNTER)]
    with contextlib.closing(sqlite3.connect(users_db)) as connection, connection:
        connection.executemany("INSERT OR REPLACE INTO users VALUES (?, 'N', 'n@x', 0)", ids)
    run(use_everything, users_db.parent)
    with contextlib.closing(sqlite3.connect(users_db)) as connection:
        rows = connection.execute("SELECT * FROM users ORDER BY id").fetchall()
    assert rows[: THREADS + 1] == [
        *((number, "N", f"{number}-{TIMES - 1}@x", 0) for number in range(THREADS)),
        (COUNTER, "N", "n@x", THREADS * TIMES),
    ]
    assert len(rows) == THREADS + 1 + THREADS * TIMES
    assert Engine("embedded", {"DB_FILE": str(users_db)}, None).connections() <= 1  # the cache's
