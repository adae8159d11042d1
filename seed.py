#!/usr/bin/env python3
"""Create the table user_data and fill it from a CSV file; the base that all twelve exercises import.

Task: write functions that connect, create the database and its table user_data, and load a CSV file.

    python seed.py [FILE.csv]

It uses the server that DB_HOST or DB_SOCKET names, in the environment or in .env beside this file, else
a SQLite file. A second run adds nothing. `seed_parts/__init__.py` lists the functions.
"""

import argparse
from contextlib import closing

from seed_parts import *  # what the scripts call
from seed_parts import __all__  # noqa: F401, so that `from seed import *` gives just that
from seed_parts.csv_users import find_csv
from seed_parts.load import reject_path
from seed_parts.settings import read_settings


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
