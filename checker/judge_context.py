"""Exercises 10 to 12: turn facts, and users.db as the parent reads it, into results."""

import re

from checker.judge import Judge, unclosed
from checker.rows import compare_rows, count


def judge_connection(judge: Judge) -> bool:
    users = judge.evidence("imported", "users") or []
    enter, leave = judge.source.line_of("__enter__"), judge.source.line_of("__exit__")
    if judge.seen("rows") and not judge.crashed("rows", "rows", "the with block"):
        difference = compare_rows(judge.fact("rows"), users, "users")
        judge.check("rows", not difference, difference, enter)
        judge.check(
            "closed",
            not judge.fact("after", "usable"),
            "the connection still works after the block",
            leave,
        )
    _managed(judge, "rows", leave)
    return judge.seen("rows")


def judge_query(judge: Judge) -> bool:
    users = judge.evidence("imported", "users") or []
    enter, leave = judge.source.line_of("__enter__"), judge.source.line_of("__exit__")
    for check, step, expected in (
        ("rows", "older than 25", [u for u in users if u[3] > 25]),
        ("parameters", "older than 40", [u for u in users if u[3] > 40]),
        ("quote", "quote", [u for u in users if u[1] == "Siobhán O'Brien"]),
    ):
        if judge.seen(step) and not judge.crashed(check, step, "the with block"):
            difference = compare_rows(judge.fact(step), expected, "users")
            judge.check(check, not difference, difference, enter)
    _managed(judge, "older than 25", leave)
    if judge.seen("bad query"):
        raised = judge.error("bad query") is not None
        judge.check("bad query", raised, "a query on a missing table raised no error", enter)
        judge.judge_closed("closed on bad query", "bad query", "a query that fails", enter)
    return judge.seen("older than 25")


def _managed(judge: Judge, step: str, leave: int | None) -> None:
    if judge.error(step):  # there was no block to leave
        return
    judge.judge_closed("closed", step, "the block", leave)
    judge.judge_closed("closed on error", "failing", "a block that fails", leave)
    judge.judge_raised("raises", "failing", "the block", "", "__exit__")
    error = judge.error("failing")
    if error and error["type"] != "LookupError":
        judge.check(
            "raises",
            False,
            f"the block raised LookupError, but the caller got {error['type']}",
            leave,
        )


def judge_concurrent(judge: Judge) -> bool:
    users = judge.evidence("imported", "users") or []
    older = [user for user in users if user[3] > 40]
    found = judge.fact("functions", "found") or []
    line_of = judge.source.line_of
    for check, step, expected, name in (
        ("all users", "users", users, "async_fetch_users"),
        ("older users", "older", older, "async_fetch_older_users"),
    ):
        if not judge.seen(step):
            judge.check(check, False, f"there is no async function {name}")
        elif not judge.crashed(check, step, f"{name}()"):
            difference = compare_rows(judge.fact(step), expected, "users")
            judge.check(check, not difference, f"{name}(): {difference}", line_of(name))
    if "both" in found:
        _both(judge, users, older)
        _overlapping(judge, line_of(r"\w*concurrent\w*"))
    else:
        for check in ("both", "concurrent"):
            judge.check(check, False, "there is no async function fetch_concurrently")
    events = [e for step in ("users", "older", "both") for e in judge.fact(step, "sqlite") or []]
    if any(judge.seen(step) for step in ("users", "older", "both")):
        left = unclosed(events)
        judge.check(
            "closed",
            left == 0,
            f"{count(left, 'connection')} stayed open",
            judge.source.line_of_call("connect"),
        )
        opened = [e for e in events if e[0].startswith("open")]
        blocking = [e for e in opened if e[2] == "main"]
        judge.check("async", bool(opened) and not blocking, "sqlite3 runs in the event loop's thread",
                    judge.source.line_of_call("connect"))  # fmt: skip
    if judge.seen("fault"):
        said = "the table was missing, but async_fetch_users() raised no error"
        judge.check("errors", judge.error("fault") is not None, said, line_of("async_fetch_users"))
    return bool(found)


def _both(judge: Judge, users: list, older: list) -> None:
    line = judge.source.line_of(r"\w*concurrent\w*")
    if judge.crashed("both", "both", "fetch_concurrently()"):
        return
    value = judge.fact("both")
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list) and len(value) == 2:
        pairs = ((value[0], users), (value[1], older))
        difference = next(filter(None, (compare_rows(f, e, "users") for f, e in pairs)), "")
        judge.check("both", not difference, f"fetch_concurrently(): {difference}", line)
    else:
        printed = judge.fact("both", "printed") or ""
        said = "it neither returned nor printed both results"
        judge.check("both", _shows_both(printed, users, older), said, line)


def _shows_both(printed: str, users: list, older: list) -> bool:
    """Whether all users are printed, the older ones twice; or else the numbers of both."""

    def times(user: list) -> int:
        named = re.findall(rf"{re.escape(user[1])}(?!\d)", printed)
        return max(printed.count(user[2]), len(named))

    if all(map(times, users)):
        return all(times(user) > 1 for user in older)
    return all(re.search(rf"\b{len(rows)}\b", printed) for rows in (users, older))


def _overlapping(judge: Judge, line: int | None) -> None:
    said = "the second query started only after the first had ended"
    if judge.number("overlap", "calls") >= 2:
        judge.check("concurrent", judge.number("overlap", "most") >= 2, said, line)
        return
    # It does not call both functions: were two connections open at the same time?
    most = now = 0
    for event, _, _ in judge.fact("both", "sqlite") or []:
        now += event.startswith("open") - (event == "close")
        most = max(most, now)
    judge.check("concurrent", most >= 2, said, line)


JUDGE = {"10": judge_connection, "11": judge_query, "12": judge_concurrent}
