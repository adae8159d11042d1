"""Where check.py finds an answer's files, what it says of missing ones, and how it counts."""

import json
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from conftest import ROOT
from test_check import BY_NUMBER, PLAIN, TOPICS, folder_of, verdict_on, write

from checker import judge
from checker.answers import Answer, find_answers
from checker.checks import CHECKS
from checker.child.wanted import NAMES
from checker.cli import main
from checker.exercises import EXERCISES, chosen
from checker.judge import Result, Verdict
from checker.report import Report

LOGS = "def log_queries(function):\n    return function\n"
DECORATORS, GENERATORS = "python-decorators-0x01", "python-generators-0x00"


def found(answer: Answer, number: str) -> str | None:
    path = answer.find(BY_NUMBER[number])
    return path and path.relative_to(answer.root).as_posix()


@pytest.mark.parametrize(
    ("path", "single", "names", "topics"),
    [
        (ROOT, True, [ROOT.name], TOPICS),
        (PLAIN, True, ["plain"], TOPICS),
        (PLAIN.parent, False, ["other", "plain"], TOPICS),
        (PLAIN / "python-decorators-0x01", True, ["python-decorators-0x01"], {"decorators"}),
        (
            PLAIN / "python-decorators-0x01/3-retry_on_failure.py",
            True,
            ["python-decorators-0x01"],
            {"decorators"},
        ),
        (ROOT / "python-generators-0x00", True, ["python-generators-0x00"], {"generators"}),
    ],
)
def test_answers_are_found_from_each_kind_of_path(path, single, names, topics):
    answers, is_single = find_answers(path)
    assert (is_single, [answer.name for answer in answers]) == (single, names)
    assert answers[0].topics == topics


def test_answers_in_folders_or_files_of_other_names_are_found(tmp_path):
    for name in ("my-generators", "my-decorators"):
        write(tmp_path / "many" / name, {"5": "x = 1", "README.py": "x = 1"})
    answers, single = find_answers(tmp_path / "many")
    assert (single, len(answers)) == (False, 2)
    files = {
        "Async_Stuff/3_concurrent_queries.py": "async def async_fetch_users(): ...",
        "decorators/2-cache-queries.py": "cached_query = decorate(function)",
        "decorators/2-main.py": "x = 1",
    }
    answer = write(tmp_path / "one", files)
    assert answer.find(BY_NUMBER["12"]).name == "3_concurrent_queries.py"
    assert answer.find(BY_NUMBER["9"]).name == "2-cache-queries.py"
    assert answer.find(BY_NUMBER["5"]) is None


def test_exercises_are_chosen_by_number_or_name():
    assert [e.number for e in chosen(["4", "retry", "seed"])] == ["seed", "4", "8"]
    assert len(chosen([])) == 13


@pytest.mark.parametrize("place", [GENERATORS, ".", "work/old", f"{DECORATORS}/old"])
def test_file_of_the_right_name_in_another_folder_is_used_and_its_place_is_shown(
    place, tmp_path, capsys
):
    answer = write(tmp_path / "a", {f"{place}/0-log_queries.py": LOGS, "6": "x = 1"})
    path = Path(place, "0-log_queries.py").as_posix()
    assert found(answer, "5") == path
    main([str(tmp_path / "a"), "--only", "5", "--json", f"{tmp_path}/found.json"])
    note = f"found as {path}, not in a folder for decorators"
    assert note[1:] in capsys.readouterr().out
    exercise = json.loads((tmp_path / "found.json").read_text())["answers"][0]["exercises"][0]
    assert exercise["note"] == note


@pytest.mark.parametrize("text", [LOGS, "x = 1\n", "def log_queries(\n"])
def test_topic_folder_comes_before_other_folders(text, tmp_path):
    answer = write(tmp_path / "a", {"5": text, "0-log_queries.py": LOGS})
    assert found(answer, "5") == folder_of(BY_NUMBER["5"])
    assert answer.note(BY_NUMBER["5"]) == ""


def test_files_of_all_topics_in_one_folder_are_judged_without_a_note(tmp_path):
    write(tmp_path / "my-generators", {"0-log_queries.py": LOGS, "0-stream_users.py": "x = 1"})
    (answer,), _ = find_answers(tmp_path / "my-generators")
    assert answer.topics == TOPICS
    assert found(answer, "5") == "0-log_queries.py"
    assert answer.note(BY_NUMBER["5"]) == ""


