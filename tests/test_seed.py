"""seed.py: which engine, the course's five functions, and loading a CSV file, on both engines."""

import contextlib
import csv
import os
import random
import sqlite3
import stat
import subprocess
import sys
import termios
import uuid
from decimal import Decimal

import pytest
from conftest import ROOT, csv_text, run_at_once, run_python, user_dict, user_row

import seed
import seed_load
import seed_settings
import seed_table

GOOD = user_row(1)


# These run on one engine only, though the fixtures below them know both.
on_mysql = pytest.mark.parametrize("engine", ["mysql_engine"], indirect=True, ids=["mysql"])
on_embedded = pytest.mark.parametrize("engine", ["embedded"], indirect=True, ids=["embedded"])


def stored(engine) -> list[tuple]:
    rows = engine.query("SELECT user_id, name, email, age FROM user_data ORDER BY user_id")
    return [(*row[:3], int(row[3])) for row in rows]


def rejected(folder, name="users.csv") -> list[tuple[str, str, str]]:
    with (folder / f"{name}.rejected").open(newline="", encoding="utf-8") as file:
        header, *rows = csv.reader(file)
    assert header == ["line", "reason", "row"]
    return [tuple(row) for row in rows]


# --------------------------------------------------------------- the settings


def test_environment_wins_over_the_env_file_even_when_it_is_empty(clone):
    code = "import seed_settings; print(seed_settings.read_settings())"
    (clone / ".env").write_text("DB_HOST=db.example.com\nDB_PORT=3307\n")
    try:
        from_file = run_python("-c", code, cwd=clone, settings={"DB_USER": "ada"})
        emptied = run_python("-c", code, cwd=clone, settings={"DB_HOST": ""})
    finally:
        (clone / ".env").unlink()
    assert from_file.stdout == "MySQL at db.example.com:3307, database ALX_prodev, user ada\n"
    assert emptied.stdout == f"embedded SQLite file {clone / 'ALX_prodev.sqlite3'}\n"


def test_env_file_keeps_a_password_as_it_is_and_its_settings_are_read_from_anywhere(
    clone, tmp_path, mysql_engine
):
    server = mysql_engine.server
    lines = [
        f"DB_HOST={server.host}",
        f"DB_PORT={server.port}",
        f"DB_USER={server.user}",
        "DB_PASSWORD='" + server.password.replace("'", "\\'") + "'",
        f"DB_NAME={mysql_engine.settings['DB_NAME']}",
    ]
    (clone / ".env").write_text(
        "\ufeff" + "\n".join(lines), encoding="utf-8"
    )  # as Windows editors do
    try:
        done = run_python(clone / "seed.py", cwd=tmp_path)
    finally:
        (clone / ".env").unlink()
    assert done.returncode == 0, done.stderr
    assert len(stored(mysql_engine)) == 1_000
    assert not server.password or server.password not in done.stdout + done.stderr


def test_env_file_that_is_not_utf_8_is_named(clone):
    (clone / ".env").write_text("DB_HOST=db.example.com\n", encoding="utf-16")  # as PowerShell does
    done = run_python(clone / "seed.py", cwd=clone)
    (clone / ".env").unlink()
    assert done.returncode == 1
    assert f"{clone / '.env'} is not UTF-8" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"), [("DB_PORT", "33o6"), ("DB_PORT", "0"), ("DB_NAME", "../x")]
)
def test_setting_that_cannot_be_meant_is_named(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match=f"{name} is {value!r}"):
        seed.connect_db()


def test_host_of_the_environment_wins_over_a_socket_of_the_env_file(clone):
    (clone / ".env").write_text("DB_HOST=\nDB_SOCKET=/run/mysqld/mysqld.sock\n")
    code = "import seed_settings; print(seed_settings.read_settings())"
    shown = {}
    for host in (None, "db.example.com", ""):
        settings = {} if host is None else {"DB_HOST": host}
        shown[host] = run_python("-c", code, cwd=clone, settings=settings).stdout
    (clone / ".env").unlink()
    assert shown[None].startswith("MySQL at /run/mysqld/mysqld.sock,")
    assert shown["db.example.com"].startswith("MySQL at db.example.com:3306,")
    assert shown[""].startswith("embedded SQLite file")


