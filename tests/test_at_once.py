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


def in_processes(work: Callable, *arguments) -> list:
    """Do as in_threads does, with the numbers shared out among PROCESSES processes."""
    shares = [range(first, THREADS, PROCESSES) for first in range(PROCESSES)]
    with ProcessPoolExecutor(PROCESSES, multiprocessing.get_context("spawn")) as pool:
        parts = [pool.submit(at_once, work, share, *arguments) for share in shares]
        return [result for part in parts for result in part.result(60)]


EVERYWHERE = pytest.mark.parametrize("run", [in_threads, in_processes])


SLOW = """
import seed, threading
found = []
other = threading.Thread(target=lambda: found.append(vars(seed.import_script("9-slow")).get("end")))
other.start()
other.join(0.2)
end = "reached"
"""


def test_script_that_another_thread_is_importing_is_waited_for(clone):
    path = clone / "python-generators-0x00" / "9-slow.py"
    path.write_text(SLOW)
    code = "import seed; m = seed.import_script('9-slow'); m.other.join(20); print(*m.found)"
    done = run_python("-c", code, cwd=clone)
    path.unlink()
    assert done.stdout == "reached\n", done.stderr


def read_everything(_number: int) -> list[str]:
    """Read the table in every way; return the names of those that were wrong."""
    users = [user_dict(user_row(number, age=number % 100)) for number in range(ROWS)]
    stream = seed.import_script("0-stream_users").stream_users
    batches = seed.import_script("1-batch_processing").stream_users_in_batches
    pages, ages = seed.import_script("2-lazy_paginate"), seed.import_script("4-stream_ages")
    right = {
        "stream_users": list(stream()) == users,
        "batches": list(batches(400)) == [users[n : n + 400] for n in range(0, ROWS, 400)],
        "pages": list(pages.lazy_paginate(750)) == [users[:750], users[750:]],
        "ages": list(ages.stream_user_ages()) == [user["age"] for user in users],
        "average": ages.calculate_average_age() == 49.5,
    }
    return [name for name in right if not right[name]]


@EVERYWHERE
def test_generators_give_everybody_every_user(run, engine, load):
    load(*(user_row(number, age=number % 100) for number in range(ROWS)))
    assert run(read_everything) == [[]] * THREADS
    wait_until(lambda: engine.connections() == 0)  # a server forgets a closed one a moment later


def test_threads_that_are_the_first_ones_all_see_the_whole_embedded_table(embedded, script):
    stream_users = script("0-stream_users").stream_users
    users = in_threads(lambda _number: [user["user_id"] for user in stream_users()])
    assert len(users[0]) == 1_000
    assert all(found == users[0] for found in users)
    assert embedded.connections() == 0


def test_threads_that_load_at_once_store_each_user_once(engine, load, tmp_path):
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


DECORATORS = ("0-log_queries", "1-with_db_connection", "2-transactional")
DECORATORS += ("3-retry_on_failure", "4-cache_query")
CONTEXTS = ("0-databaseconnection", "1-execute", "3-concurrent")
TIMES, COUNTER = 3, 100  # COUNTER: the id of a user whom everybody makes a year older


def use_everything(number: int, folder: Path) -> list[str]:
    """Use the functions of exercises 5 to 12; return the names of those that were wrong."""
    os.chdir(folder)
    log, connections, transactions, retries, cache = map(seed.import_script, DECORATORS)
    database, execute, fetch = map(seed.import_script, CONTEXTS)
    own = "SELECT * FROM users WHERE id = ?"
    own_in_text = f"SELECT * FROM users WHERE id = {number}"
    wrong = []

    @retries.retry_on_failure(retries=5, delay=0)
    @connections.with_db_connection
    @transactions.transactional
    def grow_older(conn):
        conn.execute("UPDATE users SET age = age + 1 WHERE id = ?", (COUNTER,))

    for time_ in range(TIMES):
        row = (number, "N", f"{number}-{time_}@x", 0)
        transactions.update_user_email(number, row[2])
        grow_older()
        with execute.ExecuteQuery(own, number) as rows, database.DatabaseConnection() as conn:
            by_connection = conn.execute(own, (number,)).fetchall()
            conn.execute("INSERT INTO users (name, age) VALUES ('New', 41)")
        users, older = asyncio.run(fetch.fetch_concurrently())
        right = {
            "get_user_by_id": connections.get_user_by_id(number) == row,
            "cache": cache.fetch_users_with_cache(own_in_text) == [row],
            "cache again": cache.fetch_users_with_cache(query=own_in_text) == [row],
            "fetch_all_users": log.fetch_all_users(own_in_text) == [row],
            "retry": row in retries.fetch_users_with_retry(),
            "context managers": rows == by_connection == [row],
            "fetch_concurrently": row in users and {user[1] for user in older} <= {"New", "N"},
        }
        wrong += [name for name in right if not right[name]]
    return wrong


@EVERYWHERE
def test_functions_on_users_db_are_right_for_everybody_and_lose_no_write(run, users_db):
    ids = [(number,) for number in (*range(THREADS), COUNTER)]
    with contextlib.closing(sqlite3.connect(users_db)) as connection, connection:
        connection.executemany("INSERT OR REPLACE INTO users VALUES (?, 'N', 'n@x', 0)", ids)
    assert run(use_everything, users_db.parent) == [[]] * THREADS
    with contextlib.closing(sqlite3.connect(users_db)) as connection:
        rows = connection.execute("SELECT * FROM users ORDER BY id").fetchall()
    assert rows[: THREADS + 1] == [
        *((number, "N", f"{number}-{TIMES - 1}@x", 0) for number in range(THREADS)),
        (COUNTER, "N", "n@x", THREADS * TIMES),
    ]
    assert len(rows) == THREADS + 1 + THREADS * TIMES
    assert Engine("embedded", {"DB_FILE": str(users_db)}, None).connections() <= 1  # the cache's
