"""Every check: what it looks for, the hint that a failure shows, and whether it is error or advice.

Advice changes neither the score nor the verdict.
"""

from dataclasses import dataclass

ERROR, ADVICE = "error", "advice"


@dataclass(frozen=True)
class Check:
    name: str
    looks_for: str
    hint: str
    severity: str = ERROR
    why: str = ""  # the reason for it, for --explain

    @property
    def is_advice(self) -> bool:
        return self.severity == ADVICE


def _by_name(*checks: Check) -> dict[str, Check]:
    return {check.name: check for check in checks}


DEMO = Check("demo", "importing the file raises no error",
             'Run the file by itself; put its demo under `if __name__ == "__main__":`.', ADVICE)  # fmt: skip
AT_IMPORT = Check("import", "importing the file runs no query",
                  "A file that imports your functions also runs your queries. What does a main guard do?", ADVICE)  # fmt: skip
WRAPS = Check("wraps", "the decorated function keeps its name (functools.wraps)",
              "Print the decorated function's __name__ with functools.wraps and without it.", ADVICE)  # fmt: skip
STREAM_LAZY = Check("lazy", "rows are fetched as they are needed, not all at the start",
                    "How many rows does your cursor fetch before the first yield?")  # fmt: skip
STOP_EARLY = Check("stop early", "a caller that stops reading early leaves no connection open",
                   "If the caller stops early, your generator ends at its yield. Which lines still run then?",
                   why="CPython closes a forgotten connection when its last reference goes. Another interpreter, or "
                   "a reference that is kept, leaves it open on the server; only close() always ends it.")  # fmt: skip
STOP_ERROR = Check("stop quietly", "closing the generator before its end raises no error",
                   "Closing a cursor that has unread rows raises an error. What if you close only the connection?", ADVICE)  # fmt: skip
CLOSED = Check("closed", "no connection is left open at the end",
               "Close every connection that you open, however the function ends.")  # fmt: skip
ERRORS = Check("errors", "a database error reaches the caller",
               "If you catch the error and go on, how can the caller distinguish `no users` from `no database`?",
               why="The checker drops the table, then refuses connections. The database's own error must come out, "
               "or another that is raised from it: an AttributeError of None has lost the reason.")  # fmt: skip
NO_ORDER = Check("order by", "every query with LIMIT and OFFSET has an ORDER BY",
                 "Without ORDER BY, the server may return the rows in a different order for each page.", ADVICE)  # fmt: skip
BLOCK_ENDS = (
    Check("closed", "the connection is closed after the block",
          "Which method runs at the end of the block, and what does it close?"),
    Check("closed on error", "the connection is also closed if the block fails",
          "Does __exit__ also close the connection when it receives an exception?"),
    Check("raises", "an error in the block reaches the caller",
          "What does the return value of __exit__ mean?"),
)  # fmt: skip
DEMO_CLOSED = Check("closed", "the demo function leaves no connection open", CLOSED.hint, ADVICE)