def test_settings_never_show_the_password(monkeypatch):
    monkeypatch.setenv("DB_HOST", "db.example.com")
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    settings = seed_settings.read_settings()
    assert "hunter2" not in f"{settings} {settings!r}"
    assert settings.password == "hunter2"  # noqa: S105


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


def test_connection_answers_the_calls_that_the_field_makes(engine, load):
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
    assert (len(cursor.fetchall()), cursor.rowcount) == (2, 2)
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


def test_table_refuses_a_second_row_of_an_id_or_email_but_tells_case_apart(engine, load):
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


def test_insert_data_prints_nothing_and_returns_the_counts(engine, load, tmp_path, capsys):
    load(GOOD)
    (tmp_path / "more.csv").write_text(csv_text([GOOD, user_row(2), ("x",)]))
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        counts = seed.insert_data(connection, tmp_path / "more.csv")
    assert counts == (3, 1, 1, 1)
    assert counts._fields == ("read", "added", "present", "refused")
    assert capsys.readouterr() == ("", "")


def _announcement(engine) -> str:
    return f"DB_HOST is not set: using the embedded SQLite file {engine.settings['DB_FILE']}\n"


def test_relative_path_is_looked_for_in_the_working_directory_first(
    engine, load, tmp_path, monkeypatch
):
    load()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "user_data.csv").write_text(csv_text([GOOD]))
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        assert seed.insert_data(connection, "user_data.csv").added == 1
        (tmp_path / "user_data.csv").unlink()
        assert seed.insert_data(connection, "user_data.csv").added == 1_000
        with pytest.raises(FileNotFoundError, match=r"no CSV file none\.csv in") as caught:
            seed.insert_data(connection, "none.csv")
    assert str(tmp_path) in str(caught.value)
    assert str(ROOT) in str(caught.value)


# ---------------------------------------------------------- the embedded engine


def test_connecting_alone_fills_nothing(embedded):
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        cursor = connection.cursor()
        with pytest.raises(sqlite3.OperationalError, match="no such table: user_data"):
            cursor.execute("SELECT * FROM user_data")


def test_reader_that_finds_no_table_makes_and_fills_it(embedded, script):
    assert len(list(script("0-stream_users").stream_users())) == 1_000
    assert len(stored(embedded)) == 1_000


@on_embedded
def test_reader_finds_what_a_checker_seeded_and_no_more(engine, load, script):
    load(GOOD)
    assert list(script("0-stream_users").stream_users()) == [user_dict(GOOD)]
    engine.query("DELETE FROM user_data")
    assert list(script("0-stream_users").stream_users()) == []


def test_programs_that_start_at_once_on_a_fresh_clone_all_see_every_user(embedded, clone):
    path = clone / "python-generators-0x00" / "4-stream_ages.py"
    _statuses, outputs = run_at_once(4, path, embedded.settings)
    assert {out for out, _ in outputs} == {"Average age of users: 47.75\n"}, outputs


def test_half_made_table_is_never_left(embedded, script, monkeypatch):
    def failing(*_):
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(seed_table.UserTable, "insert", failing)
        with pytest.raises(OSError, match="no space left"):
            next(script("0-stream_users").stream_users())
    assert embedded.query("SELECT name FROM sqlite_master") == []
    assert len(list(script("0-stream_users").stream_users())) == 1_000


def test_file_that_is_no_database_is_named(monkeypatch):
    monkeypatch.setenv("DB_FILE", str(ROOT / "user_data.csv"))
    with pytest.raises(
        sqlite3.DatabaseError, match=r"user_data\.csv: file is not a database; check"
    ):
        seed.connect_to_prodev()


