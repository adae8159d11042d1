"""The child's program: get the order, redirect databases to ours, import the answer's file, call it.

sandbox.py starts it with the number of a socket to the parent. This process does not know the
expected results: it reports facts, and the parent judges them.
"""

import contextlib
import importlib
import json
import os
import resource
import shutil
import socket
import sys
import threading
import time
import traceback
from pathlib import Path

MAX_FORKS = 20


class Channel:
    """Lines of JSON to and from the parent; each carries the run's token."""

    def __init__(self, number: int):
        self._socket = socket.socket(fileno=number)
        self._socket.sendall(b"r")  # ready: the parent learns the process's number
        self._reader = self._socket.makefile("rb")
        self._lock = threading.Lock()
        self._pid = os.getpid()
        # Kept here, since the answer may replace json.dumps or os._exit.
        self._dumps, self._exit = json.dumps, os._exit
        self.order = json.loads(self._reader.readline())
        self._token = self.order.pop("token")

    def send(self, **message) -> None:
        """Send a message; after a mark or a request, wait: the parent inspects this moment."""
        if os.getpid() != self._pid:  # a process that the answer forked must not report
            self._exit(1)
        line = self._dumps({"token": self._token, **message}) + "\n"
        with self._lock:
            self._socket.sendall(line.encode())
            if {"mark", "request"} & message.keys() and not self._reader.readline():
                self._exit(1)  # the parent is gone


def limit(limits: dict) -> None:
    """Set the limits that end a runaway answer even if the parent is gone."""
    for name, value in limits.items():
        with contextlib.suppress(OSError, ValueError):  # it is lower already, or not known here
            resource.setrlimit(getattr(resource, f"RLIMIT_{name}"), (value, value))


def forbid(mysql_socket: str | None) -> None:
    """Forbid connections to anything but our server, and more than a few new processes."""
    pid, forks = os.getpid(), 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal forks
        if event == "socket.connect" and arguments[1] != mysql_socket:
            raise ConnectionRefusedError("the checker does not allow access to the network")
        if event in ("os.fork", "os.forkpty", "subprocess.Popen", "os.posix_spawn"):
            forks += 1
            if os.getpid() != pid or forks > MAX_FORKS:
                raise BlockingIOError("too many processes")

    sys.addaudithook(hook)


def main() -> None:
    channel = Channel(int(sys.argv[1]))
    order = channel.order
    # The project's folder is needed for checker.* only: the answer must never import *our* seed.py.
    root = str(Path(__file__).resolve().parents[2])
    sys.path.insert(0, root)
    from checker.child import observe, redirect_mysql, watch_sqlite

    topic = importlib.import_module(f"checker.child.observe_{order['topic']}")
    sys.path.remove(root)

    if order["scratch"] != order["given"]:
        shutil.copytree(order["given"], order["scratch"])
    file = Path(order["file"])
    os.chdir(file.parent)
    watch = watch_sqlite.install(order["users_db"], f"{order['given']}/users.db")
    redirect_mysql.install(order["mysql"], order["drivers"], channel)
    limit(order["limits"])
    forbid(order["mysql"]["unix_socket"] if order["mysql"] else None)

    sys.path.insert(0, str(file.parent))
    sys.path.append(order["root"])
    sys.argv[:] = [str(file)]
    for stream in (1, 2):  # the parent reads what comes before the answer's code
        os.dup2(0, stream)
    sleeps: list[float] = []
    time.sleep = lambda seconds: sleeps.append(float(seconds))  # records the wait, and makes none
    observer = observe.Observer(channel, watch, sleeps, order["root"])
    try:
        topic.OBSERVE[order["exercise"]](observer, file)
    except BaseException as error:  # our own error: the answer's errors are caught in their steps
        channel.send(probe_error="".join(traceback.format_exception(error)))
    channel.send(done=True)
    os._exit(0)  # skips the answer's exit handlers and does not wait for its threads


if __name__ == "__main__":
    main()
