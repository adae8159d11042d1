"""The child's program: get the order, put our databases in place, import the answer's file, observe it.

Started by sandbox.py with the number of a socket to the parent. Nothing that is expected of the
answer is known in this process: it hands back facts, the parent judges them.
"""

import contextlib
import importlib
import importlib.util
import json
import os
import resource
import socket
import sys
import threading
import time
from pathlib import Path

MAX_FORKS = 20


class Channel:
    """Lines of JSON to and from the parent; each carries the run's token."""

    def __init__(self, number: int):
        self._socket = socket.socket(fileno=number)
        self._reader = self._socket.makefile("rb")
        self._lock = threading.Lock()
        self._pid = os.getpid()
        # By name: whoever replaces json.dumps or os._exit must not spoil the facts.
        self._dumps, self._loads, self._exit = json.dumps, json.loads, os._exit
        self.order = self._loads(self._reader.readline())
        self._token = self.order.pop("token")

    def send(self, **message) -> None:
        self._own_process_only()
        line = self._dumps({"token": self._token, **message}) + "\n"
        with self._lock:
            self._socket.sendall(line.encode())

    def ask(self, **message) -> dict:
        """Send, and wait for the parent's answer, so that it can look at this very moment."""
        self._own_process_only()
        line = self._dumps({"token": self._token, **message}) + "\n"
        with self._lock:
            self._socket.sendall(line.encode())
            answer = self._reader.readline()
        if not answer:  # the parent is gone
            self._exit(1)
        return self._loads(answer)

    def _own_process_only(self) -> None:
        if os.getpid() != self._pid:  # a copy that the answer forked has nothing to tell
            self._exit(1)


def limit(limits: dict) -> None:
    """Set the limits that end a runaway answer even if nobody watches it any more."""
    for name, value in limits.items():
        kind = getattr(resource, name)
        hard = resource.getrlimit(kind)[1]
        allowed = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with contextlib.suppress(OSError, ValueError):  # a limit that this system does not have
            resource.setrlimit(kind, (allowed, allowed))


def forbid(mysql_socket: str | None) -> None:
    """Refuse connections to anything but our server, and more than a few processes."""
    pid, forks = os.getpid(), 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal forks
        if event == "socket.connect" and arguments[1] != mysql_socket:
            raise ConnectionRefusedError("the checker lets no answer reach the network")
        if event in ("os.fork", "os.forkpty", "subprocess.Popen", "os.posix_spawn"):
            forks += 1
            if os.getpid() != pid or forks > MAX_FORKS:
                raise BlockingIOError("too many processes")

    sys.addaudithook(hook)


def no_dotenv() -> None:
    """Make python-dotenv find nothing, wherever a .env may lie."""
    if importlib.util.find_spec("dotenv") is None:
        return
    import dotenv
    import dotenv.main

    def nothing(*_args, **_options):
        return False

    def no_values(*_args, **_options):
        return {}

    for module in (dotenv, dotenv.main):
        module.load_dotenv, module.dotenv_values = nothing, no_values


def record_sleeps() -> list[float]:
    """Replace time.sleep by one that takes no time and keeps a list."""
    sleeps = []

    def sleep(seconds):
        sleeps.append(float(seconds))

    time.sleep = sleep
    return sleeps


def main() -> None:
    channel = Channel(int(sys.argv[1]))
    order = channel.order
    # The project's folder is needed for checker.* only: the answer must never import *our* seed.py.
    root = str(Path(__file__).resolve().parent.parent)
    sys.path.insert(0, root)
    from checker import observe, redirect_mysql, watch_sqlite

    topic = importlib.import_module(f"checker.observe_{order['topic']}")
    sys.path.remove(root)

    no_dotenv()
    watch = watch_sqlite.install(order["users_db"])
    redirect_mysql.install(order["mysql"], order["drivers"], channel)
    limit(order["limits"])
    forbid(order["mysql"]["socket"] if order["mysql"] else None)

    file = Path(order["file"])
    sys.path[:0] = [str(file.parent)]
    sys.path.append(order["root"])
    sys.argv[:] = [str(file)]
    observer = observe.Observer(channel, watch, record_sleeps(), order["root"])
    try:
        topic.OBSERVE[order["exercise"]](observer, file)
    except BaseException as error:  # ours: what the answer raises is caught in its step
        import traceback

        channel.send(probe_error="".join(traceback.format_exception(error)))
    channel.send(done=True)
    os._exit(0)  # neither the answer's exit handlers nor its threads have a say


if __name__ == "__main__":
    main()
