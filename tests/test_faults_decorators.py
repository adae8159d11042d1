"""Exercises 6 to 8 on real faults: others' locks, deadlocks, lost connections, failing clean-up."""

import contextlib
import functools
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import mysql.connector
import pytest
from conftest import _open_handles, make_table, user_row

import seed

SCRIPTS = {
    "log_queries": "0-log_queries",
    "with_db_connection": "1-with_db_connection",
    "transactional": "2-transactional",
    "retry_on_failure": "3-retry_on_failure",
}
ADD = "INSERT INTO users (name, email, age) VALUES ('Alan', 'alan@example.com', 41)"
LOCK_WAIT, DEADLOCK = 1205, 1213

WRITING = "BEGIN IMMEDIATE"
WRITING_ALONE = "BEGIN EXCLUSIVE"  # as during a commit: others may not read either
READING = "BEGIN; SELECT * FROM users"  # others may write, but not commit


@contextlib.contextmanager
def held_by_another_process(path: Path, sql: str) -> Iterator[Callable[[], object]]:
    """Run `sql` in another process, in a transaction that ends when the yielded function is called."""
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


def locked(is_expected: bool = True):
    """Expect SQLite's own error, or none."""
    if not is_expected:
        return contextlib.nullcontext()
    return pytest.raises(sqlite3.OperationalError, match="database is locked")


class Sleeps(list):
    """The pauses that were asked for; none is made. In the first one, `first` is called."""

    first: Callable[[], object] = staticmethod(lambda: None)

    def __call__(self, delay):
        self.append(delay)
        if len(self) == 1:
            self.first()


@pytest.fixture
def sleeps(monkeypatch) -> Sleeps:
    monkeypatch.setattr("time.sleep", sleeps := Sleeps())
    return sleeps


@pytest.fixture(autouse=True)
def _sqlite_does_not_wait_for_locks(monkeypatch):
    # By default it waits for 5 s; here the retry waits instead.
    monkeypatch.setattr(sqlite3, "connect", functools.partial(sqlite3.connect, timeout=0))


@pytest.fixture
def calls() -> list:
    """What the decorated function noted, once a call."""
    return []


def stack(order: tuple[str, ...], function: Callable, retries: int = 3) -> Callable:
    """Decorate a function with these decorators, the first one outermost."""
    for name in reversed(order):
        decorator = getattr(seed.import_script(SCRIPTS[name]), name)
        function = (decorator(retries) if name == "retry_on_failure" else decorator)(function)
    return function


def count(path: Path, table: str = "users") -> int:
    with contextlib.closing(sqlite3.connect(path)) as other:
        return other.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]


# ------------------------------------------------------------ SQLite's locks


def add(conn):
    conn.execute(ADD)
    conn.commit()


def read(conn):
    return conn.execute("SELECT * FROM users").fetchall()


@pytest.mark.parametrize(("held", "act"), [(WRITING, add), (WRITING_ALONE, read)])
@pytest.mark.parametrize(
    "order",
    [("with_db_connection", "retry_on_failure"), ("retry_on_failure", "with_db_connection")],
    ids=" ".join,
)
def test_lock_held_forever_raises_sqlites_own_error_after_the_last_attempt(
    users_db, sleeps, calls, held, act, order
):
    def noting(conn):
        try:
            act(conn)
        except sqlite3.Error as error:
            calls.append(error)
            raise

    with held_by_another_process(users_db, held):
        with locked() as raised:
            stack(order, noting, retries=4)()
        assert _open_handles(users_db) == []
    assert raised.value is calls[-1]
    assert raised.value.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    assert not hasattr(raised.value, "__notes__")
    assert (len(calls), sleeps) == (4, [2, 2, 2])
    assert count(users_db) == 3


def test_script_reads_as_soon_as_another_process_releases_its_lock(users_db, sleeps):
    with held_by_another_process(users_db, WRITING_ALONE) as sleeps.first:
        assert len(seed.import_script("3-retry_on_failure").fetch_users_with_retry()) == 3
    assert sleeps == [1]


# -------------------------------------------------------- stacked decorators

IN_A_TRANSACTION = ("with_db_connection", "transactional")
ORDERS = pytest.mark.parametrize(
    "order",
    [
        (*IN_A_TRANSACTION, "retry_on_failure"),
        ("with_db_connection", "retry_on_failure", "transactional"),
        ("retry_on_failure", *IN_A_TRANSACTION),
        ("log_queries", *IN_A_TRANSACTION, "retry_on_failure"),
    ],
    ids=" ".join,
)


@pytest.fixture
def diary(users_db) -> Path:
    """A second database, to write to in the same transaction as to users.db."""
    path = users_db.with_name("diary.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE entries (text TEXT)")
    return path


@pytest.fixture
def write(diary, calls) -> Callable[[sqlite3.Connection], None]:
    """The first write, to users.db; it notes how many users it found there."""

    def write(conn):
        with contextlib.suppress(sqlite3.OperationalError):  # attached by an earlier attempt
            conn.execute("ATTACH ? AS diary", (str(diary),))
        calls.append(len(read(conn)))
        conn.execute(ADD)

    return write


