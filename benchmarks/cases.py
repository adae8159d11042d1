"""What is measured: our functions and their peers, each reading or loading the whole of user_data.

    python benchmarks/cases.py NAME     # prints one JSON object: rows, seconds, peak memory in KiB

It works on the database that DB_HOST, DB_NAME and so on name. Reading needs a seeded table. The load
cases DROP user_data first: never run them on your own database.
"""

import asyncio
import contextlib
import importlib
import io
import json
import sqlite3
import ssl
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT))  # the project is scripts, not an installed package

import seed  # noqa: E402, needs the path
from seed_parts.settings import read_settings  # noqa: E402

ALL_USERS = "SELECT user_id, name, email, age FROM user_data"
PAGE_SIZE = 100
ENCRYPTED = False  # whether the other drivers use TLS; run.py sets it, so that all do as ours does


def connector(**options):
    """A connection of mysql.connector's own, without anything of ours."""
    return importlib.import_module("mysql.connector").connect(
        **credentials(), charset="utf8mb4", collation="utf8mb4_general_ci", **options
    )


def credentials() -> dict:
    settings = read_settings()
    return {
        "host": settings.nodes[0].host,
        "port": settings.nodes[0].port,
        "user": settings.user,
        "password": settings.password,
        "database": settings.database,
    }


def count(rows) -> int:
    number = 0
    for number, _row in enumerate(rows, start=1):  # noqa: B007, a plain loop, as a consumer's
        pass
    return number


# ------------------------------------------------------------------- reading


def stream_users() -> int:
    return count(seed.import_script("0-stream_users").stream_users())


def stream_users_in_batches() -> int:
    batches = seed.import_script("1-batch_processing").stream_users_in_batches(1_000)
    return sum(map(len, batches))


def lazy_paginate() -> int:
    return sum(map(len, seed.import_script("2-lazy_paginate").lazy_paginate(PAGE_SIZE)))


def calculate_average_age() -> int:
    with contextlib.redirect_stdout(io.StringIO()):
        seed.import_script("4-stream_ages").calculate_average_age()
    return 0


def driver_idiom() -> int:
    with contextlib.closing(connector()) as connection:
        cursor = connection.cursor(dictionary=True)
        cursor.execute(ALL_USERS)
        return count(cursor)


def driver_fetchmany() -> int:
    number = 0
    with contextlib.closing(connector()) as connection:
        cursor = connection.cursor(dictionary=True)
        cursor.execute(ALL_USERS)
        while rows := cursor.fetchmany(1_000):
            number += len(rows)
    return number


def driver_fetchall() -> int:
    with contextlib.closing(connector()) as connection:
        cursor = connection.cursor(dictionary=True)
        cursor.execute(ALL_USERS)
        return len(cursor.fetchall())


def mysqlclient_stream(sql: str = ALL_USERS, cursor_name: str = "SSDictCursor") -> int:
    driver = importlib.import_module("MySQLdb")
    cursors = importlib.import_module("MySQLdb.cursors")
    login = credentials() | {"ssl_mode": "REQUIRED" if ENCRYPTED else "DISABLED"}
    with contextlib.closing(driver.connect(charset="utf8mb4", **login)) as connection:
        cursor = connection.cursor(getattr(cursors, cursor_name))
        cursor.execute(sql)
        return count(cursor)


def mysqlclient_ages() -> int:
    return mysqlclient_stream("SELECT age FROM user_data", "SSCursor")


def python_login() -> dict:
    """For PyMySQL and asyncmy."""
    context = None
    if ENCRYPTED:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # As bytes, since they would encode the password as Latin-1.
    password = credentials()["password"].encode()
    return credentials() | {"password": password, "charset": "utf8mb4", "ssl": context}


def pymysql_stream() -> int:
    driver = importlib.import_module("pymysql")
    cursors = importlib.import_module("pymysql.cursors")
    with contextlib.closing(driver.connect(**python_login())) as connection:
        cursor = connection.cursor(cursors.SSDictCursor)
        cursor.execute(ALL_USERS)
        return count(cursor)


async def asyncmy_blocks(cursor_name: str):
    driver = importlib.import_module("asyncmy")
    cursors = importlib.import_module("asyncmy.cursors")
    connection = await driver.connect(**python_login())
    try:
        cursor = connection.cursor(getattr(cursors, cursor_name))
        await cursor.execute(ALL_USERS)
        while rows := await cursor.fetchmany(1_000):
            yield rows
        await cursor.close()
    finally:
        await connection.ensure_closed()


