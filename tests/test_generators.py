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
    """Make user_data as somebody else might have made it."""
    make_table()
    engine.query("DROP TABLE user_data")
    engine.query(f"CREATE TABLE user_data ({columns})")
    engine.insert(rows)


# ------------------------------------------------------------- what they yield


def test_stream_users_yields_each_user_as_a_dict_in_the_order_of_the_ids(script, load):
    rows = [user_row(number, age=number % 151) for number in range(1, 1234)]
    load(*random.Random(1).sample(rows, len(rows)))
    users = list(script(STREAM).stream_users())
    assert users == [user_dict(row) for row in rows]
    assert users == list(script(STREAM)())  # the module itself, which the main file calls
    assert repr(users[0]) == repr(
        user_dict(rows[0])
    )  # the order of the keys, and 1, not Decimal('1')


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


def test_text_of_any_script_comes_back_as_it_was_stored(script, load):
    names = ["Zoë O'Brien", "王小明", "محمد", "🚀", 'say "hi"', "a\nb", "%s; --", "=1+1", " x "]
    load(*((user_row(n)[0], name, f"{n}@x", 1) for n, name in enumerate(names)))
    assert [user["name"] for user in script(STREAM).stream_users()] == names


def test_batches_hold_every_user_once_and_the_last_may_be_shorter(script, load):
    rows = [user_row(number) for number in range(7)]
    load(*rows)
    for size, lengths in ((1, [1] * 7), (2, [2, 2, 2, 1]), (3, [3, 3, 1]), (7, [7]), (9, [7])):
        batches = list(script(BATCHES).stream_users_in_batches(size))
        assert [len(batch) for batch in batches] == lengths
        assert [user for batch in batches for user in batch] == [user_dict(row) for row in rows]
        assert isinstance(batches[0], list)


def test_batch_processing_prints_the_users_older_than_25_and_returns_nothing(script, load, capsys):
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


