"""Exercises 1 to 4, on both engines: values, laziness and clean-up."""

import contextlib
import gc
import inspect
import itertools
import random
import sqlite3
import threading
import tracemalloc

import pytest
from conftest import make_table, user_dict, user_row

import seed
import seed_connection
import seed_stream

STREAM = "0-stream_users"
BATCHES = "1-batch_processing"
PAGES = "2-lazy_paginate"
AGES = "4-stream_ages"


@pytest.fixture
def fetched(monkeypatch):
    """The number of rows that each fetch brought from the database so far."""
    counts: list[int] = []
    for name in ("_mysql_blocks", "_sqlite_blocks"):
        blocks = getattr(seed_stream, name)

        def counting(*arguments, blocks=blocks):
            for rows in blocks(*arguments):
                counts.append(len(rows))
                yield rows

        monkeypatch.setattr(seed_stream, name, counting)
    return counts


@pytest.fixture
def opened(monkeypatch):
    """The connections that the code under test has opened."""
    connections = []
    connect = seed_connection.connect_to_prodev

    def recording(**options):
        connections.append(connect(**options))
        return connections[-1]

    monkeypatch.setattr(seed_connection, "connect_to_prodev", recording)
    return connections


def all_streams(script) -> dict:
    """Every generator of the four scripts, as a function of no arguments."""
    return {
        "stream_users": script(STREAM).stream_users,
        "stream_users_in_batches": lambda: script(BATCHES).stream_users_in_batches(3),
        "lazy_paginate": lambda: script(PAGES).lazy_paginate(3),
        "stream_user_ages": script(AGES).stream_user_ages,
    }


STREAMS = ("stream_users", "stream_users_in_batches", "lazy_paginate", "stream_user_ages")


def work_done(connection) -> int:
    """Tell how much the database has done on this connection: rows read, or SQLite's own steps."""
    if isinstance(connection, sqlite3.Connection):
        if not hasattr(connection, "steps"):
            connection.steps = itertools.count()
            connection.set_progress_handler(lambda: next(connection.steps) and None, 1)
        return next(connection.steps)
    with contextlib.closing(connection.cursor()) as cursor:
        cursor.execute("SHOW SESSION STATUS LIKE 'Handler_read%'")
        return sum(
            int(count) for name, count in cursor.fetchall() if name != "Handler_read_rnd_next"
        )


# ------------------------------------------------------------- what they yield


def test_stream_users_yields_each_user_as_a_dict_in_the_order_of_the_ids(script, load):
    rows = [user_row(number, age=number % 151) for number in range(1, 1234)]
    load(*random.Random(1).sample(rows, len(rows)))
    users = list(script(STREAM).stream_users())
    assert users == [user_dict(row) for row in rows]
    assert {type(user["age"]) for user in users} == {int}
    assert list(users[0]) == ["user_id", "name", "email", "age"]


def test_stream_users_crosses_from_segment_to_segment_without_loss(script, load, monkeypatch):
    monkeypatch.setattr(seed_stream, "FIRST_SEGMENT_ROWS", 2)
    monkeypatch.setattr(seed_stream, "LAST_SEGMENT_ROWS", 5)
    monkeypatch.setattr(seed_stream, "BLOCK_ROWS", 3)
    for count in (1, 2, 5, 6, 11, 12, 31, 32):
        load(*(user_row(number) for number in range(count)))
        ids = [user["user_id"] for user in script(STREAM).stream_users()]
        assert ids == [user_row(number)[0] for number in range(count)]


def test_text_of_any_script_comes_back_as_it_was_stored(script, load):
    names = [
        "Zoë O'Brien",
        "王小明",
        "محمد",
        "🚀",
        'say "hi"',
        "two\nlines",
        "%s; --",
        "=1+1",
        " x ",
    ]
    load(*((user_row(n)[0], name, f"{n}@x", 1) for n, name in enumerate(names)))
    assert [user["name"] for user in script(STREAM).stream_users()] == names


def test_the_module_itself_can_be_called_as_the_main_file_does(script, load):
    load(user_row(1))
    assert list(script(STREAM)()) == list(script(STREAM).stream_users()) == [user_dict(user_row(1))]


@pytest.mark.parametrize(
    ("size", "lengths"), [(1, [1] * 7), (2, [2, 2, 2, 1]), (3, [3, 3, 1]), (7, [7]), (9, [7])]
)
def test_batches_hold_every_user_once_and_the_last_may_be_shorter(script, load, size, lengths):
    rows = [user_row(number) for number in range(7)]
    load(*rows)
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