def test_files_of_another_answer_beside_a_topic_folder_are_not_taken(tmp_path):
    write(tmp_path, {"seed.py": "x = 1", "ann-decorators/0-log_queries.py": LOGS,
                     "bob-decorators/1-with_db_connection.py": "x = 1"})  # fmt: skip
    (answer,), _ = find_answers(tmp_path / "bob-decorators")
    assert found(answer, "5") is None
    assert found(answer, "seed") == "seed.py"


COROUTINES = (
    "import asyncio\nfrom asyncio import gather\nasync def wait_n(n): ...\nx = asyncio.run(1)"
)


@pytest.mark.parametrize(
    ("number", "file", "text", "is_found"),
    [
        ("12", "1-concurrent_coroutines.py", COROUTINES, False),
        ("12", "1-concurrent_coroutines.py", "concurrent = wait(5)", False),
        ("12", "concurrent_queries.py", "if 1:\n    async def fetch_older_users(): ...", True),
        ("5", "log-queries.py", "from logs import log_it as log_queries", True),
        ("5", "log-queries.py", "log_queries = logs.log_it", True),
        ("5", "log-queries.py", "class Tool:\n    def log_queries(self): ...", False),
        ("5", "log-queries.py", "def log_queries(f)\n    return f", True),  # SYNTAX
        ("11", "execute.py", "from other import ExecuteQuery", False),
        ("11", "execute.py", "@decorated\nclass ExecuteQuery: ...", True),
    ],
)
def test_file_of_a_similar_name_must_define_a_wanted_name(number, file, text, is_found, tmp_path):
    answer = write(tmp_path / "a", {file: text})
    assert found(answer, number) == (file if is_found else None)


def test_every_exercise_has_wanted_names_that_its_known_answers_define():
    assert list(NAMES) == [exercise.number for exercise in EXERCISES]
    for number, names in NAMES.items():
        text = (PLAIN / folder_of(BY_NUMBER[number])).read_text()
        assert all(name in text for name in names), number


@pytest.mark.parametrize(
    ("file", "text", "said"),
    [
        ("README.md", "", "there is no file 3-retry_on_failure.py"),
        ("my-decorators/3-retry_on_failure.txt", "x", "there is my-decorators/3-retry_on_failure.txt"),
        (f"{DECORATORS}/3-retry.py", "x = 1", f"{DECORATORS}/3-retry.py defines no retry_on_failure"),
        (f"{DECORATORS}/3-rety_on_failure.py", "x = 1", "failure.py defines no retry_on_failure"),
        (f"{GENERATORS}/retry.py", "def retry(f): ...", f"there is {GENERATORS}/retry.py"),
    ],
)  # fmt: skip
def test_missing_file_is_named_with_the_nearest_one(file, text, said, tmp_path):
    answer = write(tmp_path / "a", {file: text, "5": LOGS})
    verdict = verdict_on("8", answer)
    assert verdict.verdict == judge.MISSING
    assert verdict.said.endswith(said)
    assert verdict.said.startswith("there is no file 3-retry_on_failure.py")


def test_unreadable_file_does_not_end_the_search(tmp_path):
    answer = write(tmp_path / "a", {"retry.py": "x = " + "-" * 100_000 + "1"})
    assert answer.find(BY_NUMBER["8"]) is None


def test_answer_is_judged_by_all_exercises_alone_and_in_a_class(tmp_path, capsys):
    for name in ("ann", "bob"):
        write(tmp_path / "class" / name, {"5": LOGS})
    seen = []
    for path in (tmp_path / "class", tmp_path / "class" / "ann"):
        main([str(path), "--json", f"{tmp_path}/found.json"])
        data = json.loads((tmp_path / "found.json").read_text())["answers"][0]
        seen.append([(e["exercise"], e["verdict"], e["said"]) for e in data["exercises"]])
        assert (data["of"], data["right"]) == (13, 0)
    assert seen[0] == seen[1]
    assert "0 of 13 right\n" in capsys.readouterr().out
    main([str(tmp_path / "class" / "ann" / DECORATORS)])
    assert "0 of 5 right\n" in capsys.readouterr().out
    main([str(tmp_path / "class" / "ann" / DECORATORS / "0-log_queries.py")])
    assert "0 of 1 right\n" in capsys.readouterr().out
    (tmp_path / "class" / "notes.py").touch()
    assert main([str(tmp_path / "class" / "notes.py")]) == 2


