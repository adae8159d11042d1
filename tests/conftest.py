"""What the tests share: an engine to run on, a fresh database each, and the scripts as modules."""

import contextlib
import csv
import functools
import io
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import mysql.connector
import pytest

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))  # the project is scripts, not an installed package

import seed  # noqa: E402, needs the path
from servers import Server, find_program, private_server, why_no_program  # noqa: E402

NOT_OF_THE_REPOSITORY = shutil.ignore_patterns(
    ".git", *(line.rstrip("/") for line in (ROOT / ".gitignore").read_text().splitlines())
)
SETTINGS = re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
PIPES = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
AGES = {"Ada": 20, "Grace": 41, "Linus": 67}
USERS = [(name, f"{name.lower()}@example.com", age) for name, age in AGES.items()]


def pytest_addoption(parser):
    parser.addoption(
        "--server",
        metavar="KIND",
        help="the server to test on: mariadb or mysql, with a version if need be: mariadb-11.8."
        " By default what is installed, else what servers.unpack fetched, MariaDB before MySQL.",
    )


def pytest_configure(config):
    name = config.getoption("server")
    if name and find_program(name) is None:
        raise pytest.UsageError(why_no_program(name))
    # On SIGTERM, pytest stops its server and removes its files as at any other end.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))


def pytest_report_header(config):
    name = config.getoption("server")
    return f"server: {find_program(name) or why_no_program(name)}"


def pytest_collection_modifyitems(config, items):
    """Leave out the tests that need another kind of server."""
    program = find_program(config.getoption("server"))

    def is_other(item) -> bool:
        return any(program and program.kind not in m.args for m in item.iter_markers("server"))

    config.hook.pytest_deselected(items=[item for item in items if is_other(item)])
    items[:] = [item for item in items if not is_other(item)]


class Engine(NamedTuple):
    """One of the two engines, with a database that only this test uses and that is not made yet."""

    name: str
    settings: dict[str, str]
    server: Server | None

    def connect(self, **options):
        """Connect without the code under test, to prepare or inspect the database."""
        if self.server is None:
            return sqlite3.connect(self.settings["DB_FILE"])
        address = {"host": self.server.host, "port": self.server.port}
        user = {"user": self.server.user, "password": self.server.password}
        options |= {"charset": "utf8mb4", "collation": "utf8mb4_general_ci"}
        # Without TLS it is a hundred times as fast.
        return mysql.connector.connect(**address, **user, ssl_disabled=True, **options)

    def query(self, sql: str, values: tuple = ()) -> list[tuple]:
        """Run one statement on the test's database, commit, and return its rows."""
        with self._commit() as cursor:
            cursor.execute(sql if self.server else sql.replace("%s", "?"), values)
            return cursor.fetchall() if cursor.description else []

    def insert(self, rows: Iterable[tuple]) -> None:
        """Add rows to user_data, without the code under test."""
        sql = "INSERT INTO user_data VALUES (%s, %s, %s, %s)"
        with self._commit() as cursor:
            cursor.executemany(sql if self.server else sql.replace("%s", "?"), list(rows))

    @contextlib.contextmanager
    def _commit(self) -> Iterator:
        with contextlib.closing(self.connect(database=self.settings["DB_NAME"])) as connection:
            yield connection.cursor()
            connection.commit()

    def connections(self) -> int:
        """Count the connections that are open to the test's database."""
        return len(self.open_connections())

    def open_connections(self) -> list:
        """The server's numbers of those connections, or the handles of the file."""
        if self.server is None:
            return _open_handles(Path(self.settings["DB_FILE"]))
        sql = "SELECT ID FROM INFORMATION_SCHEMA.PROCESSLIST WHERE DB = %s"
        with contextlib.closing(self.connect()) as connection:
            cursor = connection.cursor()
            cursor.execute(sql, (self.settings["DB_NAME"],))
            return [number for (number,) in cursor]


def _open_handles(path: Path, process: int | str = "self") -> list[str]:
    handles = []
    for handle in Path(f"/proc/{process}/fd").iterdir():
        with contextlib.suppress(OSError):
            if os.path.samefile(handle, path):
                handles.append(handle.name)
    return handles


