"""What a script needs around its lesson: checked arguments, its siblings, a clean exit."""

import functools
import gc
import importlib.util
import inspect
import logging
import os
import re
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from seed_settings import ROOT

# ------------------------------------------------------------ running a script


def run_script(main: Callable[[], object]) -> None:
    """Run `main` as a program: one line on stderr and exit status 1 if it cannot do its work.

    A reader that stops early, as `| head` does, ends it quietly. Bugs keep their traceback.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has no emoji
    try:
        main()
        sys.stdout.flush()
    except BrokenPipeError:
        # What is still in the buffer has no reader either; else the exit would try and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell reports it
    except Exception as error:
        if not _is_expected(error):
            raise
        message = " ".join(str(error).split())
        if isinstance(error, ModuleNotFoundError):
            message += ": pip install -r requirements.txt"
        print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
        sys.exit(1)


def _is_expected(error: Exception) -> bool:
    if isinstance(error, OSError | sqlite3.Error | ValueError | ModuleNotFoundError):
        return True
    return hasattr(error, "sqlstate")  # the MySQL driver's, without importing it


_importing = threading.RLock()  # a script may import another one


def import_script(name: str) -> ModuleType:
    """Import the exercise called `name`, say "0-stream_users", from whichever topic folder has it."""
    if not (paths := sorted(ROOT.glob(f"python-*/{name}.py"))):
        raise ModuleNotFoundError(f"no script {name}.py in the topic folders of {ROOT}", name=name)
    with _importing:  # else another thread would be given a module that is half made
        known = sys.modules.get(name)
        if (file := getattr(known, "__file__", None)) and Path(file).resolve() == paths[0]:
            return known
        module = _module_at(name, paths[0])
        if known is None:
            sys.modules[name] = module
        try:
            module.__spec__.loader.exec_module(module)
        except BaseException:
            if known is None:
                del sys.modules[name]
            raise
        return module


def import_seed() -> ModuleType:
    """Import the real seed.py, beside this file, for the doors of the same name.

    `import seed` hands out what stands in sys.modules at its end, so that no door is ever seen.
    """
    path = ROOT / "seed.py"
    known = sys.modules.get("seed")
    if getattr(known, "__file__", None) == str(path):
        return known
    module = _module_at("seed", path)
    module.__spec__.loader.exec_module(module)
    sys.modules["seed"] = module
    return module


def _module_at(name: str, path: Path) -> ModuleType:
    """Make a module of the file, not run and not registered yet."""
    return importlib.util.module_from_spec(importlib.util.spec_from_file_location(name, path))


def callable_module(function: Callable) -> Callable:
    """Make the module that defines `function` callable, so that `module()` is `module.function()`.

    The course's main file does `stream_users = __import__('0-stream_users')` and calls that.
    """
    module = sys.modules.get(function.__module__)
    if module is None or vars(module) is not function.__globals__:
        # Loaded by path and not registered: only the module itself refers to its globals so.
        owners = gc.get_referrers(function.__globals__)
        modules = [owner for owner in owners if isinstance(owner, ModuleType)]
        module = next((m for m in modules if vars(m) is function.__globals__), None)

    class CallableModule(ModuleType):
        def __call__(self, *args, **kwargs):
            return getattr(self, function.__name__)(*args, **kwargs)

    if module is not None:
        module.__class__ = CallableModule
    return function


# ---------------------------------------------------------- checking arguments


def whole_numbers(**minimums: int) -> Callable:
    """Check that the named arguments are whole numbers of at least these, at the call.

    A generator's own body runs only at the first next(), too late for its caller to be blamed.
    Raises ValueError saying what came; True, "5" and 5.0 are no whole numbers here.
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
    """Raise TypeError for what `decorator` cannot wrap: anything that runs after its call returned."""
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


# --------------------------------------------------------------------- logging


_log_set_up = threading.Lock()


class _StderrHandler(logging.StreamHandler):
    def emit(self, record: logging.LogRecord) -> None:
        if not logging.root.handlers:  # else the program has set up logging since, and shows it
            self.stream = sys.stderr  # as it is now: it may have been redirected since
            super().emit(record)


def ensure_log_handler(logger: logging.Logger) -> None:
    """Let `logger` write to stderr, from INFO on, if the program has set up no logging of its own."""
    if logger.hasHandlers():
        return
    with _log_set_up:
        if logger.hasHandlers():  # another thread was faster
            return
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
        logger.addHandler(handler)


# -------------------------------------------------- finding a call's arguments

SQL_START = re.compile(
    r"(\s|\(|--[^\n]*\n|/\*.*?\*/)*"
    r"((SELECT|WITH|VALUES|INSERT|UPDATE|DELETE|REPLACE|MERGE|CREATE|DROP|ALTER|TRUNCATE|PRAGMA|EXPLAIN"
    r"|BEGIN|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|VACUUM|ANALYZE|ATTACH|DETACH|SHOW|DESCRIBE)\b"
    # A text that is a value may well begin with one of these.
    r"|USE\s+[\w`]+\s*;?\s*\Z|SET\s+[\w@.]+\s*:?=|CALL\s+[\w.`]+\s*\()",
    re.IGNORECASE | re.DOTALL,
)
SQL_NAMES = ("query", "sql", "statement")


def find_sql(function: Callable, args: tuple, kwargs: dict) -> str | None:
    """Find the SQL among the arguments of a call, defaults included; None if there is none.

    It is the parameter named query, sql or statement, else the first text that begins as SQL does.
    """
    named = [kwargs[name] for name in SQL_NAMES if name in kwargs]
    if not named:
        for position, (name, default) in enumerate(_parameters(function)):
            if name in SQL_NAMES:
                named.append(args[position] if position < len(args) else default)
    named = [value for value in named if isinstance(value, str)]
    # What begins as SQL does comes first: under @with_db_connection the positions are shifted by one.
    for value in (*named, *args, *kwargs.values()):
        if isinstance(value, str) and SQL_START.match(value):
            return value
    return named[0] if named else None


@functools.lru_cache
def _parameters(function: Callable) -> tuple[tuple[str, object], ...]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # a callable that does not tell
        return ()
    return tuple((parameter.name, parameter.default) for parameter in parameters)


def find_connection(args: tuple, kwargs: dict):
    """Find the connection among the arguments of a call, usually the first; None if there is none."""
    for value in (*args, *kwargs.values()):
        if hasattr(value, "rollback") and hasattr(value, "commit"):
            return value
    return None


def require_connection(args: tuple, kwargs: dict, decorator: str):
    """Find the connection among the arguments of a call, on which writes can be rolled back.

    Raises TypeError if there is none, ValueError if it commits each statement by itself.
    """
    if (connection := find_connection(args, kwargs)) is None:
        raise TypeError(
            f"@{decorator} found no connection among the arguments: pass one, or put "
            "@with_db_connection above it"
        )
    if not getattr(connection, "in_transaction", False) and _commits_by_itself(connection):
        raise ValueError(
            f"@{decorator} can roll nothing back on a connection with isolation_level=None or "
            "autocommit=True, which commits each statement by itself: open it without, or BEGIN first"
        )
    return connection


def _commits_by_itself(connection) -> bool:
    # sqlite3 says it by isolation_level and, from Python 3.12, by autocommit; the MySQL driver by
    # autocommit, for which it asks the server: 0.1 ms.
    if getattr(connection, "isolation_level", "") is None:
        return True
    return getattr(connection, "autocommit", False) is True
