"""Run one exercise in a child process: a scratch copy, limits, its messages and its end."""

import contextlib
import functools
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PROBE = Path(__file__).parent / "child" / "probe.py"
COPIED = frozenset(
    {".py", ".csv", ".txt", ".json", ".sql", ".md", ".toml", ".yml", ".yaml", ".tsv"}
)
LEFT_OUT = frozenset(
    {"conftest.py", "pytest.ini", "tox.ini", "setup.cfg", "sitecustomize.py", "usercustomize.py"}
)
FOLDERS_LEFT_OUT = frozenset({"venv", "env", "node_modules", "site-packages", "__pycache__"})
MAX_FILE, MAX_FILES = 3_000_000, 1500
MAX_FACTS = 40_000_000
MEMORY = 3 << 30
FILE_SIZE = 64 << 20
_running: set[subprocess.Popen] = set()
stopping = threading.Event()  # set by end_running(): a child that starts now is killed immediately


@dataclass
class Run:
    """The outcome of a child: its facts by name, the parent's own evidence, and how it ended."""

    facts: dict[str, dict] = field(default_factory=dict)
    evidence: dict[str, dict] = field(default_factory=dict)
    step: str = "start"  # the last one that started
    done: bool = False
    timed_out: bool = False
    status: int | None = None
    trouble: str = ""  # an error of the checker itself
    no_server: bool = False


def copy_answer(source: Path, target: Path) -> None:
    """Copy an answer's text files, but no hidden files, links, or settings of pytest and Python."""
    copied = 0
    for folder, folders, files in os.walk(source):
        folders[:] = sorted(
            f for f in folders if f not in FOLDERS_LEFT_OUT and not f.startswith(".")
        )
        for name in sorted(files):
            path = Path(folder) / name
            if path.suffix.lower() not in COPIED or name in LEFT_OUT or name.startswith("."):
                continue
            if path.is_symlink() or not path.is_file() or path.stat().st_size > MAX_FILE:
                continue
            if (copied := copied + 1) > MAX_FILES:
                return
            place = target / path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)


@contextlib.contextmanager
def scratch():
    """A temporary folder with a short path: a socket's path may have about 100 characters."""
    folder = Path(tempfile.mkdtemp(prefix="check-")).resolve()
    try:
        yield folder
    finally:
        for path, folders, _ in os.walk(folder):
            for name in folders:  # the answer may have removed our permissions
                if not os.path.islink(inner := os.path.join(path, name)):
                    os.chmod(inner, 0o700)
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def isolation() -> tuple[str, ...]:
    """A command prefix that isolates a process, as far as this machine allows; () if it cannot.

    It takes away the network; with a process namespace, it also ends the answer's daemons.
    """
    unshare = shutil.which("unshare")
    for options in (
        ("--net", "--pid", "--fork", "--kill-child"),
        ("--map-root-user", "--net", "--pid", "--fork", "--kill-child"),
        ("--net",),
        ("--map-root-user", "--net"),
    ):
        command = (unshare, *options, "--")
        if unshare and _works(command):
            return command
    return ()


