"""Exercises 10 to 12: turn facts, and users.db as the parent reads it, into results."""

import re

from checker.child.wanted import NAMES
from checker.judge import Judge, describe
from checker.rows import compare_rows

NO_TABLE = r"no such table|doesn't exist"
HELPERS = r"(?!main|__exit__)\w+"  # they may hide an error of the function that calls them
AT_YIELD = "Which of your lines still run if an error is raised before or at the `yield`?"
FEW = "How many rows does this call return?"
FIRST = "Each function alone gives the right rows. What happens to them between it and the result?"
# The steps of exercise 12, with the functions' names and the patterns of such names.
FUNCTIONS = dict(zip(("users", "older", "both"), NAMES["12"].items(), strict=True))
BLOCKS = {
    "10": (("rows", "rows", lambda user: True),),
    "11": (
        ("rows", "older than 25", lambda user: user[3] > 25),
        ("parameters", "older than 40", lambda user: user[3] > 40),
        ("quote", "quote", lambda user: user[1] == "Siobhán O'Brien 4"),
    ),
}


def judge_manager(judge: Judge) -> bool:
    """Judge exercise 10 or 11: the rows of each block, and how blocks end that were entered."""
    [names] = NAMES[judge.exercise.number].values()
    blocks, judge.line = BLOCKS[judge.exercise.number], judge.source.line_of(*names)
    for check, step, is_wanted in blocks:
        users = judge.evidence("imported", "users") or []
        _rows(judge, check, step, [user for user in users if is_wanted(user)], *names)
    step = blocks[0][1]
    if judge.number(step, "entered") and not judge.error(step):
        _closed(judge, "closed", step, "the block", "__exit__", names)
    for failing, how in (("failing", ""), ("failing query", " with sqlite3.OperationalError")):
        if judge.number(failing, "entered"):
            what = f"a block that fails{how}"
            _closed(judge, "closed on error", failing, what, "__exit__", names)
            judge.judge_raised("raises", failing, f"the block{how}", "", "__exit__")
    if judge.number(step, "entered"):
        what, inside = "a query on a missing table", ("__enter__", "__init__", HELPERS)
        judge.judge_raised("bad query", "bad query", what, NO_TABLE, *inside)
        _closed(judge, "closed on bad query", "bad query", what, "__enter__", names)
    return judge.seen(step)


def _rows(judge: Judge, check: str, step: str, expected: list, *names: str) -> None:
    """Check the rows that a block got, unless an earlier block shows the same mistake."""
    if not judge.seen(step) or judge.crashed(check, step, "the with block"):
        return
    if judge.fact(step, "gives") == "NoneType":
        (manager,) = NAMES[judge.exercise.number]
        said = f"`with {manager}(...) as x` sets x to None{judge.printed(step)}"
        line, hint = judge.source.line_of("__enter__", *names), "x is what __enter__ returns."
    else:
        said = compare_rows(judge.fact(step), expected, "users")
        line, hint = _reading(judge, said, "__enter__", *names)
    if not (said and (judge.failed("rows") or judge.failed("parameters"))):
        judge.check(check, not said, said, line, hint)


def _reading(judge: Judge, difference: str, *inside: str) -> tuple[int | None, str]:
    """The line in these functions that decides which rows are read, and a hint if it is known."""
    find, line = judge.source.line_of_call, judge.source.line_of(*inside)
    few = find("fetchone", "fetchmany", inside=inside)
    if few and re.search(r"missing$|got [^\[{]", difference):
        return few, FEW
    return find(r"execute|\w*fetch\w*", inside=inside) or line, ""


