"""Small answers to exercises 5 to 9: the verdict on each, and for a wrong one the check that fails.

A comment `# here` marks the line that the report must name.
"""

from typing import NamedTuple

from checker.judge import CRASH, PASS, TIMEOUT, WRONG


class Case(NamedTuple):
    exercise: str
    text: str
    verdict: str = PASS
    check: str = ""  # the only check that fails
    said: str = ""  # words of the report: what happened, then the hint


DEMO = """
@log_queries
def fetch_all_users(query):
    conn = sqlite3.connect("users.db")
    try:
        return conn.execute(query).fetchall()
    finally:
        conn.close()
"""


def log(body: str, imports: str = "import functools\nimport logging\nimport sqlite3\n") -> str:
    """An answer to exercise 5 whose wrapper has this body; \\n stands for a new line of it."""
    body = body.replace("\n", "\n        ")
    return (
        f"{imports}\n\ndef log_queries(func):\n    @functools.wraps(func)\n"
        f"    def wrapper(*args, **kwargs):\n        {body}\n\n    return wrapper\n\n{DEMO}"
    )


def decorator(name: str, body: str, before: str = "", parameters: str = "*args, **kwargs") -> str:
    """An answer to exercise 6, 7 or 9 whose wrapper has this body."""
    body = body.replace("\n", "\n        ")
    return (
        f"import functools\nimport sqlite3\n{before}\n\ndef {name}(func):\n    @functools.wraps(func)\n"
        f"    def wrapper({parameters}):\n        {body}\n\n    return wrapper\n"
    )


def connect(body: str, before: str = "") -> str:
    return decorator("with_db_connection", f'conn = sqlite3.connect("users.db")\n{body}', before)


def transact(body: str, parameters: str = "conn, *args, **kwargs") -> str:
    return decorator("transactional", body, "", parameters)


def retry(body: str, parameters: str = "*args, **kwargs") -> str:
    body = body.replace("\n", "\n            ")
    return (
        "import functools\nimport sqlite3\nimport time\n\n\ndef retry_on_failure(retries=3, delay=2):\n"
        "    def decorate(func):\n        @functools.wraps(func)\n"
        f"        def wrapper({parameters}):\n            {body}\n\n"
        "        return wrapper\n\n    return decorate\n"
    )


def cache(body: str, parameters: str = "conn, *args, **kwargs") -> str:
    return decorator("cache_query", body, "query_cache = {}", parameters)


def keep(key: str, call: str = "func(conn, *args, **kwargs)") -> str:
    return f"key = {key}\nif key not in query_cache:\n    query_cache[key] = {call}\nreturn query_cache[key]"


QUERY = "query = kwargs.get('query') or args[0]\nprint(query)\n"
CACHED = """

@cache_query
def fetch_cached(conn, query):
    return conn.execute(query).fetchall()


def fetch_users_with_cache(query):
    conn = sqlite3.connect("users.db")
    try:
        return fetch_cached(conn, query=query)
    finally:
        conn.close()
"""
LOOP = """for attempt in range({}):
    try:
        return func(*args, **kwargs)
    except Exception{}
{}    if attempt < {} - 1:
        time.sleep({}){}"""
ALL_ARGUMENTS = "(args, tuple(sorted(kwargs.items())))"
KEY = "kwargs.get('query') or args[0]"


def loop(*, times="retries", wait="delay", end="", handler="") -> str:
    keep_error = f"{handler} as error:\n        last = error\n"
    return LOOP.format(times, keep_error, "", times, wait, "") + f"\n{end or 'raise last'}"


RIGHT = "try:\n    result = func(conn, *args, **kwargs)\n    conn.commit()\n    return result\nexcept Exception:\n    conn.rollback()\n    raise"
OPENS = """

def with_db_connection(func):
    @functools.wraps(func)
    def opened(*args, **kwargs):
        conn = sqlite3.connect("users.db", isolation_level=None)  # here
        try:
            return func(conn, *args, **kwargs)
        finally:
            conn.close()

    return opened


@with_db_connection
@transactional
def update_user_email(conn, user_id, new_email):
    conn.execute("UPDATE users SET email = ? WHERE id = ?", (new_email, user_id))
"""
WITH_TRANSACTIONS = OPENS.replace(", isolation_level=None)  # here", ")")


