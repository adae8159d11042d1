"""Exercises 10 to 12: turn facts, and users.db as the parent reads it, into results."""

import re

from checker.judge import Judge, describe, unclosed
from checker.rows import compare_rows, count

NO_TABLE = r"no such table|doesn't exist"
BODY = ("__enter__", "__exit__", "__init__")


def judge_connection(judge: Judge) -> bool:
    users = judge.evidence("imported", "users") or []
    _rows(judge, "rows", "rows", users)
    if judge.number("rows", "entered") and judge.fact("after", "usable"):
        said = "the connection still works after the block"
        judge.check("closed", False, said, judge.source.line_of("__exit__"))
    _managed(judge, "rows")
    return judge.seen("rows")


def judge_query(judge: Judge) -> bool:
    users = judge.evidence("imported", "users") or []
    for check, step, expected in (
        ("rows", "older than 25", [u for u in users if u[3] > 25]),
        ("parameters", "older than 40", [u for u in users if u[3] > 40]),
        ("quote", "quote", [u for u in users if u[1] == "Siobhán O'Brien"]),
    ):
        _rows(judge, check, step, expected)
    _managed(judge, "older than 25")
    if judge.number("older than 25", "entered"):
        what = "a query on a missing table"
        judge.judge_raised("bad query", "bad query", what, NO_TABLE, *BODY)
        _closed(judge, "closed on bad query", "bad query", what, "__enter__")
    return judge.seen("older than 25")


def _rows(judge: Judge, check: str, step: str, expected: list) -> None:
    """Check the rows that a block got."""
    enter = judge.source.line_of("__enter__")
    if judge.seen(step) and not judge.crashed(check, step, "the with block"):
        if judge.fact(step, "gives") == "NoneType":
            said = f"`with {judge.exercise.needs[0]}(...) as x` sets x to None"
            hint = "x is what __enter__ returns."
            judge.check(check, False, said + judge.printed(step), enter, hint)
            return
        difference = compare_rows(judge.fact(step), expected, "users")
        judge.check(check, not difference, difference, enter)


def _managed(judge: Judge, step: str) -> None:
    """Check how the block ends; only blocks that were entered say anything about that."""
    if judge.number(step, "entered") and not judge.error(step):
        _closed(judge, "closed", step, "the block", "__exit__")
    if judge.number("failing", "entered"):
        _closed(judge, "closed on error", "failing", "a block that fails", "__exit__")
        judge.judge_raised("raises", "failing", "the block", "", "__exit__", "__aexit__")


def _closed(judge: Judge, check: str, step: str, what: str, method: str) -> None:
    """Check that a block closed its connections: SQLite's, or those to the MySQL server."""
    line = judge.source.line_of(method)
    judge.judge_closed(check, step, what, line)
    now, before = (judge.evidence(f"{step} {when}", "open") for when in ("done", "begins"))
    if now is not None and now > (before or 0):
        said = f"{what} opens a connection to the server that your code never closes"
        error = judge.error(step)
        if error and error["message"] != "raised inside":
            judge.fail_at(check, error, f"{said}, since your code raised {describe(error)}")
        else:
            judge.check(check, False, said, line)


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
            judge.absent(check, f"there is no async function {name}")
        elif not judge.crashed(check, step, f"{name}()"):
            difference = compare_rows(judge.fact(step), expected, "users")
            said = f"{name}(): {difference}{judge.printed(step) if difference else ''}"
            judge.check(check, not difference, said, line_of(name))
    if "both" in found:
        _both(judge, users, older)
        _overlapping(judge, line_of(r"\w*concurrent\w*"))
    else:
        for check in ("both", "concurrent"):
            judge.absent(check, "there is no async function fetch_concurrently")
    events = [e for step in found for e in judge.fact(step, "sqlite") or []]
    if opened := [e for e in events if e[0].startswith("open")]:
        connect = judge.source.line_of_call("connect")
        said = f"your code never closes {count(unclosed(events), 'connection')} that it opened"
        judge.check("closed", unclosed(events) == 0, said, connect)
        in_loop = any(where == "main" for _, _, where in opened)
        judge.check("async", not in_loop, "sqlite3 runs in the event loop's thread", connect)
    for step in found if opened else ():
        _raised(judge, step)
    return bool(found)


FUNCTIONS = {
    "users": "async_fetch_users",
    "older": "async_fetch_older_users",
    "both": r"\w*concurrent\w*",
}


def _raised(judge: Judge, step: str) -> None:
    """Check that a missing table is an error for the caller; gather() may also return it."""
    missing = f"{step} without table"
    if judge.error(step) or re.search(r"\$object.*Error", str(judge.fact(missing))):
        return
    name = "fetch_concurrently" if step == "both" else FUNCTIONS[step]
    judge.judge_raised("errors", missing, f"{name}() on a missing table", NO_TABLE, FUNCTIONS[step])


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
    if judge.error("both"):
        return
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
