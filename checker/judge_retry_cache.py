"""Exercises 8 and 9: turn facts into results."""

from itertools import pairwise

from checker.judge import Judge, describe
from checker.judge_decorators import (
    DECORATORS,
    FAULTS,
    MISTAKES,
    decorated,
    demo_rows,
    raises,
    returned,
    user_of,
    wrapper,
)
from checker.rows import compare_rows, count, short

ENDLESS = 99  # failures after which the probe's function succeeds, to end an endless retry
RETRIES, DELAY = 4, 3
LOCKED = "OperationalError: database is locked"
NO_TABLE = "OperationalError: no such table: nowhere"
CALL = "fetch_users_with_retry(conn, 'one', second='two')"
RESULT = ["result of", "one", "two"]
CONNECTION_IN_KEY = "Is the connection part of your key? Each call has a connection of its own."
AGAIN = "What is left of your counter when the decorated function is called again?"
FIXED = "The decorator has retries=4 here. Where does your loop use the parameter `retries`?"


def judge_retry(judge: Judge) -> bool:
    line = wrapper(judge)[1]
    if decorated(judge, "retries"):
        steps = ("none fails", "two fail", "all fail")
        none, two, every = calls = [judge.number(step, "calls") for step in steps]
        for step, what in (
            ("none fails", f"{CALL}, which does not fail,"),
            ("two fail", f"{CALL}, which fails twice ({LOCKED}) and then succeeds,"),
        ):
            error, given = judge.error(step), (judge.fact(step, "results") or [None])[0]
            if error and error.get("own") and not MISTAKES & set(error["bases"]):
                times = count(judge.number(step, "calls"), "time")
                said = f"{what} was called {times}, and the caller got {describe(error)}"
                place = judge.source.line_of_swallow(*DECORATORS["8"]) or line
                judge.check("retries", False, said, place)
            elif not judge.crashed("retries", step, what):
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
        said = f"`no such table` led to {tried} attempts"
        judge.check("retries everything", tried <= 1, said, line)
    judge.judge_wraps("retry_on_failure")
    users = judge.evidence("imported", "users")
    demo_rows(judge, "retries", "fetch_users_with_retry()", users)
    return judge.seen("decorated")


def _waits(judge: Judge, steps: tuple, line: int | None) -> None:
    """Check the pauses between the calls, and that there is none before the first or after the last."""
    place = judge.source.line_of_call("sleep", "wait", inside=DECORATORS["8"]) or line
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
        if between:
            judge.check("last sleep", max(first, last) < DELAY / 2, said, place)


def judge_cache_query(judge: Judge) -> bool:
    users = judge.evidence("imported", "users") or []
    line = wrapper(judge)[1]
    key = judge.source.line_with(r"(?m)^[ \t]*(\w*key\w*[ \t]*=[^=]|if .*\bin \w*cache)") or line
    if decorated(judge, "hit"):
        _hit(judge, [[u[0], u[1]] for u in users if u[3] > 30], key)
        other = [[u[0], u[2]] for u in users if u[3] > 40]
        _own_result(judge, "query in key", "other query", other, "a different query", key)
        for number, text in enumerate(("a b", "A b", "a  b")):
            what = f"`SELECT id, '{text}' FROM users WHERE id = 1`"
            _own_result(judge, "query in key", f"text {number}", [[1, text]], what, key)
        for step, number in (("first parameter", 1), ("second parameter", 2)):
            what = f"`WHERE id = ?` with {(number,)}"
            _own_result(judge, "parameters in key", step, [user_of(users, number)], what, key)
        for number, values in enumerate((["ab", "c"], ["AB", "c"], ["a", "bc"])):
            what = f"`SELECT ?, ?` with {tuple(values)}"
            _own_result(judge, "parameters in key", f"parameters {number}", [values], what, key)
        for step, number in (("positional", 3), ("other positional", 4)):
            what = f"`SELECT id FROM users WHERE id = {number}`, passed by position,"
            _own_result(judge, "positional", step, [[number]], what, key)
        raises(judge, "raises", "failing", FAULTS["failing"])
        raises(judge, "raises", "database error", NO_TABLE, NO_TABLE.partition(" ")[2])
        kept = "changed by a caller" not in judge.items("mutated")
        said = "a change to the returned list reaches the next caller"
        judge.check("shared list", kept, said, line)
        changed = ["changed@checker.example"]
        stale = [r for r in judge.items("stale") if isinstance(r, list) and r[1:] != changed]
        judge.check("stale", not stale, "after an UPDATE the old rows were returned", line)
    judge.judge_wraps("cache_query")
    stored = judge.evidence("before demo", "users")
    if call := demo_rows(judge, "hit", "fetch_users_with_cache(query='SELECT ...')", stored):
        again = judge.fact("demo again", "sqlite") or []
        ran = [e for e in again if e[0] == "sql" and (judge.text("demo again", "query") in e[2])]
        said = f"{call} ran the query at the second call, too"
        judge.check("demo rows", not ran, said, judge.source.line_of(call.partition("(")[0]))
    return judge.seen("decorated")


def _hit(judge: Judge, expected: list, line: int | None) -> None:
    """Check that the second of two equal calls returns the same rows, and does not run the function."""
    call = "fetch_users_with_cache(conn, query='SELECT id, name ...')"
    calls = judge.number("miss", "calls"), judge.number("hit", "calls")
    for step, which in (("miss", "the first"), ("hit", "the second")):
        what = f"{which} call {call}"
        if judge.crashed("hit", step, what):
            return
        right = not compare_rows(judge.fact(step), expected)
        returned(judge, "hit", right, step, what, judge.fact(step))
    in_key = sum(calls) == 2 and judge.fact("same connection", "calls") == 0
    said = f"the function ran {count(sum(calls), 'time')} for two equal calls"
    judge.check("hit", calls == (1, 0), said, line, CONNECTION_IN_KEY if in_key else "")


def _own_result(judge: Judge, check: str, step: str, expected: list, what: str, line) -> None:
    """Check a call's result, which proves something only if the cache keeps results at all.

    A wrapper whose parameters do not allow such a call cannot return a wrong result for it.
    """
    error, keeps = judge.error(step), judge.passed("hit")
    refused = error and error["type"] == "TypeError" and not error.get("place")
    got = judge.fact(step, "params") or []
    if error and not refused and got == [[]] and check == "parameters in key":
        said = f"{what}: the function did not get the parameters"
        judge.check(check, False, said, wrapper(judge)[1], "What does the wrapper pass on?")
    elif refused or not judge.crashed(check, step, what):
        difference = "" if refused else compare_rows(judge.fact(step), expected)
        if keeps:
            said = f"{what} got a wrong result: {difference}"
            judge.check(check, not difference, said, line)


JUDGE = {"8": judge_retry, "9": judge_cache_query}
