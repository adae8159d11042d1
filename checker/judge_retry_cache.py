"""Exercises 8 and 9: facts to results."""

from checker.judge import Judge, told
from checker.judge_decorators import decorated, demo_rows, user_of
from checker.rows import compare_rows, count, short

ENDLESS = 99  # after so many failures the probe's function succeeds, or this would take for ever


def judge_retry(judge: Judge) -> bool:
    line = judge.source.line_of("retry_on_failure", r"\w*retry\w*")
    if decorated(judge, "retries", "retry_on_failure"):
        result = ["result of", "one", "two"]
        if not judge.crashed("retries", "two fail", "two failures, then a success:"):
            given = judge.fact("two fail", "given")
            judge.check(
                "retries", given == result, f"two failures and a success gave {short(given)}", line
            )
        given, error = judge.fact("none fails", "given"), judge.error("none fails")
        said = f"raised {told(error)}" if error else f"gave {short(given)}"
        judge.check("retries", given == result, f"a function that does not fail {said}", line)
        calls = {
            step: len(judge.fact(step, "events") or [])
            for step in ("none fails", "two fail", "all fail")
        }
        none, two, every = calls.values()
        said = f"with retries=3: {none} calls if none fails, {two} if two fail, {every} if all fail"
        if two > 1:  # else nothing was tried again, which is told already
            judge.check("attempts", (none, two, every) == (1, 3, 3), said, line)
            _sleeps(judge, calls, line)
        judge.judge_raised("gives up", "all fail", "every attempt", line)
        judge.endless = calls["all fail"] >= ENDLESS
        error = judge.error("all fail")
        if (
            error
            and "OperationalError" not in error["bases"]
            and error["type"] in ("UnboundLocalError", "TypeError")
        ):
            judge.check("gives up", False, f"the caller got {told(error)}", line)
        again, error = judge.fact("again"), judge.error("again")
        came = f"raised {told(error)}" if error else "gave no result"
        said = f"a later call of the same function {came}"
        if two > 1:
            judge.check("attempts", again == ["result"] * 3 and not error, said, line)
        tried = len(judge.fact("permanent", "events") or [])
        judge.check(
            "retries everything", tried <= 1, f"`no such table` was tried {tried} times", line
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
        "waits", enough, f"with delay=2, two failures led to the waits {two or 'none'}", place
    )
    failed = calls["all fail"]
    said = f"{failed} calls that failed led to {count(len(every), 'wait')}, not {failed - 1}"
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
                else "the second result is another"
            )
            judge.check("hit", calls == (1, 0) and bool(same), said, line)
        other = [[u[0], u[2]] for u in users if u[3] > 40]
        _own_result(judge, "query in key", "other query", other, "another query", line)
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
        judge.judge_raised("raises", "failing", "a query", line)
        kept = "changed by a caller" not in judge.items("mutated")
        judge.check(
            "shared list", kept, "the next caller sees what the one before added to its list", line
        )
        stale = [
            row
            for row in judge.items("stale")
            if isinstance(row, list) and row[1:] != ["changed@checker.example"]
        ]
        judge.check("stale", not stale, "after an UPDATE the old rows came", line)
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
            "the second call queried again",
            judge.source.line_of(r"fetch_users\w*"),
        )
        judge.judge_closed("closed", "demo", "fetch_users_with_cache()")
    return judge.seen("decorated")


def _refuses(judge: Judge, step: str) -> bool:
    """A wrapper that takes no such argument cannot mistake it either."""
    error = judge.error(step)
    return error is not None and error["type"] in ("TypeError", "KeyError")


def _own_result(
    judge: Judge, check: str, step: str, expected: list, what: str, line: int | None
) -> None:
    if judge.seen(step) and not judge.crashed(check, step, what):
        difference = compare_rows(judge.fact(step), expected)
        judge.check(check, not difference, f"{what} got another one's result: {difference}", line)


JUDGE = {"8": judge_retry, "9": judge_cache_query}
