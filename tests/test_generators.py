"""Exercises 1 to 4, on both engines: values, laziness and clean-up."""

import contextlib
import gc
import inspect
import random
import sqlite3
import threading
import tracemalloc
import uuid
from collections.abc import Callable
from itertools import islice

import mysql.connector
import pytest
from conftest import make_table, user_dict, user_row, wait_until

STREAM = "0-stream_users"
BATCHES = "1-batch_processing"
PAGES = "2-lazy_paginate"
AGES = "4-stream_ages"
NAMES = ["Zoë O'Brien", "王小明", "محمد", "🚀", 'say "hi"', "a\nb", "%s; --", "=1+1", " x "]


def all_streams(script) -> dict[str, Callable]:
    """Every generator of the four scripts, as a function of no arguments."""
    return {
        "stream_users": script(STREAM).stream_users,
        "stream_users_in_batches": lambda: script(BATCHES).stream_users_in_batches(3),
        "lazy_paginate": lambda: script(PAGES).lazy_paginate(3),
        "stream_user_ages": script(AGES).stream_user_ages,
    }


def on_connect(monkeypatch, action: Callable) -> None:
    """Call `action(connection)` with each connection that is opened from now on."""
    for module in (sqlite3, mysql.connector):

        def connect(*args, connect=module.connect, **kwargs):
            connection = connect(*args, **kwargs)
            action(connection)
            return connection

        monkeypatch.setattr(module, "connect", connect)


@pytest.fixture
def work(engine, monkeypatch) -> Callable[[], int]:
    """How much the database has read so far: rows on a server, else steps of SQLite's machine."""
    if engine.server:
        rows_read = "SHOW GLOBAL STATUS LIKE 'Handler_read_next'"
        return lambda: int(engine.query(rows_read)[0][1])
    steps = []
    # What append returns, None, lets SQLite go on.
    on_connect(monkeypatch, lambda new: new.set_progress_handler(lambda: steps.append(1), 1))
    return lambda: len(steps)


def make_own_table(engine, columns: str, rows) -> None:
    """Make user_data as another program might have made it."""
    make_table()
    engine.query("DROP TABLE user_data")
    engine.query(f"CREATE TABLE user_data ({columns})")
    engine.insert(rows)


# ------------------------------------------------------------- what they yield


def test_stream_users_yields_each_user_as_a_dict_in_id_order(script, load):
    rows = [(user_row(n)[0], NAMES[n % 9], f"{n}@x", n % 151) for n in range(1, 1234)]
    load(*random.Random(1).sample(rows, len(rows)))
    expected = [user_dict(row) for row in rows]
    users = list(script(STREAM).stream_users())
    assert repr(users) == repr(expected)  # the order of the keys, and 1, not Decimal('1')
    assert list(script(STREAM)()) == expected  # the module itself, which the main file calls


def test_table_of_any_length_is_read_to_its_last_row(script, engine):
    make_table()
    engine.insert(user_row(number) for number in range(1_501))
    counts = (1_501, 1_500, 1_499, 1_001, 1_000, 999, 701, 700, 699, 501, 500, 499)
    for count in (*counts, 301, 300, 299, 101, 100, 99, 2, 1, 0):
        engine.query("DELETE FROM user_data WHERE user_id >= %s", user_row(count)[:1])
        ids = [user["user_id"] for user in script(STREAM).stream_users()]
        assert ids == [user_row(number)[0] for number in range(count)]


@pytest.mark.parametrize(
    ("engine", "each_driver"),
    [("embedded", False), ("mysql_engine", False), ("mysql_engine", True)],
    ids=["embedded", "C extension", "pure Python"],
    indirect=True,
)
def test_long_table_is_read_whole_in_constant_memory(script, engine, each_driver):
    make_table()
    engine.insert(user_row(number, number % 151) for number in range(30_000))
    peaks = []
    for count in (2_000, 30_000):
        tracemalloc.start()
        for number, user in enumerate(islice(script(STREAM).stream_users(), count)):
            assert user == user_dict(user_row(number, number % 151))
        assert number == count - 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 200_000  # bytes; 28,000 users more would be 14 million


@pytest.mark.parametrize(
    ("name", "function"), [(BATCHES, "stream_users_in_batches"), (PAGES, "lazy_paginate")]
)
def test_batches_and_pages_hold_every_user_once(script, load, name, function):
    start = getattr(script(name), function)
    load()
    assert list(start(3)) == []
    rows = [user_row(number) for number in range(6)]
    load(*rows)
    for size, lengths in ((1, [1] * 6), (2, [2, 2, 2]), (4, [4, 2]), (6, [6]), (9, [6])):
        lists = list(start(size))
        assert [len(users) for users in lists] == lengths
        assert [user for users in lists for user in users] == [user_dict(row) for row in rows]
        assert isinstance(lists[0], list)


