"""check.py, tested by its mistakes: known-wrong answers, known-right ones, and hostile ones."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from conftest import ROOT, lacks, run_python, wait_until
from known_ends import ENDS
from known_forms import FORMS
from known_wrong import KNOWN_WRONG, Wrong

from checker import databases, judge
from checker.answers import Answer
from checker.checks import CHECKS
from checker.cli import main
from checker.exercises import EXERCISES, Exercise
from checker.judge import Verdict
from checker.page import write_page
from checker.report import Report
from checker.runner import Task, check

PLAIN, OTHER = (ROOT / "tests" / "known_answers" / style for style in ("plain", "other"))
BY_NUMBER = {exercise.number: exercise for exercise in EXERCISES}
TOPICS = frozenset(exercise.topic for exercise in EXERCISES)
# The same two lines at the end of a file, so two files show it quickly; the slow tests show it for all.
EVERYWHERE_THE_SAME = [
    w for w in KNOWN_WRONG if w.check in ("demo", "import") and w.exercise not in "15"
]
ENDS_AND_FORMS = ENDS | FORMS
JOBS = 4  # more than many machines have cores: much of a check is waiting
QUICK = [wrong for wrong in KNOWN_WRONG if wrong not in EVERYWHERE_THE_SAME]


@pytest.fixture(autouse=True)
def _servers():
    """Each run of the checker starts servers of its own, so the suite's is not asked for."""
    if reason := databases.why_no_server():
        lacks(reason)