CHECKS: dict[str, dict[str, Check]] = {
    "seed": _by_name(
        Check("database", "the database ALX_prodev exists after the run, in capital or small letters",
              "The task's database is ALX_prodev. Which statement creates it only if it is missing?"),
        Check("table", "user_data has the columns user_id (its primary key), name, email and age",
              "Compare your CREATE TABLE with the columns in the task, one by one."),
        Check("rows", "every row of the CSV file is stored and committed",
              "Count the rows from a second connection. Does commit() follow the INSERT of every row, the last ones too?"),
        Check("values", "name, email and age are stored as they are in the file",
              "Compare one row of the table with its line in the file."),
        Check("twice", "a second run adds no rows and removes none",
              "Run seed.py twice and count the rows. How can your table or your code detect a row that is already there?"),
        Check("said", "create_table prints `Table user_data created successfully`",
              "Compare your output with the line in the task.", ADVICE),
        DEMO, AT_IMPORT,
    ),
    "1": _by_name(
        Check("rows", "every user is yielded exactly once, with user_id, name, email and age",
              "Compare the rows that you yield with SELECT * FROM user_data."),
        STREAM_LAZY, STOP_EARLY, STOP_ERROR, CLOSED, ERRORS, DEMO, AT_IMPORT,
    ),
    "2": _by_name(
        Check("rows", "every user is in exactly one batch, including the last users",
              "Compare the rows of all your batches, the last one too, with SELECT * FROM user_data."),
        Check("sizes", "each batch is a list of batch_size rows; only the last may be shorter, and none is empty",
              "Print len(batch) for each batch of a table of 25 rows, with batch size 10, then 5."),
        Check("filter", "batch_processing selects exactly the users older than 25",
              "Is a user aged exactly 25 older than 25? Do you process every batch?"),
        STREAM_LAZY, STOP_EARLY, STOP_ERROR, CLOSED, ERRORS,
        Check("prints", "batch_processing prints the users itself",
              "The course's main file calls it and expects it to print.", ADVICE),
        NO_ORDER, DEMO, AT_IMPORT,
    ),
    "3": _by_name(
        Check("rows", "every user is on exactly one page",
              "Compare the rows of all your pages with SELECT * FROM user_data. Print the offset of each page."),
        Check("sizes", "each page is a list of page_size rows; only the last may be shorter, and none is empty",
              "Print len(page) for each page of a table of 25 rows, with page size 10, then 5."),
        Check("order", "the rows are in the table's order, or sorted by one column",
              "By how much must the offset grow from one page to the next? Is each page in the query's order?"),
        Check("single page", "paginate_users(page_size, offset) returns the page that starts at that offset",
              "`offset` counts rows, not pages. Which number does LIMIT take first? Call paginate_users(2, 0), then (2, 2)."),
        STREAM_LAZY, STOP_EARLY, STOP_ERROR, CLOSED, ERRORS, NO_ORDER, DEMO, AT_IMPORT,
    ),
    "4": _by_name(
        Check("ages", "stream_user_ages yields each user's age once, as a number",
              "Print the first age that you yield, and its type. Then count the ages: is there one for each user?"),
        Check("average", "the correct average age is printed or returned",
              "Print the sum, the number by which you divide it, and the result. What do /, // and round() do with decimals?"),
        Check("no list", "the average is computed without keeping the ages in memory",
              "Which two numbers must you keep to compute an average, if you see each age only once?"),
        Check("no AVG", "the average is computed in Python, not by SQL's AVG",
              "The task is to compute the average in Python, from the generator's ages."),
        Check("empty", "an empty table does not cause a crash",
              "What is your count if there are no users?"),
        STREAM_LAZY, STOP_EARLY, STOP_ERROR, CLOSED, ERRORS, DEMO, AT_IMPORT,
    ),
    "5": _by_name(
        Check("logged", "the SQL is printed or logged, whether it is passed as query=... or by position",
              "Call it both ways. Is the query in args or in kwargs? Does the wrapper show all of it, "
              "at a level that your logger shows?"),
        Check("result", "the function gets its arguments, and the caller gets the function's result",
              "What does the wrapper return?"),
        Check("before", "the SQL is printed or logged before the query runs",
              "If a query hangs, the log should already show which one.", ADVICE),
        Check("raises", "the function's error reaches the caller",
              "A decorator that only logs does not need to catch errors."),
        WRAPS,
        Check("demo rows", "fetch_all_users(query=...) returns the rows",
              "Print what it returns: all rows, or a single one? Which method of the cursor gives all?"),
        DEMO_CLOSED, DEMO, AT_IMPORT,
    ),
    "6": _by_name(
        Check("connection", "the function gets a working connection as its first argument",
              "Print type(conn) inside the decorated function."),
        Check("result", "the function gets the caller's arguments, and the caller gets the function's result",
              "Which arguments does the wrapper pass on, and what does it return?"),
        Check("closed", "the connection is closed after a successful call",
              "Does close() run in this case, before the call ends? `with` on a connection does not close it."),
        Check("closed on error", "the connection is also closed if the function fails",
              "Which lines of the wrapper run when the function raises an error?"),
        Check("raises", "the function's error reaches the caller",
              "The caller must see that the query failed. What does the wrapper do with the error?"),
        WRAPS,
        Check("demo rows", "get_user_by_id(user_id=...) returns the user",
              "Call it for user 2. Does the SQL use user_id, as a parameter?"),
        DEMO, AT_IMPORT,
    ),
    "7": _by_name(
        Check("commits", "the changes of a function that succeeds are committed",
              "Does commit() run on this path, and after the function has changed the row?"),
        Check("rolls back", "the changes of a function that fails are rolled back",
              "Does rollback() run after any error? Or does your code commit then, too, or turn transactions off?"),
        Check("raises", "the error reaches the caller after the rollback",
              "What does the caller see after the rollback? What does `raise` do without an argument?"),
        Check("result", "the caller gets the function's result",
              "What does the wrapper return?"),
        WRAPS,
        Check("demo rows", "update_user_email(user_id=..., new_email=...) changes the stored email",
              "Does the UPDATE use user_id and new_email as they are passed, each at its own placeholder?"),
        DEMO_CLOSED, DEMO, AT_IMPORT,
    ),
    "8": _by_name(
        Check("retries", "a function that fails twice and then succeeds returns its result",
              "Count the calls. Does your `except` catch this error, and does the loop go on after it?"),
        Check("attempts", "retries=3 means at most 3 calls in all, and none after a success",
              "Go through your loop by hand for retries=3, then for 4. Where does it use `retries`?"),
        Check("gives up", "after the last attempt the error reaches the caller",
              "What does the wrapper do when every attempt has failed? A returned None looks like a result."),
        Check("waits", "it waits at least `delay` seconds between two attempts",
              "How long is each wait if delay is 3? A locked database needs that time to become free."),
        Check("last sleep", "it does not wait after the last attempt",
              "No attempt follows the last one. What is that sleep waiting for?"),
        WRAPS,
        Check("demo rows", "fetch_users_with_retry() returns the rows",
              "Print what it returns: all rows, or a single one?"),
        DEMO_CLOSED,
        Check("retries everything", "permanent errors are raised immediately, without a retry",
              "A missing table will still be missing in two seconds. Which errors are worth a retry?", ADVICE),
        DEMO, AT_IMPORT,
    ),
    "9": _by_name(
        Check("hit", "the same query runs only once, and the second call returns the same rows",
              "At the second call, print the cache and the key that you look up. Does it hold a list under this key?"),
        Check("query in key", "a different query gets its own result",
              "What is the key of your cache?"),
        Check("parameters in key", "the same SQL with different parameters never gets the other's rows",
              "Print your cache's key for both calls. What of the call is not in it?"),
        Check("positional", "a query that is passed by position gets its own result, too",
              "Where is the query if it is not in kwargs?"),
        Check("raises", "the function's error reaches the caller",
              "A cache does not need to catch errors."),
        WRAPS,
        Check("demo rows", "fetch_users_with_cache(query=...) returns the rows, and runs the query only once",
              "Print what it returns: all rows, or a single one? Call it twice and count the queries."),
        DEMO_CLOSED,
        Check("shared list", "a caller that changes the returned list does not change the cache",
              "Append to the list that you got, then call again.", ADVICE),
        Check("stale", "the new rows are returned after the table has changed",
              "How does your cache notice that the table has changed?", ADVICE),
        DEMO, AT_IMPORT,
    ),
    "10": _by_name(
        Check("rows", "the with block can query the users",
              "What does __enter__ return?"),
        *BLOCK_ENDS,
        DEMO, AT_IMPORT,
    ),
    "11": _by_name(
        Check("rows", "the block gets the rows that the query returns for its parameter",
              "Run the same query in a SQLite shell and compare."),
        Check("parameters", "a different parameter gives different rows",
              "Is the caller's value the one that you pass to execute()?"),
        Check("quote", "a value that contains a quote is found",
              "Hand the value to the driver as it is: neither change it nor format it into the SQL."),
        *BLOCK_ENDS,
        Check("bad query", "the error of a query that fails reaches the caller",
              "If execute() fails in __enter__, the block must not run as if the query had returned rows."),
        Check("closed on bad query", "a query that fails leaves no connection open",
              "If __enter__ raises an error, __exit__ is not called. What closes the connection then?", ADVICE),
        DEMO, AT_IMPORT,
    ),
    "12": _by_name(
        Check("all users", "async_fetch_users returns all users",
              "Compare with SELECT COUNT(*) FROM users."),
        Check("older users", "async_fetch_older_users returns the users older than 40",
              "Which is the lowest age that your query accepts, and which should it be?"),
        Check("both", "fetch_concurrently returns both results, or prints them or their sizes",
              "What does asyncio.gather return, and what do you do with it?"),
        Check("concurrent", "the second query starts before the first has ended",
              "Each await waits for one result. How can you start both queries before you wait for either?"),
        Check("async", "the queries do not block the event loop (aiosqlite)",
              "While a sqlite3 call runs, nothing else on the event loop can run."),
        Check("closed", "no connection is left open",
              "`async with` closes the connection at its end; `await aiosqlite.connect()` alone does not."),
        Check("errors", ERRORS.looks_for, ERRORS.hint),
        DEMO, AT_IMPORT,
    ),
}  # fmt: skip


def explain(number: str) -> str:
    """The checks of an exercise as text, advice last."""
    checks = sorted(CHECKS[number].values(), key=lambda check: check.is_advice)
    return "\n".join(
        f"  {'advice' if check.is_advice else 'check ':6}  {check.name}: {check.looks_for}"
        + (f"\n          {check.why}" if check.why else "")
        for check in checks
    )
