"""Loading user_data: stopped at any moment, two at once, and files, servers and disks that refuse."""

import contextlib
import gzip
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mysql.connector
import pytest
from conftest import csv_text, make_table, run_python, user_dict, user_row, wait_until
from tcp_proxy import Proxy
from test_seed import on_mysql, rejected, stored

import seed

slow = pytest.mark.slow
on_embedded = pytest.mark.parametrize("engine", ["embedded"], indirect=True)
on_fragile = pytest.mark.parametrize("engine", ["fragile"], indirect=True)

# Runs a script as its own program, under conditions that only the process itself can set: a limit to
# the size of its files, to die from passing it, a user without rights. Before the rights are given up
# all modules are imported, since the interpreter may be where that user cannot read.
PROGRAM = """
import codecs, json, os, resource, runpy, signal, sys
import aiosqlite, dotenv, mysql.connector

options, sys.argv = json.loads(sys.argv[1]), sys.argv[2:]
sys.path[0] = os.path.dirname(sys.argv[0])
signal.signal(signal.SIGINT, signal.default_int_handler)
if "unprivileged" in options and os.geteuid() == 0:
    codecs.lookup("utf-8-sig")
    runpy.run_path(sys.argv[0])
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
if "dies_at" in options:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
if size := options.get("dies_at") or options.get("full_at"):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def start(script, *arguments, settings) -> subprocess.Popen:
    """Start a script as PROGRAM does, and do not wait for it."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, "{}", script, *arguments],
        env={**os.environ, **settings, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(script, *arguments, settings=None, **options):
    words = ("-c", PROGRAM, json.dumps(options), script, *arguments)
    return run_python(*words, cwd=script.parent, settings=settings)


# ------------------------------------------- stopped at any moment and run again

ROWS = 20_000
FILE = [user_row(number, age=number % 151) for number in range(ROWS)]
BAD_LINES = range(7, ROWS, 1999)  # by their number in the file
# Stored before the load: one that the file contradicts, one that is not there, some that it repeats.
EARLIER = [user_row(3, age=99), user_row(ROWS + 5), *FILE[50:2_000:50]]
WHOLE = sorted([*(row for row in FILE if row[0] != EARLIER[0][0]), *EARLIER[:2]])
REFUSED = [
    ("5", "stored already with another age: 99", ",".join(map(str, FILE[3]))),
    *((str(line), "1 fields, not 4", "bad") for line in BAD_LINES),
]


@pytest.fixture
def big(engine, tmp_path) -> Path:
    """A file of ROWS users and some lines that are none; some users are stored already."""
    lines = csv_text(FILE).splitlines(keepends=True)
    for line in BAD_LINES:
        lines.insert(line - 1, "bad\n")
    path = tmp_path / "users.csv"
    path.write_text("".join(lines), newline="")
    make_table()
    engine.insert(EARLIER)
    return path


def assert_that_run_again_it_ends_as_one_clean_run(engine, clone: Path, big: Path) -> None:
    assert stored(engine) in (sorted(EARLIER), WHOLE)  # all or nothing
    done = run_python(clone / "seed.py", big, cwd=clone, settings=engine.settings)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    summary = r"users\.csv: (\d+) rows read, (\d+) added, (\d+) already present, (\d+) refused"
    read, added, present, refused = map(int, re.search(summary, done.stdout).groups())
    assert (read, refused) == (ROWS + len(BAD_LINES), len(REFUSED))
    assert (added, present) in ((0, ROWS - 1), (ROWS - len(EARLIER) + 1, len(EARLIER) - 2))
    assert stored(engine) == WHOLE
    assert sorted(rejected(big.parent)) == sorted(REFUSED)


# How the load is stopped, and its exit status then.
FAULTS = {
    "kill -9": (lambda load, server, proxy: load.kill(), -signal.SIGKILL),
    "Ctrl-C": (lambda load, server, proxy: load.send_signal(signal.SIGINT), 130),
    "server killed": (lambda load, server, proxy: server.kill(), 1),
    "connection cut": (lambda load, server, proxy: proxy.cut(), 1),
}
# When: so many bytes have reached the server, or so many of what matches.
COMMIT = rb"\x03(\x00\x01)?commit"  # on MySQL a command has two more bytes
MOMENTS = {
    "while it connects": (b"_client_name", 5),
    "while it looks for the table": (b"user_data", 5),
    "while it waits for its turn": (b"get_lock", 5),
    "as its turn comes": (b"get_lock.*", 999),
    "in its first rows": (b"u0@example.com", 5),
    "in the middle": (ROWS * 35, 0),
    "before COMMIT": (COMMIT, -4),
    "in COMMIT": (COMMIT, 5),
    "after COMMIT": (COMMIT, 99),
    "while it unlocks": (b"release_lock", 5),
}
QUICK = {"in the middle", "in COMMIT"}


@pytest.fixture(scope="module")
def fragile_server(plaintext_server):
    """A server whose traffic a proxy can read."""
    return plaintext_server


def stopped_load(program: Path, path: Path, engine, moment: str, fault: str):
    """Load through a proxy, stop it at that moment; return the exit status and what it printed."""
    at, skip = MOMENTS[moment]
    is_started = threading.Event()
    with Proxy(engine.server.host, engine.server.port) as proxy:

        def act():
            is_started.wait()
            FAULTS[fault][0](load, engine.server, proxy)

        proxy.act_at(at, act, skip)
        load = start(program, path, settings=engine.settings | {"DB_PORT": str(proxy.port)})
        is_started.set()
        out, err = load.communicate(timeout=120)
    return load.returncode, out, err


@on_fragile
@pytest.mark.parametrize(
    "moment", [pytest.param(name, marks=() if name in QUICK else slow) for name in MOMENTS]
)
@pytest.mark.parametrize("fault", FAULTS)
def test_load_stopped_at_any_moment_and_run_again_equals_one_clean_run(
    engine, clone, big, fault, moment
):
    server = engine.server
    returncode, out, err = stopped_load(clone / "seed.py", big, engine, moment, fault)
    assert returncode == FAULTS[fault][1], err
    assert "added" not in out
    told = r"seed\.py: .*run it again, nothing is stored twice\n" if returncode == 1 else ""
    assert re.fullmatch(told, err)
    assert server.password not in err
    if server.process.poll() is not None:
        server.start()
    if fault != "kill -9":  # after which no code can clean up
        assert list(big.parent.glob("*reject*")) == list(big.parent.glob(".*reject*")) == []
    assert_that_run_again_it_ends_as_one_clean_run(engine, clone, big)
    wait_until(lambda: engine.connections() == 0)


@slow
@on_fragile
def test_ctrl_c_while_the_first_rows_are_sent_never_crashes_the_driver(engine, clone, big):
    """Two threads on one connection end in its C code, about every seventh time at this moment."""
    for _ in range(20):
        stopped = stopped_load(clone / "seed.py", big, engine, "in its first rows", "Ctrl-C")
        assert stopped == (130, "Table user_data created successfully\n", "")


@on_fragile
def test_lost_reply_to_commit_is_an_error_and_a_rerun_adds_nothing(
    engine, monkeypatch, each_driver, clone, big
):
    told = r"^(2013|2055)\b.*run it again, nothing is stored twice$"
    with Proxy(engine.server.host, engine.server.port) as proxy:
        monkeypatch.setenv("DB_PORT", str(proxy.port))
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            proxy.lose_reply_to(COMMIT)
            with pytest.raises(mysql.connector.Error, match=told):
                seed.insert_data(connection, big)
    assert stored(engine) == WHOLE  # it was the reply that was lost
    assert_that_run_again_it_ends_as_one_clean_run(engine, clone, big)


@on_embedded
def test_ctrl_c_while_a_load_writes_the_file_stores_all_or_nothing(engine, clone, big):
    file = Path(engine.settings["DB_FILE"])
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN")
        other.execute("SELECT * FROM user_data").fetchone()  # a reader keeps others from COMMIT
        load = start(clone / "seed.py", big, settings=engine.settings)
        wait_until(Path(f"{file}-journal").exists)
        load.send_signal(signal.SIGINT)
    _out, err = load.communicate(timeout=120)
    assert load.returncode == 130, err
    assert "Traceback" not in err
    assert_that_run_again_it_ends_as_one_clean_run(engine, clone, big)


@on_embedded
@pytest.mark.parametrize("size", [pytest.param(4_096, marks=slow), 32_768, 2_000_000])
def test_load_killed_in_any_write_and_run_again_equals_one_clean_run(engine, clone, big, size):
    """The system kills it in the write that would make a file larger than `size`."""
    done = run(clone / "seed.py", big, settings=engine.settings, dies_at=size)
    assert done.returncode == -signal.SIGXFSZ
    assert_that_run_again_it_ends_as_one_clean_run(engine, clone, big)


# ------------------------------------------------------ two loads at the same time


def test_two_concurrent_loads_both_succeed(engine, clone, tmp_path):
    make_table()
    loads = []
    database = {"database": engine.settings["DB_NAME"]} if engine.server else {}
    with contextlib.closing(engine.connect(**database)) as other:  # keeps both waiting
        other.cursor().execute("LOCK TABLES user_data WRITE" if database else "BEGIN EXCLUSIVE")
        for name, rows in (("one.csv", FILE), ("opposite.csv", FILE[::-1])):
            (tmp_path / name).write_text(csv_text(rows), newline="")
            loads.append(start(clone / "seed.py", tmp_path / name, settings=engine.settings))
        if database:
            wait_until(lambda: engine.connections() == 3)
        else:  # each says that it opens the file
            assert all(load.stderr.readline() for load in loads)
    outputs = [load.communicate(timeout=120) for load in loads]
    assert [load.returncode for load in loads] == [0, 0], outputs
    assert stored(engine) == FILE
    out = "".join(out for out, _ in outputs)
    for counted in ("added", "already present"):
        assert sum(map(int, re.findall(rf"(\d+) {counted}", out))) == ROWS


@on_mysql
def test_load_with_an_old_snapshot_sees_what_another_load_stored(engine, load, tmp_path):
    load(user_row(1))
    rows = [user_row(number) for number in range(1, 3_000)]
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        connection.start_transaction()
        cursor = connection.cursor()
        for added in (2_998, 0):  # the second time, what is counted is the snapshot
            cursor.execute("SELECT COUNT(*) FROM user_data")
            assert cursor.fetchone() == (1,)
            assert load(*rows).added == added
        (tmp_path / "again.csv").write_text(csv_text([*rows, user_row(5, 99), user_row(9_999)]))
        assert seed.insert_data(connection, tmp_path / "again.csv") == (3_001, 1, 2_999, 1)
    assert rejected(tmp_path, "again.csv")[0][1] == "stored already with another age: 30"
    assert stored(engine) == [*rows, user_row(9_999)]


def test_no_batch_is_stored_after_a_deadlock_even_with_autocommit(mysql_engine, tmp_path):
    make_table()
    (tmp_path / "users.csv").write_text(csv_text(FILE[:6_000]))  # three batches
    database = mysql_engine.settings["DB_NAME"]
    waits = "SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"
    with (
        contextlib.closing(mysql_engine.connect(database=database)) as other,
        contextlib.closing(seed.connect_to_prodev()) as connection,
        ThreadPoolExecutor(1) as pool,
    ):
        connection.autocommit = True  # commits what comes after a transaction that has ended
        cursor = other.cursor(buffered=True)
        # Row 1,000, and so much more work that the load is the victim.
        rows = [FILE[1_000], *FILE[10_000:15_000]]
        cursor.executemany("INSERT INTO user_data VALUES (%s, %s, %s, %s)", rows)
        load = pool.submit(seed.insert_data, connection, tmp_path / "users.csv")
        wait_until(lambda: mysql_engine.query(waits)[0][1] == "1")
        cursor.execute("SELECT * FROM user_data WHERE user_id = %s FOR UPDATE", FILE[0][:1])
        with pytest.raises(mysql.connector.Error, match=r"^1213 .*run it again"):
            load.result(60)
    assert stored(mysql_engine) == []


@on_embedded
def test_first_use_adds_nothing_to_a_table_that_appears_meanwhile(engine, script, monkeypatch):
    connect = sqlite3.connect
    with contextlib.closing(engine.connect()) as other:
        other.execute("BEGIN IMMEDIATE")
        other.execute("CREATE TABLE user_data AS SELECT '1' user_id, 'Ada' name, 'a' email, 36 age")

        def traced(*arguments, **options):  # commits once the first use has seen no table
            connection = connect(*arguments, **options)
            connection.set_trace_callback(lambda sql: sql == "BEGIN IMMEDIATE" and other.commit())
            return connection

        monkeypatch.setattr("sqlite3.connect", traced)
        users = list(script("0-stream_users").stream_users())
        assert (users, other.in_transaction) == ([user_dict(("1", "Ada", "a", 36))], False)


# --------------------------------------------------- larger than the server takes

# What grows most on its way: in JSON, in a quoted string, in UTF-8.
GROWING = ["\x01", "\x1f", "\\", '"', "'", "\x1a", "\n", "\r", "é", "王", "🚀", "\u2028", "n"]


@pytest.fixture
def limit_packets(fragile):
    """Set the server's max_allowed_packet for new connections; put the default back in the end."""

    def limit_packets(size: int | str) -> None:
        fragile.query(f"SET GLOBAL max_allowed_packet = {size}")
        fragile.query(f"SET GLOBAL net_buffer_length = {size}")  # no less is ever enforced

    yield limit_packets
    limit_packets("DEFAULT")


@on_fragile
def test_batch_larger_than_a_packet_is_split_and_stored(engine, load, limit_packets, each_driver):
    limit_packets(16_384)
    rows = [  # so many that they fill a batch; their ids are made, and grow it too
        (str(uuid.uuid5(uuid.NAMESPACE_URL, email)), text * 254 + "x", email, 1)
        for number, text in enumerate(GROWING * 20)
        if (email := f"{text.strip() * 240}{number}@x")
    ]
    text = csv_text(row[1:] for row in rows).replace("user_id,", "", 1)
    assert load(text=text) == (len(rows), len(rows), 0, 0)
    assert load(text=text) == (len(rows), 0, len(rows), 0)
    assert stored(engine) == sorted(rows)


@on_fragile
def test_row_larger_than_a_packet_is_an_error_with_advice(engine, load, limit_packets, each_driver):
    limit_packets(1_024)
    told = "cannot load users.csv into MySQL at .* raise the server's max_allowed_packet"
    with pytest.raises(mysql.connector.Error, match=told):
        load(user_row(1), (user_row(2)[0], "🚀" * 255, "large@example.com", 1))
    assert stored(engine) == []


# ---------------------------------------------------------- invalid files and rows

TEXT = csv_text([user_row(1)])
HEADER = "the header must be"
BAD_FILES = {
    "empty": (b"", HEADER),
    "no header": (TEXT.partition("\r\n")[2].encode(), HEADER),
    "a column twice": (b"user_id,name,email,age,age\n", HEADER),
    "semicolons": (TEXT.replace(",", ";").encode(), HEADER),
    "unclosed quote": (b'user_id,"name,email,age\n' + TEXT.encode(), "not a CSV header"),
    "blank line before the header": (b"\n" + TEXT.encode(), HEADER),
    "UTF-16": (TEXT.encode("utf-16"), "the file is UTF-16; save it as UTF-8"),
    "compressed": (gzip.compress(TEXT.encode()), HEADER),
    "zeros": (bytes(3 << 20), "a row of more than"),
}


@on_embedded
@pytest.mark.parametrize("case", BAD_FILES)
def test_invalid_file_is_named_with_its_line_and_changes_nothing(engine, load, tmp_path, case):
    load(user_row(1))
    content, reason = BAD_FILES[case]
    with pytest.raises(ValueError, match="line") as caught:
        load(text=content, name="bad.csv")
    assert str(caught.value).startswith(f"{tmp_path / 'bad.csv'}, line 1: {reason}")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert stored(engine) == [user_row(1)]
    assert not (tmp_path / "bad.csv.rejected").exists()


GOOD = user_row(1)
RIGHT = {"user_id": user_row(0)[0], "name": "Ada", "email": "a@x", "age": "1"}
ID = RIGHT["user_id"]
NUMBERS = ["-0", "+5", "67.05", "151", "100000000000", "1e2", "0x1f", "1_0", "NaN", "\uff11"]
BAD_VALUES = [
    ("age", "{!r} is not a whole number from 0 to 150", NUMBERS),
    ("email", "{!r} is not an address", ["ada", "@x", "a@", "a@x ", "a\u2028@x"]),
    ("email", f"{GOOD[2]} belongs to the stored user {GOOD[0]}", [GOOD[2]]),
    ("user_id", "{!r} is not a UUID", ["123", ID[:-1], f"{ID[:-1]}g", f" {ID}", f"{{{ID}}}"]),
    ("user_id", f"{GOOD[0]} belongs to the stored user {GOOD[2]}", [GOOD[0]]),
    *((column, "is blank", ["", " ", "\u3000\u00a0"]) for column in ("name", "email", "age")),
    *((column, "holds a NUL byte", [f"{value}\0"]) for column, value in RIGHT.items()),
    *((column, "is not UTF-8", ["\udce9", "\udced\udca0\udc80"]) for column in RIGHT),
    *((column, "has 256 characters, more than 255", ["e@" * 128]) for column in ("name", "email")),
]
BAD_ROWS = [
    *(
        (",".join((RIGHT | {column: value}).values()), f"{column} {reason.format(value)}")
        for column, reason, values in BAD_VALUES
        for value in values
    ),
    ("Ada,a@x,1", "3 fields, not 4"),
    (f"{ID},Ada,a@x,1,2", "5 fields, not 4"),
    (f'{ID},"Ada"x,a@x,1', "not a CSV row, up to line LINE: ',' expected after '\"'"),
    ("x" * 140_000, "not a CSV row, up to line LINE: field larger than field limit (131072)"),
]


def test_invalid_rows_are_refused_with_reasons_and_the_others_loaded(engine, load, tmp_path):
    text, good, refused = csv_text([GOOD]), [GOOD], []
    for number, (row, reason) in enumerate(BAD_ROWS):
        line = 3 + 2 * number
        refused.append((line, reason.replace("LINE", str(line)), row))
        good.append(user_row(100 + number))
        text += f"{row}\n{','.join(map(str, good[-1]))}\n"
    counts = load(text=text.encode("utf-8", "surrogateescape"))
    assert counts == (1 + 2 * len(BAD_ROWS), len(good), 0, len(BAD_ROWS))
    assert stored(engine) == good
    told = csv_text(refused).replace("user_id,name,email,age", "line,reason,row", 1)
    assert (tmp_path / "users.csv.rejected").read_bytes() == told.encode("utf-8", "surrogateescape")


# ------------------------------------------------- no space, no right to write

AGES = "python-generators-0x00/4-stream_ages.py"
SCRIPTS = {
    "seed.py": ("ALX_prodev.sqlite3", "user_data.csv: 1000 rows read"),
    AGES: ("ALX_prodev.sqlite3", "Average age of users: 47.75"),
    "python-decorators-0x01/1-with_db_connection.py": ("users.db", "(1, 'José Cohen', "),
}
every_script = pytest.mark.parametrize("script", SCRIPTS)


@pytest.fixture
def public(clone):
    """A copy of the project, without databases, in a folder that a user without rights can reach."""
    ignore = shutil.ignore_patterns("users.db", "*.sqlite3", "tests", "benchmarks")
    with tempfile.TemporaryDirectory(prefix="prodev-") as folder:
        copy = shutil.copytree(clone, Path(folder, "project"), ignore=ignore)
        Path(folder).chmod(0o755)
        yield copy


def make_read_only(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


@every_script
@pytest.mark.parametrize("size", [1, pytest.param(5_000, marks=slow), 40_000])
@pytest.mark.parametrize("fault", ["full_at", "dies_at"])
def test_run_after_a_full_disk_or_a_crash_succeeds(public, script, size, fault):
    name, shown = SCRIPTS[script]
    before = set(public.rglob("*"))
    done = run(public / script, **{fault: size})
    assert shown not in done.stdout
    if fault == "dies_at":
        assert done.returncode == -signal.SIGXFSZ
    else:
        assert re.search("free some space", told(done, public / name))
        assert {path.name for path in set(public.rglob("*")) - before} <= {name} - {"users.db"}
    again = run_python(public / script, cwd=public)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[script == "seed.py"].startswith(shown)
    table = "users" if name == "users.db" else "user_data"
    with contextlib.closing(sqlite3.connect(public / name)) as connection:
        assert connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (1_000,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def told(done: subprocess.CompletedProcess, file: Path) -> str:
    """The one line about the file with which the program failed."""
    (message,) = (line for line in done.stderr.splitlines() if "DB_HOST is not set" not in line)
    assert done.returncode == 1
    assert str(file) in message
    return message


@every_script
def test_read_only_folder_is_named_and_left_unchanged(public, script):
    name, shown = SCRIPTS[script]
    make_read_only(public)
    before = set(public.rglob("*"))
    done = run(public / script, unprivileged=True)
    assert shown not in done.stdout
    assert re.search("set DB_FILE to another|get write access", told(done, public / name))
    assert set(public.rglob("*")) == before


def test_read_only_database_is_read_and_a_load_into_it_is_an_error(public):
    file = public / "ALX_prodev.sqlite3"
    assert run_python(public / "seed.py", cwd=public).returncode == 0
    make_read_only(public)
    content = file.read_bytes()
    done = run(public / AGES, unprivileged=True)
    assert (done.returncode, done.stdout) == (0, "Average age of users: 47.75\n"), done.stderr
    message = told(run(public / "seed.py", unprivileged=True), file)
    assert "attempt to write a readonly database; you may not write to its file" in message
    assert file.read_bytes() == content


# ------------------------------------------------------------ read-only servers


def use_plain_user(monkeypatch, engine) -> None:
    """Let the settings name a user who may not write to a read-only server."""
    with contextlib.closing(engine.connect()) as connection:
        connection.cursor().execute("CREATE USER IF NOT EXISTS plain IDENTIFIED BY 'plain'")
        connection.cursor().execute("GRANT ALL ON `prodev%`.* TO plain")
    user = {"user": "plain", "password": "plain"}
    # By the socket first: then MySQL knows the password, and takes it by TCP without TLS, too.
    socket = str(engine.server.socket)
    mysql.connector.connect(unix_socket=socket, collation="utf8mb4_general_ci", **user).close()
    monkeypatch.setenv("DB_USER", "plain")
    monkeypatch.setenv("DB_PASSWORD", "plain")


@pytest.fixture
def read_only(fragile, monkeypatch) -> Iterator:
    """A server that is read-only for the user of the settings."""
    use_plain_user(monkeypatch, fragile)
    fragile.query("SET GLOBAL read_only = ON")
    yield fragile
    fragile.query("SET GLOBAL read_only = OFF")


def test_read_only_server_is_reported_immediately(read_only, monkeypatch, tmp_path):
    monkeypatch.setattr("time.sleep", (pauses := []).append)
    path = tmp_path / "users.csv"
    path.write_text(csv_text([user_row(1)]))
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        monkeypatch.setenv("DB_NAME", "prodev_new")
        for write in (seed.create_database, lambda connection: seed.insert_data(connection, path)):
            with pytest.raises(
                mysql.connector.Error, match="use one that accepts writes"
            ) as caught:
                write(connection)
            assert caught.value.errno == 1290
    assert pauses == []


def test_creating_and_loading_go_on_at_a_node_that_takes_writes(
    read_only, mysql_engine, monkeypatch, tmp_path
):
    path = tmp_path / "users.csv"
    path.write_text(csv_text([user_row(1)]))
    use_plain_user(monkeypatch, mysql_engine)
    writable = mysql_engine.server
    # A proxy, since its port is new: no test before this one has found that node down.
    with Proxy(read_only.server.host, read_only.server.port) as first:
        hosts = f"{first.host}:{first.port},{writable.host}:{writable.port}"
        monkeypatch.setenv("DB_HOST", hosts)
        with contextlib.closing(seed.connect_db()) as connection:
            assert connection.server_port == first.port
            seed.create_database(connection)
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            seed.create_table(connection)
            assert seed.insert_data(connection, path) == (1, 1, 0, 0)
    assert mysql_engine.query("SELECT * FROM user_data") == [user_row(1)]
