"""The SQLite database users.db of the decorator, context manager and async exercises."""

import os
import uuid
from pathlib import Path

# By name: a program that replaces sqlite3.connect must not spoil the file.
from sqlite3 import connect

from seed_csv import find_csv, open_csv
from seed_errors import explained
from seed_retry import closing
from seed_settings import ROOT

USERS_DB = "users.db"
ADVICE = "make space and rights for it there, or run in a folder that has a users.db"


def users_db(db_name: str | os.PathLike = USERS_DB) -> str | os.PathLike:
    """Tell the path of the SQLite database `db_name`.

    The default, users.db, is looked for in the working directory, then beside seed.py, where it is
    made from user_data.csv on first use. Any other path is taken as it is.
    """
    if os.fspath(db_name) != USERS_DB:
        return db_name
    kept = ROOT / USERS_DB
    if Path(USERS_DB).exists():
        return db_name
    if not kept.exists():
        _make_users_db(kept)
    return kept


def _make_users_db(path: Path) -> None:
    # Made aside and then put in place whole, so that nobody ever finds half of it.
    unfinished = path.with_name(f".users-{uuid.uuid4().hex}.db")
    try:
        unfinished.open("x").close()
    except OSError as error:
        raise type(error)(
            error.errno,
            f"cannot make {path} ({error.strerror}): {ADVICE}",
        ) from error
    try:
        with (
            explained("cannot make", path, advice=ADVICE),
            open_csv(find_csv(ROOT / "user_data.csv")) as file,
            closing(connect(unfinished)) as connection,
        ):
            connection.execute(
                "CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT, email TEXT, age INTEGER)"
            )
            connection.executemany(
                "INSERT INTO users (name, email, age) VALUES (?, ?, ?)",
                (record.user[1:] for record in file.records if record.user),
            )
            connection.commit()
        _put_in_place(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _put_in_place(unfinished: Path, path: Path) -> None:
    try:
        os.link(unfinished, path)  # unlike a rename, never over a file that somebody made meanwhile
    except FileExistsError:
        pass  # another program was faster, with the same content
    except OSError:  # a file system without links
        if not path.exists():
            unfinished.rename(path)
