"""seed.py: which engine, the course's five functions, and loading a CSV file, on both engines."""

import contextlib
import csv
import logging
import os
import re
import sqlite3
import stat
import subprocess
import sys
import termios
import uuid
from decimal import Decimal

import mysql.connector
import pytest
from conftest import ROOT, csv_text, make_table, run_at_once, run_python, user_dict, user_row

import seed

GOOD = user_row(1)
OTHER_ID = user_row(2)[0]

# Runs on one engine only, though the fixture `engine` knows both.
on_mysql = pytest.mark.parametrize("engine", ["mysql_engine"], indirect=True, ids=["mysql"])


def stored(engine) -> list[tuple]:
    rows = engine.query("SELECT user_id, name, email, age FROM user_data ORDER BY user_id")
    return [(*row[:3], int(row[3])) for row in rows]


def rejected(folder, name="users.csv") -> list[tuple[str, str, str]]:
    with (folder / f"{name}.rejected").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["line", "reason", "row"]
    return [tuple(row) for row in rows]


# --------------------------------------------------------------- the settings


NO_SERVER = "DB_HOST=127.0.0.1\nDB_PORT=1\n"
SOCKET = "DB_HOST=\nDB_SOCKET=/nowhere/mysqld.sock\n"


@pytest.mark.parametrize(
    ("text", "settings", "place"),
    [
        (NO_SERVER, {"DB_USER": "ada"}, "MySQL at 127.0.0.1:1, database ALX_prodev, user ada"),
        (NO_SERVER, {"DB_PORT": "2"}, "MySQL at 127.0.0.1:2, database ALX_prodev, user root"),
        (NO_SERVER, {"DB_HOST": ""}, "embedded SQLite file {}/ALX_prodev.sqlite3"),
        ("DB_FILE=its.sqlite3", {"DB_FILE": "my.sqlite3"}, "embedded SQLite file {}/my.sqlite3"),
        (SOCKET, {}, "MySQL at /nowhere/mysqld.sock,"),
        (SOCKET, {"DB_HOST": "127.0.0.1", "DB_PORT": "1"}, "MySQL at 127.0.0.1:1,"),
        (SOCKET, {"DB_HOST": "", "DB_FILE": "my.sqlite3"}, "embedded SQLite file {}/my.sqlite3"),
    ],
)
def test_environment_wins_over_the_env_file_even_if_empty(
    own_clone, tmp_path, text, settings, place
):
    (own_clone / ".env").write_text(text)
    done = run_python(own_clone / "seed.py", cwd=tmp_path, settings=settings)
    assert place.format(own_clone) in (done.stderr if done.returncode else done.stdout)
    assert list(tmp_path.iterdir()) == [own_clone]


def test_env_file_that_is_not_utf_8_is_named(own_clone):
    path = own_clone / ".env"
    path.write_text("DB_HOST=db.example.com\n", encoding="utf-16")  # as PowerShell does
    done = run_python(own_clone / "seed.py", cwd=own_clone)
    assert done.returncode == 1
    assert f"{path} is not UTF-8" in done.stderr


@pytest.mark.parametrize(("name", "value"), [("DB_PORT", "0"), ("DB_PORT", "3x"), ("DB_NAME", "/")])
def test_invalid_setting_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name} is {value!r}"):
        seed.connect_db()


# ------------------------------------------------- the course's five functions


def test_main_file_0_of_the_course_finds_database_and_rows(engine, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)  # user_data.csv is not here, so it is the one beside seed.py
    connection = seed.connect_db()
    seed.create_database(connection)
    connection.close()
    connection = seed.connect_to_prodev()
    seed.create_table(connection)
    seed.insert_data(connection, "user_data.csv")
    cursor = connection.cursor()
    cursor.execute(
        "SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA "
        f"WHERE SCHEMA_NAME = '{engine.settings['DB_NAME']}';"
    )
    assert cursor.fetchone() == (engine.settings["DB_NAME"],)
    cursor.execute("SELECT * FROM user_data LIMIT 5;")
    rows = cursor.fetchall()
    cursor.close()
    connection.close()
    with (ROOT / "user_data.csv").open(newline="", encoding="utf-8") as file:
        expected = sorted((i, n, e, int(a)) for i, n, e, a in list(csv.reader(file))[1:])
    assert rows == expected[:5]
    assert repr(rows[0][3]) == str(expected[0][3])  # 67, not Decimal('67')
    assert capsys.readouterr().out == "Table user_data created successfully\n"


