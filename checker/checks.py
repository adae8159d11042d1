"""Every check there is: what it looks for, the hint under a failure, error or advice.

Advice costs nothing: it neither counts nor changes a verdict. What is which is decided here only.
"""

from dataclasses import dataclass

ERROR, ADVICE = "error", "advice"


@dataclass(frozen=True)
class Check:
    name: str
    looks_for: str
    hint: str
    severity: str = ERROR

    @property
    def is_advice(self) -> bool:
        return self.severity == ADVICE


def _by_name(*checks: Check) -> dict[str, Check]:
    return {check.name: check for check in checks}


DEMO = Check(
    "demo",
    "the file's own last lines run",
    'Run the file by itself; put its demo under `if __name__ == "__main__":`.',
    ADVICE,
)
AT_IMPORT = Check(
    "import",
    "nothing is queried when the file is merely imported",
    "Whoever imports this file for its functions runs its queries too. What does a main guard do?",
    ADVICE,
)
WRAPS = Check(
    "wraps",
    "the decorated function keeps its name (functools.wraps)",
    "Print the decorated function's __name__. The functools module has a decorator for decorators.",
    ADVICE,
)
STREAM_LAZY = Check(
    "lazy",
    "rows are received as they are asked for, not all at first",
    "A generator is only as lazy as what feeds it: what does your cursor do before the first yield?",
)
STOP_EARLY = Check(
    "stop early",
    "a consumer that stops before the end leaves no connection open",
    "A generator that is closed stops at its yield: which of your lines still run then?",
)
STOP_ERROR = Check(
    "stop quietly",
    "a consumer that stops before the end gets no error",
    "A cursor with unread rows refuses to be closed; what about closing its connection alone?",
    ADVICE,
)
CLOSED = Check(
    "closed",
    "no connection is left open at the end",
    "Every connection that is opened wants a close(), on each way out of the function.",
)
DEMO_CLOSED = Check("closed", "the demo function leaves no connection open", CLOSED.hint, ADVICE)
ERRORS = Check(
    "errors",
    "an error of the database reaches the caller",
    "Whoever calls you cannot tell `no users` from `no database` if you catch the error and go on.",
)
NO_ORDER = Check(
    "order by",
    "LIMIT with OFFSET has an ORDER BY",
    "Without ORDER BY a server may give the rows in another order for each page.",
    ADVICE,
)

BLOCK_ENDS = (
    Check(
        "closed",
        "the connection is closed after the block",
        "Which method runs at the end of the block, and what does it close?",
    ),
    Check(
        "closed on error",
        "the connection is closed if the block fails, too",
        "Does __exit__ do the same when it is given an exception?",
    ),
    Check(
        "raises",
        "an error in the block reaches the caller",
        "What does the return value of __exit__ mean?",
    ),
)