def constraint(body: str) -> str:
    """A wrapper's body that hides sqlite3.IntegrityError alone."""
    body = body.replace("\n", "\n    ")
    return f"try:\n    {body}\nexcept sqlite3.IntegrityError as e:  # here\n    print('Constraint:', e)"


LOG_CLASS = f"""import functools
import sqlite3


class log_queries:
    def __init__(self, func):
        self.func = func
        functools.update_wrapper(self, func)

    def __call__(self, *args, **kwargs):
        print(kwargs.get("query", args[0] if args else None))
        self.func(*args, **kwargs)  # here

{DEMO}"""
LOG_WITH_LEVEL = f"""import functools
import logging
import sqlite3

logging.basicConfig(level=logging.INFO)


def log_queries(level=logging.DEBUG):
    def decorate(func):
        @functools.wraps(func)
        def wrapper(query):
            logging.log(level, query)
            return func(query)

        return wrapper

    return decorate

{DEMO.replace("@log_queries", "@log_queries(level=logging.INFO)")}"""
LOG_EITHER = f"""import functools
import sqlite3


def log_queries(func=None, *, prefix="SQL"):
    if func is None:
        return functools.partial(log_queries, prefix=prefix)

    @functools.wraps(func)
    def wrapper(*args, **kwargs):
        print(prefix, *args, *kwargs.values())
        return func(*args, **kwargs)

    return wrapper

{DEMO}"""
UNDER_GUARD = log(QUERY + "return func(*args, **kwargs)").replace(
    DEMO, 'if __name__ == "__main__":\n    @log_queries\n'
    "    def fetch_all_users(query):  # here\n        return []\n"
)  # fmt: skip
NO_WRAPPER = "import sqlite3\n\n\ndef log_queries(func):  # here\n    print(func)\n\n" + DEMO
LOST_DEMO = (
    connect("try:\n    return func(conn, *args, **kwargs)\nfinally:\n    conn.close()")
    + "\n\ndef checked(func):\n    pass\n\n\n@with_db_connection\n@checked\n"
    "def helper(conn):\n    pass\n\n\n@checked\n@with_db_connection\n"
    "def get_user_by_id(conn, user_id):  # here\n    return None\n"
)
LATER = '\nif __name__ == "__main__":\n    logging.basicConfig(level=logging.INFO)\n'
INFO = "query = kwargs.get('query') or args[0]\nlogging.getLogger('sql').info(query)  # here\n"

