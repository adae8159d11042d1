"""The scripts as programs: what they print, from wherever they are run and however imported."""

import contextlib
import os
import re
import subprocess
import sys
from pathlib import Path

import mysql.connector
import pytest
from conftest import ROOT, SETTINGS, run_python

import seed

TOPICS = ("python-generators-0x00", "python-decorators-0x01", "python-context-async-perations-0x02")
SCRIPTS = sorted(
    path.relative_to(ROOT)
    for topic in TOPICS
    for path in (ROOT / topic).glob("[0-9]*.py")
    if not path.stem.endswith("-main")
)
DOORS = {"4-log_queries": "0-log_queries", "8-async_fetch": "3-concurrent"}
LESSONS = [path for path in SCRIPTS if path.stem not in DOORS]
MAIN_FILES = sorted(
    path.relative_to(ROOT) for topic in TOPICS for path in (ROOT / topic).glob("*-main.py")
)
PIPED = {"python-generators-0x00/2-main.py": 5, "python-generators-0x00/3-main.py": 7}  # head -n
NAMES = {"ids": str}


@pytest.fixture
def settings(engine, clone) -> dict[str, str]:
    """The settings of a seeded engine, for a program."""
    done = run_python(clone / "seed.py", cwd=clone, settings=engine.settings)
    assert done.returncode == 0, done.stderr
    return engine.settings


def sample(script: Path) -> tuple[str, int | None, list[str]]:
    """The command, the lines that head lets through, and the output that a script's header shows."""
    header = (ROOT / script).read_text(encoding="utf-8").split('"""')[1]
    _, _, shown = header.partition("    $ python ")
    command, *lines = [line.strip() for line in shown.splitlines() if line.strip()]
    name, _, head = command.partition(" | head -n ")
    return name, int(head) if head else None, lines


def is_generators(path: Path) -> bool:
    return path.parts[0] == TOPICS[0]


# ---------------------------------------------------------------- as programs


