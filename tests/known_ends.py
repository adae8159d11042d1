"""Answers that end in every way there is, most of them hostile or careless, with the verdict on each."""

from typing import NamedTuple

from checker.judge import CRASH, EXITED, MISSING, NEEDS, SYNTAX, TIMEOUT, WRONG


class End(NamedTuple):
    exercise: str
    text: str
    verdict: str
    said: str


EQUAL_TO_ALL = """
import builtins

builtins.isinstance = lambda *_: True
builtins.len = lambda _: 57


class Equal:
    def __eq__(self, other):
        return True

    def __iter__(self):
        return iter([self] * 57)


class DatabaseConnection:
    def __init__(self, name):
        pass

    def __enter__(self):
        return self

    def execute(self, *_):
        return Equal()

    def __exit__(self, *_):
        pass
"""

RETRY = """
def retry_on_failure(retries=3, delay=2):
    def decorate(function):
        def wrapper(*args, **kwargs):
            {}
        return wrapper
    return decorate
"""

FOR_EVER = """while True:
                try:
                    return function(*args, **kwargs)
                except Exception:
                    pass"""

UNPRINTABLE = """
class Text(str):
    def __getitem__(self, key):
        raise ValueError("no part of me")


def stream_users():
    yield {"user_id": Text("a"), "name": "\\udc80", "email": 10**5000, "age": float("nan")}
"""

ENDS = {
    "os._exit": End("1", "import os\nos._exit(0)\n", EXITED, "ended its own process"),
    "sys.exit": End("1", "import sys\nsys.exit(0)\n", EXITED, "SystemExit"),
    "exit in a call": End("8", RETRY.format("raise SystemExit(0)"), EXITED, "SystemExit"),
    "retries for ever": End("8", RETRY.format(FOR_EVER), TIMEOUT, "still retrying"),
    "segmentation fault": End("5", "import ctypes\nctypes.string_at(0)\n", CRASH, "was killed"),
    "network": End(
        "5", "import socket\nsocket.create_connection(('192.0.2.1', 80), 1)\n", CRASH, "the network"
    ),
    "fork bomb": End("5", "import os\nwhile True:\n    os.fork()\n", CRASH, "too many processes"),
    "memory": End("5", "text = 'a'\nwhile True:\n    text += text\n", CRASH, "MemoryError"),
    "disk": End(
        "5", "f = open('big', 'w')\nwhile True:\n    f.write('x' * 10**6)\n", CRASH, "too large"
    ),
    "input": End("5", "value = input()\n", CRASH, "EOFError"),
    "syntax": End("5", "def log_queries(function)\n    pass\n", SYNTAX, "expected ':'"),
    "empty": End("5", '"""Nothing yet."""\n', MISSING, "no code"),
    "package": End("5", "import no_such_package_anywhere\n", NEEDS, "no_such_package_anywhere"),
    "driver": End(
        "1", "import sys\nsys.modules['pymysql'] = None\nimport pymysql\n", NEEDS, "package PyMySQL"
    ),
    "module": End("5", "import with_db_connection\n", CRASH, "with_db_connection"),
    "other names": End("5", "def something():\n    pass\n", WRONG, "does not define log_queries"),
    "equal to all": End("10", EQUAL_TO_ALL, WRONG, "got an object of type Equal"),
    "unprintable": End("1", UNPRINTABLE, CRASH, "no part of me"),
    "surrogates": End("5", "raise ValueError('\\udc80\\x00\\x1b[31m')\n", CRASH, "ValueError"),
    "no facts": End("1", "def stream_users():\n    yield object()\n", WRONG, "expected rows like"),
}
