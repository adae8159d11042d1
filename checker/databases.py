"""The private server: its tables, simulated faults, and the rows that an answer stored.

Only the parent knows the contents. It changes them when the child asks, and reads them itself.
"""

import contextlib
import re
import time
from collections.abc import Iterator

from checker.child.observe import plain
from checker.isolation import isolation
from checker.users import STRANGER, small_users
from servers import Server, find_program, private_server, why_no_program

DATABASE = "ALX_prodev"
SYSTEM = ("information_schema", "mysql", "performance_schema", "sys")
USER_DATA = """
    user_id CHAR(36) CHARACTER SET ascii NOT NULL PRIMARY KEY,
    name VARCHAR(255) NOT NULL,
    email VARCHAR(255) NOT NULL,
    age DECIMAL(3,0) NOT NULL,
    INDEX (user_id)
"""
USERS = "id INT PRIMARY KEY AUTO_INCREMENT, name VARCHAR(255), email VARCHAR(255), age INT"
CLIENT = "checked"
RIGHTS = (
    "SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX, REFERENCES, CREATE VIEW, SHOW VIEW,"
    " CREATE TEMPORARY TABLES, LOCK TABLES, TRIGGER, CREATE ROUTINE, ALTER ROUTINE, EXECUTE,"
    " SHOW DATABASES, RELOAD, PROCESS, CREATE USER"
)
OPTIONS = (
    "--skip-networking",
    "--log-output=TABLE",
    "--innodb-lock-wait-timeout=3",
    "--lock-wait-timeout=4",
    "--innodb-buffer-pool-size=64M",
    "--max-connections=300",
    "--local-infile=1",
    # Otherwise a connection that an answer keeps open would not see the rows added later.
    "--transaction-isolation=READ-COMMITTED",
)
LARGE_ROWS = {"wide": 8_000, "narrow": 60_000}
WIDE = 220  # characters of a name and of an email in the large table
SETTLE_SECONDS = 1.5


