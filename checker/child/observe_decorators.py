"""In the child: exercises 5 to 7; each decorator is applied to functions defined here."""

import sqlite3
from pathlib import Path

from checker.child.observe import Observer, find, finish, is_own
from checker.child.wanted import NAMES

ALL = "SELECT * FROM users"
BY_ID = "SELECT * FROM users WHERE id = ?"


def log_queries(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find(module, *NAMES["5"]["log_queries"], kind=is_function_of(module))
    if decorator is not None:
        seen = {}

        def ours(query, *args):
            seen["before"] = _shown(observer)
            seen["query"] = query
            return ["result of", query]

        def fails(query):
            raise observer.fault(LookupError(f"raised by {query}"))

        with observer.step("decorated") as fact:
            wrapped = apply(decorator, ours)
            fact |= name_of(wrapped, "ours")
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
            apply(decorator, fails)(query="SELECT 'failing'")
    demo = find(module, "fetch_all_users", r"fetch_?\w*users?\w*", r"get_?\w*users?\w*")
    if demo is not None:
        with observer.step("demo") as fact:
            fact["value"] = finish(demo(query=ALL))
            fact["shown"] = _shown(observer)


def with_db_connection(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find(module, *NAMES["6"]["with_db_connection"], kind=is_function_of(module))
    if decorator is not None:
        seen = {}

        def ours(conn, first, second=0):
            seen["conn"] = conn
            cursor = conn.cursor()
            cursor.execute(BY_ID, (first,))
            return [cursor.fetchone(), second]

        def fails(conn):
            conn.cursor().execute(ALL)
            raise observer.fault(LookupError("raised inside"))

        with observer.step("decorated") as fact:
            wrapped = apply(decorator, ours)
            fact |= name_of(wrapped, "ours")
        with observer.step("call") as fact:
            fact["value"] = wrapped(2, second=7)
        with observer.step("after call") as fact:
            fact["usable"] = _is_usable(seen.pop("conn", None))
        with observer.step("keyword call") as fact:
            fact["value"] = wrapped(first=3)
        seen.clear()
        with observer.step("failing"):
            apply(decorator, fails)()
        with observer.step("bad query"):
            apply(decorator, lambda conn: conn.cursor().execute("SELECT * FROM nowhere"))()
    demo(
        observer,
        module,
        lambda demo: demo(user_id=2),
        "get_user_by_id",
        r"get_?\w*user\w*",
        r"fetch_?\w*user\w*",
    )


def transactional(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    decorator = find(module, *NAMES["7"]["transactional"], kind=is_function_of(module))
    if decorator is not None:

        def ours(conn, user_id, name):
            cursor = conn.cursor()
            cursor.execute("UPDATE users SET name = ? WHERE id = ?", (name, user_id))
            return ["result of", user_id]

        def fails(conn, user_id, name):
            ours(conn, user_id, name)
            raise observer.fault(LookupError("raised inside"))

        with observer.step("decorated") as fact:
            wrapped, failing = apply(decorator, ours), apply(decorator, fails)
            fact |= name_of(wrapped, "ours")
        conn = sqlite3.connect("users.db")
        with observer.step("success") as fact:
            fact["given"] = wrapped(conn, 1, "committed")
        observer.mark("success")
        with observer.step("closed") as fact:
            fact["usable"] = _is_usable(conn)
        close(conn)
        conn = sqlite3.connect("users.db")
        with observer.step("failure"):
            failing(conn, 2, "rolled back")
        with observer.step("after failure") as fact:
            fact["in transaction"] = conn.in_transaction
            fact["name"] = conn.execute("SELECT name FROM users WHERE id = 2").fetchone()
        close(conn)
        observer.mark("failure")
    demo = find(module, "update_user_email", r"update\w*email\w*", r"update\w*")
    if demo is not None:
        with observer.step("demo"):
            finish(demo(user_id=3, new_email="new@checker.example"))
        observer.mark("demo")


def demo(observer: Observer, module, call, *names: str) -> None:
    demo = find(module, *names, kind=is_function_of(module))
    if demo is not None:
        with observer.step("demo") as fact:
            fact["value"] = finish(call(demo))


def is_function_of(module):
    # Ignore classes that the file only imports.
    return lambda value: callable(value) and (is_own(module, value) or not isinstance(value, type))


def apply(decorator, function):
    """Decorate the function; some answers need parentheses, `@log_queries()`."""
    try:
        wrapped = decorator(function)
    except TypeError:
        return decorator()(function)
    return wrapped


def name_of(wrapped, name: str) -> dict:
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


def close(conn) -> None:
    try:
        conn.rollback()
        conn.close()
    except sqlite3.Error:
        pass


OBSERVE = {"5": log_queries, "6": with_db_connection, "7": transactional}
