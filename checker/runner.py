"""Check answers in parallel: for each exercise a scratch folder, a child, evidence, a verdict."""

import contextlib
import importlib
import os
import queue
import re
import shutil
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import NamedTuple

from checker import databases, sandbox, users
from checker.answers import Answer
from checker.child.wanted import NAMES
from checker.evidence import Evidence
from checker.exercises import EXERCISES, Exercise
from checker.judge import CHECKER, MISSING, SKIPPED, SYNTAX, Judge, Verdict, judge_verdict
from checker.proxy import CountingProxy
from checker.sources import Source, read_source

SECONDS = 20.0
MAX_SERVERS = 8


class Task(NamedTuple):
    answer: Answer
    exercise: Exercise


class ServerLost(Exception):
    """The private server ended during an exercise."""


class Servers:
    """Private servers, each used for one exercise at a time; `reason` says why there are none."""

    def __init__(self, stack: contextlib.ExitStack):
        self._stack, self.reason = stack, ""
        self._free, self._started, self._lost = queue.SimpleQueue(), 0, []

    def provide(self, count: int) -> None:
        """Start servers until so many run; later, in place of those that ended during an exercise.

        Call it in the main thread: a server ends with the thread that started it.
        """
        if (missing := count - self._started + len(self._lost)) <= 0:
            return
        self._started += missing
        self.reason = self.reason or databases.why_no_server() or ""
        started = [None] * missing  # if none starts: then the exercises that wait go on without one
        try:
            if not self.reason:
                started = self._stack.enter_context(databases.servers(missing))
        except Exception as error:  # the driver's own, too
            self.reason = f"the private server does not start: {str(error).strip()[-300:]}"
        for server in started:
            self._free.put(server)

    def wake(self, count: int) -> None:
        """Let so many that wait for a server go on without one."""
        for _ in range(count):
            self._free.put(None)

    @contextlib.contextmanager
    def one(self) -> Iterator[databases.Database | None]:
        """A server that nobody else uses, as soon as there is one; None if none can be started.

        Raises ServerLost if it ended meanwhile, whatever that made the caller raise.
        """
        server = self._free.get()
        try:
            yield server
        finally:
            if server is not None and not server.is_alive():
                self._lost.append(server)
                if not server.is_discarded:
                    raise ServerLost("the private server ended during this exercise")
            else:
                self._free.put(server)


