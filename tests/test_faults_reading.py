"""Reading user_data while the server fails: killed, cut, silent, or closed to us."""

import contextlib
import gc
import itertools
import random
import re
import threading
import time

import mysql.connector
import pytest
from conftest import ROOT, make_table, run_python, user_row, wait_until
from tcp_proxy import Proxy

import seed

ROWS = 8_000


def ids(lists):
    return (user["user_id"] for users in lists for user in users)


# What each generator yields, reduced to the user_ids, or to the ages.
STREAMS = {
    "users": lambda script: ids([script("0-stream_users")()]),
    "batches": lambda script: ids(script("1-batch_processing").stream_users_in_batches(70)),
    "pages": lambda script: ids(script("2-lazy_paginate").lazy_paginate(70)),
    "ages": lambda script: script("4-stream_ages").stream_user_ages(),
}
every_stream_and_driver = pytest.mark.parametrize(
    ("name", "each_driver"),
    [*((name, False) for name in STREAMS), ("users", True)],
    ids=[*STREAMS, "pure Python"],
    indirect=["each_driver"],
)


def expected(name: str, rows: int = ROWS) -> list:
    if name == "ages":
        return [number % 151 for number in range(rows)]
    return [user_row(number)[0] for number in range(rows)]


@pytest.fixture
def fragile(fragile):
    """A server that the test may kill, its settings the defaults, with ROWS users."""
    fragile.insert(user_row(number, number % 151) for number in range(ROWS))
    fragile.query("SET GLOBAL net_write_timeout = DEFAULT, GLOBAL lock_wait_timeout = DEFAULT")
    return fragile


