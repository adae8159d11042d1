"""Exercises 10 to 12: turn facts, and users.db as the parent reads it, into results."""

import re

from checker.child.observe_context import ALL, FAULTS, FUNCTIONS, QUERIES
from checker.child.wanted import NAMES
from checker.judge import Judge, describe
from checker.rows import compare_rows, select

NO_TABLE = r"no such table|doesn't exist"
HELPERS = r"(?!main|__exit__)\w+"  # they may hide an error of the function that calls them
WITH = r"\bwith sqlite3\.connect\("  # it does not close the connection
AT_YIELD = "Which of your lines still run if an error is raised before or at the `yield`?"
FEW = re.compile(r"missing|got [^\[{]")  # how compare_rows() shows what fetchone() causes


def judge_manager(judge: Judge) -> bool:
    """Judge exercise 10 or 11: the rows of each block, and how blocks end that were entered."""
    [names] = NAMES[judge.exercise.number].values()
    judge.line, users = judge.source.line_of(*names), judge.evidence("imported", "users") or []
    for step, (sql, value) in QUERIES.items():
        if judge.seen(step):
            what, expected = f"`{ALL}` in the with block", users
            if judge.exercise.number == "11":
                what = f"`with {names[0]}(...)` for `{sql}` and {value!r}"
                expected = select(users, sql, [value])
            _rows(judge, step, expected, what, "__enter__", *names)
    if not judge.number("rows", "entered"):
        return judge.seen("rows")
    _closed(judge, "closed", "rows", "the block", "__exit__", names)
    for failing, error in FAULTS.items():
        if judge.number(failing, "entered"):
            what = f"a block that raised {error.__name__}"
            if not judge.failed("closed"):
                _closed(judge, "closed on error", failing, what, "__exit__", names)
            judge.judge_raised("raises", failing, what, "", "__exit__")
    what, inside = "a query on a missing table", ("__enter__", "__init__", HELPERS)
    judge.judge_raised("bad query", "bad query", what, NO_TABLE, *inside)
    _closed(judge, "closed on bad query", "bad query", what, "__enter__", names)
    return True


def _rows(judge: Judge, step: str, expected: list, what: str, *inside: str) -> None:
    """Check the rows that a block or function gave, unless it shows an earlier block's mistake.

    The line is that of the call in these functions that decides which rows are read.
    """
    if judge.crashed(step, step, what):
        return
    find, line, hint = judge.source.line_of_call, judge.source.line_of(*inside), ""
    difference = compare_rows(judge.fact(step), expected, "users")
    said = f"{what}: {difference}"
    if judge.fact(step, "gives") == "NoneType":
        (manager,) = NAMES[judge.exercise.number]
        said, hint = f"`with {manager}(...) as x` sets x to None", "x is what __enter__ returns."
    elif (few := find("fetchone", "fetchmany", inside=inside)) and FEW.search(difference):
        line, hint = few, "How many rows does this call return?"
    else:
        line = find(r"execute|\w*fetch\w*", inside=inside) or line
    if not (difference and (judge.failed("rows") or judge.failed("parameters"))):
        judge.check(step, not difference, said + judge.printed(step), line, hint)


def _closed(judge: Judge, check: str, step: str, what: str, method: str, names: tuple) -> None:
    """Check that a block closed its connections: SQLite's, or those to the MySQL server."""
    inside = (method,) if judge.source.line_of(method) else names
    line = judge.source.line_of_call("close", inside=inside)
    line = line or judge.source.line_with(WITH, *names) or judge.source.line_of(*inside)
    hint = AT_YIELD * ("yield" in judge.source.text and inside == names)
    if judge.fact(step, "usable"):
        judge.check(check, False, "the connection still works after the block", line, hint)
    judge.judge_closed(check, step, what, line, hint)
    now, before = (judge.evidence(f"{step} {when}", "open") for when in ("done", "begins"))
    if now is not None and now > (before or 0):
        said = f"{what} opens a connection to the server that your code never closes"
        error = judge.error(step)
        if error and error["message"] != "raised inside":
            judge.fail_at(check, error, f"{said}, since your code raised {describe(error)}")
        else:
            judge.check(check, False, said, line, hint)


