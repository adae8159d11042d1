"""The exercises: number, title, file names, and what they ask for."""

from dataclasses import dataclass

GENERATORS, DECORATORS, CONTEXT = "generators", "decorators", "context"
# Patterns for the names of topic folders, such as python-generators-0x00.
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
    file: str  # the course's name for it
    also: str  # a pattern for similar names, without digits, hyphens and underscores
    needs: tuple[str, ...]  # what the file must define, in words for the verdict
    about: str

    @property
    def observer(self) -> str:
        """The suffix of its module checker.child.observe_*."""
        return {"seed": "seed", "8": "retry_cache", "9": "retry_cache"}.get(self.number, self.topic)

    @property
    def uses_server(self) -> bool:
        return self.topic == GENERATORS


EXERCISES = (
    Exercise(
        "seed", "seed.py", GENERATORS, "seed.py", r"seed",
        ("all of connect_db, create_database, connect_to_prodev, create_table and insert_data",),
        "Create the database ALX_prodev and its table user_data, and load user_data.csv.",
    ),
    Exercise(
        "1", "stream users", GENERATORS, "0-stream_users.py", r"streamusers?", ("stream_users",),
        "A generator that streams the rows of user_data one by one.",
    ),
    Exercise(
        "2", "batch processing", GENERATORS, "1-batch_processing.py", r"batchprocess\w*|\w*batch\w*",
        ("stream_users_in_batches", "batch_processing"),
        "A generator of batches of rows, and a function that selects the users older than 25.",
    ),
    Exercise(
        "3", "lazy pagination", GENERATORS, "2-lazy_paginate.py", r"lazypaginat\w*|\w*paginat\w*",
        ("lazy_paginate",),
        "A generator of pages, each fetched only when it is needed.",
    ),
    Exercise(
        "4", "average age", GENERATORS, "4-stream_ages.py", r"stream\w*ages?|\w*average\w*",
        ("stream_user_ages", "a function for the average"),
        "The average age, computed from a generator of ages, without SQL's AVG and without a list.",
    ),
    Exercise(
        "5", "query logging", DECORATORS, "0-log_queries.py", r"logquer\w*", ("log_queries",),
        "A decorator that logs the SQL a function is called with.",
    ),
    Exercise(
        "6", "connection decorator", DECORATORS, "1-with_db_connection.py", r"withdbconn\w*",
        ("with_db_connection",),
        "A decorator that opens a connection, passes it to the function, and closes it.",
    ),
    Exercise(
        "7", "transactions", DECORATORS, "2-transactional.py", r"transaction\w*",
        ("transactional",),
        "A decorator that commits, or rolls back if the function fails.",
    ),
    Exercise(
        "8", "retry on failure", DECORATORS, "3-retry_on_failure.py", r"retry\w*",
        ("retry_on_failure",),
        "A decorator that calls a failing function again, with a pause between the attempts.",
    ),
    Exercise(
        "9", "query cache", DECORATORS, "4-cache_query.py", r"cache\w*", ("cache_query",),
        "A decorator that caches the results of queries.",
    ),
    Exercise(
        "10", "connection manager", CONTEXT, "0-databaseconnection.py", r"\w*databaseconn\w*|dbconn\w*",
        ("DatabaseConnection",),
        "A context manager that opens a connection and closes it after the block.",
    ),
    Exercise(
        "11", "query manager", CONTEXT, "1-execute.py", r"executequery|execute\w*|query\w*",
        ("ExecuteQuery",),
        "A context manager that runs a query with parameters and returns its rows.",
    ),
    Exercise(
        "12", "concurrent queries", CONTEXT, "3-concurrent.py", r"\w*concurrent\w*|async\w*",
        ("async_fetch_users", "async_fetch_older_users", "fetch_concurrently"),
        "Two queries at the same time with asyncio.gather and aiosqlite.",
    ),
)  # fmt: skip


def chosen(only: list[str]) -> list[Exercise]:
    """The exercises that match these words: numbers, or parts of titles or file names.

    Raises ValueError if a word matches none.
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
            raise ValueError(f"no exercise matches {word!r}: expected {numbers}, or part of a name")
        found += fitting
    return [e for e in EXERCISES if e in found] if only else list(EXERCISES)
