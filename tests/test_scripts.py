"""The scripts as programs: what they print, from wherever they are run and however imported."""

import contextlib
import os
import re
import runpy
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

import pytest
from conftest import ROOT, SETTINGS, USERS, run_python, user_row

import seed

TOPICS = ("python-generators-0x00", "python-decorators-0x01", "python-context-async-perations-0x02")
FILES = sorted(path.relative_to(ROOT) for path in ROOT.glob("python-*/[0-9]*.py"))
SCRIPTS = [path for path in FILES if not path.stem.endswith("-main")]
DOORS = {"4-log_queries": "0-log_queries", "8-async_fetch": "3-concurrent"}
LESSONS = [path for path in SCRIPTS if path.stem not in DOORS]
GENERATORS = [path for path in SCRIPTS if path.parts[0] == TOPICS[0]]  # they read user_data
MAIN_FILES = [
    (path, engine)
    for path in FILES
    for engine in ("embedded", "mysql_engine")
    if path not in SCRIPTS and (engine == "embedded" or path.parts[0] == TOPICS[0])
]
PIPED = {"python-generators-0x00/2-main.py": 5, "python-generators-0x00/3-main.py": 7}  # head -n
NAMES = {"ids": str}
SIZES = (0, 1, 50)
SAYS = {  # in a table of that many users, aged 20, 21, ...; the others say what is under ""
    "": ("no user", "User 1", "User 1"),
    "1-batch_processing": ("no users older than 25", "no users older than 25", "User 7"),
    "2-lazy_paginate": ("no users", "1 users, User 1 to User 1", "50 users, User 1 to User 50"),
    "4-stream_ages": ("Average age of users: 0.00", "users: 20.00", "users: 44.50"),
    "4-cache_query": ("0 users", "1 users", "50 users"),
    "1-execute": ("no users older than 25", "no users older than 25", "User 7"),
    "3-concurrent": ("0 users, 0 of them", "1 users, 0 of them", "50 users, 29 of them"),
}


def sample(script: Path) -> tuple[int | None, list[str]]:
    """The lines that head lets through, and the output that the script's header shows."""
    header = (ROOT / script).read_text(encoding="utf-8").split('"""')[1]
    _, _, shown = header.partition(f"    $ python {script.name}")
    command, *lines = shown.splitlines()
    head = re.fullmatch(r"(?: \| head -n (\d+))?", command)[1]
    return head and int(head), [line.strip() for line in lines if line.strip()]


@pytest.fixture
def unread() -> Iterator[TextIO]:
    """A pipe without a reader."""
    reading, writing = os.pipe()
    os.close(reading)
    with contextlib.suppress(BrokenPipeError), os.fdopen(writing, "w") as pipe:
        yield pipe


@pytest.mark.parametrize("size", SIZES)
def test_scripts_print_a_message_for_tables_of_few_users(size, load, users_db, capsys):
    rows = [user_row(number, 19 + number) for number in range(1, size + 1)]
    load(*rows)
    with contextlib.closing(sqlite3.connect(users_db)) as connection, connection:
        connection.execute("DELETE FROM users")
        insert = "INSERT INTO users (name, email, age) VALUES (?, ?, ?)"
        connection.executemany(insert, [row[1:] for row in rows])
    for script in LESSONS:  # in this process, where they start at once
        with contextlib.suppress(SystemExit):  # the status is looked at where they are programs
            runpy.run_path(str(ROOT / script), run_name="__main__")
        printed = capsys.readouterr().out
        assert SAYS.get(script.stem, SAYS[""])[SIZES.index(size)] in printed, script
        assert not re.search(r"^(None)?$", printed.removesuffix("\n"), re.MULTILINE), script


