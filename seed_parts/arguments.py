"""Checking and finding the arguments of a decorated function."""

import functools
import inspect
import re
import sys
from collections.abc import Callable, Hashable


def at_least(**minimums: int) -> Callable:
    """Check at the call that the named arguments are whole numbers of at least these.

    A generator's own body runs only at the first next(), too late to blame the caller. Raises
    ValueError with the value; True, "5" and 5.0 are not whole numbers here.
    """

    def decorate(function):
        signature = inspect.signature(function)

        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            arguments = signature.bind(*args, **kwargs).arguments
            for name, minimum in minimums.items():
                value = arguments.get(name, minimum)
                if type(value) is not int or not minimum <= value <= sys.maxsize:
                    raise ValueError(
                        f"{name} must be a whole number of at least {minimum}, not {value!r}"
                    )
            return function(*args, **kwargs)

        return wrapper

    return decorate


def require_plain_function(function: Callable, decorator: str) -> None:
    """Raise TypeError if the body of `function` runs only after its call has returned.

    That is so for a generator and an async function; `decorator` would have done its work by then.
    """
    if not callable(function):
        raise TypeError(f"@{decorator} decorates a function, not {function!r}")
    inner = inspect.unwrap(function)
    if not inspect.isroutine(inner):  # an object that can be called
        inner = type(inner).__call__
    for kind, is_kind in (
        ("a generator", inspect.isgeneratorfunction),
        ("an async function", inspect.iscoroutinefunction),
        ("an async generator", inspect.isasyncgenfunction),
    ):
        if is_kind(inner):
            name = getattr(inner, "__name__", repr(inner))
            raise TypeError(
                f"@{decorator} cannot wrap {name}, {kind}: its body runs only after the call has "
                "returned, when the decorator's work is over; wrap a function that returns a list"
            )


def find_connection(args: tuple, kwargs: dict):
    """Return the connection among the arguments of a call, usually the first; None without one."""
    values = (*args, *kwargs.values())
    return next((v for v in values if hasattr(v, "rollback") and hasattr(v, "commit")), None)


def require_connection(args: tuple, kwargs: dict, decorator: str):
    """Return the connection among the arguments of a call, on which writes can be rolled back.

    Raises TypeError without one, ValueError if it commits each statement by itself.
    """
    if (connection := find_connection(args, kwargs)) is None:
        raise TypeError(
            f"@{decorator} found no connection among the arguments: pass one, or put "
            "@with_db_connection above it"
        )
    # sqlite3 has isolation_level and, from Python 3.12, autocommit; the MySQL driver has autocommit,
    # for which it asks the server: 0.1 ms.
    if not getattr(connection, "in_transaction", False) and (
        getattr(connection, "isolation_level", "") is None
        or getattr(connection, "autocommit", False) is True
    ):
        raise ValueError(
            f"@{decorator} can roll nothing back on a connection with isolation_level=None or "
            "autocommit=True, which commits each statement by itself: open it without, or BEGIN first"
        )
    return connection


_READ = re.compile(
    r"(\s|\(|--[^\n]*\n|/\*.*?\*/)*(SELECT|VALUES|WITH)\b", re.IGNORECASE | re.DOTALL
)
# The clock, chance, the last write: their result changes though the data do not. A closing quote, a
# comment or white space may stand between the name and its parenthesis.
_UNREPEATABLE = re.compile(
    r"\b(random|randomblob|changes|total_changes|last_insert_rowid"
    r"|date|time|datetime|julianday|unixepoch|strftime|timediff)"
    r"[\"'`\]]?(\s|--[^\n]*\n|/\*.*?\*/)*\(|\bcurrent_(date|time|timestamp)\b",
    re.IGNORECASE | re.DOTALL,
)


def call_key(function: Callable, args: tuple, kwargs: dict) -> Hashable | None:
    """Return a key that is equal for calls of `function` that read the same, or None.

    It is made of the SQL, which is the argument named query, else the first that is a string, and of
    all other arguments but the connection, with their types: 1, 1.0 and True differ. None unless the
    SQL begins with SELECT, VALUES or WITH, no text asks for the clock or chance, and all are plain data
    (numbers, text, bytes, None; lists, tuples, dicts of them): other objects may change and stay equal.
    """
    values = (kwargs.get("query"), *args, *kwargs.values())
    texts = [value for value in values if isinstance(value, str)]
    if not texts or not _READ.match(texts[0]) or any(map(_UNREPEATABLE.search, texts)):
        return None
    connection = find_connection(args, kwargs)
    positional = [value for value in args if value is not connection]
    named = {name: value for name, value in sorted(kwargs.items()) if value is not connection}
    if not _is_plain([positional, named]):
        return None
    return function, repr(positional), repr(named)  # 1, 1.0, True and "1" are written differently


def _is_plain(value) -> bool:
    if type(value) is dict:
        return all(map(_is_plain, value)) and all(map(_is_plain, value.values()))
    if type(value) in (list, tuple):
        return all(map(_is_plain, value))
    return type(value) in (str, int, float, bool, bytes, type(None))
