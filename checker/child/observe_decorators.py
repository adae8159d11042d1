"""In the child: exercises 5 to 9; each decorator is applied to functions defined here.

Errors and logs show the names of these functions, so they have those of the course's functions.
"""

import ast
import contextlib
import functools
import sqlite3
import time
from pathlib import Path

from checker.child.observe import Observer, find, finish
from checker.child.wanted import NAMES

BY_ID = "SELECT * FROM users WHERE id = ?"
CHANGED = "changed@checker.example"
FORMS, MARKED = ("keyword", "positional"), "SELECT '{}' AS checker_marker"
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
RETRIES, DELAY = 4, 3  # not everybody's defaults
ENDLESS = 99  # failures after which the probe's function succeeds, to end an endless retry
LONG = 4.0  # seconds: waits that time.sleep does not make are real
LOCKED = "database is locked"
# Calls of one decorated function: step, retries, how often each call fails first, calls, error.
ATTEMPTS = (
    ("none fails", RETRIES, 0, 1, LOCKED),
    ("two fail", RETRIES, 2, 1, LOCKED),
    ("all fail", RETRIES, ENDLESS, 1, LOCKED),
    ("no result", RETRIES, 0, 1, LOCKED),
    ("last succeeds", 3, 2, 1, LOCKED),
    ("again", RETRIES, 2, 3, LOCKED),
    ("permanent", RETRIES, ENDLESS, 1, "no such table: nowhere"),
)
OLDER = "SELECT id, name FROM users WHERE age > 30"
STALE = "SELECT id, email FROM users WHERE age > 40"
PAIR = "SELECT ?, ? FROM users WHERE id = 1"
# Calls whose results differ, by their check and how they pass it: the query, perhaps its parameters.
CALLS = {
    ("query in key", "name"): (
        (STALE,), (STALE.replace("40", "30"),), (OLDER.replace("30", "40"),),
        *((f"SELECT id, '{text}' FROM users WHERE id = 1",) for text in ("a b", "A b", "a  b")),
    ),
    ("parameters in key", "name"): (
        (BY_ID, (1,)), (BY_ID, (2,)),
        (PAIR, ("ab", "c")), (PAIR, ("AB", "c")), (PAIR, ("a", "bc")), (PAIR, ("c", "ab")),
    ),
    ("positional", "position"): (
        ("SELECT id FROM users WHERE id = 3",), ("SELECT id FROM users WHERE id = 4",),
    ),
    ("parameters in key", "position"): ((BY_ID, (3,)), (BY_ID, (4,))),
}  # fmt: skip


def observe(number: str, steps, observer: Observer, file: Path) -> None:
    """Call the steps with the exercise's decorator, then the course's function, twice."""
    module = observer.load(file)
    if decorator := find_decorator(module, file, number):
        steps(observer, decorator, module)
    observer.mark("before demo")
    for step in ("demo", "demo again"):
        demo(observer, module, step, *DEMOS[number])
        observer.mark(step)


def log_queries(observer: Observer, decorator, _) -> None:
    fact = {}  # of the step that calls the function

    def fetch_all_users(query, *args):
        fact.update(got=query, before=_shown(observer))
        return ["result of", query]

    if wrapped := decorated(observer, decorator, fetch_all_users):
        for form in FORMS:
            query = MARKED.format(form)
            with observer.step(form) as fact:
                try:
                    fact["value"] = wrapped(query=query) if form == "keyword" else wrapped(query)
                finally:
                    fact |= {"shown": _shown(observer), "hidden": "\n".join(observer.hidden)}
        for step in FAULTS:
            fail(observer, step, {}, decorator, fetch_all_users, query="SELECT 'broken'")


def with_db_connection(observer: Observer, decorator, _) -> None:
    seen = {}

    def get_user_by_id(conn, user_id, second=0):
        kind = "" if hasattr(conn, "cursor") else type(conn).__name__
        seen.update(conn=conn, kind=kind)
        row = conn.cursor().execute(BY_ID, (user_id,)).fetchone()
        seen["calls"] = 1
        return [row, second]

    if wrapped := decorated(observer, decorator, get_user_by_id):
        for step, *args, options in (("call", 2, {"second": 7}), ("keyword call", {"user_id": 3})):
            call(observer, step, seen, wrapped, *args, **options)
        for step in FAULTS:
            fail(observer, step, seen, decorator, get_user_by_id, 2)


def transactional(observer: Observer, decorator, module) -> None:
    seen = {}

    def update_user_email(conn, user_id, new_email):
        seen.update(conn=conn)
        conn.cursor().execute("UPDATE users SET email = ? WHERE id = ?", (new_email, user_id))
        return ["result of", user_id] if user_id == 1 else None

    if wrapped := decorated(observer, decorator, update_user_email):
        for number, step in enumerate(("success", "no result", *FAULTS), 1):
            with contextlib.closing(sqlite3.connect("users.db")) as conn:
                if step in FAULTS:
                    arguments = (conn, number, "rolled back")
                    fail(observer, step, seen, decorator, update_user_email, *arguments)
                else:
                    call(observer, step, seen, wrapped, conn, number, "committed")
                observer.mark(step)
        if own := find(module, *NAMES["6"]["with_db_connection"]):
            options = {"user_id": len(FAULTS) + 3, "new_email": "rolled back"}
            both = lambda function: own(decorator(function))  # noqa: E731
            fail(observer, "stacked", seen, both, update_user_email, **options)
            observer.mark("stacked")


