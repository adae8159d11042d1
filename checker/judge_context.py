"""Exercises 10 to 12: turn facts, and users.db as the parent reads it, into results."""

import re

from checker.child.wanted import NAMES
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
            (manager,) = NAMES[judge.exercise.number]
            said = f"`with {manager}(...) as x` sets x to None"
            hint = "x is what __enter__ returns."
            judge.check(check, False, said + judge.printed(step), enter, hint)
            return
        difference = compare_rows(judge.fact(step), expected, "users")
        judge.check(check, not difference, difference, enter)


def _managed(judge: Judge, step: str) -> None:
    """Check how the block ends; only blocks that were entered say anything about that."""
    if judge.number(step, "entered") and not judge.error(step):
        _closed(judge, "closed", step, "the block", "__exit__")
    for failing, how in (("failing", ""), ("failing query", " with sqlite3.OperationalError")):
        if judge.number(failing, "entered"):
            _closed(judge, "closed on error", failing, f"a block that fails{how}", "__exit__")
            what = f"the block{how}"
            judge.judge_raised("raises", failing, what, "", "__exit__", "__aexit__")


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
    line_of, line_of_call = judge.source.line_of, judge.source.line_of_call
    for check, step, expected in (("all users", "users", users), ("older users", "older", older)):
        name = FUNCTIONS[step]
        if not judge.seen(step):
            judge.absent(check, f"there is no async function {name}")
        elif judge.fact(step, "kind") == "plain":
            said = f"{name}() returns a value that cannot be awaited"
            judge.check(check, False, said, line_of(name))
            found = [other for other in found if other != step]
        elif not judge.crashed(check, step, f"{name}()"):
            difference = compare_rows(judge.fact(step), expected, "users")
            said = f"{name}(): {difference}{judge.printed(step) if difference else ''}"
            judge.check(check, not difference, said, line_of(name))
    if judge.seen("both"):
        if not judge.crashed("both", "both", "fetch_concurrently()"):
            _both(judge, users, older)
            _overlapping(judge)
    else:
        for check in ("both", "concurrent"):
            judge.absent(check, "there is no async function fetch_concurrently")
    events = [e for step in found for e in judge.fact(step, "sqlite") or []]
    if opened := [e for e in events if e[0].startswith("open")]:
        connect = line_of_call("connect")
        said = f"your code never closes {count(unclosed(events), 'connection')} that it opened"
        judge.check("closed", unclosed(events) == 0, said, connect)
        in_loop = any(where == "main" for _, _, where in opened)
        judge.check("async", not in_loop, "sqlite3 runs in the event loop's thread", connect)
        for step in found:
            _raised(judge, step)
    if len(slept := judge.fact("blocked", "sleeps") or []) == 2:
        said, hint = (
            f"time.sleep({slept[1]}) blocks the event loop",
            "Which sleep() can be awaited?",
        )
        judge.check("async", False, said, slept[0], hint)
    return bool(judge.fact("functions", "found"))


FUNCTIONS = {
    "users": "async_fetch_users",
    "older": "async_fetch_older_users",
    "both": r"\w*concurrent\w*",
}


def _raised(judge: Judge, step: str) -> None:
    """Check that a missing table is an error for the caller, and no result of gather()."""
    missing, inside = f"{step} without table", FUNCTIONS[step]
    what = f"{'fetch_concurrently' if step == 'both' else inside}() on a missing table"
    if judge.error(step):
        return
    if re.search(r"\$object.*Error", str(judge.fact(missing))):
        said = f"{what} returned the error in place of the rows"
        hint = "With return_exceptions=True, gather() returns errors. Who looks for them?"
        line = judge.source.line_of_call("gather", inside=(inside,))
        judge.check("errors", False, said, line, hint)
    else:
        judge.judge_raised("errors", missing, what, NO_TABLE, inside)


def _both(judge: Judge, users: list, older: list) -> None:
    """Check both results, except those that are wrong because a function is."""
    line, value = judge.source.line_of(FUNCTIONS["both"]), judge.fact("both")
    wrong = [judge.failed("all users"), judge.failed("older users")]
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list) and len(value) == 2:
        pairs = zip(value, (users, older), wrong, strict=True)
        found = (compare_rows(rows, expected, "users") for rows, expected, bad in pairs if not bad)
        difference = next(filter(None, found), "")
        if difference or not any(wrong):
            judge.check("both", not difference, f"fetch_concurrently(): {difference}", line)
    elif not any(wrong):
        said = "it neither returned nor printed both results"
        shown = _shows_both(judge.text("both", "printed"), users, older)
        judge.check("both", shown, said, line)


def _shows_both(printed: str, users: list, older: list) -> bool:
    """Whether all users are printed, the older ones twice; or else the numbers of both."""

    def times(user: list) -> int:
        named = re.findall(rf"{re.escape(user[1])}(?!\d)", printed)
        return max(printed.count(user[2]), len(named))

    if all(map(times, users)):
        return all(times(user) > 1 for user in older)
    return all(re.search(rf"\b{len(rows)}\b", printed) for rows in (users, older))


def _overlapping(judge: Judge) -> None:
    """Check that the queries overlap, with slow functions in their place and as they are."""
    source, said = judge.source, "the second query started only after the first had ended"
    seen = [step for step in ("overlap", "both") if judge.number(step, "calls") > 1]
    in_turn = [step for step in seen if judge.number(step, "most") < 2]
    line, hint = source.line_of(FUNCTIONS["both"]), ""
    if in_turn == ["both"] and len(seen) == 2:  # both were started
        hint = "Both start. What makes one wait: a lock, one thread, a call that blocks the loop?"
        line = source.line_of_call(r"\w*Lock|\w*Semaphore|\w*Executor", "connect")
    judge.check("concurrent", bool(seen) and not in_turn, said, line, hint)


JUDGE = {"10": judge_connection, "11": judge_query, "12": judge_concurrent}
