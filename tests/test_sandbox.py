"""What an answer can reach while check.py runs it: nothing of the machine, and a limited amount."""

import json
import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import NOT_OF_THE_REPOSITORY, ROOT, lacks
from test_check import path_with

from checker.sandbox import copy_answer

WORD = "secret-of-the-mentor"
LOGGING, USERS = (
    "python-decorators-0x01/0-log_queries.py",
    "python-generators-0x00/0-stream_users.py",
)
NOBODY = 65534
OPEN_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")  # noqa: S108
ATTEMPTS = r'''
import ctypes, glob, json, os, socket, sqlite3, stat, subprocess, sys

PLACES = json.loads(%r)
SECRET = "".join(PLACES["secret"])
HOME, PROJECT, OTHER = PLACES["home"], PLACES["project"], PLACES["other"]


def read(path):
    with open(path, errors="replace") as file:
        return SECRET in file.read(100_000)


def write(path):
    with open(path, "r+") as file:
        file.seek(0, 2)
        file.write("#")
    return True


def make(path):
    open(path, "w").close()
    os.remove(path)
    return True


def checkers():
    """The processes that check: the parent's number, by its command line."""
    for path in glob.glob("/proc/[0-9]*/cmdline"):
        try:
            text = open(path).read()
        except OSError:  # it has ended
            continue
        if "check.py" in text and path.split("/")[2] != str(os.getpid()):
            yield path.split("/")[2]


def with_a_checker(attempt):
    """Whether it works with one of them; others may end meanwhile."""
    for number in checkers():
        try:
            attempt(number)
            return True
        except OSError:
            pass


def outside(text):
    """Run a line of Python in another process, which the probe does not watch."""
    return subprocess.run([sys.executable, "-c", text], capture_output=True).returncode == 0


def connect(kind, address):
    return outside(f"import socket; socket.socket(socket.{kind}).connect({address!r})")


def linked(make_link, target):
    make_link(target, "a-link")
    try:
        return read("a-link")
    finally:
        os.remove("a-link")


def block_device():
    os.mknod("disk", stat.S_IFBLK | 0o600, os.stat(PROJECT).st_dev)
    with open("disk", "rb") as disk:
        return bool(disk.read(1))


def own_name():
    with open("/proc/sys/kernel/domainname", "r+") as file:
        file.write(file.read())
    return True


def mounted():
    os.makedirs("mounted", exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "x", "mounted"], capture_output=True)
    return done.returncode == 0 and subprocess.run(["umount", "mounted"])


def secret_environment():
    for path in glob.glob("/proc/[0-9]*/environ"):
        try:
            if read(path):
                return True
        except OSError:  # it has ended
            pass


def has_rights():
    status = open("/proc/self/status").read()
    return int(status.partition("CapEff:")[2].split()[0], 16) > 0


TRIED = {
    "home read": lambda: read(HOME + "/secret.txt"),
    "home listed": lambda: "secret.txt" in os.listdir(HOME),
    "home written": lambda: write(HOME + "/secret.txt"),
    "project read": lambda: read(PROJECT + "/secret.txt"),
    "project written": lambda: write(PROJECT + "/seed.py"),
    "probe written": lambda: write(sys.modules["__main__"].__file__),
    "python written": lambda: make(os.path.dirname(os.__file__) + "/made.py"),
    "other answer read": lambda: read(OTHER),
    "other answer written": lambda: write(OTHER),
    "etc": lambda: make("/etc/made-by-an-answer"),
    "usr": lambda: make("/usr/made-by-an-answer"),
    "root folder": lambda: make("/made-by-an-answer"),
    "shadow": lambda: open("/etc/shadow").read(),
    "temporary file of another": lambda: read(PLACES["temporary"] + "/secret.txt"),
    "memory file of another": lambda: read(PLACES["memory"]),
    "environment": lambda: SECRET in str(os.environ),
    "environments": secret_environment,
    "parent seen": lambda: list(checkers()),
    "parent's root": lambda: with_a_checker(lambda p: os.listdir(f"/proc/{p}/root" + HOME)),
    "first process's root": lambda: "secret.txt" in os.listdir("/proc/1/root" + HOME),
    "parent signalled": lambda: with_a_checker(lambda p: os.kill(int(p), 0)),
    "parent's group signalled": lambda: os.kill(PLACES["process"], 0) or True,
    "open folders": lambda: [n for n in range(3, 99) if os.path.isdir(f"/proc/self/fd/{n}/")],
    "old root": lambda: os.listdir("/old" + HOME),
    "server's data": lambda: glob.glob(PLACES["temporary"] + "/prodev-*/data/*"),
    "server's socket": lambda: glob.glob(PLACES["temporary"] + "/prodev-*/server.sock"),
    "socket of another": lambda: connect("AF_UNIX", PLACES["socket"]),
    "abstract socket": lambda: connect("AF_UNIX", chr(0) + PLACES["abstract"]),
    "network": lambda: connect("AF_INET", ("127.0.0.1", PLACES["port"])),
    "symbolic link": lambda: linked(os.symlink, HOME + "/secret.txt"),
    "hard link": lambda: linked(os.link, HOME + "/secret.txt"),
    "disk": block_device,
    "disks": lambda: [d for d in glob.glob("/dev/*") if stat.S_ISBLK(os.stat(d).st_mode)],
    "kernel setting": own_name,
    "rights": has_rights,
    "mount": mounted,
    "kernel": lambda: os.listdir("/sys"),
}
worked = []
for name, attempt in TRIED.items():
    try:
        if attempt():
            worked.append(name)
    except (OSError, KeyError):
        pass
for name in ("/tmp", "/var/tmp", "/dev/shm", HOME):  # nothing of it appears outside
    try:
        open(name + "/" + PLACES["mark"], "w").close()
    except OSError:
        pass
'''
TELL = 'raise ValueError("got out by " + repr(worked))\n'
FORK = "import ctypes\nfork = ctypes.CDLL(None).fork\nwhile True:\n    fork()\n"
FILL = """
import os, tempfile
kept = []
while True:
    file = open(f"full{len(kept)}", "wb", buffering=0)
    kept.append(file)
    os.remove(file.name)  # no folder lists it
    try:
        file.write(bytes(10_000_000))
    except OSError:
        pass
"""
MANY = "number = 0\nwhile True:\n    number += 1\n    open(f'file{number}', 'w').close()\n"
PRINT = (
    "import os\nfor _ in range(3000):\n    os.write(1, bytes(60_000))\n    print('x' * 60_000)\n"
)
LARGE = "open('large', 'wb').truncate(200_000_000)\n"
REPLACE = """
import os, sqlite3
[(_, _, path)] = sqlite3.connect("users.db").execute("PRAGMA database_list")
os.remove(path)
{how}
def log_queries(function):
    return function
"""
STORE = """
import mysql.connector


def stream_users():
    connection = mysql.connector.connect(database="ALX_prodev")
    cursor = connection.cursor()
    cursor.execute("CREATE TABLE more AS SELECT REPEAT('x', 1000) AS x FROM user_data")
    while True:
        cursor.execute("INSERT INTO more SELECT * FROM more")
        connection.commit()


if __name__ == "__main__":
    stream_users()
"""