def retry(observer: Observer, decorator, _) -> None:
    def retrying(function, retries=RETRIES):
        options = {"retries": retries, "delay": DELAY}
        made = either(lambda: decorator(**options), lambda: decorator(*options.values()))
        return made(function) if callable(made) else made

    def now() -> float:
        return round(time.monotonic() + sum(observer.sleeps), 3)

    events, case = [], ATTEMPTS[0]

    def fetch_users_with_retry(conn, first, second=None):
        _, _, failures, times, message = case
        events.append(now())
        number = len(events) - 1
        if number % (failures + 1) if times > 1 else number <= failures:
            error = sqlite3.OperationalError(message)
            error.sqlite_errorcode = 5 if message == LOCKED else 1  # as SQLite sets it
            raise observer.fault(error)
        return None if case[0] == "no result" else ["result of", first, second]

    attempts = ATTEMPTS if decorated(observer, retrying, fetch_users_with_retry) else ()
    started = time.monotonic()
    for case in attempts:
        step, retries, _, times, _ = case
        if step == "last succeeds" and time.monotonic() - started > LONG:
            break
        events.clear()
        with observer.step(step) as fact, contextlib.closing(sqlite3.connect("users.db")) as conn:
            wrapped = retrying(fetch_users_with_retry, retries)
            events.append(now())
            try:
                results = [wrapped(conn, "one", second="two") for _ in range(times)]
                fact["value"] = results if times > 1 else results[0]
            finally:  # the times of the start, of each call and of the end
                fact |= {"events": [*events, now()], "calls": len(events) - 1}


def cache_query(observer: Observer, decorator, _) -> None:
    seen, connect = {}, observer.watch.real_connect

    def fetch_users_with_cache(conn, query, params=()):
        seen.update(calls=seen.get("calls", 0) + 1, params=params)
        return conn.cursor().execute(query, params).fetchall()

    def fetch(step: str, query: str, *params, by_position=False, conn=None):
        conn = conn or connect()  # one for each call, as under @with_db_connection
        options = {"params": params[0]} if params else {}
        by_name = lambda: wrapped(conn, query=query, **options)  # noqa: E731
        positional = lambda: wrapped(conn, query, *params)  # noqa: E731
        # Parameters may be passed by name or by position; the query's form is the caller's.
        forms = [positional] if by_position else [by_name, positional][: 1 + len(params)]
        return call(observer, step, seen, either, *forms)

    if wrapped := decorated(observer, decorator, fetch_users_with_cache):
        first = connect()
        fetch("miss", OLDER, conn=first)
        hit = fetch("hit", OLDER)
        fetch("same connection", OLDER, conn=first)
        for (check, how), cases in CALLS.items():
            for number, case in enumerate(cases):
                fetch(f"{check} by {how} {number}", *case, by_position=how == "position")
        for step in FAULTS:
            query = f"SELECT '{step}'"
            fail(observer, step, seen, decorator, fetch_users_with_cache, connect(), query=query)
        if isinstance(hit, list):
            hit.append("changed by a caller")
        fetch("mutated", OLDER)
        with contextlib.closing(connect()) as writer, writer:
            writer.execute("UPDATE users SET email = ? WHERE age > 40", (CHANGED,))
        fetch("stale", STALE)


def call(observer: Observer, step: str, seen: dict, function, *args, **options):
    """Call the function; the fact holds its result, and what the probe's function wrote into `seen`.

    It also holds whether the connection in `seen` can still be used: a closed one raises an error.
    """
    seen.clear()
    with observer.step(step) as fact:
        try:
            fact["value"] = function(*args, **options)
        finally:
            fact |= seen
            with contextlib.suppress(Exception):
                seen["conn"].cursor().execute("SELECT 1")
                fact |= {"usable": True, "in transaction": seen["conn"].in_transaction}
    return fact.get("value")


def fail(observer: Observer, step: str, seen: dict, decorator, function, *args, **options) -> None:
    """Call the decorated function, which does its work and then fails."""

    @functools.wraps(function)
    def failing(*args, **options):
        function(*args, **options)
        seen["calls"] = 1
        raise observer.fault(FAULTS.get(step, FAULTS["failing"]))

    call(observer, step, seen, lambda: decorator(failing)(*args, **options))


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


STEPS = (log_queries, with_db_connection, transactional, retry, cache_query)
OBSERVE = {n: functools.partial(observe, n, steps) for n, steps in zip(DEMOS, STEPS, strict=True)}
