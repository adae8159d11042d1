"""Which engine holds user_data: a MySQL or MariaDB server, or the embedded SQLite file.

With DB_HOST set it is the server there, and nothing else. Without it, it is a SQLite file whose
connections answer the same calls. Callers never need to know which one they have.
"""

import sqlite3

from seed_embedded import connect_embedded, create_file
from seed_errors import explained
from seed_mysql import connect_mysql
from seed_retry import closing
from seed_settings import read_settings


def connect_db():
    """Connect to the server, with no database chosen.

    Raises the driver's own error, saying host, port, user and what to do; never the password.
    """
    settings = read_settings()
    if settings.nodes:
        return connect_mysql(settings)
    return connect_embedded(settings.file, settings.database, to_server=True)


def connect_to_prodev(*, raw: bool = False, within: float | None = None):
    """Connect to the database DB_NAME. Raises as `connect_db` does.

    With `raw`, MySQL gives values as bytes, unconverted. That must be said here, not to a cursor:
    `fetchmany` of connector 9.7 asks the connection how to give the first row of the next block.
    Every time-out of the connection is cut to `within` seconds.
    """
    settings = read_settings()
    if settings.nodes:
        return connect_mysql(settings, within=within, database=settings.database, raw=raw)
    return connect_embedded(settings.file, settings.database)


def create_database(connection) -> None:
    """Create the database DB_NAME on `connection` if it is missing."""
    settings = read_settings()
    with (
        explained("cannot create the database in", settings),
        closing(connection.cursor()) as cursor,
    ):
        # Looked up first: CREATE DATABASE IF NOT EXISTS wants the right to create even if it does.
        cursor.execute(
            "SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = %s",
            (settings.database,),
        )
        if cursor.fetchall():
            return
        if is_embedded(connection):
            create_file(settings.file)
            connection.list_database(settings.database)
        else:
            name = settings.database.replace("`", "``")
            cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4")


def is_embedded(connection) -> bool:
    return isinstance(connection, sqlite3.Connection)


def is_of_cluster(connection) -> bool:
    """Tell whether it is a connection to one of the several nodes that DB_HOST names."""
    settings = read_settings()
    if is_embedded(connection) or not settings.is_cluster:
        return False
    return (connection.server_host, connection.server_port) in settings.nodes
