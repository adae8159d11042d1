"""Shared by all observers: steps that catch the answer's errors, captured output, plain values."""

import builtins
import contextlib
import functools
import gc
import importlib.util
import inspect
import io
import logging
import os
import re
import sqlite3
import sys
import traceback
from collections.abc import Callable, Iterator
from decimal import Decimal
from itertools import islice
from pathlib import Path
from types import ModuleType

BUILTINS = {name: value for name, value in vars(builtins).items() if name != "_"}
MAKES_TABLE = re.compile(rb"create\s+table", re.IGNORECASE)
SEQUENCES = list | tuple | set | frozenset | sqlite3.Row
MAX_ITEMS, MAX_TEXT, MAX_OUTPUT = 3000, 2000, 300_000


class Output(io.BytesIO):
    """Keeps what is written to a stream in memory, up to a limit, even if the answer closes it."""

    def write(self, data) -> int:
        return super().write(data) if self.tell() < MAX_OUTPUT else len(data)

    def close(self) -> None: ...

    def text(self) -> str:
        return self.getvalue().decode("utf-8", "replace")


class Observer:
    """Runs the steps of an observation and sends the facts of each."""

    def __init__(self, channel, watch, sleeps: list[float], root: str):
        self._channel, self._root = channel, root
        self.watch, self.sleeps = watch, sleeps
        self.output, self.errors = Output(), Output()
        self._own: list[BaseException] = []
        self.logged, self.hidden = [], []  # log lines that are shown, and those below the level
        sys.stdout, sys.stderr = (
            io.TextIOWrapper(kept, "utf-8", "replace", write_through=True)
            for kept in (self.output, self.errors)
        )
        self._record_logging()

    @contextlib.contextmanager
    def step(self, name: str) -> Iterator[dict]:
        """Yield a dict and send it as the fact `name`; add "error" to it if the body raises one."""
        self._channel.send(step=name)
        for kept in (self.output, self.errors):
            kept.seek(0)
            kept.truncate()
        self.logged.clear()
        self.hidden.clear()
        start, fact = len(self.watch.events), {}
        try:
            yield fact
        except BaseException as error:  # SystemExit and KeyboardInterrupt as well
            vars(builtins).update(BUILTINS)
            fact["error"] = self.describe(error)
        vars(builtins).update(BUILTINS)  # the answer may have replaced some
        fact["sqlite"] = self.watch.events[start : start + 2000]
        fact["printed"] = self.output.text()
        fact.setdefault("shown", self.shown()[-MAX_TEXT:])
        try:
            values = plain(fact, MAX_OUTPUT)
        except Exception as error:  # a method of a value failed
            values = plain({"error": self.describe(error)})
        self._channel.send(fact=name, values=values)

    def mark(self, name: str) -> None:
        """Let the parent inspect the server and the files as they are now."""
        self._channel.send(mark=name)

    def ask(self, request: str, **arguments) -> None:
        self._channel.send(request=request, **arguments)

    def fault(self, error: BaseException) -> BaseException:
        """Remember an error that a function of ours will raise, to recognise it when it comes out."""
        self._own.append(error)
        return error

    def shown(self) -> str:
        """Everything printed or logged since the step began."""
        return "\n".join((self.output.text(), self.errors.text(), *self.logged))

    def load(self, file: Path) -> ModuleType:
        """Import the answer's file; what it defined before an error can still be used."""
        spec = importlib.util.spec_from_file_location(file.stem, file)
        module = importlib.util.module_from_spec(spec)
        sys.modules[file.stem] = module
        with self.step("import"):
            self._execute(spec, module, file)
        module = sys.modules.get(file.stem, module)  # some replace it by a callable
        self.watch.reset()
        self.mark("imported")
        self.sleeps.clear()
        return module

    def _execute(self, spec, module: ModuleType, file: Path) -> None:
        """Run the file; if it creates a table and fails, once more in a database without users."""
        try:
            return spec.loader.exec_module(module)
        except sqlite3.Error:
            if not MAKES_TABLE.search(file.read_bytes()):
                raise
        for name in [name for name in vars(module) if not name.startswith("__")]:
            delattr(module, name)
        gc.collect()  # closes connections, and so frees their locks
        with contextlib.closing(self.watch.real_connect()) as connection:
            connection.execute("DROP TABLE IF EXISTS users")
        return spec.loader.exec_module(module)

    def describe(self, error: BaseException) -> dict:
        """The error as a dict, with the place in the answer where it was raised, if known."""
        trace = traceback.walk_tb(error.__traceback__)
        places = [(frame.f_code.co_filename, line) for frame, line in trace]
        if isinstance(error, SyntaxError):
            places.append((error.filename or "", error.lineno))
        own = [place for place in places if place[0].startswith(self._root)]
        chain, left = [], [error]  # as a traceback shows them
        while left and len(chain) < 6:
            chain.append(e := left.pop(0))
            cause = e.__cause__ or (None if e.__suppress_context__ else e.__context__)
            left += [*getattr(e, "exceptions", ()), *([cause] if cause else [])]
        return {
            "type": type(error).__name__,
            "bases": [base.__name__ for base in type(error).__mro__],
            "message": _message(error).replace(self._root + os.sep, ""),
            "module": getattr(error, "name", None) if isinstance(error, ImportError) else None,
            "place": [os.path.relpath(own[-1][0], self._root), own[-1][1]] if own else None,
            "chain": [_message(e) for e in chain],
            "own": any(e is own for e in chain for own in self._own),
        }

    def _record_logging(self) -> None:
        handle, is_enabled = logging.Logger.handle, logging.Logger.isEnabledFor

        @functools.wraps(handle)
        def recording(logger, record):
            shown = is_enabled(logger, record.levelno)
            with contextlib.suppress(Exception):
                (self.logged if shown else self.hidden).append(record.getMessage())
            return handle(logger, record) if shown else None

        logging.Logger.handle = recording
        logging.Logger.isEnabledFor = lambda logger, level: (
            level >= logging.INFO or is_enabled(logger, level)
        )
        logging.raiseExceptions = False