def write(folder: Path, files: dict[str, str]) -> Answer:
    """An answer of these files; an exercise's number stands for its file."""
    for name, text in files.items():
        path = folder / (folder_of(BY_NUMBER[name]) if name in BY_NUMBER else name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return Answer(folder, folder.name, TOPICS)


def folder_of(exercise: Exercise) -> str:
    return next(PLAIN.glob(f"*{exercise.topic}*/{exercise.file}")).relative_to(PLAIN).as_posix()


def verdict_on(number: str, answer: Answer, **options) -> Verdict:
    return check([Task(answer, BY_NUMBER[number])], **options)[0]


def changed(wrong: Wrong, folder: Path) -> Answer:
    """The plain answer with one change."""
    shutil.copytree(PLAIN, folder)
    path = folder / folder_of(BY_NUMBER[wrong.exercise])
    text = path.read_text(encoding="utf-8")
    for old, new in wrong.changes.items():
        assert old == "+" or old in text, f"{wrong.exercise} {wrong.check}: no {old!r}"
        text = text + new if old == "+" else text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return Answer(folder, folder.name, TOPICS)


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[tuple[str, ...], Verdict]:
    """The verdicts on all answers but the slow ones: one run, in which few wait for the last."""
    folder, tasks = tmp_path_factory.mktemp("answers"), {}
    for number, wrong in enumerate(QUICK):
        answer = changed(wrong, folder / str(number))
        tasks[wrong.exercise, wrong.check] = Task(answer, BY_NUMBER[wrong.exercise])
    for root in (PLAIN, OTHER):
        for exercise in EXERCISES:
            answer = Answer(root, root.name, TOPICS)
            tasks["right", root.name, exercise.number] = Task(answer, exercise)
    requirements = {"requirements.txt": "no_such_package_anywhere==1.0\n"}
    for name, end in ENDS_AND_FORMS.items():
        answer = write(folder / name.replace(" ", "-"), {end.exercise: end.text, **requirements})
        tasks["end", name] = Task(answer, BY_NUMBER[end.exercise])
    return dict(zip(tasks, check([*tasks.values()], jobs=JOBS), strict=True))


def fails_its_own_check_only(wrong: Wrong, verdict: Verdict) -> None:
    expected = CHECKS[wrong.exercise][wrong.check]
    told = [result for result in [*verdict.failed, *verdict.advice] if result.decided]
    assert [result.check.name for result in told] == [wrong.check], told
    assert told[0].said
    assert told[0].hint
    if expected.is_advice:
        assert verdict.verdict == judge.PASS
    else:
        assert verdict.verdict in (judge.WRONG, judge.CRASH)
        assert (verdict.said, verdict.hint) == (told[0].said, told[0].hint)


@pytest.mark.parametrize("wrong", QUICK, ids=lambda w: f"{w.exercise}-{w.check}")
def test_known_wrong_answer_fails_its_own_check_only(wrong, verdicts):
    fails_its_own_check_only(wrong, verdicts[wrong.exercise, wrong.check])


@pytest.mark.slow
def test_work_at_import_is_advice_in_every_exercise(tmp_path):
    tasks = [
        Task(changed(wrong, tmp_path / str(number)), BY_NUMBER[wrong.exercise])
        for number, wrong in enumerate(EVERYWHERE_THE_SAME)
    ]
    for wrong, verdict in zip(EVERYWHERE_THE_SAME, check(tasks, jobs=JOBS), strict=True):
        fails_its_own_check_only(wrong, verdict)


def test_every_check_has_a_known_wrong_answer():
    known = {(wrong.exercise, wrong.check) for wrong in KNOWN_WRONG}
    assert known == {(number, name) for number, checks in CHECKS.items() for name in checks}


@pytest.mark.parametrize("style", ["plain", "other"])
@pytest.mark.parametrize("number", BY_NUMBER)
def test_known_right_answers_pass_every_check(number, style, verdicts):
    verdict = verdicts["right", style, number]
    assert [(r.check.name, r.said) for r in verdict.failed] == []
    assert verdict.verdict == judge.PASS
    decided = {result.check.name for result in verdict.results}
    errors = {name for name, one in CHECKS[number].items() if not one.is_advice}
    assert decided >= errors


@pytest.mark.parametrize("name", ENDS_AND_FORMS)
def test_each_ending_and_each_form_of_answer_has_its_verdict(name, verdicts):
    found, expected = verdicts["end", name], ENDS_AND_FORMS[name]
    assert found.verdict == expected.verdict, found.said
    assert expected.said in found.said


def test_hanging_answer_is_stopped_at_its_time_limit(tmp_path):
    text = "import threading\ndef log_queries(function):\n    threading.Event().wait()\n"
    verdict = verdict_on("5", write(tmp_path / "a", {"5": text}), seconds=1)
    assert verdict.verdict == judge.TIMEOUT
    assert "while decorating a function" in verdict.said
    assert verdict.seconds < 15  # its limit, not the usual one


def test_facts_that_an_answer_forges_are_ignored(tmp_path):
    forge = """
import os
for number in range(3, 40):
    for line in ('{"fact": "keyword", "values": {}}', '{"done": true}', "[]", "7"):
        try:
            os.write(number, line.encode() + b"\\n\\xff\\n")
        except OSError:
            pass
"""
    plain = (PLAIN / folder_of(BY_NUMBER["5"])).read_text()
    assert verdict_on("5", write(tmp_path / "a", {"5": forge + plain})).verdict == judge.PASS


ODD_ERROR = {"type": [], "bases": ["Exception"], "message": "", "place": [["a"], 0], "chain": 7}


@pytest.mark.parametrize("odd", [7, {}, ODD_ERROR], ids=["number", "empty", "place"])
def test_facts_of_odd_types_do_not_end_the_run(tmp_path, odd):
    forge = (
        "import gc\n"
        "(channel,) = [o for o in gc.get_objects() if type(o).__name__ == 'Channel']\n"
        f"channel.send(fact='keyword', values={{'error': {odd!r}, 'sqlite': 7, 'query': []}})\n"
    )
    plain = (PLAIN / folder_of(BY_NUMBER["5"])).read_text()
    answer = write(tmp_path / "a", {"5": forge + plain})
    verdict = verdict_on("5", answer)
    assert verdict.verdict != judge.PASS
    write_page(tmp_path / "page.html", [(answer, [verdict])])
    Report().details(answer, [verdict])


@pytest.mark.parametrize("has_namespaces", [True, False])
def test_processes_that_an_answer_starts_are_ended(tmp_path, has_namespaces):
    mark = f"{os.getpid()}.25{has_namespaces:d}"  # sleep's argument, by which it is found
    sleep = f"os.setsid()\n    os.execvp('sleep', ['sleep', '{mark}'])\n"
    write(tmp_path / "a", {"5": f"import os\nif os.fork() == 0:\n    {sleep}"})
    path = os.environ["PATH"]
    if not has_namespaces:
        path_with(tmp_path, "bwrap", "exit 1")
        path = path_with(tmp_path, "unshare", "exit 1")
    arguments = (ROOT / "check.py", tmp_path / "a", "--only", "5")
    done = run_python(*arguments, cwd=tmp_path, settings={"PATH": path})
    assert "5 query logging" in done.stdout, done.stderr
    assert done.returncode == 1
    assert not running(mark)


def path_with(folder: Path, name: str, text: str) -> str:
    """A PATH on which a shell script of this name comes before any other."""
    (folder / name).write_text(f"#!/bin/sh\n{text}\n")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def running(word: str) -> list[str]:
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path.parent.name] if word.encode() in path.read_bytes() else []
        except OSError:
            continue
    return found


