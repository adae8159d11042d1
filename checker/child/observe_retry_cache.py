"""In the child: exercises 8 and 9; each decorator is applied to functions defined here."""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from checker.child.observe import Observer, find, finish
from checker.child.observe_decorators import (
    BY_ID,
    close,
    decorated,
    demo,
    either,
    find_decorator,
    is_function_of,
)
from checker.child.wanted import NAMES

RETRIES, DELAY = 4, 3  # not everybody's defaults
LONG = 4.0  # seconds: waits that time.sleep does not make are real


def retry(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find(module, *NAMES["8"]["retry_on_failure"], kind=is_function_of(module))

    def retrying(function):
        made = either(
            lambda: decorator(retries=RETRIES, delay=DELAY), lambda: decorator(RETRIES, DELAY)
        )
        return made(function) if callable(made) else made

    def fetch_users_with_retry(conn):
        return "result"

    if decorated(observer, decorator and retrying, fetch_users_with_retry):
        started = time.monotonic()
        _attempts(observer, retrying, "none fails", lambda _: False)
        _attempts(observer, retrying, "two fail", lambda number: number < 3)
        _attempts(observer, retrying, "all fail", lambda number: number < 100)
        if time.monotonic() - started < LONG:
            _attempts(observer, retrying, "again", lambda number: number % 3 != 0, times=3)
            nowhere = "no such table: nowhere"
            _attempts(observer, retrying, "permanent", lambda number: number < 100, nowhere)
    names = "fetch_users_with_retry", r"fetch\w*", r"get\w*users?\w*"
    demo(observer, module, lambda demo: demo(), *names)


def _attempts(
    observer: Observer, retrying, step: str, fails, message: str = "database is locked", times=1
) -> None:
    """Call one decorated function `times` times; `fails(number)` says which of its calls fail.

    The fact "events" holds the times of the start, of each call and of the end.
    """
    events, given = [], []

    def now() -> float:
        return round(time.monotonic() + sum(observer.sleeps), 3)

    def fetch_users_with_retry(conn, first, second=None):
        events.append(now())
        if fails(len(events) - 1):
            error = sqlite3.OperationalError(message)
            error.sqlite_errorcode = 5 if "locked" in message else 1  # as SQLite sets it
            raise observer.fault(error)
        return ["result of", first, second]

    fetch_users_with_retry.__qualname__ = fetch_users_with_retry.__name__
    with observer.step(step) as fact, closing(sqlite3.connect("users.db")) as conn:
        fact |= {"events": events, "results": given}
        wrapped = retrying(fetch_users_with_retry)
        events.append(now())
        try:
            for _ in range(times):
                given.append(wrapped(conn, "one", second="two"))
        finally:
            fact["calls"] = len(events) - 1
            events.append(now())


def cache_query(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find_decorator(module, file, "9", "cache_query")
    calls = []  # the parameters that the function got
    connections = []  # one for each call, as under @with_db_connection; all stay open

    def fetch_users_with_cache(conn, query, params=()):
        calls.append(params)
        if "'raise'" in query:
            raise observer.fault(LookupError("raised inside"))
        return conn.cursor().execute(query, params).fetchall()

    def conn():
        connections.append(sqlite3.connect("users.db"))
        return connections[-1]

    def call(step: str, query: str, *params, by_position=False, same=False) -> list | None:
        with observer.step(step) as fact:
            before, one = len(calls), connections[0] if same else conn()
            options = {"params": params[0]} if params else {}
            forms = [
                lambda: wrapped(one, query=query, **options),
                lambda: wrapped(one, query, *params),
            ]
            # Parameters may be passed by name or by position; the query's form is the caller's.
            forms = forms[by_position:] if params or by_position else forms[:1]
            try:
                fact["value"] = either(*forms)
            finally:
                fact["calls"], fact["params"] = len(calls) - before, calls[before:]
        return fact.get("value")

    if wrapped := decorated(observer, decorator, fetch_users_with_cache):
        older = "SELECT id, name FROM users WHERE age > 30"
        call("miss", older)
        hit = call("hit", older)
        call("same connection", older, same=True)
        call("other query", "SELECT id, email FROM users WHERE age > 40")
        for number, text in enumerate(("a b", "A b", "a  b")):
            call(f"text {number}", f"SELECT id, '{text}' FROM users WHERE id = 1")
        call("first parameter", BY_ID, (1,))
        call("second parameter", BY_ID, (2,))
        for number, params in enumerate((("ab", "c"), ("AB", "c"), ("a", "bc"))):
            call(f"parameters {number}", "SELECT ?, ? FROM users WHERE id = 1", params)
        call("positional", "SELECT id FROM users WHERE id = 3", by_position=True)
        call("other positional", "SELECT id FROM users WHERE id = 4", by_position=True)
        call("failing", "SELECT id FROM users WHERE name = 'raise'")
        call("database error", "SELECT * FROM nowhere")
        if isinstance(hit, list):
            hit.append("changed by a caller")
        call("mutated", older)
        writer = conn()
        writer.execute("UPDATE users SET email = 'changed@checker.example' WHERE age > 40")
        writer.commit()
        call("stale", "SELECT id, email FROM users WHERE age > 40")
        for one in connections:
            close(one)
    observer.mark("before demo")
    names = "fetch_users_with_cache", r"fetch\w*", r"get\w*users?\w*"
    query = "SELECT * FROM users WHERE id > 0"
    demo(observer, module, lambda demo: demo(query=query), *names)
    if function := find(module, *names, kind=is_function_of(module)):
        with observer.step("demo again") as fact:
            fact["value"], fact["query"] = finish(function(query=query)), query


OBSERVE = {"8": retry, "9": cache_query}
