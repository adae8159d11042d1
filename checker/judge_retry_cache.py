"""Exercises 8 and 9: turn facts into results."""

import sqlite3
from contextlib import closing
from itertools import pairwise

from checker.child import observe_retry_cache
from checker.child.observe_retry_cache import CALLS, DELAY, ENDLESS, OLDER, RETRIES
from checker.judge import Judge, describe
from checker.judge_decorators import MISTAKES, inside, judging, raises, returned
from checker.rows import compare_rows, count, short

LOCKED = f"OperationalError: {observe_retry_cache.LOCKED}"
CALL = "fetch_users_with_retry(conn, 'one', second='two')"
RESULT = ["result of", "one", "two"]
CONNECTION_IN_KEY = "Is the connection part of your key? Each call has a connection of its own."
AGAIN = "What is left of your counter when the decorated function is called again?"
FIXED = "The decorator has retries=4 here. Where does your loop use the parameter `retries`?"


def judge_retry(judge: Judge, line: int | None) -> None:
    steps = ("none fails", "two fail", "all fail")
    none, two, every = calls = [judge.number(step, "calls") for step in steps]
    twice = f"{CALL}, which fails twice ({LOCKED}) and then succeeds,"
    for step, what in (
        ("none fails", f"{CALL}, which does not fail,"),
        ("two fail", twice),
        ("last succeeds", f"with retries=3, {twice}"),
    ):
        error, given = judge.error(step), (judge.fact(step, "results") or [None])[0]
        if error and error.get("own") and not MISTAKES & set(error["bases"]):
            times = count(judge.number(step, "calls"), "time")
            said = f"{what} was called {times}, and the caller got {describe(error)}"
            judge.check(
                "retries", False, said, judge.source.line_of_swallow(*inside(judge)) or line
            )
        elif judge.seen(step) and not judge.crashed("retries", step, what):
            returned(judge, "retries", given == RESULT, step, what, given)
    judge.endless = every >= ENDLESS
    if two > 1:  # else it never retried, which is reported already
        said = f"with retries={RETRIES} it made {none} call if none fails, {two} if two fail,"
        said = f"{said} {every} if all fail"
        right, hint = calls == [1, 3, RETRIES], FIXED if every == 3 else ""
        judge.check("attempts", right, said, line, hint)
        _waits(judge, steps, line)
        again, error = judge.fact("again", "results"), judge.error("again")
        came = f"raised {describe(error)}" if error else f"gave {short(again)}"
        said = f"three calls of one decorated function, which fails twice in each, {came}"
        if right and judge.passed("retries") and judge.seen("again"):
            judge.check("attempts", again == [RESULT] * 3 and not error, said, line, AGAIN)
    if not judge.endless:
        raises(judge, "gives up", "all fail", f"{LOCKED} at each of {count(every, 'call')}")
    tried = judge.number("permanent", "calls")
    judge.check("retries everything", tried <= 1, f"`no such table` led to {tried} attempts", line)


def _waits(judge: Judge, steps: tuple, line: int | None) -> None:
    """Check the pauses between the calls, and that there is none before the first or after the last."""
    place = judge.source.line_of_call("sleep", "wait", inside=inside(judge)) or line
    for step in steps:
        times, calls = judge.fact(step, "events") or [], judge.number(step, "calls")
        first, *between, last = [round(b - a, 1) for a, b in pairwise(times)] or [0, 0]
        if between:
            waits = ", ".join(f"{gap:g}" for gap in between)
            said = f"with delay={DELAY} it waited {waits} seconds between {calls} calls"
            judge.check("waits", min(between) >= DELAY, said, place)
            how = "failed" if step == "all fail" else "succeeded"
            said = f"it waited {last:g} seconds after the last of {calls} calls, which {how}"
            if first > DELAY / 2:
                said = f"it waited {first:g} seconds before the first call"
            judge.check("last sleep", max(first, last) < DELAY / 2, said, place)


def judge_cache_query(judge: Judge, line: int | None) -> None:
    key = judge.source.line_with(r"(?m)^[ \t]*(\w*key\w*[ \t]*=[^=]|if .*\bin \w*cache)") or line
    with closing(sqlite3.connect(":memory:")) as database:
        database.execute("CREATE TABLE users (id, name, email, age)")
        users = judge.evidence("imported", "users") or []
        database.executemany("INSERT INTO users VALUES (?, ?, ?, ?)", users)

        def rows(*query) -> list:
            return [list(row) for row in database.execute(*query)]

        _hit(judge, rows(OLDER), key)
        for check, cases in CALLS.items():
            for number, case in enumerate(cases):
                if not _own_result(judge, check, number, case, rows(*case), key):
                    break
    kept = "changed by a caller" not in judge.items("mutated")
    said = "a change to the returned list reaches the next caller"
    judge.check("shared list", kept, said, line)
    changed = ["changed@checker.example"]
    stale = [r for r in judge.items("stale") if isinstance(r, list) and r[1:] != changed]
    judge.check("stale", not stale, "after an UPDATE the old rows were returned", line)


def _hit(judge: Judge, expected: list, line: int | None) -> None:
    """Check that the second of two equal calls returns the same rows, and does not run the function."""
    call = "fetch_users_with_cache(conn, query='SELECT id, name ...')"
    calls = judge.number("miss", "calls"), judge.number("hit", "calls")
    for step, which in (("miss", "the first"), ("hit", "the second")):
        what = f"{which} call {call}"
        if judge.crashed("hit", step, what):
            return
        given = judge.fact(step)
        returned(judge, "hit", not compare_rows(given, expected), step, what, given)
    in_key = sum(calls) == 2 and judge.fact("same connection", "calls") == 0
    said = f"the function ran {count(sum(calls), 'time')} for two equal calls"
    judge.check("hit", calls == (1, 0), said, line, CONNECTION_IN_KEY if in_key else "")


def _own_result(
    judge: Judge, check: str, number: int, case: tuple, expected: list, key: int | None
) -> bool:
    """Check a call's result; return whether the next one can be judged.

    It proves something only if the cache keeps results at all. A wrapper whose parameters do not
    allow such a call cannot return a wrong result for it.
    """
    step, (query, *params) = f"{check} {number}", case
    with_ = "".join(f" with {values}" for values in params)
    what = f"`{query}`{with_}{', passed by position,' * (check == 'positional')}"
    error = judge.error(step)
    refused = error and error["type"] == "TypeError" and not error.get("place")
    if error and not refused and params and judge.fact(step, "params") == [[]]:
        said = f"{what}: the function did not get the parameters"
        judge.check(check, False, said, judge.line, "What does the wrapper pass on?")
    elif (refused or not judge.crashed(check, step, what)) and judge.passed("hit"):
        difference = "" if refused else compare_rows(judge.fact(step), expected)
        if difference and not number and judge.failed("query in key"):
            return False  # it got another query's rows, which is reported already
        judge.check(check, not difference, f"{what} got a wrong result: {difference}", key)
    return True


JUDGE = {
    "8": judging("retries", judge_retry, "retries"),
    "9": judging("hit", judge_cache_query, "hit", "query in key"),
}
