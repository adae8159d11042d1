"""Exercises 5 to 10 on real faults: others' locks, deadlocks, dead connections, failing clean-up."""

import contextlib
import functools
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import NamedTuple

import mysql.connector
import pytest
from conftest import _open_handles

import seed

SCRIPTS = {
    "with_db_connection": "1-with_db_connection",
    "transactional": "2-transactional",
    "retry_on_failure": "3-retry_on_failure",
}
ADD = "INSERT INTO users (name, email, age) VALUES ('Alan', 'alan@example.com', 41)"
SQLITE_BUSY = 5
LOST, LOCK_WAIT, DEADLOCK = 2013, 1205, 1213


@contextlib.contextmanager
def held_by_another_process(path: Path, sql: str) -> Iterator[Callable[[], object]]:
    """Let another process run `sql` in a transaction that stays open; what is yielded ends it."""
    code = (
        "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "for sql in sys.argv[2].split(';'): c.execute(sql).fetchone()\n"
        "print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, path, sql], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout.readline() == b"held\n"
        yield other.communicate


WRITING = "BEGIN IMMEDIATE"
WRITING_ALONE = "BEGIN EXCLUSIVE"  # as another one's commit does: nobody may read either
READING = "BEGIN; SELECT * FROM users"  # others may write, but not commit


@pytest.fixture
def sleeps(monkeypatch) -> list[float]:
    """The pauses that were asked for; none is made."""
    asked: list[float] = []
    monkeypatch.setattr(time, "sleep", asked.append)
    return asked


@pytest.fixture
def in_the_pause(monkeypatch, sleeps) -> Callable[[Callable], None]:
    """Have something done in the first pause between two attempts."""

    def in_the_pause(act):
        def sleep(delay):
            sleeps.append(delay)
            if len(sleeps) == 1:
                act()

        monkeypatch.setattr(time, "sleep", sleep)

    return in_the_pause


@pytest.fixture(autouse=True)
def _sqlite_waits_for_no_lock(monkeypatch):
    # By itself it waits for 5 s; here the retry is what waits.
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, timeout=0))


@pytest.fixture
def stack(script) -> Callable:
    """Put decorators upon a function, by their names, the first one outermost."""

    def stack(order: tuple[str, ...], function: Callable, retries: int = 3) -> Callable:
        for name in reversed(order):
            decorator = getattr(script(SCRIPTS[name]), name)
            function = (decorator(retries) if name == "retry_on_failure" else decorator)(function)
        return function

    return stack


@pytest.fixture
def calls() -> list:
    """What the function under the decorators noted at each of its calls."""
    return []


def count(path: Path, table: str = "users") -> int:
    with contextlib.closing(sqlite3.connect(path)) as other:
        return other.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]


# ------------------------------------------------------- SQLite's locks (14)


def add(conn):
    conn.execute(ADD)
    conn.commit()


def read(conn):
    return conn.execute("SELECT * FROM users").fetchall()


@pytest.mark.parametrize(("held", "act"), [(WRITING, add), (WRITING_ALONE, read)])
@pytest.mark.parametrize(
    "order",
    [("with_db_connection", "retry_on_failure"), ("retry_on_failure", "with_db_connection")],
)
def test_lock_that_another_process_never_lets_go_gives_sqlites_own_error_after_the_last_attempt(
    stack, users_db, sleeps, calls, held, act, order
):
    def noting(conn):
        try:
            return act(conn)
        except sqlite3.Error as error:
            calls.append(error)
            raise

    with held_by_another_process(users_db, held):
        with pytest.raises(sqlite3.OperationalError, match="database is locked") as raised:
            stack(order, noting, retries=4)()
        assert _open_handles(users_db) == []
    assert raised.value is calls[-1]
    assert raised.value.sqlite_errorcode & 0xFF == SQLITE_BUSY
    assert not hasattr(raised.value, "__notes__")
    assert (len(calls), sleeps) == (4, [2, 2, 2])
    assert count(users_db) == 3