@pytest.mark.parametrize("script", LESSONS, **NAMES)
def test_header_shows_what_the_script_prints(script, settings, clone):
    name, head, expected = sample(script)
    assert name == script.name
    assert expected, "the header shows no output"
    done = run_python(clone / script, cwd=clone / script.parent, settings=settings)
    assert done.stdout.splitlines()[:head] == expected
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", SCRIPTS, **NAMES)
def test_script_runs_from_any_directory_as_a_program(script, clone, tmp_path, embedded):
    assert os.access(ROOT / script, os.X_OK)
    assert (ROOT / script).read_text().startswith("#!/usr/bin/env python3\n")
    done = run_python(clone / script, cwd=tmp_path, settings=embedded.settings)
    assert done.stdout
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("script", [*SCRIPTS, *map(Path, PIPED)], **NAMES)
def test_script_piped_to_head_ends_without_a_complaint(script, clone, embedded):
    reader = subprocess.run(
        ["bash", "-c", '"$0" "$1" | head -n 1', sys.executable, clone / script],
        cwd=clone / script.parent,
        env=os.environ | embedded.settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert len(reader.stdout.splitlines()) == 1
    assert "Traceback" not in reader.stderr
    assert "roken" not in reader.stderr  # BrokenPipeError, or its text


def test_broken_pipe_reaches_the_caller_of_batch_processing(clone, embedded):
    # Few rows, all of which the buffer holds: without a flush the error would come at the exit.
    code = """
import os, sys
processing = __import__("1-batch_processing")
reader, writer = os.pipe()
os.close(reader)
os.dup2(writer, sys.stdout.fileno())
try:
    processing.batch_processing(10)
except BrokenPipeError:
    print("reached", file=sys.stderr)
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
"""
    (clone / "few.csv").write_text("name,email,age\nAda,ada@example.com,67\n")
    run_python(clone / "seed.py", "few.csv", cwd=clone, settings=embedded.settings)
    done = run_python("-c", code, cwd=clone / TOPICS[0], settings=embedded.settings)
    assert done.stderr.splitlines()[-1:] == ["reached"]


@pytest.mark.parametrize("main_file", MAIN_FILES, **NAMES)
def test_main_file_prints_what_is_expected(main_file, engine, clone):
    if is_generators(main_file) and engine.server and main_file.name != "0-main.py":
        run_python(clone / "seed.py", cwd=clone, settings=engine.settings)
    # Main file 0 asks for ALX_prodev by name, which on a server may be somebody's.
    database = engine.settings["DB_NAME"]
    program = clone / main_file.parent / f"copy-of-{main_file.name}"
    program.write_text((ROOT / main_file).read_text().replace("ALX_prodev", database))
    expected = ROOT / "tests" / "expected" / f"{main_file.parts[0]}--{main_file.stem}.txt"
    lines = expected.read_text(encoding="utf-8").replace("ALX_prodev", database).splitlines()

    done = run_python(program, cwd=program.parent, settings=engine.settings)

    program.unlink()
    assert done.stdout.splitlines()[: PIPED.get(main_file.as_posix())] == lines
    assert done.returncode == 0, done.stderr


def test_embedded_engine_is_named_once_on_stderr(clone, embedded):
    script = clone / TOPICS[0] / "2-lazy_paginate.py"
    done = run_python(script, cwd=clone, settings=embedded.settings)
    assert done.stderr.splitlines() == [
        f"DB_HOST is not set: using the embedded SQLite file {embedded.settings['DB_FILE']}"
    ]


def test_script_on_a_server_without_the_table_names_seed_py(clone, mysql_engine):
    with contextlib.closing(seed.connect_db()) as connection:
        seed.create_database(connection)
    for script in (path for path in SCRIPTS if is_generators(path)):
        done = run_python(clone / script, cwd=clone, settings=mysql_engine.settings)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1
        assert "python seed.py" in done.stderr
        assert "cannot read user_data in MySQL at" in done.stderr
    assert mysql_engine.query("SHOW TABLES") == []


def test_script_that_cannot_connect_says_so_in_one_line_without_the_password(clone, mysql_engine):
    script = clone / TOPICS[0] / "0-stream_users.py"
    settings = mysql_engine.settings | {"DB_PASSWORD": "hunter2"}
    done = run_python(script, cwd=clone, settings=settings)
    (line,) = done.stderr.splitlines()
    assert f"{settings['DB_HOST']}:{settings['DB_PORT']}" in line
    assert f"user {settings['DB_USER']}" in line
    assert "check DB_USER and DB_PASSWORD" in line
    assert "hunter2" not in line
    assert (done.returncode, done.stdout) == (1, "")


def test_server_that_is_not_there_is_an_error_never_a_silent_switch(clone, tmp_path, mysql_engine):
    settings = mysql_engine.settings | {"DB_PORT": "1", "DB_FILE": str(tmp_path / "never.sqlite3")}
    done = run_python(clone / TOPICS[0] / "4-stream_ages.py", cwd=clone, settings=settings)
    assert done.returncode == 1
    assert "is the server running? check DB_HOST and DB_PORT" in done.stderr
    assert not (tmp_path / "never.sqlite3").exists()


def test_bug_in_a_script_keeps_its_traceback(clone):
    code = "import seed; seed.run_script(lambda: 1 + None)"
    done = run_python("-c", code, cwd=clone)
    assert "TypeError" in done.stderr
    assert "Traceback" in done.stderr


# ---------------------------------------------------------------- as modules


@pytest.mark.parametrize("script", [*SCRIPTS, Path("seed.py")], **NAMES)
def test_importing_a_script_prints_nothing_and_opens_nothing(script, clone, tmp_path):
    settings = {"DB_FILE": str(tmp_path / "never.sqlite3")}
    before = sorted(path for path in clone.rglob("*"))
    code = f"import sys; m = __import__({script.stem!r}); print('mysql.connector' in sys.modules)"
    done = run_python("-c", code, cwd=clone / script.parent, settings=settings)
    assert (done.stdout, done.stderr) == ("False\n", "")
    assert sorted(path for path in clone.rglob("*")) == before
    assert not (tmp_path / "never.sqlite3").exists()


@pytest.mark.parametrize("folder", [*TOPICS, "."])
def test_import_seed_gives_the_one_real_seed_in_every_folder(folder, clone):
    (clone / folder / "neighbour.py").write_text("here = True\n")
    code = (
        "import seed, sys, neighbour\n"
        "print(seed.__file__, __import__('seed') is seed is sys.modules['seed'], neighbour.here)\n"
        "print(seed.connect_db.__name__, 'seed_engine' in sys.modules)"
    )
    done = run_python("-c", code, cwd=clone / folder)
    (clone / folder / "neighbour.py").unlink()
    assert done.stdout.splitlines() == [f"{clone / 'seed.py'} True True", "connect_db True"], (
        done.stderr
    )


@pytest.mark.parametrize("topic", TOPICS)
def test_door_runs_as_a_program_and_loads_by_its_path(topic, clone, embedded):
    done = run_python("seed.py", cwd=clone / topic, settings=embedded.settings)
    assert "1000 rows read, 1000 added" in done.stdout
    code = """
import importlib.util
spec = importlib.util.spec_from_file_location("any_name", "seed.py")
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
import seed
assert module.connect_db is seed.connect_db
"""
    done = run_python("-c", code, cwd=clone / topic)
    assert done.returncode == 0, done.stderr


def test_what_stands_beside_a_script_comes_before_what_stands_beside_seed_py(clone):
    names = ((clone, "root"), (clone / TOPICS[0], "topic"))
    for folder, where in names:
        (folder / "helper.py").write_text(f"where = {where!r}\n")
    code = "import seed, helper; print(helper.where)"
    done = run_python("-c", code, cwd=clone / TOPICS[0])
    for folder, _where in names:
        (folder / "helper.py").unlink()
    assert done.stdout == "topic\n"


@pytest.mark.parametrize("script", SCRIPTS, **NAMES)
@pytest.mark.parametrize("folder", [None, "."], ids=["from its folder", "from the root"])
def test_script_can_be_loaded_by_path_without_being_registered(script, folder, clone, embedded):
    code = f"""
import importlib.util, sys
spec = importlib.util.spec_from_file_location("anything", {str(clone / script)!r})
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
assert "anything" not in sys.modules
if hasattr(module, "stream_users") and {script.stem == "0-stream_users"}:
    assert next(module())["age"] == next(module.stream_users())["age"] == 95
"""
    done = run_python("-c", code, cwd=clone / (folder or script.parent), settings=embedded.settings)
    assert done.returncode == 0, done.stderr


def test_doors_give_the_very_functions_of_the_scripts_they_lead_to(script):
    log_queries = script("0-log_queries")
    assert script("4-log_queries").log_queries is log_queries.log_queries
    assert script("4-log_queries").fetch_all_users is log_queries.fetch_all_users
    concurrent = script("3-concurrent")
    for name in ("async_fetch_users", "async_fetch_older_users", "fetch_concurrently"):
        assert getattr(script("8-async_fetch"), name) is getattr(concurrent, name)


def test_doors_run_from_a_shell_as_the_outline_does(clone, embedded):
    for door, lesson in DOORS.items():
        (path,) = (path for path in SCRIPTS if path.stem == door)
        first = run_python(path.name, cwd=clone / path.parent, settings=embedded.settings)
        second = run_python(f"{lesson}.py", cwd=clone / path.parent, settings=embedded.settings)
        assert first.stdout == second.stdout != ""


# ------------------------------------------------------------ the repository


def test_the_connector_has_its_c_extension():
    assert mysql.connector.HAVE_CEXT, "pure Python is 3 to 4 times slower: see requirements.txt"


@pytest.mark.parametrize("script", SCRIPTS, **NAMES)
def test_script_fits_one_screen_and_touches_no_import_path(script):
    text = (ROOT / script).read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 65
    assert "sys.path" not in text


def test_env_example_shows_every_setting():
    shown = re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    used = re.findall(r'(?:value|number)\("(DB_\w+)"', (ROOT / "seed_settings.py").read_text())
    assert sorted(shown) == sorted(used) == sorted(SETTINGS)