def _works(command: tuple) -> bool:
    try:
        tried = subprocess.run([*command, "true"], capture_output=True, check=False, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return tried.returncode == 0


def run_child(
    order: dict,
    cwd: Path,
    environment: dict[str, str],
    seconds: float,
    answer: Callable[[dict, Run], dict],
) -> Run:
    """Run the probe with this order until it ends or its time is up; `answer` handles its questions.

    Every process that it started is ended before this returns.
    """
    run, token = Run(), secrets.token_hex(16)
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            command = [*isolation(), sys.executable, "-P", "-B", str(PROBE), str(theirs.fileno())]
            child = subprocess.Popen(
                command,
                cwd=cwd,
                env=environment | {"CHECKER_RUN": token[:16]},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        _running.add(child)
        if stopping.is_set():
            end_running()
        said = _Tail(child.stdout)
        try:
            ours.sendall((json.dumps({"token": token, **order}) + "\n").encode())
            _listen(ours, run, token, time.monotonic() + seconds, answer)
            if not run.timed_out:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    run.status = child.wait(2)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.status = child.wait(2)
        finally:
            _end(child, token[:16])
            _running.discard(child)
            said.join()
    if not run.done and not run.facts and run.step == "start" and not run.timed_out:
        run.trouble = run.trouble or said.text() or "the child ended before its first step"
    return run


def _listen(ours: socket.socket, run: Run, token: str, deadline: float, answer: Callable) -> None:
    buffer, received = b"", 0
    while not run.done:
        left = deadline - time.monotonic()
        if left <= 0:
            run.timed_out = True
            return
        ours.settimeout(left)
        try:
            data = ours.recv(1 << 20)
        except TimeoutError:
            run.timed_out = True
            return
        received += len(data)
        if not data or received > MAX_FACTS:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            _take(line, ours, run, token, answer)


def _take(line: bytes, ours: socket.socket, run: Run, token: str, answer: Callable) -> None:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return
    if not isinstance(message, dict) or message.get("token") != token:
        return
    if "fact" in message:
        # Only the first one counts: the probe sends each fact once, so a second one is forged.
        run.facts.setdefault(str(message["fact"]), shaped(message.get("values")))
    elif "step" in message:
        run.step = str(message["step"])
    elif "mark" in message or "request" in message:
        ours.settimeout(30)
        ours.sendall((json.dumps(answer(message, run)) + "\n").encode())
    elif "probe_error" in message:
        run.trouble = str(message["probe_error"])
    elif "no_server" in message:
        run.no_server = True
    elif message.get("done"):
        run.done = True


# The types of the values that the probe adds to a fact; the answer's values have any type.
SHAPES = {
    "sqlite": list, "events": list, "sleeps": list, "found": list, "done": list, "error": dict,
    "printed": str, "shown": str, "hidden": str, "before": str, "query": str, "table said": str,
    "printed so far": str, "kind": str, "wanted": str, "name": str, "results": list,
    "calls": int, "kept": int, "read": int, "most": int,
}  # fmt: skip
ERROR_SHAPES = {"type": str, "bases": list, "message": str}


def shaped(values: object) -> dict:
    """The fact without values whose type is not the one that the probe sends."""
    if not isinstance(values, dict):
        return {}
    fits = {k: v for k, v in values.items() if isinstance(v, SHAPES.get(k, object))}
    for event in fits.get("sqlite", ()):
        if not (isinstance(event, list) and list(map(type, event)) == [str, int, str]):
            del fits["sqlite"]
            break
    for name in ("sleeps", "events", "found", "done"):
        if not all(isinstance(item, str | int | float) for item in fits.get(name, ())):
            del fits[name]
    error = fits.get("error", ERROR_SHAPES)
    if error is not ERROR_SHAPES:
        good = all(isinstance(error.get(name), kind) for name, kind in ERROR_SHAPES.items())
        place = error.get("place")
        if not good or not (place is None or (isinstance(place, list) and len(place) == 2)):
            fits["error"] = {"type": "Error", "bases": [], "message": "", "place": None}
        chain = fits["error"].get("chain")
        fits["error"]["chain"] = list(map(str, chain)) if isinstance(chain, list) else []
        fits["error"]["module"] = str(error.get("module") or "")
    return fits


class _Tail:
    """Reads what a process prints outside the captured output, and keeps only the end."""

    def __init__(self, stream):
        self._stream, self._kept = stream, b""
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            while data := self._stream.read1(65_536):
                self._kept = (self._kept + data)[-4000:]

    def join(self) -> None:
        self._thread.join(5)
        if not self._thread.is_alive():
            self._stream.close()

    def text(self) -> str:
        return self._kept.decode("utf-8", "replace")


def end_running() -> None:
    """Kill the children of all threads, so that the threads that wait for them continue."""
    stopping.set()
    for child in list(_running):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(child.pid, signal.SIGKILL)


def _end(child: subprocess.Popen, mark: str) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()
    if "--pid" not in isolation():
        _end_escaped(mark)


def _end_escaped(mark: str) -> None:
    """Without a process namespace: kill what left the group, found by its inherited variable."""
    wanted = f"CHECKER_RUN={mark}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in environ.read_bytes().split(b"\0"):
                os.kill(int(environ.parent.name), signal.SIGKILL)