def _closed(judge: Judge, check: str, step: str, what: str, method: str, names: tuple) -> None:
    """Check that a block closed its connections: SQLite's, or those to the MySQL server."""
    inside = (method,) if judge.source.line_of(method) else names
    line = judge.source.line_of_call("close", inside=inside) or judge.source.line_of(*inside)
    hint = AT_YIELD * ("yield" in judge.source.text and inside == names)
    if check == "closed" and judge.fact("after", "usable"):
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
    for check, step in (("all users", "users"), ("older users", "older")):
        name, inside = FUNCTIONS[step]
        if not judge.seen(step):
            judge.absent(check, f"there is no async function {name}")
        elif judge.fact(step, "kind") == "plain":
            said = f"{name}() returns a value that cannot be awaited"
            judge.check(check, False, said, source.line_of(*inside))
            found.remove(step)
        elif not judge.crashed(check, step, f"{name}()"):
            difference = compare_rows(judge.fact(step), expected[check], "users")
            said = f"{name}(): {difference}{judge.printed(step)}"
            judge.check(check, not difference, said, *_reading(judge, difference, *inside))
    if not judge.seen("both"):
        for check in ("both", "concurrent"):
            judge.absent(check, "there is no async function fetch_concurrently")
    elif not judge.crashed("both", "both", "fetch_concurrently()"):
        _both(judge, expected)
        _overlapping(judge)
    for step in found:
        name, inside = FUNCTIONS[step]
        opened = [e for e in judge.fact(step, "sqlite") or [] if e[0].startswith("open")]
        if opened:
            line = source.line_of_call("connect", inside=inside) or source.line_of_call("connect")
            judge.judge_closed("closed", step, f"{name}()", line)
            in_loop = any(where == "main" for _, _, where in opened)
            judge.check("async", not in_loop, "sqlite3 runs in the event loop's thread", line)
            _raised(judge, step, name, inside)
    for line, seconds in judge.fact("blocked", "sleeps") or []:
        said, hint = f"time.sleep({seconds}) blocks the event loop", "Which sleep() can be awaited?"
        judge.check("async", False, said, line, hint)
    return bool(judge.fact("functions", "found"))


def _raised(judge: Judge, step: str, name: str, inside: tuple[str, ...]) -> None:
    """Check that a missing table is an error for the caller, and no result of gather()."""
    missing, what = f"{step} without table", f"{name}() on a missing table"
    if judge.error(step):
        return
    if re.search(r"\$object.*Error", str(judge.fact(missing))):
        said = f"{what} returned the error in place of the rows"
        hint = "With return_exceptions=True, gather() returns errors. Who looks for them?"
        line = judge.source.line_of_call("gather", inside=inside)
        judge.check("errors", False, said, line, hint)
    else:
        judge.judge_raised("errors", missing, what, NO_TABLE, *inside, HELPERS)


def _both(judge: Judge, expected: dict[str, list]) -> None:
    """Check both results, except those that are wrong because a function is."""
    source, value, inside = judge.source, judge.fact("both"), FUNCTIONS["both"][1]
    line = source.line_of_return(*inside) or source.line_of(*inside)
    wrong, said = [name for name in expected if judge.failed(name)], ""
    value = list(value.values()) if isinstance(value, dict) else value
    if isinstance(value, list) and len(value) == 2:
        for which, rows, name in zip(("first", "second"), value, expected, strict=True):
            difference = "" if name in wrong else compare_rows(rows, expected[name], "users")
            if difference and not said:
                said = f"fetch_concurrently(): its {which} result should be {name}: {difference}"
        if said or not wrong:
            judge.check("both", not said, said, line, FIRST)
    elif not wrong:
        said = "fetch_concurrently() neither returned nor printed both results"
        shown = _shows_both(judge.text("both", "printed"), *expected.values())
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
    line, hint = source.line_of(*FUNCTIONS["both"][1]), ""
    if in_turn == ["both"] and len(seen) == 2:  # both were started
        hint = "Both start. What makes one wait: a lock, one thread, a call that blocks the loop?"
        line = source.line_of_call(r"\w*Lock|\w*Semaphore|\w*Executor", "connect")
    judge.check("concurrent", bool(seen) and not in_turn, said, line, hint)


JUDGE = {"10": judge_manager, "11": judge_manager, "12": judge_concurrent}