class Database:
    """One private server, used for one answer's exercise at a time."""

    def __init__(self, server: Server):
        import mysql.connector

        self.server, self.socket, self.error = server, server.socket, mysql.connector.Error
        self._prepared: set[str] = set()
        self.is_discarded = False
        login = {"user": server.user, "password": server.password, "unix_socket": str(self.socket)}
        options = {"charset": "utf8mb4", "collation": "utf8mb4_general_ci", "autocommit": True}
        self.admin = mysql.connector.connect(**login, **options)
        self.run(f"CREATE USER IF NOT EXISTS '{CLIENT}'@'%' IDENTIFIED BY '{CLIENT}'")
        self.run(f"GRANT {RIGHTS} ON *.* TO '{CLIENT}'@'%'")

    def run(self, sql: str, values: tuple = ()) -> list[tuple]:
        self.admin.ping(reconnect=True)
        with contextlib.closing(self.admin.cursor()) as cursor:
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def is_alive(self) -> bool:
        try:
            return bool(self.run("SELECT 1"))
        except Exception:  # the driver's own, too
            return False

    def discard(self) -> None:
        """End the server; another one takes its place."""
        self.is_discarded = True
        self.server.kill()

    def reset(self, *, tables: bool) -> None:
        """Drop everything that an answer created; create the small tables if `tables` is true."""
        self._prepared = {DATABASE}
        self.run("SET GLOBAL general_log = OFF")
        self.end_connections()
        for (name,) in self.run("SHOW DATABASES"):
            if name.lower() not in SYSTEM:
                self.run(f"DROP DATABASE `{name.replace('`', '``')}`")
        self.run("TRUNCATE mysql.general_log")
        if tables:
            self.run(f"CREATE DATABASE {DATABASE} CHARACTER SET utf8mb4")
            self._make("user_data", USER_DATA, small_users())
            self._make("users", USERS, [(n, *row[1:]) for n, row in enumerate(small_users(), 1)])
        self.run("SET GLOBAL general_log = ON")

    def _make(self, table: str, columns: str, rows: list[tuple]) -> None:
        self.run(f"CREATE TABLE {DATABASE}.{table} ({columns}) CHARACTER SET utf8mb4")
        with contextlib.closing(self.admin.cursor()) as cursor:
            cursor.executemany(f"INSERT INTO {DATABASE}.{table} VALUES (%s, %s, %s, %s)", rows)

    def prepare(self, name: str) -> None:
        """Make user_data available in the database that the answer uses, whatever its name.

        Only once: a later CREATE VIEW would wait for a connection that the answer left open.
        """
        known = name.lower() in SYSTEM or name in self._prepared
        if known or not re.fullmatch(r"[\w$-]{1,60}", name):
            return
        self._prepared.add(name)
        self.run(f"CREATE DATABASE IF NOT EXISTS `{name}`")
        with contextlib.suppress(self.error):  # the table may have been dropped before
            for table in ("user_data", "users"):
                same = f"SELECT * FROM {DATABASE}.{table}"
                self.run(f"CREATE VIEW IF NOT EXISTS `{name}`.{table} AS {same}")

    def grow(self, form: str) -> int:
        """Add rows to make the table large; return how many bytes a client must receive for them."""
        count, width = LARGE_ROWS[form], WIDE if form == "wide" else 1
        digits = "(" + " UNION ALL ".join(f"SELECT {n} AS d" for n in range(10)) + ")"
        self.run(
            f"INSERT INTO {DATABASE}.user_data (user_id, name, email, age)"
            f" SELECT CONCAT('ffffffff-0000-4000-8000-', LPAD(HEX(n), 12, '0')),"
            f" RPAD('Many', {width}, 'y'), RPAD(CONCAT('many', n), {width}, 'm'), 20 + n % 60 FROM"
            " (SELECT CAST(CONCAT(a.d, b.d, c.d, e.d, f.d) AS UNSIGNED) AS n FROM"
            f" {digits} a, {digits} b, {digits} c, {digits} e, {digits} f) numbers"
            f" WHERE n < {count} ORDER BY n"
        )
        return count * (2 * width + 40 if form == "wide" else 7)

    def empty(self) -> None:
        self.run(f"DELETE FROM {DATABASE}.user_data")

    def remove(self) -> None:
        """Drop the table, even while the answer reads it."""
        self.end_connections()
        self.run(f"DROP TABLE {DATABASE}.user_data")

    def end_connections(self) -> None:
        """End the answer's connections, and so their transactions and locks."""
        sql = "SELECT ID FROM INFORMATION_SCHEMA.PROCESSLIST WHERE USER = %s"
        deadline = time.monotonic() + SETTLE_SECONDS
        while (ids := self.run(sql, (CLIENT,))) and time.monotonic() < deadline:
            for (number,) in ids:
                with contextlib.suppress(Exception):  # it may have ended already
                    self.run(f"KILL {number}")

    def rows(self) -> list[list]:
        """The committed rows of the answer's user_data: user_id, name, email, age."""
        for table in self._tables()[:1]:
            sql = f"SELECT user_id, name, email, age + 0 FROM {table} ORDER BY 1 LIMIT 2000"
            with contextlib.suppress(self.error):  # it has other columns
                return plain(self.run(sql))
        return []

    def stored(self) -> int:
        """How many rows the answer's user_data has, whatever its columns."""
        return sum(self.run(f"SELECT COUNT(*) FROM {table}")[0][0] for table in self._tables()[:1])

    def _tables(self) -> list[str]:
        found = self.run(
            "SELECT TABLE_SCHEMA FROM INFORMATION_SCHEMA.TABLES"
            " WHERE TABLE_NAME = 'user_data' AND TABLE_TYPE = 'BASE TABLE'"
        )
        return [f"`{name}`.user_data" for (name,) in found]

    def add_stranger(self) -> None:
        """Add a row between two runs of seed.py, as another program might."""
        for table in self._tables():
            sql = f"INSERT INTO {table} (user_id, name, email, age) VALUES (%s, %s, %s, %s)"
            with contextlib.suppress(Exception):  # the table has other columns: add no row
                self.run(sql, STRANGER)

    def columns(self) -> dict[str, str]:
        """The columns of the answer's user_data, and for each whether it is a key: PRI, UNI, MUL."""
        found = self.run(
            "SELECT LOWER(COLUMN_NAME), COLUMN_KEY FROM INFORMATION_SCHEMA.COLUMNS"
            " WHERE TABLE_NAME = 'user_data' ORDER BY ORDINAL_POSITION"
        )
        return dict(plain(found))

    def queries(self) -> list[str]:
        """The statements that the answer has run so far."""
        found = self.run(
            "SELECT argument FROM mysql.general_log WHERE command_type IN ('Query', 'Execute')"
            " AND user_host LIKE %s LIMIT 3000",
            (f"%{CLIENT}%",),
        )
        return [plain(text, 500) for (text,) in found]


def why_no_server() -> str | None:
    """Why no server can be started here; None if one can."""
    if find_program() is None:
        return f"{why_no_program()}, or install mariadb-server-core"
    try:
        import mysql.connector  # noqa: F401, imported only to see if it is there
    except ImportError:
        return "mysql-connector-python is not installed: pip install -r requirements.txt"
    return None


@contextlib.contextmanager
def servers(count: int) -> Iterator[list[Database]]:
    """Run `count` private servers.

    Enter it in the main thread: the servers end with the thread that started them.
    Raises RuntimeError if they do not start.
    """
    with contextlib.ExitStack() as stack:
        started = []
        for _ in range(count):
            server = stack.enter_context(private_server(*OPTIONS, wrap=_isolated))
            stack.callback(server.kill)  # its data is not needed any more
            started.append(Database(server))
        yield started


def _isolated(server: Server) -> list[str]:
    """The server's command, isolated: an answer can give itself all rights there, those on files too."""
    if (isolate := isolation()) is None:
        return server.command
    program, folder = server.program, server.socket.parent
    command = server.command[server.command.index(program.command[0]) :]
    shown = {str(path): str(path) for path in (program.root or program.path.parent, folder)}
    # Inside, an ordinary user may be root.
    return isolate(folder, shown, [*command, "--user=root"], writable=folder)
