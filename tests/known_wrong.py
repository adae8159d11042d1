"""Known-wrong answers: for every check one, made of the known-right one by a single change.

Each says exercise, check, and what to put in place of what in tests/known_answers/plain; or, under
"+", what to add at the end.
"""

from typing import NamedTuple


class Wrong(NamedTuple):
    exercise: str
    check: str
    changes: dict[str, str]


CLOSE_AFTER_LOOP = {"    try:\n": "    if True:\n", "    finally:\n": "    if True:\n"}
CLOSED_ONLY_IF_STOPPED = {"    finally:\n": "    except GeneratorExit:\n"}
SWALLOW = {
    "    finally:\n": "    except mysql.connector.Error as error:\n        print(error)\n    finally:\n"
}
SWALLOW_ALL = {
    "    finally:\n": "    except Exception as error:\n        print(error)\n    finally:\n"
}
CURSOR_FIRST = {
    "    finally:\n        connection.close()": "    finally:\n        try:\n"
    "            cursor.close()\n        finally:\n            connection.close()"
}
DEMO = {"+": "\nraise ValueError('the demo fails')\n"}
NO_WRAPS = {"@functools.wraps(func)": "# no functools.wraps"}
LEAKING_DEMO = {
    "+": "\n\nimport sqlite3\n\n\ndef with_db_connection(func):\n    def wrapper(*args, **kwargs):\n"
    "        return func(sqlite3.connect('users.db'), *args, **kwargs)\n    return wrapper\n\n\n"
}

