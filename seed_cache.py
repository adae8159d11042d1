"""Where query results are kept: which calls are the same, how many are kept, who reads and who waits.

`seed_data_state` tells how long a result is fresh.
"""

import copy
import os
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import NamedTuple

from seed_script import find_sql

# What gives another result without any change of the data: the clock, chance, the last write.
# Between the name and its parenthesis may stand a closing quote, a comment, white space.
UNREPEATABLE = re.compile(
    r"\b(random|randomblob|changes|total_changes|last_insert_rowid"
    r"|date|time|datetime|julianday|unixepoch|strftime|timediff)"
    r"[\"'`\]]?(\s|--[^\n]*\n|/\*.*?\*/)*\(|\bcurrent_(date|time|timestamp)\b",
    re.IGNORECASE | re.DOTALL,
)
_READ = re.compile(
    r"(\s|\(|--[^\n]*\n|/\*.*?\*/)*(SELECT|VALUES|WITH)\b", re.IGNORECASE | re.DOTALL
)


class Kept(NamedTuple):
    version: Hashable
    result: object


class LookUp:
    """`with` it: the result that is kept, or None, and then the block is to read and keep it."""

    __slots__ = ("_cache", "_key", "_read", "_version")

    def __init__(self, cache: "QueryCache", key: tuple, version: Hashable):
        self._cache, self._key, self._version, self._read = cache, key, version, None

    def __enter__(self) -> Kept | None:
        kept = self._cache.find(self._key, self._version)
        if kept is not None:
            return kept
        # The process is part of it: a forked one inherits reads that it will never see end.
        read = os.getpid(), self._key, self._version
        under_way = self._cache.begin(read)
        if under_way is None:
            self._read = read
            return None
        under_way.wait()
        return self._cache.find(self._key, self._version)

    def __exit__(self, *exc_info) -> None:
        if self._read is not None:
            self._cache.end(self._read)


class _ReadUnderWay(NamedTuple):
    thread: int
    ended: threading.Event


_ENDED = threading.Event()
_ENDED.set()


class QueryCache(Mapping):
    """At most `limit` results of queries, to `look_up` and `keep`; what was kept longest ago goes first.

    Of the threads that look up one thing at once, the first reads it and the others wait for it.
    As a mapping it is seen by SQL text: `sql in cache`, `cache[sql]`, the newest result of that text.
    A key is a tuple that begins with the SQL text.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._entries: OrderedDict[tuple, Kept] = OrderedDict()
        self._lock = threading.Lock()
        self._under_way: dict[tuple, _ReadUnderWay] = {}

    def look_up(self, key: tuple, version: Hashable) -> LookUp:
        return LookUp(self, key, version)

    def find(self, key: tuple, version: Hashable) -> Kept | None:
        kept = self._entries.get(key)
        return kept if kept is not None and kept.version == version else None

    def begin(self, read: tuple) -> threading.Event | None:
        """Note that this thread begins the read, or tell what ends with the one that does it now.

        A thread in the middle of a read never waits: two could wait for each other.
        """
        thread = threading.get_ident()
        with self._lock:
            other = self._under_way.get(read)
            if other is None:
                self._under_way[read] = _ReadUnderWay(thread, threading.Event())
                return None
            if any(own.thread == thread for own in self._under_way.values()):
                return _ENDED
        return other.ended

    def end(self, read: tuple) -> None:
        with self._lock:
            self._under_way.pop(read).ended.set()

    def keep(self, key: tuple, version: Hashable, result) -> None:
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = Kept(version, result)
            if len(self._entries) > self._limit:
                self._entries.popitem(last=False)

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[str]:
        with self._lock:
            return iter([key[0] for key in self._entries])

    def __getitem__(self, sql: str):
        with self._lock:
            for key, kept in reversed(self._entries.items()):
                if key[0] == sql:
                    return copy.copy(kept.result)
        raise KeyError(sql)


class Read(NamedTuple):
    sql: str
    arguments: Hashable  # all but the connection, with their types: 1, 1.0 and True are different


def find_read(function: Callable, connection, args: tuple, kwargs: dict) -> Read | None:
    """Find the SQL and the other arguments of a call that reads, and would read the same again.

    None if it writes, asks for the clock or chance, or has an argument that is no plain data, that is
    numbers, text, bytes, None, and lists, tuples and dicts of them: another may change and be equal.
    """
    sql = find_sql(function, args, kwargs)
    if sql is None or not _READ.match(sql) or UNREPEATABLE.search(sql):
        return None
    named = sorted(kwargs.items())
    try:
        return Read(
            sql,
            (
                tuple(_typed(value) for value in args if value is not connection),
                tuple((name, _typed(value)) for name, value in named if value is not connection),
            ),
        )
    except TypeError:
        return None


def _typed(value) -> Hashable:
    kind = type(value)
    if kind in (list, tuple):
        return kind, tuple(map(_typed, value))
    if kind is dict:
        return kind, tuple((_typed(name), _typed(item)) for name, item in value.items())
    if kind is float:
        return kind, repr(value)  # -0.0 == 0.0, and nan is not itself
    if kind in (str, int, bool, bytes, type(None)):
        return kind, value
    raise TypeError(f"a {kind.__name__} is no plain data")
