"""In the child: exercises 10 to 12, the context managers and the concurrent queries."""

import asyncio
import contextlib
import functools
import inspect
import itertools
import re
import sqlite3
import threading
import time
from collections import defaultdict
from pathlib import Path

from checker.child.observe import Observer, call, find, has_callable, is_own
from checker.child.wanted import NAMES

ALL = "SELECT * FROM users"
DATABASE = r"^db|database|file|path|conn|(?<!user)(?<!user_)name"
QUERY = r"quer|sql|statement"
PARAMETERS = r"param|arg|value|age|condition|thresh"
# The attributes of an answer's object that may hold what it gives to the block.
HOLD_CONNECTION = ("cursor", "conn", "connection", "db")
HOLD_ROWS = ("results", "result", "rows", "data", "cursor")
# The queries of exercise 11, by step.
QUERIES = {
    "rows": (f"{ALL} WHERE age > ?", 25),
    "parameters": (f"{ALL} WHERE age > ?", 40),
    "quote": (f"{ALL} WHERE name = ?", "Siobhán O'Brien 4"),
}
FAULTS = {"failing": LookupError, "failing query": sqlite3.OperationalError}
# The steps of exercise 12, with the functions' names and the patterns of such names.
FUNCTIONS = dict(zip(("all users", "older users", "both"), NAMES["12"].items(), strict=True))
OTHER = defaultdict(lambda: "checked", host="localhost", user="root", port=3306).__getitem__


def manager(number: str, observer: Observer, file: Path) -> None:
    """Run the blocks of exercise 10 or 11, then two that fail while rows are left to read."""
    module = observer.load(file)
    [names] = NAMES[number].values()
    if (own := _manager(module, *names)) is None:
        return
    if number == "10":  # some answers take the query here, too, and return the rows
        values = {DATABASE: "users.db", QUERY: ALL, PARAMETERS: ()}
        blocks, sql = {"rows": functools.partial(call, own, values, OTHER, PARAMETERS)}, ALL
    else:
        form, sql = _form(observer, module, own), ""
        blocks = {step: functools.partial(form, *query) for step, query in QUERIES.items()}
        blocks["bad query"] = functools.partial(form, "SELECT * FROM nowhere WHERE age > ?", 25)
    for step, enter in blocks.items():
        _block(observer, step, enter, sql)
    for step, error in FAULTS.items():
        _block(observer, step, blocks["rows"], sql, error("raised inside"))


def _block(observer: Observer, name: str, enter, sql: str, error: Exception | None = None) -> None:
    """Run a with block that reads rows, or reads one row and then raises this error."""
    observer.mark(f"{name} begins")
    with observer.step(name) as fact:
        manager = enter()  # kept, since its __del__ may close what the block leaves open
        with manager as given:
            fact["entered"], fact["gives"] = 1, type(given).__name__
            if given is not None:
                fact["value"] = _read(given, sql, "fetchone" if error else "fetchall")
            if error:
                raise observer.fault(error)
        with contextlib.suppress(Exception):  # it should be closed
            fact["usable"] = bool(sql) and len(_read(given, "SELECT 1")) == 1
    observer.mark(f"{name} done")


def _form(observer: Observer, module, manager):
    """How to call this answer's class with SQL and a value, found by trying."""
    own = _manager(module, "DatabaseConnection")
    databases = [lambda: "users.db"]
    parameters = inspect.signature(manager).parameters.values()
    if any("conn" in p.name.lower() and not has_callable(p) for p in parameters):
        # What exercise 10 asks for, or a connection, which is then ours to close.
        databases = [lambda: own("users.db"), lambda: own, observer.watch.real_connect]

    def form(mark: str, database, is_tuple: bool, sql: str, value):
        values = {QUERY: sql.replace("?", mark), DATABASE: database()}
        values[PARAMETERS] = (value,) if is_tuple else value
        return call(manager, values, OTHER, PARAMETERS)

    for details in itertools.product(("?", "%s"), databases, (True, False)):
        fitting = functools.partial(form, *details)
        with observer.step("form"), fitting(*QUERIES["rows"]) as given:
            _read(given)
            return fitting
    return functools.partial(form, "?", databases[0], True)


def concurrent(observer: Observer, file: Path) -> None:
    blocked = _record_blocking(file)
    with contextlib.suppress(ImportError, AttributeError):
        import aiosqlite

        del aiosqlite.Connection.__del__  # in some versions it closes a connection
    module = observer.load(file)
    blocked.clear()
    functions = {}
    for step, (_, names) in FUNCTIONS.items():
        kind = callable if step == "both" else inspect.iscoroutinefunction
        # A function of the very name may return a coroutine without being a coroutine function.
        if function := find(module, names[0]) or find(module, *names, kind=kind):
            functions[step] = function
    with observer.step("functions") as fact:
        fact["found"] = list(functions)
    in_turn = "both" in functions and _overlap(observer, module, functions)
    for step, function in functions.items():
        with observer.step(step) as fact:
            fact["blocked"] = blocked
            if step == "both":
                _let_meet(observer.watch, fact, 0 if in_turn else 4)
            fact["value"] = _run(function, fact)
    with (
        contextlib.suppress(sqlite3.OperationalError),  # a connection may still hold a lock
        contextlib.closing(observer.watch.real_connect()) as broken,
    ):
        broken.execute("ALTER TABLE users RENAME TO users_elsewhere")
        for name, function in functions.items():
            with observer.step(f"{name} without table") as fact:
                fact["value"] = _run(function, fact)


