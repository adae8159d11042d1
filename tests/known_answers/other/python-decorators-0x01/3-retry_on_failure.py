"""Another style: recursion, growing waits, only errors of sqlite3 that pass."""

import sqlite3
from functools import wraps
from time import sleep


def retry_on_failure(retries=3, delay=2):
    def decorate(function):
        @wraps(function)
        def inner(*args, **kwargs):
            return attempt(retries, delay, args, kwargs)

        def attempt(left, pause, args, kwargs):
            try:
                return function(*args, **kwargs)
            except sqlite3.OperationalError as error:
                if left == 1 or "locked" not in str(error):
                    raise
            sleep(pause)
            return attempt(left - 1, pause * 2, args, kwargs)

        return inner

    return decorate
