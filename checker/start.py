"""check.py --start: a folder to work in, with a stub for each exercise, the CSV file and users.db."""

import contextlib
import csv
import os
import sqlite3
from pathlib import Path

from checker import tasks
from checker.checks import explain
from checker.exercises import EXERCISES, GENERATORS


def start(folder: Path) -> str:
    """Write what is missing in the folder, never over a file that is there; say what was done.

    Raises OSError if the folder cannot be written.
    """
    files = {}
    for exercise in EXERCISES:
        first = next(e for e in EXERCISES if e.topic == exercise.topic and e.number != "seed")
        place = folder / tasks.model(first.file).parent.name
        files[place / exercise.file] = tasks.stub(exercise, explain(exercise.number)).encode()
        if exercise.topic == GENERATORS:
            files[place / "user_data.csv"] = (tasks.ROOT / "user_data.csv").read_bytes()
        else:
            files[place / "users.db"] = _users_db()
    missing = [path for path in files if not os.path.lexists(path)]
    for path in missing:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(files[path])
    return (
        f"{len(missing)} files written to {folder}, {len(files) - len(missing)} were there already.\n"
        "Each exercise is a file, whose first lines say what to do. Exercises 1 to 4 need seed.py;\n"
        "until yours is done, check.py uses one of its own. To check a file each time you save it:\n"
        f"    python check.py {folder} --watch"
    )


def _users_db() -> bytes:
    """A SQLite database with the users of user_data.csv."""
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(
            "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT, age INTEGER)"
        )
        with (tasks.ROOT / "user_data.csv").open(encoding="utf-8", newline="") as file:
            connection.executemany(
                "INSERT INTO users (name, email, age) VALUES (:name, :email, :age)",
                csv.DictReader(file),
            )
        connection.commit()
        return connection.serialize()