def judge_concurrent(judge: Judge) -> bool:
    users = judge.evidence("imported", "users") or []
    expected = {"all users": users, "older users": [user for user in users if user[3] > 40]}
    source, found = judge.source, list(judge.fact("functions", "found") or [])
    for step, (name, inside) in FUNCTIONS.items():
        if not judge.seen(step):
            judge.absent(step, f"there is no async function {name}")
        elif step == "both":
            if not judge.crashed("both", "both", f"{name}()"):
                _both(judge, expected)
                _overlapping(judge)
        elif judge.fact(step, "kind") == "plain":
            said = f"{name}() returns a value that cannot be awaited"
            judge.check(step, False, said, source.line_of(*inside))
            found.remove(step)
        else:
            _rows(judge, step, expected[step], f"{name}()", *inside)
    for step in found:
        name, inside = FUNCTIONS[step]
        opened = [e for e in judge.fact(step, "sqlite") or [] if e[0].startswith("open")]
        if opened:
            line = source.line_of_call("connect", inside=inside) or source.line_of_call("connect")
            judge.judge_closed("closed", step, f"{name}()", line)
            in_loop = any(where == "main" for _, _, where in opened)
            judge.check("async", not in_loop, "sqlite3 runs in the event loop's thread", line)
            missing, what = f"{step} without table", f"{name}() on a missing table"
            if re.search(r"\$object.*Error", str(judge.fact(missing))):  # a result of gather()
                said = f"{what} returned the error in place of the rows"
                hint = "With return_exceptions=True, gather() returns errors. Who looks for them?"
                line = source.line_of_call("gather", inside=inside)
                judge.check("errors", False, said, line, hint)
            else:
                judge.judge_raised("errors", missing, what, NO_TABLE, *inside, HELPERS)
        for line, seconds in judge.fact(step, "blocked") or []:
            said = f"time.sleep({seconds}) blocks the event loop"
            judge.check("async", False, said, line, "Which sleep() can be awaited?")
    if judge.number("overlap", "most") != 1:  # both start, but one blocks the event loop
        judge.follows("concurrent", "async")
    return bool(judge.fact("functions", "found"))


def _both(judge: Judge, expected: dict[str, list]) -> None:
    """Check both results, except those that are wrong because a function is."""
    source, value, inside = judge.source, judge.fact("both"), FUNCTIONS["both"][1]
    line = source.line_of_return(*inside) or source.line_of(*inside)
    wrong = [name for name in expected if judge.failed(name)]
    value = list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, list) and len(value) == 2:
        for which, rows, name in zip(("first", "second"), value, expected, strict=True):
            difference = "" if name in wrong else compare_rows(rows, expected[name], "users")
            said = f"fetch_concurrently(), {which} result ({name}): {difference}"
            if difference or not wrong:
                hint = "Each function alone gives the right rows. What happens to them after that?"
                judge.check("both", not difference, said, line, hint)
    elif not wrong:
        said = "fetch_concurrently() neither returned nor printed both results"
        shown = _shows_both(judge.text("both", "printed"), *expected.values())
        judge.check("both", shown, said, line)


def _shows_both(printed: str, users: list, older: list) -> bool:
    """Whether all users are printed, the older ones twice; or else the numbers of both."""

    def times(user: list) -> int:
        return max(len(re.findall(rf"{re.escape(cell)}(?!\d)", printed)) for cell in user[1:3])

    if all(map(times, users)):
        return all(times(user) > 1 for user in older)
    return all(re.search(rf"\b{len(rows)}\b", printed) for rows in (users, older))


def _overlapping(judge: Judge) -> None:
    """Check that the queries overlap, with slow functions in their place and as they are."""
    source, said = judge.source, "the second query started only after the first had ended"
    seen = [step for step in ("overlap", "both") if judge.number(step, "calls") > 1]
    most = [judge.number(step, "most") for step in seen]
    line, hint = source.line_of(*FUNCTIONS["both"][1]), ""
    if len(most) == 2 and most[0] > 1:  # both were started
        hint = "Both start. What makes one wait: a lock, one thread, a call that blocks the loop?"
        line = source.line_with(r"(with|=) .*(lock|sem|executor)") or source.line_of_call("connect")
    judge.check("concurrent", min(most, default=0) > 1, said, line, hint)


JUDGE = {"10": judge_manager, "11": judge_manager, "12": judge_concurrent}
