"""Reading user_data while the server fails: killed, cut, silent, closed to us; and how it is reached."""

import contextlib
import gc
import itertools
import random
import re
import threading
import time

import mysql.connector
import pytest
import trustme
from conftest import ROOT, run_python, wait_until
from tcp_proxy import Proxy

import seed
import seed_connection
import seed_retry
import seed_settings
import seed_stream

ROWS = 20_000
USER_ID = "00000000-0000-4000-8000-{:012}"

# What each generator yields, taken apart to the user_ids, or to the ages, which here tell the row too.
STREAMS = {
    "stream_users": lambda script: (user["user_id"] for user in script("0-stream_users")()),
    "stream_users_in_batches": lambda script: (
        user["user_id"]
        for batch in script("1-batch_processing").stream_users_in_batches(70)
        for user in batch
    ),
    "lazy_paginate": lambda script: (
        user["user_id"] for page in script("2-lazy_paginate").lazy_paginate(70) for user in page
    ),
    "stream_user_ages": lambda script: script("4-stream_ages").stream_user_ages(),
}
every_stream = pytest.mark.parametrize("name", STREAMS)


def expected(name: str) -> list:
    if name == "stream_user_ages":
        return [number % 151 for number in range(ROWS)]
    return [USER_ID.format(number) for number in range(ROWS)]


@pytest.fixture
def fragile(fragile):
    """A server that the test may kill, with ROWS users, each told by its id and nearly by its age."""
    fragile.query(
        "INSERT INTO user_data SELECT CONCAT('00000000-0000-4000-8000-', LPAD(seq, 12, '0')), 'n', "
        f"CONCAT('u', seq, '@example.com'), seq % 151 FROM seq_0_to_{ROWS - 1}"
    )
    return fragile


@pytest.fixture
def pauses(monkeypatch) -> list[float]:
    """The pauses between attempts, none of which takes any time."""
    pauses = []
    monkeypatch.setattr(time, "sleep", pauses.append)
    return pauses


@pytest.fixture
def proxy(fragile, monkeypatch):
    """A proxy before the server, which the settings lead to."""
    with Proxy(fragile.server.host, fragile.server.port) as proxy:
        monkeypatch.setenv("DB_PORT", str(proxy.port))
        yield proxy


def start_in_the_second_pause(monkeypatch, server) -> None:
    """Let the pauses take no time, and the server be back at the second one."""
    count = itertools.count(1)
    monkeypatch.setattr(
        seed_retry, "time", FakeTime(lambda _seconds: next(count) == 2 and server.start())
    )


class FakeTime:
    """The module time, with another sleep."""

    def __init__(self, sleep):
        self.sleep, self.monotonic = sleep, time.monotonic


# -------------------------------------------------------- the server is lost


@every_stream
def test_server_that_is_killed_and_comes_back_costs_and_repeats_no_row(
    script, fragile, monkeypatch, name, each_driver
):
    stream = STREAMS[name](script)
    seen = list(itertools.islice(stream, random.randrange(1, 12_000)))
    fragile.server.kill()
    start_in_the_second_pause(monkeypatch, fragile.server)
    seen += stream
    assert seen == expected(name)
    assert fragile.connections() == 0


def test_server_may_be_lost_many_times(script, fragile, monkeypatch):
    """More often than there are attempts: each row that comes begins their count again."""
    monkeypatch.setattr(seed_connection, "ATTEMPTS", 2)
    users = script("0-stream_users").stream_users()
    seen = []
    for _ in range(5):
        seen += itertools.islice(users, 3_000)
        kill_connection(fragile)
    seen += users
    assert [user["user_id"] for user in seen] == expected("stream_users")


def kill_connection(engine) -> None:
    with contextlib.closing(engine.connect()) as administrator:
        cursor = administrator.cursor()
        cursor.execute(
            "SELECT id FROM INFORMATION_SCHEMA.PROCESSLIST WHERE db = %s",
            (engine.settings["DB_NAME"],),
        )
        ((connection_id,),) = cursor.fetchall()
        cursor.execute(f"KILL {connection_id}")
    wait_until(lambda: engine.connections() == 0)


@every_stream
def test_connection_that_an_administrator_kills_costs_and_repeats_no_row(
    script, fragile, name, each_driver, caplog
):
    stream = STREAMS[name](script)
    seen = list(itertools.islice(stream, 1_000))
    kill_connection(fragile)
    seen += stream
    assert seen == expected(name)
    assert "trying again: " in caplog.text
    assert fragile.server.password not in caplog.text


