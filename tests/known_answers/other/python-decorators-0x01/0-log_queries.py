"""Another style: a class as decorator's wrapper, logging that only the main configures."""

import inspect
import logging
import sqlite3
from contextlib import closing
from functools import update_wrapper

logger = logging.getLogger(__name__)


class log_queries:
    def __init__(self, function):
        self.function = function
        self.signature = inspect.signature(function)
        update_wrapper(self, function)

    def __call__(self, *args, **kwargs):
        arguments = self.signature.bind(*args, **kwargs).arguments
        logger.info("%s", arguments["query"])
        return self.function(*args, **kwargs)


@log_queries
def fetch_all_users(query: str = "SELECT * FROM users"):
    with closing(sqlite3.connect("my_own_name.sqlite")) as connection:
        return [dict(row) for row in _rows(connection, query)]


def _rows(connection, query):
    connection.row_factory = sqlite3.Row
    return connection.execute(query).fetchall()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    print(fetch_all_users())
