"""Values that look like SQL, passwords of any kind, and no secret in any message."""

import asyncio
import contextlib
import logging
import sqlite3
import traceback
import uuid
from collections.abc import Callable, Iterator

import mysql.connector
import pytest
from conftest import ROOT, csv_text, run_python, user_dict, user_row
from tcp_proxy import Proxy

import seed
import seed_settings
import seed_stream

THREADS, PROCESSES = 16, 4

INJECTION = "'); DROP TABLE users; --"


# ------------------------------------------------------------ hostile values


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
    with script("0-databaseconnection").DatabaseConnection() as conn:
        assert conn.execute("SELECT COUNT(*) FROM users WHERE age > 20").fetchone() == (2,)
    assert INJECTION not in caplog.text


@pytest.mark.parametrize("name", [INJECTION, "a?mode=memory&b#c%41.db", "ü '\"` ;.db"])
def test_file_of_any_name_is_that_file(script, users_db, name):
    execute = script("1-execute").ExecuteQuery
    with (
        execute("CREATE TABLE t (n)", db_name=name),
        execute("INSERT INTO t VALUES (?)", 1, db_name=name),
    ):
        pass
    fetch = script("4-cache_query").cache_query(lambda conn, query: conn.execute(query).fetchall())
    with contextlib.closing(sqlite3.connect(name)) as conn:
        for number in (1, 2):
            conn.execute("UPDATE t SET n = ?", (number,))
            conn.commit()
            assert fetch(conn, "SELECT n FROM t") == fetch(conn, "SELECT n FROM t") == [(number,)]
    assert {path.name for path in users_db.parent.iterdir()} == {"users.db", name}


def test_injection_is_a_key_like_any_other_to_the_generators(script, engine, load, monkeypatch):
    monkeypatch.setattr(seed_stream, "FIRST_SEGMENT_ROWS", 1)  # so that each key is a value soon
    monkeypatch.setattr(seed_stream, "BLOCK_ROWS", 1)
    load()
    rows = [(f"{INJECTION}{n}", INJECTION, f"{INJECTION}{n}@x", 30) for n in range(5)]
    for row in rows:
        engine.query("INSERT INTO user_data VALUES (%s, %s, %s, %s)", row)
    users = [user_dict(row) for row in rows]
    assert list(script("0-stream_users").stream_users()) == users
    pages = script("2-lazy_paginate")
    assert list(pages.lazy_paginate(2)) == [users[:2], users[2:4], users[4:]]
    assert pages.paginate_users(9, 0, after=f"{INJECTION}1") == users[2:]
    assert list(script("4-stream_ages").stream_user_ages()) == [30] * 5


def test_injection_in_a_file_is_loaded_once_and_found_again(engine, load):
    email = INJECTION.replace(" ", "/**/") + "@x"
    row = (user_row(1)[0], INJECTION, email, 30)
    assert load(row) == (1, 1, 0, 0)
    assert load(row, (user_row(2)[0], INJECTION, email, 30), user_row(3)) == (3, 1, 1, 1)
    assert engine.query("SELECT name, email FROM user_data ORDER BY user_id") == [
        (INJECTION, email),
        user_row(3)[1:3],
    ]


