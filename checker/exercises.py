"""The exercises: number, title, file names, and what they ask for."""

from dataclasses import dataclass

from checker import tasks

GENERATORS, DECORATORS, CONTEXT = "generators", "decorators", "context"
# Patterns for the names of topic folders, such as python-generators-0x00.
TOPIC_FOLDERS = {GENERATORS: "generator", DECORATORS: "decorator", CONTEXT: "context|async"}


@dataclass(frozen=True)
class Exercise:
    number: str  # "1" to "12", or "seed"
    title: str
    topic: str
    file: str  # the course's name for it
    also: str  # a pattern for similar names, without digits, hyphens and underscores

    @property
    def about(self) -> str:
        """What it asks for, in a sentence."""
        return tasks.sentence(self.file)

    @property
    def uses_server(self) -> bool:
        return self.topic == GENERATORS


EXERCISES = (
    Exercise("seed", "seed.py", GENERATORS, "seed.py", r"seed"),
    Exercise("1", "stream users", GENERATORS, "0-stream_users.py", r"streamusers?"),
    Exercise("2", "batch processing", GENERATORS, "1-batch_processing.py", r"\w*batch\w*"),
    Exercise("3", "lazy pagination", GENERATORS, "2-lazy_paginate.py", r"\w*paginat\w*"),
    Exercise("4", "average age", GENERATORS, "4-stream_ages.py", r"stream\w*ages?|\w*average\w*"),
    Exercise("5", "query logging", DECORATORS, "0-log_queries.py", r"logquer\w*"),
    Exercise("6", "connection decorator", DECORATORS, "1-with_db_connection.py", r"withdbconn\w*"),
    Exercise("7", "transactions", DECORATORS, "2-transactional.py", r"transaction\w*"),
    Exercise("8", "retry on failure", DECORATORS, "3-retry_on_failure.py", r"retry\w*"),
    Exercise("9", "query cache", DECORATORS, "4-cache_query.py", r"cache\w*"),
    Exercise("10", "connection manager", CONTEXT, "0-databaseconnection.py",
             r"\w*databaseconn\w*|dbconn\w*"),
    Exercise("11", "query manager", CONTEXT, "1-execute.py", r"execute\w*|query\w*"),
    Exercise("12", "concurrent queries", CONTEXT, "3-concurrent.py", r"\w*concurrent\w*|async\w*"),
)  # fmt: skip


def chosen(only: list[str]) -> list[Exercise]:
    """The exercises that match these words: numbers, or parts of titles or file names.

    Raises ValueError if a word matches none.
    """
    found = []
    for word in only:
        text = word.lower().strip()
        fitting = [e for e in EXERCISES if e.number == text] or [
            e for e in EXERCISES if text and (text in e.title or text in e.file.lower())
        ]
        if not fitting:
            numbers = ", ".join(e.number for e in EXERCISES)
            raise ValueError(f"no exercise matches {word!r}: expected {numbers}, or part of a name")
        found += fitting
    return [e for e in EXERCISES if e in found] if only else list(EXERCISES)
