"""Connecting to a MySQL or MariaDB server."""

from decimal import Decimal
from functools import cache

from seed_errors import explained
from seed_settings import Settings


def whole_or_decimal(number: Decimal) -> int | Decimal:
    """Give 67 for 67.00, and 67.5 as it is."""
    return int(number) if number == number.to_integral_value() else number


@cache
def _converter_class() -> type:
    from mysql.connector.conversion import MySQLConverter

    class WholeNumbers(MySQLConverter):
        """Give a DECIMAL that is whole as an int: an age is 67, not Decimal('67')."""

        def _decimal_to_python(self, value, desc=None):
            return whole_or_decimal(super()._decimal_to_python(value, desc))

        _newdecimal_to_python = _decimal_to_python

    return WholeNumbers


def connect_mysql(settings: Settings, *, within: float | None = None, **options):
    """Connect to the server of the settings; `within` so many seconds each time-out is cut to.

    Raises the driver's own error, which says where, as whom and what to do; never the password.
    """
    import mysql.connector

    def seconds(setting: int) -> int:
        return setting if within is None else max(1, min(setting, int(within)))

    if settings.socket:
        options |= {"unix_socket": settings.socket}
    if settings.ssl_ca:
        options |= {"ssl_ca": str(settings.ssl_ca), "ssl_verify_cert": True}
        options |= {"ssl_verify_identity": not settings.socket}
    (node,) = settings.nodes
    with explained("cannot connect to", settings):
        return mysql.connector.connect(
            host=node.host,
            port=node.port,
            user=settings.user,
            password=settings.password,
            charset="utf8mb4",
            collation="utf8mb4_general_ci",  # the driver's default is unknown to MariaDB
            connection_timeout=seconds(settings.connect_timeout),
            # The driver waits for ever else. Each bounds one wait for bytes, not a whole query.
            read_timeout=seconds(settings.read_timeout),
            write_timeout=seconds(settings.read_timeout),
            converter_class=_converter_class(),
            # The driver escapes parameters with backslashes, whatever the server makes of them.
            # SPACE(0), since in another mode a plain '' is NULL, and would switch all modes off.
            init_command="SET sql_mode = REPLACE(@@sql_mode, 'NO_BACKSLASH_ESCAPES', SPACE(0))",
            **options,
        )
