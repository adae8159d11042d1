"""In the child: exercises 10 to 12, the context managers and the concurrent queries."""

import asyncio
import inspect
import sqlite3
from pathlib import Path

from checker.child.observe import Observer, call, find, finish
from checker.child.wanted import NAMES

ALL = "SELECT * FROM users"
OLDER = "SELECT * FROM users WHERE age > ?"
DATABASE = r"^db|database|file|path|conn|name"
QUERY = r"quer|sql|statement"
MYSQL = {"host": "localhost", "user": "root", "port": 3306}
PARAMETERS = r"param|arg|value|age|condition|thresh"


def connection(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    manager = find(module, *NAMES["10"]["DatabaseConnection"], kind=_class(module))
    if manager is None:
        return
    kept = {}
    # Some answers take the query here, too, and return the rows.
    values = {DATABASE: "users.db", QUERY: ALL, PARAMETERS: ()}
    with observer.step("rows") as fact, call(manager, values, _other) as given:
        kept["given"] = given
        fact["value"] = given if isinstance(given, list | tuple) else _query(given, ALL)
    with observer.step("after") as fact:
        fact["usable"] = _still_works(kept.pop("given"))
    with observer.step("failing"), call(manager, values, _other):
        raise LookupError("raised inside")


def query(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    manager = find(module, *NAMES["11"]["ExecuteQuery"], kind=_class(module))
    if manager is None:
        return

    bare = _wants_bare_value(observer, manager)

    def rows(sql: str, value):
        with _execute(manager, sql, value if bare else (value,)) as given:
            return _rows(given)

    with observer.step("older than 25") as fact:
        fact["value"] = rows(OLDER, 25)
    with observer.step("older than 40") as fact:
        fact["value"] = rows(OLDER, 40)
    with observer.step("quote") as fact:
        fact["value"] = rows("SELECT * FROM users WHERE name = ?", "Siobhán O'Brien")
    with observer.step("failing") as fact, _execute(manager, OLDER, 25 if bare else (25,)) as given:
        _rows(given)
        raise LookupError("raised inside")
    with observer.step("bad query") as fact:
        fact["value"] = rows("SELECT * FROM nowhere WHERE age > ?", 25)


def _wants_bare_value(observer: Observer, manager) -> bool:
    """Whether the class takes 25 where others take (25,)."""
    takes = {}
    for form, value in (("tuple", (25,)), ("bare", 25)):
        with observer.step(f"form {form}"):
            with _execute(manager, OLDER, value) as given:
                _rows(given)
            takes[form] = True
    return "tuple" not in takes and "bare" in takes


def concurrent(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    names = NAMES["12"]
    everybody = find(module, *names["async_fetch_users"], kind=_async)
    older = find(module, *names["async_fetch_older_users"], kind=_async)
    both = find(module, *names["fetch_concurrently"])
    with observer.step("functions") as fact:
        fact["found"] = [
            name
            for name, function in (("users", everybody), ("older", older), ("both", both))
            if function
        ]
    for name, function in (("users", everybody), ("older", older)):
        if function is not None:
            with observer.step(name) as fact:
                fact["value"] = _run(function)
    if both is not None:
        with observer.step("both") as fact:
            fact["value"] = _run(both)
        _overlap(observer, module, everybody, older, both)
    if everybody is not None:
        broken = observer.watch.real_connect()
        broken.execute("ALTER TABLE users RENAME TO users_elsewhere")
        broken.commit()
        broken.close()
        with observer.step("fault") as fact:
            fact["value"] = _run(everybody)


def _run(function):
    """Run an async function, or a plain one that calls asyncio.run itself."""
    values = {DATABASE: "users.db", PARAMETERS: 40}
    if not inspect.iscoroutinefunction(function):
        return call(function, values, _other)

    async def attempt():
        try:
            return await call(function, values, _other)
        except AttributeError as error:
            if error.obj != values[DATABASE]:
                raise
        import aiosqlite  # the function takes a connection where others take a path

        async with aiosqlite.connect(values[DATABASE]) as connection:
            return await call(function, values | {DATABASE: connection}, _other)

    async def limited():
        return await asyncio.wait_for(attempt(), 8)

    return asyncio.run(limited())


def _overlap(observer: Observer, module, everybody, older, both) -> None:
    """Replace both functions by slow ones: does the second start before the first ends?"""
    running = most = calls = 0

    async def slow(*_args, **_options):
        nonlocal running, most, calls
        calls, running = calls + 1, running + 1
        most = max(most, running)
        for _ in range(20):
            await asyncio.sleep(0.005)
        running -= 1
        return [(1, "Ada", "ada@example.com", 50)]

    ids = {id(function) for function in (everybody, older) if function is not None}
    replaced = {name: value for name, value in vars(module).items() if id(value) in ids}
    vars(module).update(dict.fromkeys(replaced, slow))
    try:
        with observer.step("overlap") as fact:
            try:
                _run(both)
            finally:
                fact |= {"calls": calls, "most": most}
    finally:
        vars(module).update(replaced)


def _other(name: str):
    return MYSQL.get(name.lower(), "checked")


def _execute(manager, sql: str, parameters):
    database = "users.db"
    if any("conn" in name.lower() for name in inspect.signature(manager).parameters):
        database = sqlite3.connect("users.db")
    return call(manager, {QUERY: sql, DATABASE: database, PARAMETERS: parameters}, _other)


def _class(module):
    return lambda value: callable(value) and getattr(value, "__module__", "") == module.__name__


def _async(value) -> bool:
    return inspect.iscoroutinefunction(value)


def _kind(given) -> str:
    if hasattr(given, "cursor") and callable(given.cursor) and hasattr(given, "commit"):
        return "connection"
    return "cursor" if hasattr(given, "fetchall") and hasattr(given, "execute") else "other"


def _query(given, sql: str, parameters: tuple = ()):
    """Run the query on a connection, a cursor, or an object that holds one of them."""
    if _kind(given) == "connection":
        given = given.cursor()
    elif _kind(given) == "other":
        for name in ("cursor", "conn", "connection", "db", "_conn", "_connection", "_cursor"):
            inner = getattr(given, name, None)
            if inner is not None and _kind(inner) != "other":
                return _query(inner, sql, parameters)
        for name in ("execute", "query", "execute_query", "fetch_all", "run"):
            if callable(getattr(given, name, None)):
                result = getattr(given, name)(sql, *([parameters] if parameters else []))
                return result.fetchall() if hasattr(result, "fetchall") else finish(result)
    given.execute(sql, parameters)
    return given.fetchall()


def _rows(given):
    """The rows that ExecuteQuery gave, as a list, a cursor, or an object that holds them."""
    if isinstance(given, list | tuple):
        return given
    if hasattr(given, "fetchall"):
        return given.fetchall()
    if hasattr(given, "__iter__"):
        return list(given)
    for name in ("results", "result", "rows", "data", "_results", "_rows"):
        if getattr(given, name, None) is not None and not callable(getattr(given, name)):
            return getattr(given, name)
    return given  # no rows: the query has not been run


def _still_works(given) -> bool | None:
    """Whether a query still works after the block."""
    try:
        _query(given, "SELECT 1")
    except Exception:
        return False
    return True


OBSERVE = {"10": connection, "11": query, "12": concurrent}