class Mentor:
    """A machine's user who checks answers: a home, a project, answers, secrets in each."""

    def __init__(self, place: Path, number: int | None):
        self.place, self.number = place, number
        self.project, self.home = place / "project", place / "home"
        self.answers, self.temporary = place / "answers", place / "t"
        for folder in (self.home, self.answers / "other", self.temporary):
            folder.mkdir(parents=True)
        self.project.mkdir()
        for name in ("check.py", "seed.py"):
            shutil.copy(ROOT / name, self.project)
        for name in ("checker", "seed_parts", "servers"):
            shutil.copytree(ROOT / name, self.project / name, ignore=NOT_OF_THE_REPOSITORY)
        self.secrets = [
            self.home / "secret.txt",
            self.project / "secret.txt",
            self.answers / "other" / "secret.py",
            self.temporary / "secret.txt",
        ]
        for path in self.secrets:
            path.write_text(WORD)
        self.mark = f"made-by-an-answer-{os.getpid()}"
        if number is not None:
            for path in [place, *place.rglob("*")]:
                os.chown(path, number, number)

    def answer(self, name: str, text: str, file: str = LOGGING) -> None:
        path = self.answers / name / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def check(self, *arguments, python: str = sys.executable, **settings: str):
        """Run check.py; return what it wrote, and the verdicts by answer and exercise."""
        report = self.temporary / "report.json"
        report.unlink(missing_ok=True)
        command = [python, self.project / "check.py", *map(str, arguments), "--json", report]
        if self.number is not None:
            ids = [f"--reuid={self.number}", f"--regid={self.number}", "--clear-groups"]
            command = ["setpriv", *ids, *command]
        home = {"HOME": str(self.home), "TMPDIR": str(self.temporary), "SECRET": WORD}
        environment = os.environ | {"PYTHONDONTWRITEBYTECODE": "1"} | home | settings
        done = subprocess.run(
            command, env=environment, cwd=self.place, capture_output=True, text=True, timeout=100
        )
        if not report.exists():
            return done, {}
        assert WORD not in report.read_text() + done.stdout + done.stderr
        found = json.loads(report.read_text())["answers"]
        return done, {(a["name"], e["exercise"]): e for a in found for e in a["exercises"]}


