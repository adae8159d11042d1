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

COPIED = {".py", ".csv", ".txt", ".json", ".sql", ".md", ".toml", ".yml", ".yaml", ".tsv"}
FOLDERS_LEFT_OUT = {"venv", "env", "node_modules", "site-packages", "__pycache__"}
SETTINGS = {"conftest.py", "pytest.ini", "tox.ini", "setup.cfg"}
LEFT_OUT = FOLDERS_LEFT_OUT | SETTINGS | {"sitecustomize.py", "usercustomize.py"}
MAX_FILE, MAX_COPIES, MAX_DEPTH, MAX_COPIED = 3_000_000, 2000, 12, 60_000_000
MAX_FACTS = 40_000_000
MEMORY, FILE_SIZE, MAX_DATABASE = 3 << 30, 16 << 20, 16 << 20
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
    source, copies, size = source.resolve(), MAX_COPIES, MAX_COPIED
    for folder, folders, files in os.walk(source, followlinks=True):
        place, here = target / Path(folder).relative_to(source), Path(folder).resolve()
        place.mkdir()
        real = {name: real_path(Path(folder, name), source) for name in (*folders, *files)}
        # Not a link to a folder that holds it; the depth ends what goes round by several links.
        folders[:] = [n for n in folders if real[n] and not here.is_relative_to(real[n])][:copies]
        if len(place.parts) >= len(target.parts) + MAX_DEPTH:
            folders.clear()
        copies -= len(folders)
        for name in files:
            path = real[name] if copies and Path(name).suffix.lower() in COPIED else None
            if path and path.is_file() and (needed := path.stat().st_size) <= min(size, MAX_FILE):
                copies, size = copies - 1, size - needed
                shutil.copyfile(path, place / name)


def real_path(path: Path, root: Path) -> Path | None:
    """Where a path of an answer leads; None if that is outside `root`, hidden or left out."""
    real, root = Path(os.path.realpath(path)), root.resolve()
    names = {path.name, *real.relative_to(root).parts} if real.is_relative_to(root) else {"."}
    return None if names & LEFT_OUT or any(name[:1] == "." for name in names) else real


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

    The parent fills the folder `given`, and may put a socket beside it. An isolated child works in a
    copy of the folder in memory, another one in the folder itself; `root` and `mysql` are its paths.
    """

    def __init__(self, folder: Path):
        self.given, self.socket = folder / "given", folder / "mysql.sock"
        self.isolated = isolation() is not None
        self.root = SCRATCH if self.isolated else self.given
        self.mysql = Path("/run/mysql.sock") if self.isolated else self.socket
        self._database = DATABASE if self.isolated else self.given / "database"
        for name in ("home", "database"):
            (self.given / name).mkdir(parents=True)
        self.data: Path | None = None  # the folder of the server that the answer uses
        self._open: dict[str, int] = {}

    def order(self, seconds: float) -> dict:
        """The child's paths and limits."""
        limits = {"CORE": 0, "FSIZE": FILE_SIZE, "NOFILE": 1024, "AS": MEMORY}
        limits["CPU"] = int(seconds) + 10
        # Linux 5.14 counts the processes of a namespace alone; where root checks, the user is new.
        linux = [int(part) for part in re.findall(r"\d+", os.uname().release)[:2]]
        if self.isolated and (os.geteuid() == 0 or linux >= [5, 14]):
            limits["NPROC"] = 2 * MAX_PROCESSES
        paths = {"scratch": str(self.root), "users_db": str(self._database / "users.db")}
        return {"given": str(GIVEN if self.isolated else self.given), "limits": limits} | paths

    def command(self, number: int) -> list[str]:
        python = [sys.executable, "-P", "-B"]
        if (isolate := isolation()) is None:
            return [*python, str(PROBE), str(number)]
        for path in self.given.rglob("*"):  # inside, root is another user
            path.chmod(0o755)
        shown = {str(self.given): str(GIVEN), str(PROBE.parent): str(PROBE_INSIDE.parent)}
        if self.socket.exists():
            shown[str(self.socket)] = str(self.mysql)
        return isolate(self.given.parent, shown, [*python, str(PROBE_INSIDE), str(number)])

    def open(self, process: int) -> None:
        """Open the folders to look at, while the answer's code does not run yet."""
        places = {"database": str(self._database)}
        if self.isolated:
            self._open["process"] = os.pidfd_open(process)
            places = {name: f"/proc/{process}/root/{name}" for name in ("database", "tmp", "proc")}
        for name, place in places.items():
            self._open[name] = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        self._stored_before = _stored(self.data)

    def kill(self, child: subprocess.Popen) -> None:
        """Kill the child's group, and the probe's process, which may have left it."""
        if number := self._open.get("process"):
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(number, signal.SIGKILL)
        _kill_group(child)

    def close(self) -> None:
        for number in self._open.values():
            os.close(number)
        self._open.clear()

    def excess(self) -> str:
        """What the isolated child has too much of; an empty text if nothing."""
        found = [os.fstatvfs(self._open[name]) for name in ("database", "tmp")]
        if sum((one.f_blocks - one.f_bfree) * one.f_frsize for one in found) > MAX_WRITTEN:
            return f"the answer wrote more than {MAX_WRITTEN >> 20} MB"
        if sum(one.f_files - one.f_ffree for one in found) > MAX_MADE:
            return f"the answer made more than {MAX_MADE} files"
        if _stored(self.data) - self._stored_before > MAX_WRITTEN:
            return f"the answer stored more than {MAX_WRITTEN >> 20} MB on the server"
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