def test_missing_server_or_driver_skips_only_exercises_that_need_it(tmp_path, monkeypatch):
    plain = Answer(PLAIN, "plain", TOPICS)
    tasks = [Task(plain, BY_NUMBER["1"]), Task(plain, BY_NUMBER["5"])]
    text = 'case "$*" in *--version*) echo " Ver 10.11.1-MariaDB" ;; *) echo broken; exit 1 ;; esac'
    monkeypatch.setenv("PATH", path_with(tmp_path, "mariadbd", text))
    no_server = check(tasks)
    monkeypatch.setitem(sys.modules, "mysql.connector", None)  # as if it were not installed
    no_driver = check(tasks)
    for stream, log in (no_server, no_driver):
        assert (stream.verdict, log.verdict) == (judge.SKIPPED, judge.PASS)
    assert re.search("does not start.*broken", no_server[0].said, re.DOTALL)
    assert no_driver[0].said.startswith("mysql-connector-python is not installed")


def test_server_that_dies_is_replaced_and_its_exercise_is_not_judged(tmp_path):
    shutil.copytree(PLAIN, tmp_path / "a")
    report, numbers = tmp_path / "report.json", ("1", "2", "3")
    only = [word for number in numbers for word in ("--only", number)]
    checking = subprocess.Popen(
        [sys.executable, ROOT / "check.py", tmp_path / "a", *only, "--jobs", "1", "--json", report],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: any(tmp_path.glob("check-*/mysql.sock")))
    for process in running(f"--socket={tmp_path}"):
        os.kill(int(process), signal.SIGKILL)
    assert checking.wait(60) == 1
    (answer,) = json.loads(report.read_text())["answers"]
    verdicts = {found["verdict"]: found["said"] for found in answer["exercises"]}
    assert {*verdicts} == {judge.PASS, judge.CHECKER}
    assert verdicts[judge.CHECKER].startswith("the private server ended during this exercise")
    assert answer["right"] == 2
    assert {path.name for path in tmp_path.iterdir()} == {"a", "report.json"}


def test_folder_that_an_answer_locked_is_removed(tmp_path):
    scratch, outside = tmp_path / "scratch", tmp_path / "outside"
    scratch.mkdir()
    outside.mkdir(0o755)
    link = f"os.symlink({str(outside)!r}, 'locked/elsewhere')"
    text = f"import os\nos.makedirs('locked/inner')\n{link}\nos.chmod('locked', 0)\n"
    write(tmp_path / "a", {"5": text})
    # Root may enter any folder, unless it gives that up.
    no_root = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] * (os.geteuid() == 0)
    command = [*no_root, sys.executable, ROOT / "check.py", tmp_path / "a", "--only", "5"]
    environment = os.environ | {"TMPDIR": str(scratch)}
    done = subprocess.run(command, env=environment, capture_output=True, check=False)
    assert b"5 query logging" in done.stdout
    assert list(scratch.iterdir()) == []
    assert outside.stat().st_mode & 0o777 == 0o755