def test_injection_is_a_name_like_any_other_for_a_database(
    mysql_engine, script, monkeypatch, capsys
):
    victim = mysql_engine.settings["DB_NAME"]
    with contextlib.closing(seed.connect_db()) as connection:
        seed.create_database(connection)
    name = f"x`; DROP DATABASE {victim[:30]}; -- ' \" %s"
    monkeypatch.setenv("DB_NAME", name)
    try:
        with contextlib.closing(seed.connect_db()) as connection:
            seed.create_database(connection)
            seed.create_database(connection)  # it is there already
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            seed.create_table(connection)
            assert seed.insert_data(connection, ROOT / "user_data.csv").added == 1_000
        assert len(list(script("0-stream_users").stream_users())) == 1_000
        with contextlib.closing(mysql_engine.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute("SHOW DATABASES")
            assert {(victim,), (name,)} <= set(cursor.fetchall())
    finally:
        with contextlib.closing(mysql_engine.connect()) as connection:
            connection.cursor().execute(f"DROP DATABASE IF EXISTS `{name.replace('`', '``')}`")


# ----------------------------------------------------- passwords, as they are

PASSWORDS = [
    "correct horse battery",
    "it's",
    'say "hi"',
    "a#b",
    "ünï€ 密码 🔑",
    "back\\slash\\n",
    "$HOME ${HOME} %s",
    "`id`; a=b",
]
# What has to stand in quotes: a blank at an end, a # after a blank, a quote at the start.
QUOTED_PASSWORDS = [" at both ends ", "a #b", "'q'", '"q"', 'it\'s "#1" \\ é']
FORMS = {
    "unquoted": str,
    "single": lambda text: "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'",
    "double": lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"',
}


@pytest.fixture
def make_user(mysql_engine) -> Iterator[Callable[..., str]]:
    """Make a user of the server with this password, who may do what is granted to them."""
    made = []

    def make_user(password: str, grant: str = "") -> str:
        user = f"u{uuid.uuid4().hex[:20]}"
        with contextlib.closing(mysql_engine.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute("CREATE USER %s@'%' IDENTIFIED BY %s", (user, password))
            made.append(user)
            if grant:
                cursor.execute(f"GRANT {grant} ON {mysql_engine.settings['DB_NAME']}.* TO {user}")
        return user

    yield make_user
    with contextlib.closing(mysql_engine.connect()) as connection:
        for user in made:
            connection.cursor().execute("DROP USER %s", (user,))


@pytest.mark.parametrize(
    ("form", "password"),
    [
        *((form, password) for form in FORMS for password in PASSWORDS),
        *((form, password) for form in ("single", "double") for password in QUOTED_PASSWORDS),
    ],
)
def test_password_in_the_env_file_opens_the_server(
    mysql_engine, make_user, monkeypatch, tmp_path, form, password
):
    user = make_user(password)
    lines = [
        f"DB_HOST={mysql_engine.server.host} # the server",
        f"DB_PORT={mysql_engine.server.port}",
        f"DB_PASSWORD={FORMS[form](password)}",
        f"DB_USER={FORMS[form](user)}",
    ]
    (tmp_path / ".env").write_text("\n".join(lines), encoding="utf-8")
    monkeypatch.setattr(seed_settings, "ROOT", tmp_path)
    for name in ("DB_HOST", "DB_PORT", "DB_USER", "DB_PASSWORD"):
        monkeypatch.delenv(name)
    with contextlib.closing(seed.connect_db()) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT CURRENT_USER()")
        assert cursor.fetchone() == (f"{user}@%",)


# ---------------------------------------------------------------- no secret

MARK = "hunter2"  # stands in the password, however that is quoted or escaped
PASSWORD = f'{MARK} "ü" #1\''
BAD_CSV = "user_id,name,email,age\nnobody,N,n@x,abc\n"


@pytest.fixture
def secretive(mysql_engine, make_user, monkeypatch) -> Callable[..., None]:
    """Make the database and work there as a user with a password, and these rights and settings."""

    def secretive(grant: str = "", **settings: str) -> dict[str, str]:
        with contextlib.closing(seed.connect_db()) as connection:
            seed.create_database(connection)
        user = make_user(PASSWORD, grant)
        settings = mysql_engine.settings | {"DB_USER": user, "DB_PASSWORD": PASSWORD} | settings
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        return settings

    return secretive


READ, LOAD = "python-generators-0x00/0-stream_users.py", "seed.py"
MAY_READ, MAY_ALL = "SELECT", "ALL"


@pytest.mark.parametrize(
    ("program", "grant", "settings", "number", "message"),
    [
        (READ, MAY_ALL, {"DB_PORT": "1"}, 2003, "is the server running? check DB_HOST and DB_PORT"),
        (READ, MAY_ALL, {"DB_PASSWORD": PASSWORD * 2}, 1045, "check DB_USER and DB_PASSWORD"),
        (READ, MAY_ALL, {"DB_NAME": "nowhere"}, 1044, "ask for rights on that database"),
        (READ, MAY_ALL, {}, 1146, "run `python seed.py` to create it"),
        (LOAD, MAY_READ, {}, 1142, "ask for that right, or use another DB_USER"),
    ],
    ids=["refused", "wrong password", "no rights", "missing table", "may not create"],
)
def test_password_is_in_no_error_log_or_traceback(
    clone, secretive, tmp_path, caplog, capfd, program, grant, settings, number, message
):
    caplog.set_level(logging.DEBUG)
    settings = secretive(grant, **settings)

    done = run_python(clone / program, cwd=tmp_path, settings=settings)
    assert done.returncode == 1
    assert message in done.stderr

    with pytest.raises(mysql.connector.Error) as raised:
        read_one() if program == READ else create_table()
    assert raised.value.errno == number
    told = [
        *(done.stdout, done.stderr, caplog.text, *capfd.readouterr()),
        *traceback.format_exception(raised.value),
        *map(repr, all_errors(raised.value)),
    ]
    assert MARK not in "".join(told)


def read_one() -> None:
    next(seed.import_script("0-stream_users").stream_users())


def create_table() -> None:
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        seed.create_table(connection)


def all_errors(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def test_password_is_in_no_word_about_a_connection_that_is_lost_while_reading(
    clone, secretive, mysql_engine, tmp_path
):
    server = mysql_engine.server
    with Proxy(server.host, server.port) as proxy:
        settings = secretive(MAY_ALL, DB_PORT=str(proxy.port))
        create_table()
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            seed.insert_data(connection, ROOT / "user_data.csv")
        proxy.lose_reply_to(b"ORDER BY user_id")
        loud = "import logging, runpy, sys; logging.basicConfig(level='DEBUG');"
        done = run_python(
            "-c",
            f"{loud} sys.path.insert(0, {str(clone)!r});"
            f"runpy.run_path({str(clone / READ)!r}, run_name='__main__')",
            cwd=tmp_path,
            settings=settings,
        )
    assert len(done.stdout.splitlines()) == 6
    assert "trying again" in done.stderr
    assert MARK not in done.stdout + done.stderr


def test_password_is_in_no_word_about_a_load_that_fails_nor_in_the_reject_file(
    clone, secretive, mysql_engine, tmp_path
):
    server = mysql_engine.server
    (tmp_path / "bad.csv").write_text(BAD_CSV + csv_text([user_row(1)]).partition("\n")[2])
    with Proxy(server.host, server.port) as proxy:
        settings = secretive(MAY_ALL, DB_PORT=str(proxy.port))
        proxy.lose_reply_to(b"INSERT INTO user_data")
        lost = run_python(clone / LOAD, "bad.csv", cwd=tmp_path, settings=settings)
    assert lost.returncode == 1
    assert "cannot load bad.csv into" in lost.stderr
    assert "the connection was lost: run it again" in lost.stderr
    assert not (tmp_path / "bad.csv.rejected").exists()

    settings |= {"DB_PORT": str(server.port)}
    loaded = run_python(clone / LOAD, "bad.csv", cwd=tmp_path, settings=settings)
    assert "2 rows read, 1 added, 0 already present, 1 refused" in loaded.stdout
    rejected = (tmp_path / "bad.csv.rejected").read_text()
    assert "age 'abc' is no whole number" in rejected
    told = lost.stdout + lost.stderr + loaded.stdout + loaded.stderr + rejected
    assert MARK not in told


def test_env_file_that_cannot_be_read_whole_gives_no_secret_away(clone, tmp_path):
    (clone / ".env").write_text(f"DB_HOST=127.0.0.1\nDB_PORT=1\nDB_PASSWORD='{PASSWORD}\n")
    try:
        done = run_python(clone / LOAD, cwd=tmp_path)
    finally:
        (clone / ".env").unlink()
    assert done.returncode == 1
    assert "check DB_HOST and DB_PORT" in done.stderr
    assert MARK not in done.stdout + done.stderr
