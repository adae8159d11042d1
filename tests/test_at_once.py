"""The functions of all exercises, called by 16 threads and by 4 processes at once."""

import asyncio
import contextlib
import logging
import multiprocessing
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType

import pytest
from conftest import _open_handles, csv_text, user_dict, user_row, wait_until

import seed
import seed_script

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


def in_processes(work: Callable, *arguments) -> list:
    """Do as `at_once` does with THREADS numbers, shared out among PROCESSES processes."""
    share = THREADS // PROCESSES
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(PROCESSES, mp_context=spawn) as pool:
        parts = [
            pool.submit(at_once, work, range(first, first + share), *arguments)
            for first in range(0, THREADS, share)
        ]
        return [result for part in parts for result in part.result(60)]


def in_threads(work: Callable, *arguments) -> list:
    return at_once(work, range(THREADS), *arguments)


EVERYWHERE = pytest.mark.parametrize("run", [in_threads, in_processes])


# ---------------------------------------------------------- importing at once


def test_script_that_another_thread_is_importing_is_waited_for(monkeypatch, tmp_path):
    began, imported = threading.Event(), threading.Event()
    gate = ModuleType("gate")
    gate.pass_through = lambda: began.set() or imported.wait(0.2)
    (tmp_path / "python-x").mkdir()
    (tmp_path / "python-x" / "9-slow.py").write_text(
        "import gate\ngate.pass_through()\ndef function(): pass\n"
    )
    monkeypatch.setattr(seed_script, "ROOT", tmp_path)
    monkeypatch.setitem(sys.modules, "gate", gate)

    def import_too():
        began.wait(20)
        module = seed.import_script("9-slow")
        is_whole = hasattr(module, "function")
        imported.set()
        return module, is_whole

    try:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.submit(seed.import_script, "9-slow"), pool.submit(import_too)
            assert second.result(20) == (first.result(20), True)
    finally:
        sys.modules.pop("9-slow", None)


# ------------------------------------------------------------ reading at once


def read_everything(_number: int) -> dict[str, bool]:
    users = [user_dict(user_row(number, age=number % 100)) for number in range(ROWS)]
    stream = seed.import_script("0-stream_users")
    batches = list(seed.import_script("1-batch_processing").stream_users_in_batches(400))
    pages = list(seed.import_script("2-lazy_paginate").lazy_paginate(700))
    ages = seed.import_script("4-stream_ages")
    return {
        "stream_users": list(stream.stream_users()) == users,
        "batches": batches == [users[first : first + 400] for first in range(0, ROWS, 400)],
        "pages": pages == [users[:700], users[700:1_400], users[1_400:]],
        "ages": list(ages.stream_user_ages()) == [user["age"] for user in users],
        "average": ages.calculate_average_age() == 49.5,
    }


@EVERYWHERE
def test_generators_give_everybody_every_user(run, engine, load):
    load(*(user_row(number, age=number % 100) for number in range(ROWS)))
    results = run(read_everything)
    assert len(results) == THREADS
    assert [name for result in results for name, right in result.items() if not right] == []
    wait_until(lambda: engine.connections() == 0)  # a server forgets a closed one a moment later


def test_threads_that_are_the_first_ones_all_see_the_whole_embedded_table(embedded, script):
    stream_users = script("0-stream_users").stream_users
    users = in_threads(lambda _number: [user["user_id"] for user in stream_users()])
    assert len(users[0]) == 1_000
    assert all(found == users[0] for found in users)
    assert embedded.connections() == 0


def test_threads_that_load_at_once_store_each_user_once(engine, load, tmp_path):
    load()
    (tmp_path / "shared.csv").write_text(csv_text(user_row(n) for n in range(100)))
    for number in range(THREADS):
        own = [user_row(1_000 * (number + 1) + n) for n in range(20)]
        (tmp_path / f"{number}.csv").write_text(csv_text(own))

    def load_own_and_shared(number):
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            own = seed.insert_data(connection, tmp_path / f"{number}.csv")
            return own, seed.insert_data(connection, tmp_path / "shared.csv")

    counts = in_threads(load_own_and_shared)
    assert {own for own, _ in counts} == {(20, 20, 0, 0)}
    assert sorted(shared for _, shared in counts) == [
        *[(100, 0, 100, 0)] * (THREADS - 1),
        (100, 100, 0, 0),
    ]
    assert engine.query("SELECT COUNT(*), COUNT(DISTINCT email) FROM user_data") == [(420, 420)]
    wait_until(lambda: engine.connections() == 0)  # a server forgets a closed one a moment later


