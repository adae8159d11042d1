"""The SQLite database users.db of the decorator, context manager and async exercises."""

import os
import uuid
from pathlib import Path

# By name: a program that replaces sqlite3.connect must not spoil the file.
from sqlite3 import connect

from seed_parts.csv_users import find_csv, open_csv
from seed_parts.errors import closing, explained
from seed_parts.settings import ROOT

USERS_DB = "users.db"
ADVICE = "free some space or get write access there, or run in a folder that has a users.db"


def users_db(db_name: str | os.PathLike = USERS_DB) -> str | os.PathLike:
    """Return the path of the SQLite database `db_name`.

    The default, users.db, is looked for in the working directory, then beside seed.py, where it is
    made from user_data.csv on first use. Any other path is returned unchanged.
    """
    if os.fspath(db_name) != USERS_DB or Path(USERS_DB).exists():
        return db_name
    kept = ROOT / USERS_DB
    if not kept.exists():
        _make_users_db(kept)
    return kept


def _make_users_db(path: Path) -> None:
    # Made under another name and then linked, so that no program ever opens an unfinished file.
    unfinished = path.with_name(f".users-{uuid.uuid4().hex}.db")
    try:
        with (
            explained("cannot make", path, advice=ADVICE),
            open_csv(find_csv(ROOT / "user_data.csv")) as (records, _),
            closing(connect(unfinished)) as connection,
        ):
            connection.execute(
                "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT, age INTEGER)"
            )
            connection.executemany(
                "INSERT INTO users (name, email, age) VALUES (?, ?, ?)",
                (record.user[1:] for record in records if record.user),
            )
            connection.commit()
        try:
            os.link(unfinished, path)  # unlike a rename, it never replaces a file
        except FileExistsError:
            pass  # another program was faster, with the same content
        except OSError:  # a file system without links
            if not path.exists():
                unfinished.rename(path)
    finally:
        unfinished.unlink(missing_ok=True)
