"""Connecting to a MySQL or MariaDB server, or to a node of a cluster that speaks its protocol."""

import threading
import time
from contextlib import nullcontext
from decimal import Decimal
from functools import cache

from seed_parts.errors import PERMANENT, clean_up, closing, explained, kind_of
from seed_parts.settings import Node, Settings

DOWN_SECONDS = 30  # a node that was lost, or took no writes, is tried last for so long
# Wait before a SELECT or a transaction: in Galera, where that costs 16 microseconds a statement if
# idle, and in Group Replication, 0.3 ms. In other clusters it is their router's business.
_SYNCHRONIZED = {"wsrep_sync_wait": "1", "group_replication_consistency": "'BEFORE'"}
_down_at: dict[Node, float] = {}
_setting_up, _is_set_up = threading.Lock(), threading.Event()


def whole_or_decimal(number: Decimal) -> int | Decimal:
    """Return 67 for 67.00, and 67.5 unchanged."""
    return int(number) if number == number.to_integral_value() else number


@cache
def _converter_class() -> type:
    from mysql.connector.conversion import MySQLConverter

    class WholeNumbers(MySQLConverter):
        """Returns a whole DECIMAL as an int: an age is 67, not Decimal('67')."""

        def _decimal_to_python(self, value, desc=None):
            return whole_or_decimal(super()._decimal_to_python(value, desc))

        _newdecimal_to_python = _decimal_to_python

    return WholeNumbers


def connect_mysql(settings: Settings, *, within: float | None = None, **options):
    """Connect to the first node of the settings that answers; what was down latest comes last.

    Each time-out is cut to `within` seconds. Permanent errors are raised immediately, except an unknown
    host: then the next node is tried. Raises the driver's own error, with place, user and what to do,
    never the password.
    """
    up = time.monotonic() - DOWN_SECONDS  # who was down at that time or earlier counts as up
    # By time, so that two nodes that take no writes never hide the one that does.
    *others, last = sorted(settings.nodes, key=lambda node: max(up, _down_at.get(node, up)))
    with explained("cannot connect to", settings):
        for node in others:
            try:
                return _connect_node(node, settings, within, options)
            except Exception as error:
                if kind_of(error) == PERMANENT:
                    raise
                _down_at[node] = time.monotonic()
        return _connect_node(last, settings, within, options)


def note_lost(connection) -> None:
    """Remember that the node of `connection` was lost, so that the others are tried before it."""
    _down_at[Node(connection.server_host, connection.server_port)] = time.monotonic()


def _connect(**options):
    """Connect; serialize the first connection of this process.

    The C library's initialization is not thread-safe and sometimes crashed.
    """
    import mysql.connector

    with nullcontext() if _is_set_up.is_set() else _setting_up:
        try:
            return mysql.connector.connect(**options)
        finally:
            _is_set_up.set()


def _connect_node(node: Node, settings: Settings, within: float | None, options: dict):
    def seconds(setting: int) -> int:
        return setting if within is None else max(1, min(setting, int(within)))

    if settings.socket:
        options = options | {"unix_socket": settings.socket}
    if settings.ssl_ca:
        options = options | {"ssl_ca": str(settings.ssl_ca), "ssl_verify_cert": True}
        options["ssl_verify_identity"] = not settings.socket
    connection = _connect(
        host=node.host,
        port=node.port,
        user=settings.user,
        password=settings.password,
        charset="utf8mb4",
        collation="utf8mb4_general_ci",  # the driver's default is unknown to MariaDB
        connection_timeout=seconds(settings.connect_timeout),
        # Without them the driver waits for ever. Each bounds one wait for bytes, not a whole query.
        read_timeout=seconds(settings.read_timeout),
        write_timeout=seconds(settings.read_timeout),
        converter_class=_converter_class(),
        # The driver always escapes parameters with backslashes, so the server has to accept them.
        # SPACE(0): with EMPTY_STRING_IS_NULL a plain '' is NULL, which would clear all modes.
        init_command="SET sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', SPACE(0))",
        **options,
    )
    if len(settings.nodes) > 1:
        try:
            _join_cluster(connection)
        except BaseException as error:
            clean_up(connection.close, error)
            raise
    return connection


def _join_cluster(connection) -> None:
    """Make reads wait for other nodes' commits; raise an error if this node is cut off or joining."""
    with closing(connection.cursor()) as cursor:
        for name, value in _SYNCHRONIZED.items():
            cursor.execute("SHOW VARIABLES LIKE %s", (name,))
            if cursor.fetchall():
                cursor.execute(f"SET SESSION {name} = {value}")
                cursor.execute("START TRANSACTION")  # raises it; connecting does not
                connection.rollback()