def test_scripts_print_what_their_headers_show_from_any_folder(engine, load, own_clone, tmp_path):
    for folder in (tmp_path, *(own_clone / topic for topic in TOPICS)):
        for name in ("common.py", "settings.py"):  # a learner's own, which our code must not import
            (folder / name).write_text("raise RuntimeError('imported')\n")
    if engine.server:  # else the first script makes it
        load(text=(ROOT / "user_data.csv").read_bytes())
    for script in GENERATORS if engine.server else SCRIPTS:
        head, expected = sample(script.with_stem(DOORS.get(script.stem, script.stem)))
        done = run_python(own_clone / script, cwd=tmp_path, settings=engine.settings)
        assert done.stdout.splitlines()[:head] == expected != [], done.stderr
        assert done.returncode == 0
        if script in GENERATORS:
            place = f"using the embedded SQLite file {engine.settings.get('DB_FILE')}"
            assert done.stderr == ("" if engine.server else f"DB_HOST is not set: {place}\n")


@pytest.mark.parametrize("script", [*SCRIPTS, *map(Path, PIPED)], **NAMES)
def test_script_piped_to_head_ends_quietly(script, clone, embedded):
    lines = 0 if script == SCRIPTS[0] else 1  # then even the little that it prints has no reader
    command = ["bash", "-c", f'"$0" "$1" | head -n {lines}', sys.executable, clone / script]
    done = subprocess.run(command, cwd=clone, capture_output=True, text=True, check=True)
    assert len(done.stdout.splitlines()) == lines
    assert not re.search("Traceback|[Bb]roken", done.stderr)  # BrokenPipeError, or its text


@pytest.mark.parametrize("program", ["2-transactional.py", "2-main.py"])
def test_changed_user_is_restored_even_if_the_output_pipe_breaks(program, users_db, unread):
    before = users_db.read_bytes()
    command = [sys.executable, "-u", ROOT / TOPICS[1] / program]
    subprocess.run(command, stdout=unread, stderr=subprocess.DEVNULL, check=False)
    with contextlib.closing(sqlite3.connect(users_db)) as connection:
        assert connection.execute("SELECT name, email, age FROM users").fetchall() == USERS
    assert users_db.read_bytes() != before  # so it was changed, and changed back


def test_broken_pipe_reaches_the_caller_of_batch_processing(script, load, unread, monkeypatch):
    # Few rows, all of which the buffer holds: without a flush the error would come at the exit.
    load(user_row(1))
    monkeypatch.setattr("sys.stdout", unread)
    with pytest.raises(BrokenPipeError):
        script("1-batch_processing").batch_processing(10)


@pytest.mark.parametrize(("main_file", "engine"), MAIN_FILES, indirect=["engine"], **NAMES)
def test_main_file_prints_its_expected_output(main_file, engine, load, clone):
    if engine.server and main_file.name != "0-main.py":
        load(text=(ROOT / "user_data.csv").read_bytes())
    # Main file 0 asks for ALX_prodev by name, which on a server may be in use.
    database = engine.settings["DB_NAME"]
    program = clone / main_file.parent / f"copy-of-{main_file.name}"
    program.write_text((ROOT / main_file).read_text().replace("ALX_prodev", database))
    expected = ROOT / "tests" / "expected" / f"{main_file.parts[0]}--{main_file.stem}.txt"
    lines = expected.read_text(encoding="utf-8").replace("ALX_prodev", database).splitlines()
    done = run_python(program, cwd=program.parent, settings=engine.settings)
    program.unlink()
    assert done.stdout.splitlines()[: PIPED.get(main_file.as_posix())] == lines
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("topic", TOPICS)
def test_seed_py_runs_in_every_topic_folder(topic, clone, embedded):
    done = run_python("seed.py", cwd=clone / topic, settings=embedded.settings)
    assert "1000 rows read, 1000 added" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("wrong", "advice"),
    [
        ({}, "run `python seed.py` to create it"),
        ({"DB_PASSWORD": "hunter2"}, "check DB_USER and DB_PASSWORD"),
        ({"DB_PORT": "1"}, "is the server running? check DB_HOST and DB_PORT"),
    ],
)
def test_script_that_cannot_read_prints_one_line_and_makes_nothing(
    clone, tmp_path, mysql_engine, wrong, advice
):
    with contextlib.closing(seed.connect_db()) as connection:
        seed.create_database(connection)
    settings = mysql_engine.settings | {"DB_FILE": str(tmp_path / "never.sqlite3")} | wrong
    for script in GENERATORS:
        done = run_python(clone / script, cwd=clone, settings=settings)
        (line,) = done.stderr.splitlines()
        assert f"MySQL at {settings['DB_HOST']}:{settings['DB_PORT']}" in line
        assert advice in line
        assert settings["DB_PASSWORD"] not in line
        assert (done.returncode, done.stdout) == (1, "")
    assert (mysql_engine.query("SHOW TABLES"), list(tmp_path.iterdir())) == ([], [])


