"""In the child: exercises 8 and 9; each decorator is applied to functions defined here."""

import sqlite3
import time
from contextlib import ExitStack, closing

from checker.child.observe import Observer
from checker.child.observe_decorators import BY_ID, FAULTS, decorated, fail, observing

RETRIES, DELAY = 4, 3  # not everybody's defaults
ENDLESS = 99  # failures after which the probe's function succeeds, to end an endless retry
LONG = 4.0  # seconds: waits that time.sleep does not make are real
LOCKED, NO_TABLE = "database is locked", "no such table: nowhere"
OLDER = "SELECT id, name FROM users WHERE age > 30"
STALE = "SELECT id, email FROM users WHERE age > 40"
PAIR = "SELECT ?, ? FROM users WHERE id = 1"
# Calls whose results differ, by the check that they are for: the query, and perhaps its parameters.
CALLS = {
    "query in key": (
        (STALE,), (STALE.replace("40", "30"),), (OLDER.replace("30", "40"),),
        *((f"SELECT id, '{text}' FROM users WHERE id = 1",) for text in ("a b", "A b", "a  b")),
    ),
    "parameters in key": (
        (BY_ID, (1,)), (BY_ID, (2,)),
        (PAIR, ("ab", "c")), (PAIR, ("AB", "c")), (PAIR, ("a", "bc")), (PAIR, ("c", "ab")),
    ),
    "positional": (("SELECT id FROM users WHERE id = 3",), ("SELECT id FROM users WHERE id = 4",)),
}  # fmt: skip


def retry(observer: Observer, decorator, _) -> None:
    def retrying(function, retries=RETRIES):
        made = either(
            lambda: decorator(retries=retries, delay=DELAY), lambda: decorator(retries, DELAY)
        )
        return made(function) if callable(made) else made

    def attempts(step, failures, times=1, message=LOCKED, retries=RETRIES) -> None:
        """Call one decorated function, which fails `failures` times in each of `times` calls.

        The fact "events" holds the times of the start, of each call and of the end.
        """
        events, given = [], []

        def now() -> float:
            return round(time.monotonic() + sum(observer.sleeps), 3)

        def fetch_users_with_retry(conn, first, second=None):
            events.append(now())
            number = len(events) - 1
            if number % (failures + 1) if times > 1 else number <= failures:
                error = sqlite3.OperationalError(message)
                error.sqlite_errorcode = 5 if message == LOCKED else 1  # as SQLite sets it
                raise observer.fault(error)
            return ["result of", first, second]

        fetch_users_with_retry.__qualname__ = fetch_users_with_retry.__name__
        with observer.step(step) as fact, closing(sqlite3.connect("users.db")) as conn:
            fact |= {"events": events, "results": given}
            wrapped = retrying(fetch_users_with_retry, retries)
            events.append(now())
            try:
                for _ in range(times):
                    given.append(wrapped(conn, "one", second="two"))
            finally:
                fact["calls"] = len(events) - 1
                events.append(now())

    def fetch_users_with_retry(conn):
        return "result"

    if decorated(observer, retrying, fetch_users_with_retry):
        started = time.monotonic()
        for step, failures in (("none fails", 0), ("two fail", 2), ("all fail", ENDLESS)):
            attempts(step, failures)
        if time.monotonic() - started < LONG:
            attempts("last succeeds", 2, retries=3)
            attempts("again", 2, times=3)
            attempts("permanent", ENDLESS, message=NO_TABLE)


def cache_query(observer: Observer, decorator, _) -> None:
    calls = []  # the parameters that the function got
    connections = ExitStack()  # one for each call, as under @with_db_connection; all stay open

    def fetch_users_with_cache(conn, query, params=()):
        calls.append(params)
        return conn.cursor().execute(query, params).fetchall()

    def conn():
        return connections.enter_context(closing(sqlite3.connect("users.db")))

    def call(step: str, query: str, *params, by_position=False, one=None):
        with observer.step(step) as fact:
            before, one = len(calls), one or conn()
            options = {"params": params[0]} if params else {}
            by_name = lambda: wrapped(one, query=query, **options)  # noqa: E731
            positional = lambda: wrapped(one, query, *params)  # noqa: E731
            # Parameters may be passed by name or by position; the query's form is the caller's.
            forms = [positional] if by_position else [by_name, positional][: 1 + len(params)]
            try:
                fact["value"] = either(*forms)
            finally:
                fact["calls"], fact["params"] = len(calls) - before, calls[before:]
        return fact.get("value")

    if wrapped := decorated(observer, decorator, fetch_users_with_cache):
        with connections:
            first = conn()
            call("miss", OLDER, one=first)
            hit = call("hit", OLDER)
            call("same connection", OLDER, one=first)
            for check, cases in CALLS.items():
                for number, case in enumerate(cases):
                    call(f"{check} {number}", *case, by_position=check == "positional")
            for step in FAULTS:
                options = {"query": f"SELECT '{step}'"}
                fail(observer, step, decorator, fetch_users_with_cache, conn(), **options)
            if isinstance(hit, list):
                hit.append("changed by a caller")
            call("mutated", OLDER)
            with conn() as writer:
                writer.execute("UPDATE users SET email = 'changed@checker.example' WHERE age > 40")
            call("stale", STALE)


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


OBSERVE = {"8": observing("8", retry), "9": observing("9", cache_query)}