def run_child(order: dict, room: Room, environment: dict, seconds: float, answer: Callable) -> Run:
    """Run the probe with this order until it ends or its time is up; `answer` handles its questions.

    `answer` gets a message and the Run and returns a dict. Every process that the probe started is
    ended before this returns.
    """
    run, token = Run(), secrets.token_hex(16)
    ours, theirs = socket.socketpair()
    if room.isolated:  # before the child can send
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    with ours, contextlib.closing(room):
        with theirs:
            child = subprocess.Popen(
                room.command(number := theirs.fileno()), pass_fds=(number,), cwd=room.given,
                env=environment | {"CHECKER_RUN": token[:16]}, start_new_session=True,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            )  # fmt: skip
        _running.add(child)
        if stopping.is_set():
            end_running()
        ended = threading.Event()
        watch = threading.Thread(target=_watch, args=(room, run, child, ended, ours), daemon=True)
        try:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                room.open(_process_of(ours, seconds, room.isolated))
                if room.isolated:  # else nothing can be seen
                    watch.start()
                message = {"token": token, **room.order(seconds), **order}
                ours.sendall((json.dumps(message) + "\n").encode())
                _listen(ours, run, token, time.monotonic() + seconds, answer)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.status = child.wait(2)
        except TimeoutError:
            run.timed_out = True
        finally:
            ended.set()
            room.kill(child)
            child.wait()
            if not room.isolated:
                _kill_escaped(token[:16])
            _running.discard(child)
            if watch.ident:
                watch.join()
            with child.stdout as output:  # what came before the answer's code
                os.set_blocking(output.fileno(), False)
                said = output.read1(65_536).decode("utf-8", "replace")
    if not run.done and not run.facts and run.step == "start":
        run.trouble = run.trouble or said or "the child ended before its first step"
    return run


def _process_of(ours: socket.socket, seconds: float, isolated: bool) -> int:
    """The child's process, as the kernel says when the child sends its first byte."""
    ours.settimeout(seconds)
    if not isolated:
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
            room.kill(child)
            ours.shutdown(socket.SHUT_RDWR)  # what is left of the answer may keep its end open
            return


def _listen(ours: socket.socket, run: Run, token: str, deadline: float, answer: Callable) -> None:
    buffer, received = b"", 0
    while not run.done:
        if (left := deadline - time.monotonic()) <= 0:
            raise TimeoutError
        ours.settimeout(left)
        data = ours.recv(1 << 20)
        received += len(data)
        if received > MAX_FACTS:
            run.stopped = f"the answer's results are larger than {MAX_FACTS // 10**6} MB"
        if not data or run.stopped:
            return
        *lines, buffer = (buffer + data).split(b"\n")
        for line in lines:
            _take(line, ours, run, token, answer)


def _take(line: bytes, ours: socket.socket, run: Run, token: str, answer: Callable) -> None:
    """Record or answer a message of the probe; ignore what an answer writes without its token."""
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        return
    if not isinstance(message, dict) or message.get("token") != token:
        return
    if "fact" in message:
        # Only the first one counts: the probe sends each fact once, so a second one is forged.
        run.facts.setdefault(str(message["fact"]), dict(message["values"]))
    if "mark" in message or "request" in message:
        ours.settimeout(30)
        ours.sendall((json.dumps(answer(message, run)) + "\n").encode())
    run.step = str(message.get("step", run.step))
    run.trouble = str(message.get("probe_error", run.trouble))
    run.no_server |= "no_server" in message
    run.done |= "done" in message


def end_running() -> None:
    """Kill the children of all threads, so that the threads that wait for them continue."""
    stopping.set()
    for child in list(_running):
        _kill_group(child)


def _stored(folder: Path | None) -> int:
    """How many bytes of the disk the folder's files take."""
    total = 0
    for path, _, names in os.walk(folder) if folder else ():
        for name in names:
            with contextlib.suppress(FileNotFoundError):
                total += os.lstat(os.path.join(path, name)).st_blocks * 512
    return total


def _kill_group(child: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)


def _kill_escaped(mark: str) -> None:
    """Without a process namespace: kill what left the group, found by its inherited variable."""
    wanted = f"CHECKER_RUN={mark}".encode()
    for environ in Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if wanted in environ.read_bytes().split(b"\0"):
                os.kill(int(environ.parent.name), signal.SIGKILL)