def _message(error: BaseException) -> str:
    try:
        return str(error)[:MAX_TEXT]
    except Exception:  # a method of the answer's own class failed
        return ""


def plain(value, text: int = MAX_TEXT, depth: int = 6):
    """Convert a value for JSON: rows of any kind become lists or dicts, numbers stay numbers."""
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return int(value)
    if isinstance(value, Decimal) and value.is_finite():
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, str):
        return str.encode(value[:text], "utf-8", "replace").decode()
    if isinstance(value, bytes | bytearray):
        return bytes(value).decode("utf-8", "replace")[:text]
    if depth and isinstance(value, dict):
        items = islice(value.items(), MAX_ITEMS)
        return {plain(str(k), text): plain(v, text, depth - 1) for k, v in items}
    if depth and isinstance(value, SEQUENCES):
        return [plain(item, text, depth - 1) for item in islice(value, MAX_ITEMS)]
    return {"$object": type(value).__name__}


def find(module: ModuleType, *patterns: str, kind: Callable = callable):
    """The module's value whose name matches; earlier patterns are preferred. None without a match."""
    named = [(name, value) for name, value in vars(module).items() if not name.startswith("__")]
    return next((
        value for pattern in patterns for name, value in named
        if re.fullmatch(pattern, name, re.IGNORECASE) and kind(value)
    ), None)  # fmt: skip


def is_own(module: ModuleType, value) -> bool:
    """Whether a function or class was defined in this module."""
    return getattr(value, "__module__", None) == module.__name__


def call(function: Callable, values: dict, otherwise: Callable | None = None, variadic: str = ""):
    """Call the function; each parameter gets the value whose pattern matches its name, each value once.

    A parameter without a match keeps its default; if it has none, it gets `otherwise(name)`. The
    value of the pattern `variadic` also goes into `*args`.
    """
    bound, left = inspect.signature(function).bind_partial(), dict(values)
    parameters = bound.signature.parameters
    named = [p for p in parameters.values() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    fitting = {p: [v for v in values if re.search(v, p.name, re.IGNORECASE)] for p in named}
    for parameter in sorted(named, key=lambda p: len(fitting[p])):  # the unmistakable names first
        pattern = next((v for v in fitting[parameter] if v in left), None)
        if pattern is not None and not has_callable(parameter):
            bound.arguments[parameter.name] = left.pop(pattern)
        elif otherwise and parameter.default is parameter.empty:
            bound.arguments[parameter.name] = otherwise(parameter.name)
    rest = next((p.name for p in parameters.values() if p.kind is p.VAR_POSITIONAL), None)
    if rest and variadic in left:
        value = left[variadic]
        bound.arguments[rest] = value if isinstance(value, tuple) else (value,)
    bound.apply_defaults()
    return function(*bound.args, **bound.kwargs)


def has_callable(parameter: inspect.Parameter) -> bool:
    """Whether the parameter's default is a function or class, which no value of ours replaces."""
    return parameter.default is not parameter.empty and callable(parameter.default)


def finish(result, limit: int = MAX_ITEMS):
    """Run a generator to its end and return a list of its items; return other results unchanged."""
    return list(islice(result, limit)) if hasattr(result, "__next__") else result


def drop(iterator) -> None:
    """Stop reading early, as a caller that leaves its loop does."""
    getattr(iterator, "close", lambda: None)()
    gc.collect()