def test_paginate_users_returns_one_page_by_offset_or_after_a_key(script, load):
    rows = [user_row(number) for number in range(10)]
    load(*rows)
    paginate = script(PAGES).paginate_users
    assert paginate(3, 0) == [user_dict(row) for row in rows[:3]]
    assert paginate(page_size=3, offset=8) == [user_dict(row) for row in rows[8:]]
    assert paginate(3, 10) == []
    assert paginate(3, 5, after=rows[4][0]) == [user_dict(row) for row in rows[5:8]]


@pytest.mark.parametrize("count", [0, 1, 3, 4, 6])
def test_lazy_paginate_yields_every_page_and_no_empty_one(script, load, count):
    load(*(user_row(number) for number in range(count)))
    pages = list(script(PAGES).lazy_paginate(3))
    assert [len(page) for page in pages] == [3] * (count // 3) + [count % 3] * (count % 3 > 0)
    users = [user for page in pages for user in page]
    assert users == [user_dict(user_row(number)) for number in range(count)]


def test_lazy_paginate_has_the_name_that_the_main_file_asks_for(script):
    assert script(PAGES).lazy_pagination is script(PAGES).lazy_paginate


def test_lazy_paginate_is_built_on_paginate_users(script, load, monkeypatch):
    load(*(user_row(number) for number in range(5)))
    asked = []
    paginate = script(PAGES).paginate_users

    def spy(page_size, offset, **options):
        asked.append((page_size, offset))
        return paginate(page_size, offset, **options)

    monkeypatch.setattr(script(PAGES), "paginate_users", spy)
    assert len(list(script(PAGES).lazy_paginate(2))) == 3
    assert asked == [(2, 0), (2, 2), (2, 4), (2, 5)]


def test_a_page_costs_the_database_the_same_at_the_end_of_the_table(script, load, monkeypatch):
    load(*(user_row(number) for number in range(2_000)))
    costs = []
    paginate = script(PAGES).paginate_users

    def measure(page_size, offset, after, reader):
        before = reader.run(work_done)
        page = paginate(page_size, offset, after=after, reader=reader)
        costs.append(reader.run(work_done) - before)
        return page

    monkeypatch.setattr(script(PAGES), "paginate_users", measure)
    assert len(list(script(PAGES).lazy_paginate(100))) == 20
    assert costs[19] <= 1.1 * costs[1]
    with seed.open_reader() as reader:
        assert measure(100, 1_900, None, reader)
    assert costs[-1] > 2 * costs[1]  # so the measure tells the difference: this is by offset


def test_pages_miss_and_repeat_nothing_while_others_insert_and_delete(script, engine, load):
    rows = [user_row(number * 10) for number in range(100)]
    load(*rows)
    pages = script(PAGES).lazy_paginate(10)
    seen = next(pages)
    doomed = {row[0] for row in rows[::3]}
    for user_id in doomed:
        engine.query("DELETE FROM user_data WHERE user_id = %s", (user_id,))
    for number in range(1, 1000, 7):
        if number % 10:
            engine.query("INSERT INTO user_data VALUES (%s, %s, %s, %s)", user_row(number))
    seen += [user for page in pages for user in page]
    ids = [user["user_id"] for user in seen]
    assert ids == sorted(set(ids))
    assert {row[0] for row in rows} - doomed <= set(ids)


def test_ages_are_plain_numbers_one_by_one(script, load):
    load(*(user_row(number, age) for number, age in enumerate((3, 0, 150))))
    assert list(script(AGES).stream_user_ages()) == [3, 0, 150]


def test_average_is_exact_printed_with_two_decimals_and_returned(script, load, capsys):
    load(*(user_row(number, age) for number, age in enumerate((1, 2, 2))))
    assert script(AGES).calculate_average_age() == 5 / 3
    assert capsys.readouterr().out == "Average age of users: 1.67\n"


def test_average_of_an_empty_table_is_zero(script, load, capsys):
    load()
    average = script(AGES).calculate_average_age()
    assert (average, type(average)) == (0, float)
    assert capsys.readouterr().out == "Average age of users: 0.00\n"


def test_average_has_the_other_names_it_is_called_by(script):
    ages = script(AGES)
    assert ages.average_age is ages.compute_average_age is ages.calculate_average_age


def test_average_is_not_computed_by_the_database(script, load, monkeypatch, capsys):
    load(user_row(1, 10))
    monkeypatch.setattr(script(AGES), "stream_user_ages", lambda: iter([1, 2, 6]))
    assert script(AGES).calculate_average_age() == 3


@pytest.mark.parametrize("name", STREAMS)
def test_empty_table_yields_nothing(script, load, name):
    load()
    assert list(all_streams(script)[name]()) == []


def test_order_is_that_of_the_ids_whatever_the_order_of_the_table(script, embedded):
    embedded.query("CREATE TABLE user_data (user_id TEXT, name TEXT, email TEXT, age INTEGER)")
    rows = [user_row(number) for number in range(1_200)]
    for row in random.Random(3).sample(rows, len(rows)):
        embedded.query("INSERT INTO user_data VALUES (%s, %s, %s, %s)", row)
    assert list(script(STREAM).stream_users()) == [user_dict(row) for row in rows]
    assert [page[0] for page in script(PAGES).lazy_paginate(1_000)] == [
        user_dict(rows[0]),
        user_dict(rows[1_000]),
    ]


def test_table_may_be_altered_while_a_consumer_pauses_between_pages(
    script, mysql_engine, monkeypatch
):
    with contextlib.closing(seed.connect_db()) as connection:
        seed.create_database(connection)
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        seed.create_table(connection)
        seed.insert_data(connection, "user_data.csv")
    pages = script(PAGES).lazy_paginate(10)
    next(pages)
    database = mysql_engine.settings["DB_NAME"]
    with contextlib.closing(mysql_engine.connect(database=database)) as connection:
        connection.cursor().execute("SET SESSION lock_wait_timeout = 1")
        connection.cursor().execute("ALTER TABLE user_data ADD COLUMN note TEXT")
    assert len(next(pages)) == 10


def test_table_made_by_others_gives_whole_ages_as_int_and_others_as_they_are(script, mysql_engine):
    with contextlib.closing(seed.connect_db()) as connection:
        seed.create_database(connection)
    mysql_engine.query(
        "CREATE TABLE user_data (user_id VARCHAR(9) PRIMARY KEY, name TEXT, email TEXT, "
        "age DECIMAL(5,2))"
    )
    mysql_engine.query("INSERT INTO user_data VALUES ('a', 'A', NULL, 67), ('b', 'B', 'b@x', 67.5)")
    users = list(script(STREAM).stream_users())
    assert repr([user["age"] for user in users]) == "[67, Decimal('67.50')]"
    assert users[0] == {"user_id": "a", "name": "A", "email": None, "age": 67}
    assert users == script(PAGES).paginate_users(2, 0)
    assert repr(list(script(AGES).stream_user_ages())) == "[67, Decimal('67.50')]"
    assert script(AGES).calculate_average_age() == 67.25


# ----------------------------------------------------------------- how lazily


@pytest.mark.parametrize("name", STREAMS)
def test_nothing_is_opened_before_the_first_row_is_asked_for(script, load, opened, name):
    load(user_row(1))
    stream = all_streams(script)[name]()
    assert inspect.isgenerator(stream)
    assert opened == []
    next(stream)
    assert len(opened) == 1


def test_first_user_comes_with_a_fraction_of_the_table(script, load, fetched):
    load(*(user_row(number) for number in range(2_000)))
    users = script(STREAM).stream_users()
    next(users)
    assert sum(fetched) <= 500
    for _ in itertools.islice(users, 999):
        pass
    assert sum(fetched) < 2_000
    assert len(list(users)) == 1_000
    assert max(fetched) <= seed_stream.BLOCK_ROWS


def test_next_batch_is_fetched_only_when_asked_for(script, load, fetched, monkeypatch):
    monkeypatch.setattr(seed_stream, "BLOCK_ROWS", 1)
    load(*(user_row(number) for number in range(10)))
    batches = script(BATCHES).stream_users_in_batches(3)
    next(batches)
    assert len(fetched) == 3
    next(batches)
    assert len(fetched) == 6


def test_next_page_is_fetched_only_when_asked_for(script, load, monkeypatch):
    load(*(user_row(number) for number in range(9)))
    asked = []
    paginate = script(PAGES).paginate_users
    monkeypatch.setattr(
        script(PAGES), "paginate_users", lambda *a, **k: asked.append(a) or paginate(*a, **k)
    )
    pages = script(PAGES).lazy_paginate(3)
    assert asked == []
    next(pages)
    assert len(asked) == 1
    next(pages)
    assert len(asked) == 2


def test_a_paused_stream_keeps_no_writer_waiting(script, load, engine):
    load(*(user_row(number) for number in range(1_500)))
    for name, start in all_streams(script).items():
        stream = start()
        next(stream)
        with contextlib.closing(_impatient(engine)) as writer:
            writer.cursor().execute(f"UPDATE user_data SET name = '{name}'")
            writer.commit()
        stream.close()


def _impatient(engine):
    """A connection that raises at once instead of waiting for a lock."""
    if engine.server is None:
        connection = engine.connect()
        connection.execute("PRAGMA busy_timeout = 0")
    else:
        connection = engine.connect(database=engine.settings["DB_NAME"])
        connection.cursor().execute("SET SESSION innodb_lock_wait_timeout = 1")
    return connection


# ------------------------------------------------------------- how they end


@pytest.mark.parametrize("name", STREAMS)
@pytest.mark.parametrize("end", ["exhausted", "closed", "dropped"])
def test_no_connection_is_left_however_a_stream_ends(script, load, engine, name, end):
    load(*(user_row(number) for number in range(1_500)))
    threads = threading.active_count()
    stream = all_streams(script)[name]()
    next(stream)
    assert engine.connections() > 0
    if end == "exhausted":
        for _ in stream:
            pass
    elif end == "closed":
        stream.close()
    else:
        del stream
        gc.collect()
    assert engine.connections() == 0
    assert threading.active_count() == threads


@pytest.fixture
def long_segment(mysql_engine, monkeypatch) -> None:
    """A table whose first segment is far more than the network holds on its way."""
    monkeypatch.setattr(seed_stream, "FIRST_SEGMENT_ROWS", 50_000)
    make_table()
    mysql_engine.query(
        "INSERT INTO user_data SELECT CONCAT('00000000-0000-4000-8000-', LPAD(seq, 12, '0')), "
        "REPEAT('n', 255), CONCAT(REPEAT('e', 240), seq, '@x'), 30 FROM seq_1_to_40000"
    )


def test_pure_python_driver_gives_the_same_users(script, long_segment, each_driver):
    users = list(script(STREAM).stream_users())
    assert len(users) == 40_000
    assert users[-1]["user_id"] == "00000000-0000-4000-8000-000000040000"
    assert users[-1]["email"] == "e" * 240 + "40000@x"
    assert {type(user["age"]) for user in users} == {int}


@pytest.mark.parametrize("name", STREAMS)
def test_consumer_that_raises_sees_its_own_exception(script, load, engine, name):
    load(*(user_row(number) for number in range(1_500)))

    def consume():
        for _ in all_streams(script)[name]():
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine") as caught:
        consume()
    assert caught.value.__context__ is None
    assert not hasattr(caught.value, "__notes__")
    del caught
    gc.collect()
    assert engine.connections() == 0


def test_exception_thrown_into_a_stream_comes_out_unchanged(script, load, engine):
    load(*(user_row(number) for number in range(1_500)))
    for start in all_streams(script).values():
        stream = start()
        next(stream)
        error = RuntimeError("thrown")
        with pytest.raises(RuntimeError) as caught:
            stream.throw(error)
        assert caught.value is error
        assert engine.connections() == 0


def test_page_that_is_asked_for_alone_leaves_no_connection(script, load, engine):
    load(user_row(1))
    script(PAGES).paginate_users(1, 0)
    assert engine.connections() == 0


def test_memory_of_a_stream_does_not_grow_with_the_table(script, load):
    load(*(user_row(number) for number in range(20_000)))
    peaks = []
    for rows in (2_000, 20_000):
        tracemalloc.start()
        for _user in itertools.islice(script(STREAM).stream_users(), rows):
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] - peaks[0] < 100_000  # bytes; 18,000 users more would be 9 million