def test_script_reads_as_soon_as_another_process_has_let_go_of_the_lock(
    script, users_db, sleeps, in_the_pause
):
    with held_by_another_process(users_db, WRITING_ALONE) as let_go:
        in_the_pause(let_go)
        assert len(script("3-retry_on_failure").fetch_users_with_retry()) == 3
    assert sleeps == [1]


# ------------------------------------------------ one upon another, two writes (15)

ORDERS = pytest.mark.parametrize(
    "order",
    [
        ("with_db_connection", "transactional", "retry_on_failure"),
        ("with_db_connection", "retry_on_failure", "transactional"),
        ("retry_on_failure", "with_db_connection", "transactional"),
    ],
    ids=" ".join,
)
IN_A_TRANSACTION = ("with_db_connection", "transactional")


@pytest.fixture
def diary(users_db) -> Path:
    """Another database, that a connection to the first can write to in the same transaction."""
    path = users_db.with_name("diary.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE entries (text TEXT)")
        connection.commit()
    return path


def attach(conn, diary: Path) -> None:
    if len(conn.execute("PRAGMA database_list").fetchall()) == 1:
        conn.execute("ATTACH ? AS diary", (str(diary),))


def note(conn) -> None:
    conn.execute("INSERT INTO diary.entries VALUES ('added Alan')")


@ORDERS
def test_second_write_that_meets_a_lock_for_a_moment_leaves_one_copy_of_both(
    stack, users_db, diary, sleeps, in_the_pause, calls, order
):
    def add_and_note(conn):
        attach(conn, diary)
        calls.append(len(read(conn)))
        conn.execute(ADD)
        note(conn)
        return "added"

    with held_by_another_process(diary, WRITING) as let_go:
        in_the_pause(let_go)
        assert stack(order, add_and_note)() == "added"
    assert calls == [3, 3]  # the second attempt found nothing of the first
    assert sleeps == [2]
    assert (count(users_db), count(diary, "entries")) == (4, 1)
    assert _open_handles(users_db) == []


@ORDERS
def test_second_write_that_meets_a_lock_for_ever_leaves_nothing_of_the_first(
    stack, users_db, diary, sleeps, order
):
    def add_and_note(conn):
        attach(conn, diary)
        conn.execute(ADD)
        note(conn)

    with (
        held_by_another_process(diary, WRITING),
        pytest.raises(sqlite3.OperationalError, match="database is locked"),
    ):
        stack(order, add_and_note)()
    assert sleeps == [2, 2]
    assert (count(users_db), count(diary, "entries")) == (3, 0)


@pytest.fixture
def add_then_note(stack, diary, calls) -> Callable:
    """A function that writes, and then calls one under @retry_on_failure that writes too."""

    def retried(conn):
        calls.append("attempt")
        note(conn)

    retried = stack(("retry_on_failure",), retried)

    def add_then_note(conn):
        attach(conn, diary)
        conn.execute(ADD)
        retried(conn)

    return add_then_note


def test_retry_inside_an_open_transaction_makes_one_attempt_and_the_transaction_is_rolled_back(
    stack, users_db, diary, sleeps, calls, add_then_note
):
    with (
        held_by_another_process(diary, WRITING),
        pytest.raises(sqlite3.OperationalError, match="database is locked"),
    ):
        stack(IN_A_TRANSACTION, add_then_note)()
    assert (calls, sleeps) == (["attempt"], [])
    assert (count(users_db), count(diary, "entries")) == (3, 0)


def test_retry_around_it_all_cures_what_the_one_inside_could_not(
    stack, users_db, diary, sleeps, in_the_pause, calls, add_then_note
):
    with held_by_another_process(diary, WRITING) as let_go:
        in_the_pause(let_go)
        stack(("retry_on_failure", *IN_A_TRANSACTION), add_then_note)()
    assert (len(calls), sleeps) == (2, [2])
    assert (count(users_db), count(diary, "entries")) == (4, 1)


