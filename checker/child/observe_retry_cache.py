"""In the child: exercises 8 and 9; each decorator is applied to functions defined here."""

import sqlite3
from pathlib import Path

from checker.child.observe import Observer, find, finish
from checker.child.observe_decorators import BY_ID, apply, close, demo, is_function_of, name_of
from checker.child.wanted import NAMES


def retry(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find(module, *NAMES["8"]["retry_on_failure"], kind=is_function_of(module))
    if decorator is not None:
        with observer.step("decorated") as fact:

            def ours():
                return "result"

            fact |= name_of(_retrying(decorator, 3, 2)(ours), "ours")
        for name, failures, error in (
            ("none fails", 0, None),
            ("two fail", 2, sqlite3.OperationalError("database is locked")),
            ("all fail", 99, sqlite3.OperationalError("database is locked")),
            ("plain exception", 2, Exception("a passing fault")),
            ("permanent", 99, sqlite3.OperationalError("no such table: nowhere")),
        ):
            _attempts(observer, decorator, name, failures, error)
        _called_again(observer, decorator)
    demo(
        observer,
        module,
        lambda demo: demo(),
        "fetch_users_with_retry",
        r"fetch\w*",
        r"get\w*users?\w*",
    )


def _attempts(observer: Observer, decorator, name: str, failures: int, error) -> None:
    events = []

    def ours(first, second=None):
        events.append("call")
        if events.count("call") <= failures:
            raise error
        return ["result of", first, second]

    with observer.step(name) as fact:
        observer.sleeps.clear()
        fact["events"] = events
        sleeps = observer.sleeps
        try:
            fact["given"] = _retrying(decorator, 3, 2)(ours)("one", second="two")
        finally:
            fact["sleeps"] = list(sleeps)


def _called_again(observer: Observer, decorator) -> None:
    """Call one decorated function three times; each call fails twice first."""
    calls = 0

    def ours():
        nonlocal calls
        calls += 1
        if calls % 3:
            raise sqlite3.OperationalError("database is locked")
        return "result"

    with observer.step("again") as fact:
        wrapped, fact["value"] = _retrying(decorator, 3, 2)(ours), []
        for _ in range(3):
            fact["value"].append(wrapped())


def cache_query(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find(module, *NAMES["9"]["cache_query"], kind=is_function_of(module))
    if decorator is not None:
        calls = []

        def ours(conn, query, params=()):
            calls.append(query)
            cursor = conn.cursor()
            cursor.execute(query, params)
            return cursor.fetchall()

        connections = []  # one for each call, as under @with_db_connection; all stay open

        def conn():
            connections.append(sqlite3.connect("users.db"))
            return connections[-1]

        with observer.step("decorated") as fact:
            wrapped = apply(decorator, ours)
            fact |= name_of(wrapped, "ours")

        def call(name: str, *args, **options) -> list | None:
            before, result = len(calls), None
            with observer.step(name) as fact:
                result = wrapped(conn(), *args, **options)
                fact["value"], fact["calls"] = result, len(calls) - before
            return result

        call("miss", query="SELECT id, name FROM users WHERE age > 30")
        hit = call("hit", query="SELECT id, name FROM users WHERE age > 30")
        call("other query", query="SELECT id, email FROM users WHERE age > 40")
        call("first parameter", query=BY_ID, params=(1,))
        call("second parameter", query=BY_ID, params=(2,))
        call("positional", "SELECT id FROM users WHERE id = 3")
        call("other positional", "SELECT id FROM users WHERE id = 4")
        call("failing", query="SELECT * FROM nowhere")
        with observer.step("mutated") as fact:
            if isinstance(hit, list):
                hit.append("changed by a caller")
            fact["value"] = wrapped(conn(), query="SELECT id, name FROM users WHERE age > 30")
        with observer.step("stale") as fact:
            writer = conn()
            writer.execute("UPDATE users SET email = 'changed@checker.example' WHERE age > 40")
            writer.commit()
            fact["value"] = wrapped(conn(), query="SELECT id, email FROM users WHERE age > 40")
        for one in connections:
            close(one)
    observer.mark("before demo")
    demo = find(
        module,
        "fetch_users_with_cache",
        r"fetch\w*",
        r"get\w*users?\w*",
        kind=is_function_of(module),
    )
    if demo is not None:
        query = "SELECT * FROM users WHERE id > 0"
        for name in ("demo", "demo again"):
            with observer.step(name) as fact:
                fact["value"] = finish(demo(query=query))
                fact["query"] = query


def _retrying(decorator, retries: int, delay: int):
    try:
        return decorator(retries=retries, delay=delay)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        return decorator(retries, delay)


OBSERVE = {"8": retry, "9": cache_query}