def test_bug_in_a_script_keeps_its_traceback(clone):
    done = run_python("-c", "import seed; seed.run_script(lambda: 1 + None)", cwd=clone)
    assert re.search("Traceback.*TypeError", done.stderr, re.DOTALL)


@pytest.mark.parametrize("folder", [*TOPICS, "."])
def test_importing_scripts_and_seed_has_no_side_effects(folder, own_clone, tmp_path):
    for place in (own_clone, own_clone / folder):  # what stands beside a script comes first
        (place / "helper.py").write_text(f"where = {place.name!r}\n")
    before = sorted(tmp_path.rglob("*"))
    code = """
import seed, helper, importlib.util, os, sys
for path in sys.argv[1:]:
    spec = importlib.util.spec_from_file_location("anything", path)
    spec.loader.exec_module(module := importlib.util.module_from_spec(spec))
    if os.path.samefile(os.path.dirname(path), os.curdir):
        assert __import__(os.path.basename(path)[:-3])
assert module.insert_data is seed.insert_data and __import__("seed") is seed  # the real one
print(helper.where, "mysql.connector" in sys.modules)
"""
    here = [own_clone / path for path in SCRIPTS if folder in (".", path.parts[0])]
    settings = {"DB_FILE": str(tmp_path / "never.sqlite3")}
    paths = (*here, own_clone / "seed.py")
    done = run_python("-c", code, *paths, cwd=own_clone / folder, settings=settings)
    assert (done.stdout, done.stderr) == (f"{(own_clone / folder).name} False\n", "")
    assert sorted(tmp_path.rglob("*")) == before


def test_script_uses_the_seed_py_beside_it(clone, tmp_path):
    copy = tmp_path / "0-databaseconnection.py"
    copy.write_bytes((clone / TOPICS[2] / copy.name).read_bytes())
    (tmp_path / "seed.py").write_text("def run_script(main):\n    print(main.__name__)\n")
    done = run_python(copy, cwd=clone)
    assert (done.stdout, done.stderr) == ("main\n", "")


def test_scripts_under_other_names_have_the_same_functions(script):
    for name in ("log_queries", "fetch_all_users"):
        assert getattr(script("4-log_queries"), name) is getattr(script("0-log_queries"), name)
    for name in ("async_fetch_users", "async_fetch_older_users", "fetch_concurrently"):
        assert getattr(script("8-async_fetch"), name) is getattr(script("3-concurrent"), name)


@pytest.mark.parametrize("script", SCRIPTS, **NAMES)
def test_script_is_executable_and_fits_one_screen(script):
    text = (ROOT / script).read_text(encoding="utf-8")
    assert os.access(ROOT / script, os.X_OK)
    assert text.startswith("#!/usr/bin/env python3\n")
    assert len(text.splitlines()) <= 70
    assert "sys.path" not in text


def test_env_example_shows_every_setting():
    base = [*ROOT.glob("seed*.py"), *ROOT.glob("seed*/*.py")]
    used = {name for path in base for name in re.findall(r'"(DB_\w+)"', path.read_text())}
    assert sorted(SETTINGS) == sorted(used)
