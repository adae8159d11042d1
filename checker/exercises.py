"""The exercises: number, title, where answers keep them, what they are about."""

from dataclasses import dataclass

GENERATORS, DECORATORS, CONTEXT = "generators", "decorators", "context"
# What the names of topic folders have in common, in the field: python-generators-0x00 and the like.
TOPIC_FOLDERS = {
    GENERATORS: r"generator",
    DECORATORS: r"decorator",
    CONTEXT: r"context|async",
}


@dataclass(frozen=True)
class Exercise:
    number: str  # "1" to "12", or "seed"
    title: str
    topic: str
    file: str  # the name the course gives it
    also: str  # a pattern for other names, without digits, hyphens and underscores
    needs: tuple[str, ...]  # what the file must define, as patterns; alternatives with |
    about: str

    @property
    def observer(self) -> str:
        """The module checker.observe_* that observes it."""
        return {"seed": "seed", "8": "retry_cache", "9": "retry_cache"}.get(self.number, self.topic)

    @property
    def uses_server(self) -> bool:
        return self.topic == GENERATORS


EXERCISES = (
    Exercise(
        "seed", "seed.py", GENERATORS, "seed.py", r"seed",
        ("connect_db", "create_database", "connect_to_prodev", "create_table", "insert_data"),
        "Create the database ALX_prodev and its table user_data, and load user_data.csv.",
    ),
    Exercise(
        "1", "stream users", GENERATORS, "0-stream_users.py", r"streamusers?",
        ("stream_users",),
        "A generator that streams the rows of user_data one by one.",
    ),
    Exercise(
        "2", "batch processing", GENERATORS, "1-batch_processing.py", r"batchprocess\w*|\w*batch\w*",
        ("stream_users_in_batches", "batch_processing"),
        "Rows in batches, and the users older than 25.",
    ),
    Exercise(
        "3", "lazy pagination", GENERATORS, "2-lazy_paginate.py", r"lazypaginat\w*|\w*paginat\w*",
        ("lazy_paginate",),
        "Pages that are fetched only when they are asked for.",
    ),
    Exercise(
        "4", "average age", GENERATORS, "4-stream_ages.py", r"stream\w*ages?|\w*average\w*",
        ("stream_user_ages", "a function for the average"),
        "The average age from a stream of ages, without SQL's AVG and without a list.",
    ),
    Exercise(
        "5", "query logging", DECORATORS, "0-log_queries.py", r"logquer\w*",
        ("log_queries",),
        "A decorator that logs the SQL a function is called with.",
    ),
    Exercise(
        "6", "connection decorator", DECORATORS, "1-with_db_connection.py", r"withdbconn\w*",
        ("with_db_connection",),
        "A decorator that opens a connection, passes it on, and closes it.",
    ),
    Exercise(
        "7", "transactions", DECORATORS, "2-transactional.py", r"transaction\w*",
        ("transactional",),
        "A decorator that commits, or rolls back if the function fails.",
    ),
    Exercise(
        "8", "retry on failure", DECORATORS, "3-retry_on_failure.py", r"retry\w*",
        ("retry_on_failure",),
        "A decorator that tries again, some times and some seconds apart.",
    ),
    Exercise(
        "9", "query cache", DECORATORS, "4-cache_query.py", r"cache\w*",
        ("cache_query",),
        "A decorator that keeps the results of queries.",
    ),
    Exercise(
        "10", "connection manager", CONTEXT, "0-databaseconnection.py", r"\w*databaseconn\w*|dbconn\w*",
        ("DatabaseConnection",),
        "A class that opens a connection on the way in and closes it on the way out.",
    ),
    Exercise(
        "11", "query manager", CONTEXT, "1-execute.py", r"executequery|execute\w*|query\w*",
        ("ExecuteQuery",),
        "A context manager that runs a query with parameters and gives its rows.",
    ),
    Exercise(
        "12", "concurrent queries", CONTEXT, "3-concurrent.py", r"\w*concurrent\w*|async\w*",
        ("async_fetch_users", "async_fetch_older_users", "fetch_concurrently"),
        "Two queries at the same time with asyncio.gather and aiosqlite.",
    ),
)  # fmt: skip


def chosen(only: list[str]) -> list[Exercise]:
    """The exercises that these words name: numbers, or parts of titles and file names.

    Raises ValueError for a word that names none.
    """
    found = []
    for word in only:
        text = word.lower().strip()
        exact = [e for e in EXERCISES if e.number == text]
        fitting = exact or [
            e for e in EXERCISES if text and (text in e.title or text in e.file.lower())
        ]
        if not fitting:
            numbers = ", ".join(e.number for e in EXERCISES)
            raise ValueError(f"no exercise {word!r}: give one of {numbers}, or part of a name")
        found += fitting
    return [e for e in EXERCISES if e in found] if only else list(EXERCISES)