def write_too(conn) -> str:
    """The second write, to the diary."""
    conn.execute("INSERT INTO diary.entries VALUES ('added Alan')")
    return "written"


@ORDERS
@pytest.mark.parametrize("is_released", [True, False], ids=["released", "held forever"])
def test_retry_stores_two_writes_that_meet_a_lock_both_once_or_not_at_all(
    users_db, diary, write, sleeps, calls, order, is_released
):
    both = stack(order, lambda conn: write(conn) or write_too(conn))
    with held_by_another_process(diary, WRITING) as release, locked(not is_released):
        if is_released:
            sleeps.first = release
        assert both() == "written"
    attempts, written = (2, 1) if is_released else (3, 0)
    assert calls == [3] * attempts  # a later attempt found nothing of an earlier one
    assert sleeps == [2] * (attempts - 1)
    assert (count(users_db), count(diary, "entries")) == (3 + written, written)
    assert _open_handles(users_db) == []


@pytest.mark.parametrize("is_cured", [False, True], ids=["inner retry", "outer retry too"])
def test_retry_inside_a_transaction_makes_one_attempt_and_an_outer_one_reruns_it_all(
    users_db, diary, write, sleeps, calls, is_cured
):
    order = ("retry_on_failure",) * is_cured + IN_A_TRANSACTION
    inner = stack(("retry_on_failure",), write_too)
    with held_by_another_process(diary, WRITING) as sleeps.first, locked(not is_cured):
        assert stack(order, lambda conn: write(conn) or inner(conn))() == "written"
    assert (len(calls), sleeps) == (1 + is_cured, [2] * is_cured)
    assert (count(users_db), count(diary, "entries")) == (3 + is_cured, is_cured)


@ORDERS
def test_busy_commit_is_cured_only_by_a_retry_above_the_transaction(users_db, sleeps, calls, order):
    is_cured = order.index("retry_on_failure") < order.index("transactional")
    with held_by_another_process(users_db, READING) as sleeps.first, locked(not is_cured):
        stack(order, lambda conn: calls.append("attempt") or conn.execute(ADD))()
    assert (len(calls), sleeps) == (1 + is_cured, [2] * is_cured)
    assert count(users_db) == 3 + is_cured
    assert _open_handles(users_db) == []


# ------------------------------------------------------------- MySQL's locks

C, PURE = "C extension", "pure Python"


@pytest.fixture(params=[C, PURE])
def connect(request, mysql_engine) -> Iterator[Callable]:
    """Open connections to a database of 100 accounts that hold 100 each; they close at the end."""
    make_table()
    mysql_engine.query(
        "CREATE TABLE accounts (id INT PRIMARY KEY, balance INT NOT NULL) ENGINE=InnoDB"
    )
    accounts = ", ".join(f"({number}, 100)" for number in range(1, 101))
    mysql_engine.query(f"INSERT INTO accounts VALUES {accounts}")
    options = {"database": mysql_engine.settings["DB_NAME"], "use_pure": request.param == PURE}
    with contextlib.ExitStack() as opened:
        yield lambda: opened.enter_context(contextlib.closing(mysql_engine.connect(**options)))


def move(conn, amount: int, account: int) -> None:
    with contextlib.closing(conn.cursor()) as cursor:
        cursor.execute(
            "UPDATE accounts SET balance = balance + %s WHERE id = %s", (amount, account)
        )


def transfer_with(between: Callable, calls: list) -> Callable:
    """A transfer of 30 from account 1 to 2, in whose first attempt `between` comes between.

    Each attempt notes its error, or "done".
    """

    def transfer(conn):
        try:
            move(conn, -30, 1)
            if not calls:
                between(conn)
            move(conn, 30, 2)
        except mysql.connector.Error as error:
            calls.append(error)
            raise
        calls.append("done")

    return transfer


def balances(engine) -> list[int]:
    """The balances of the first three accounts."""
    return [row[0] for row in engine.query("SELECT balance FROM accounts ORDER BY id LIMIT 3")]


@pytest.fixture
def rival(connect) -> Iterator[tuple[Callable, Callable]]:
    """Lock accounts in the opposite order; give a function to meet it and one to wait for its end.

    It changes more rows than a transfer does, so the server ends the transfer's transaction.
    """
    barrier = Barrier(2)

    def take_2_then_1(conn):
        with contextlib.closing(conn.cursor()) as cursor:
            cursor.execute("UPDATE accounts SET balance = balance + 1000 WHERE id = 2 OR id > 3")
        barrier.wait(20)  # from here on each wants the other's account
        move(conn, 1000, 1)
        conn.commit()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(take_2_then_1, connect())
        yield lambda _conn: barrier.wait(20), lambda: done.result(20)


MYSQL_ORDERS = pytest.mark.parametrize(
    ("connect", "order"),
    [(C, ("retry_on_failure", "transactional")), (PURE, ("transactional", "retry_on_failure"))],
    indirect=["connect"],
)