@pytest.fixture(scope="session")
def new_server(pytestconfig) -> Callable[..., contextlib.AbstractContextManager[Server]]:
    """private_server() of the kind that the tests run on."""
    name = pytestconfig.getoption("server")
    if find_program(name) is None:
        lacks(f"needs a server: {why_no_program(name)}")
    return functools.partial(private_server, kind=name)


@pytest.fixture(scope="session")
def mysql_server(new_server) -> Iterator[Server]:
    """A server of the suite's own, for all tests."""
    with new_server() as server:
        yield server


def lacks(reason: str) -> None:
    """Skip the test, but fail it in CI, which must run every test."""
    (pytest.fail if os.environ.get("CI") else pytest.skip)(reason)


@pytest.fixture(autouse=True)
def _no_settings_of_the_user(monkeypatch, tmp_path):
    """Set every setting, so that neither the user's environment nor their .env is ever used."""
    for name in SETTINGS:
        monkeypatch.setenv(name, "")
    monkeypatch.setenv("DB_FILE", str(tmp_path / "embedded.sqlite3"))
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)  # it would hide a missing flush


def _use(monkeypatch, server: Server | None, **settings: str) -> Engine:
    """Set the settings, those of the server too."""
    if server:
        settings |= {"DB_HOST": server.host, "DB_PORT": str(server.port)}
        settings |= {"DB_USER": server.user, "DB_PASSWORD": server.password}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return Engine("mysql" if server else "embedded", settings, server)


@pytest.fixture
def embedded(monkeypatch, tmp_path) -> Engine:
    file = str(tmp_path / "embedded.sqlite3")
    return _use(monkeypatch, None, DB_HOST="", DB_NAME="ALX_prodev", DB_FILE=file)


@pytest.fixture
def mysql_engine(monkeypatch, mysql_server) -> Iterator[Engine]:
    name = f"prodev_{uuid.uuid4().hex}"
    engine = _use(monkeypatch, mysql_server, DB_NAME=name)
    yield engine
    leaked = engine.open_connections()
    with contextlib.closing(engine.connect()) as connection:
        for number in leaked:  # one of a test that failed would keep DROP waiting
            with contextlib.suppress(mysql.connector.Error):
                connection.cursor().execute(f"KILL {number}")
        connection.cursor().execute(f"DROP DATABASE IF EXISTS {name}")


@pytest.fixture(scope="module")
def fragile_server(new_server) -> Iterator[Server]:
    """A server that tests may kill, and whose settings they may change."""
    with new_server() as server:
        yield server


@pytest.fixture(scope="module")
def plaintext_server(new_server) -> Iterator[Server]:
    """A server without TLS, for a proxy that reads what is sent."""
    with new_server(plaintext=True) as server:
        yield server


@pytest.fixture
def fragile(fragile_server, monkeypatch) -> Engine:
    """That server, up, with an empty table user_data."""
    if fragile_server.process.poll() is not None:
        fragile_server.start()
    engine = _use(monkeypatch, fragile_server, DB_NAME="prodev")
    with contextlib.closing(engine.connect()) as connection:
        connection.cursor().execute("DROP DATABASE IF EXISTS prodev")
    make_table()
    return engine


def make_table() -> None:
    """Create the database and the empty table where the settings lead."""
    with contextlib.closing(seed.connect_db()) as connection:
        seed.create_database(connection)
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        seed.create_table(connection)


@pytest.fixture(params=[False, True], ids=["C extension", "pure Python"])
def each_driver(request, monkeypatch) -> None:
    """The driver with its C extension, and without."""
    connect = functools.partial(mysql.connector.connect, use_pure=request.param)
    monkeypatch.setattr("mysql.connector.connect", connect)


