"""Child: exercises 5 to 9; each decorator is tried on functions made here."""

import sqlite3
from pathlib import Path

from checker.observe import Observer, find, finish, is_own

ALL = "SELECT * FROM users"
BY_ID = "SELECT * FROM users WHERE id = ?"


def log_queries(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find(module, "log_queries", r"log_?quer\w*", r"\w*log\w*quer\w*", kind=_function(module))
    if decorator is not None:
        seen = {}

        def ours(query, *args):
            seen["before"] = _shown(observer)
            seen["query"] = query
            return ["result of", query]

        def fails(query):
            raise LookupError(f"raised by {query}")

        with observer.step("decorated") as fact:
            wrapped = _apply(decorator, ours)
            fact |= _name_of(wrapped, "ours")
        for form in ("keyword", "positional"):
            with observer.step(form) as fact:
                query = f"SELECT '{form}' AS checker_marker"
                seen.clear()
                fact["query"] = query
                try:
                    fact["given"] = wrapped(query=query) if form == "keyword" else wrapped(query)
                finally:
                    fact["shown"], fact["got"] = _shown(observer), seen.get("query")
                    fact["hidden"] = "\n".join(observer.hidden)
                fact["before"] = seen.get("before", "")
        with observer.step("failing"):
            _apply(decorator, fails)(query="SELECT 'failing'")
    demo = find(module, "fetch_all_users", r"fetch_?\w*users?\w*", r"get_?\w*users?\w*")
    if demo is not None:
        with observer.step("demo") as fact:
            fact["value"] = finish(demo(query=ALL))
            fact["shown"] = _shown(observer)


def with_db_connection(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find(module, "with_db_connection", r"with_?\w*conn\w*", kind=_function(module))
    if decorator is not None:
        seen = {}

        def ours(conn, first, second=0):
            seen["conn"] = conn
            cursor = conn.cursor()
            cursor.execute(BY_ID, (first,))
            return [cursor.fetchone(), second]

        def fails(conn):
            conn.cursor().execute(ALL)
            raise LookupError("raised inside")

        with observer.step("decorated") as fact:
            wrapped = _apply(decorator, ours)
            fact |= _name_of(wrapped, "ours")
        with observer.step("call") as fact:
            fact["value"] = wrapped(2, second=7)
        with observer.step("after call") as fact:
            fact["usable"] = _is_usable(seen.pop("conn", None))
        with observer.step("keyword call") as fact:
            fact["value"] = wrapped(first=3)
        seen.clear()
        with observer.step("failing"):
            _apply(decorator, fails)()
    _demo(observer, module, lambda demo: demo(user_id=2), "get_user_by_id", r"get_?\w*user\w*", r"fetch_?\w*user\w*")


def transactional(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find(module, "transactional", r"\w*transaction\w*", kind=_function(module))
    if decorator is not None:

        def ours(conn, user_id, name):
            cursor = conn.cursor()
            cursor.execute("UPDATE users SET name = ? WHERE id = ?", (name, user_id))
            return ["result of", user_id]

        def fails(conn, user_id, name):
            ours(conn, user_id, name)
            raise LookupError("raised inside")

        with observer.step("decorated") as fact:
            wrapped, failing = _apply(decorator, ours), _apply(decorator, fails)
            fact |= _name_of(wrapped, "ours")
        conn = sqlite3.connect("users.db")
        with observer.step("success") as fact:
            fact["given"] = wrapped(conn, 1, "committed")
        observer.mark("success")
        with observer.step("closed") as fact:
            fact["usable"] = _is_usable(conn)
        _close(conn)
        conn = sqlite3.connect("users.db")
        with observer.step("failure"):
            failing(conn, 2, "rolled back")
        with observer.step("after failure") as fact:
            fact["in transaction"] = conn.in_transaction
            fact["name"] = conn.execute("SELECT name FROM users WHERE id = 2").fetchone()
        _close(conn)
        observer.mark("failure")
    demo = find(module, "update_user_email", r"update\w*email\w*", r"update\w*")
    if demo is not None:
        with observer.step("demo"):
            finish(demo(user_id=3, new_email="new@checker.example"))
        observer.mark("demo")


def retry(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find(module, "retry_on_failure", r"retry\w*", r"\w*retry\w*", kind=_function(module))
    if decorator is not None:
        with observer.step("decorated") as fact:
            def ours():
                return "result"

            fact |= _name_of(_retrying(decorator, 3, 2)(ours), "ours")
        for name, failures, error in (
            ("none fails", 0, None),
            ("two fail", 2, sqlite3.OperationalError("database is locked")),
            ("all fail", 99, sqlite3.OperationalError("database is locked")),
            ("plain exception", 2, Exception("a passing fault")),
            ("permanent", 99, sqlite3.OperationalError("no such table: nowhere")),
        ):
            _attempts(observer, decorator, name, failures, error)
    _demo(observer, module, lambda demo: demo(), "fetch_users_with_retry", r"fetch\w*", r"get\w*users?\w*")


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


def cache_query(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find(module, "cache_query", r"cache_?\w*quer\w*", r"\w*cach\w*|\w*memo\w*", kind=_function(module))
    if decorator is not None:
        calls = []

        def ours(conn, query, params=()):
            calls.append(query)
            cursor = conn.cursor()
            cursor.execute(query, params)
            return cursor.fetchall()

        conn = sqlite3.connect("users.db")
        with observer.step("decorated") as fact:
            wrapped = _apply(decorator, ours)
            fact |= _name_of(wrapped, "ours")

        def call(name: str, *args, **options) -> list | None:
            before, result = len(calls), None
            with observer.step(name) as fact:
                result = wrapped(conn, *args, **options)
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
            fact["value"] = wrapped(conn, query="SELECT id, name FROM users WHERE age > 30")
        with observer.step("stale") as fact:
            conn.execute("UPDATE users SET email = 'changed@checker.example' WHERE age > 40")
            conn.commit()
            fact["value"] = wrapped(conn, query="SELECT id, email FROM users WHERE age > 40")
        _close(conn)
    observer.mark("before demo")
    demo = find(module, "fetch_users_with_cache", r"fetch\w*", r"get\w*users?\w*", kind=_function(module))
    if demo is not None:
        query = "SELECT * FROM users WHERE id > 0"
        for name in ("demo", "demo again"):
            with observer.step(name) as fact:
                fact["value"] = finish(demo(query=query))
                fact["query"] = query


def _demo(observer: Observer, module, call, *names: str) -> None:
    demo = find(module, *names, kind=_function(module))
    if demo is not None:
        with observer.step("demo") as fact:
            fact["value"] = finish(call(demo))


def _function(module):
    # Not the decorator that the file merely imports, if it has one of its own of the same kind.
    return lambda value: callable(value) and (is_own(module, value) or not isinstance(value, type))


def _apply(decorator, function):
    """Decorate; some write the decorator with parentheses, `@log_queries()`."""
    try:
        wrapped = decorator(function)
    except TypeError:
        return decorator()(function)
    return wrapped


def _retrying(decorator, retries: int, delay: int):
    try:
        return decorator(retries=retries, delay=delay)
    except TypeError as error:
        if "argument" not in str(error):
            raise
        return decorator(retries, delay)


def _name_of(wrapped, name: str) -> dict:
    return {"name": getattr(wrapped, "__name__", None), "wanted": name}


def _shown(observer: Observer) -> str:
    files = [path for path in Path.cwd().glob("*.[lt][ox][gt]") if path.stat().st_size < 100_000]
    return "\n".join([observer.shown(), *(path.read_text(errors="replace") for path in files)])


def _is_usable(conn) -> bool:
    try:
        conn.cursor().execute("SELECT 1")
    except sqlite3.ProgrammingError:
        return False
    return True


def _close(conn) -> None:
    try:
        conn.rollback()
        conn.close()
    except sqlite3.Error:
        pass


OBSERVE = {
    "5": log_queries,
    "6": with_db_connection,
    "7": transactional,
    "8": retry,
    "9": cache_query,
}