@ORDERS
def test_commit_that_finds_the_database_busy_is_cured_by_a_retry_above_the_transaction_only(
    stack, users_db, sleeps, in_the_pause, calls, order
):
    def add(conn):
        calls.append("attempt")
        conn.execute(ADD)

    is_cured = order.index("retry_on_failure") < order.index("transactional")
    with held_by_another_process(users_db, READING) as let_go:
        in_the_pause(let_go)
        if is_cured:
            stack(order, add)()
        else:
            with pytest.raises(sqlite3.OperationalError, match="database is locked"):
                stack(order, add)()
    assert (len(calls), sleeps) == ((2, [2]) if is_cured else (1, []))
    assert count(users_db) == (4 if is_cured else 3)
    assert _open_handles(users_db) == []


# ------------------------------------------------------- MySQL's locks (16)


@pytest.fixture(params=[False, True], ids=["C extension", "pure Python"])
def connect(request, mysql_engine) -> Iterator[Callable]:
    """Open connections to a database of 100 accounts that hold 100 each; they are closed at the end."""
    with contextlib.ExitStack() as opened:

        def connect():
            options = {"database": mysql_engine.settings["DB_NAME"], "use_pure": request.param}
            return opened.enter_context(contextlib.closing(mysql_engine.connect(**options)))

        with contextlib.closing(mysql_engine.connect()) as connection:
            connection.cursor().execute(f"CREATE DATABASE {mysql_engine.settings['DB_NAME']}")
        mysql_engine.query(
            "CREATE TABLE accounts (id INT PRIMARY KEY, balance INT NOT NULL) ENGINE=InnoDB"
        )
        accounts = ", ".join(f"({number}, 100)" for number in range(1, 101))
        mysql_engine.query(f"INSERT INTO accounts VALUES {accounts}")
        yield connect


def move(conn, amount: int, account: int) -> None:
    with contextlib.closing(conn.cursor()) as cursor:
        cursor.execute(
            "UPDATE accounts SET balance = balance + %s WHERE id = %s", (amount, account)
        )


def balances(engine) -> dict[int, int]:
    return dict(engine.query("SELECT id, balance FROM accounts WHERE id <= 4"))


class Rival(NamedTuple):
    meet: Callable[[], object]  # return when each has its first account
    done: Future


@pytest.fixture
def rival(connect) -> Iterator[Rival]:
    """Take the accounts of the function under test in the opposite order: 2 first, then 1.

    It changes more rows than that function does, so the server ends the other's transaction.
    """
    barrier = Barrier(2)

    def take_2_then_1(conn):
        with contextlib.closing(conn.cursor()) as cursor:
            cursor.execute("UPDATE accounts SET balance = balance + 1000 WHERE id = 2 OR id > 4")
        barrier.wait(20)
        move(conn, 1000, 1)
        conn.commit()

    with ThreadPoolExecutor(1) as pool:
        yield Rival(lambda: barrier.wait(20), pool.submit(take_2_then_1, connect()))


def noting_errors(calls: list, function: Callable) -> Callable:
    @functools.wraps(function)
    def wrapper(conn):
        try:
            function(conn)
        except mysql.connector.Error as error:
            calls.append(error.errno)
            raise
        calls.append("done")

    return wrapper


MYSQL_ORDERS = pytest.mark.parametrize(
    "order",
    [("retry_on_failure", "transactional"), ("transactional", "retry_on_failure")],
    ids=" ".join,
)


@MYSQL_ORDERS
def test_deadlock_runs_the_whole_transaction_again_and_applies_it_once(
    stack, connect, mysql_engine, sleeps, calls, rival, order
):
    def transfer(conn):
        move(conn, -30, 1)
        if not calls:
            rival.meet()  # from here on each wants the other's account
        move(conn, 30, 2)

    stack(order, noting_errors(calls, transfer))(conn := connect())
    rival.done.result(20)
    assert calls == [DEADLOCK, "done"]
    assert sleeps == [2]
    assert not conn.in_transaction
    assert balances(mysql_engine) == {1: 1070, 2: 1130, 3: 100, 4: 100}