CASES = {
    # 5
    "log: prints another text": Case("5", log("print('Calling', func.__name__)  # here\nreturn func(*args, **kwargs)"), WRONG, "logged", "did not show its SQL; it printed: Calling fetch_all_users"),
    "log: one row": Case("5", log(QUERY + "return func(*args, **kwargs)").replace(".fetchall()", ".fetchone()  # here"), WRONG, "demo rows", "Print what it returns: all rows, or a single one?"),
    "log: class without return": Case("5", LOG_CLASS, WRONG, "result", "returned None instead of ['result of', \"SELECT 'keyword' AS checker_marker\"] What does __call__ return"),
    "log: with arguments": Case("5", LOG_WITH_LEVEL),
    "log: with or without arguments": Case("5", LOG_EITHER),
    "log: only query=": Case("5", log("print(kwargs['query'])  # here\nreturn func(*args, **kwargs)"), CRASH, "logged",
                             "fetch_all_users(\"SELECT 'positional' AS checker_marker\"), decorated with @log_queries, raised KeyError: 'query'"),
    "log: swallows sqlite3.Error": Case(
        "5", log(QUERY + "try:\n    return func(*args, **kwargs)\nexcept sqlite3.Error as e:  # here\n    print('Error:', e)"),
        WRONG, "raises", "OperationalError: no such column: nothing, but the caller got no error; it printed: Error: no such"),
    "log: swallows LookupError": Case(
        "5", log(QUERY + "try:\n    return func(*args, **kwargs)\nexcept LookupError:  # here\n    return []"),
        WRONG, "raises", "raised LookupError: raised inside, but the caller got no error"),
    "log: swallows and prints the word raise": Case(
        "5", log(QUERY + "try:\n    return func(*args, **kwargs)\nexcept LookupError:  # here\n    print('raise your hand')"),
        WRONG, "raises", "raised LookupError: raised inside, but the caller got no error"),
    "log: swallows IntegrityError": Case("5", log(QUERY + constraint("return func(*args, **kwargs)")), WRONG, "raises", "raised IntegrityError: UNIQUE constraint failed: users.email, but the caller got no error; it printed: Constraint: UNIQUE"),
    "log: return in finally": Case(
        "5", log(QUERY + "rows = []\ntry:\n    rows = func(*args, **kwargs)\nfinally:\n    return rows  # here"),
        WRONG, "raises", "but the caller got no error This `return` discards the error"),
    "log: suppresses": Case(
        "5", log("import contextlib\n" + QUERY + "with contextlib.suppress(Exception):  # here\n    return func(*args, **kwargs)"),
        WRONG, "raises", "raised LookupError: raised inside, but the caller got no error A decorator"),
    "log: called by the decorator": Case(
        "5", log(QUERY + "return func(*args, **kwargs)").replace("return wrapper", "return wrapper('SELECT 1')"),
        WRONG, "logged", "log_queries turns a function into a value of type list, which cannot be called"),
    "log: wrapper takes nothing": Case(
        "5", log("print()\nreturn func()").replace("*args, **kwargs):", "):  # here"), CRASH, "logged", "raised TypeError"),
    "log: loses the error": Case(
        "5", log(QUERY + "try:\n    return func(*args, **kwargs)\nexcept Exception:\n    pass\nraise RuntimeError('no')  # here"),
        WRONG, "raises", "the caller got RuntimeError: no, without the first error as its cause A bare"),
    "log: names the error as cause": Case(
        "5", log(QUERY + "try:\n    return func(*args, **kwargs)\nexcept Exception as e:\n    raise RuntimeError('no') from e")),
    "log: mistake in the handler": Case(
        "5", log(QUERY + "try:\n    return func(*args, **kwargs)\nexcept Exception as e:\n    print('Error: ' + e)  # here\n    raise"),
        CRASH, "raises", "and then the wrapper raised TypeError: can only concatenate str"),
    "log: level is not shown": Case(
        "5", log(INFO + "return func(*args, **kwargs)"), WRONG, "logged", "logged its SQL below the level that is shown"),
    "log: configured without level": Case(
        "5", log(INFO + "return func(*args, **kwargs)", "import functools\nimport logging\nimport sqlite3\n\nlogging.basicConfig()\n")
        .replace("  # here", ""), WRONG, "logged", "below the level"),
    "log: configured by the main guard": Case("5", log(INFO + "return func(*args, **kwargs)").replace("  # here", "") + LATER),
    "log: to a file in a folder": Case(
        "5", log("import os\nos.makedirs('logs', exist_ok=True)\nwith open('logs/sql.log', 'a') as file:\n"
                 "    file.write(str(args) + str(kwargs))\nreturn func(*args, **kwargs)")),
    "log: no wrapper": Case("5", NO_WRAPPER, WRONG, "logged", "log_queries turns a function into a value of type NoneType"),
    "log: demo under the guard": Case("5", UNDER_GUARD, WRONG, "demo rows", "importing the file does not define fetch_all_users"),

    # 6
    "connection: own TypeError": Case(
        "6", decorator("with_db_connection", "conn = sqlite3.connect()  # here\nreturn func(conn, *args, **kwargs)"),
        CRASH, "connection", "the checker's function get_user_by_id(user_id=3), decorated with @with_db_connection, raised TypeError: connect() missing"),
    "connection: `with` does not close": Case(
        "6", decorator("with_db_connection", "with sqlite3.connect('users.db') as conn:  # here\n    return func(conn, *args, **kwargs)"),
        WRONG, "closed", "the connection is still open Does close() run in this case, before the call ends? `with`"),
    "connection: closed after LookupError only": Case(
        "6", connect("try:\n    rows = func(conn, *args, **kwargs)\nexcept LookupError:\n    conn.close()  # here\n    raise\nconn.close()\nreturn rows"),
        WRONG, "closed on error", "no such column: nothing, the connection is still open"),
    "connection: swallows sqlite3.Error": Case(
        "6", connect("try:\n    return func(conn, *args, **kwargs)\nexcept sqlite3.Error as e:  # here\n    print(e)\nfinally:\n    conn.close()"),
        WRONG, "raises", "the caller got no error; it printed: no such column: nothing"),
    "connection: swallows IntegrityError": Case("6", connect(constraint("return func(conn, *args, **kwargs)") + "\nfinally:\n    conn.close()"), WRONG, "raises", "raised IntegrityError: UNIQUE constraint failed: users.email, but the caller got no error; it printed: Constraint: UNIQUE"),
    "connection: swallows all others": Case(
        "6", connect("try:\n    return func(conn, *args, **kwargs)\nexcept sqlite3.Error:\n    raise\nexcept Exception:  # here\n    pass\nfinally:\n    conn.close()"),
        WRONG, "raises", "LookupError: raised inside, but the caller got no error"),
    "connection: drops the arguments": Case(
        "6", connect("try:\n    return func(conn)  # here\nfinally:\n    conn.close()"), CRASH, "result",
        "raised TypeError: get_user_by_id() missing 1 required positional argument: 'user_id'"),
    "connection: no return": Case(
        "6", connect("try:\n    func(conn, *args, **kwargs)  # here\nfinally:\n    conn.close()"),
        WRONG, "result", "returned None instead of [[3, "),
    "connection: wrapper without keyword arguments": Case(
        "6", connect("try:\n    return func(conn, *args)\nfinally:\n    conn.close()").replace("    @functools.wraps(func)\n", "")
        .replace("*args, **kwargs):", "*args):  # here"), CRASH, "result", "wrapper() got an unexpected keyword argument 'user_id'"),
    "connection: not passed": Case("6", connect("conn.close()\nreturn func(*args, **kwargs)"), CRASH, "connection",
                                   "raised TypeError: get_user_by_id() missing 1 required positional argument: 'conn'"),
    "connection: close is not called": Case("6", connect("try:\n    return func(conn, *args, **kwargs)\nfinally:\n    conn.close  # here"), WRONG, "closed", "the connection is still open Does close() run"),
    "connection: passed last": Case("6", connect("try:\n    return func(*args, conn, **kwargs)  # here\nfinally:\n    conn.close()"), WRONG, "connection",
                                    "got a value of type int as first argument, not a connection"),
    "connection: shared by all calls": Case(
        "6", decorator("with_db_connection", "return func(conn, *args, **kwargs)", "\nconn = sqlite3.connect('users.db')  # here"),
        WRONG, "closed", "the connection is still open"),
    "connection: a demo is lost": Case("6", LOST_DEMO, WRONG, "demo rows", "get_user_by_id is a value of type NoneType after decoration by @checked"),

    # 7
    "transaction: finds the connection by type": Case(
        "7", transact("conn = next(a for a in args if isinstance(a, sqlite3.Connection))\n"
                      "try:\n    result = func(*args, **kwargs)\nexcept BaseException:\n    conn.rollback()\n    raise\nconn.commit()\nreturn result", "*args, **kwargs")),
    "transaction: begins": Case(
        "7", transact("conn.execute('BEGIN')\ntry:\n    result = func(conn, *args, **kwargs)\n    conn.execute('COMMIT')\n    return result\n"
                      "except Exception as error:\n    conn.execute('ROLLBACK')\n    raise error")),
    "transaction: closes": Case(
        "7", transact("try:\n    result = func(conn, *args, **kwargs)\n    conn.commit()\n    return result\nfinally:\n    conn.close()")),
    "transaction: swallows sqlite3.Error": Case(
        "7", transact("try:\n    with conn:\n        return func(conn, *args, **kwargs)\nexcept sqlite3.Error as e:  # here\n    print(f'Transaction failed: {e}')"),
        WRONG, "raises", "but the caller got no error; it printed: Transaction failed: no such column"),
    "transaction: swallows IntegrityError": Case("7", transact(constraint(RIGHT)), WRONG, "raises", "raised IntegrityError: UNIQUE constraint failed: users.email, but the caller got no error; it printed: Constraint: UNIQUE"),
    "transaction: own connection": Case("7", transact(RIGHT) + WITH_TRANSACTIONS),
    "transaction: own connection without transactions": Case("7", transact(RIGHT) + OPENS, WRONG, "rolls back", "under your own @with_db_connection, the checker's function, decorated with @transactional, ran an UPDATE and raised LookupError: raised inside, and the change is stored Does rollback() run after any error?"),
    "transaction: commits a true result only": Case(
        "7", transact(RIGHT.replace("conn.commit()", "if result:\n        conn.commit()  # here")) + WITH_TRANSACTIONS, WRONG, "commits",
        "after the checker's function update_user_email(conn, 2, 'committed'), decorated with @transactional, which returns None, the database does not hold the new email"),
    "transaction: the example changes the email": Case(
        "7", transact(RIGHT) + WITH_TRANSACTIONS.replace("(new_email, user_id))", "(new_email.lower(), user_id))  # here"), WRONG, "demo rows",
        "update_user_email(user_id=9, new_email='New_Email@Checker.example'): the stored email is 'new_email@checker.example' Does the UPDATE use user_id and new_email as they are passed"),
    "transaction: rolls back for sqlite3.Error only": Case(
        "7", transact("try:\n    result = func(conn, *args, **kwargs)\n    conn.commit()\n    return result\nexcept sqlite3.Error:\n    conn.rollback()  # here\n    raise"),
        WRONG, "rolls back", "ran an UPDATE and raised LookupError: raised inside, and its transaction is still open"),
    "transaction: commits in finally": Case(
        "7", transact("try:\n    return func(conn, *args, **kwargs)\nfinally:\n    conn.commit()  # here"), WRONG, "rolls back", "and the change is stored"),
    "transaction: misspelt rollback": Case(
        "7", transact("try:\n    result = func(conn, *args, **kwargs)\n    conn.commit()\n    return result\nexcept Exception:\n    conn.rolback()  # here\n    raise"),
        CRASH, "rolls back", "and the wrapper raised AttributeError: 'sqlite3.Connection' object has no attribute 'rolback'"),

    # 8
    "retry: connection first": Case("8", retry(loop().replace("func(*args", "func(conn, *args"), "conn, *args, **kwargs")),
    "retry: only OperationalError": Case("8", retry(LOOP.format("retries", ":", "        if attempt == retries - 1:\n            raise\n", "retries", "delay", "").replace("Exception", "sqlite3.OperationalError"))),
    "retry: while True": Case("8", retry("left = retries\nwhile True:\n    try:\n        return func(*args, **kwargs)\n    except sqlite3.Error:\n        left -= 1\n        if not left:\n            raise\n    time.sleep(delay)")),
    "retry: backs off with jitter": Case("8", "import random\n" + retry(loop(wait="delay * 2 ** attempt + random.random()"))),
    "retry: sleeps a second at a time": Case("8", retry(loop().replace("time.sleep(delay)", "[time.sleep(1) for _ in range(delay)]"))),
    "retry: keeps the cause": Case("8", retry(loop(end="raise Exception('failed') from last"))),
    "retry: takes None for a failure": Case("8", retry(loop().replace("return func(*args, **kwargs)", "if (result := func(*args, **kwargs)) is not None:\n            return result").replace("    for", "    for")), WRONG, "attempts", "which does not fail and returns None, was called 4 times"),
    "retry: range(3)": Case("8", retry(loop(times="3").replace("range(3):", "range(3):  # here")), WRONG, "attempts", "with retries=4 it made 1 call if none fails, 3 if two fail, 3 if all fail Go through your loop by hand for retries=3, then for 4."),
    "retry: one attempt too few": Case(
        "8", retry("for attempt in range(1, retries):\n    try:\n        return func(*args, **kwargs)\n    except Exception:\n"
                   "        if attempt == retries - 1:\n            raise\n        time.sleep(delay)"), WRONG, "retries,attempts",
        "fetch_users_with_retry(conn, 'one', second='two'), decorated with @retry_on_failure(retries=3), which fails twice"),
    "retry: shadowed names": Case("8", retry("retries = 3\n" + loop()), WRONG, "attempts", "3 if all fail"),
    "retry: sleep(2)": Case("8", retry(loop(wait="2").replace("time.sleep(2)", "time.sleep(2)  # here")), WRONG, "waits", "with delay=3 it waited 2, 2 seconds between 3 calls"),
    "retry: less than delay": Case("8", retry(loop(wait="delay / 2 ** attempt")), WRONG, "waits", "it waited 3, 1.5 seconds"),
    "retry: misspelt sleep": Case("8", retry(loop().replace("time.sleep(delay)", "tme.sleep(delay)  # here")), CRASH, "retries",
                                  "which fails twice (OperationalError: database is locked) and then succeeds, raised NameError: name 'tme'"),
    "retry: loses the error": Case("8", retry(loop(end="raise Exception('failed')  # here")), WRONG, "gives up", "but the caller got Exception: failed, without the first error as its cause A bare"),
    "retry: unbound name": Case("8", retry(loop(end="raise error  # here")), CRASH, "gives up", "where it is not associated with a value On which path through this function"),
    "retry: raises the first error": Case("8", retry(LOOP.format("retries", ":  # here", "        raise\n", "retries", "delay", "")), WRONG, "retries", "was called 1 time, and the caller got OperationalError: database is locked Count the calls. Does your `except`"),
    "retry: goes on after a success": Case(
        "8", retry("for attempt in range(retries):  # here\n    try:\n        result = func(*args, **kwargs)\n    except Exception as error:\n        last = error\n"
                   "        if attempt == retries - 1:\n            raise\n        time.sleep(delay)\nreturn result"), WRONG, "attempts", "it made 4 calls if none fails, 4 if two fail"),
    "retry: no retry": Case("8", retry("return func(*args, **kwargs)").replace("def wrapper(*args, **kwargs):", "def wrapper(*args, **kwargs):  # here"), WRONG, "retries",
                            "(OperationalError: database is locked) and then succeeds, was called 1 time, and the caller got OperationalError: database"),
    "retry: attempts run out for all calls": Case(
        "8", retry("nonlocal left\nwhile left:\n    try:\n        return func(*args, **kwargs)\n    except Exception:\n        left -= 1\n        if not left:\n            raise\n        time.sleep(delay)")
        .replace("    def decorate(func):\n", "    def decorate(func):\n        left = retries\n"), WRONG, "attempts", "three calls of the checker's function, decorated with @retry_on_failure(retries=4), which fails twice in each, raised OperationalError: database is locked What is left"),
    "retry: sleeps first": Case("8", retry(loop().replace("    try:", "    time.sleep(delay)  # here\n    try:", 1).replace("    if attempt < retries - 1:\n        time.sleep(delay)", "")), WRONG, "last sleep", "before the first call"),
    "retry: returns no decorator": Case("8", retry(loop()).replace("\n    return decorate\n", "").replace("delay=2):", "delay=2):  # here"), WRONG, "retries", "turns a function into a value of type NoneType"),
    "retry: takes no arguments": Case("8", decorator("retry_on_failure", "return func(*args, **kwargs)"), CRASH, "retries", "unexpected keyword argument"),
    "retry: no result": Case("8", retry("for attempt in range(retries):\n    try:\n        func(*args, **kwargs)\n        break\n    except Exception:\n        if attempt == retries - 1:\n            raise\n        time.sleep(delay)"),
                             WRONG, "retries", "which does not fail, returned None instead of ['result of', 'one', 'two'] What does wrapper return"),

    # 9
    "cache: query and params": Case("9", cache(keep("(query, tuple(params))", "func(conn, query, params)"), "conn, query, params=()")),
    "cache: query and *args": Case("9", cache(keep("(query, args)", "func(conn, query, *args)"), "conn, query, *args")),
    "cache: no parameters": Case("9", cache(keep("query", "func(conn, query)"), "conn, query")),
    "cache: query by keyword only": Case("9", cache(keep("query", "func(conn, query=query)"), "conn, *, query")),
    "cache: only query=": Case("9", cache(keep("kwargs['query'], str(kwargs)").replace("str(kwargs)", "str(kwargs)  # here")), CRASH, "positional", "passed by position, raised KeyError: 'query'"),
    "cache: text of all arguments": Case("9", cache(keep("str(args) + str(kwargs)"))),
    "cache: connection found by type": Case("9", cache(keep("str([a for a in args if not isinstance(a, sqlite3.Connection)]) + str(kwargs)", "func(*args, **kwargs)"), "*args, **kwargs")),
    "cache: connection in the key": Case("9", cache(keep("(args, str(kwargs))  # here", "func(*args, **kwargs)"), "*args, **kwargs"), WRONG, "hit",
                                         "decorated with @cache_query, ran 2 times for two equal calls Is the connection part of your key?"),
    "cache: keeps nothing, takes no parameters": Case("9", cache("return func(conn, query)", "conn, query"), WRONG, "hit", ", ran 2 times"),
    "cache: drops the parameters": Case("9", cache(keep(KEY, f"func(conn, {KEY})")), WRONG, "parameters in key", "and (1,), did not get the parameters"),
    "cache: leaves out parameters passed by position": Case("9", cache(keep("repr((args[:1], sorted(kwargs.items())))  # here")), WRONG, "parameters in key", "and (4,), passed by position, returned the rows of an earlier call with (3,)"),
    "cache: one key for all": Case("9", cache(keep("'rows'  # here")) + CACHED + "\n\nfetch_users_with_cache(query='SELECT * FROM users')\n", WRONG, "query in key", "did not run at its first call: the rows came from another query"),
    "cache: key folds case": Case("9", cache(keep(f"({KEY}).lower() + str(args) + str(kwargs.get('params'))  # here").replace("str(args)", "str(args[1:])")), WRONG, "query in key", "`SELECT id, 'A b' FROM users WHERE id = 1`, returned the rows of an earlier call with `SELECT id, 'a b' FROM users WHERE id = 1`"),
    "cache: key folds a parameter's case": Case("9", cache(keep(f"({KEY}) + str(kwargs.get('params')).lower()")), WRONG, "parameters in key", "and ('AB', 'c'), returned the rows of an earlier call with ('ab', 'c') Print your cache's key"),
    "cache: key folds spaces": Case("9", cache(keep(f"' '.join(({KEY}).split()) + str(kwargs.get('params'))")), WRONG, "query in key", "'a  b'"),
    "cache: key joins the parameters": Case("9", cache(keep(f"({KEY}) + ''.join(map(str, kwargs.get('params', ())))")), WRONG, "parameters in key", "('a', 'bc')"),
    "cache: positional queries share a key": Case("9", cache(keep("str(kwargs)")), WRONG, "positional", "WHERE id = 4`, passed by position, returned the rows of an earlier call with `SELECT id FROM users WHERE id = 3`"),
    "cache: swallows sqlite3.Error": Case("9", cache("try:\n    " + keep(ALL_ARGUMENTS).replace("\n", "\n    ") + "\nexcept sqlite3.Error as error:  # here\n    print(error)"), WRONG, "raises",
                                          "the caller got no error; it printed: no such column: nothing"),
    "cache: swallows IntegrityError": Case("9", cache(constraint(keep(ALL_ARGUMENTS))), WRONG, "raises", "raised IntegrityError: UNIQUE constraint failed: users.email, but the caller got no error; it printed: Constraint: UNIQUE"),
    "cache: key forgets the parameters' order": Case("9", cache(keep(f"({KEY}, frozenset(kwargs.get('params', ())))")), WRONG, "parameters in key", "and ('c', 'ab'), returned the rows of an earlier call with ('ab', 'c')"),
    "cache: key is cut off at WHERE": Case("9", cache(keep(f"(({KEY}).split('WHERE')[0], str(kwargs.get('params')))")), WRONG, "query in key,positional", "`SELECT id, email FROM users WHERE age > 30`, returned the rows of an earlier call with `SELECT id, "),
    "cache: key begins at WHERE": Case("9", cache(keep(f"(({KEY}).partition('WHERE')[2], str(kwargs.get('params')))")), WRONG, "query in key", "`SELECT id, email FROM users WHERE age > 30`, returned the rows of an earlier call with `SELECT id, "),
    "cache: key without the query": Case("9", cache(keep("func.__name__")) + CACHED, WRONG, "query in key", "`SELECT id, email FROM users WHERE age > 40`, returned the rows of an earlier call with `SELECT id, name"),
    "cache: swallows LookupError": Case("9", cache("try:\n    " + keep(ALL_ARGUMENTS).replace("\n", "\n    ") + "\nexcept LookupError:  # here\n    return []"), WRONG, "raises",
                                        "LookupError: raised inside, but the caller got no error"),
    "cache: returns nothing the first time": Case(
        "9", cache(keep(ALL_ARGUMENTS).replace("\nreturn", "  # here\nelse:\n    return")),
        WRONG, "hit", "the checker's function fetch_users_with_cache(conn, query='SELECT id, name ...'), decorated with @cache_query, at the first call returned None instead of [["),
    "cache: keeps an iterator": Case(
        "9", cache(keep(ALL_ARGUMENTS, "iter(func(conn, *args, **kwargs))").replace("query_cache:", "query_cache:  # here").replace("return query_cache[key]", "return list(query_cache[key])")),
        WRONG, "hit", "at the second call returned [] instead of [["),
    "cache: suppresses": Case(
        "9", cache(f"from contextlib import suppress\nkey = {ALL_ARGUMENTS}\nwith suppress(KeyError):\n    return query_cache[key]\n"
                   "with suppress(Exception):  # here\n    query_cache[key] = func(conn, *args, **kwargs)\nreturn query_cache.get(key)"),
        WRONG, "raises", "but the caller got no error"),
    "cache: unhashable key": Case("9", cache(keep("[args]").replace("if key not", "if key not", 1).replace("query_cache:", "query_cache:  # here")), CRASH, "hit", "unhashable type: 'list'"),
}  # fmt: skip
SLOW = {
    "retry: waits on an event": Case("8", "import threading\n" + retry(loop().replace("time.sleep(delay)", "threading.Event().wait(delay)"))),
    "retry: waits in asyncio": Case("8", "import asyncio\n" + retry(loop().replace("time.sleep(delay)", "asyncio.run(asyncio.sleep(delay))"))),
    "retry: waits on an event for ever": Case(
        "8", "import threading\n" + retry("while True:\n    try:\n        return func(*args, **kwargs)\n    except Exception:\n        threading.Event().wait(delay)"),
        TIMEOUT, "", "time limit"),
}  # fmt: skip
