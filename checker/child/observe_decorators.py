"""In the child: exercises 5 to 7; each decorator is applied to functions defined here.

Errors and logs show the names of these functions, so they have those of the course's functions.
"""

import ast
import contextlib
import functools
import logging
import sqlite3
from pathlib import Path

from checker.child.observe import Observer, find, finish
from checker.child.wanted import NAMES

BY_ID = "SELECT * FROM users WHERE id = ?"
# The course's example functions: the call, and the other names that they have.
DEMOS = {
    "5": ("fetch_all_users", {"query": "SELECT * FROM users"}, r"(fetch|get)_?\w*users?\w*"),
    "6": ("get_user_by_id", {"user_id": 2}, r"(get|fetch)_?\w*user\w*"),
    "7": ("update_user_email", {"user_id": 9, "new_email": "New_Email@Checker.example"}, r"update\w*"),
    "8": ("fetch_users_with_retry", {}, r"(fetch|get)\w*"),
    "9": ("fetch_users_with_cache", {"query": "SELECT * FROM users WHERE id > 0"}, r"(fetch|get)\w*"),
}  # fmt: skip
# What the decorated functions raise, by step.
FAULTS = {
    "failing": LookupError("raised inside"),
    "database error": sqlite3.OperationalError("no such column: nothing"),
    "constraint error": sqlite3.IntegrityError("UNIQUE constraint failed: users.email"),
}


def observing(number: str, steps):
    """The observation of an exercise: `steps` with its decorator, then the course's function, twice."""

    def observe(observer: Observer, file: Path) -> None:
        module = observer.load(file)
        if decorator := find_decorator(module, file, number):
            steps(observer, decorator, module)
        observer.mark("before demo")
        for step in ("demo", "demo again"):
            demo(observer, module, step, *DEMOS[number])
            observer.mark(step)

    return observe


def log_queries(observer: Observer, decorator, _) -> None:
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    handlers = [handler for logger in loggers for handler in getattr(logger, "handlers", ())]
    configured = any(type(handler) is not logging.NullHandler for handler in handlers)
    seen = {}

    def fetch_all_users(query, *args):
        seen.update(got=query, before=_shown(observer))
        return ["result of", query]

    if wrapped := decorated(observer, decorator, fetch_all_users):
        for form in ("keyword", "positional"):
            with observer.step(form) as fact:
                fact["query"] = query = f"SELECT '{form}' AS checker_marker"
                seen.clear()
                try:
                    fact["given"] = wrapped(query=query) if form == "keyword" else wrapped(query)
                finally:
                    fact |= {"shown": _shown(observer), "hidden": "\n".join(observer.hidden)}
                    fact |= {"configured": configured, **seen}
        for step in FAULTS:
            fail(observer, step, decorator, fetch_all_users, query="SELECT 'broken'")


def with_db_connection(observer: Observer, decorator, _) -> None:
    seen = {}

    def get_user_by_id(conn, user_id, second=0):
        seen.update(calls=1, conn=conn)
        return [conn.cursor().execute(BY_ID, (user_id,)).fetchone(), second]

    if wrapped := decorated(observer, decorator, get_user_by_id):
        forms = ("call", (2,), {"second": 7}), ("keyword call", (), {"user_id": 3})
        for step, args, options in forms:
            seen.clear()
            with observer.step(step) as fact:
                try:
                    fact["value"] = wrapped(*args, **options)
                finally:
                    fact["calls"], given = seen.get("calls", 0), seen.get("conn")
                    fact["kind"] = "" if hasattr(given, "cursor") else type(given).__name__
            after(observer, step, given)
        for step in FAULTS:
            fail(observer, step, decorator, get_user_by_id, 2)
            after(observer, step, seen.get("conn"))


def transactional(observer: Observer, decorator, module) -> None:
    def update_user_email(conn, user_id, new_email):
        conn.cursor().execute("UPDATE users SET email = ? WHERE id = ?", (new_email, user_id))
        return ["result of", user_id] if user_id == 1 else None

    if wrapped := decorated(observer, decorator, update_user_email):
        for number, step in enumerate(("success", "no result", *FAULTS), 1):
            with contextlib.closing(sqlite3.connect("users.db")) as conn:
                if step in FAULTS:
                    fail(observer, step, decorator, update_user_email, conn, number, "rolled back")
                else:
                    with observer.step(step) as fact:
                        fact["given"] = wrapped(conn, number, "committed")
                after(observer, step, conn)
                observer.mark(step)
        if own := find(module, *NAMES["6"]["with_db_connection"]):
            options = {"user_id": len(FAULTS) + 3, "new_email": "rolled back"}
            both = lambda function: own(decorator(function))  # noqa: E731
            fail(observer, "stacked", both, update_user_email, **options)
            observer.mark("stacked")


def fail(observer: Observer, step: str, decorator, function, *args, **options) -> None:
    """Call the decorated function, which does its work and then fails."""
    with observer.step(step) as fact:

        @functools.wraps(function)
        def failing(*args, **options):
            function(*args, **options)
            fact["calls"] = 1
            raise observer.fault(FAULTS.get(step, FAULTS["failing"]))

        decorator(failing)(*args, **options)


def after(observer: Observer, step: str, conn) -> None:
    """Note whether a connection can still be used: a closed one raises an error here."""
    with observer.step(f"after {step}") as fact:
        conn.cursor().execute("SELECT 1")
        fact |= {"usable": True, "in transaction": conn.in_transaction}


def demo(observer: Observer, module, step: str, name: str, options: dict, others: str) -> None:
    """Call the answer's own decorated function; note if its decorators left no function."""
    function = find(module, name, others)
    if function is not None:
        with observer.step(step) as fact:
            fact["name"] = next(n for n, value in vars(module).items() if value is function)
            fact["value"] = finish(function(**options))
    elif name in vars(module):
        with observer.step("lost demo") as fact:
            fact["kind"] = type(vars(module)[name]).__name__


def find_decorator(module, file: Path, number: str):
    """The decorator as the file applies it: `@log_queries`, or `@log_queries(level="INFO")`."""
    [patterns] = NAMES[number].values()
    decorator = find(module, *patterns)
    for node in ast.walk(ast.parse(file.read_bytes())) if decorator and number != "8" else ():
        for used in getattr(node, "decorator_list", ()):
            name = getattr(used, "func", None)
            if isinstance(name, ast.Name) and vars(module).get(name.id) is decorator:
                code = compile(ast.Expression(used), str(file), "eval")
                return lambda function: eval(code, vars(module))(function)  # noqa: S307, its own code
    return decorator


def decorated(observer: Observer, decorator, function):
    """Apply the decorator in a step of its own; None if there is no function to call then."""
    wrapped, function.__qualname__ = None, function.__name__
    with observer.step("decorated") as fact:
        wrapped = decorator(function)
        fact |= {"name": getattr(wrapped, "__name__", None), "wanted": function.__name__}
        fact["kind"] = "" if callable(wrapped) else type(wrapped).__name__
    return wrapped if callable(wrapped) else None


def _shown(observer: Observer) -> str:
    files = [path for path in Path.cwd().rglob("*.[lt][ox][gt]") if path.stat().st_size < 100_000]
    return "\n".join([observer.shown(), *(path.read_text(errors="replace") for path in files)])


OBSERVE = {
    "5": observing("5", log_queries),
    "6": observing("6", with_db_connection),
    "7": observing("7", transactional),
}
