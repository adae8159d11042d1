"""Values that look like SQL, passwords of any kind, and no secret in any message."""

import asyncio
import contextlib
import logging
import re
import sqlite3
import traceback
import uuid
from collections.abc import Callable, Iterator

import mysql.connector
import pytest
from conftest import ROOT, csv_text, make_table, run_python, user_dict, user_row, wait_until

import seed

INJECTION = "'); DROP TABLE users; --"


def test_injection_is_text_to_the_functions_on_users_db(script, users_db, caplog):
    caplog.set_level(logging.DEBUG, "log_queries")
    get_user_by_id = script("1-with_db_connection").get_user_by_id
    update_user_email = script("2-transactional").update_user_email

    @script("0-log_queries").log_queries
    @script("1-with_db_connection").with_db_connection
    @script("4-cache_query").cache_query
    def find(conn, query, email):
        return conn.execute(query, (email,)).fetchall()

    assert get_user_by_id(INJECTION) is None
    update_user_email(INJECTION, "nobody@example.com")
    update_user_email(1, INJECTION)
    ada = (1, "Ada", INJECTION, 20)
    assert get_user_by_id(1) == ada
    by_email = "SELECT * FROM users WHERE email = ?"
    assert find(by_email, INJECTION) == find(by_email, email=INJECTION) == [ada]
    assert asyncio.run(script("3-concurrent").fetch(by_email, (INJECTION,))) == [ada]
    with script("1-execute").ExecuteQuery(by_email, INJECTION) as rows:
        assert rows == [ada]
    assert INJECTION not in caplog.text


@pytest.mark.parametrize("name", [INJECTION, "a?mode=memory&b#c%41.db", "ü '\"` ;.db"])
def test_database_file_may_have_any_name(script, users_db, name):
    execute = script("1-execute").ExecuteQuery
    for sql in ("CREATE TABLE t (n)", "INSERT INTO t VALUES (1)"):
        with execute(sql, db_name=name):
            pass
    fetch = script("4-cache_query").cache_query(lambda conn, query: conn.execute(query).fetchall())
    with contextlib.closing(sqlite3.connect(name)) as conn:
        for number in (1, 2):
            conn.execute("UPDATE t SET n = ?", (number,))
            conn.commit()
            assert fetch(conn, "SELECT n FROM t") == fetch(conn, "SELECT n FROM t") == [(number,)]
    assert {path.name for path in users_db.parent.iterdir()} == {"users.db", name}


def test_injection_is_an_ordinary_key_to_the_generators(script, engine, load):
    load()
    count = 700  # so many that keys are values of several queries
    rows = [(f"{INJECTION}{n:03}", INJECTION, f"{INJECTION}{n}@x", 30) for n in range(count)]
    engine.insert(rows)
    users = [user_dict(row) for row in rows]
    assert list(script("0-stream_users").stream_users()) == users
    pages = script("2-lazy_paginate")
    assert list(pages.lazy_paginate(300)) == [users[:300], users[300:600], users[600:]]
    assert pages.paginate_users(999, 2) == users[2:]
    assert list(script("4-stream_ages").stream_user_ages()) == [30] * count


def test_injection_is_an_ordinary_database_name(mysql_engine, script, monkeypatch):
    make_table()
    victim = mysql_engine.settings["DB_NAME"]
    name = f"x`; DROP DATABASE {victim[:30]}; -- ' \" %s"
    monkeypatch.setenv("DB_NAME", name)
    try:
        make_table()
        make_table()  # it is there already
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            assert seed.insert_data(connection, ROOT / "user_data.csv").added == 1_000
        assert len(list(script("0-stream_users").stream_users())) == 1_000
        assert {(victim,), (name,)} <= set(mysql_engine.query("SHOW DATABASES"))
    finally:
        mysql_engine.query(f"DROP DATABASE IF EXISTS `{name.replace('`', '``')}`")


SCRIPTS = ("0-stream_users", "1-batch_processing", "2-lazy_paginate", "4-stream_ages")
GOOD = ["Ada", "two\r\nlines", "'\"; --", "🚀", "é", "e\u0301", "n" * 255, "\\N", "%s", "\x1b[31m"]
BAD = ["A\0da", "Ren\udce9e", "n" * 256, "\u2028 "]  # NUL, no UTF-8, too long, blank


def test_both_engines_give_the_same_output_and_reject_file(clone, tmp_path, mysql_engine):
    ids = [f"{'aA'[n % 2]}{n * 37 % 400:07}-0000-4000-8000-000000000000" for n in range(400)]
    rows = [(ids[n], (GOOD + BAD)[n % 14], f"É{n}@x", n % 160) for n in range(400)]
    added = [row for row in rows if row[1] in GOOD and row[3] <= 150]
    first, second = added[:2]
    refused = [(*first[:3], 99), (*first[:2], "x@x", 1), (second[0], *first[1:]), ("x",)]
    text = "\ufeff" + csv_text([*rows, first, *refused]) + '"unclosed,1'
    path, programs = tmp_path / "hostile.csv", [f"python-generators-0x00/{n}.py" for n in SCRIPTS]
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    told = []
    for settings in (mysql_engine.settings, {"DB_FILE": str(tmp_path / "embedded.sqlite3")}):
        words = [("seed.py", path), ("seed.py", path), *((name,) for name in programs)]
        done = [run_python(clone / n, *a, cwd=clone, settings=settings) for n, *a in words]
        assert not any(program.returncode for program in done), done
        shown = [re.sub("(?m)^Stored in: .*", "", program.stdout) for program in done]
        told.append((shown, (tmp_path / "hostile.csv.rejected").read_bytes()))
    assert f"406 rows read, {len(added)} added, 1 already present, " in told[0][0][0]
    assert told[0] == told[1]