CHECKS: dict[str, dict[str, Check]] = {
    "seed": _by_name(
        Check("database", "the database ALX_prodev exists afterwards",
              "Which statement creates a database only if it is missing?"),
        Check("table", "user_data has user_id as its primary key, and name, email, age",
              "Compare your CREATE TABLE with the fields of the task, one by one."),
        Check("rows", "every row of the CSV file is in the table, committed",
              "Count the rows of the table in a second client. What makes an INSERT permanent?"),
        Check("values", "name, email and age are stored as they are in the file",
              "Read one row of the table beside its line of the file."),
        Check("twice", "a second run adds nothing, and takes nothing away",
              "Run seed.py twice and count. How could the table itself refuse, or you find out, what is there?"),
        Check("said", "create_table prints `Table user_data created successfully`",
              "The task shows the line that is printed.", ADVICE),
        DEMO, AT_IMPORT,
    ),
    "1": _by_name(
        Check("rows", "every user is yielded exactly once, with user_id, name, email and age",
              "Compare what you yield with SELECT * FROM user_data."),
        STREAM_LAZY, STOP_EARLY, STOP_ERROR, CLOSED, ERRORS, DEMO, AT_IMPORT,
    ),
    "2": _by_name(
        Check("rows", "every user is in exactly one batch, those of the last one too",
              "How many rows are left when the table's length is no multiple of the batch size?"),
        Check("sizes", "batches are lists of the size asked for; only the last may be shorter, none is empty",
              "Print len(batch) for each batch of a table of 25 rows and batches of 10, then 5."),
        Check("filter", "batch_processing gives the users older than 25, and no others",
              "Is a user of exactly 25 older than 25? Do all batches get there?"),
        STREAM_LAZY, STOP_EARLY, STOP_ERROR, CLOSED, ERRORS,
        Check("prints", "batch_processing prints the users itself",
              "The course's main file calls it and shows what it prints.", ADVICE),
        NO_ORDER, DEMO, AT_IMPORT,
    ),
    "3": _by_name(
        Check("rows", "the pages together have every user exactly once",
              "Follow the offset through three pages. When does the loop end?"),
        Check("sizes", "each page has the size asked for; only the last may be shorter, none is empty",
              "Print len(page) for each page of a table of 25 rows and pages of 10, then 5."),
        Check("order", "pages come in the order of the table",
              "By how much must the offset grow from one page to the next?"),
        Check("single page", "paginate_users(page_size, offset) gives one page from that row on",
              "Call paginate_users(2, 0), then paginate_users(2, 2)."),
        STREAM_LAZY, STOP_EARLY, STOP_ERROR, CLOSED, ERRORS, NO_ORDER, DEMO, AT_IMPORT,
    ),
    "4": _by_name(
        Check("ages", "stream_user_ages yields each age once, as a number",
              "Look at the type and value of the first thing that is yielded."),
        Check("average", "the average is printed or returned, with two decimals",
              "Work it out by hand for three users."),
        Check("no list", "the average is computed while the ages pass, without keeping them",
              "A million ages in a list are not a stream any more: which two numbers are enough?"),
        Check("no AVG", "the average is not left to SQL",
              "The exercise is to aggregate in Python, from the generator."),
        Check("empty", "an empty table is no crash",
              "What is your count when there are no users?"),
        STREAM_LAZY, STOP_EARLY, STOP_ERROR, CLOSED, ERRORS, DEMO, AT_IMPORT,
    ),
    "5": _by_name(
        Check("logged", "the SQL is printed or logged for query=... and for a positional argument",
              "Call the function both ways. Where do *args and **kwargs hold the query each time? "
              "Is the logger's level low enough for the line to appear?"),
        Check("result", "the function gets its arguments, and the caller its result",
              "What does the wrapper return?"),
        Check("before", "the line appears before the query runs",
              "When a query hangs, the log shall already say which.", ADVICE),
        Check("raises", "the function's error reaches the caller",
              "A decorator that only logs has no reason to catch."),
        WRAPS,
        Check("demo rows", "fetch_all_users(query=...) gives the rows",
              "Call it with SELECT * FROM users and look at what comes back."),
        DEMO_CLOSED, DEMO, AT_IMPORT,
    ),
    "6": _by_name(
        Check("connection", "the function gets a working connection as its first argument",
              "Print type(conn) inside the decorated function."),
        Check("result", "the function gets the caller's arguments, and the caller its result",
              "What does the wrapper return, and what does it pass on?"),
        Check("closed", "the connection is closed after a success",
              "Use the connection after the call: does it still answer?"),
        Check("closed on error", "the connection is closed if the function fails, too",
              "Which lines of the wrapper run when the function raises?"),
        Check("raises", "the function's error reaches the caller",
              "The caller must learn that the query failed: close, then let the error go on."),
        WRAPS,
        Check("demo rows", "get_user_by_id(user_id=...) gives the user",
              "Call it for a user you know."),
        DEMO, AT_IMPORT,
    ),
    "7": _by_name(
        Check("commits", "what a successful function wrote is committed",
              "Look at the table from a second connection."),
        Check("rolls back", "what a failing function wrote is rolled back",
              "After the error, ask the same connection for the old value."),
        Check("raises", "the error reaches the caller after the rollback",
              "After the rollback, what does the caller see? A bare `raise` hands on what was caught."),
        Check("result", "the caller gets the function's result",
              "What does the wrapper return?"),
        WRAPS,
        Check("demo rows", "update_user_email(user_id=..., new_email=...) changes the stored email",
              "Read the user back after the call, on a new connection."),
        DEMO_CLOSED, DEMO, AT_IMPORT,
    ),
    "8": _by_name(
        Check("retries", "a function that fails twice and then succeeds gives its result",
              "Count the calls. Which exceptions does your `except` name?"),
        Check("attempts", "retries=3 makes 3 calls in all, and none after a success",
              "Write down the loop's numbers for retries=3."),
        Check("gives up", "after the last attempt the error reaches the caller",
              "What does the wrapper return when the loop has ended? Nothing must not look like a result."),
        Check("waits", "it waits `delay` seconds between two attempts",
              "A database that is locked now is locked a microsecond later, too."),
        Check("last sleep", "it does not wait after the last attempt",
              "Nothing is tried after the last attempt: what is that sleep waiting for?"),
        WRAPS,
        Check("demo rows", "fetch_users_with_retry() gives the rows",
              "Call it and look at what comes back."),
        DEMO_CLOSED,
        Check("retries everything", "errors that no second try can mend are raised at once",
              "A missing table is still missing in two seconds: retry only what passes.", ADVICE),
        DEMO, AT_IMPORT,
    ),
    "9": _by_name(
        Check("hit", "the same query runs once; the second result is the first",
              "Count how often the function's body runs."),
        Check("query in key", "another query gets its own result",
              "What is the cache's key?"),
        Check("parameters in key", "the same SQL with other parameters gets its own result",
              "`WHERE id = ?` with 1 and with 2 are two questions: what tells them apart in your key?"),
        Check("positional", "a query that is passed by position is told apart, too",
              "Where is the query when it is not in kwargs?"),
        Check("raises", "the function's error reaches the caller",
              "A cache has no reason to catch."),
        WRAPS,
        Check("demo rows", "fetch_users_with_cache(query=...) gives the rows, and queries once",
              "Call it twice and watch the queries."),
        DEMO_CLOSED,
        Check("shared list", "a caller that changes its list does not change the cache",
              "Append to the list you got and ask again.", ADVICE),
        Check("stale", "a changed table gives the changed rows",
              "When the table changes, who tells the cache?", ADVICE),
        DEMO, AT_IMPORT,
    ),
    "10": _by_name(
        Check("rows", "the with block can query the users",
              "What does __enter__ return?"),
        *BLOCK_ENDS,
        DEMO, AT_IMPORT,
    ),
    "11": _by_name(
        Check("rows", "the block gets the rows of the query with its parameter",
              "Compare with the query in a SQLite shell."),
        Check("parameters", "another parameter gives other rows",
              "Is the value that the caller gives the one that reaches execute()?"),
        Check("quote", "a value with a quote in it is found",
              "Let the driver put the values in; never format them into the SQL."),
        *BLOCK_ENDS,
        Check("bad query", "a query that fails raises its error",
              "If execute() fails in __enter__, the block must not run as if there were rows."),
        Check("closed on bad query", "a query that fails leaves no connection open",
              "If __enter__ raises, __exit__ is not called: who closes then?", ADVICE),
        DEMO, AT_IMPORT,
    ),
    "12": _by_name(
        Check("all users", "async_fetch_users gives all users",
              "Compare with SELECT COUNT(*) FROM users."),
        Check("older users", "async_fetch_older_users gives the users older than 40",
              "Is a user of exactly 40 older than 40?"),
        Check("both", "fetch_concurrently gives or prints both results",
              "What does asyncio.gather return, and what do you do with it?"),
        Check("concurrent", "the second query starts before the first has ended",
              "Each await waits: how do you start two things before waiting for either?"),
        Check("async", "the queries do not block the event loop (aiosqlite)",
              "While sqlite3 works, nothing else on the loop does."),
        Check("closed", "no connection is left open",
              "`async with` closes; a bare `await aiosqlite.connect()` does not."),
        Check("errors", ERRORS.looks_for, ERRORS.hint),
        DEMO, AT_IMPORT,
    ),
}  # fmt: skip


def explain(number: str) -> str:
    """The checks of an exercise as text, advice last."""
    checks = sorted(CHECKS[number].values(), key=lambda check: check.is_advice)
    return "\n".join(
        f"  {'advice' if check.is_advice else 'check ':6}  {check.name}: {check.looks_for}"
        for check in checks
    )
