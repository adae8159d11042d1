"""MySQL in the child: every connection goes to our server, whatever server and user it names.

This patches mysql-connector, PyMySQL and MySQLdb; stand-ins replace the last two if missing.
"""

import importlib
import importlib.util
import re

# Options for the address, the user and encryption are replaced; the answer decides the others.
ADDRESS = frozenset(
    {"host", "port", "user", "username", "password", "passwd", "password1", "unix_socket"}
)
ENCRYPTION = ("ssl", "tls", "auth_plugin", "client_cert", "use_pure_ssl")
CHARSET = {
    "charset": "utf8mb4",
    "collation": "utf8mb4_general_ci",
}  # the drivers' default may exist in MySQL only
opened = []  # keeps connections referenced: only close() closes one, never garbage collection


def install(mysql: dict | None, drivers: list[str], channel) -> None:
    """Patch the drivers that the answer mentions; if `mysql` is None, connecting fails."""

    def address(options: dict) -> dict:
        """Put our server's address into a call's options."""
        if mysql is None:
            channel.send(no_server=True)
            raise ConnectionRefusedError("no MySQL or MariaDB server for this exercise")
        kept = {
            name: value
            for name, value in options.items()
            if name not in ADDRESS and not name.startswith(ENCRYPTION)
        }
        for option in ("database", "db"):
            if name := kept.get(option):
                kept[option] = re.sub(r"[^\w$-]", "_", str(name))[:60]
                channel.ask(request="database", name=kept[option])
        where = {name: mysql[name] for name in ("user", "password")}
        return kept | where | {"unix_socket": mysql["socket"]}

    if "mysql.connector" in drivers and _is_installed("mysql.connector"):
        _patch_connector(address)
    if "pymysql" in drivers:
        _patch_pymysql(address)
    if "MySQLdb" in drivers:
        _patch_mysqldb(address)


def _is_installed(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def _patch_connector(address) -> None:
    from mysql.connector.abstracts import MySQLConnectionAbstract
    from mysql.connector.pooling import MySQLConnectionPool

    configure = MySQLConnectionAbstract.config

    def config(connection, **options):
        # Every way of connecting calls this: connect(), the classes themselves, pools.
        opened.append(connection)
        charset = options.get("charset") or CHARSET["charset"]
        options = address(options)
        if "0900" in str(options.get("collation", "0900")):
            options.pop("collation", None)
            if str(charset).startswith("utf8"):
                options |= CHARSET
        return configure(connection, **options)

    MySQLConnectionAbstract.config = config
    queue = MySQLConnectionPool._queue_connection

    def queue_closed(pool, connection):
        # Close what is returned to a pool: then an open connection was never returned.
        connection.disconnect()
        queue(pool, connection)

    MySQLConnectionPool._queue_connection = queue_closed
    import mysql.connector.optionfiles

    mysql.connector.optionfiles.read_option_files = lambda **options: {
        name: value for name, value in options.items() if not name.startswith("option_")
    }
    mysql.connector.read_option_files = mysql.connector.optionfiles.read_option_files


def _patch_pymysql(address) -> None:
    if not _is_installed("pymysql"):
        from checker.child import standin_mysql

        standin_mysql.install_pymysql(address, opened)
        return
    import pymysql
    import pymysql.connections

    real = pymysql.connections.Connection

    class Connection(real):
        def __init__(self, *args, **options):
            options |= dict(zip(("user", "password", "host", "database"), args, strict=False))
            options = address(options)
            options.pop("read_default_file", None)
            opened.append(self)
            super().__init__(**options)

    pymysql.connections.Connection = pymysql.Connection = Connection
    pymysql.connect = pymysql.Connect = pymysql.connections.Connect = Connection


def _patch_mysqldb(address) -> None:
    if not _is_installed("MySQLdb"):
        from checker.child import standin_mysql

        standin_mysql.install_mysqldb(address, opened)
        return
    import MySQLdb

    real = MySQLdb.connect

    def connect(*args, **options):
        names = ("host", "user", "password", "database", "port")
        options |= dict(zip(names, args, strict=False))
        options = address(options)
        for name in ("read_default_file", "read_default_group"):
            options.pop(name, None)
        connection = real(**options)
        opened.append(connection)
        return connection

    MySQLdb.connect = MySQLdb.Connect = MySQLdb.Connection = connect
