"""Run one exercise in a child process: a scratch copy, limits, its messages and its end."""

import contextlib
import json
import os
import re
import secrets
import shutil
import signal
import socket
import stat
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from checker.isolation import DATABASE, GIVEN, PROBE, PROBE_INSIDE, SCRATCH, isolation

COPIED = frozenset(
    {".py", ".csv", ".txt", ".json", ".sql", ".md", ".toml", ".yml", ".yaml", ".tsv"}
)
LEFT_OUT = frozenset(
    {"conftest.py", "pytest.ini", "tox.ini", "setup.cfg", "sitecustomize.py", "usercustomize.py"}
)
FOLDERS_LEFT_OUT = frozenset({"venv", "env", "node_modules", "site-packages", "__pycache__"})
MAX_FILE, MAX_FILES, MAX_FOLDERS, MAX_COPIED = 3_000_000, 1500, 500, 60_000_000
MAX_FACTS = 40_000_000
MEMORY = 3 << 30
FILE_SIZE = 16 << 20
MAX_DATABASE = 16 << 20
MAX_WRITTEN, MAX_MADE, MAX_PROCESSES = 100 << 20, 20_000, 200
LOOK_SECONDS = 0.1
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
    stopped: str = ""  # why the child was stopped before its time was up
    status: int | None = None
    trouble: str = ""  # an error of the checker itself
    no_server: bool = False


def copy_answer(source: Path, target: Path) -> None:
    """Copy an answer's folders and text files, but no hidden files, or settings of pytest and Python.

    A link is followed if it stays inside the answer.
    """
    source = source.resolve()
    files = folders = size = 0
    waiting = [(source, target, frozenset({source}))]
    while waiting and (folders := folders + 1) <= MAX_FOLDERS:
        folder, place, above = waiting.pop(0)
        place.mkdir()
        for name in _sorted_names(folder):
            if (real := real_path(folder / name, source)) is None:
                continue
            if real.is_dir():
                if real not in above:  # a link to a folder that holds it
                    waiting.append((real, place / name, above | {real}))
            elif Path(name).suffix.lower() in COPIED and real.is_file():
                files, size = files + 1, size + real.stat().st_size
                if files > MAX_FILES or size > MAX_COPIED:
                    return
                if real.stat().st_size <= MAX_FILE:
                    shutil.copyfile(real, place / name)


def real_path(path: Path, root: Path) -> Path | None:
    """Where a path of an answer leads; None if that is outside `root`, hidden or left out."""
    real, root = Path(os.path.realpath(path)), root.resolve()
    names = {path.name, *real.relative_to(root).parts} if real.is_relative_to(root) else {"."}
    left_out = names & (LEFT_OUT | FOLDERS_LEFT_OUT) or any(name[:1] == "." for name in names)
    return None if left_out else real


def _sorted_names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []


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


class Room:
    """Where a child runs: the paths that it uses, and what the parent sees of it.

    `given` is a folder that the parent has filled. An isolated child works in a copy of it in memory,
    another one in the folder itself.
    """

    def __init__(self, given: Path):
        self.given, self.isolated = given, isolation() is not None
        self.root = SCRATCH if self.isolated else given
        self._database = DATABASE if self.isolated else given / "database"
        if not self.isolated:
            self._database.mkdir()
        self._shown = {str(given): str(GIVEN), str(PROBE.parent): str(PROBE_INSIDE.parent)}
        self._open: dict[str, int] = {}

    def order(self) -> dict:
        """The child's paths: its copy of the given folder, and the users.db to use and to copy."""
        given = GIVEN if self.isolated else self.given
        return {
            "given": str(given),
            "scratch": str(self.root),
            "pristine": str(given / "users.db"),
            "users_db": str(self._database / "users.db"),
        }

    def show(self, socket: Path) -> Path:
        """Let the child use a socket; return its path for the child."""
        if not self.isolated:
            return socket
        self._shown[str(socket)] = inside = f"/run/{socket.name}"
        return Path(inside)

    def limits(self) -> dict[str, int]:
        """The limit on processes: Linux 5.14 counts those of a namespace alone; root's user is new."""
        linux = [int(part) for part in re.findall(r"\d+", os.uname().release)[:2]]
        new = self.isolated and (os.geteuid() == 0 or linux >= [5, 14])
        return {"RLIMIT_NPROC": 2 * MAX_PROCESSES} if new else {}

    def command(self, number: int) -> list[str]:
        python = [sys.executable, "-P", "-B"]
        if (isolate := isolation()) is None:
            return [*python, str(PROBE), str(number)]
        for path in self.given.rglob("*"):  # inside, root is another user
            path.chmod(0o755)
        program = [*python, str(PROBE_INSIDE), str(number)]
        return isolate(self.given.parent, self._shown, program)

    def open(self, process: int) -> None:
        """Open the folders to look at, while the answer's code does not run yet."""
        places = {"database": str(self._database)}
        if self.isolated:
            self._open["process"] = os.pidfd_open(process)
            root = f"/proc/{process}/root"
            places = {name: f"{root}/{name}" for name in ("database", "tmp", "proc")}
        for name, place in places.items():
            self._open[name] = os.open(place, os.O_RDONLY | os.O_DIRECTORY)

    def kill(self) -> None:
        """Kill the probe's process, also if it has left the group that the parent kills."""
        if number := self._open.get("process"):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(number, signal.SIGKILL)

    def close(self) -> None:
        for number in self._open.values():
            os.close(number)
        self._open.clear()

    def excess(self) -> str:
        """What the child has too much of; an empty text if nothing, or if nothing can be seen."""
        if not self.isolated or "proc" not in self._open:
            return ""
        found = [os.fstatvfs(self._open[name]) for name in ("database", "tmp")]
        if sum((one.f_blocks - one.f_bfree) * one.f_frsize for one in found) > MAX_WRITTEN:
            return f"the answer wrote more than {MAX_WRITTEN >> 20} MB"
        if sum(one.f_files - one.f_ffree for one in found) > MAX_MADE:
            return f"the answer made more than {MAX_MADE} files"
        processes = [name for name in os.listdir(self._open["proc"]) if name.isdigit()]
        if len(processes) > MAX_PROCESSES:
            return f"the answer started more than {MAX_PROCESSES} processes"
        if sum(map(self._memory, processes)) > MEMORY:
            return f"the answer's processes used more than {MEMORY >> 30} GB of memory"
        return ""

    def _memory(self, process: str) -> int:
        with contextlib.suppress(OSError):  # it has ended
            pages = self._read("proc", f"{process}/statm", 100).split()[1]
            return int(pages) * os.sysconf("SC_PAGE_SIZE")
        return 0

    def _read(self, folder: str, name: str, most: int) -> bytes:
        """The text of a regular file that the answer may have replaced by anything."""
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
        number = os.open(name, flags, dir_fd=self._open[folder])
        with open(number, "rb") as file:
            found = os.fstat(number)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or found.st_size > most:
                raise OSError(f"{name} is not a small file")
            return file.read(most)

    @contextlib.contextmanager
    def users_db(self) -> Iterator[Path | None]:
        """A copy of users.db as it is now, with its journal; None if there is none."""
        with tempfile.TemporaryDirectory(prefix="check-") as folder:
            copy = Path(folder) / "users.db"
            for name in ("users.db", "users.db-journal", "users.db-wal"):
                with contextlib.suppress(OSError):
                    copy.with_name(name).write_bytes(self._read("database", name, MAX_DATABASE))
            yield copy if copy.exists() else None