@MYSQL_ORDERS
def test_deadlock_reruns_the_whole_transaction_and_applies_it_once(
    connect, mysql_engine, sleeps, calls, rival, order
):
    meet, finish = rival
    stack(order, transfer_with(meet, calls))(conn := connect())
    finish()
    assert (calls[0].errno, calls[1:]) == (DEADLOCK, ["done"])
    assert sleeps == [2]
    assert not conn.in_transaction
    assert balances(mysql_engine) == [1070, 1130, 100]


def test_deadlock_inside_an_outer_transaction_is_not_retried(
    connect, mysql_engine, sleeps, calls, rival
):
    # The server has rolled back the outer write too: a second attempt from here would lose it.
    meet, finish = rival
    inner = stack(("retry_on_failure",), transfer_with(meet, calls))
    with pytest.raises(mysql.connector.Error) as raised:
        stack(("transactional",), lambda conn: move(conn, 1, 3) or inner(conn))(connect())
    finish()
    assert raised.value.errno == DEADLOCK
    assert (calls, sleeps) == ([raised.value], [])
    assert balances(mysql_engine) == [1100, 1100, 100]


@MYSQL_ORDERS
def test_lock_wait_reruns_the_whole_transaction_and_applies_it_once(
    connect, mysql_engine, sleeps, calls, order
):
    # After a lock wait, unlike a deadlock, the first write is still there.
    holder, conn = connect(), connect()
    with contextlib.closing(conn.cursor()) as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
    move(holder, 1, 2)
    sleeps.first = holder.rollback
    stack(order, transfer_with(lambda _conn: None, calls))(conn)
    assert (calls[0].errno, calls[1:]) == (LOCK_WAIT, ["done"])
    assert sleeps == [2]
    assert not conn.in_transaction
    assert balances(mysql_engine) == [70, 130, 100]


# ------------------------------------------ lost connections, failing clean-up


@pytest.fixture
def transfer(mysql_engine, calls) -> Callable:
    """A transfer whose connection is killed between its two writes, as an administrator does it."""
    return transfer_with(lambda conn: mysql_engine.query(f"KILL {conn.connection_id}"), calls)


def test_lost_connection_is_cured_by_a_retry_above_what_opens_it(
    connect, mysql_engine, sleeps, calls, transfer
):
    transfer = stack(("transactional",), transfer)
    stack(("retry_on_failure",), lambda: transfer(connect()))()
    assert calls[1:] == ["done"]
    assert sleeps == [2]
    assert balances(mysql_engine) == [70, 130, 100]


@pytest.mark.parametrize("name", ["transactional", "retry_on_failure"])
def test_rollback_on_a_lost_connection_is_a_note_on_the_first_error_and_nothing_is_retried(
    connect, mysql_engine, sleeps, calls, transfer, name
):
    with pytest.raises(mysql.connector.Error, match="Lost connection") as raised:
        stack((name,), transfer)(connect())  # a second attempt would say "not available"
    assert (calls, sleeps) == ([raised.value], [])
    (note,) = raised.value.__notes__
    assert "rollback() failed after it: " in note
    assert "Lost connection" in note
    assert balances(mysql_engine) == [100, 100, 100]


@pytest.mark.parametrize("use_pure", [False, True], ids=[C, PURE])
def test_commit_on_a_killed_server_raises_its_own_error_with_the_rollback_as_a_note(
    fragile, use_pure
):
    def write(conn):
        with contextlib.closing(conn.cursor()) as cursor:
            cursor.execute("INSERT INTO user_data VALUES (%s, %s, %s, %s)", user_row(1))
        fragile.server.kill()
        return "what no caller may ever get"

    with (
        contextlib.closing(fragile.connect(database="prodev", use_pure=use_pure)) as connection,
        pytest.raises(Exception, match="Lost connection") as raised,
    ):
        stack(("transactional",), write)(connection)
    assert seed.is_transient(raised.value)  # the C extension's own class, no mysql.connector.Error
    (note,) = raised.value.__notes__
    assert "rollback() failed after it: " in note
    assert "Lost connection" in note


def test_close_that_fails_is_a_note_on_the_first_error(connect):
    error, cursor = ValueError("the first error"), connect().cursor()
    cursor.execute("SELECT id FROM accounts")  # never read: the driver refuses to close
    seed.clean_up(cursor.close, error)
    (note,) = error.__notes__
    assert "close() failed after it: InternalError: Unread result found" in note


@pytest.mark.parametrize("connect", [C], indirect=True)
def test_connection_to_mysql_that_commits_each_statement_is_refused_by_transactional(
    connect, mysql_engine, calls
):
    conn = connect()
    transfer = stack(("transactional",), transfer_with(lambda _conn: 1 / 0, calls))
    conn.autocommit = True
    with pytest.raises(ValueError, match="can roll nothing back on a connection with"):
        transfer(conn)
    conn.start_transaction()  # until its end, nothing is committed by itself
    with pytest.raises(ZeroDivisionError):
        transfer(conn)
    assert balances(mysql_engine) == [100, 100, 100]