def test_database_is_not_listed_before_it_is_created(engine):
    sql = "SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = %s"
    with contextlib.closing(seed.connect_db()) as connection:
        cursor = connection.cursor()
        for expected in ([], [(engine.settings["DB_NAME"],)], [(engine.settings["DB_NAME"],)]):
            cursor.execute(sql, (engine.settings["DB_NAME"],))
            assert cursor.fetchall() == expected
            seed.create_database(connection)


def test_connection_supports_the_usual_calls(engine, load):
    load(*(user_row(number, age=20 + number) for number in range(5)))
    connection = seed.connect_to_prodev()
    assert connection.is_connected()
    with connection.cursor(dictionary=True) as cursor:
        cursor.execute("SELECT * FROM user_data WHERE age > %s ORDER BY user_id", (22,))
        assert cursor.fetchone() == user_dict(user_row(3, 23))
        assert cursor.fetchmany(5) == [user_dict(user_row(4, 24))]
        assert cursor.fetchall() == []
    cursor = connection.cursor(buffered=True)
    cursor.execute("SELECT COUNT(*) FROM user_data WHERE name LIKE %(name)s", {"name": "User%"})
    assert cursor.fetchone() == (5,)
    cursor.executemany("UPDATE user_data SET age = %s WHERE email = %s", [(1, "u1@example.com")])
    assert cursor.rowcount == 1
    connection.rollback()
    cursor.execute("SELECT user_id, age FROM user_data WHERE age > %s", (Decimal("22"),))
    assert cursor.column_names == ("user_id", "age")
    assert len(cursor.fetchall()) == 2
    connection.commit()
    connection.start_transaction()
    cursor.execute("DELETE FROM user_data")
    connection.rollback()
    connection.autocommit = True
    cursor.execute("DELETE FROM user_data WHERE email = %s", ("u2@example.com",))
    cursor.execute("SELECT COUNT(*) FROM user_data WHERE email LIKE 'U%'")
    assert cursor.fetchall() == [(0,)]
    cursor.close()
    connection.close()
    assert not connection.is_connected()
    assert [row[3] for row in stored(engine)] == [20, 21, 23, 24]


def test_table_refuses_duplicate_ids_and_emails_but_not_other_case(engine, load):
    load(GOOD)
    insert = "INSERT INTO user_data (user_id, name, email, age) VALUES (%s, %s, %s, %s)"
    for twin in ((GOOD[0], "x", "other@x", 1), (user_row(2)[0], "x", GOOD[2], 1)):
        with pytest.raises(Exception, match=r"(?i)duplicate|unique"):
            engine.query(insert, twin)
    for age in (151, -1):
        with pytest.raises(Exception, match=r"(?i)constraint"):
            engine.query(insert, (user_row(3)[0], "x", "x@x", age))
    engine.query(insert, (user_row(2)[0], "x", GOOD[2].upper(), 1))
    assert len(stored(engine)) == 2


def test_insert_data_without_a_database_says_so(mysql_engine):
    told = r"^1046 .*no database is chosen: connect with"
    connecting = contextlib.closing(seed.connect_db())
    with connecting as connection, pytest.raises(mysql.connector.Error, match=told):
        seed.insert_data(connection, "user_data.csv")


def test_relative_path_is_first_searched_in_the_working_directory(
    engine, load, tmp_path, monkeypatch
):
    load()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user_data.csv").write_text(csv_text([GOOD]))
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        assert seed.insert_data(connection, "user_data.csv").added == 1
        (tmp_path / "user_data.csv").unlink()
        assert seed.insert_data(connection, "user_data.csv").added == 1_000
        told = f"no CSV file none.csv in {tmp_path} nor {ROOT}: "
        with pytest.raises(FileNotFoundError, match=re.escape(told)):
            seed.insert_data(connection, "none.csv")


# ---------------------------------------------------------- the embedded engine


def test_reader_not_the_connection_makes_a_missing_table(embedded, script):
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        cursor = connection.cursor()
        with pytest.raises(sqlite3.OperationalError, match="no such table: user_data"):
            cursor.execute("SELECT * FROM user_data")
    assert len(list(script("0-stream_users").stream_users())) == 1_000
    assert len(stored(embedded)) == 1_000


def test_concurrent_first_programs_all_read_every_user(embedded, clone):
    path = clone / "python-generators-0x00" / "4-stream_ages.py"
    _statuses, outputs = run_at_once(4, path, embedded.settings)
    assert {out for out, _ in outputs} == {"Average age of users: 47.75\n"}, outputs


