"""In the child: exercises 1 to 4, the table user_data on the MySQL server.

Each runs on a small table first (values), then on a large one (laziness, stopping early), and last
without the table (errors).
"""

import runpy
from itertools import islice
from pathlib import Path

from checker.child.observe import Observer, call, drop, find, finish, is_own
from checker.child.wanted import NAMES

SIZE = r"size|batch|limit|per|count|^n$|rows"
OFFSET = r"off|start|skip|page_?num|^page$"
ENOUGH = 400  # more rows than the small table has


def stream(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    function = find(module, NAMES["1"]["stream_users"][0])
    if function is None and callable(module):  # as the course's main file calls it
        function = module
    function = function or find(module, *NAMES["1"]["stream_users"][1:])
    if function is None:
        return
    _values(observer, "rows", lambda: _take(function()))
    _laziness(observer, function)
    _fault(observer, lambda: _take(function(), 5))


def batches(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    generator = find(module, *NAMES["2"]["stream_users_in_batches"])
    processing = find(module, *NAMES["2"]["batch_processing"])
    if generator is not None:
        for size in (10, 19, 1):
            _values(
                observer, f"batches of {size}", lambda size=size: _take(_sized(generator, size))
            )
    if processing is not None:
        with observer.step("processing") as fact:
            fact["given"] = _take(_sized(processing, 10))
        observer.mark("processing done")
    if generator is not None:
        _laziness(observer, lambda: _sized(generator, 10))
    if processing is not None:
        _fault(observer, lambda: finish(_sized(processing, 10), 5))
    elif generator is not None:
        _fault(observer, lambda: _take(_sized(generator, 10), 5))


def pages(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    lazy = find(module, *NAMES["3"]["lazy_paginate"])
    single = find(module, *NAMES["3"]["paginate_users"])
    if lazy is not None:
        for size in (10, 19):
            _values(observer, f"pages of {size}", lambda size=size: _take(_sized(lazy, size)))
    if single is not None:
        with observer.step("single page") as fact:
            fact["value"] = finish(_page(single, 10, 20))
            fact["beyond"] = finish(_page(single, 10, 1000))
        observer.mark("single page done")
    if lazy is not None:
        _laziness(observer, lambda: _sized(lazy, 10))
        _fault(observer, lambda: _take(_sized(lazy, 10), 5))


def ages(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    generator = find(module, *NAMES["4"]["stream_user_ages"])
    average = find(
        module, *NAMES["4"]["calculate_average_age"],
        kind=lambda value: callable(value) and is_own(module, value) and value is not generator,
    )  # fmt: skip
    if generator is not None:
        _values(observer, "ages", lambda: _take(generator()))
    if average is None:  # some answers compute it outside any function
        average = _Program(file)
    with observer.step("average") as fact:
        fact["program"] = isinstance(average, _Program)
        fact["given"] = finish(_without_arguments(average, generator))
        fact["printed so far"] = observer.shown()
    observer.mark("average done")
    if not isinstance(average, _Program):
        _kept_ages(observer, module, generator, average)
    observer.ask("empty")
    with observer.step("average of none") as fact:
        fact["given"] = finish(_without_arguments(average, generator))
    if generator is not None:
        _laziness(observer, generator)
        if isinstance(average, _Program):
            _fault(observer, lambda: _take(generator(), 5))
        else:
            _fault(observer, lambda: finish(_without_arguments(average, generator)))


def _values(observer: Observer, name: str, read) -> None:
    with observer.step(name) as fact:
        fact["value"] = read()
    observer.mark(f"{name} done")


def _take(result, limit: int = ENOUGH):
    """Take items up to a limit; return a result that cannot be iterated unchanged."""
    if result is None or isinstance(result, dict | str) or not hasattr(result, "__iter__"):
        return result
    items = list(islice(result, limit))
    return [finish(item, limit) for item in items]  # a page may be a generator, too


def _laziness(observer: Observer, start) -> None:
    """Enlarge the table, read two items, then stop reading."""
    observer.ask("grow")
    result = None
    with observer.step("first") as fact:
        result = start()
        fact["kind"] = type(result).__name__
        fact["iterator"] = hasattr(result, "__next__")
        observer.mark("before first")
        fact["value"] = next(iter(result)) if not fact["iterator"] else next(result)
        observer.mark("first")
    with observer.step("second") as fact:
        if hasattr(result, "__next__"):
            fact["value"] = next(result)
        observer.mark("second")
    with observer.step("stopped"):
        drop(result)
    del result
    observer.mark("stopped")


def _fault(observer: Observer, read) -> None:
    """Drop the table and see whether the caller gets an error."""
    observer.ask("gone")
    with observer.step("fault") as fact:
        fact["value"] = read()
    observer.mark("fault")


def _sized(function, size: int):
    try:
        return call(function, {SIZE: size})
    except TypeError:
        if function.__code__.co_argcount:
            return function(size)
        raise


def _page(function, size: int, offset: int):
    try:
        return call(function, {OFFSET: offset, SIZE: size})
    except TypeError:
        return function(size, offset)


def _without_arguments(average, generator):
    """Call the average function, with the stream of ages if it has a parameter for one."""
    if generator is None:
        return average()
    return call(average, {r"age|stream|gen|iter|data": _Stream(generator)})


class _Program:
    """The file, run as a program."""

    def __init__(self, file: Path):
        self._file = str(file)

    def __call__(self):
        runpy.run_path(self._file, run_name="__main__")


class _Stream:
    """The ages for an average function with a parameter, which it may call or iterate over."""

    def __init__(self, generator):
        self._generator = generator

    def __call__(self):
        return self._generator()

    def __iter__(self):
        return iter(self._generator())


class _Age(int):
    """An age; the class counts how many are in memory."""

    alive = most = 0

    def __init__(self, _value):
        _Age.alive += 1
        _Age.most = max(_Age.most, _Age.alive)

    def __del__(self):
        _Age.alive -= 1


def _kept_ages(observer: Observer, module, generator, average) -> None:
    """Let the average function read our ages, and count how many it keeps at the same time."""
    names = [name for name, value in vars(module).items() if value is generator]
    if generator is None or not names:
        return
    read = 0

    def our_ages(*_args, **_options):
        nonlocal read
        for number in range(2000):
            read += 1
            yield _Age(20 + number % 50)

    for name in names:
        setattr(module, name, our_ages)
    try:
        with observer.step("kept ages") as fact:
            finish(_without_arguments(average, our_ages))
            fact |= {"kept": _Age.most, "read": read}
    finally:
        for name in names:
            setattr(module, name, generator)


OBSERVE = {"1": stream, "2": batches, "3": pages, "4": ages}
