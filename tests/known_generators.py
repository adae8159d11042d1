"""Answers to seed.py and exercises 1 to 4: the checks that each fails, and what must be said of it."""

from pathlib import Path

from known_context import Case

from checker.judge import CRASH, PASS, WRONG

FOLDER = Path(__file__).parent / "known_answers" / "plain" / "python-generators-0x00"
FILES = {
    "seed": "seed.py",
    "1": "0-stream_users.py",
    "2": "1-batch_processing.py",
    "3": "2-lazy_paginate.py",
    "4": "4-stream_ages.py",
}


def _case(
    name: str, exercise: str, changes: dict[str, str], *expected, line: int = 0, hint: str = ""
) -> Case:
    """The plain answer with some changes; what is expected as in Case."""
    text = (FOLDER / FILES[exercise]).read_text(encoding="utf-8")
    if exercise in "34":  # it uses a seed.py, which these answers do not have
        connect = 'mysql.connector.connect(user="root", database="ALX_prodev")'
        text = text.replace('seed = __import__("seed")', "import mysql.connector")
        text = text.replace("seed.connect_to_prodev()", connect)
    for old, new in changes.items():
        assert old in text, (name, old)
        text = text.replace(old, new)
    return Case(name, exercise, text, *expected)._replace(
        hint=hint, **({"line": line} if line else {})
    )


HELPER = """import mysql.connector
from mysql.connector import Error


def connect():
    try:
        return mysql.connector.connect(user="root", database="ALX_prodev")
    except Error as error:
        print(f"Error connecting: {error}")
        return None


def stream_users():
    connection = connect()
    GUARD
    cursor = connection.cursor(dictionary=True)
    try:
        cursor.execute("SELECT * FROM user_data")
        yield from cursor
    finally:
        connection.close()
"""
NEVER_CLOSES = """import mysql.connector


def stream_users():
    connection = mysql.connector.connect(user="root", database="ALX_prodev")
    cursor = connection.cursor(dictionary=True)
    cursor.execute("SELECT * FROM user_data")
    for row in cursor:
        yield row
"""
CURSOR_CLOSE_FIRST = {"    finally:\n": "    finally:\n        cursor.close()\n"}
BATCHES_THAT_LEAK = {
    "    try:\n": "    if True:\n",
    "    finally:\n": "    if True:\n",
    "connection.close()": "pass",
    "ALX_prodev": "alx_Prodev",
}
ON_SQLITE = """import sqlite3


def stream_users():
    connection = sqlite3.connect("users.db")
    try:
        connection.row_factory = sqlite3.Row
        for row in connection.execute("SELECT * FROM user_data"):
            yield dict(row)
    finally:
        connection.close()
"""
SEED_ON_SQLITE = """import sqlite3


def connect_db():
    return sqlite3.connect("users.db")


def create_database(connection):
    pass


def connect_to_prodev():
    return sqlite3.connect("users.db")


def create_table(connection):
    print("Table user_data created successfully")


def insert_data(connection, data):
    pass
"""
CLASS_BASED = """import mysql.connector


class Users:
    def __init__(self):
        self.connection = mysql.connector.connect(user="root", database="ALX_prodev")
        self.cursor = self.connection.cursor(dictionary=True)
        self.cursor.execute("SELECT * FROM user_data")

    def __iter__(self):
        try:
            yield from self.cursor
        finally:
            self.connection.close()


def stream_users(batch_size=100, connection=None):
    return Users()
"""
HIDDEN_CONNECT = {
    "    connection = mysql.connector.connect(": "    try:\n        connection = mysql.connector.connect(",
    '"ALX_prodev"\n    )\n': '"ALX_prodev"\n        )\n    except mysql.connector.Error as error:\n'
    '        print(f"Error: {error}")\n        return\n',
}
UNIQUE = {
    "email VARCHAR(255) NOT NULL": "email VARCHAR(255) NOT NULL UNIQUE",
    "age DECIMAL NOT NULL": "age INT NOT NULL, note TEXT NULL",
}
LOOKS = """            cursor.execute("SELECT user_id FROM user_data WHERE email = %s", (row["email"],))
            if cursor.fetchone():
                continue
"""
INSERT_IGNORE = {LOOKS: "", "INSERT INTO": "INSERT IGNORE INTO"}
LOAD_DATA = {
    'host="localhost", user="root"': 'allow_local_infile=True, user="root"',
    "        for row in": """        cursor.execute(
            f"LOAD DATA LOCAL INFILE '{data}' IGNORE INTO TABLE user_data CHARACTER SET utf8mb4"
            " FIELDS TERMINATED BY ',' ENCLOSED BY '\\"' ESCAPED BY '' IGNORE 1 LINES"
            " (name, email, age) SET user_id = UUID()"
        )
        for row in [] and""",
}
NARROW_AGE = {
    "age DECIMAL NOT NULL": "age DECIMAL(2,0) NOT NULL",
    '            cursor.execute(\n                "INSERT': '            try:\n              cursor.execute(\n                "INSERT',
    "\n    connection.commit()\n": "\n            except mysql.connector.Error as error:\n"
    "                print('row skipped:', error)\n    connection.commit()\n",
}
AT_IMPORT = (
    NEVER_CLOSES.replace("    connection = ", "connection = ")
    .replace("\n\ndef stream_users():\nconnection", "connection")
    .replace("    cursor = ", "\n\ndef stream_users():\n    cursor = ")
)
HIDDEN_KEY_ERROR = {
    "        for row in": "      try:\n        for row in",
    'row["name"]': 'row["nome"]',
    "    connection.commit()\n": "      except Exception as error:\n"
    "        print(f'Error inserting data: {error}')\n    connection.commit()\n",
}
CREATE = '    cursor.execute(\n        """CREATE'
DROPS = {CREATE: f"    cursor.execute('DROP TABLE IF EXISTS user_data')\n{CREATE}"}
HIDES_IN_PROCESSING = {
    "    for batch in": "  try:\n    for batch in",
    "print(user)\n": "print(user)\n  except Exception as error:\n    print(f'Error: {error}')\n",
}
HIDES_IN_PAGE = {
    "    finally:": "    except mysql.connector.Error as error:\n        print(error)\n"
    "        return []\n    finally:"
}
HIDES_IN_AGES = {
    "    finally:": "    except mysql.connector.Error as error:\n        print(error)\n    finally:"
}