@pytest.mark.parametrize(
    ("file", "told"),
    [
        ("user_data.csv", r"user_data\.csv: file is not a database; check"),
        ("none/x.sqlite3", "cannot open the embedded database .*none"),
    ],
)
def test_unusable_database_file_is_named(monkeypatch, file, told):
    monkeypatch.setenv("DB_FILE", str(ROOT / file))
    with pytest.raises(sqlite3.DatabaseError, match=told):
        seed.connect_to_prodev()


# --------------------------------------------------------------- loading a file


def test_second_load_adds_nothing(engine, load):
    rows = [user_row(number) for number in range(2_500)]
    assert load(*rows) == (2_500, 2_500, 0, 0)
    assert load(*rows) == (2_500, 0, 2_500, 0)
    assert load(*rows, user_row(9_999)) == (2_501, 1, 2_500, 0)
    assert stored(engine) == [*rows, user_row(9_999)]


def test_missing_or_blank_id_is_always_the_same_for_an_email(engine, load):
    of_course = '"name","email","age"\n"Johnnie Mayer","Ross.Reynolds21@hotmail.com","35"\n'
    blank = csv_text([("", "Ada", "ada@x", 36), GOOD, (" ", *GOOD[1:])])
    for text, added in ((of_course, 1), (blank, 2)):
        assert load(text=text).added == added
        assert load(text=text).added == 0
    made = [("Johnnie Mayer", "Ross.Reynolds21@hotmail.com", 35), ("Ada", "ada@x", 36)]
    ids = [str(uuid.uuid5(uuid.NAMESPACE_URL, email)) for _, email, _ in made]
    assert stored(engine) == sorted([GOOD, (ids[0], *made[0]), (ids[1], *made[1])])