def check(
    tasks: list[Task],
    *,
    seconds: float = SECONDS,
    jobs: int | None = None,
    progress: Callable[[Task, Verdict], None] = lambda *_: None,
    servers: Servers | None = None,
) -> list[Verdict]:
    """Check answers to exercises in parallel; return the verdicts in the order of the tasks.

    `seconds` is the time limit of one exercise, `jobs` how many run at once. Call it in the main
    thread. It starts as many servers as are of use, and stops them unless they are `servers`.
    """
    jobs = jobs or os.cpu_count() or 1
    count = min(jobs, MAX_SERVERS, (sum(map(wants_server, tasks)) + 4) // 5)
    sandbox.stopping.clear()
    with contextlib.ExitStack() as stack, ThreadPoolExecutor(jobs) as pool:
        servers = servers or Servers(stack)
        try:
            # Here too: if SIGTERM comes while it submits, leaving the pool would wait for what runs.
            running = {pool.submit(_verdict, task, servers, seconds): task for task in tasks}
            pending = set(running)
            while pending:
                servers.provide(count)
                # In short waits: a signal that comes just before one is handled only after it.
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    progress(running[future], future.result())
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            sandbox.end_running()
            servers.wake(jobs)
            raise
    return [done.result() for done in running]  # in the order in which they were submitted


def wants_server(task: Task) -> bool:
    if (file := task.answer.find(task.exercise)) is None or task.exercise.uses_server:
        return file is not None
    beside = [text for path, text in task.answer.sources.items() if path.parent == file.parent]
    return any(re.search(r"\bmysql|MySQLdb", text) for text in beside)


def _verdict(task: Task, servers: Servers, seconds: float) -> Verdict:
    """The verdict on one exercise; any error of the checker becomes a CHECKER verdict."""
    started, mask = time.monotonic(), task.answer.mask
    try:
        verdict = _checked(task, servers, seconds)
        verdict.results = [r._replace(said=mask(r.said)) for r in verdict.results]
    except ServerLost as lost:
        verdict = Verdict(task.exercise, CHECKER, str(lost))
    except Exception:
        said = "the checker failed: " + traceback.format_exc(limit=-4)
        verdict = Verdict(task.exercise, CHECKER, said)
    verdict.said, verdict.seconds = mask(verdict.said), time.monotonic() - started
    return verdict


def _checked(task: Task, servers: Servers, seconds: float) -> Verdict:
    answer, exercise = task.answer, task.exercise
    if (file := answer.find(exercise)) is None:
        return Verdict(exercise, MISSING, answer.why_missing(exercise))
    place = file.relative_to(answer.root).as_posix()
    if not file.resolve().is_relative_to(answer.root.resolve()):
        return Verdict(exercise, MISSING, "the file is a link out of the answer", place=place)
    source = Source(file)
    if source.error:
        line = getattr(source.error, "lineno", None)
        said = f"Python cannot read the file: {getattr(source.error, 'msg', source.error)}"
        place = f"{place}:{line}" if line else place
        return Verdict(exercise, SYNTAX, said, source.syntax_hint(), place)
    if source.is_empty():
        return Verdict(exercise, MISSING, "the file contains no code", place=place)
    to_do, names = source.to_do(), NAMES[exercise.number]
    if to_do and all(name in to_do or not source.line_of(name) for name in names):
        return Verdict(exercise, MISSING, f"still to do: {', '.join(to_do)}", place=place)
    needs_server = wants_server(task)
    with servers.one() if needs_server else contextlib.nullcontext() as server:
        if needs_server and server is None:
            return Verdict(exercise, SKIPPED, servers.reason, place=place)
        run = _run(task, file, server, seconds)
    judge = Judge(exercise, run, source, place)
    topic = importlib.import_module(f"checker.judge_{exercise.topic}")
    needs_found = topic.JUDGE[exercise.number](judge)
    judge.judge_import()
    return judge_verdict(judge, answer, needs_found)


def _run(task: Task, file: Path, server: databases.Database | None, seconds: float) -> sandbox.Run:
    answer, exercise = task.answer, task.exercise
    place, header = file.relative_to(answer.root), _csv_header(answer)
    with sandbox.scratch() as folder, contextlib.ExitStack() as stack:
        room = sandbox.Room(folder)
        sandbox.copy_answer(answer.root, room.given / "answer")
        copied = room.given / "answer" / place
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(file.read_bytes())
        _put_data(task, room.given / "answer", copied.parent, header)
        proxy = mysql = None
        if server is not None:
            server.reset(tables=exercise.number != "seed")
            if exercise.number != "seed":
                server.prepare("alx_prodev")  # for answers that write USE alx_prodev
            proxy = CountingProxy(room.socket, server.socket)
            stack.enter_context(contextlib.closing(proxy))
            room.data = server.socket.parent
            mysql = dict.fromkeys(("user", "password"), databases.CLIENT)
            mysql["unix_socket"] = str(room.mysql)
        root = room.root / "answer"
        order = {"topic": exercise.topic, "exercise": exercise.number, "mysql": mysql}
        order |= {"root": str(root), "file": str(root / place), "drivers": answer.drivers()}
        evidence = Evidence(exercise, server, proxy, room)
        run = sandbox.run_child(order, room, _environment(answer, room), seconds, evidence.answer)
        run.evidence["csv"] = {"header": ",".join(header)}
        if run.stopped and server is not None:
            server.discard()  # undoing what the answer did could take minutes
        elif server is not None:
            server.end_connections()
    return run


def _put_data(task: Task, root: Path, beside: Path, header: list[str]) -> None:
    """Put users.db and user_data.csv where a script of the answer may look for them."""
    answer, exercise, text = task.answer, task.exercise, users.csv_text(header)
    seed = answer.find(EXERCISES[0])
    if exercise in EXERCISES[1:5] and (seed is None or Source(seed).to_do()):
        shutil.copyfile(Path(__file__).with_name("own_seed.py"), beside / "seed.py")
    if exercise.number != "seed":
        users.make_users_db(pristine := root.parent / "users.db")
    for folder in {root, beside, *(f for f in root.iterdir() if f.is_dir())}:
        (folder / "user_data.csv").write_text(text, encoding="utf-8")
        if exercise.number != "seed":
            shutil.copyfile(pristine, folder / "users.db")


def _csv_header(answer: Answer) -> list[str]:
    """The columns of the answer's own CSV file, or else those that its code reads.

    The course's file has no user_id, but some answers were written for a file that has one.
    """
    for path in sorted(answer.outer("user_data.csv")):
        line = read_source(path).partition("\n")[0]
        names = [name.strip().strip('"') for name in line.split(",")]
        if {"name", "email", "age"} <= {name.lower() for name in names} and len(names) <= 5:
            return names
    text = "\n".join(t for p, t in answer.sources.items() if p.name == "seed.py")
    wants_id = re.search(r"(\[|get\()\s*['\"]user_id['\"]", text)
    makes_id = re.search(r"uuid\.?\w*\s*\(|\buuid[45]\b", text)
    return ["user_id", "name", "email", "age"][bool(makes_id and not wants_id) :]


def _environment(answer: Answer, room: sandbox.Room) -> dict[str, str]:
    """The child's environment: nothing of the user's, and a value for each setting the code reads."""
    # MYSQL_UNIX_PORT is for a C library that bypasses the redirection: our server, or none.
    names = ("HOME", "TMPDIR", "MYSQL_HOME")
    return answer.settings() | dict.fromkeys(names, f"{room.root}/home") | {
        "PATH": f"{os.path.dirname(sys.executable)}:/usr/local/bin:/usr/bin:/bin",
        "USER": databases.CLIENT,  # there is no /etc/passwd
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "MYSQL_UNIX_PORT": str(room.mysql),
    }  # fmt: skip
