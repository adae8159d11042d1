"""Exercises 6 to 8 on real faults: others' locks, deadlocks, lost connections, failing clean-up."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import mysql.connector
import pytest
from conftest import _open_handles, make_table

import seed

OPEN, TRANSACTION, RETRY = "1-with_db_connection", "2-transactional", "3-retry_on_failure"
ADD = "INSERT INTO users (name, email, age) VALUES ('Alan', 'alan@example.com', 41)"
READ = "SELECT * FROM users"
WRITING = "BEGIN IMMEDIATE"
WRITING_ALONE = "BEGIN EXCLUSIVE"  # as during a commit: others may not read either
READING = f"BEGIN; {READ}"  # others may write, but not commit


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
def _sqlite_does_not_wait_for_locks(connect_as):
    connect_as(timeout=0)  # by default it waits for 5 s; here the retry waits instead


@pytest.fixture
def calls() -> list:
    """A list to which the decorated function adds an entry for each call."""
    return []


def stack(order: tuple[str, ...], function: Callable, retries: int = 3) -> Callable:
    """Decorate a function with the decorators of these scripts, the first one outermost."""
    for script in reversed(order):
        decorator = getattr(seed.import_script(script), script[2:])
        function = (decorator(retries) if script == RETRY else decorator)(function)
    return function


def count(path: Path) -> int:
    """Count the users on another connection."""
    with contextlib.closing(sqlite3.connect(path)) as other:
        return len(other.execute(READ).fetchall())


# ------------------------------------------------------------ SQLite's locks


@pytest.mark.parametrize(
    ("held", "sql", "order"),
    [(WRITING, ADD, (OPEN, RETRY)), (WRITING_ALONE, READ, (RETRY, OPEN))],
)
def test_lock_held_forever_raises_sqlites_own_error_after_the_last_attempt(
    users_db, sleeps, calls, held, sql, order
):
    function = stack(order, lambda conn: calls.append("attempt") or conn.execute(sql), retries=4)
    with held_by_another_process(users_db, held):
        with locked() as raised:
            function()
        assert _open_handles(users_db) == []
    assert raised.value.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY
    assert not hasattr(raised.value, "__notes__")
    assert (len(calls), sleeps) == (4, [2, 2, 2])
    assert count(users_db) == 3


def test_script_reads_as_soon_as_another_process_releases_its_lock(users_db, sleeps):
    with held_by_another_process(users_db, WRITING_ALONE) as sleeps.first:
        assert len(seed.import_script(RETRY).fetch_users_with_retry()) == 3
    assert sleeps == [1]


# -------------------------------------------------------- stacked decorators

ORDERS = pytest.mark.parametrize(
    "order",
    [(OPEN, TRANSACTION, RETRY), (OPEN, RETRY, TRANSACTION), (RETRY, OPEN, TRANSACTION)],
    ids=" ".join,
)


@ORDERS
@pytest.mark.parametrize("is_released", [True, False], ids=["released", "held forever"])
def test_retry_stores_two_writes_both_once_or_not_at_all(
    users_db, sleeps, calls, order, is_released
):
    diary = shutil.copy(users_db, users_db.with_name("diary.db"))

    def write_both(conn):
        with contextlib.suppress(sqlite3.OperationalError):  # attached by an earlier attempt
            conn.execute("ATTACH 'diary.db' AS diary")
        calls.append(len(conn.execute(READ).fetchall()))
        conn.execute(ADD)
        conn.execute(ADD.replace("users", "diary.users"))  # meets the lock
        return "written"

    with held_by_another_process(diary, WRITING) as release, locked(not is_released):
        if is_released:
            sleeps.first = release
        assert stack(order, write_both)() == "written"
    attempts, users = (2, 4) if is_released else (3, 3)
    assert calls == [3] * attempts  # a later attempt found nothing of an earlier one
    assert sleeps == [2] * (attempts - 1)
    assert count(users_db) == count(diary) == users
    assert _open_handles(users_db) == []


@ORDERS
def test_busy_commit_succeeds_only_with_the_retry_above_the_transaction(
    users_db, sleeps, calls, order
):
    is_cured = order.index(RETRY) < order.index(TRANSACTION)
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
    mysql_engine.query("CREATE TABLE accounts (id INT PRIMARY KEY, balance INT NOT NULL)")
    accounts = ", ".join(f"({number}, 100)" for number in range(1, 101))
    mysql_engine.query(f"INSERT INTO accounts VALUES {accounts}")
    options = {"database": mysql_engine.settings["DB_NAME"], "use_pure": request.param == PURE}
    with contextlib.ExitStack() as opened:
        yield lambda: opened.enter_context(contextlib.closing(mysql_engine.connect(**options)))


def move(conn, amount: int, account: int) -> None:
    sql = "UPDATE accounts SET balance = balance + %s WHERE id = %s"
    with contextlib.closing(conn.cursor()) as cursor:
        cursor.execute(sql, (amount, account))


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


@contextlib.contextmanager
def deadlock(_conn, other, _sleeps) -> Iterator[Callable]:
    """Another connection locks the accounts in the opposite order; yield a function to meet it.

    It changes more rows than a transfer does, so the server ends the transfer's transaction.
    """
    barrier = Barrier(2)

    def take_2_then_1():
        with contextlib.closing(other.cursor()) as cursor:
            cursor.execute("UPDATE accounts SET balance = balance + 1000 WHERE id = 2 OR id > 3")
        barrier.wait(20)  # from here on each wants the other's account
        move(other, 1000, 1)
        other.commit()

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(take_2_then_1)
        yield lambda _conn: barrier.wait(20)
        done.result(20)


@contextlib.contextmanager
def lock_wait(conn, other, sleeps) -> Iterator[Callable]:
    """Another connection holds a lock until the first pause; the first write is not rolled back."""
    with contextlib.closing(conn.cursor()) as cursor:
        cursor.execute("SET SESSION innodb_lock_wait_timeout = 1")
    move(other, 1, 2)
    sleeps.first = other.rollback
    yield lambda _conn: None


@pytest.mark.parametrize(
    ("connect", "order"),
    [(C, (RETRY, TRANSACTION)), (PURE, (TRANSACTION, RETRY))],
    indirect=["connect"],
)
@pytest.mark.parametrize(
    ("conflict", "number", "expected"),
    [(deadlock, 1213, [1070, 1130, 100]), (lock_wait, 1205, [70, 130, 100])],
)
def test_deadlock_or_lock_wait_reruns_and_applies_the_transaction_once(
    connect, mysql_engine, sleeps, calls, order, conflict, number, expected
):
    with conflict(conn := connect(), connect(), sleeps) as between:
        stack(order, transfer_with(between, calls))(conn)
    assert (calls[0].errno, calls[1:]) == (number, ["done"])
    assert sleeps == [2]
    assert not conn.in_transaction
    assert balances(mysql_engine) == expected


def test_deadlock_inside_an_outer_transaction_is_not_retried(connect, mysql_engine, sleeps, calls):
    # The server has rolled back the outer write too: a second attempt from here would lose it.
    with deadlock(conn := connect(), connect(), sleeps) as between:
        inner = stack((RETRY,), transfer_with(between, calls))
        with pytest.raises(mysql.connector.Error) as raised:
            stack((TRANSACTION,), lambda conn: move(conn, 1, 3) or inner(conn))(conn)
    assert raised.value.errno == 1213
    assert (calls, sleeps) == ([raised.value], [])
    assert balances(mysql_engine) == [1100, 1100, 100]


# ------------------------------------------ lost connections, failing clean-up


@pytest.mark.parametrize(
    ("script", "lost_at"),
    [(TRANSACTION, "a write"), (RETRY, "a write"), (TRANSACTION, "the commit")],
)
def test_failed_rollback_is_a_note_on_the_first_error(
    connect, mysql_engine, sleeps, calls, script, lost_at
):
    def transfer(conn):
        calls.append("attempt")
        move(conn, -30, 1)
        if lost_at == "the commit":
            move(conn, 30, 2)
        if len(calls) == 1:
            mysql_engine.query(f"KILL {conn.connection_id}")
        if lost_at == "a write":
            move(conn, 30, 2)

    # Its class may be the C extension's own, no mysql.connector.Error.
    with pytest.raises(Exception, match="Lost connection") as raised:
        stack((script,), transfer)(connect())  # a second attempt would say "not available"
    assert (calls, sleeps) == (["attempt"], [])
    (note,) = raised.value.__notes__
    assert "rollback() failed after it: " in note
    assert "Lost connection" in note
    assert balances(mysql_engine) == [100, 100, 100]

    calls.clear()  # a retry above the decorator that opens the connection succeeds
    stack((RETRY,), lambda: stack((TRANSACTION,), transfer)(connect()))()
    assert (len(calls), sleeps) == (2, [2])
    assert balances(mysql_engine) == [70, 130, 100]


@pytest.mark.parametrize("connect", [C], indirect=True)
def test_transactional_refuses_a_mysql_connection_with_autocommit(connect, mysql_engine, calls):
    transfer = stack((TRANSACTION,), transfer_with(lambda _conn: 1 / 0, calls))
    (conn := connect()).autocommit = True
    with pytest.raises(ValueError, match="can roll nothing back on a connection with"):
        transfer(conn)
    conn.start_transaction()  # until its end, nothing is committed by itself
    with pytest.raises(ZeroDivisionError):
        transfer(conn)
    assert balances(mysql_engine) == [100, 100, 100]