@pytest.fixture
def mentor(request):
    number = getattr(request, "param", None)
    with tempfile.TemporaryDirectory(prefix="mentor-", ignore_cleanup_errors=True) as folder:
        os.chmod(folder, 0o755)  # noqa: S103 pytest's own is closed to other users
        yield Mentor(Path(folder), number)


def settings_for(tool: str, mentor: Mentor) -> dict[str, str]:
    """The PATH on which this tool is the first that works."""
    if shutil.which(tool) is None:
        lacks(f"needs {tool}")
    broken = {"bwrap": "unshare", "unshare": "bwrap"}[tool]
    path = path_with(mentor.place, broken, "exit 1")
    (mentor.place / broken).chmod(0o755)
    return {"PATH": path}


def python_for(mentor: Mentor) -> str:
    """An interpreter that the mentor can use: the tests' own may be in a closed folder."""
    if mentor.number is None:
        return sys.executable
    command = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    command += ["sh", "-c", 'exec "$0" "$@"']  # setpriv itself still starts it with root's rights
    is_new = "import sys; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3"):
        done = subprocess.run([*command, python, "-c", is_new], capture_output=True)
        if done.returncode == 0:
            return python
    return lacks("needs a Python 3.11 that an ordinary user can run")


@pytest.fixture
def attempts(mentor):
    """The text of the attempts, with this mentor's paths; what they aim at exists."""
    unix, abstract, network = (
        socket.socket(socket.AF_UNIX),
        socket.socket(socket.AF_UNIX),
        socket.socket(),
    )
    memory = Path(OPEN_FOLDERS[-1], f"{mentor.mark}.txt")
    memory.write_text(WORD)
    with unix, abstract, network:
        unix.bind(str(mentor.place / "s"))
        (mentor.place / "s").chmod(0o666)
        abstract.bind(f"\0{mentor.mark}")
        network.bind(("127.0.0.1", 0))
        for listener in (unix, abstract, network):
            listener.listen()
        places = {
            "secret": list(WORD),
            "home": str(mentor.home),
            "project": str(mentor.project),
            "other": str(mentor.secrets[2]),
            "temporary": str(mentor.temporary),
            "memory": str(memory),
            "process": os.getpid(),
            "socket": str(mentor.place / "s"),
            "abstract": mentor.mark,
            "port": network.getsockname()[1],
            "mark": mentor.mark,
        }
        yield ATTEMPTS % json.dumps(places)
    memory.unlink()


IS_ROOT = os.geteuid() == 0
WHO = [None, *([pytest.param(NOBODY, marks=pytest.mark.slow)] * IS_ROOT)]