def test_deadlock_in_the_middle_of_a_transaction_is_not_tried_again_from_the_middle(
    stack, connect, mysql_engine, sleeps, calls, rival
):
    # The server has rolled back the first write too: a second attempt from here would lose it.
    def transfer(conn):
        move(conn, -30, 1)
        rival.meet()
        move(conn, 30, 2)

    inner = stack(("retry_on_failure",), noting_errors(calls, transfer))

    def booked_transfer(conn):
        move(conn, 1, 3)
        inner(conn)

    with pytest.raises(mysql.connector.Error) as raised:
        stack(("transactional",), booked_transfer)(connect())
    assert raised.value.errno == DEADLOCK
    assert (calls, sleeps) == ([DEADLOCK], [])
    rival.done.result(20)
    assert balances(mysql_engine) == {1: 1100, 2: 1100, 3: 100, 4: 100}


@MYSQL_ORDERS
def test_lock_wait_runs_the_whole_transaction_again_and_applies_it_once(
    stack, connect, mysql_engine, sleeps, in_the_pause, calls, order
):
    holder, conn = connect(), connect()
    with contextlib.closing(conn.cursor()) as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
    move(holder, 1, 2)
    in_the_pause(holder.rollback)

    def transfer(conn):
        move(conn, -30, 1)  # after a lock wait, unlike a deadlock, this is still there
        move(conn, 30, 2)

    stack(order, noting_errors(calls, transfer))(conn)
    assert calls == [LOCK_WAIT, "done"]
    assert sleeps == [2]
    assert not conn.in_transaction
    assert balances(mysql_engine) == {1: 70, 2: 130, 3: 100, 4: 100}


# --------------------------------------- dead connections, failing clean-up (15, 17)


def kill(engine, connection) -> None:
    """End a connection as an administrator does."""
    engine.query(f"KILL {connection.connection_id}")


def test_dead_connection_is_cured_by_a_retry_above_what_opens_it(
    stack, connect, mysql_engine, sleeps, calls
):
    def transfer(conn):
        move(conn, -30, 1)
        if not calls:
            kill(mysql_engine, conn)
        move(conn, 30, 2)

    transfer = stack(("transactional",), noting_errors(calls, transfer))
    stack(("retry_on_failure",), lambda: transfer(connect()))()
    assert calls[1:] == ["done"]
    assert sleeps == [2]
    assert balances(mysql_engine) == {1: 70, 2: 130, 3: 100, 4: 100}


def test_rollback_on_a_dead_connection_is_a_note_on_the_error_that_came_first(
    stack, connect, mysql_engine, calls
):
    def transfer(conn):
        move(conn, -30, 1)
        kill(mysql_engine, conn)
        try:
            move(conn, 30, 2)
        except mysql.connector.Error as error:
            calls.append(error)
            raise

    with pytest.raises(mysql.connector.Error) as raised:
        stack(("transactional",), transfer)(connect())
    assert raised.value is calls[0]
    (note,) = raised.value.__notes__
    assert "rollback() failed after it: " in note
    assert "Lost connection" in note
    assert balances(mysql_engine) == {1: 100, 2: 100, 3: 100, 4: 100}


