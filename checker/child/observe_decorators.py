"""In the child: exercises 5 to 7; each decorator is applied to functions defined here.

Errors and logs show the names of these functions, so they have those of the course's functions.
"""

import ast
import functools
import logging
import sqlite3
from pathlib import Path

from checker.child.observe import Observer, find, finish, is_own
from checker.child.wanted import NAMES

ALL = "SELECT * FROM users"
BY_ID = "SELECT * FROM users WHERE id = ?"


def log_queries(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [handler for logger in loggers for handler in getattr(logger, "handlers", ())]
    configured = any(type(handler) is not logging.NullHandler for handler in handlers)
    decorator = find_decorator(module, file, "5", "log_queries")
    seen = {}

    def fetch_all_users(query, *args):
        seen.update(calls=1, got=query, before=_shown(observer))
        return ["result of", query]

    if wrapped := decorated(observer, decorator, fetch_all_users):
        for form in ("keyword", "positional"):
            with observer.step(form) as fact:
                query = f"SELECT '{form}' AS checker_marker"
                seen.clear()
                fact["query"] = query
                try:
                    fact["given"] = wrapped(query=query) if form == "keyword" else wrapped(query)
                finally:
                    fact |= {"shown": _shown(observer), "hidden": "\n".join(observer.hidden)}
                    fact |= {"configured": configured, **seen}
        for step, error in faults(observer):
            fail(observer, step, error, decorator, fetch_all_users, query="SELECT 'broken'")
    names = "fetch_all_users", r"fetch_?\w*users?\w*", r"get_?\w*users?\w*"
    demo(observer, module, lambda demo: demo(query=ALL), *names)


def with_db_connection(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find_decorator(module, file, "6", "with_db_connection")
    seen = {}

    def get_user_by_id(conn, user_id, second=0):
        seen.update(calls=1, conn=conn)
        return [conn.cursor().execute(BY_ID, (user_id,)).fetchone(), second]

    def after(step: str) -> None:
        with observer.step(f"after {step}") as fact:
            fact["usable"] = "conn" in seen and _is_usable(seen["conn"])
        seen.clear()

    if wrapped := decorated(observer, decorator, get_user_by_id):
        forms = ("call", (2,), {"second": 7}), ("keyword call", (), {"user_id": 3})
        for step, args, options in forms:
            with observer.step(step) as fact:
                try:
                    fact["value"] = wrapped(*args, **options)
                finally:
                    fact["calls"], given = seen.get("calls", 0), seen.get("conn")
                    fact["kind"] = "" if hasattr(given, "cursor") else type(given).__name__
            after(step)
        for step, error in faults(observer):
            fail(observer, step, error, decorator, get_user_by_id, 2)
            after(step)
    names = "get_user_by_id", r"get_?\w*user\w*", r"fetch_?\w*user\w*"
    demo(observer, module, lambda demo: demo(user_id=2), *names)


def transactional(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find_decorator(module, file, "7", "transactional")

    def update_user_email(conn, user_id, new_email):
        conn.cursor().execute("UPDATE users SET email = ? WHERE id = ?", (new_email, user_id))
        return ["result of", user_id]

    if wrapped := decorated(observer, decorator, update_user_email):
        conn = sqlite3.connect("users.db")
        with observer.step("success") as fact:
            fact["given"] = wrapped(conn, 1, "committed")
        observer.mark("success")
        close(conn)
        for number, (step, error) in enumerate(faults(observer), 2):
            conn = sqlite3.connect("users.db")
            fail(observer, step, error, decorator, update_user_email, conn, number, "rolled back")
            with observer.step(f"after {step}") as fact:
                fact["in transaction"] = _is_usable(conn) and conn.in_transaction
            observer.mark(step)
            close(conn)
    names = "update_user_email", r"update\w*email\w*", r"update\w*"
    demo(observer, module, lambda demo: demo(user_id=3, new_email="new@checker.example"), *names)
    observer.mark("demo")


def faults(observer: Observer) -> list[tuple[str, Exception]]:
    """An error of a function's own and one of the database's, each with the name of its step."""
    errors = LookupError("raised inside"), sqlite3.OperationalError("no such column: nothing")
    return list(zip(("failing", "database error"), map(observer.fault, errors), strict=True))


def fail(observer: Observer, step: str, error, decorator, function, *args, **options) -> None:
    """Call the decorated function, which does its work and then fails."""
    with observer.step(step) as fact:

        @functools.wraps(function)
        def failing(*args, **options):
            function(*args, **options)
            fact["calls"] = 1
            raise error

        apply(decorator, failing)(*args, **options)


def demo(observer: Observer, module, call, *names: str) -> None:
    """Call the answer's own decorated function; note if its decorators left no function."""
    function = find(module, *names, kind=is_function_of(module))
    if function is not None:
        with observer.step("demo") as fact:
            fact["name"] = next(n for n, value in vars(module).items() if value is function)
            fact["value"] = finish(call(function))
    elif names[0] in vars(module):
        with observer.step("lost demo") as fact:
            fact["kind"] = type(vars(module)[names[0]]).__name__


def is_function_of(module):
    # Ignore classes that the file only imports.
    return lambda value: callable(value) and (is_own(module, value) or not isinstance(value, type))


def find_decorator(module, file: Path, number: str, name: str):
    """The decorator as the file applies it: `@log_queries`, or `@log_queries(level="INFO")`."""
    decorator = find(module, *NAMES[number][name], kind=is_function_of(module))
    for node in ast.walk(ast.parse(file.read_bytes())) if decorator else ():
        for used in getattr(node, "decorator_list", ()):
            name = getattr(used, "func", None)
            if isinstance(name, ast.Name) and vars(module).get(name.id) is decorator:
                code = compile(ast.Expression(used), str(file), "eval")
                return lambda function: eval(code, vars(module))(function)  # noqa: S307, its own code
    return decorator


def decorated(observer: Observer, decorator, function):
    """Apply the decorator in a step of its own; None if there is no function to call then."""
    wrapped = None
    if decorator is not None:
        function.__qualname__ = function.__name__
        with observer.step("decorated") as fact:
            wrapped = apply(decorator, function)
            fact |= {"name": getattr(wrapped, "__name__", None), "wanted": function.__name__}
            fact["kind"] = "" if callable(wrapped) else type(wrapped).__name__
    return wrapped if callable(wrapped) else None


def apply(decorator, function):
    """Decorate the function; some answers need parentheses, `@log_queries()`."""
    return either(lambda: decorator(function), lambda: decorator()(function))


def either(*calls):
    """The result of the first of these calls whose arguments fit the function's parameters."""
    first = None
    for call in calls:
        try:
            return call()
        except TypeError as error:
            if error.__traceback__.tb_next.tb_next is not None:  # raised by the function itself
                raise
            first = first or error
    raise first


def _shown(observer: Observer) -> str:
    files = [path for path in Path.cwd().rglob("*.[lt][ox][gt]") if path.stat().st_size < 100_000]
    return "\n".join([observer.shown(), *(path.read_text(errors="replace") for path in files)])


def _is_usable(conn) -> bool:
    try:
        conn.cursor().execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


def close(conn) -> None:
    try:
        conn.rollback()
        conn.close()
    except sqlite3.Error:
        pass


OBSERVE = {"5": log_queries, "6": with_db_connection, "7": transactional}