@pytest.mark.parametrize("tool", ["bwrap", "unshare"])
@pytest.mark.parametrize("mentor", WHO, indirect=True, ids=lambda who: who and "nobody")
def test_answer_gets_out_in_no_way(mentor, attempts, tool):
    mentor.answer("a", attempts + TELL)
    mentor.answer("a", attempts + TELL, USERS)
    before = {path: path.read_bytes() for path in [*mentor.secrets, *mentor.project.rglob("*.py")]}
    with_tool = settings_for(tool, mentor)
    python = python_for(mentor)
    done, found = mentor.check(
        mentor.answers, "--only", "1", "--only", "5", python=python, **with_tool
    )
    assert found, done.stderr
    assert "got out by []" in found["a", "5"]["said"]
    if python == sys.executable:  # else there may be no driver
        assert "got out by []" in found["a", "1"]["said"]
    assert {path: path.read_bytes() for path in before} == before
    for folder in (*OPEN_FOLDERS, mentor.home):
        assert not Path(folder, mentor.mark).exists()


@pytest.mark.slow
def test_attempts_get_out_where_nothing_prevents_them(mentor, attempts):
    (mentor.temporary / "prodev-1/data/mysql").mkdir(parents=True)
    (mentor.temporary / "prodev-1/server.sock").touch()
    script = mentor.place / "attempts.py"
    names = "print(json.dumps([worked, [*TRIED]]))\n"
    script.write_text(attempts + names)
    command = ["sh", "-c", '"$0" "$1"; :', sys.executable, script, "check.py"]
    settings = {"SECRET": WORD}
    done = subprocess.run(
        command, cwd=mentor.place, env=os.environ | settings, capture_output=True, text=True
    )
    for folder in OPEN_FOLDERS:
        Path(folder, mentor.mark).unlink()
    worked, tried = json.loads(done.stdout)
    # These need root, or a sandbox with a hole.
    elsewhere = {"shadow", "disk", "disks", "kernel setting", "mount", "etc", "usr", "root folder"}
    elsewhere |= {"python written", "rights", "open folders", "old root", "first process's root"}
    assert {*tried} - {*worked} <= elsewhere
    assert len({*tried} - elsewhere) >= 20


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["bwrap", "unshare"])
def test_amount_that_an_answer_writes_and_starts_is_limited(mentor, tool):
    answers = {"fork": FORK, "fill": FILL, "many": MANY, "print": PRINT, "large": LARGE}
    for name, text in answers.items():
        mentor.answer(name, text)
    _, found = mentor.check(
        mentor.answers, "--only", "5", "--jobs", "2", **settings_for(tool, mentor)
    )
    said = {name: found[name, "5"]["said"] for name in answers}
    assert said["fork"].startswith("the answer started more than 200 processes")
    assert said["fill"].startswith("the answer wrote more than 100 MB")
    assert said["many"].startswith("the answer made more than 20000 files")
    assert "does not define" in said["print"]
    assert "File too large" in said["large"]


@pytest.mark.slow
def test_amount_that_an_answer_stores_on_the_server_is_limited(mentor):
    mentor.answer("store", STORE, "python-generators-0x00/0-stream_users.py")
    mentor.answer("store", "print('nothing')", "python-generators-0x00/1-batch_processing.py")
    _, found = mentor.check(mentor.answers, "--only", "1", "--only", "2", "--jobs", "1")
    said = {number: found["store", number]["said"] for number in "12"}
    assert said["1"].startswith("the answer stored more than 100 MB on the server")
    assert "does not define" in said["2"]  # on another server


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["bwrap", "unshare"])
def test_database_that_is_replaced_by_something_else_is_not_read(mentor, tool):
    mine = mentor.home / "mine.db"
    with sqlite3.connect(mine) as connection:
        connection.execute("CREATE TABLE users (id, name, email, age)")
    connection.close()
    before = mine.read_bytes()
    ways = {
        "link": f"os.symlink({str(mine)!r}, path)",
        "fifo": "os.mkfifo(path)",
        "folder": "os.mkdir(path)",
        "hard": "open('other.db', 'w').close(); os.link('other.db', path)",
        "moved": "os.rename(os.path.dirname(path), 'elsewhere')",
        "endless": "sqlite3.connect(path).execute('CREATE VIEW users AS WITH RECURSIVE n(a) AS"
        " (SELECT 1 UNION ALL SELECT a FROM n) SELECT 1, 2, 3, a FROM n WHERE a > 1')",
    }
    for name, how in ways.items():
        mentor.answer(name, REPLACE.format(how=how))
    _, found = mentor.check(mentor.answers, "--only", "5", **settings_for(tool, mentor))
    verdicts = {name: found[name, "5"]["verdict"] for name in ways}
    assert {*verdicts.values()} <= {"WRONG", "CRASH", "PASS"}, verdicts
    assert mine.read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["bwrap", "unshare"])