@every_stream
def test_connection_that_is_cut_costs_and_repeats_no_row(script, proxy, name, each_driver):
    stream = STREAMS[name](script)
    seen = list(itertools.islice(stream, 1_000))
    proxy.cut()
    seen += stream
    assert seen == expected(name)
    assert proxy.connections == 2


def test_consumer_that_is_slower_than_the_server_waits_sees_every_row_once(
    script, fragile, monkeypatch, each_driver
):
    monkeypatch.setattr(seed_stream, "FIRST_SEGMENT_ROWS", 50_000)  # more than the network holds
    fragile.query("UPDATE user_data SET name = REPEAT('n', 255)")
    fragile.query("SET GLOBAL net_write_timeout = 1")
    try:
        users = script("0-stream_users").stream_users()
        seen = [next(users)]
        assert fragile.connections() == 1
        wait_until(lambda: fragile.connections() == 0)
        seen += users
    finally:
        fragile.query("SET GLOBAL net_write_timeout = 60")
    assert [user["user_id"] for user in seen] == expected("stream_users")


@every_stream
def test_server_that_stays_away_is_the_drivers_error_after_growing_pauses(
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
    assert len(pauses) == seed_connection.ATTEMPTS - 1
    shares = [pause / min(0.1 * 2**number, 5) for number, pause in enumerate(pauses)]
    assert all(0.5 <= share <= 1 for share in shares)
    assert len(set(shares)) == len(shares)  # jitter


def test_server_that_is_not_there_at_the_start_is_told_at_once(script, fragile, pauses):
    fragile.server.kill()
    with pytest.raises(mysql.connector.Error, match="is the server running"):
        next(script("0-stream_users").stream_users())
    assert pauses == []


# ---------------------------------------------------- the server says nothing


def test_server_that_falls_silent_is_an_error_within_the_deadline(
    script, proxy, monkeypatch, each_driver
):
    monkeypatch.setenv("DB_CONNECT_TIMEOUT", "1")
    monkeypatch.setenv("DB_READ_TIMEOUT", "1")
    monkeypatch.setenv("DB_DEADLINE", "3")
    users = script("0-stream_users").stream_users()
    next(users)
    proxy.is_silent = True
    with pytest.raises(mysql.connector.Error) as caught:
        list(users)
    assert caught.value.errno in (2013, 3024)
    assert seed.is_transient(caught.value)
    assert str(caught.value).count("MySQL at 127.0.0.1:") == 1
    # 1 s for the read, then 1 s for each connection: the deadline, not the count, was the end.
    assert 2 <= proxy.connections < 6


def test_one_attempt_is_bounded_by_the_read_timeout(script, proxy, monkeypatch, each_driver):
    monkeypatch.setenv("DB_READ_TIMEOUT", "1")
    users = script("0-stream_users").stream_users()
    seen = [next(users)]
    proxy.is_silent = True
    speaks_again = FakeTime(lambda _seconds: setattr(proxy, "is_silent", False))
    monkeypatch.setattr(seed_retry, "time", speaks_again)
    seen += users
    assert [user["user_id"] for user in seen] == expected("stream_users")


def test_server_that_never_said_a_word_is_an_error_of_one_attempt(
    script, proxy, monkeypatch, pauses, each_driver
):
    monkeypatch.setenv("DB_CONNECT_TIMEOUT", "1")
    proxy.is_silent = True
    with pytest.raises(
        mysql.connector.Error, match=f"cannot connect to MySQL at .*{proxy.port}"
    ) as caught:
        next(script("0-stream_users").stream_users())
    assert "the server does not answer: is it running?" in str(caught.value)
    assert pauses == []
    assert proxy.connections == 1


def test_time_outs_of_a_new_connection_are_cut_to_what_the_deadline_leaves(monkeypatch):
    given = {}
    monkeypatch.setattr(mysql.connector, "connect", lambda **options: given.update(options))
    monkeypatch.setenv("DB_HOST", "db.example.com")
    for within, wanted in ((None, (10, 60)), (30.9, (10, 30)), (4.2, (4, 4)), (-1, (1, 1))):
        seed.connect_to_prodev(within=within)
        assert (given["connection_timeout"], given["read_timeout"]) == wanted
    monkeypatch.setenv("DB_DEADLINE", "7")  # it bounds the first attempt too
    seed.connect_to_prodev()
    assert (given["connection_timeout"], given["read_timeout"]) == (7, 7)
    assert seed_settings.READ_SECONDS > 50  # InnoDB's wait for a lock is no lost connection


# ---------------------------------------------------------- what is no fault


@pytest.fixture
def _poor_user(fragile):
    """A user who may connect and do nothing; one who may see the database and not the table."""
    fragile.query("CREATE OR REPLACE USER poor IDENTIFIED BY 'pence'")
    fragile.query("GRANT CREATE TEMPORARY TABLES ON prodev.* TO poor")
    fragile.query("CREATE DATABASE IF NOT EXISTS empty")


@pytest.mark.usefixtures("_poor_user")
@pytest.mark.parametrize(
    ("settings", "number", "told"),
    [
        ({"DB_PASSWORD": "wr0ng"}, 1045, "check DB_USER and DB_PASSWORD"),
        ({"DB_NAME": "nowhere"}, 1049, "run `python seed.py` to create it, or correct DB_NAME"),
        ({"DB_NAME": "empty"}, 1146, "run `python seed.py` to create it, or correct DB_NAME"),
        ({"DB_USER": "poor", "DB_PASSWORD": "pence"}, 1142, "ask for that right"),
        (
            {"DB_USER": "poor", "DB_PASSWORD": "pence", "DB_NAME": "mysql"},
            1044,
            "ask for rights on that database, or correct DB_NAME",
        ),
    ],
    ids=["password", "database", "table", "right on the table", "right on the database"],
)
def test_what_no_second_try_can_cure_is_told_at_once_in_one_line(
    script, proxy, pauses, monkeypatch, settings, number, told
):
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    for start in STREAMS.values():
        before = proxy.connections
        with pytest.raises(mysql.connector.Error) as caught:
            next(start(script))
        assert proxy.connections == before + 1
        message = str(caught.value)
        assert caught.value.errno == number
        assert f"MySQL at 127.0.0.1:{proxy.port}, database " in message
        assert told in message
        assert "\n" not in message
        assert "wr0ng" not in message
        assert "pence" not in message
    assert pauses == []


@pytest.mark.usefixtures("_poor_user")
def test_seed_py_names_the_right_that_it_lacks(proxy, fragile):
    poor = fragile.settings | {
        "DB_USER": "poor",
        "DB_PASSWORD": "pence",
        "DB_PORT": str(proxy.port),
    }
    done = run_python(ROOT / "seed.py", cwd=ROOT, settings=poor)
    assert done.returncode == 1
    assert re.fullmatch(
        r"seed.py: 1142 .*cannot create user_data in MySQL at .*, database prodev, user poor: .*; "
        r"ask for that right, or use another DB_USER\n",
        done.stderr,
    )


@pytest.mark.usefixtures("_poor_user")
def test_right_to_read_and_insert_is_enough_to_load_into_a_table_that_is_there(fragile, tmp_path):
    fragile.query("GRANT SELECT, INSERT ON prodev.user_data TO poor")
    (tmp_path / "one.csv").write_text("name,email,age\nAda,ada@example.com,67\n")
    poor = fragile.settings | {"DB_USER": "poor", "DB_PASSWORD": "pence"}
    done = run_python(ROOT / "seed.py", tmp_path / "one.csv", cwd=ROOT, settings=poor)
    assert "1 rows read, 1 added" in done.stdout, done.stderr


# ---------------------------------------------- other people, other ways out


@every_stream
def test_rows_that_others_insert_and_delete_cost_and_repeat_no_other_row(script, fragile, name):
    if name == "stream_user_ages":
        fragile.query("UPDATE user_data SET age = 0")
    stream = STREAMS[name](script)
    seen = list(itertools.islice(stream, 500))
    for _ in range(10):  # even numbers go, and new ids come before, between and after
        fragile.query("DELETE FROM user_data WHERE CONV(RIGHT(user_id, 1), 16, 10) = 0 LIMIT 1500")
        new = random.sample(range(10**11, 10**12), 2)
        for number, prefix in zip(new, ("0", "f"), strict=True):
            user_id = prefix + USER_ID.format(number)[1:]
            fragile.query(
                "INSERT INTO user_data VALUES (%s, 'new', %s, 1)", (user_id, f"{number}@x")
            )
        seen += itertools.islice(stream, 1_000)
    seen += stream
    if name == "stream_user_ages":
        assert seen.count(0) >= ROWS * 9 // 10  # each untouched row
        return
    assert len(seen) == len(set(seen))
    assert seen == sorted(seen)
    untouched = {user_id for user_id in expected(name) if not user_id.endswith("0")}
    assert untouched <= set(seen)


@every_stream
@pytest.mark.parametrize("end", ["closed", "dropped", "consumer raises"])
def test_stream_whose_server_is_gone_ends_without_an_error_of_its_own(
    script, fragile, name, end, each_driver
):
    threads = threading.active_count()
    stream = STREAMS[name](script)
    next(stream)
    fragile.server.kill()
    if end == "closed":
        stream.close()
    elif end == "dropped":
        del stream
        gc.collect()
    else:
        with pytest.raises(KeyError, match="mine") as caught:
            raise_in(stream)
        assert not hasattr(caught.value, "__notes__")
    assert threading.active_count() == threads


def raise_in(stream) -> None:
    with contextlib.closing(stream):
        for _ in stream:
            raise KeyError("mine")


# ------------------------------------------------- TLS, and the Unix socket


REFUSED = r"cannot connect to .*check DB_SSL_CA"


@pytest.fixture(scope="module")
def tls(new_server, tmp_path_factory):
    """A server with a certificate for localhost, and a folder with its authority and another one."""
    folder = tmp_path_factory.mktemp("tls")
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    with new_server(
        f"--ssl-cert={folder / 'cert.pem'}", f"--ssl-key={folder / 'key.pem'}"
    ) as server:
        yield server, folder


def use(monkeypatch, server, **settings) -> None:
    base = {
        "DB_HOST": "localhost",
        "DB_PORT": str(server.port),
        "DB_USER": server.user,
        "DB_PASSWORD": server.password,
    }
    for name, value in (base | settings).items():
        monkeypatch.setenv(name, str(value))


def cipher() -> str:
    with contextlib.closing(seed.connect_db()) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        return cursor.fetchone()[1]


def test_certificate_of_the_authority_is_accepted_and_the_connection_encrypted(
    tls, monkeypatch, each_driver
):
    server, folder = tls
    use(monkeypatch, server, DB_SSL_CA=folder / "ca.pem")
    assert cipher()


def test_certificate_of_another_authority_or_for_another_host_is_refused(
    tls, monkeypatch, each_driver
):
    server, folder = tls
    use(monkeypatch, server, DB_SSL_CA=folder / "other.pem")
    with pytest.raises(mysql.connector.Error, match=REFUSED):
        seed.connect_db()
    use(monkeypatch, server, DB_SSL_CA=folder / "ca.pem", DB_HOST="127.0.0.1")
    with pytest.raises(mysql.connector.Error, match=REFUSED):
        seed.connect_db()


def test_server_without_tls_is_refused_where_an_authority_is_set(
    tls, fragile, monkeypatch, each_driver
):
    use(monkeypatch, fragile.server, DB_SSL_CA=tls[1] / "ca.pem")
    with pytest.raises(mysql.connector.Error, match=REFUSED):
        seed.connect_db()


def test_authority_that_is_no_file_is_named(monkeypatch):
    monkeypatch.setenv("DB_HOST", "localhost")
    monkeypatch.setenv("DB_SSL_CA", "nowhere.pem")
    with pytest.raises(FileNotFoundError, match=r"DB_SSL_CA is 'nowhere\.pem'"):
        seed.connect_db()


def test_unix_socket_is_used_instead_of_host_and_port(script, fragile, monkeypatch, each_driver):
    monkeypatch.setenv("DB_SOCKET", str(fragile.server.socket))
    monkeypatch.setenv("DB_HOST", "nowhere.invalid")
    users = script("2-lazy_paginate").paginate_users(1, 0)
    assert [user["user_id"] for user in users] == [USER_ID.format(0)]
    assert str(fragile.server.socket) in str(seed_settings.read_settings())
    monkeypatch.delenv("DB_HOST")
    assert script("2-lazy_paginate").paginate_users(1, 0) == users


def test_hosts_that_cannot_be_meant_are_named(monkeypatch):
    for hosts in (",", "a:b", "a:0", "a:70000", "[::1", "a b:c:"):
        monkeypatch.setenv("DB_HOST", hosts)
        with pytest.raises(ValueError, match=re.escape(f"DB_HOST is {hosts!r}")):
            seed.connect_db()