def test_lazy_paginate_yields_every_page_and_no_empty_one(script, load):
    for count in (0, 1, 3, 4, 6):
        load(*(user_row(number) for number in range(count)))
        pages = list(script(PAGES).lazy_paginate(3))
        assert [len(page) for page in pages] == [3] * (count // 3) + [count % 3] * (count % 3 > 0)
        users = [user for page in pages for user in page]
        assert users == [user_dict(user_row(number)) for number in range(count)]


def test_ages_are_plain_numbers_one_by_one(script, load):
    load(*(user_row(number, age) for number, age in enumerate((3, 0, 150))))
    assert repr(list(script(AGES).stream_user_ages())) == "[3, 0, 150]"


def test_average_is_exact_printed_with_two_decimals_and_returned(script, load, capsys):
    load(*(user_row(number, age) for number, age in enumerate((1, 2, 2))))
    assert script(AGES).calculate_average_age() == 5 / 3
    assert capsys.readouterr().out == "Average age of users: 1.67\n"


def test_average_is_not_computed_by_the_database(script, embedded, monkeypatch, capsys):
    monkeypatch.setattr(script(AGES), "stream_user_ages", lambda: iter([1, 2, 6]))
    assert script(AGES).calculate_average_age() == 3


def test_functions_have_the_other_names_that_main_files_ask_for(script):
    pages, ages = script(PAGES), script(AGES)
    assert pages.lazy_pagination is pages.lazy_paginate
    assert ages.average_age is ages.compute_average_age is ages.calculate_average_age


def test_empty_table_yields_nothing_and_its_average_is_zero(script, load, capsys):
    load()
    for name, start in all_streams(script).items():
        assert list(start()) == [], name
    assert repr(script(AGES).calculate_average_age()) == "0.0"
    assert capsys.readouterr().out == "Average age of users: 0.00\n"


# ---------------------------------------------------------- tables of others


def test_order_is_that_of_the_ids_whatever_the_order_of_the_table(script, engine):
    rows = [user_row(number) for number in range(1_200)]
    shuffled = random.Random(3).sample(rows, len(rows))
    make_own_table(engine, "user_id CHAR(36), name TEXT, email TEXT, age INTEGER", shuffled)
    users = [user_dict(row) for row in rows]
    assert list(script(STREAM).stream_users()) == users
    first, last = script(PAGES).lazy_paginate(1_199)
    assert [*first, *last] == users


def test_whole_ages_are_int_and_others_as_they_are(script, mysql_engine):
    columns = "user_id VARCHAR(9) PRIMARY KEY, name TEXT, email TEXT, age DECIMAL(5,2)"
    make_own_table(mysql_engine, columns, [("a", "A", None, 67), ("b", "B", "b@x", 67.5)])
    users = list(script(STREAM).stream_users())
    assert repr(users[0]) == "{'user_id': 'a', 'name': 'A', 'email': None, 'age': 67}"
    assert repr(users[1]["age"]) == "Decimal('67.50')"
    assert repr(users) == repr(script(PAGES).paginate_users(2, 0))
    assert repr(list(script(AGES).stream_user_ages())) == "[67, Decimal('67.50')]"
    assert script(AGES).calculate_average_age() == 67.25


@pytest.mark.server("mariadb")  # MySQL has no such type
def test_keys_of_the_type_uuid_are_read_in_the_servers_order(script, mysql_engine):
    columns = "user_id UUID PRIMARY KEY, name TEXT, email TEXT, age INTEGER"
    rows = [(str(uuid.uuid4()), *user_row(number)[1:]) for number in range(1_200)]
    make_own_table(mysql_engine, columns, rows)
    ids = [user_id for (user_id,) in mysql_engine.query("SELECT user_id FROM user_data ORDER BY 1")]
    assert [user["user_id"] for user in script(STREAM).stream_users()] == ids
    pages = script(PAGES).lazy_paginate(100)
    assert [user["user_id"] for page in pages for user in page] == ids


def test_table_may_be_altered_while_a_consumer_pauses_between_pages(script, mysql_engine):
    make_table()
    mysql_engine.insert(user_row(number) for number in range(20))
    pages = script(PAGES).lazy_paginate(10)
    next(pages)
    database = mysql_engine.settings["DB_NAME"]
    with contextlib.closing(mysql_engine.connect(database=database)) as connection:
        connection.cursor().execute("SET SESSION lock_wait_timeout = 1")
        connection.cursor().execute("ALTER TABLE user_data ADD COLUMN note TEXT")
    assert len(next(pages)) == 10


@pytest.mark.parametrize("name", ["lazy_paginate", "stream_users_in_batches"])
def test_pages_miss_and_repeat_nothing_while_others_insert_and_delete(script, engine, name):
    make_table()
    rows = [user_row(number * 10) for number in range(1_200)]
    engine.insert(rows)
    pages = all_streams(script)[name]()
    seen = next(pages)
    engine.query("DELETE FROM user_data WHERE user_id LIKE '%30'")
    engine.insert(user_row(number) for number in range(5, 12_000, 70))
    seen += [user for page in pages for user in page]
    ids = [user["user_id"] for user in seen]
    assert ids == sorted(set(ids))
    assert {row[0] for row in rows if not row[0].endswith("30")} <= set(ids)


# ----------------------------------------------------------------- how lazily


def test_nothing_is_opened_before_the_first_row_is_asked_for(script, load, monkeypatch):
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


def test_rows_are_read_only_as_they_are_asked_for(script, load, work):
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


def test_a_page_costs_the_database_the_same_at_the_end_of_the_table(script, load, work):
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
    # So the measure tells the difference: this page is found by its offset.
    assert cost(lambda: script(PAGES).paginate_users(100, 1_900)) > 2 * costs[1]


def test_a_paused_stream_keeps_no_writer_waiting(script, load, engine):
    load(*(user_row(number) for number in range(1_500)))
    raise_instead_of_waiting, to_database = "PRAGMA busy_timeout = 0", {}
    if engine.server:
        raise_instead_of_waiting = "SET SESSION innodb_lock_wait_timeout = 1"
        to_database = {"database": engine.settings["DB_NAME"]}
    for name, start in all_streams(script).items():
        next(stream := start())
        with contextlib.closing(engine.connect(**to_database)) as writer:
            writer.cursor().execute(raise_instead_of_waiting)
            writer.cursor().execute(f"UPDATE user_data SET name = '{name}'")
            writer.commit()
        stream.close()


# ------------------------------------------------------------- how they end


@pytest.mark.parametrize("end", ["exhausted", "closed", "dropped", "thrown into"])
def test_no_connection_is_left_however_a_stream_ends(script, load, engine, end):
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
            error = RuntimeError("thrown")
            with pytest.raises(RuntimeError) as caught:
                stream.throw(error)
            assert caught.value is error
        else:
            del stream
            gc.collect()
        wait_until(lambda: engine.connections() == 0)
    assert threading.active_count() == threads


def test_consumer_that_raises_sees_its_own_exception(script, load, engine):
    load(*(user_row(number) for number in range(1_500)))

    def consume(start):
        for _ in start():
            raise KeyError("mine")

    for start in all_streams(script).values():
        with pytest.raises(KeyError, match="mine") as caught:
            consume(start)
        assert caught.value.__context__ is None
        assert not hasattr(caught.value, "__notes__")
        del caught
        gc.collect()
        wait_until(lambda: engine.connections() == 0)


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
def test_number_that_is_not_whole_or_too_small_is_refused_at_the_call(
    script, embedded, name, function, argument
):
    others = {"page_size": 1, "offset": 0} if function == "paginate_users" else {}
    least = 0 if argument == "offset" else 1
    for bad in (least - 1, -7, True, False, "5", 5.0, 2.5, None, [5]):
        with pytest.raises(ValueError, match="must be a whole number") as caught:
            getattr(script(name), function)(**others | {argument: bad})
        wanted = f"{argument} must be a whole number of at least {least}, not {bad!r}"
        assert str(caught.value) == wanted


def test_function_that_a_learner_reads_still_holds_its_yield(script):
    for function in (script(BATCHES).stream_users_in_batches, script(PAGES).lazy_paginate):
        assert inspect.isgeneratorfunction(inspect.unwrap(function))
        assert function.__doc__.startswith("Yield")