def test_shipped_csv_file_holds_1000_unique_users():
    with (ROOT / "user_data.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = "".join(row["name"] for row in rows)
    assert list(rows[0]) == ["user_id", "name", "email", "age"]
    assert len({row["email"] for row in rows}) == len({row["user_id"] for row in rows}) == 1_000
    domains = {row["email"].rpartition("@")[2] for row in rows}
    assert domains <= {"example.com", "example.org", "example.net"}
    ages = [int(row["age"]) for row in rows]
    assert (min(ages), max(ages)) == (1, 120)
    assert all(character in names for character in "é'王مв🚀")


@pytest.mark.parametrize(
    ("second", "count", "reason"),
    [
        (GOOD, "present", ""),
        ((*GOOD[:3], 31), "refused", "stored already with another age: 30"),
        ((GOOD[0], "X", *GOOD[2:]), "refused", "stored already with another name: User 1"),
        ((OTHER_ID, *GOOD[1:]), "refused", f"email {GOOD[2]} belongs to the stored user {GOOD[0]}"),
        (
            (*GOOD[:2], "x@x", 30),
            "refused",
            f"user_id {GOOD[0]} belongs to the stored user {GOOD[2]}",
        ),
        ((OTHER_ID, GOOD[1], GOOD[2].upper(), 30), "added", ""),
        (("", *GOOD[1:]), "present", ""),
        (("", *GOOD[1:3], 31), "refused", "stored already with another age: 30"),
    ],
)
@pytest.mark.parametrize("where", ["in the same file", "in a second file"])
def test_row_that_contradicts_a_stored_one_is_refused(
    engine, load, tmp_path, second, count, reason, where
):
    counts = load(GOOD, second) if where == "in the same file" else (load(GOOD), load(second))[1]
    assert getattr(counts, count) == 1 + (where == "in the same file" and count == "added")
    assert GOOD in stored(engine)
    assert len(stored(engine)) == (2 if count == "added" else 1)
    if count == "refused":
        line = "3" if where == "in the same file" else "2"
        assert rejected(tmp_path) == [(line, reason, ",".join(map(str, second)))]


def test_refused_rows_keep_the_order_and_line_numbers_of_the_file(engine, load, tmp_path):
    load(GOOD)
    row, other = ",".join(map(str, GOOD[:3])), (OTHER_ID, "two\nlines", "b@x", 1)
    unclosed = f'{user_row(3)[0]},"Ada,a@x,1\n{user_row(4)[0]},B,b@x,1'
    text = f"{csv_text([other])}{row},99\n\n\nbad\n{row},98\n{unclosed}"
    assert load(text=text) == (5, 1, 0, 4)
    assert stored(engine) == [GOOD, other]
    assert rejected(tmp_path) == [
        ("4", "stored already with another age: 30", f"{row},99"),
        ("7", "1 fields, not 4", "bad"),
        ("8", "stored already with another age: 30", f"{row},98"),
        ("9", "not a CSV row, up to line 10: unexpected end of data", unclosed),
    ]


def test_failed_load_changes_nothing_and_leaves_no_file(engine, load, tmp_path):
    load(GOOD)
    rows = "".join(f"{','.join(map(str, user_row(n)))}\n" for n in range(2, 3_000))
    with pytest.raises(ValueError, match="a row of more than"):
        load(text=f"user_id,name,email,age\nbad\n{rows}{'x' * (2 << 20)}\n", name="bad.csv")
    assert stored(engine) == [GOOD]
    assert [path.name for path in tmp_path.iterdir() if "reject" in path.name] == []


def test_reject_file_exists_only_after_a_load_that_refused_rows(engine, load, tmp_path):
    load(GOOD, ("bad",))
    assert len(rejected(tmp_path)) == 1
    load(GOOD)
    assert not (tmp_path / "users.csv.rejected").exists()


def test_full_disk_for_the_reject_file_leaves_the_table_unchanged(mysql_engine, clone, tmp_path):
    # The limit is for the files of the loading process: on a server that is the reject file alone.
    (tmp_path / "bad.csv").write_text(csv_text([GOOD]) + "bad\n")
    make_table()
    code = (
        "import resource, seed; resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1));"
        f"seed.insert_data(seed.connect_to_prodev(), {str(tmp_path / 'bad.csv')!r})"
    )
    done = run_python("-c", code, cwd=clone, settings=mysql_engine.settings)
    assert "File too large" in done.stderr
    assert stored(mysql_engine) == []
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def test_missing_email_index_is_warned_about_once_and_not_added(engine, load, caplog):
    make_table()
    engine.query("DROP TABLE user_data")
    engine.query(
        "CREATE TABLE user_data (user_id CHAR(36) NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, "
        "email VARCHAR(255) NOT NULL, age DECIMAL(3,0) NOT NULL, UNIQUE (email, age))"
    )
    definition = "SHOW CREATE TABLE user_data" if engine.server else "SELECT sql FROM sqlite_master"
    before = engine.query(definition)
    rows = [user_row(number) for number in range(4_500)]
    with caplog.at_level(logging.WARNING):
        # The twin's email is in an earlier batch, and nothing else in its own is amiss.
        twin = (user_row(9_999)[0], *rows[1][1:3], 31)
        assert load(rows[0], *rows, twin) == (4_502, 4_500, 1, 1)
    (warning,) = caplog.records
    assert warning.getMessage().startswith("user_data has no UNIQUE index on email")
    assert stored(engine) == rows
    assert engine.query(definition) == before


@pytest.fixture
def set_mode(mysql_engine):
    """Set the server's sql_mode for new connections; put the default back in the end."""
    yield lambda mode: mysql_engine.query(f"SET GLOBAL sql_mode = '{mode}'")
    mysql_engine.query("SET GLOBAL sql_mode = DEFAULT")


@on_mysql
@pytest.mark.parametrize(
    ("column", "row", "reason"),
    [
        ("name VARCHAR(7) NOT NULL", user_row(222), "Data too long for column 'name'"),
        (  # which takes upper and lower case for the same
            "email VARCHAR(255) COLLATE utf8mb4_general_ci",
            (OTHER_ID, "x", GOOD[2].upper(), 1),
            "Duplicate entry",
        ),
    ],
)
def test_row_that_the_table_rejects_is_refused_not_cut(
    engine, load, set_mode, tmp_path, column, row, reason
):
    load()
    engine.query(f"ALTER TABLE user_data MODIFY {column}")
    set_mode("")  # a server that would cut the name
    assert load(GOOD, row, user_row(3)) == (3, 2, 0, 1)
    assert stored(engine) == [GOOD, user_row(3)]
    ((line, told, _row),) = rejected(tmp_path)
    assert line == "3"
    assert told.startswith(f"the table rejects it: {reason}")


EMPTY_IS_NULL = pytest.param("EMPTY_STRING_IS_NULL", marks=pytest.mark.server("mariadb"))


@on_mysql
@pytest.mark.parametrize("mode", ["NO_BACKSLASH_ESCAPES", "ANSI", EMPTY_IS_NULL])
def test_server_sql_mode_changes_no_text_and_hides_no_row(engine, load, set_mode, script, mode):
    load()
    set_mode(mode)
    names = ["B\\x", "O'Brien", '"']
    rows = [(user_row(n)[0], name, f"{n}@x", 1) for n, name in enumerate(names)]
    assert load(*rows) == (3, 3, 0, 0)
    assert load(*rows) == (3, 0, 3, 0)
    assert list(script("0-stream_users").stream_users()) == [user_dict(row) for row in rows]


@on_mysql
@pytest.mark.server("mariadb")
def test_rows_with_a_uuid_key_are_loaded_once(engine, load):
    make_table()
    engine.query("ALTER TABLE user_data MODIFY user_id UUID NOT NULL")
    assert load(GOOD, user_row(2)) == (2, 2, 0, 0)
    assert load(GOOD, user_row(3)) == (2, 1, 1, 0)


# ------------------------------------------------------------ python seed.py


def test_seed_py_prints_its_counts_and_the_database(engine, clone, tmp_path):
    (tmp_path / "mine.csv").write_text(csv_text([GOOD, ("bad",)]))
    first = run_python(clone / "seed.py", "mine.csv", cwd=tmp_path, settings=engine.settings)
    second = run_python(clone / "seed.py", "mine.csv", cwd=tmp_path, settings=engine.settings)
    if engine.server:
        form = "MySQL at {DB_HOST}:{DB_PORT}, database {DB_NAME}, user {DB_USER}"
    else:
        form = "embedded SQLite file {DB_FILE}"
    place = form.format(**engine.settings)
    assert first.stdout.splitlines() == [
        "Table user_data created successfully",
        "mine.csv: 2 rows read, 1 added, 0 already present, 1 refused",
        f"Refused rows, each with its reason: {tmp_path / 'mine.csv.rejected'}",
        f"Stored in: {place}",
    ]
    assert "mine.csv: 2 rows read, 0 added, 1 already present, 1 refused" in second.stdout
    told = "" if engine.server else f"DB_HOST is not set: using the {place}\n"
    assert first.stderr == second.stderr == told


def test_progress_is_shown_on_a_terminal(embedded, clone):
    terminal, programs_end = os.openpty()
    termios.tcsetwinsize(terminal, (24, 80))
    program = subprocess.Popen(
        [sys.executable, clone / "seed.py"],
        env=os.environ | embedded.settings,
        stdout=subprocess.DEVNULL,
        stderr=programs_end,
    )
    os.close(programs_end)
    shown = b""
    with contextlib.suppress(OSError):  # how Linux says that the other end is closed
        while part := os.read(terminal, 4096):
            shown += part
    os.close(terminal)
    assert program.wait(60) == 0
    assert b"user_data.csv: 100%" in shown


def test_tqdm_is_not_imported_without_a_terminal(embedded, clone):
    code = "import seed, sys; seed.main(); print('tqdm' in sys.modules)"  # it starts a thread
    done = run_python("-c", code, cwd=clone, settings=embedded.settings)
    assert done.stdout.splitlines()[-1] == "False", done.stderr


@pytest.mark.parametrize("argument", ["none.csv", "folder"])
def test_seed_py_reports_an_unreadable_file_in_one_line(embedded, clone, tmp_path, argument):
    (tmp_path / "folder").mkdir()
    done = run_python(clone / "seed.py", argument, cwd=tmp_path, settings=embedded.settings)
    assert done.returncode == 1
    assert argument in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_seed_py_is_executable():
    assert (ROOT / "seed.py").stat().st_mode & stat.S_IXUSR


# ------------------------------------------------------------------- slow ones


@pytest.mark.slow
def test_memory_of_a_program_does_not_grow_with_the_data(engine, clone, tmp_path):
    """Load, stream and average 1,000 and then 300,000 users, each in a process of its own."""
    peak = "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    path = tmp_path / "users.csv"
    programs = {
        "load": f"import seed; seed.insert_data(seed.connect_to_prodev(), {str(path)!r}); {peak}",
        "stream": f"s = __import__('0-stream_users'); n = sum(1 for _ in s()); {peak}; print(n)",
        "average": f"a = __import__('4-stream_ages').calculate_average_age(); {peak}",
    }
    peaks: dict[str, list[int]] = {name: [] for name in programs}
    make_table()
    for count in (1_000, 300_000):
        with path.open("w", encoding="utf-8") as file:
            file.write(csv_text([]))
            file.writelines(",".join(map(str, user_row(number))) + "\n" for number in range(count))
        for name, code in programs.items():
            folder = clone / "python-generators-0x00"
            done = run_python("-c", code, cwd=folder, settings=engine.settings)
            assert done.returncode == 0, done.stderr
            numbers = [int(line) for line in done.stdout.splitlines() if line.isdigit()]
            peaks[name].append(numbers[0])
            assert numbers[1:] in ([], [count])
    for name, (small, large) in peaks.items():
        assert large - small < 8_192, f"{name}: {small} KiB, then {large} KiB"
