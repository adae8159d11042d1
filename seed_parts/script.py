"""What a script needs around its lesson: a clean exit, the other scripts, a log."""

import importlib.util
import logging
import os
import sqlite3
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from seed_parts.settings import ROOT


def run_script(main: Callable[[], object]) -> None:
    """Run `main` as a program: one line on stderr and exit status 1 if it cannot do its work.

    The return value of `main` is the exit status; None is 0. A reader that stops early, as `| head`
    does, ends it quietly. Bugs keep their traceback.
    """
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that has no emoji
    try:
        status = main()
        sys.stdout.flush()
        if status:
            sys.exit(status)
    except BrokenPipeError:
        # What is still in the buffer has no reader either; else the exit would try and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        sys.exit(130)  # as a shell reports it
    except Exception as error:
        expected = OSError, sqlite3.Error, ValueError, ModuleNotFoundError
        if not (isinstance(error, expected) or hasattr(error, "sqlstate")):  # the MySQL driver's
            raise
        message = " ".join(str(error).split())
        if isinstance(error, ModuleNotFoundError):
            message += ": pip install -r requirements.txt"
        print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)
        sys.exit(1)


_importing = threading.RLock()  # a script may import another one


def import_script(name: str) -> ModuleType:
    """Import the exercise called `name`, say "0-stream_users", from whichever topic folder has it."""
    if not (paths := sorted(ROOT.glob(f"python-*/{name}.py"))):
        raise ModuleNotFoundError(f"no script {name}.py in the topic folders of {ROOT}", name=name)
    with _importing:  # else another thread would be given a module that is half made
        known = sys.modules.get(name)
        if (file := getattr(known, "__file__", None)) and Path(file).resolve() == paths[0]:
            return known
        spec = importlib.util.spec_from_file_location(name, paths[0])
        module = importlib.util.module_from_spec(spec)
        sys.modules.setdefault(name, module)
        try:
            spec.loader.exec_module(module)
        except BaseException:
            if known is None:
                del sys.modules[name]
            raise
        return module


def callable_module(function: Callable) -> None:
    """Make the module that defines `function` callable: `module()` is then `module.function()`.

    The course's main file does `stream_users = __import__('0-stream_users')` and calls that. A module
    that was loaded by its path and is not in sys.modules stays as it is.
    """
    module = sys.modules.get(function.__module__)

    class CallableModule(ModuleType):
        def __call__(self, *args, **kwargs):
            return getattr(self, function.__name__)(*args, **kwargs)

    if module is not None and vars(module) is function.__globals__:
        module.__class__ = CallableModule


_log_set_up = threading.Lock()


class _StderrHandler(logging.StreamHandler):
    def emit(self, record: logging.LogRecord) -> None:
        if not logging.root.handlers:  # else the program has set up logging since, and shows it
            self.stream = sys.stderr  # as it is now: it may have been redirected since
            super().emit(record)


def ensure_log_handler(logger: logging.Logger) -> None:
    """Let `logger` write to stderr, from INFO on, if the program has set up no logging of its own."""
    with _log_set_up:
        if logger.hasHandlers():
            return
        handler = _StderrHandler()
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)
        logger.addHandler(handler)