@pytest.fixture
def tried(monkeypatch) -> list[dict]:
    """The options of each connection that is tried from now on."""
    tried, connect = [], mysql.connector.connect
    monkeypatch.setattr(
        "mysql.connector.connect", lambda **options: tried.append(options) or connect(**options)
    )
    return tried


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait until something certain happens, even on a busy machine."""
    deadline = time.monotonic() + 60
    while not is_so():
        assert time.monotonic() < deadline, "it took more than 60 s"
        threading.Event().wait(0.005)


@pytest.fixture(params=["embedded", "mysql_engine"], ids=["embedded", "mysql"])
def engine(request) -> Engine:
    """Each of both engines in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def load(engine, tmp_path, capsys) -> Callable[..., tuple]:
    """Load rows given as tuples, or a whole CSV text, into the engine's user_data; return the counts."""

    def load(*rows: tuple, text: str | bytes | None = None, name: str = "users.csv"):
        path = tmp_path / name
        content = csv_text(rows) if text is None else text
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        make_table()
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            counts = seed.insert_data(connection, path)
        capsys.readouterr()  # "Table user_data created successfully"
        return counts

    return load


def csv_text(rows) -> str:
    text = io.StringIO()
    csv.writer(text).writerows([("user_id", "name", "email", "age"), *rows])
    return text.getvalue()


def user_row(number: int, age: int = 30) -> tuple[str, str, str, int]:
    """A user whose user_id sorts by `number`."""
    user_id = f"00000000-0000-4000-8000-{number:012}"
    return user_id, f"User {number}", f"u{number}@example.com", age


def user_dict(row: tuple) -> dict:
    return dict(zip(("user_id", "name", "email", "age"), row, strict=True))


@pytest.fixture
def script() -> Callable[[str], ModuleType]:
    """Import an exercise's script by its name, say "0-stream_users"."""
    return seed.import_script


@pytest.fixture
def users_db(tmp_path, monkeypatch) -> Path:
    """A working directory with a users.db of three users, aged 20, 41 and 67."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "users.db"
    columns = "id INTEGER PRIMARY KEY, name TEXT, email TEXT, age INTEGER"
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(f"CREATE TABLE users ({columns})")
        connection.executemany("INSERT INTO users (name, email, age) VALUES (?, ?, ?)", USERS)
    return path


@pytest.fixture
def connect_as(monkeypatch) -> Callable[..., None]:
    """Let every new SQLite connection wait so long for a lock, and have these methods for its own."""

    def connect_as(timeout: float = 5.0, **methods):
        factory = type("Connection", (sqlite3.Connection,), methods)
        connect = functools.partial(sqlite3.connect, timeout=timeout, factory=factory)
        monkeypatch.setattr("sqlite3.connect", connect)

    return connect_as


@pytest.fixture(scope="session")
def clone(tmp_path_factory) -> Path:
    """A fresh copy of what the repository holds: no settings, no databases, nothing ignored."""
    folder = tmp_path_factory.mktemp("fresh") / "clone"
    return Path(shutil.copytree(ROOT, folder, ignore=NOT_OF_THE_REPOSITORY))


@pytest.fixture
def own_clone(clone, tmp_path) -> Path:
    """A copy for one test, in which no database is made yet."""
    left_out = shutil.ignore_patterns("users.db", "*.sqlite3", "tests", "benchmarks")
    return Path(shutil.copytree(clone, tmp_path / "clone", ignore=left_out))


def run_at_once(count: int, program: Path, settings: dict[str, str]) -> tuple[list[int], list]:
    """Run a program `count` times at the same time; return the exit statuses and (stdout, stderr)s."""
    command, environment = [sys.executable, program], os.environ | settings
    programs = [subprocess.Popen(command, env=environment, **PIPES) for _ in range(count)]
    outputs = [running.communicate(timeout=60) for running in programs]
    return [running.returncode for running in programs], outputs


def run_python(*arguments, cwd: Path, settings: dict[str, str] | None = None, stdin: str = ""):
    """Run a Python program to its end, with these settings only, and return what it printed."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("DB_")}
    environment |= {"PYTHONDONTWRITEBYTECODE": "1", **(settings or {})}
    command = [sys.executable, *map(str, arguments)]
    options = {"cwd": cwd, "env": environment, "input": stdin, "timeout": 60, "check": False}
    return subprocess.run(command, **options, **PIPES)