# ----------------------------------------------------- passwords, as they are

MARK = "hunter2"  # part of the password, the same in every quoted or escaped form
PASSWORD = f'a#b it\'s "hi" ünï€ 密码 🔑 back\\slash\\n $HOME ${{HOME}} %s `id`; a=b {MARK}'
# What has to stand in quotes: a blank at an end, a # after a blank, a quote at the start.
QUOTED = f" {PASSWORD} #1 "
FORMS = {
    "unquoted": str,
    "single": lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
    "double": lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"',
}


@pytest.fixture
def make_user(mysql_engine, monkeypatch) -> Iterator[Callable[..., dict[str, str]]]:
    """Make and be a user of the server, who may do this in the test's database; give the settings."""
    made = []

    def make_user(password: str, grant: str, **settings) -> dict[str, str]:
        user = f"u{uuid.uuid4().hex[:20]}"
        mysql_engine.query(f"CREATE USER {user} IDENTIFIED BY %s", (password,))
        made.append(user)
        mysql_engine.query(f"GRANT {grant} ON {mysql_engine.settings['DB_NAME']}.* TO {user}")
        settings = mysql_engine.settings | {"DB_USER": user, "DB_PASSWORD": password} | settings
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return settings

    with contextlib.closing(seed.connect_db()) as connection:
        seed.create_database(connection)
    yield make_user
    for user in made:
        mysql_engine.query(f"DROP USER {user}")


@pytest.mark.parametrize(
    ("form", "password"),
    [
        ("unquoted", PASSWORD),
        *((f, p) for f in ("single", "double") for p in (QUOTED, "'q'", '"q"')),
    ],
)
def test_password_in_the_env_file_opens_the_server(own_clone, make_user, tmp_path, form, password):
    settings = make_user(password, "ALL")
    text = "".join(f"{name}={FORMS[form](value)}\n" for name, value in settings.items())
    text = text.replace("\n", " # the server\n", 1)
    (own_clone / ".env").write_text(text, encoding="utf-8-sig")  # as Windows editors do
    done = run_python(own_clone / "seed.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert f"user {settings['DB_USER']}\n" in done.stdout
    assert password not in done.stdout + done.stderr


# ---------------------------------------------------------------- no secret

READ, LOAD = "python-generators-0x00/0-stream_users.py", "seed.py"


@pytest.mark.parametrize(
    ("program", "grant", "settings", "number", "message"),
    [
        (READ, "ALL", {"DB_PORT": "1"}, 2003, "is the server running? check DB_HOST and DB_PORT"),
        (READ, "ALL", {"DB_PASSWORD": f"{PASSWORD}x"}, 1045, "check DB_USER and DB_PASSWORD"),
        (READ, "ALL", {"DB_NAME": "nowhere"}, 1044, "ask for rights on that database"),
        (READ, "ALL", {}, 1146, "run `python seed.py` to create it"),
        (LOAD, "SELECT", {}, 1142, "ask for that right, or use another DB_USER"),
    ],
)
def test_no_error_log_or_traceback_contains_the_password(
    clone, make_user, script, caplog, capfd, program, grant, settings, number, message
):
    caplog.set_level(logging.DEBUG)
    settings = make_user(PASSWORD, grant, **settings)
    done = run_python(clone / program, cwd=clone, settings=settings)
    assert done.returncode == 1
    assert message in done.stderr
    with pytest.raises(mysql.connector.Error) as raised:
        next(script("0-stream_users").stream_users()) if program == READ else make_table()
    assert raised.value.errno == number
    told = done.stdout, done.stderr, caplog.text, *capfd.readouterr()
    assert MARK not in "".join([*told, *traceback.format_exception(raised.value)])


def test_log_of_a_lost_connection_has_no_password(make_user, script, mysql_engine, caplog, capfd):
    user = make_user(PASSWORD, "ALL")["DB_USER"]
    make_table()
    mysql_engine.insert(user_row(number) for number in range(1_000))
    caplog.set_level(logging.DEBUG)
    users = script("0-stream_users").stream_users()
    next(users)
    wait_until(lambda: mysql_engine.connections() == 1)  # that of make_table is gone
    connection = "SELECT ID FROM INFORMATION_SCHEMA.PROCESSLIST WHERE USER = %s"
    mysql_engine.query(f"KILL {mysql_engine.query(connection, (user,))[0][0]}")
    wait_until(lambda: mysql_engine.connections() == 0)
    assert len(list(users)) == 999
    assert "trying again" in caplog.text
    assert MARK not in "".join([caplog.text, *capfd.readouterr()])


def test_env_file_with_an_open_quote_reveals_no_secret(own_clone):
    (own_clone / ".env").write_text(f"DB_HOST=127.0.0.1\nDB_PORT=1\nDB_PASSWORD='{PASSWORD}\n")
    done = run_python(own_clone / LOAD, cwd=own_clone)
    assert "check DB_HOST and DB_PORT" in done.stderr
    assert MARK not in done.stdout + done.stderr
