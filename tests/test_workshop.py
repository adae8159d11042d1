"""check.py --start and --watch, as a learner uses them."""

import contextlib
import doctest
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import ROOT, lacks, run_python, wait_until
from test_check import BY_NUMBER, PLAIN, folder_of

import seed
from checker import databases, tasks
from checker.cli import main
from checker.exercises import EXERCISES

NUMBERS = [exercise.number for exercise in EXERCISES]


@pytest.fixture
def started(tmp_path, capsys):
    assert main(["--start", str(tmp_path / "mine")]) == 0
    capsys.readouterr()
    return tmp_path / "mine"


def solve(folder: Path, number: str) -> Path:
    """Put a right answer in place of a stub, as an editor does: write beside it, then rename."""
    path = folder / folder_of(BY_NUMBER[number])
    new = path.with_suffix(".new")
    shutil.copyfile(PLAIN / folder_of(BY_NUMBER[number]), new)
    new.replace(path)
    return path


def test_start_writes_a_stub_for_each_exercise_and_overwrites_nothing(tmp_path, capsys):
    mine = tmp_path / "mine" / "python-decorators-0x01" / "0-log_queries.py"
    mine.parent.mkdir(parents=True)
    mine.write_text("# mine\n")
    assert main(["--start", str(tmp_path / "mine")]) == 0
    assert "15 files written" in capsys.readouterr().out
    assert mine.read_text() == "# mine\n"
    assert all((tmp_path / "mine" / folder_of(exercise)).is_file() for exercise in EXERCISES)
    assert main(["--start", str(tmp_path / "mine")]) == 0
    assert "0 files written" in capsys.readouterr().out