def run_child(
    order: dict,
    room: Room,
    environment: dict[str, str],
    seconds: float,
    answer: Callable[[dict, Run], dict],
) -> Run:
    """Run the probe with this order until it ends or its time is up; `answer` handles its questions.

    Every process that it started is ended before this returns.
    """
    run, token = Run(), secrets.token_hex(16)
    ours, theirs = socket.socketpair()
    if room.isolated:  # before the child can send
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with ours, contextlib.closing(room):
        with theirs:
            child = subprocess.Popen(
                room.command(theirs.fileno()),
                cwd=room.given,
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
        said, ended = _Tail(child.stdout), threading.Event()
        watch = threading.Thread(target=_watch, args=(room, run, child, ended, ours), daemon=True)
        try:
            room.open(_process_of(ours, seconds))
            watch.start()
            ours.sendall((json.dumps({"token": token, **order}) + "\n").encode())
            _listen(ours, run, token, time.monotonic() + seconds, answer)
            if not run.timed_out:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    run.status = child.wait(2)
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.status = child.wait(2)
        finally:
            ended.set()
            room.kill()
            _end(child, token[:16])
            _running.discard(child)
            said.join()
            if watch.ident:
                watch.join()
    if not run.done and not run.facts and run.step == "start" and not run.timed_out:
        run.trouble = run.trouble or said.text() or "the child ended before its first step"
    return run


def _process_of(ours: socket.socket, seconds: float) -> int:
    """The child's process, as the kernel says when the child sends its first byte."""
    ours.settimeout(seconds)
    if isolation() is None:
        ours.recv(1)
        return 0
    _, extra, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(struct.calcsize("iII")))
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 0)
    if not extra or not (process := struct.unpack("iII", extra[0][2])[0]):
        raise ConnectionResetError
    return process


def _watch(room: Room, run: Run, child, ended: threading.Event, ours: socket.socket) -> None:
    """Stop a child that writes too much or starts too many processes."""
    while not ended.wait(LOOK_SECONDS):
        if excess := room.excess():
            run.stopped = excess
            room.kill()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
            ours.shutdown(socket.SHUT_RDWR)  # what is left of the answer may keep its end open
            return


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
        if received > MAX_FACTS:
            run.stopped = f"the answer's results are larger than {MAX_FACTS // 10**6} MB"
        if not data or run.stopped:
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
    "sqlite": list, "events": list, "sleeps": list, "found": list, "call": str, "error": dict,
    "printed": str, "shown": str, "hidden": str, "before": str, "query": str, "table said": str,
    "kind": str, "wanted": str, "name": str, "results": list,
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
    for name in ("sleeps", "events", "found"):
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
    if isolation() is None:
        _end_escaped(mark)


def _end_escaped(mark: str) -> None:
    """Without a process namespace: kill what left the group, found by its inherited variable."""
    wanted = f"CHECKER_RUN={mark}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in environ.read_bytes().split(b"\0"):
                os.kill(int(environ.parent.name), signal.SIGKILL)
