"""MySQL in the child: every connection goes to our server, whatever server and user it names.

This patches mysql-connector, PyMySQL and MySQLdb, as far as they are installed.
"""

import contextlib
import importlib
import re

# Options for the address, the user and encryption are replaced; the answer decides the others.
REPLACED = re.compile(
    "(host|port|user|username|password|passwd|password1|unix_socket)$"
    "|ssl|tls|auth_plugin|client_cert|use_pure_ssl"
)
# The drivers' default may exist in MySQL only.
CHARSET = {"charset": "utf8mb4", "collation": "utf8mb4_general_ci"}
opened = []  # keeps connections referenced: only close() closes one, never garbage collection


def install(mysql: dict | None, drivers: list[str], channel) -> None:
    """Patch the drivers that the answer mentions; if `mysql` is None, connecting fails."""

    def address(options: dict) -> dict:
        """Put our server's address into a call's options."""
        if mysql is None:
            channel.send(no_server=True)
            raise ConnectionRefusedError("no MySQL or MariaDB server for this exercise")
        kept = {name: value for name, value in options.items() if not REPLACED.match(name)}
        for option in ("database", "db"):
            if name := kept.get(option):
                kept[option] = re.sub(r"[^\w$-]", "_", str(name))[:60]
                channel.send(request="database", name=kept[option])
        return kept | mysql

    for driver in drivers:
        with contextlib.suppress(ImportError):  # then the answer's own import says so
            patch = _patch_connector if driver == "mysql.connector" else _patch_others
            patch(address, driver)


def _patch_connector(address, _driver: str) -> None:
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


def _patch_others(address, driver: str) -> None:
    """Patch PyMySQL or MySQLdb: both have a class of connections in a module of this name."""
    connection = importlib.import_module(f"{driver}.connections").Connection
    real = connection.__init__

    def __init__(self, *args, **options):
        names = ("host", "user", "password", "database", "port")
        options = address(options | dict(zip(names, args, strict=False)))
        opened.append(self)
        real(self, **{n: v for n, v in options.items() if not n.startswith("read_default")})

    connection.__init__ = __init__
