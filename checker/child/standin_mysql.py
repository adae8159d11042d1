"""Stand-ins for PyMySQL and MySQLdb where they are not installed, made of mysql-connector.

They have what answers to these exercises use. As in the originals, a plain cursor fetches the whole
result at once, and an SS cursor does not.
"""

import sys
from types import ModuleType

import mysql.connector


class Cursor:
    dictionary, buffered = False, True

    def __init__(self, connection):
        self.connection = connection
        self._cursor = connection.real.cursor(dictionary=self.dictionary, buffered=self.buffered)

    def execute(self, query, args=None):
        if args is not None and not isinstance(args, tuple | list | dict):
            args = (args,)
        self._cursor.execute(query, args or ())
        return self._cursor.rowcount

    def executemany(self, query, args):
        self._cursor.executemany(query, list(args))
        return self._cursor.rowcount

    def fetchall(self):
        return self._cursor.fetchall() if self.dictionary else tuple(self._cursor.fetchall())

    def fetchmany(self, size=1):
        rows = self._cursor.fetchmany(size)
        return rows if self.dictionary else tuple(rows)

    def __iter__(self):
        return iter(self._cursor)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        if not self.buffered and self.connection.real.unread_result:
            self.connection.real.consume_results()  # the original also reads the rest
        self._cursor.close()

    def __getattr__(self, name):  # fetchone, rowcount, description, lastrowid
        return getattr(self._cursor, name)


class DictCursor(Cursor):
    dictionary = True


class SSCursor(Cursor):
    buffered = False


class SSDictCursor(Cursor):
    dictionary, buffered = True, False


class Connection:
    def __init__(self, options: dict, closes_in_with: bool):
        self._cursor_class = options.pop("cursorclass", Cursor)
        self._closes_in_with = closes_in_with
        options.pop("local_infile", None)
        for theirs, ours in (("db", "database"), ("connect_timeout", "connection_timeout")):
            if theirs in options:
                options[ours] = options.pop(theirs)
        self.real = mysql.connector.connect(**options)

    @property
    def open(self):
        return self.real.is_connected()

    def cursor(self, cursor=None, cursorclass=None):
        return (cursor or cursorclass or self._cursor_class)(self)

    def select_db(self, name):
        self.real.database = name

    def ping(self, reconnect=True):
        self.real.ping(reconnect=reconnect)

    def autocommit(self, value):
        self.real.autocommit = value

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._closes_in_with:
            self.close()

    def __getattr__(self, name):  # commit, rollback, close
        return getattr(self.real, name)


def install_pymysql(address, opened: list) -> None:
    _install("pymysql", ("user", "password", "host", "database"), address, opened, True)


def install_mysqldb(address, opened: list) -> None:
    _install("MySQLdb", ("host", "user", "password", "database"), address, opened, False)


def _install(name: str, positional: tuple, address, opened: list, closes_in_with: bool) -> None:
    def connect(*args, **options):
        options |= dict(zip(positional, args, strict=False))
        address(options)  # raises without a server; the patch of mysql.connector does the rest
        connection = Connection(options, closes_in_with)
        opened.append(connection)
        return connection

    module, cursors, errors = (ModuleType(n) for n in (name, f"{name}.cursors", f"{name}.err"))
    for cursor in (Cursor, DictCursor, SSCursor, SSDictCursor):
        setattr(cursors, cursor.__name__, cursor)
    for error in (
        "Error",
        "Warning",
        "DatabaseError",
        "IntegrityError",
        "InterfaceError",
        "InternalError",
        "NotSupportedError",
        "OperationalError",
        "ProgrammingError",
    ):
        for holder in (module, errors):
            setattr(holder, error, getattr(mysql.connector, error))
    module.MySQLError = errors.MySQLError = mysql.connector.Error
    module.connect = module.Connect = module.Connection = connect
    module.install_as_MySQLdb = lambda: sys.modules.setdefault("MySQLdb", module)
    module.cursors, module.err, module._exceptions = cursors, errors, errors
    module.is_stand_in = True
    module.__path__ = []
    sys.modules[name], sys.modules[f"{name}.cursors"] = module, cursors
    sys.modules[f"{name}.err"] = sys.modules[f"{name}._exceptions"] = errors
