#!/usr/bin/env python3
"""Create the table user_data and fill it from a CSV file; the base that all twelve exercises import.

    python seed.py [FILE.csv]

On the server that DB_HOST names, in the environment or in .env beside this file; without DB_HOST, in
a SQLite file beside this one. A second run adds nothing. How each part works stands in the modules
beside this one, named after what they do; the scripts need this one only.
"""

import argparse

from seed_cache import QueryCache, find_read
from seed_connection import open_reader
from seed_csv import find_csv
from seed_data_state import data_state, is_keepable
from seed_engine import connect_db, connect_to_prodev, create_database
from seed_load import LoadCounts, insert_data, reject_path
from seed_retry import attempts, clean_up, closing, closing_async, is_transient
from seed_script import (
    callable_module,
    ensure_log_handler,
    find_connection,
    find_sql,
    import_script,
    require_connection,
    require_plain_function,
    run_script,
    whole_numbers,
)
from seed_settings import read_settings
from seed_stream import age_blocks, user_blocks
from seed_table import create_table
from seed_users_db import users_db

__all__ = [
    # the course's own five
    "connect_db",
    "connect_to_prodev",
    "create_database",
    "create_table",
    "insert_data",
    "LoadCounts",
    # reading user_data
    "age_blocks",
    "open_reader",
    "user_blocks",
    # users.db, and when a cached query is still fresh
    "QueryCache",
    "data_state",
    "find_read",
    "is_keepable",
    "users_db",
    # failing well
    "attempts",
    "clean_up",
    "closing",
    "closing_async",
    "is_transient",
    # around a script and a call
    "callable_module",
    "ensure_log_handler",
    "find_connection",
    "find_sql",
    "import_script",
    "require_connection",
    "require_plain_function",
    "run_script",
    "whole_numbers",
]


def main() -> None:
    parser = argparse.ArgumentParser(description="Create the table user_data and fill it.")
    parser.add_argument("file", nargs="?", default="user_data.csv", help="default: %(default)s")
    path = find_csv(parser.parse_args().file)

    with closing(connect_db()) as connection:
        create_database(connection)
    with closing(connect_to_prodev()) as connection:
        create_table(connection)
        counts = insert_data(connection, path, progress=True)

    print(
        f"{path.name}: {counts.read} rows read, {counts.added} added, "
        f"{counts.present} already present, {counts.refused} refused"
    )
    if counts.refused:
        print(f"Refused rows, each with its reason: {reject_path(path)}")
    print(f"Stored in: {read_settings()}")


if __name__ == "__main__":
    run_script(main)
