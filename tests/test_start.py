"""start.sh: what it runs, and what it says when it fails. Nothing is downloaded or installed."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_scripts import sample


def program(path: Path, script: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def project(clone, tmp_path) -> Path:
    """A copy with the tests' Python as its .venv. The PATH, `programs`, has neither python3 nor apt."""
    shutil.copytree(clone, tmp_path / "a project")
    program(tmp_path / "a project/.venv/bin/python", f'exec "{sys.executable}" "$@"')
    program(tmp_path / "programs/dirname", f'exec {shutil.which("dirname")} "$@"')
    return tmp_path / "a project"


def start(project: Path, *arguments: str) -> tuple[int, str, str]:
    environment = os.environ | {"PATH": str(project.parent / "programs"), "PIP_NO_INDEX": "1"}
    command = ["/bin/sh", project / "start.sh", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def test_start_prints_the_output_of_the_first_exercise(project):
    _, stdout, stderr = start(project)
    *_, expected = sample(Path("python-generators-0x00/0-stream_users.py"))
    assert stdout.splitlines() == expected, stderr


def test_start_test_passes_arguments_and_status_of_pytest(project):
    program(project.parent / "programs/mariadbd", "")
    python = f'[ "$2" = pytest ] || exec "{sys.executable}" "$@"; printf "<%s>" "$@"; exit 5'
    program(project / ".venv/bin/python", python)
    assert start(project, "test", "-m", "a or b")[:2] == (5, "<-m><pytest><-m><a or b>")


def test_python_that_is_too_old_is_named(project):
    shutil.rmtree(project / ".venv")
    old = f'"{sys.executable}" -c "import sys; sys.version_info = (3, 10, 12)\n$2"'
    script = f'if [ "$1" = -V ]; then echo Python 3.10.12; else {old}; fi'
    program(project.parent / "programs/python3", script)
    said = "start.sh: Python 3.11 or newer is needed, but python3 is Python 3.10.12\n"
    assert start(project) == (1, "", said)


def test_packages_to_install_are_named_without_apt(project):
    shutil.rmtree(project / ".venv")
    said = "start.sh: no apt-get here; install by hand (names of Debian's packages): python3-venv\n"
    assert start(project) == (1, "", said)
