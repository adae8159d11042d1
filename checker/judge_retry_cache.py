"""Exercises 8 and 9: turn facts into results."""

from checker.judge import Judge, describe
from checker.judge_decorators import DECORATORS, NO_TABLE, decorated, demo_rows, user_of
from checker.rows import compare_rows, count, short

ENDLESS = 99  # failures after which the probe's function succeeds, to end an endless retry


def judge_retry(judge: Judge) -> bool:
    line = judge.source.line_of("retry_on_failure", r"\w*retry\w*")
    if decorated(judge, "retries", "retry_on_failure"):
        result = ["result of", "one", "two"]
        if not judge.crashed("retries", "two fail", "retrying a function that fails twice"):
            given = judge.fact("two fail", "given")
            judge.check(
                "retries",
                given == result,
                f"a function that fails twice and then succeeds returned {short(given)}",
                line,
            )
        given, error = judge.fact("none fails", "given"), judge.error("none fails")
        said = f"raised {describe(error)}" if error else f"returned {short(given)}"
        judge.check("retries", given == result, f"a function that does not fail {said}", line)
        calls = {
            step: len(judge.fact(step, "events") or [])
            for step in ("none fails", "two fail", "all fail")
        }
        none, two, every = calls.values()
        said = (
            f"calls for retries=3: {none} if no call fails, {two} if two fail, {every} if all fail"
        )
        if two > 1:  # else it never retried, which is reported already
            judge.check("attempts", (none, two, every) == (1, 3, 3), said, line)
            _sleeps(judge, calls, line)
        judge.judge_raised(
            "gives up", "all fail", "every attempt", "database is locked", *DECORATORS["8"]
        )
        judge.endless = calls["all fail"] >= ENDLESS
        error = judge.error("all fail")
        if (
            error
            and "OperationalError" not in error["bases"]
            and error["type"] in ("UnboundLocalError", "TypeError")
        ):
            judge.check("gives up", False, f"the caller got {describe(error)}", line)
        again, error = judge.fact("again"), judge.error("again")
        came = f"raised {describe(error)}" if error else "returned no result"
        said = f"a later call of the same decorated function {came}"
        if two > 1:
            judge.check("attempts", again == ["result"] * 3 and not error, said, line)
        tried = len(judge.fact("permanent", "events") or [])
        judge.check(
            "retries everything", tried <= 1, f"`no such table` led to {tried} attempts", line
        )
    judge.judge_wraps("retry_on_failure")
    demo_rows(judge, "fetch_users_with_retry", judge.evidence("imported", "users"), optional=True)
    if judge.seen("demo"):
        judge.judge_closed("closed", "demo", "fetch_users_with_retry()")
    return judge.seen("decorated")


def _sleeps(judge: Judge, calls: dict, line: int | None) -> None:
    two = judge.fact("two fail", "sleeps") or []
    every = judge.fact("all fail", "sleeps") or []
    place = judge.source.line_of_call("sleep") or line
    enough = len(two) == 2 and all(seconds >= 1 for seconds in two)
    judge.check(
        "waits", enough, f"with delay=2 and two failures, the waits were {two or 'none'}", place
    )
    failed = calls["all fail"]
    said = f"expected {count(failed - 1, 'wait')} for {failed} failed calls, got {len(every)}"
    judge.check("last sleep", len(every) < max(failed, 1), said, place)


def judge_cache_query(judge: Judge) -> bool:
    users = judge.evidence("imported", "users") or []
    line = judge.source.line_of("cache_query", r"\w*cache\w*")
    if decorated(judge, "hit", "cache_query"):
        if not judge.crashed("hit", "miss", "the first call") and not judge.crashed(
            "hit", "hit", "the second call"
        ):
            calls = (judge.number("miss", "calls"), judge.number("hit", "calls"))
            same = judge.fact("miss") == judge.fact("hit") and judge.fact("miss")
            said = (
                f"the function ran {sum(calls)} times for two equal calls"
                if same
                else "the second call did not return the same rows"
            )
            judge.check("hit", calls == (1, 0) and bool(same), said, line)
        other = [[u[0], u[2]] for u in users if u[3] > 40]
        _own_result(judge, "query in key", "other query", other, "a different query", line)
        if not _refuses(judge, "first parameter"):
            for step, number in (("first parameter", 1), ("second parameter", 2)):
                what = f"`WHERE id = ?` with {number}"
                _own_result(judge, "parameters in key", step, [user_of(users, number)], what, line)
        else:
            judge.check("parameters in key", True)
        if not _refuses(judge, "positional"):
            for step, number in (("positional", 3), ("other positional", 4)):
                _own_result(
                    judge, "positional", step, [[number]], "a query passed by position", line
                )
        else:
            judge.check("positional", True)
        judge.judge_raised("raises", "failing", "a query", NO_TABLE, *DECORATORS["9"])
        kept = "changed by a caller" not in judge.items("mutated")
        judge.check(
            "shared list", kept, "a change to the returned list reaches the next caller", line
        )
        stale = [
            row
            for row in judge.items("stale")
            if isinstance(row, list) and row[1:] != ["changed@checker.example"]
        ]
        judge.check("stale", not stale, "after an UPDATE the old rows were returned", line)
    judge.judge_wraps("cache_query")
    demo_rows(
        judge, "fetch_users_with_cache", judge.evidence("before demo", "users"), optional=True
    )
    if judge.seen("demo again"):
        again = judge.fact("demo again", "sqlite") or []
        ran = [e for e in again if e[0] == "sql" and judge.text("demo", "query") in e[2]]
        judge.check(
            "demo rows",
            not ran,
            "the second call ran the query again",
            judge.source.line_of(r"fetch_users\w*"),
        )
        judge.judge_closed("closed", "demo", "fetch_users_with_cache()")
    return judge.seen("decorated")


def _refuses(judge: Judge, step: str) -> bool:
    """Whether the wrapper rejects such a call, and so cannot return a wrong result for it."""
    error = judge.error(step)
    return error is not None and error["type"] in ("TypeError", "KeyError")


def _own_result(
    judge: Judge, check: str, step: str, expected: list, what: str, line: int | None
) -> None:
    if judge.seen(step) and not judge.crashed(check, step, what):
        difference = compare_rows(judge.fact(step), expected)
        judge.check(check, not difference, f"{what} got a wrong result: {difference}", line)


JUDGE = {"8": judge_retry, "9": judge_cache_query}