# -------------------------------------------------- the functions on users.db

TIMES = 3
COUNTER = 100  # the id of a user whom everybody makes a year older


@pytest.fixture
def crowd(users_db) -> Path:
    """users.db with a user for each thread, and one more, of age 0."""
    with contextlib.closing(sqlite3.connect(users_db)) as connection:
        connection.execute("DELETE FROM users")
        ids = [*range(THREADS), COUNTER]
        connection.executemany("INSERT INTO users VALUES (?, 'N', 'n@x', 0)", [(n,) for n in ids])
        connection.commit()
    return users_db


def use_everything(number: int, folder: Path) -> list[str]:
    """Use the functions of exercises 5 to 12; return the names of those that were wrong."""
    os.chdir(folder)
    connections, transactions = (
        seed.import_script("1-with_db_connection"),
        seed.import_script("2-transactional"),
    )
    retries, cache = seed.import_script("3-retry_on_failure"), seed.import_script("4-cache_query")
    own = "SELECT * FROM users WHERE id = ?"
    own_in_text = f"SELECT * FROM users WHERE id = {number}"
    wrong = []

    @retries.retry_on_failure(retries=5, delay=0)
    @connections.with_db_connection
    @transactions.transactional
    def grow_older(conn):
        conn.execute("UPDATE users SET age = age + 1 WHERE id = ?", (COUNTER,))

    def check(name: str, found, expected) -> None:
        if found != expected:
            wrong.append(f"{name}: {found}, not {expected}")

    for time_ in range(TIMES):
        row = (number, "N", f"{number}-{time_}@x", 0)
        transactions.update_user_email(number, row[2])
        grow_older()
        check("get_user_by_id", connections.get_user_by_id(number), row)
        check("cache", cache.fetch_users_with_cache(own_in_text), [row])
        check("cache", cache.fetch_users_with_cache(query=own_in_text), [row])
        log = seed.import_script("0-log_queries")
        check("fetch_all_users", log.fetch_all_users(own_in_text), [row])
        check("retry", row in retries.fetch_users_with_retry(), True)
        with seed.import_script("1-execute").ExecuteQuery(own, number) as rows:
            check("ExecuteQuery", rows, [row])
        with seed.import_script("0-databaseconnection").DatabaseConnection() as conn:
            check("DatabaseConnection", conn.execute(own, (number,)).fetchall(), [row])
            conn.execute("INSERT INTO users (name, age) VALUES ('New', 41)")
        users, older = asyncio.run(seed.import_script("3-concurrent").fetch_concurrently())
        check("fetch_concurrently", row in users, True)
        check("fetch_concurrently", {user[1] for user in older} <= {"New", "N"}, True)
    return wrong


@EVERYWHERE
def test_functions_on_users_db_are_right_for_everybody_and_lose_no_write(run, crowd, monkeypatch):
    monkeypatch.setattr(logging.getLogger("log_queries"), "disabled", True)
    assert run(use_everything, crowd.parent) == [[]] * THREADS
    with contextlib.closing(sqlite3.connect(crowd)) as connection:
        rows = connection.execute("SELECT * FROM users WHERE name = 'N'").fetchall()
        new = connection.execute("SELECT COUNT(*) FROM users WHERE name = 'New'").fetchone()
    assert rows == [
        *((number, "N", f"{number}-{TIMES - 1}@x", 0) for number in range(THREADS)),
        (COUNTER, "N", "n@x", THREADS * TIMES),
    ]
    assert new == (THREADS * TIMES,)
    watching = 1 if run is in_threads else 0  # the cache's own connection
    assert len(_open_handles(crowd)) == watching