def test_batch_processing_prints_the_users_older_than_25(script, load, capsys):
    rows = [user_row(number, age) for number, age in enumerate((25, 26, 0, 150, 24, 67))]
    load(*rows)
    assert script(BATCHES).batch_processing(4) is None
    printed = capsys.readouterr().out.splitlines()
    assert printed == [str(user_dict(row)) for row in rows if row[3] > 25]


def test_paginate_users_returns_one_page_and_leaves_no_connection(script, load, engine):
    rows = [user_row(number) for number in range(10)]
    load(*rows)
    paginate = script(PAGES).paginate_users
    assert paginate(3, 0) == [user_dict(row) for row in rows[:3]]
    assert paginate(page_size=3, offset=8) == [user_dict(row) for row in rows[8:]]
    assert paginate(3, 10) == []
    wait_until(lambda: engine.connections() == 0)


@pytest.mark.parametrize(
    ("ages", "average", "printed"),
    [((1, 2, 2), 5 / 3, "1.67"), ((3, 0, 150), 51.0, "51.00"), ((), 0.0, "0.00")],
    ids=["rounded", "whole", "no user"],
)
def test_average_of_whole_ages_is_printed_and_returned(
    script, load, capsys, ages, average, printed
):
    load(*(user_row(number, age) for number, age in enumerate(ages)))
    assert repr(tuple(script(AGES).stream_user_ages())) == repr(ages)
    assert repr(script(AGES).calculate_average_age()) == repr(average)
    assert capsys.readouterr().out == f"Average age of users: {printed}\n"


def test_average_is_not_computed_by_the_database(script, embedded, monkeypatch):
    monkeypatch.setattr(script(AGES), "stream_user_ages", lambda: iter([1, 2, 6]))
    assert script(AGES).calculate_average_age() == 3


def test_functions_have_the_names_and_yield_of_the_course(script):
    batches, pages, ages = script(BATCHES), script(PAGES), script(AGES)
    assert pages.lazy_pagination is pages.lazy_paginate
    assert ages.average_age is ages.compute_average_age is ages.calculate_average_age
    for function in (batches.stream_users_in_batches, pages.lazy_paginate):
        assert inspect.isgeneratorfunction(inspect.unwrap(function))
        assert function.__doc__.startswith("Yield")


# ---------------------------------------------------------- tables of others


@pytest.mark.parametrize(
    ("engine", "key"),
    [
        ("embedded", "CHAR(36)"),
        ("mysql_engine", "CHAR(36)"),
        # MySQL has no such type
        pytest.param("mysql_engine", "UUID PRIMARY KEY", marks=pytest.mark.server("mariadb")),
    ],
    indirect=["engine"],
)
def test_rows_come_in_the_id_order_of_the_database(script, engine, key):
    rows = [(str(uuid.uuid4()), *user_row(number)[1:]) for number in range(1_200)]
    make_own_table(engine, f"user_id {key}, name TEXT, email TEXT, age INTEGER", rows)
    rows = engine.query("SELECT user_id, name, email, age FROM user_data ORDER BY user_id")
    users = [user_dict(row) for row in rows]
    assert list(script(STREAM).stream_users()) == users
    first, last = script(PAGES).lazy_paginate(1_199)
    assert [*first, *last] == users


def test_whole_ages_are_int_and_others_decimal(script, mysql_engine):
    columns = "user_id VARCHAR(9) PRIMARY KEY, name TEXT, email TEXT, age DECIMAL(5,2)"
    make_own_table(mysql_engine, columns, [("a", "A", None, 67), ("b", "B", "b@x", 67.5)])
    users = list(script(STREAM).stream_users())
    assert repr(users[0]) == "{'user_id': 'a', 'name': 'A', 'email': None, 'age': 67}"
    assert repr(users[1]["age"]) == "Decimal('67.50')"
    assert repr(users) == repr(script(PAGES).paginate_users(2, 0))
    assert repr(list(script(AGES).stream_user_ages())) == "[67, Decimal('67.50')]"
    assert script(AGES).calculate_average_age() == 67.25


# ----------------------------------------------------------------- how lazily


def test_no_connection_is_opened_before_the_first_row(script, load, monkeypatch):
    load(user_row(1))
    opened = []
    on_connect(monkeypatch, opened.append)
    for name, start in all_streams(script).items():
        stream = start()
        assert inspect.isgenerator(stream), name
        assert opened == [], name
        next(stream)
        assert len(opened) == 1, name
        opened.clear()