def test_new_folder_has_thirteen_exercises_to_do(started, capsys):
    assert main([str(started)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert sum("MISSING still to do: " in line for line in lines) == 13
    assert len(lines) == 15
    assert lines[-1] == "  0 of 13 right"


def test_solved_stub_passes_while_the_others_and_seed_are_to_do(started, capsys):
    if reason := databases.why_no_server():
        lacks(reason)
    solve(started, "1")
    solve(started, "5")
    assert main([str(started)]) == 1
    shown = capsys.readouterr().out
    assert "stream users         PASS" in shown
    assert "query logging        PASS" in shown
    assert shown.count("still to do") == 11


def test_checker_lends_its_own_seed_to_an_answer_without_one(started, capsys):
    if reason := databases.why_no_server():
        lacks(reason)
    path = started / folder_of(BY_NUMBER["1"])
    path.write_text(
        "import seed\n\ndef stream_users():\n    connection = seed.connect_to_prodev()\n    try:\n"
        "        cursor = connection.cursor(dictionary=True)\n"
        "        cursor.execute('SELECT * FROM user_data')\n        yield from cursor\n"
        "    finally:\n        connection.close()\n"
    )
    assert main([str(started), "--only", "1"]) == 0, capsys.readouterr().out


def test_half_solved_exercise_says_what_is_still_to_do(started, capsys):
    path = started / folder_of(BY_NUMBER["12"])
    path.write_text(path.read_text().replace(tasks.TO_DO.replace('"', "'"), "return []", 1))
    assert main([str(started), "--only", "12"]) == 1
    shown = " ".join(capsys.readouterr().out.split())
    assert "async_fetch_older_users() raised NotImplementedError: still to do" in shown
    assert "Put your own code in place of" in shown


@pytest.mark.parametrize("number", NUMBERS)
def test_example_of_each_task_runs_on_the_model_script(number, embedded, tmp_path, monkeypatch):
    if number in ("1", "2", "3", "4"):
        assert (
            run_python(ROOT / "seed.py", cwd=tmp_path, settings=embedded.settings).returncode == 0
        )
    assert main(["--start", str(tmp_path)]) == 0
    file = tasks.model(BY_NUMBER[number].file)
    module = seed if number == "seed" else seed.import_script(file.stem)
    monkeypatch.chdir(tmp_path / "python-decorators-0x01")
    head: dict = {}
    exec(tasks.TASKS[number].head.replace("import mysql.connector", ""), head)
    names = head | vars(module) | {"csv": ROOT / "user_data.csv"}
    example = tasks.TASKS[number].example.replace('"user_data.csv"', "csv")
    test = doctest.DocTestParser().get_doctest(example, names, number, str(file), 0)
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert test.examples
    assert not result.failed, "".join(said)


def test_explain_shows_the_task_of_the_model_script(capsys):
    for exercise in EXERCISES:
        assert main(["--explain", exercise.number]) == 0
        task = next(
            line for line in tasks.model(exercise.file).read_text().splitlines()
            if line.startswith("Task: ")
        )  # fmt: skip
        assert task.removeprefix("Task: w") in capsys.readouterr().out


class Watching:
    """check.py --watch in a process, and what it has printed."""

    def __init__(self, folder: Path, output: Path, *options: str):
        self.output = output
        with output.open("w") as file:
            command = [sys.executable, ROOT / "check.py", folder, "--watch", *options]
            environment = os.environ | {"TMPDIR": str(output.parent)}
            self.process = subprocess.Popen(
                command, stdout=file, stderr=subprocess.STDOUT, env=environment
            )

    def text(self) -> str:
        return self.output.read_text()

    def wait_for(self, text: str, times: int = 1) -> None:
        wait_until(lambda: self.text().count(text) >= times or self.process.poll() is not None)
        assert self.text().count(text) >= times, self.text()

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(20)


@pytest.fixture
def watch(started, tmp_path):
    with contextlib.ExitStack() as stack:

        def start(*options: str) -> Watching:
            watching = Watching(started, tmp_path / "output.txt", *options)
            stack.callback(watching.process.wait)
            stack.callback(watching.process.kill)
            return watching

        yield start


def test_watch_checks_an_exercise_when_its_file_is_saved(watch, started):
    watching = watch()
    watching.wait_for("[.............] 0 of 13 right")
    path = started / folder_of(BY_NUMBER["6"])
    path.write_text(path.read_text() + "\ndef half(")
    watching.wait_for("connection decorator SYNTAX")
    watching.wait_for("[......x......] 0 of 13 right")
    solve(started, "6")
    watching.wait_for("connection decorator PASS")
    watching.wait_for("[......#......] 1 of 13 right")
    assert "Passed: connection, result" in watching.text()
    assert watching.end() == 130
    assert "Traceback" not in watching.text()
    assert [path.name for path in watching.output.parent.iterdir() if path.is_dir()] == ["mine"]


@pytest.mark.slow
def test_watch_does_not_repeat_a_finished_exercise_for_another_file(watch, started):
    solve(started, "5")
    watching = watch("--only", "5", "--only", "6")
    watching.wait_for("[#.] 1 of 2 right")
    (started / "python-decorators-0x01" / "helper.py").write_text("x = 1\n")
    watching.wait_for("[#.] 1 of 2 right", times=2)  # the unfinished one may need the helper
    solve(started, "6")
    watching.wait_for("All are right")
    assert watching.process.wait(20) == 0
    assert watching.text().count("query logging") == 0
    assert str(ROOT / "docs" / "mistakes.md") in watching.text()


@pytest.mark.slow
def test_watch_keeps_its_server_until_it_is_ended(watch, started):
    if reason := databases.why_no_server():
        lacks(reason)
    watching = watch("--only", "1", "--only", "4")
    watching.wait_for("[..] 0 of 2 right")
    folders = watching.output.parent
    solve(started, "1")
    watching.wait_for("[#.] 1 of 2 right")
    (server,) = folders.glob("prodev-*/server.sock")
    path = solve(started, "4")
    path.write_text(path.read_text().replace("yield", "yield 1 +"))
    watching.wait_for("average age          WRONG")
    assert list(folders.glob("prodev-*/server.sock")) == [server]
    assert watching.end(signal.SIGTERM) == 143
    assert list(folders.glob("prodev-*")) == []