# ------------------------------------------------------------- bad arguments


@pytest.mark.parametrize("bad", [0, -1, True, False, "5", 5.0, None, [5]])
@pytest.mark.parametrize(
    ("name", "function", "argument"),
    [
        (BATCHES, "stream_users_in_batches", "batch_size"),
        (BATCHES, "batch_processing", "batch_size"),
        (PAGES, "lazy_paginate", "page_size"),
        (PAGES, "paginate_users", "page_size"),
    ],
)
def test_size_that_is_no_whole_number_of_at_least_1_is_refused_at_the_call(
    script, embedded, name, function, argument, bad
):
    others = {"offset": 0} if function == "paginate_users" else {}
    with pytest.raises(ValueError, match="must be a whole number") as caught:
        getattr(script(name), function)(bad, **others)
    assert str(caught.value) == f"{argument} must be a whole number of at least 1, not {bad!r}"


@pytest.mark.parametrize("bad", [-1, True, "0", 0.0])
def test_offset_that_is_no_whole_number_is_refused(script, embedded, bad):
    with pytest.raises(ValueError, match="offset must be a whole number of at least 0, not"):
        script(PAGES).paginate_users(1, bad)


def test_function_that_a_learner_reads_still_holds_its_yield(script):
    for function in (script(BATCHES).stream_users_in_batches, script(PAGES).lazy_paginate):
        assert inspect.isgeneratorfunction(inspect.unwrap(function))
        assert function.__doc__.startswith("Yield")