@pytest.mark.parametrize("use_pure", [False, True], ids=["C extension", "pure Python"])
def test_commit_on_a_server_that_was_killed_gives_its_own_error_and_the_rollback_is_a_note(
    stack, new_server, use_pure
):
    def write(conn):
        cursor.execute("INSERT INTO bank.accounts VALUES (1)")
        server.kill()
        return "what no caller may ever get"

    with new_server() as server:
        credentials = {"user": server.user, "password": server.password, "use_pure": use_pure}
        with contextlib.closing(
            mysql.connector.connect(
                host=server.host,
                port=server.port,
                collation="utf8mb4_general_ci",
                **credentials,
            )
        ) as connection:
            cursor = connection.cursor()
            cursor.execute("CREATE DATABASE bank")
            cursor.execute("CREATE TABLE bank.accounts (id INT) ENGINE=InnoDB")
            # The C extension's own class, which is no mysql.connector.Error
            with pytest.raises(Exception, match="Lost connection") as raised:
                stack(("transactional",), write)(connection)
    assert raised.value.errno == LOST
    frames = [entry.name for entry in raised.traceback]
    assert "commit" in frames
    assert "rollback" not in frames
    (note,) = raised.value.__notes__
    assert "rollback() failed after it: " in note
    assert "Lost connection" in note


@pytest.fixture
def elsewhere() -> Iterator[ThreadPoolExecutor]:
    """Another thread; what SQLite opened there cannot be rolled back or closed here."""
    with ThreadPoolExecutor(1) as pool:
        yield pool


@pytest.mark.parametrize(
    ("name", "manager", "failing"),
    [
        ("0-databaseconnection", "DatabaseConnection", ["rollback", "close"]),
        ("1-execute", "ExecuteQuery", ["close", "rollback", "close"]),
    ],
)
def test_clean_up_that_sqlite_refuses_is_noted_on_the_error_of_the_block(
    script, users_db, elsewhere, name, manager, failing
):
    given = (ADD,) if manager == "ExecuteQuery" else ()
    manager = getattr(script(name), manager)(*given)
    error = ValueError("the block")
    elsewhere.submit(manager.__enter__).result()
    assert not manager.__exit__(ValueError, error, None)  # which lets the error go on
    for note, method in zip(error.__notes__, failing, strict=True):
        assert f"{method}() failed after it: ProgrammingError: SQLite objects created in" in note


def test_close_that_fails_is_a_note_on_the_first_error_and_an_error_where_there_is_none(connect):
    connection = connect()
    cursor = connection.cursor()
    error = ValueError("the block")
    cursor.execute("SELECT id FROM accounts")  # never read: the driver refuses to close
    with pytest.raises(ValueError, match="the block") as raised, seed.closing(cursor):
        raise error
    assert raised.value is error
    (note,) = error.__notes__
    assert "close() failed after it: InternalError: Unread result found" in note
    with pytest.raises(mysql.connector.InternalError, match="Unread result"), seed.closing(cursor):
        pass


def test_retry_on_a_connection_that_cannot_roll_back_gives_the_first_error_at_once(
    stack, connect, mysql_engine, sleeps, calls
):
    def transfer(conn):
        with contextlib.closing(conn.cursor()) as cursor:
            cursor.execute("UPDATE accounts SET balance = 70 WHERE id = 1")
            kill(mysql_engine, conn)
            cursor.execute("UPDATE accounts SET balance = 130 WHERE id = 2")

    transfer, conn = stack(("retry_on_failure",), noting_errors(calls, transfer)), connect()
    with pytest.raises(mysql.connector.Error, match="Lost connection") as raised:
        transfer(conn)  # a second attempt would say "MySQL Connection not available"
    assert (calls, sleeps) == ([LOST], [])
    assert "rollback() failed after it: " in raised.value.__notes__[0]
    assert balances(mysql_engine) == {1: 100, 2: 100, 3: 100, 4: 100}


def test_connection_to_mysql_that_commits_by_itself_is_refused_by_transactional(
    stack, connect, mysql_engine
):
    def transfer(conn):
        move(conn, -30, 1)
        raise ValueError("between the writes")

    conn, transfer = connect(), stack(("transactional",), transfer)
    conn.autocommit = True
    with pytest.raises(ValueError, match="can roll nothing back on a connection with"):
        transfer(conn)
    conn.start_transaction()  # until its end, nothing is committed by itself
    with pytest.raises(ValueError, match="between the writes"):
        transfer(conn)
    assert balances(mysql_engine) == {1: 100, 2: 100, 3: 100, 4: 100}