def test_relative_file_stands_beside_seed_py_wherever_the_program_runs(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DB_FILE", "mine.sqlite3")
    assert seed_settings.read_settings().file == ROOT / "mine.sqlite3"


def test_folder_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("DB_FILE", str(tmp_path / "none" / "x.sqlite3"))
    with pytest.raises(sqlite3.OperationalError, match=r"cannot open the embedded database .*none"):
        seed.connect_to_prodev()


@on_embedded
def test_embedded_rows_come_in_the_order_of_the_key(engine, load):
    rows = [user_row(number) for number in range(50)]
    load(*random.Random(2).sample(rows, len(rows)))
    assert engine.query("SELECT * FROM user_data LIMIT 5") == rows[:5]


# --------------------------------------------------------------- loading a file


def test_second_load_adds_nothing(engine, load):
    rows = [user_row(number) for number in range(2_500)]
    assert load(*rows) == (2_500, 2_500, 0, 0)
    assert load(*rows) == (2_500, 0, 2_500, 0)
    assert load(*rows, user_row(9_999)) == (2_501, 1, 2_500, 0)
    assert stored(engine) == [*rows, user_row(9_999)]


def test_file_of_the_course_without_ids_loads_twice_to_the_same(engine, load):
    text = '"name","email","age"\n"Johnnie Mayer","Ross.Reynolds21@hotmail.com","35"\n'
    assert load(text=text) == (1, 1, 0, 0)
    assert load(text=text) == (1, 0, 1, 0)
    user_id = str(uuid.uuid5(uuid.NAMESPACE_URL, "Ross.Reynolds21@hotmail.com"))
    assert stored(engine) == [(user_id, "Johnnie Mayer", "Ross.Reynolds21@hotmail.com", 35)]


def test_shipped_file_agrees_with_itself_without_ids(engine, load):
    text = (ROOT / "user_data.csv").read_text(encoding="utf-8")
    without_ids = "".join(line.partition(",")[2] for line in text.splitlines(keepends=True))
    assert load(text=text) == (1_000, 1_000, 0, 0)
    assert load(text=without_ids) == (1_000, 0, 1_000, 0)


def test_shipped_file_is_what_the_readme_says():
    with (ROOT / "user_data.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    names = "".join(row["name"] for row in rows)
    assert list(rows[0]) == ["user_id", "name", "email", "age"]
    assert len({row["email"] for row in rows}) == len({row["user_id"] for row in rows}) == 1_000
    assert {row["email"].rpartition("@")[2] for row in rows} <= {
        f"example.{ending}" for ending in ("com", "org", "net")
    }
    assert (min(int(row["age"]) for row in rows), max(int(row["age"]) for row in rows)) == (1, 120)
    assert all(character in names for character in "é'王مв🚀")


def test_columns_may_come_in_any_order(engine, load):
    assert load(text=f"age,email,user_id,name\n30,{GOOD[2]},{GOOD[0]},{GOOD[1]}\n").added == 1
    assert stored(engine) == [GOOD]


@pytest.mark.parametrize(
    ("second", "count", "reason"),
    [
        (GOOD, "present", ""),
        ((*GOOD[:3], 31), "refused", "stored already with another age: 30"),
        ((GOOD[0], "X", *GOOD[2:]), "refused", "stored already with another name: User 1"),
        (
            (user_row(2)[0], *GOOD[1:]),
            "refused",
            f"email {GOOD[2]} belongs to the stored user {GOOD[0]}",
        ),
        (
            (*GOOD[:2], "x@example.com", 30),
            "refused",
            f"user_id {GOOD[0]} belongs to the stored user {GOOD[2]}",
        ),
        ((user_row(2)[0], GOOD[1], GOOD[2].upper(), 30), "added", ""),
    ],
)
@pytest.mark.parametrize("where", ["in the same file", "in a second file"])
def test_row_that_shares_something_is_present_or_refused_and_nothing_changes(
    engine, load, tmp_path, second, count, reason, where
):
    counts = load(GOOD, second) if where == "in the same file" else (load(GOOD), load(second))[1]
    assert getattr(counts, count) == 1 + (where == "in the same file" and count == "added")
    assert GOOD in stored(engine)
    assert len(stored(engine)) == (2 if count == "added" else 1)
    if count == "refused":
        line = "3" if where == "in the same file" else "2"
        assert rejected(tmp_path) == [(line, reason, ",".join(map(str, second)))]


def test_blank_id_is_made_of_the_email_as_a_missing_one_is(engine, load):
    text = csv_text([("", "Ada", "ada@x", 36), GOOD, (" ", *GOOD[1:])])
    assert load(text=text) == (3, 2, 1, 0)
    assert load(text=text) == (3, 0, 3, 0)
    ada = (str(uuid.uuid5(uuid.NAMESPACE_URL, "ada@x")), "Ada", "ada@x", 36)
    assert stored(engine) == sorted([ada, GOOD])


def test_first_use_adds_nothing_to_a_table_that_somebody_makes_at_that_moment(
    embedded, monkeypatch
):
    own = sqlite3.connect(embedded.settings["DB_FILE"], check_same_thread=False)
    own.execute("BEGIN IMMEDIATE")
    own.execute(seed_table.SQLITE_TABLE)
    own.execute("INSERT INTO user_data VALUES (?, ?, ?, ?)", GOOD)
    looked = seed_load.has_table

    def look_and_let_go(connection):
        answer = looked(connection)
        own.commit()
        return answer

    monkeypatch.setattr(seed_load, "has_table", look_and_let_go)
    with seed.open_reader():
        pass
    own.close()
    assert stored(embedded) == [GOOD]


def test_file_without_ids_meets_rows_that_have_ids_of_their_own(engine, load, tmp_path):
    load(GOOD)
    text = (
        f"name,email,age\n{GOOD[1]},{GOOD[2]},30\n{GOOD[1]},{GOOD[2]},31\nNew,new@example.com,1\n"
    )
    assert load(text=text) == (3, 1, 1, 1)
    assert rejected(tmp_path) == [
        ("3", "stored already with another age: 30", f"{GOOD[1]},{GOOD[2]},31")
    ]


BAD_ROWS = {
    "too few fields": (f"{GOOD[0]},Ada", "2 fields, not 4"),
    "too many fields": (f"{GOOD[0]},Ada,a@x,1,2", "5 fields, not 4"),
    "age abc": (f"{GOOD[0]},Ada,a@x,abc", "age 'abc' is no whole number from 0 to 150"),
    "age empty": (f"{GOOD[0]},Ada,a@x,", "age is blank"),
    "age -5": (f"{GOOD[0]},Ada,a@x,-5", "age '-5' is no whole number from 0 to 150"),
    "age 67.5": (f"{GOOD[0]},Ada,a@x,67.5", "age '67.5' is no whole number from 0 to 150"),
    "age 151": (f"{GOOD[0]},Ada,a@x,151", "age '151' is no whole number from 0 to 150"),
    "age 1e11": (f"{GOOD[0]},Ada,a@x,1e11", "age '1e11' is no whole number from 0 to 150"),
    "age NaN": (f"{GOOD[0]},Ada,a@x,NaN", "age 'NaN' is no whole number from 0 to 150"),
    "age in other digits": (f"{GOOD[0]},Ada,a@x,٣", "age '٣' is no whole number from 0 to 150"),
    "name blank": (f"{GOOD[0]},  ,a@x,1", "name is blank"),
    "name too long": (f"{GOOD[0]},{'n' * 256},a@x,1", "name has 256 characters, more than 255"),
    "email without @": (f"{GOOD[0]},Ada,ada,1", "email 'ada' is no address"),
    "email with a space": (f"{GOOD[0]},Ada,a@x ,1", "email 'a@x ' is no address"),
    "NUL": (f"{GOOD[0]},A\0da,a@x,1", "name holds a NUL byte"),
    "malformed UUID": ("123,Ada,a@x,1", "user_id '123' is no UUID"),
    "UUID in braces": (f"{{{GOOD[0]}}},Ada,a@x,1", f"user_id '{{{GOOD[0]}}}' is no UUID"),
    "text after a quote": (
        f'{GOOD[0]},"Ada"x,a@x,1',
        "not a CSV row, up to line 3: ',' expected after '\"'",
    ),
}


@pytest.mark.parametrize("case", BAD_ROWS)
def test_unacceptable_row_is_refused_with_line_and_reason_and_the_rest_loads(
    engine, load, tmp_path, case
):
    row, reason = BAD_ROWS[case]
    before, after = user_row(8), user_row(9)
    lines = [csv_text([before]).rstrip("\r\n"), row, ",".join(map(str, after))]
    assert load(text="\n".join(lines) + "\n") == (3, 2, 0, 1)
    assert stored(engine) == [before, after]
    assert rejected(tmp_path) == [("3", reason, row)]


def test_bytes_that_are_no_utf_8_refuse_their_row_and_come_back_in_the_reject_file(
    engine, load, tmp_path
):
    row = f"{GOOD[0]},Ren\xe9e,r@x,1".encode("latin-1")
    assert load(text=b"user_id,name,email,age\n" + row + b"\n") == (1, 0, 0, 1)
    content = (tmp_path / "users.csv.rejected").read_bytes()
    assert b"2,name is not UTF-8," in content
    assert b"Ren\xe9e" in content


def test_unclosed_quote_refuses_its_row_and_what_came_before_loads(engine, load, tmp_path):
    text = csv_text([GOOD]) + f'{user_row(2)[0]},"Ada,a@x,1\n{user_row(3)[0]},B,b@x,1\n'
    assert load(text=text) == (2, 1, 0, 1)
    assert stored(engine) == [GOOD]
    assert rejected(tmp_path)[0][:2] == ("3", "not a CSV row, up to line 4: unexpected end of data")


def test_refused_rows_stand_in_the_order_of_the_file_whatever_refused_them(engine, load, tmp_path):
    load(GOOD)
    assert load((*GOOD[:3], 99), ("bad",), (*GOOD[:3], 98), ("bad",)).refused == 4
    assert [line for line, _reason, _row in rejected(tmp_path)] == ["2", "3", "4", "5"]


def test_line_number_is_that_of_the_file_whatever_came_before(engine, load, tmp_path):
    text = csv_text([(GOOD[0], "two\nlines", *GOOD[2:])]) + "\n\nbad\n"
    assert load(text=text) == (2, 1, 0, 1)
    assert rejected(tmp_path) == [("6", "1 fields, not 4", "bad")]


def test_bom_and_crlf_are_fine_and_so_is_a_missing_last_newline(engine, load):
    text = "\ufeff" + csv_text([GOOD, user_row(2)]).rstrip("\r\n")
    assert "\r\n" in text
    assert load(text=text) == (2, 2, 0, 0)
    assert stored(engine) == [GOOD, user_row(2)]


@pytest.mark.parametrize("age", ["67", " 67", "67.0", "067", "67."])
def test_whole_age_may_be_written_in_several_ways(engine, load, age):
    load((*GOOD[:3], age))
    assert stored(engine) == [(*GOOD[:3], 67)]


BAD_FILES = {
    "empty": (b"", "line 1: the header must be"),
    "no header": (csv_text([GOOD]).partition("\r\n")[2].encode(), "line 1: the header must be"),
    "unknown column": (b"user_id,name,email,years\n", "line 1: the header must be"),
    "doubled column": (b"name,name,email,age\n", "line 1: the header must be"),
    "UTF-16": (csv_text([GOOD]).encode("utf-16"), "line 1: the file is UTF-16; save it as UTF-8"),
    "one endless line": (b"name,email,age\n" + b"x" * (2 << 20), "line 2: a row of more than"),
}


@pytest.mark.parametrize("case", BAD_FILES)
def test_file_that_is_no_csv_of_users_is_refused_whole(engine, load, tmp_path, case):
    load(GOOD)
    content, message = BAD_FILES[case]
    with pytest.raises(ValueError, match="line") as caught:
        load(text=content, name="bad.csv")
    assert str(caught.value).startswith(f"{tmp_path / 'bad.csv'}, {message}")
    assert stored(engine) == [GOOD]


def test_failure_in_the_middle_leaves_the_table_as_it_was_and_no_file_behind(
    engine, load, tmp_path
):
    load(GOOD)
    rows = "".join(f"{','.join(map(str, user_row(n)))}\n" for n in range(2, 3_000))
    with pytest.raises(ValueError, match="a row of more than"):
        load(text=f"user_id,name,email,age\nbad\n{rows}{'x' * (2 << 20)}\n", name="bad.csv")
    assert stored(engine) == [GOOD]
    assert [path.name for path in tmp_path.iterdir() if "reject" in path.name] == []


def test_reject_file_is_in_place_only_for_a_load_that_refused(engine, load, tmp_path):
    load(GOOD, ("bad",))
    assert len(rejected(tmp_path)) == 1
    load(GOOD)
    assert not (tmp_path / "users.csv.rejected").exists()


def test_disk_that_is_full_for_the_reject_file_leaves_the_table_as_it_was(
    mysql_engine, clone, tmp_path
):
    # The limit is for the files of the loading process: on a server that is the reject file alone.
    (tmp_path / "bad.csv").write_text(csv_text([GOOD]) + "bad\n" * 3_000)
    code = (
        "import resource, seed\n"
        "c = seed.connect_db(); seed.create_database(c); c = seed.connect_to_prodev()\n"
        "seed.create_table(c)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65_536, 65_536))\n"
        f"seed.insert_data(c, {str(tmp_path / 'bad.csv')!r})"
    )
    done = run_python("-c", code, cwd=clone, settings=mysql_engine.settings)
    assert "File too large" in done.stderr
    assert stored(mysql_engine) == []
    assert [path.name for path in tmp_path.iterdir()] == ["bad.csv"]


def test_hostile_text_is_stored_as_it_is(engine, load):
    names = [
        "'); DROP TABLE user_data; --",
        "%s %(x)s %%",
        "\\",
        "=cmd()",
        "a\tb\r\nc",
        "n" * 255,
        "🚀",
    ]
    rows = [(user_row(n)[0], name, f"{n}'\"@x", 1) for n, name in enumerate(names)]
    assert load(*rows).added == len(names)
    assert stored(engine) == rows


@on_mysql
def test_table_of_somebody_that_has_no_unique_email_gets_no_duplicates_either(engine, load):
    load()
    engine.query("ALTER TABLE user_data DROP INDEX email")
    twin = (user_row(2)[0], *GOOD[1:])
    assert load(GOOD, GOOD, twin) == (3, 1, 1, 1)
    assert stored(engine) == [GOOD]


@on_mysql
def test_table_that_compares_emails_without_case_refuses_what_it_takes_for_a_twin(
    engine, load, tmp_path
):
    load()
    engine.query(
        "ALTER TABLE user_data MODIFY email VARCHAR(255) COLLATE utf8mb4_general_ci NOT NULL"
    )
    twin = (user_row(2)[0], "x", GOOD[2].upper(), 1)
    assert load(GOOD, twin, user_row(3)) == (3, 2, 0, 1)
    assert stored(engine) == [GOOD, user_row(3)]
    assert rejected(tmp_path)[0][0] == "3"


@on_mysql
def test_row_that_the_table_of_somebody_does_not_take_is_refused_not_cut(engine, load, tmp_path):
    load()
    engine.query("ALTER TABLE user_data MODIFY name VARCHAR(7) NOT NULL")
    engine.query("SET GLOBAL sql_mode = ''")  # a server that would cut the name
    try:
        assert load(GOOD, user_row(222), user_row(3)) == (3, 2, 0, 1)
    finally:
        engine.query("SET GLOBAL sql_mode = DEFAULT")
    assert stored(engine) == [GOOD, user_row(3)]
    ((line, reason, _row),) = rejected(tmp_path)
    assert line == "3"
    assert reason.startswith("the table does not take it: Data too long for column 'name'")


@on_mysql
@pytest.mark.parametrize("mode", ["NO_BACKSLASH_ESCAPES", "EMPTY_STRING_IS_NULL", "ANSI"])
def test_mode_of_the_server_changes_no_text_and_hides_no_row(engine, load, script, mode):
    with contextlib.closing(engine.connect()) as connection:
        connection.cursor().execute("SET GLOBAL sql_mode = %s", (mode,))
    try:
        rows = [
            (user_row(n)[0], name, f"{n}@x", 1) for n, name in enumerate(["B\\x", "O'Brien", '"'])
        ]
        assert load(*rows) == (3, 3, 0, 0)
        assert load(*rows) == (3, 0, 3, 0)
        assert list(script("0-stream_users").stream_users()) == [user_dict(row) for row in rows]
    finally:
        with contextlib.closing(engine.connect()) as connection:
            connection.cursor().execute("SET GLOBAL sql_mode = DEFAULT")


@on_mysql
def test_key_of_the_type_uuid_is_streamed_whole(engine, load, script):
    with contextlib.closing(seed.connect_db()) as connection:
        seed.create_database(connection)
    engine.query(
        "CREATE TABLE user_data (user_id UUID PRIMARY KEY, name TEXT NOT NULL, email TEXT NOT NULL, "
        "age DECIMAL NOT NULL) CHARACTER SET utf8mb4"
    )
    assert load(GOOD, user_row(2)) == (2, 2, 0, 0)
    assert list(script("0-stream_users").stream_users()) == [
        user_dict(GOOD),
        user_dict(user_row(2)),
    ]
    assert len(list(script("2-lazy_paginate").lazy_paginate(1))) == 2


@on_mysql
def test_loads_at_the_same_time_end_in_one_table_and_none_fails(engine, load, clone):
    load(GOOD)
    statuses, outputs = run_at_once(4, clone / "seed.py", engine.settings)
    assert statuses == [0] * 4, outputs
    assert sum("1000 added" in out for out, _ in outputs) == 1, outputs
    assert len(stored(engine)) == 1_001


# ------------------------------------------------------------ python seed.py


def test_seed_py_tells_what_it_did_and_where(engine, clone, tmp_path):
    (tmp_path / "mine.csv").write_text(csv_text([GOOD, ("bad",)]))
    first = run_python(clone / "seed.py", "mine.csv", cwd=tmp_path, settings=engine.settings)
    second = run_python(clone / "seed.py", "mine.csv", cwd=tmp_path, settings=engine.settings)
    server = engine.server
    place = (
        f"MySQL at {server.host}:{server.port}, database {engine.settings['DB_NAME']}, "
        f"user {server.user}"
        if server
        else f"embedded SQLite file {engine.settings['DB_FILE']}"
    )
    assert first.stdout.splitlines() == [
        "Table user_data created successfully",
        "mine.csv: 2 rows read, 1 added, 0 already present, 1 refused",
        f"Refused rows, each with its reason: {tmp_path / 'mine.csv.rejected'}",
        f"Stored in: {place}",
    ]
    assert "mine.csv: 2 rows read, 0 added, 1 already present, 1 refused" in second.stdout
    assert first.stderr == second.stderr == ("" if server else _announcement(engine))


def test_progress_is_shown_on_a_terminal_only(embedded, clone):
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
    piped = run_python(clone / "seed.py", cwd=clone, settings=embedded.settings)
    assert "user_data.csv" not in piped.stderr


@pytest.mark.parametrize("argument", ["none.csv", "folder"])
def test_seed_py_that_cannot_read_its_file_says_so_in_one_line(engine, clone, tmp_path, argument):
    (tmp_path / "folder").mkdir()
    done = run_python(clone / "seed.py", argument, cwd=tmp_path, settings=engine.settings)
    assert done.returncode == 1
    assert argument in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


def test_modes_of_the_scripts_are_those_of_programs():
    assert (ROOT / "seed.py").stat().st_mode & stat.S_IXUSR


# ------------------------------------------------------------------- slow ones


@pytest.mark.slow
def test_memory_of_a_whole_program_does_not_grow_with_the_data(engine, clone, tmp_path):
    """Load, stream and average 1,000 and then 300,000 users, each in a process of its own."""
    peak = "import resource; print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    programs = {
        "load": f"import seed; c = seed.connect_to_prodev(); seed.insert_data(c, 'users.csv'); {peak}",
        "stream": f"s = __import__('0-stream_users'); n = sum(1 for _ in s()); {peak}; print(n)",
        "average": f"a = __import__('4-stream_ages').calculate_average_age(); {peak}",
    }
    peaks: dict[int, list[int]] = {}
    with contextlib.closing(seed.connect_db()) as connection:
        seed.create_database(connection)
    for count in (1_000, 300_000):
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            seed.create_table(connection)
        with (tmp_path / "users.csv").open("w", encoding="utf-8") as file:
            file.write(csv_text([]))
            file.writelines(",".join(map(str, user_row(number))) + "\n" for number in range(count))
        for name, code in programs.items():
            code = code.replace("'users.csv'", repr(str(tmp_path / "users.csv")))
            done = run_python(
                "-c", code, cwd=clone / "python-generators-0x00", settings=engine.settings
            )
            assert done.returncode == 0, done.stderr
            numbers = [int(line) for line in done.stdout.splitlines() if line.isdigit()]
            peaks.setdefault(name, []).append(numbers[0])
            assert numbers[1:] in ([], [count])
    for name, (small, large) in peaks.items():
        assert large - small < 8_192, f"{name}: {small} KiB, then {large} KiB"