def _record_blocking(file: Path) -> list[tuple[int, float]]:
    """Record the line and the seconds of each time.sleep() in an event loop; shorten asyncio's."""
    blocked, sleep = [], asyncio.sleep

    def recording(seconds):
        with contextlib.suppress(RuntimeError):  # no loop runs in this thread
            asyncio.get_running_loop()
            caller = inspect.currentframe().f_back
            blocked.append((caller.f_lineno * (caller.f_code.co_filename == str(file)), seconds))

    time.sleep = recording
    asyncio.sleep = lambda delay, result=None: sleep(min(delay, 0.05), result)
    return blocked


def _run(function, fact: dict):
    """Call a function and wait for its result; one that is not awaitable is of kind "plain"."""
    values = {DATABASE: "users.db", PARAMETERS: 40}

    async def finished(result=None):
        async with asyncio.timeout(8):
            try:
                result = call(function, values, OTHER) if result is None else result
                return await result if inspect.isawaitable(result) else result
            except AttributeError as error:
                if error.obj != values[DATABASE]:
                    raise
            import aiosqlite  # the function takes a connection where others take a path

            async with aiosqlite.connect(values[DATABASE]) as connection:
                return await call(function, values | {DATABASE: connection}, OTHER)

    try:
        result = call(function, values, OTHER)
    except RuntimeError as error:
        if "event loop" not in str(error):  # gather() and others need a running one
            raise
        return asyncio.run(finished())
    if inspect.isawaitable(result):
        return asyncio.run(finished(result))
    fact["kind"] = "plain"
    return result


def _let_meet(watch, fact: dict, waits: int) -> None:
    """Make a SELECT in a thread wait a second for another connection, at most `waits` times.

    Keeps in the fact how many connections read, and how many of them at the same time.
    """
    note, permits, met = watch.note, threading.Semaphore(waits), threading.Event()
    reading, waiting = set(), set()
    fact |= {"calls": 0, "most": 1}

    def noting(event: str, number: int, text: str = "") -> None:
        note(event, number, text)
        if event != "close" and waiting - {number}:
            fact["most"] = 2
            met.set()
        if event == "sql" and re.match(r"\s*(select|with)\b", text, re.IGNORECASE):
            reading.add(number)
            fact["calls"] = len(reading)
            if threading.current_thread() is not threading.main_thread() and permits.acquire(False):
                waiting.add(number)
                met.wait(1)
                waiting.discard(number)

    watch.note = noting


def _overlap(observer: Observer, module, functions: dict) -> bool:
    """Replace both functions by slow ones; return whether the second starts after the first ends."""
    ids = {id(function) for step, function in functions.items() if step != "both"}
    replaced = {name: value for name, value in vars(module).items() if id(value) in ids}
    with observer.step("overlap") as fact:
        fact |= {"calls": 0, "most": 0}
        running = []

        async def slow(*_args, **_options):
            running.append(1)
            fact["calls"] += 1
            fact["most"] = max(fact["most"], len(running))
            await asyncio.sleep(0.05)
            running.pop()
            return [(1, "Ada", "ada@example.com", 50)]

        vars(module).update(dict.fromkeys(replaced, slow))
        _run(functions["both"], fact)
    vars(module).update(replaced)
    return fact["calls"] > 1 and fact["most"] < 2


def _manager(module, *names: str):
    """The file's own class of such a name, or function that gives a context manager."""
    return find(module, *names, kind=lambda value: callable(value) and is_own(module, value))


def _read(given, sql: str = "", fetch: str = "fetchall"):
    """The rows of this query, or those that the answer's own query gave.

    `given` may be a list, a connection, a cursor, or an object that holds one of them.
    """
    holds = HOLD_CONNECTION if sql else HOLD_ROWS
    values = [getattr(given, prefix + name, None) for prefix in ("", "_") for name in holds]
    for one in (given, *(v for v in values if v is not None and not inspect.isroutine(v))):
        if isinstance(one, list | tuple):
            return one
        if sql and hasattr(one, "commit") and callable(getattr(one, "cursor", None)):
            one = one.cursor()
        if hasattr(one, fetch):
            if sql:
                one.execute(sql)
            return getattr(one, fetch)()
    if sql:
        return _read(given.execute(sql), fetch=fetch)
    return list(given) if hasattr(given, "__iter__") else given  # the query may not have been run


OBSERVE = {number: functools.partial(manager, number) for number in ("10", "11")}
OBSERVE["12"] = concurrent