KNOWN_WRONG = [
    Wrong("seed", "database", {"ALX_prodev": "another_one"}),
    Wrong("seed", "table", {"user_id VARCHAR(36) PRIMARY KEY": "user_id VARCHAR(36)"}),
    Wrong("seed", "rows", {"for row in csv.DictReader(file):": "for row in list(csv.DictReader(file))[:-1]:"}),
    Wrong("seed", "values", {'row["name"], row["email"], row["age"]': 'row["name"].upper(), row["email"], row["age"]'}),
    Wrong("seed", "twice", {"if cursor.fetchone():": "if not cursor.fetchall and cursor.fetchone():",
                            'cursor.execute("SELECT user_id FROM user_data WHERE email = %s", (row["email"],))': "pass"}),
    Wrong("seed", "said", {'print("Table user_data created successfully")': "pass"}),
    Wrong("seed", "demo", DEMO),
    Wrong("seed", "import", {"+": "\nconnection = connect_db()\ncreate_database(connection)\nconnection.close()\n"}),

    Wrong("1", "rows", {"yield row": 'if row["age"] != 40:\n                yield row'}),
    Wrong("1", "lazy", {"for row in cursor:": "for row in cursor.fetchall():"}),
    Wrong("1", "stop early", CLOSE_AFTER_LOOP),
    Wrong("1", "stop quietly", CURSOR_FIRST),
    Wrong("1", "closed", CLOSED_ONLY_IF_STOPPED),
    Wrong("1", "errors", SWALLOW),
    Wrong("1", "demo", DEMO),
    Wrong("1", "import", {"+": "\nprint(next(stream_users()))\n"}),

    Wrong("2", "rows", {"FROM user_data": "FROM user_data WHERE age <> 18"}),
    Wrong("2", "sizes", {"cursor.fetchmany(batch_size)": "cursor.fetchmany(batch_size + 1)"}),
    Wrong("2", "filter", {"> 25": ">= 25"}),
    Wrong("2", "lazy", {"cursor(dictionary=True)": "cursor(dictionary=True, buffered=True)"}),
    Wrong("2", "stop early", CLOSE_AFTER_LOOP),
    Wrong("2", "stop quietly", CURSOR_FIRST),
    Wrong("2", "closed", CLOSED_ONLY_IF_STOPPED),
    Wrong("2", "errors", SWALLOW),
    Wrong("2", "prints", {"print(user)": "yield user"}),
    Wrong("2", "order by", {'cursor.execute("SELECT * FROM user_data")\n        while batch := cursor.fetchmany(batch_size):\n            yield batch':
                            'offset = 0\n        while True:\n            cursor.execute(f"SELECT * FROM user_data LIMIT {batch_size} OFFSET {offset}")\n'
                            "            batch = cursor.fetchall()\n            if not batch:\n                return\n"
                            "            yield batch\n            offset += batch_size"}),
    Wrong("2", "demo", DEMO),
    Wrong("2", "import", {"+": "\nbatch_processing(5)\n"}),

    Wrong("3", "rows", {"yield page\n        offset": "if len(page) == page_size:\n            yield page\n        offset"}),
    Wrong("3", "sizes", {"if not page:\n            return\n        yield page": "yield page\n        if not page:\n            return"}),
    Wrong("3", "order", {"        yield page\n": "        yield page[::-1]\n"}),
    Wrong("3", "single page", {"def paginate_users(": "def _fetch(", "page = paginate_users(": "page = _fetch(",
                               "def lazy_paginate": "def paginate_users(page_size, offset):\n    return _fetch(page_size, page_size * offset)\n\n\ndef lazy_paginate"}),
    Wrong("3", "lazy", {"    offset = 0\n": "    offset = 0\n    everybody = paginate_users(10**6, 0)\n"}),
    Wrong("3", "stop early", {"    connection = seed.connect_to_prodev()\n": "    connection = held or seed.connect_to_prodev()\n",
                              "def paginate_users(page_size, offset):": "def paginate_users(page_size, offset, held=None):",
                              "    offset = 0\n": "    offset = 0\n    held = seed.connect_to_prodev()\n",
                              "            return\n        yield page": "            held.close()\n            return\n        yield page"}),
    Wrong("3", "stop quietly", {"        yield page\n": "        try:\n            yield page\n        except GeneratorExit:\n            raise RuntimeError('not yet') from None\n"}),
    Wrong("3", "closed", {"        if not page:\n            return\n": "        if not page:\n            global left\n            left = seed.connect_to_prodev()\n            return\n"}),
    Wrong("3", "errors", SWALLOW_ALL | {"        if not page:": "        if page is None or not page:"}),
    Wrong("3", "order by", {" ORDER BY user_id": ""}),
    Wrong("3", "demo", DEMO),
    Wrong("3", "import", {"+": "\nprint(next(lazy_paginate(3)))\n"}),

    Wrong("4", "ages", {"            yield age\n": "            yield age + 1\n", "total += age": "total += age - 1"}),
    Wrong("4", "average", {"{average:.2f}": "{average // 10:.2f}"}),
    Wrong("4", "no list", {"    for age in stream_user_ages():": "    for age in list(stream_user_ages()):"}),
    Wrong("4", "no AVG", {"    average = total / count": "    connection = seed.connect_to_prodev()\n    cursor = connection.cursor()\n"
                          '    cursor.execute("SELECT AVG(age) FROM user_data")\n    cursor.fetchall()\n    connection.close()\n    average = total / count'}),
    Wrong("4", "empty", {" if count else 0": ""}),
    Wrong("4", "lazy", {"for (age,) in cursor:": "for (age,) in cursor.fetchall():"}),
    Wrong("4", "stop early", CLOSE_AFTER_LOOP),
    Wrong("4", "stop quietly", CURSOR_FIRST),
    Wrong("4", "closed", CLOSED_ONLY_IF_STOPPED),
    Wrong("4", "errors", SWALLOW_ALL),
    Wrong("4", "demo", DEMO),
    Wrong("4", "import", {"+": "\ncalculate_average_age()\n"}),

    Wrong("5", "logged", {'kwargs.get("query") or args[0]': 'kwargs.get("query")'}),
    Wrong("5", "result", {"return func(*args, **kwargs)": "result = func(*args, **kwargs)\n        return result if len(result) > 2 else None"}),
    Wrong("5", "before", {'print(f"Executing query: {query}")\n        return func(*args, **kwargs)': 'result = func(*args, **kwargs)\n        print(f"Executing query: {query}")\n        return result'}),
    Wrong("5", "raises", {"return func(*args, **kwargs)": "try:\n            return func(*args, **kwargs)\n        except Exception as error:\n            print(error)"}),
    Wrong("5", "wraps", NO_WRAPS),
    Wrong("5", "demo rows", {"cursor.fetchall()": "cursor.fetchmany(10)"}),
    Wrong("5", "closed", {"    conn.close()\n": ""}),
    Wrong("5", "demo", DEMO),
    Wrong("5", "import", {"+": "\nusers = fetch_all_users(query='SELECT * FROM users')\n"}),

    Wrong("6", "connection", {"func(conn, *args, **kwargs)": "func(*args, conn, **kwargs)",
                              "def get_user_by_id(conn, user_id):": "def get_user_by_id(conn, user_id):\n    conn, user_id = (user_id, conn) if isinstance(conn, int) else (conn, user_id)"}),
    Wrong("6", "result", {"return func(conn, *args, **kwargs)": "result = func(conn, *args, **kwargs)\n            return result if isinstance(result, tuple) else None"}),
    Wrong("6", "closed", {"        try:\n            return func(conn, *args, **kwargs)\n        finally:\n            conn.close()":
                          "        try:\n            return func(conn, *args, **kwargs)\n        except Exception:\n            conn.close()\n            raise"}),
    Wrong("6", "closed on error", {"        try:\n            return func(conn, *args, **kwargs)\n        finally:\n            conn.close()":
                                   "        result = func(conn, *args, **kwargs)\n        conn.close()\n        return result"}),
    Wrong("6", "raises", {"        finally:": "        except Exception as error:\n            print(error)\n        finally:"}),
    Wrong("6", "wraps", NO_WRAPS),
    Wrong("6", "demo rows", {"WHERE id = ?": "WHERE id > ?"}),
    Wrong("6", "demo", DEMO),
    Wrong("6", "import", {"+": "\nuser = get_user_by_id(user_id=1)\n"}),

    Wrong("7", "commits", {"            conn.commit()\n": "            if args[1:] != ('committed',):\n                conn.commit()\n"}),
    Wrong("7", "rolls back", {"            conn.rollback()\n": ""}),
    Wrong("7", "raises", {"            raise\n": "            return None\n"}),
    Wrong("7", "result", {"            return result\n": "            return None\n"}),
    Wrong("7", "wraps", NO_WRAPS),
    Wrong("7", "demo rows", {"WHERE id = ?": "WHERE id = -?"}),
    Wrong("7", "closed", {"with_db_connection = __import__(\"1-with_db_connection\").with_db_connection\n":
                          "import sqlite3\n\n\ndef with_db_connection(func):\n    def wrapper(*args, **kwargs):\n"
                          "        return func(sqlite3.connect('users.db'), *args, **kwargs)\n\n    return wrapper\n"}),
    Wrong("7", "demo", DEMO),
    Wrong("7", "import", {"+": "\nupdate_user_email(user_id=1, new_email='a@b.c')\n"}),

    Wrong("8", "retries", {'"locked" in str(error)': 'type(error) is Exception', "raise\n": "raise\n                    return None\n"}),
    Wrong("8", "attempts", {"range(retries)": "range(retries + 1)", "attempt == retries - 1": "attempt == retries"}),
    Wrong("8", "gives up", {"if attempt == retries - 1 or not passes:\n                        raise": "if not passes:\n                        raise\n                    if attempt == retries - 1:\n                        return None"}),
    Wrong("8", "waits", {"time.sleep(delay)": "time.sleep(0)"}),
    Wrong("8", "last sleep", {"                    if attempt == retries - 1": "                    time.sleep(delay)\n                    if attempt == retries - 1",
                              "                time.sleep(delay)\n\n": "\n"}),
    Wrong("8", "wraps", NO_WRAPS),
    Wrong("8", "demo rows", {"SELECT * FROM users": "SELECT * FROM users LIMIT 5"}),
    Wrong("8", "closed", {"with_db_connection = __import__(\"1-with_db_connection\").with_db_connection\n":
                          "import sqlite3\n\n\ndef with_db_connection(func):\n    def wrapper(*args, **kwargs):\n"
                          "        return func(sqlite3.connect('users.db'), *args, **kwargs)\n\n    return wrapper\n"}),
    Wrong("8", "retries everything", {" or not passes": ""}),
    Wrong("8", "demo", DEMO),
    Wrong("8", "import", {"+": "\nusers = fetch_users_with_retry()\n"}),

    Wrong("9", "hit", {"if key not in query_cache:": "if key not in query_cache or 'age > 30' in str(kwargs):"}),
    Wrong("9", "query in key", {"key = (args,": "key = ('email' in str(kwargs) or args,", "tuple(sorted(kwargs.items()))": "str(kwargs).replace('id, email', 'id, name').replace('40', '30')",
                                "('email' in str(kwargs) or args,": "(args,"}),
    Wrong("9", "parameters in key", {"tuple(sorted(kwargs.items()))": "kwargs.get('query')"}),
    Wrong("9", "positional", {"key = (args, ": "key = ("}),
    Wrong("9", "raises", {"query_cache[key] = func(conn, *args, **kwargs)": "try:\n                query_cache[key] = func(conn, *args, **kwargs)\n            except Exception as error:\n                print(error)\n                return []"}),
    Wrong("9", "wraps", NO_WRAPS),
    Wrong("9", "demo rows", {"return cursor.fetchall()": "return cursor.fetchmany(3)"}),
    Wrong("9", "closed", {"with_db_connection = __import__(\"1-with_db_connection\").with_db_connection\n":
                          "import sqlite3\n\n\ndef with_db_connection(func):\n    def wrapper(*args, **kwargs):\n"
                          "        return func(sqlite3.connect('users.db'), *args, **kwargs)\n\n    return wrapper\n\n\n"}),
    Wrong("9", "shared list", {"return list(query_cache[key])": "return query_cache[key]"}),
    Wrong("9", "stale", {", version)": ")"}),
    Wrong("9", "demo", DEMO),
    Wrong("9", "import", {"+": "\nusers = fetch_users_with_cache(query='SELECT * FROM users')\n"}),

    Wrong("10", "rows", {"return self.conn\n": "return self.conn.execute('SELECT 1')\n", "self.conn = sqlite3.connect(self.db_name)": "self.conn = sqlite3.connect(self.db_name)\n        self.conn.execute('DELETE FROM users WHERE id = 1')"}),
    Wrong("10", "closed", {"        self.conn.close()": "        if exc_type:\n            self.conn.close()"}),
    Wrong("10", "closed on error", {"        self.conn.close()": "        if not exc_type:\n            self.conn.close()"}),
    Wrong("10", "raises", {"        self.conn.close()": "        self.conn.close()\n        return True"}),
    Wrong("10", "demo", DEMO),
    Wrong("10", "import", {"+": "\nwith DatabaseConnection('users.db') as conn:\n    conn.execute('SELECT * FROM users').fetchall()\n"}),

    Wrong("11", "rows", {"return cursor.fetchall()": "return cursor.fetchmany(42)"}),
    Wrong("11", "parameters", {"self.params)": "(25,) if self.params == (40,) else self.params)"}),
    Wrong("11", "quote", {"cursor.execute(self.query, self.params)": "cursor.execute(self.query.replace('?', repr(self.params[0]).replace(chr(34), chr(39))))"}),
    Wrong("11", "closed", {"traceback):\n        self.conn.close()": "traceback):\n        if exc_type:\n            self.conn.close()"}),
    Wrong("11", "closed on error", {"traceback):\n        self.conn.close()": "traceback):\n        if not exc_type:\n            self.conn.close()"}),
    Wrong("11", "raises", {"traceback):\n        self.conn.close()": "traceback):\n        self.conn.close()\n        return True"}),
    Wrong("11", "bad query", {"            self.conn.close()\n            raise": "            self.conn.close()\n            return []"}),
    Wrong("11", "closed on bad query", {"            self.conn.close()\n            raise": "            raise"}),
    Wrong("11", "demo", DEMO),
    Wrong("11", "import", {"+": "\nwith ExecuteQuery('SELECT * FROM users') as rows:\n    print(rows)\n"}),

    Wrong("12", "all users", {'"SELECT * FROM users") as': '"SELECT * FROM users LIMIT 9") as',
                              "return await asyncio.gather(async_fetch_users(), async_fetch_older_users())":
                              "_, older = await asyncio.gather(async_fetch_users(), async_fetch_older_users())\n"
                              "    async with aiosqlite.connect('users.db') as db:\n        return await db.execute_fetchall('SELECT * FROM users'), older"}),
    Wrong("12", "older users", {"age > ?": "age >= ?", "return await asyncio.gather(async_fetch_users(), async_fetch_older_users())":
                                "users, older = await asyncio.gather(async_fetch_users(), async_fetch_older_users())\n"
                                "    return users, [user for user in older if user[3] > 40]"}),
    Wrong("12", "both", {"return await asyncio.gather": "await asyncio.gather"}),
    Wrong("12", "concurrent", {"return await asyncio.gather(async_fetch_users(), async_fetch_older_users())":
                               "return await async_fetch_users(), await async_fetch_older_users()"}),
    Wrong("12", "async", {"import asyncio\n": "import asyncio\nimport time\n",
                          "_older_users():\n    async": "_older_users():\n    time.sleep(1)\n    async"}),
    Wrong("12", "closed", {'    async with aiosqlite.connect("users.db") as db:\n        async with db.execute("SELECT * FROM users") as cursor:\n            return await cursor.fetchall()':
                           '    db = await aiosqlite.connect("users.db")\n    return await db.execute_fetchall("SELECT * FROM users")'}),
    Wrong("12", "errors", {'    async with aiosqlite.connect("users.db") as db:\n        async with db.execute("SELECT * FROM users") as cursor:\n            return await cursor.fetchall()':
                           '    try:\n        async with aiosqlite.connect("users.db") as db:\n            return await db.execute_fetchall("SELECT * FROM users")\n'
                           "    except aiosqlite.Error as error:\n        print(error)"}),
    Wrong("12", "demo", DEMO),
    Wrong("12", "import", {'if __name__ == "__main__":\n    asyncio': "asyncio"}),
]  # fmt: skip