def test_exercises_that_are_not_judged_are_counted_apart_from_wrong_ones(tmp_path, capsys):
    files = {"5": "import decouple\n" + LOGS, "6": "def with_db_connection(f): ...\n"}
    write(tmp_path / "class" / "ann", files)
    write(tmp_path / "class" / "bob", {"5": LOGS})
    arguments = ["--only", "5", "--only", "6", "--json", f"{tmp_path}/found.json",
                 "--junitxml", f"{tmp_path}/found.xml"]  # fmt: skip
    assert main([str(tmp_path / "class"), *arguments]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("  1 not judged")
    assert "not judged" not in lines[1]
    first, second = json.loads((tmp_path / "found.json").read_text())["answers"]
    assert (first["not_judged"], second["not_judged"]) == (1, 0)
    suites = ET.parse(tmp_path / "found.xml").getroot()  # noqa: S314, it is our own
    assert [(s.get("skipped"), s.get("failures")) for s in suites] == [("1", "1"), ("0", "2")]
    assert main([str(tmp_path / "class" / "ann"), "--only", "5"]) == 1
    assert "  0 of 1 right, 1 not judged\n" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("from decouple import config", "imports decouple, but its package python-decouple is"),
        ("import environ", "imports environ, but its package django-environ is"),
        ("import Own_Tool", "imports Own_Tool, but its package Own_Tool is"),  # in requirements.txt
    ],
)
def test_missing_package_is_named_with_the_line_that_imports_it(line, said, tmp_path):
    files = {"5": "import settings\n" + LOGS, f"{DECORATORS}/settings.py": f"\n{line}\n",
             "requirements.txt": "own-tool>=1\n"}  # fmt: skip
    verdict = verdict_on("5", write(tmp_path / "a", files))
    assert verdict.verdict == judge.NEEDS
    assert verdict.said.startswith(said)
    assert verdict.place == f"{DECORATORS}/settings.py:2"


@pytest.mark.parametrize(
    ("line", "said", "hint"),
    [
        ("import db_utils", "the answer contains no db_utils.py", "Hand it in"),
        ("import seed", f"{GENERATORS}/seed.py is in another folder", "folder of the file"),
        (
            "from helper import get",
            "cannot import name 'get' from 'helper'",
            "helper.py define get?",
        ),
        ("import decouple", f"{GENERATORS}/decouple.py is in another folder", "folder of the file"),
        ("import broken", "SyntaxError: invalid", "name begins with a digit"),
    ],
)
def test_module_that_cannot_be_imported_is_explained(line, said, hint, tmp_path):
    files = {"5": f"{line}\n{LOGS}", f"{GENERATORS}/seed.py": "x = 1\n",
             f"{GENERATORS}/decouple.py": "x = 1\n", f"{DECORATORS}/helper.py": "x = 1\n",
             f"{DECORATORS}/broken.py": "import 0-stream_users\n"}  # fmt: skip
    verdict = verdict_on("5", write(tmp_path / "a", files))
    assert verdict.verdict == judge.CRASH
    assert said in verdict.said
    assert hint in verdict.hint
    assert str(tmp_path) not in verdict.said
    assert "/tmp" not in verdict.said  # noqa: S108, the scratch folder


@pytest.mark.parametrize(
    "line", ["import 0-stream_users", "from 1-with_db_connection import x", "import stream-users"]
)
def test_import_of_a_name_that_is_no_identifier_has_its_own_hint(line, tmp_path):
    verdict = verdict_on("5", write(tmp_path / "a", {"5": f"{LOGS}\n{line}\n"}))
    assert verdict.verdict == judge.SYNTAX
    assert "begins with a digit" in verdict.hint
    other = verdict_on("5", write(tmp_path / "b", {"5": "def log_queries(f)\n    return 0-1\n"}))
    assert "begins with a digit" not in other.hint


def test_advice_shows_what_was_seen_and_where(capsys):
    wraps = CHECKS["5"]["wraps"]
    verdicts = [
        Verdict(BY_NUMBER[number], judge.PASS, results=[Result(wraps, False, said, place)])
        for number, said, place in
        (("5", "lost its name", "a.py:1"), ("6", "lost its name", "b.py:2"), ("7", "is lost", "c.py:3"))
    ]  # fmt: skip
    Report().details(Answer(Path("none"), "none", TOPICS), verdicts)
    shown = capsys.readouterr().out
    assert "     5 (a.py:1), 6 (b.py:2): Lost its name.\n     7 (c.py:3): Is lost.\n" in shown
    assert shown.count(f"Hint: {wraps.hint[:30]}") == 1


def test_failed_import_is_not_repeated_as_advice(tmp_path, capsys):
    write(tmp_path / "a", {"5": LOGS + "import db_utils\n"})
    main([str(tmp_path / "a"), "--only", "5"])
    assert capsys.readouterr().out.count("ModuleNotFoundError") == 1