def test_rows_are_read_only_on_demand(script, load, work):
    load(*(user_row(number) for number in range(5_000)))
    for name, start in all_streams(script).items():
        before = work()
        next(stream := start())
        first = work() - before
        assert len(list(islice(stream, 800))) == 800  # users, or batches of three
        some = work() - before
        assert list(stream)
        everything = work() - before
        assert 0 < first < everything / 8, name
        assert first < some < everything * 0.7, name


def test_last_page_costs_the_database_as_much_as_the_first(script, load, work):
    load(*(user_row(number) for number in range(2_000)))

    def cost(action: Callable) -> int:
        before = work()
        assert len(action()) == 100
        return work() - before

    pages = script(PAGES).lazy_paginate(100)
    costs = [cost(lambda: next(pages)) for _ in range(20)]
    assert list(pages) == []
    assert max(costs) <= 1.5 * min(costs)  # of two pages, had the next one been read ahead
    assert costs[-1] <= 1.1 * costs[1]
    # The measure shows the difference: this page is found by its offset.
    assert cost(lambda: script(PAGES).paginate_users(100, 1_900)) > 2 * costs[1]


def test_paused_stream_blocks_no_writer(script, load, engine):
    load(*(user_row(number) for number in range(1_500)))
    raise_instead_of_waiting, to_database = "PRAGMA busy_timeout = 0", {}
    if engine.server:
        raise_instead_of_waiting = "SET innodb_lock_wait_timeout = 1, lock_wait_timeout = 1"
        to_database = {"database": engine.settings["DB_NAME"]}
    for name, start in all_streams(script).items():
        next(stream := start())
        with contextlib.closing(engine.connect(**to_database)) as writer:
            writer.cursor().execute(raise_instead_of_waiting)
            writer.cursor().execute(f"UPDATE user_data SET name = '{name}'")
            writer.commit()
            writer.cursor().execute(f"ALTER TABLE user_data ADD COLUMN {name} INTEGER")
        assert next(stream)
        stream.close()


# ------------------------------------------------------------- how they end


@pytest.mark.parametrize("end", ["exhausted", "closed", "dropped", "thrown into"])
def test_no_connection_is_left_after_any_end_of_a_stream(script, load, engine, end):
    load(*(user_row(number) for number in range(1_500)))
    threads = threading.active_count()
    for start in all_streams(script).values():
        next(stream := start())
        assert engine.connections() > 0
        if end == "exhausted":
            assert list(stream)
        elif end == "closed":
            stream.close()
        elif end == "thrown into":
            error = KeyError("mine")
            with pytest.raises(KeyError) as caught:
                stream.throw(error)
            assert caught.value is error
            assert error.__context__ is None
            assert not hasattr(error, "__notes__")
        else:
            del stream
            gc.collect()
        wait_until(lambda: engine.connections() == 0)
    assert threading.active_count() == threads


def test_failed_close_is_a_note_on_the_consumers_error(script, load, monkeypatch):
    load(user_row(1))

    def close_and_fail(connection):
        type(connection).close(connection)
        raise sqlite3.OperationalError("not closed")

    with monkeypatch.context() as patch:
        on_connect(patch, lambda new: setattr(new, "close", lambda: close_and_fail(new)))
        next(stream := script(STREAM).stream_users())
    with pytest.raises(KeyError, match="mine") as caught:
        stream.throw(KeyError("mine"))
    assert "not closed" in caught.value.__notes__[0]


# ------------------------------------------------------------- bad arguments


@pytest.mark.parametrize(
    ("name", "function", "argument"),
    [
        (BATCHES, "stream_users_in_batches", "batch_size"),
        (BATCHES, "batch_processing", "batch_size"),
        (PAGES, "lazy_paginate", "page_size"),
        (PAGES, "paginate_users", "page_size"),
        (PAGES, "paginate_users", "offset"),
    ],
)
def test_invalid_number_is_refused_at_the_call(script, embedded, name, function, argument):
    others = {"page_size": 1, "offset": 0} if function == "paginate_users" else {}
    least = 0 if argument == "offset" else 1
    for bad in (least - 1, -7, True, False, "5", 5.0, 2.5, None, [5]):
        with pytest.raises(ValueError, match="must be a whole number") as caught:
            getattr(script(name), function)(**others | {argument: bad})
        wanted = f"{argument} must be a whole number of at least {least}, not {bad!r}"
        assert str(caught.value) == wanted