@pytest.mark.parametrize("place", ["project/.venv", "home/venv", "project", "home", "t"])
def test_virtual_environment_may_be_anywhere(mentor, attempts, tool, place):
    folder = mentor.place / place
    command = [sys.executable, "-m", "venv", "--without-pip", folder]
    subprocess.run(command, check=True)
    plain = ROOT / "tests/known_answers/plain" / LOGGING
    mentor.answer("right", plain.read_text())
    mentor.answer("a", attempts + TELL)
    python = str(folder / "bin/python")
    settings = settings_for(tool, mentor)
    done, found = mentor.check(mentor.answers, "--only", "5", python=python, **settings)
    assert found, done.stderr
    assert found["right", "5"]["verdict"] == "PASS", found["right", "5"]["said"]
    assert "got out by []" in found["a", "5"]["said"]


def test_machine_that_cannot_isolate_warns_and_refuses_many_answers(mentor):
    mentor.answer("a", "raise ValueError('it ran')\n")
    settings = settings_for("unshare", mentor)
    path_with(mentor.place, "unshare", "exit 1")
    done, found = mentor.check(mentor.answers / "a", "--only", "5", **settings)
    assert "it ran" in found["a", "5"]["said"]
    [line] = done.stderr.splitlines()
    assert line.startswith("check.py: warning: this machine cannot isolate answers")
    assert "install bubblewrap" in line
    refused, found = mentor.check(mentor.answers, "--only", "5", **settings)
    assert (refused.returncode, refused.stdout, found) == (2, "", {})
    [line] = refused.stderr.splitlines()
    assert "install bubblewrap" in line
    assert "--trusted" in line
    _, found = mentor.check(mentor.answers, "--only", "5", "--trusted", **settings)
    assert "it ran" in found["a", "5"]["said"]


def test_links_are_copied_if_they_stay_inside_the_answer(tmp_path):
    answer, outside = tmp_path / "answer", tmp_path / "outside"
    for folder in (answer / "one/logs", answer / ".git", outside):
        folder.mkdir(parents=True)
    for path in (answer / "one/seed.py", answer / "one/logs/a.log", answer / ".git/config.py"):
        path.write_text(path.name)
    (outside / "secret.py").write_text(WORD)
    links = {
        "seed.py": "one/seed.py",
        "two": "one",
        "one/up": "..",
        "secret.py": outside / "secret.py",
        "outside": outside,
        "config.py": ".git/config.py",
        "loop": "loop",
    }
    for name, target in links.items():
        (answer / name).symlink_to(target)
    copy_answer(answer, tmp_path / "copy")
    copied = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*")}
    assert copied >= {"seed.py", "one", "one/logs", "one/seed.py", "two", "two/seed.py", "two/logs"}
    assert not any(path.is_symlink() for path in (tmp_path / "copy").rglob("*"))
    assert not {
        name for name in copied if "secret" in name or "outside" in name or "config" in name
    }
    assert len(copied) < 20


def test_exercise_that_is_a_link_out_of_the_answer_is_not_read(mentor):
    mentor.answer("a", "")
    (mentor.answers / "a" / LOGGING).unlink()
    (mentor.answers / "a" / LOGGING).symlink_to(mentor.home / "secret.txt")
    _, found = mentor.check(mentor.answers / "a", "--only", "5")
    assert found["a", "5"]["said"] == "the file is a link out of the answer"