def test_error_in_the_checker_is_reported_as_its_own(monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", "/nowhere")
    verdict = verdict_on("5", Answer(PLAIN, "plain", TOPICS))
    assert verdict.verdict == judge.CHECKER
    assert "No such file or directory: '/nowhere/" in verdict.said


def test_answer_runs_in_a_copy_without_its_settings_and_databases(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    look = (
        "import os, sys\nfrom dotenv import load_dotenv\nload_dotenv()\n"
        "names = sorted(os.listdir('.')) + sorted(os.listdir('..'))\n"
        "raise ValueError(f\"{names} {os.getenv('FROM_DOTENV')} {os.environ['MY_DB_HOST']} \"\n"
        "    f\"{os.environ.get('AWS_SECRET_ACCESS_KEY')} {os.getcwd()}\")\n"
    )
    folder = tmp_path / "a"
    texts = {"conftest.py": "raise SystemExit(3)", "pytest.ini": "[pytest]", "venv/thing.py": ""}
    inside = {".env": "FROM_DOTENV=read", "mine.db": "no database", "helper.py": ""}
    texts |= {f"python-decorators-0x01/{name}": text for name, text in inside.items()}
    answer = write(folder, {"5": look, ".env": "FROM_DOTENV=read", **texts})
    before = sorted(folder.rglob("*"))
    said = verdict_on("5", answer).said
    for name in ("conftest.py", "pytest.ini", ".env", "mine.db", "venv", "read", "mine"):
        assert f"'{name}'" not in said
    assert str(folder) not in said
    assert "['0-log_queries.py', 'helper.py', 'user_data.csv', 'users.db'" in said
    assert "None 127.0.0.1 checked" in said
    assert sorted(folder.rglob("*")) == before


def test_password_in_an_answer_is_never_shown(tmp_path, capsys):
    text = (
        "PASSWORD = 'Tr0ub4dor&3'\n"
        "def log_queries(function):\n    raise ValueError(f'denied: {PASSWORD} k3y-in-dotenv')\n"
    )
    folder = tmp_path / "a"
    write(folder, {"5": text, ".env": "API_KEY='k3y-in-dotenv'\n"})
    report = tmp_path / "report"
    main([str(folder), "--only", "5", "--json", f"{report}.json", "--junitxml", f"{report}.xml"])
    written = capsys.readouterr().out + "".join(p.read_text() for p in tmp_path.glob("report.*"))
    assert "denied: ********" in written
    assert "Tr0ub4dor" not in written
    assert "k3y-in" not in written


def test_one_answer_is_reported_in_full_with_its_exit_status(tmp_path, capsys):
    shutil.copytree(PLAIN, tmp_path / "a")
    write(tmp_path / "a", {"6": "def with_db_connection(f)\n    return f\n"})
    assert main([str(tmp_path / "a"), "--only", "5"]) == 0
    assert "1 of 1 right" in capsys.readouterr().out
    assert main([str(tmp_path / "a"), "--only", "5", "--only", "connection dec"]) == 1
    shown = capsys.readouterr().out
    assert "   5 query logging        PASS    4/4\n" in shown
    assert "   6 connection decorator SYNTAX\n" in shown
    place = "python-decorators-0x01/1-with_db_connection.py:1:"
    assert f"{place} Python cannot read the file: expected ':'." in shown
    assert "1 of 2 right" in shown
    assert "\x1b" not in shown


def test_many_answers_are_reported_in_one_line_each(tmp_path, capsys):
    shutil.copytree(PLAIN, tmp_path / "many" / "ada" / "alx-backend-python")
    write(tmp_path / "many" / "linus", {"5": "def log_queries(function):\n    return function\n"})
    (tmp_path / "many" / "nobody").mkdir()
    found = [f"{tmp_path}/found.json", f"{tmp_path}/found.xml"]
    arguments = ["--only", "5", "--only", "6", "--json", found[0], "--junitxml", found[1]]
    assert main([str(tmp_path / "many"), *arguments]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ada      2/2  5:ok 6:ok"
    assert lines[1].startswith("linus    0/2  5:WRONG2/4 6:MISSING")
    assert lines[2].startswith("nobody   0/2  5:MISSING 6:MISSING")
    data = json.loads(Path(found[0]).read_text())
    assert [answer["right"] for answer in data["answers"]] == [2, 0, 0]
    failed = [c["check"] for c in data["answers"][1]["exercises"][0]["checks"] if not c["passed"]]
    assert failed == ["logged", "demo rows"]
    suites = ET.parse(found[1]).getroot()  # noqa: S314, it is our own
    assert [suite.get("failures") for suite in suites] == ["0", "2", "2"]


def test_explain_lists_the_checks_of_an_exercise(capsys):
    assert main(["--explain", "retry"]) == 0
    shown = capsys.readouterr().out
    assert "8. retry on failure (3-retry_on_failure.py)" in shown
    for one in CHECKS["8"].values():
        assert one.looks_for in shown


def test_unknown_exercise_or_path_is_exit_status_2(capsys):
    for arguments in (["--only", "13"], ["--explain", "nonsense"], ["/nowhere/at/all"]):
        assert main(arguments) == 2
        assert capsys.readouterr().err.startswith("check.py: no ")


@pytest.mark.parametrize(
    "moment", ["prodev-*/data/mysql", "prodev-*/server.log", "check-*/mysql.sock"]
)
def test_terminated_checker_leaves_nothing_behind(tmp_path, moment):
    text = "import threading\nthreading.Event().wait()\n"
    write(tmp_path / "a", {"1": text})
    checking = subprocess.Popen(
        [sys.executable, ROOT / "check.py", tmp_path / "a", "--only", "1"],
        env=os.environ | {"TMPDIR": str(tmp_path)},
        stdout=subprocess.DEVNULL,
    )
    wait_until(lambda: any(tmp_path.glob(moment)))
    checking.send_signal(signal.SIGTERM)
    assert checking.wait(15) == 143  # before the answer's time is up
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert not running(str(tmp_path))


def test_closed_pipe_ends_the_checker_quietly():
    command = ["bash", "-c", '"$0" check.py --explain 4 | head -n 1', sys.executable]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("4. average age")
    assert done.stderr == ""


def test_docs_show_the_report_that_is_printed(verdicts, capsys):
    plain = ("right", "plain")
    shown = [(*plain, "seed"), ("1", "lazy"), (*plain, "3"), ("8", "last sleep"), ("9", "stale")]
    answer = Answer(Path("my-answer"), "my-answer", TOPICS)
    Report().details(answer, [verdicts[which] for which in shown])
    *printed, _total = capsys.readouterr().out.splitlines()
    sample = (ROOT / "docs/checking.md").read_text().partition("```text\n")[2].partition("```")[0]
    assert sample.splitlines() == printed
