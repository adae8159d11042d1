"""Loading user_data: stopped at any moment, two at once, and files, servers and disks that refuse."""

import contextlib
import gzip
import json
import logging
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
from pathlib import Path

import mysql.connector
import pytest
from conftest import (
    NOT_OF_THE_REPOSITORY,
    ROOT,
    csv_text,
    make_table,
    run_python,
    user_row,
    wait_until,
)
from tcp_proxy import Proxy
from test_seed import on_mysql, rejected, stored

import seed
import seed_load
from seed_csv import Record

slow = pytest.mark.slow

# Runs a script as its own program, under conditions that only the process itself can set: a limit to
# the size of its files, to die from passing it, a user without rights. Before the rights are given up
# all modules are imported, since the interpreter may be where that user cannot read.
PROGRAM = """
import codecs, json, os, pkgutil, resource, runpy, signal, sys
import aiosqlite, dotenv, mysql.connector, tqdm

options, sys.argv = json.loads(sys.argv[1]), sys.argv[2:]
sys.path[0] = os.path.dirname(sys.argv[0])
signal.signal(signal.SIGINT, signal.default_int_handler)
if options.get("pure"):
    connect = mysql.connector.connect
    mysql.connector.connect = lambda **arguments: connect(use_pure=True, **arguments)
if options.get("unprivileged") and os.geteuid() == 0:
    codecs.lookup("utf-8-sig")
    runpy.run_path(sys.argv[0])
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
if options.get("dies"):
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
if (size := options.get("file_size")) is not None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run(script, *arguments, settings, **options):
    """Run a script to its end under these options of PROGRAM."""
    words = ("-c", PROGRAM, json.dumps(options), script, *arguments)
    return run_python(*words, cwd=Path(script).parent, settings=settings)


def start(script, *arguments, settings, **options) -> subprocess.Popen:
    """Start a script under these options of PROGRAM, and do not wait for it."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, json.dumps(options), script, *arguments],
        env={**os.environ, **settings, "PYTHONDONTWRITEBYTECODE": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


# ------------------------------------------- stopped at any moment and run again

ROWS = 20_000
FILE = [user_row(number, age=number % 151) for number in range(ROWS)]
BAD_LINES = dict.fromkeys(range(7, ROWS, 1999), "bad")  # by their number in the file
# Stored before the load: one that the file contradicts, one that is not there, some that it repeats.
EARLIER = [user_row(3, age=99), user_row(ROWS + 5), *FILE[50:2_000:50]]
WHOLE = sorted([*(row for row in FILE if row[0] != EARLIER[0][0]), *EARLIER[:2]])
REFUSED = [
    ("5", "stored already with another age: 99", ",".join(map(str, FILE[3]))),
    *((str(line), "1 fields, not 4", "bad") for line in BAD_LINES),
]


@pytest.fixture(scope="module")
def big_file(tmp_path_factory) -> Path:
    lines = csv_text(FILE).splitlines(keepends=True)
    for line, text in BAD_LINES.items():
        lines.insert(line - 1, f"{text}\n")
    path = tmp_path_factory.mktemp("big") / "users.csv"
    path.write_text("".join(lines), newline="")
    return path


@pytest.fixture
def big(big_file, tmp_path) -> Path:
    """A file of ROWS users and some lines that are none, in the test's own folder."""
    return Path(shutil.copy(big_file, tmp_path))


def store_earlier(engine) -> None:
    make_table()
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        sql = "INSERT INTO user_data (user_id, name, email, age) VALUES (%s, %s, %s, %s)"
        connection.cursor().executemany(sql, EARLIER)
        connection.commit()


def assert_second_run_completes(engine, path: Path, settings: dict) -> None:
    assert stored(engine) in (sorted(EARLIER), WHOLE)  # all or nothing
    done = run_python(ROOT / "seed.py", path, cwd=ROOT, settings=settings)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    summary = r"users\.csv: (\d+) rows read, (\d+) added, (\d+) already present, (\d+) refused"
    read, added, present, refused = map(int, re.search(summary, done.stdout).groups())
    assert (read, refused) == (ROWS + len(BAD_LINES), len(REFUSED))
    assert added + present == ROWS - 1
    assert added in (0, len(WHOLE) - len(EARLIER))
    assert stored(engine) == WHOLE
    assert sorted(rejected(path.parent)) == sorted(REFUSED)


# What stops the load, and the exit status that tells it.
FAULTS = {
    "kill -9": (lambda load, server, proxy: load.kill(), -signal.SIGKILL),
    "Ctrl-C": (lambda load, server, proxy: load.send_signal(signal.SIGINT), 130),
    "server killed": (lambda load, server, proxy: server.kill(), 1),
    "connection cut": (lambda load, server, proxy: proxy.cut(), 1),
}
# When: after so many of all the bytes that an undisturbed load sends.
MOMENTS = {
    "while it connects": lambda total: 100,
    "while it makes the table": lambda total: 1_100,
    "between two statements": lambda total: 1_273,
    "in its first rows": lambda total: 1_900,
    "after a quarter": lambda total: total // 4,
    "in the middle": lambda total: total // 2,
    "before COMMIT": lambda total: total - 75,
    "in COMMIT": lambda total: total - 70,
    "after COMMIT": lambda total: total - 63,
    "while it unlocks": lambda total: total - 30,
}
ALWAYS = {"in the middle", "in COMMIT"}


@pytest.fixture(scope="module")
def fragile_server(plaintext_server):
    """The server whose traffic a proxy can read, and whose bytes it can count."""
    return plaintext_server


@pytest.fixture(scope="module")
def bytes_sent(fragile_server, big_file, tmp_path_factory):
    """The bytes that an undisturbed load sends to the server, measured once."""
    sent = []

    def measure(fragile) -> int:
        if not sent:
            store_earlier(fragile)
            path = shutil.copy(big_file, tmp_path_factory.mktemp("clean"))
            with Proxy(fragile_server.host, fragile_server.port) as proxy:
                settings = fragile.settings | {"DB_PORT": str(proxy.port)}
                done = run_python(ROOT / "seed.py", path, cwd=ROOT, settings=settings)
                assert done.returncode == 0, done.stderr
                sent.append(proxy.received)
            assert stored(fragile) == WHOLE
            fragile.query("DELETE FROM user_data")
        return sent[0]

    return measure


def stopped_load(path: Path, settings, proxy, at: int, stop) -> tuple[int, str, str]:
    """Load through the proxy, stop it at that byte; return the exit status and what it printed."""
    is_started = threading.Event()

    def act():
        is_started.wait()
        stop(load)

    proxy.act_at(proxy.received + at, act)
    load = start(ROOT / "seed.py", path, settings=settings)
    is_started.set()
    out, err = load.communicate(timeout=120)
    return load.returncode, out, err


@pytest.mark.parametrize(
    "moment", [pytest.param(name, marks=() if name in ALWAYS else slow) for name in MOMENTS]
)
@pytest.mark.parametrize("fault", FAULTS)
def test_load_into_a_server_that_is_stopped_and_run_again_ends_as_one_clean_run(
    fragile, big, bytes_sent, fault, moment
):
    at = MOMENTS[moment](bytes_sent(fragile))
    store_earlier(fragile)
    stop, status = FAULTS[fault]
    with Proxy(fragile.server.host, fragile.server.port) as proxy:
        settings = fragile.settings | {"DB_PORT": str(proxy.port)}
        returncode, out, err = stopped_load(
            big, settings, proxy, at, lambda load: stop(load, fragile.server, proxy)
        )
        assert returncode == status, err
        assert "added" not in out
        if status == 1:  # one line, that says what to do
            assert re.fullmatch(r"seed\.py: .*run it again, nothing is stored twice\n", err)
        else:
            assert err == ""
        if fragile.server.process.poll() is not None:
            fragile.server.start()
        if fault != "kill -9":  # which leaves nobody to clean up
            assert [path.name for path in big.parent.iterdir() if "reject" in path.name] == []
        assert_second_run_completes(fragile, big, settings)
    wait_until(lambda: fragile.connections() == 0)


@slow
def test_ctrl_c_while_the_first_rows_are_sent_never_crashes_the_driver(fragile, big):
    """Two threads on one connection end in its C code, about every seventh time at this moment."""
    with Proxy(fragile.server.host, fragile.server.port) as proxy:
        settings = fragile.settings | {"DB_PORT": str(proxy.port)}
        for _ in range(20):
            returncode, _out, err = stopped_load(
                big, settings, proxy, 1_900, lambda load: load.send_signal(signal.SIGINT)
            )
            assert (returncode, err) == (130, "")
    assert stored(fragile) == []


@pytest.mark.parametrize(
    ("pure", "commit"), [(False, b"\x03commit"), (True, b"\x03COMMIT")], ids=["C", "pure Python"]
)
def test_commit_whose_reply_is_lost_is_an_error_and_run_again_adds_nothing(
    fragile, big, pure, commit
):
    store_earlier(fragile)
    with Proxy(fragile.server.host, fragile.server.port) as proxy:
        proxy.lose_reply_to(commit)
        settings = fragile.settings | {"DB_PORT": str(proxy.port)}
        done = run(ROOT / "seed.py", big, settings=settings, pure=pure)
    assert done.returncode == 1
    assert re.fullmatch(r"seed\.py: 2013\b.*run it again, nothing is stored twice\n", done.stderr)
    assert stored(fragile) == WHOLE  # it was the reply that was lost
    assert_second_run_completes(fragile, big, fragile.settings)


@pytest.mark.parametrize("fault", ["kill -9", "Ctrl-C"])
@pytest.mark.parametrize("moment", ["before its first row", "while it writes"])
def test_load_into_the_file_that_is_stopped_and_run_again_ends_as_one_clean_run(
    embedded, big, fault, moment
):
    """A lock of ours lets the load come so far and no further, so it is stopped in time for sure."""
    store_earlier(embedded)
    file = Path(embedded.settings["DB_FILE"])
    stop, status = FAULTS[fault]
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN" if moment == "while it writes" else "BEGIN IMMEDIATE")
        other.execute("SELECT * FROM user_data").fetchone()  # a reader keeps others from COMMIT
        load = start(ROOT / "seed.py", big, settings=embedded.settings)
        if moment == "while it writes":
            wait_until(Path(f"{file}-journal").exists)
        else:
            wait_until(lambda: has_open(load, file))
        stop(load, None, None)
        if fault == "kill -9":
            load.wait(60)
        other.execute("ROLLBACK")
    _out, err = load.communicate(timeout=120)
    assert load.returncode == status, err
    assert "Traceback" not in err
    assert_second_run_completes(embedded, big, embedded.settings)


def has_open(process: subprocess.Popen, file: Path) -> bool:
    with contextlib.suppress(OSError):
        for handle in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(OSError):
                if os.path.samefile(handle, file):
                    return True
    return False


@pytest.mark.parametrize(
    "size",
    [pytest.param(4_096, marks=slow), 32_768, pytest.param(100_000, marks=slow), 2_000_000],
)
def test_load_that_dies_at_any_byte_that_it_writes_and_is_run_again_ends_as_one_clean_run(
    embedded, big, size
):
    """The system kills it in the write that would make a file larger than `size`."""
    store_earlier(embedded)
    done = run(ROOT / "seed.py", big, settings=embedded.settings, file_size=size, dies=True)
    assert done.returncode == -signal.SIGXFSZ
    assert_second_run_completes(embedded, big, embedded.settings)


# ------------------------------------------------------ two loads at the same time


@pytest.mark.parametrize("order", ["same file", "opposite orders"])
def test_two_loads_at_the_same_time_end_in_one_table_and_none_fails(engine, tmp_path, order):
    make_table()
    texts = [csv_text(FILE), csv_text(FILE if order == "same file" else FILE[::-1])]
    with held_table(engine) as are_waiting:
        loads = []
        for number, text in enumerate(texts):
            path = tmp_path / f"{number}.csv"
            path.write_text(text, newline="")
            loads.append(start(ROOT / "seed.py", path, settings=engine.settings))
        wait_until(lambda: are_waiting(loads))
    outputs = [load.communicate(timeout=120) for load in loads]
    assert [load.returncode for load in loads] == [0, 0], outputs
    assert stored(engine) == FILE
    out = "".join(out for out, _ in outputs)
    added = [int(count) for count in re.findall(r"(\d+) added", out)]
    present = [int(count) for count in re.findall(r"(\d+) already present", out)]
    assert (sum(added), sum(present)) == (ROWS, ROWS)
    assert out.count(" 0 refused") == 2


@contextlib.contextmanager
def held_table(engine):
    """Keep all others from the table; give a function that tells whether all of them wait for it."""
    with contextlib.closing(
        engine.connect(database=engine.settings["DB_NAME"]) if engine.server else engine.connect()
    ) as connection:
        cursor = connection.cursor()
        if engine.server is None:
            cursor.execute("BEGIN EXCLUSIVE")
            file = Path(engine.settings["DB_FILE"])
            yield lambda loads: all(has_open(load, file) for load in loads)
            connection.rollback()
            return
        cursor.execute("LOCK TABLES user_data WRITE")
        waiting = (
            "SELECT COUNT(*) FROM INFORMATION_SCHEMA.PROCESSLIST "
            f"WHERE DB = '{engine.settings['DB_NAME']}' "
            "AND (STATE LIKE 'Waiting for table%' OR STATE = 'User lock')"
        )
        yield lambda loads: engine.query(waiting) == [(len(loads),)]
        cursor.execute("UNLOCK TABLES")


@on_mysql
def test_load_whose_snapshot_is_older_than_another_load_sees_what_that_stored(
    engine, load, tmp_path
):
    load(user_row(1), name="first.csv")
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        connection.start_transaction()
        cursor = connection.cursor()
        cursor.execute("SELECT COUNT(*) FROM user_data")
        assert cursor.fetchone() == (1,)
        rows = [user_row(number) for number in range(1, 3_000)]
        assert load(*rows).added == 2_998
        cursor.execute("SELECT COUNT(*) FROM user_data")
        assert cursor.fetchone() == (1,)  # the snapshot
        cursor.close()
        changed = (*user_row(5)[:3], 99)
        (tmp_path / "again.csv").write_text(csv_text([*rows, changed, user_row(9_999)]))
        assert seed.insert_data(connection, tmp_path / "again.csv") == (3_001, 1, 2_999, 1)
    assert rejected(tmp_path, "again.csv")[0][1] == "stored already with another age: 30"
    assert stored(engine) == [*rows, user_row(9_999)]


# --------------------------------------------------- larger than the server takes

# What grows most on its way: in JSON, in a quoted string, in UTF-8.
GROWING = ["\x01", "\x1f", "\\", '"', "'", "\x1a", "\n", "\r", "é", "王", "🚀", "\u2028", "n"]


@pytest.fixture
def small_packets(fragile):
    """Set the server's max_allowed_packet for new connections; put the default back in the end."""

    def small_packets(size: int) -> None:
        fragile.query(f"SET GLOBAL max_allowed_packet = {size}")
        fragile.query(f"SET GLOBAL net_buffer_length = {size}")  # no less is ever enforced

    yield small_packets
    fragile.query("SET GLOBAL max_allowed_packet = DEFAULT")
    fragile.query("SET GLOBAL net_buffer_length = DEFAULT")


def test_batch_larger_than_a_packet_is_split_and_stored_whole(
    fragile, small_packets, tmp_path, each_driver
):
    small_packets(16_384)
    texts = [
        character for character in GROWING for _ in range(20)
    ]  # so many that they fill a batch
    rows = [
        (text * 254 + "x", f"{text.strip() * 240}{number}@x", 1)
        for number, text in enumerate(texts)
    ]
    without_ids = csv_text(rows).replace("user_id,", "", 1)  # those are made, and grow a row too
    path = tmp_path / "users.csv"
    path.write_text(without_ids, encoding="utf-8", newline="")
    assert path.stat().st_size > 4 * 16_384
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        assert seed.insert_data(connection, path) == (len(rows), len(rows), 0, 0)
        assert seed.insert_data(connection, path) == (len(rows), 0, len(rows), 0)
    assert stored(fragile) == sorted(
        (str(uuid.uuid5(uuid.NAMESPACE_URL, row[1])), *row) for row in rows
    )


def test_row_larger_than_a_packet_is_an_error_that_names_the_setting(
    fragile, small_packets, tmp_path, each_driver
):
    small_packets(1_024)
    large = (user_row(2)[0], "🚀" * 255, "large@example.com", 1)
    (tmp_path / "users.csv").write_text(csv_text([user_row(1), large]), encoding="utf-8")
    with (
        contextlib.closing(seed.connect_to_prodev()) as connection,
        pytest.raises(
            mysql.connector.Error, match="raise the server's max_allowed_packet"
        ) as caught,
    ):
        seed.insert_data(connection, tmp_path / "users.csv")
    assert "cannot load users.csv into MySQL at" in str(caught.value)
    assert stored(fragile) == []


# ------------------------------------------------------- files that are no such file

BAD_FILES = {
    "UTF-16 without a mark": csv_text([user_row(1)]).encode("utf-16-le"),
    "UTF-32": csv_text([user_row(1)]).encode("utf-32"),
    "compressed": gzip.compress(csv_text([user_row(1)]).encode()),
    "picture": b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\x06\0\0\0",
    "zeros": bytes(3 << 20),
    "database": b"SQLite format 3\0\x10\0\1\1\0\x40\x20\x20\0\0\0\n",
    "header with an unclosed quote": b'user_id,"name,email,age\n'
    + csv_text([user_row(1)]).encode(),
    "blank line before the header": b"\n" + csv_text([user_row(1)]).encode(),
    "semicolons": csv_text([user_row(1)]).replace(",", ";").encode(),
    "a column twice and none missing": b"user_id,name,email,age,age\n",
    "no age": b"user_id,name,email\n",
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_file_of_another_kind_is_named_with_its_line_and_changes_nothing(
    engine, load, tmp_path, case
):
    load(user_row(1))
    with pytest.raises(ValueError, match="line") as caught:
        load(text=BAD_FILES[case], name="bad.csv")
    assert str(caught.value).startswith(f"{tmp_path / 'bad.csv'}, line 1: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500
    assert stored(engine) == [user_row(1)]
    assert not (tmp_path / "bad.csv.rejected").exists()


def test_folder_in_the_place_of_a_file_is_named_and_changes_nothing(engine, load, tmp_path):
    load(user_row(1))
    (tmp_path / "folder.csv").mkdir()
    with (
        contextlib.closing(seed.connect_to_prodev()) as connection,
        pytest.raises(IsADirectoryError, match=re.escape(str(tmp_path / "folder.csv"))),
    ):
        seed.insert_data(connection, tmp_path / "folder.csv")
    assert stored(engine) == [user_row(1)]


@pytest.fixture
def public():
    """A copy of the project in a folder that a user without rights can reach."""
    with tempfile.TemporaryDirectory(prefix="prodev-") as folder:
        copy = Path(folder, "project")
        shutil.copytree(ROOT, copy, ignore=NOT_OF_THE_REPOSITORY)
        Path(folder).chmod(0o755)
        yield copy
        for path in (copy, *copy.rglob("*")):
            path.chmod(0o755)


def make_read_only(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)


def test_file_that_may_not_be_read_is_named_and_changes_nothing(public):
    file, secret = public / "ALX_prodev.sqlite3", public / "secret.csv"
    run_python(ROOT / "seed.py", cwd=ROOT, settings={"DB_HOST": "", "DB_FILE": str(file)})
    content = file.read_bytes()
    secret.touch()
    make_read_only(public)
    secret.chmod(0)
    done = run(public / "seed.py", secret, settings={}, unprivileged=True)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"seed.py: [Errno 13] Permission denied: '{secret}'"
    assert file.read_bytes() == content


# ----------------------------------------------------------------- rows that are none

GOOD = user_row(1)
ID = user_row(0)[0].encode()
BAD_ROWS = [
    (b"Ada,a@x,1", "3 fields, not 4"),
    (ID + b",Ada,a@x,nan", "age 'nan' is no whole number from 0 to 150"),
    (ID + b",Ada,a@x,inf", "age 'inf' is no whole number from 0 to 150"),
    (ID + b",Ada,a@x,100000000000", "age '100000000000' is no whole number from 0 to 150"),
    (ID + b",Ada,a@x,0x1f", "age '0x1f' is no whole number from 0 to 150"),
    (ID + b",Ada,a@x,1_0", "age '1_0' is no whole number from 0 to 150"),
    (ID + b",Ada,a@x,+5", "age '+5' is no whole number from 0 to 150"),
    (ID + b",Ada,a@x,-0", "age '-0' is no whole number from 0 to 150"),
    (ID + ",Ada,a@x,\uff11".encode(), "age '\uff11' is no whole number from 0 to 150"),
    (ID + b",Ada,a@x,67.05", "age '67.05' is no whole number from 0 to 150"),
    (ID + b",Ada,a@x, ", "age is blank"),
    (ID + b",Ada,a@x,\x001", "age holds a NUL byte"),
    (ID + b",Ada,a@x,\xff1", "age is not UTF-8"),
    (ID + b",,a@x,1", "name is blank"),
    (ID + ",\u3000\u00a0,a@x,1".encode(), "name is blank"),
    (ID + b",\xed\xa0\x80,a@x,1", "name is not UTF-8"),  # half of a pair of UTF-16
    (ID + b",\xc0\xaf,a@x,1", "name is not UTF-8"),  # longer than it should be
    (ID + b",\xf0\x9f\x9a,a@x,1", "name is not UTF-8"),  # cut off
    (ID + b",Ada, ,1", "email is blank"),
    (ID + b",Ada,@x,1", "email '@x' is no address"),
    (ID + b",Ada,a@,1", "email 'a@' is no address"),
    (ID + b',Ada,"a@x\ny",1', "email 'a@x\\ny' is no address"),
    (ID + b",Ada,a\0@x,1", "email holds a NUL byte"),
    (ID + b",Ada,\xe9@x,1", "email is not UTF-8"),
    (ID + b",Ada," + b"e" * 254 + b"@x,1", "email has 256 characters, more than 255"),
    (ID[:-1] + b"\0,Ada,a@x,1", "user_id holds a NUL byte"),
    (ID[:-1] + b"\xff,Ada,a@x,1", "user_id is not UTF-8"),
    (ID[:-1] + b",Ada,a@x,1", f"user_id '{ID[:-1].decode()}' is no UUID"),
    (ID[:-1] + b"g,Ada,a@x,1", f"user_id '{ID[:-1].decode()}g' is no UUID"),
    (b" " + ID + b",Ada,a@x,1", f"user_id ' {ID.decode()}' is no UUID"),
    (ID.replace(b"-", b"") + b",Ada,a@x,1", f"user_id '{ID.decode().replace('-', '')}' is no UUID"),
    (b"urn:uuid:" + ID + b",Ada,a@x,1", f"user_id 'urn:uuid:{ID.decode()[:31]}' is no UUID"),
    (
        (GOOD[0] + ",Ada,other@x,1").encode(),
        f"user_id {GOOD[0]} belongs to the stored user {GOOD[2]}",
    ),
    (
        ID + b",Ada," + GOOD[2].encode() + b",1",
        f"email {GOOD[2]} belongs to the stored user {GOOD[0]}",
    ),
    (b"x" * 140_000, "not a CSV row, up to line {}: field larger than field limit (131072)"),
]


def test_each_row_that_is_none_is_refused_for_its_reason_and_the_others_load(
    engine, load, tmp_path
):
    text, expected, good, line = csv_text([GOOD]).encode(), [], [GOOD], 3
    for number, (row, reason) in enumerate(BAD_ROWS, 100):
        text += row + b"\n" + ",".join(map(str, user_row(number))).encode() + b"\n"
        good.append(user_row(number))
        expected.append((str(line), reason.format(line)))
        line += 2 + row.count(b"\n")
    assert load(text=text) == (1 + 2 * len(BAD_ROWS), len(good), 0, len(BAD_ROWS))
    assert stored(engine) == good
    with (tmp_path / "users.csv.rejected").open("rb") as file:
        content = file.read()
    for (row, _reason), (line, reason) in zip(BAD_ROWS, expected, strict=True):
        assert f"\n{line},".encode() in content
        assert reason.encode() in content
        assert row.replace(b'"', b'""') in content  # the very bytes


EXACT = [
    "שלום עולם",
    "مرحبا \u202egnorw\u202c",
    "👨‍👩‍👧‍👦 🏳️‍🌈",
    "e\u0301",
    "é",
    "\ufb01 İ ß \u017f",
    '=HYPERLINK("http://x","y")',
    "=1+1",
    "+1-1",
    "-1",
    "@SUM(A1)",
    "\t=1",
    "|calc",
    "first\nsecond",
    "first\r\nsecond",
    "first\rsecond",
    '"',
    '""quoted""',
    "a,b",
    "'; DELETE FROM user_data; --",
    "\\'",
    "\\\\n",
    "%s%%(x)s",
    "?",
    "{} ${HOME} `id`",
    " both ends ",
    "trailing\t",
    "\x01\x02\x1b[31m\x7f\x85",
    "\ufeffmark",
    "\u2028\u2029\ufffd\uffff",
    "\U0010ffff",
    "NULL",
    "null",
    "\\N",
    "🚀" * 255,
]


def test_text_of_every_kind_is_stored_exactly_and_found_again(engine, load):
    rows = [(user_row(n)[0], text, f"{n}@x", n) for n, text in enumerate(EXACT)]
    emails = [
        "É@x",
        "é@x",
        "e\u0301@x",
        "É@X",
        "'\"\\@x",
        "=1@x",
        "🚀@x",
        "a@b@c",
        "%s@x",
        "ﬁ@x",
        "fi@x",
    ]
    rows += [(user_row(100 + n)[0], "n", email, n) for n, email in enumerate(emails)]
    assert load(*rows) == (len(rows), len(rows), 0, 0)
    assert stored(engine) == rows
    assert load(*rows) == (len(rows), 0, len(rows), 0)
    assert stored(engine) == rows


@pytest.mark.parametrize("index", ["", ", UNIQUE (email, age)"], ids=["none", "of two columns"])
def test_table_of_somebody_that_lacks_the_index_is_warned_about_once_and_never_altered(
    engine, load, caplog, index
):
    make_table()
    engine.query("DROP TABLE user_data")
    engine.query(
        "CREATE TABLE user_data (user_id CHAR(36) NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, "
        f"email VARCHAR(255) NOT NULL, age DECIMAL(3,0) NOT NULL{index})"
    )
    before = definition(engine)
    rows = [user_row(number) for number in range(4_500)]
    with caplog.at_level(logging.WARNING):
        assert load(*rows, rows[0], (user_row(9_999)[0], *rows[1][1:])) == (4_502, 4_500, 1, 1)
    (warning,) = caplog.records
    assert warning.getMessage().startswith("user_data has no UNIQUE index on email")
    assert stored(engine) == rows
    assert definition(engine) == before


def definition(engine):
    if engine.server is None:
        return engine.query("SELECT type, name, sql FROM sqlite_master ORDER BY name")
    return engine.query("SHOW CREATE TABLE user_data")


# ------------------------------------------------- no space, no right to write

SCRIPTS = {
    "seed.py": ("ALX_prodev.sqlite3", "user_data.csv: 1000 rows read"),
    "python-generators-0x00/4-stream_ages.py": (
        "ALX_prodev.sqlite3",
        "Average age of users: 47.75",
    ),
    "python-decorators-0x01/1-with_db_connection.py": ("users.db", "(1, 'José Cohen', "),
}
every_script = pytest.mark.parametrize("script", SCRIPTS)


@pytest.fixture
def own_clone(tmp_path) -> Path:
    """A copy of the project of the test's own, in which the databases are not made yet."""
    return Path(shutil.copytree(ROOT, tmp_path / "own", ignore=NOT_OF_THE_REPOSITORY))


@every_script
@pytest.mark.parametrize("size", [0, pytest.param(5_000, marks=slow), 40_000])
@pytest.mark.parametrize("dies", [False, True], ids=["disk full", "killed"])
def test_database_that_could_not_be_written_is_no_trap_for_the_next_run(
    own_clone, script, size, dies
):
    name, shown = SCRIPTS[script]
    before = files_of(own_clone)
    done = run(own_clone / script, settings={}, file_size=size, dies=dies)
    assert shown not in done.stdout
    if dies:
        assert done.returncode == -signal.SIGXFSZ
    else:
        assert done.returncode == 1
        (message,) = (line for line in done.stderr.splitlines() if "DB_HOST is not set" not in line)
        assert str(own_clone / name) in message
        assert re.search("free some space|make space", message)
        assert files_of(own_clone) - before <= {name} - {"users.db"}
    again = run_python(own_clone / script, cwd=own_clone)
    assert again.returncode == 0, again.stderr
    assert again.stdout.splitlines()[script == "seed.py"].startswith(shown)
    table = "users" if name == "users.db" else "user_data"
    with contextlib.closing(sqlite3.connect(own_clone / name)) as connection:
        assert connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone() == (1_000,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@every_script
def test_folder_that_may_not_be_written_to_is_named_and_nothing_is_left_in_it(public, script):
    name, shown = SCRIPTS[script]
    make_read_only(public)
    before = files_of(public)
    done = run(public / script, settings={}, unprivileged=True)
    assert done.returncode == 1
    assert shown not in done.stdout
    (message,) = (line for line in done.stderr.splitlines() if "DB_HOST is not set" not in line)
    assert str(public / name) in message
    assert re.search("set DB_FILE to another one|make space and rights", message)
    assert files_of(public) == before


def test_database_that_may_only_be_read_is_read_and_a_load_into_it_is_told(public):
    file = public / "ALX_prodev.sqlite3"
    assert (
        run_python(
            ROOT / "seed.py", cwd=ROOT, settings={"DB_HOST": "", "DB_FILE": str(file)}
        ).returncode
        == 0
    )
    make_read_only(public)
    content = file.read_bytes()
    ages = run(public / "python-generators-0x00/4-stream_ages.py", settings={}, unprivileged=True)
    assert (ages.returncode, ages.stdout) == (0, "Average age of users: 47.75\n"), ages.stderr
    done = run(public / "seed.py", settings={}, unprivileged=True)
    assert done.returncode == 1
    assert f"{file}: attempt to write a readonly database; " in done.stderr
    assert "its file or folder is not yours to write to" in done.stderr
    assert file.read_bytes() == content


# ------------------------------------------------------------- what a load leaves


def test_no_batch_is_stored_after_one_that_failed():
    """Else, its transaction being over, it would be committed by itself where autocommit is on."""
    begun = []

    def store(batch):
        begun.append(len(batch))
        raise RuntimeError("the first one")

    records = (Record(number, "x", None) for number in range(3 * seed_load.BATCH_ROWS))
    store.fits = lambda _rows, _characters: True
    with pytest.raises(RuntimeError, match="the first one"):
        list(seed_load._store_all(None, store, records))
    assert begun == [seed_load.BATCH_ROWS]


def test_connection_without_a_database_is_told_so(fragile, big_file):
    with contextlib.closing(seed.connect_db()) as connection:
        with pytest.raises(
            mysql.connector.Error, match=r"no database is chosen: connect with"
        ) as caught:
            seed.insert_data(connection, big_file)
        assert caught.value.errno == 1046


def test_load_that_does_nothing_leaves_the_reject_file_of_the_one_before(embedded, tmp_path):
    path = tmp_path / "users.csv"
    path.write_text("name,email,age\nAda,ada@example.com,abc\n")
    for counts in ((1, 0, 0, 1), (0, 0, 0, 0)):  # the second finds the table made
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            assert seed_load._load(connection, path, create=True) == counts
        assert len(rejected(tmp_path)) == 1
