"""In the child: seed.py and exercises 1 to 4, the table user_data on the MySQL server.

seed.py runs twice, as the course's main file 0 does. Each exercise runs on a small table first
(values), then on a large one (laziness, stopping early), and last without the table, then without
the server (errors).
"""

import gc
import inspect
import re
import runpy
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

from checker.child import redirect_mysql
from checker.child.observe import Observer, call, drop, find, finish, is_own
from checker.child.wanted import NAMES

SIZE = r"size|batch|limit|per|count|^n$|rows"
OFFSET = r"off|start|skip|page_?num|^page$"
ENOUGH = 400  # more rows than the small table has
DATA = "user_data.csv"


def seed(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    functions = {name: find(module, *patterns) for name, patterns in NAMES["seed"].items()}
    with observer.step("functions") as fact:
        fact["found"] = [name for name, function in functions.items() if function]
    if None in functions.values():
        return
    observer.ask("no database")
    for run in ("first", "second"):
        with observer.step(f"{run} run") as fact:

            def called(name: str, *arguments, fact=fact):
                fact["call"] = name
                return functions[name](*arguments)

            called("create_database", server := called("connect_db"))
            drop(server)
            called("create_table", connection := called("connect_to_prodev"))
            fact["table said"] = observer.output.text()
            observer.mark(f"{run} table")
            fact["call"] = "insert_data"
            _insert(module, functions["insert_data"], connection)
            drop(connection)
        observer.mark(f"{run} run")
        if run == "first":
            observer.ask("stranger")


def _insert(module, insert, connection) -> None:
    """Pass the file's name, as the course does; if that fails, the rows from the module's reader."""
    try:
        finish(insert(connection, DATA))
    except Exception as error:
        reader = find(module, r"\w*csv\w*", r"read_?\w*|load_?(?!env)\w*")
        try:
            connection.rollback()
            finish(insert(connection, reader(DATA)))
        except Exception:  # it may have no reader; the first error is the one that a caller meets
            raise error from None


def _load(observer: Observer, file: Path, number: str) -> tuple:
    """Import the file and find its functions, None for one that is missing; report their names."""
    module, functions = observer.load(file), []

    def is_own_average(value) -> bool:
        return callable(value) and is_own(module, value) and value not in functions

    for patterns in NAMES[number].values():
        kind = is_own_average if number == "4" and functions else callable
        # The course's main file calls the module of exercise 1.
        functions.append(module if callable(module) else find(module, *patterns, kind=kind))
    with observer.step("functions") as fact:  # '' for one without a name of its own
        names = {id(value): name for name, value in vars(module).items()}
        fact["found"] = ["" if f is None else names.get(id(f), "") for f in functions]
    return module, *functions


def stream(observer: Observer, file: Path) -> None:
    _, function = _load(observer, file, "1")
    _values(observer, "rows", function)
    _server(observer, function)


def batches(observer: Observer, file: Path) -> None:
    _, generator, processing = _load(observer, file, "2")
    for size in (10, 19, 1):
        _values(observer, f"batches of {size}", _with(generator, size))
    _values(observer, "processing", _with(processing, 10))
    _server(observer, _with(generator, 10), _with(processing, 10))


def pages(observer: Observer, file: Path) -> None:
    _, lazy, single = _load(observer, file, "3")
    for size in (10, 19):
        _values(observer, f"pages of {size}", _with(lazy, size))
    _values(observer, "single page", _with(single, 10, 20))
    _values(observer, "single page beyond", _with(single, 10, 1000))
    _server(observer, _with(lazy, 10), _with(single, 10, 0))


def ages(observer: Observer, file: Path) -> None:
    module, generator, average = _load(observer, file, "4")
    _values(observer, "ages", generator)

    def compute(ages=generator):
        if average is None:  # some answers compute it outside any function
            runpy.run_path(str(file), run_name="__main__")
            return None
        return finish(call(average, {r"age|stream|gen|iter|data": _Stream(ages)} if ages else {}))

    _values(observer, "average", compute)
    if average is not None:
        _kept_ages(observer, module, generator, compute)
    observer.ask("empty")
    _values(observer, "average of none", compute)
    _server(observer, generator, None if average is None else compute)


def _values(observer: Observer, name: str, function: Callable | None, limit: int = ENOUGH) -> None:
    """Call the function, if the answer has it; send its result, or the first items if it has any."""
    if function is None:
        return
    with observer.step(name) as fact:
        result = function()
        if isinstance(result, Iterable) and not isinstance(result, dict | str):
            result = [finish(item, limit) for item in list(islice(result, limit))]
        fact["value"] = result  # a page may be a generator, too
    observer.mark(f"{name} done")


def _server(observer: Observer, generator: Callable | None, caller: Callable | None = None) -> None:
    """Stop reading a large table; then call both without the table, and without the server."""
    if generator is not None:
        _laziness(observer, generator)
    for fault in ("gone", "refuse"):
        observer.ask(fault)
        for who, function in (("generator", generator), ("caller", caller)):
            _values(observer, f"{fault} {who}", function, 5)


def _laziness(observer: Observer, start: Callable) -> None:
    """Enlarge the table, read two items, then stop reading."""
    observer.ask("grow")
    items = None
    with observer.step("first") as fact:
        result = start()
        fact["kind"] = type(result).__name__
        fact["iterator"] = not isinstance(result, list | tuple | set | dict | str)
        items = iter(result if isinstance(result, Iterable) else ())
        next(items)
        observer.mark("first")
        next(items, None)
    with observer.step("stopped"):  # as a caller that leaves its loop
        drop(items)
    items = result = None
    gc.collect()
    observer.mark("stopped")
    redirect_mysql.opened.clear()
    gc.collect()
    observer.mark("collected")


def _with(function: Callable | None, *values: int) -> Callable | None:
    """Let it be called with a size, and an offset: by name if its parameters are named so."""

    def called():
        fitting: dict[str, int] = {}
        names = list(inspect.signature(function).parameters)
        for pattern, value in zip((SIZE, OFFSET), values, strict=False):
            left = [n for n in names if n not in fitting and re.search(f"(?i){pattern}", n)]
            fitting |= dict.fromkeys(left[:1], value)
        return function(**fitting) if len(fitting) == len(values) else function(*values)

    return None if function is None else called


class _Stream:
    """The ages for an average function with a parameter, which it may call or iterate over."""

    def __init__(self, generator):
        self._generator = generator

    def __iter__(self):
        return iter(self._generator())

    __call__ = __iter__


class _Age(int):
    """An age; the class counts how many there were, and how many in memory at the same time."""

    made = alive = most = 0

    def __init__(self, _value):
        _Age.made += 1
        _Age.alive += 1
        _Age.most = max(_Age.most, _Age.alive)

    def __del__(self):
        _Age.alive -= 1


def _kept_ages(observer: Observer, module, generator, compute: Callable) -> None:
    """Let the average function read our ages, and count how many it keeps at the same time."""
    names = [name for name, value in vars(module).items() if value is generator]
    if generator is None or not names:
        return

    def our_ages(*_args, **_options):
        for number in range(2000):
            yield _Age(20 + number % 50)

    vars(module).update(dict.fromkeys(names, our_ages))
    with observer.step("kept ages") as fact:
        compute(our_ages)
        fact |= {"kept": _Age.most, "read": _Age.made}
    vars(module).update(dict.fromkeys(names, generator))


OBSERVE = {"seed": seed, "1": stream, "2": batches, "3": pages, "4": ages}