def asyncmy_dicts() -> int:
    async def read() -> int:
        return sum([count(rows) async for rows in asyncmy_blocks("SSDictCursor")])

    return asyncio.run(read())


def asyncmy_tuples() -> int:
    async def read() -> int:
        return sum([count(rows) async for rows in asyncmy_blocks("SSCursor")])

    return asyncio.run(read())


def asyncmy_tuples_to_dicts() -> int:
    """The fastest way from asyncmy to dicts: its tuples, and the columns written out."""

    async def read() -> int:
        number = 0
        async for rows in asyncmy_blocks("SSCursor"):
            number += count(
                [{"user_id": i, "name": n, "email": e, "age": a} for i, n, e, a in rows]
            )
        return number

    return asyncio.run(read())


def servers_own_client() -> int:
    """`mariadb --quick`, whose output goes to /dev/null; the password goes by the environment."""
    settings = credentials()
    command = [
        "mariadb",
        "--no-defaults",
        "--quick",
        "--ssl" if ENCRYPTED else "--skip-ssl",
        "--default-character-set=utf8mb4",
        f"--host={settings['host']}",
        f"--port={settings['port']}",
        f"--user={settings['user']}",
        f"--execute={ALL_USERS}",
        settings["database"],
    ]
    environment = {"MYSQL_PWD": settings["password"], "PATH": "/usr/bin:/usr/local/bin"}
    subprocess.run(command, env=environment, stdout=subprocess.DEVNULL, check=True)
    return 0


def sqlite_idiom() -> int:
    with contextlib.closing(sqlite3.connect(read_settings().file)) as connection:
        cursor = connection.execute(f"{ALL_USERS} ORDER BY user_id")
        names = [column[0] for column in cursor.description]
        return count(dict(zip(names, row, strict=True)) for row in cursor)


def sqlite_ages() -> int:
    with contextlib.closing(sqlite3.connect(read_settings().file)) as connection:
        total = number = 0
        for (age,) in connection.execute("SELECT age FROM user_data"):
            total += age
            number += 1
        return number


# ------------------------------------------------------------------- loading


def load(csv_path: str) -> int:
    """Load a CSV file into a table made anew."""
    with contextlib.closing(fresh_table()) as connection:
        return seed.insert_data(connection, csv_path).added


def load_data_infile(csv_path: str) -> int:
    with contextlib.closing(fresh_table()):
        pass
    with contextlib.closing(connector(allow_local_infile=True)) as connection:
        cursor = connection.cursor()
        cursor.execute(
            "LOAD DATA LOCAL INFILE %s INTO TABLE user_data CHARACTER SET utf8mb4 "
            "FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"' IGNORE 1 LINES",
            (csv_path,),
        )
        connection.commit()
        return cursor.rowcount


def is_encrypted() -> bool:
    """Return whether a connection of mysql.connector, which is ours too, uses TLS here."""
    with contextlib.closing(connector()) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        return bool(cursor.fetchall()[0][1])


def load_row_by_row(csv_path: str) -> int:
    import csv

    with (
        contextlib.closing(fresh_table()) as connection,
        open(csv_path, newline="", encoding="utf-8") as file,
    ):
        reader = csv.reader(file)
        next(reader)
        cursor = connection.cursor()
        number = 0
        for number, row in enumerate(reader, start=1):  # noqa: B007, counted
            cursor.execute(
                "INSERT INTO user_data (user_id, name, email, age) VALUES (%s, %s, %s, %s)", row
            )
        connection.commit()
        return number


def fresh_table():
    with contextlib.closing(seed.connect_db()) as connection:
        seed.create_database(connection)
    connection = seed.connect_to_prodev()
    cursor = connection.cursor()
    cursor.execute("DROP TABLE IF EXISTS user_data")
    cursor.close()
    with contextlib.redirect_stdout(io.StringIO()):
        seed.create_table(connection)
    return connection


def peak_kib() -> int:
    """Return the peak memory of this process; ru_maxrss would begin with that of its parent."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])


def timed(case: Callable, *arguments) -> tuple[float, int]:
    started = time.perf_counter()
    rows = case(*arguments)
    return time.perf_counter() - started, rows


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    seconds, rows = timed(globals()[name], *arguments)
    print(json.dumps({"rows": rows, "seconds": seconds, "peak_kib": peak_kib()}))