@pytest.fixture
def users(script):
    return STREAMS["users"](script)


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The pauses between attempts, none of which takes any time."""
    pauses = []
    monkeypatch.setattr("time.sleep", pauses.append)
    return pauses


@pytest.fixture
def proxy(fragile, monkeypatch):
    """A proxy before the server, which the settings lead to."""
    with Proxy(fragile.server.host, fragile.server.port) as proxy:
        monkeypatch.setenv("DB_PORT", str(proxy.port))
        yield proxy


# -------------------------------------------------------- the server is lost


@every_stream_and_driver
def test_no_row_is_lost_or_repeated_after_a_server_restart(
    script, fragile, monkeypatch, name, each_driver
):
    pauses = itertools.count(1)
    monkeypatch.setattr("time.sleep", lambda _: next(pauses) == 2 and fragile.server.start())
    stream = STREAMS[name](script)
    seen = list(itertools.islice(stream, random.randrange(1, 5_000)))
    fragile.server.kill()
    seen += stream
    assert seen == expected(name)
    wait_until(lambda: fragile.connections() == 0)


def kill_connection(engine, _proxy=None) -> None:
    """Kill the one connection, as an administrator does."""
    others = "INFORMATION_SCHEMA.PROCESSLIST WHERE DB = DATABASE() AND ID <> CONNECTION_ID()"
    (connection,) = engine.query(f"SELECT ID FROM {others}")
    engine.query("KILL %s", connection)
    wait_until(lambda: engine.connections() == 0)


@every_stream_and_driver
@pytest.mark.parametrize(
    "fault", [kill_connection, lambda _, proxy: proxy.cut()], ids=["KILL", "cut"]
)
def test_no_row_is_lost_or_repeated_after_a_cut_connection(
    script, fragile, proxy, pauses, name, each_driver, fault, caplog
):
    stream = STREAMS[name](script)
    seen = list(itertools.islice(stream, 1_000))
    fault(fragile, proxy)
    seen += stream
    assert seen == expected(name)
    assert proxy.connections == 2
    assert "trying again: " in caplog.text


def test_attempts_start_again_after_each_successful_block(users, fragile, pauses):
    seen = []
    for _ in range(16):
        seen += itertools.islice(users, 400)
        kill_connection(fragile)
    seen += users
    assert seen == expected("users")
    assert len(pauses) == 16  # so each row that comes begins the count again


def test_consumer_slower_than_the_server_timeout_gets_every_row_once(
    users, fragile, each_driver, caplog
):
    fragile.insert(user_row(number) for number in range(ROWS, 3 * ROWS))
    fragile.query("UPDATE user_data SET name = REPEAT('🚀', 255)")
    fragile.query("SET GLOBAL net_write_timeout = 1")
    # By now a query asks for more than the network holds, so the server has to wait for us.
    seen = list(itertools.islice(users, 13_000))
    wait_until(lambda: fragile.connections() == 0)
    seen += users
    assert seen == expected("users", 3 * ROWS)
    assert "trying again: " in caplog.text  # so the server, not the stream, closed the connection


def test_no_row_is_lost_or_repeated_after_a_table_lock(users, fragile, monkeypatch):
    fragile.query("SET GLOBAL lock_wait_timeout = 1")
    with contextlib.closing(fragile.connect(database="prodev")) as other:
        seen = list(itertools.islice(users, 1_000))
        other.cursor().execute("LOCK TABLES user_data WRITE")
        monkeypatch.setattr("time.sleep", lambda _: other.close())  # and so unlocks it
        seen += users
        assert not other.is_connected()
    assert seen == expected("users")


@every_stream_and_driver
def test_lost_server_raises_the_drivers_error_after_growing_pauses(
    script, fragile, pauses, name, each_driver
):
    stream = STREAMS[name](script)
    seen = list(itertools.islice(stream, 1_000))
    fragile.server.kill()
    with pytest.raises(mysql.connector.Error, match="is the server running") as caught:
        seen.extend(stream)
    assert caught.value.errno == 2003
    assert seen == expected(name)[: len(seen)]
    assert len(seen) < ROWS
    shares = [pause / min(0.1 * 2**number, 5) for number, pause in enumerate(pauses)]
    assert len(shares) == 14  # between 15 attempts
    assert all(0.5 <= share <= 1 for share in shares)
    assert len(set(shares)) == len(shares)  # jitter


# ---------------------------------------------------- the server says nothing


def test_silent_server_raises_an_error_at_the_deadline(
    users, proxy, monkeypatch, tried, each_driver
):
    monkeypatch.setenv("DB_READ_TIMEOUT", "1")
    monkeypatch.setenv("DB_DEADLINE", "60")
    seen = [next(users)]
    proxy.is_silent = True
    monkeypatch.setattr("time.sleep", lambda _: setattr(proxy, "is_silent", False))
    seen += itertools.islice(users, 999)
    assert seen == expected("users", 1_000)  # silent for one attempt only: nothing is lost

    proxy.is_silent = True
    clock, slept = time.monotonic, []
    monkeypatch.setattr("time.monotonic", lambda: clock() + 58.5 * len(slept))
    monkeypatch.setattr("time.sleep", slept.append)
    with pytest.raises(mysql.connector.Error) as caught:
        list(users)
    assert seed.is_transient(caught.value)
    assert str(caught.value).count("MySQL at 127.0.0.1:") == 1
    # The last attempt had only the rest of the deadline.
    assert [options["connection_timeout"] for options in tried] == [10, 10, 1]


def test_silent_server_at_the_start_is_reported_after_one_attempt(
    users, proxy, monkeypatch, pauses, each_driver
):
    monkeypatch.setenv("DB_CONNECT_TIMEOUT", "1")
    proxy.is_silent = True
    wanted = f"cannot connect to MySQL at .*{proxy.port}.* the server does not answer: is it"
    with pytest.raises(mysql.connector.Error, match=wanted):
        next(users)
    assert (proxy.connections, pauses) == (1, [])


# ------------------------------------ permanent errors, rights, other writers


@pytest.fixture
def _poor_user(fragile):
    """A user who may connect and do nothing; one who may see the database and not the table."""
    fragile.query("DROP USER IF EXISTS poor")
    fragile.query("CREATE USER poor IDENTIFIED BY 'pence'")
    fragile.query("GRANT CREATE TEMPORARY TABLES ON prodev.* TO poor")
    fragile.query("CREATE DATABASE IF NOT EXISTS bare")


POOR = {"DB_USER": "poor", "DB_PASSWORD": "pence"}


@pytest.mark.usefixtures("_poor_user")
@pytest.mark.parametrize(
    ("settings", "number", "advice"),
    [
        ({"DB_PASSWORD": "wr0ng"}, 1045, "check DB_USER and DB_PASSWORD"),
        ({"DB_NAME": "nowhere"}, 1049, "run `python seed.py` to create it, or correct DB_NAME"),
        ({"DB_NAME": "bare"}, 1146, "run `python seed.py` to create it, or correct DB_NAME"),
        (POOR, 1142, "ask for that right"),
        (POOR | {"DB_NAME": "mysql"}, 1044, "ask for rights on that database, or correct DB_NAME"),
    ],
    ids=["password", "database", "table", "right on the table", "right on the database"],
)
def test_permanent_errors_are_reported_immediately_in_one_line(
    script, proxy, pauses, monkeypatch, settings, number, advice
):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    one_line = rf".*MySQL at 127\.0\.0\.1:{proxy.port}, database .*{re.escape(advice)}.*"
    for start in STREAMS.values():
        with pytest.raises(mysql.connector.Error) as caught:
            next(start(script))
        assert caught.value.errno == number
        assert re.fullmatch(one_line, str(caught.value))
        assert not re.search("wr0ng|pence", str(caught.value))
    assert (proxy.connections, pauses) == (len(STREAMS), [])


@pytest.mark.usefixtures("_poor_user")
def test_select_and_insert_rights_suffice_to_load_an_existing_table(fragile, tmp_path):
    fragile.query("GRANT SELECT, INSERT ON prodev.user_data TO poor")
    (tmp_path / "one.csv").write_text("name,email,age\nAda,ada@example.com,67\n")
    command = ROOT / "seed.py", tmp_path / "one.csv"
    done = run_python(*command, cwd=ROOT, settings=fragile.settings | POOR)
    assert "1 rows read, 1 added" in done.stdout, done.stderr


# ---------------------------------------------- other people, other ways out


@pytest.mark.parametrize("name", STREAMS)
def test_concurrent_inserts_and_deletes_never_hide_or_repeat_another_row(script, engine, name):
    make_table()
    engine.insert(user_row(number, age=0) for number in range(ROWS))
    stream = STREAMS[name](script)
    seen = list(itertools.islice(stream, 500))
    for number, letter in enumerate("abcdef", 1):  # the new ids are behind and ahead of the reader
        engine.query(f"DELETE FROM user_data WHERE user_id LIKE '%{number}0'")
        new = [user_row(n)[0][:-1] + letter for n in range(0, ROWS, 100)]
        engine.insert((user_id, "new", f"{user_id}@x", 1) for user_id in new)
        seen += itertools.islice(stream, 500)
    seen += stream
    untouched = [user_id for user_id in expected("users") if not user_id.endswith("0")]
    if name == "ages":
        assert len(untouched) <= seen.count(0) <= ROWS
    else:
        assert seen == sorted(set(seen))
        assert set(untouched) <= set(seen)


def test_closing_a_stream_without_a_server_raises_no_error(script, fragile, each_driver):
    threads = threading.active_count()
    streams = [start(script) for start in STREAMS.values() for _end in range(3)]
    for stream in streams:
        next(stream)
    fragile.server.kill()
    while streams:
        streams.pop().close()
        streams.pop()  # and so drops it
        gc.collect()
        with pytest.raises(KeyError) as caught, contextlib.closing(streams.pop()):
            raise KeyError("mine")
        assert not hasattr(caught.value, "__notes__")
    assert threading.active_count() == threads