BY_NAME = {"email = %s": "name = %s", '(row["email"],)': '(row["name"],)'}
EACH_NAME_ONCE = {
    "        for row in cursor:\n": "        seen = set()\n        for row in cursor:\n"
    '            if row["name"] in seen:\n                continue\n'
    '            seen.add(row["name"])\n'
}
NAMES_ONLY = {"print(user)": "print(user['name'], user['age'])"}
EACH_NAME_PRINTED_ONCE = {
    "    for batch in": "    seen = set()\n    for batch in",
    "> 25:\n": "> 25 and not (user['name'] in seen or seen.add(user['name'])):\n",
}
LAST_ROWS = {
    "    connection.commit()\n": "",
    "    with open": "    done = 0\n    with open",
    'row["age"]),\n            )\n': 'row["age"]),\n            )\n            done += 1\n'
    "            if done % 10 == 0:\n                connection.commit()\n",
}

CASES = [
    # seed.py
    _case("insert ignore, more columns", "seed", UNIQUE | INSERT_IGNORE, PASS),
    _case("load data local", "seed", UNIQUE | LOAD_DATA, PASS),
    _case("signs around the email", "seed", {'row["email"], row["age"])': '"<" + row["email"] + ">", row["age"])'} | INSERT_IGNORE | UNIQUE,
          WRONG, ("values",), "@checker.example', 26], got ["),
    _case("lower-case emails", "seed", {'row["email"], row["age"])': 'row["email"].lower(), row["age"])'} | INSERT_IGNORE | UNIQUE,
          WRONG, ("values",), "'User4@checker.example', 18], got ["),
    _case("ages of two digits", "seed", NARROW_AGE, WRONG, ("rows",), "; it printed: row skipped: 1264 (22003): Out of range"),
    _case("hidden KeyError", "seed", HIDDEN_KEY_ERROR, WRONG, ("rows",),
          "; it printed: Error inserting data: 'nome'", line=49),
    _case("another key", "seed", {"user_id": "id"}, WRONG, ("table",), "has no column user_id, but id"),
    _case("never commits", "seed", {"    connection.commit()\n": ""}, WRONG, ("rows",),
          "0 rows are stored and committed, of the 57 users in the checker's user_data.csv, whose header is ", line=45),
    _case("drops the table", "seed", DROPS, WRONG, ("twice",),
          "deleted a row that another program had added", line=25),
    _case("another database", "seed", {"ALX_prodev": "prodev"}, WRONG, ("database",), "the databases are prodev", line=13),
    _case("loses the last rows", "seed", LAST_ROWS, WRONG, ("rows",), "; missing: the last 7", line=50),
    _case("looks up names", "seed", BY_NAME, WRONG, ("rows",), "; missing: the second of the same name", line=41,
          hint="Two people can have the same name"),
    _case("skips the first row", "seed", {"        for row in csv.DictReader(file)": "        reader = csv.DictReader(file)\n        next(reader)\n        for row in reader"},
          WRONG, ("rows",), "; missing: the first one", line=41),
    _case("inserts again", "seed", {"                continue\n": "                pass\n"},
          WRONG, ("twice",), "the first run stored 57 rows, and the second added 57"),
    Case("sqlite", "seed", SEED_ON_SQLITE, WRONG, ("database",), "no connection to a MySQL server was made"),

    # The streams
    Case("class based", "1", CLASS_BASED),
    Case("sqlite", "1", ON_SQLITE, WRONG, ("rows",), "it uses SQLite"),
    Case("connect gives None, so no users", "1", HELPER.replace("GUARD", "if connection is None:\n        return"),
         WRONG, ("errors",), "with a server that refuses connections, stream_users() raised no error; it printed: Error connecting: 200", 8),
    Case("connect gives None", "1", HELPER.replace("GUARD", ""), WRONG, ("errors",),
         "'NoneType' object has no attribute 'cursor', and the database's error is lost; it printed: Error connecting: 200", 8),
    Case("connect raises", "1", HELPER.replace("GUARD", "").replace("return None", "raise")),
    Case("never closes", "1", NEVER_CLOSES, WRONG, ("closed", "stop early"),
         "stream_users(), read to the end, opens 1 connection that your code never closes", 5),
    Case("keeps what it never closes", "1", NEVER_CLOSES.replace("users():", "users(kept=[]):")
         .replace("    for", "    kept.append(connection)\n    for"),
         WRONG, ("closed", "stop early"), "opens 1 connection that your code never closes", 5),
    Case("connects at import", "1", AT_IMPORT, WRONG, ("closed",),
         "importing the file opens 1 connection that your code never closes", 2),
    _case("cursor closes first", "1", CURSOR_CLOSE_FIRST, WRONG, ("stop early",),
          "InternalError: Unread result found: this error came before your code had closed", line=14),
    _case("gives nothing", "1", {"yield row": "pass"}, WRONG, ("rows",), "expected a list of users, got None"),
    _case("each name once", "1", EACH_NAME_ONCE, WRONG, ("rows",),
          "1 of 57 users are missing: the second of the same name", line=13, hint="Two people can have the same name"),
    _case("wrong parameters", "1", {"stream_users()": "stream_users(connection)"}, CRASH, ("rows",), "missing 1 required"),
    _case("another spelling, and leaks", "2", BATCHES_THAT_LEAK, WRONG, ("closed", "stop early"), "opens 1 connection that your code never closes"),
    _case("stops after a batch", "2", {"                print(user)\n": "                print(user)\n        return\n"},
          WRONG, ("filter",), "users older than 25 are missing: the last ", line=22),
    _case("includes users aged 25", "2", {"> 25": ">= 25"}, WRONG, ("filter",), "users aged 25", line=20),
    _case("offset grows by one", "3", {"offset += page_size": "offset += 1"}, WRONG, ("rows",), "more than once", line=23),
    _case("swaps the numbers of LIMIT", "3", {"LIMIT %s OFFSET %s": "LIMIT %s, %s"}, WRONG, ("rows", "single page"),
          "57 of 57 users are missing"),
    _case("rows of ages", "4", {"for (age,) in cursor:": "for age in cursor:"}, WRONG, ("ages", "average"), "got rows like [26]"),
    _case("prints each name once", "2", EACH_NAME_PRINTED_ONCE, WRONG, ("filter",),
          "1 of the 44 users older than 25 are missing: the second of the same name", line=21),
    _case("prints names only", "2", NAMES_ONLY, PASS),
    _case("prints each name once, and names only", "2", EACH_NAME_PRINTED_ONCE | NAMES_ONLY, WRONG, ("filter",), "users older than 25 are missing"),
    _case("processing hides", "2", HIDES_IN_PROCESSING, WRONG, ("errors",),
          "with the table dropped, batch_processing() raised no error; it printed: Error: 1146", line=23),
    _case("generator hides", "2", HIDDEN_CONNECT, WRONG, ("errors",),
          "with a server that refuses connections, stream_users_in_batches() raised no error; it printed: Error: 200", line=9),
    _case("too few users in a batch", "2", {"FROM user_data": "FROM user_data WHERE age > 25"},
          WRONG, ("rows",), "13 of 57 users are missing: those aged 25 or less", line=10),
    _case("loses the last batch", "2", {"            yield batch": "            if len(batch) == batch_size:\n                yield batch"},
          WRONG, ("rows",), "7 of 57 users are missing: the last 7", line=12),
    _case("more parameters", "2", {"(batch_size):\n    conn": "(batch_size=10, limit=None, c=None):\n    conn"}, PASS),
    _case("sorted by email", "3", {"ORDER BY user_id": "ORDER BY email"}, PASS),
    _case("loses a user between two pages", "3", {"offset += page_size": "offset += page_size + 1"},
          WRONG, ("rows",), "5 of 57 users are missing: one after every 10 rows", line=23),
    _case("leaves the last page's connection open", "3", {"    try:\n": "    if True:\n", "        return cursor.fetchall()\n    finally:\n": "        page = cursor.fetchall()\n        if not page:\n            return page\n    if True:\n", "connection.close()": "connection.close()\n        return page"},
          WRONG, ("closed",), "opens 7 connections, and your code does not close 1 of them", line=15),
    _case("closes after the loop", "4", {"    try:\n": "    if True:\n", "    finally:\n": "    if True:\n"},
          WRONG, ("stop early",), "your code never closed the connection", line=12),
    _case("counts one more", "4", {"total = count = 0": "total, count = 0, 1", " if count else 0": ""},
          WRONG, ("average",), "expected 43.93, got 43.17: the sum divided by 58, not by 57", line=16),
    _case("no fraction", "4", {"total / count": "total // count"}, WRONG, ("average",), "got 43, without its fraction", line=20),
    _case("page hides", "3", HIDES_IN_PAGE, WRONG, ("errors",),
          "with the table dropped, lazy_paginate() raised no error; it printed: 1146", line=12),
    _case("divides by zero", "4", {" if count else 0": ""} | HIDES_IN_AGES, WRONG, ("empty", "errors"),
          "with an empty table, computing the average raised ZeroDivisionError"),
    _case("one decimal", "4", {":.2f}": ":.1f}"}, WRONG, ("average",), "expected 43.93, got 43.9"),
    _case("no decimals", "4", {":.2f}": ":.0f}"}, WRONG, ("average",), "expected 43.93, got 44"),
    _case("all decimals", "4", {":.2f}": "}"}, PASS),
    _case("cut off", "4", {"{average:.2f}": "{int(average * 100) / 100}"}, WRONG, ("average",), "got 43.92"),
]  # fmt: skip
