"""Exercises 5 to 9: facts, and the file users.db as the parent reads it, to results."""

import re

from checker.judge import Judge, compare_rows, count, same_row, short, told

ENDLESS = 99  # after so many failures the probe's function succeeds, or this would take for ever


def judge_log_queries(judge: Judge) -> bool:
    line = judge.source.line_of("log_queries", r"\w*log\w*")
    decorated = _decorated(judge, "logged", "log_queries")
    if decorated:
        for form in ("keyword", "positional"):
            what = f"a call with a {form} argument"
            if judge.crashed("result", form, what):
                judge.check("logged", _is_shown(judge, form), f"{what} failed before its SQL was shown", line)
                continue
            query = judge.fact(form, "query")
            came = judge.fact(form, "got") == query and judge.fact(form, "given") == ["result of", query]
            judge.check("result", came, f"{what} gave {short(judge.fact(form, 'given'))}", line)
            shown = _is_shown(judge, form)
            judge.check("logged", shown, f"{what} showed no line with its SQL", line)
            before = query in (judge.fact(form, "before") or "") or query not in judge.fact(form, "shown")
            judge.check("before", before or not shown, "the line came after the query had run", line)
        judge.judge_raised("raises", "failing", "the decorated function", line)
    judge.judge_wraps("log_queries")
    _demo_rows(judge, "fetch_all_users", judge.evidence("imported", "users"))
    judge.judge_closed("closed", "demo", "fetch_all_users()")
    return judge.seen("decorated")


def _is_shown(judge: Judge, form: str) -> bool:
    """The SQL was printed or logged, or would be once the file's own main has configured logging."""
    query = judge.fact(form, "query") or "\0"
    configures = re.search(r"basicConfig|dictConfig|fileConfig|addHandler|setLevel", judge.source.text)
    hidden = judge.fact(form, "hidden") if configures else ""
    return query in (judge.fact(form, "shown") or "") or query in (hidden or "")


def judge_with_db_connection(judge: Judge) -> bool:
    users = judge.evidence("imported", "users") or []
    line = judge.source.line_of("with_db_connection", r"with_?\w*conn\w*")
    if _decorated(judge, "connection", "with_db_connection"):
        if judge.crashed("connection", "call", "calling a decorated function"):
            pass
        else:
            given = judge.fact("call")
            whole = isinstance(given, list) and len(given) == 2
            right = whole and same_row(given[0], _user(users, 2)) and given[1] == 7
            judge.check("connection", True)
            judge.check("result", right, f"expected [the user, 7], got {short(given)}", line)
            third = judge.fact("keyword call")
            same = isinstance(third, list) and len(third) == 2 and same_row(third[0], _user(users, 3))
            error = judge.error("keyword call")
            said = f"a call by keyword raised {told(error)}" if error else f"by keyword it gave {short(third)}"
            judge.check("result", same, said, line)
            left = bool(judge.fact("after call", "usable"))
            judge.check("closed", not left, "after the call its connection still answers", line)
        judge.judge_closed("closed", "call", "a decorated function", line)
        judge.judge_closed("closed on error", "failing", "a decorated function that fails", line)
        judge.judge_raised("raises", "failing", "the decorated function", line)
    judge.judge_wraps("with_db_connection")
    if judge.seen("demo"):
        if not judge.crashed("demo rows", "demo", "get_user_by_id(user_id=2)"):
            given = judge.fact("demo")
            if isinstance(given, list) and len(given) == 1 and isinstance(given[0], list):
                given = given[0]
            said = f"get_user_by_id(user_id=2) gave {short(given)}"
            judge.check("demo rows", same_row(given, _user(users, 2)), said, judge.source.line_of(r"get_user\w*"))
    else:
        _no_demo(judge, r"get_user\w*")
    return judge.seen("decorated")


def judge_transactional(judge: Judge) -> bool:
    line = judge.source.line_of("transactional", r"\w*transaction\w*")
    if _decorated(judge, "commits", "transactional"):
        if not judge.crashed("commits", "success", "a decorated function that succeeds"):
            stored = _user(judge.evidence("success", "users") or [], 1)
            judge.check("commits", stored[1:2] == ["committed"], "what it wrote is not in the file", line)
            given = judge.fact("success", "given")
            judge.check("result", given == ["result of", 1], f"the caller got {short(given)}", line)
        judge.judge_raised("raises", "failure", "the decorated function", line)
        after = judge.fact("after failure", "name")
        stored = _user(judge.evidence("failure", "users") or [], 2)
        if judge.seen("after failure"):
            undone = not judge.error("after failure") and after != ["rolled back"]
            open_still = bool(judge.fact("after failure", "in transaction"))
            closed = judge.error("after failure") is not None and _rolled_back(judge)
            kept = stored[1:2] != ["rolled back"]
            said = "its transaction is still open" if open_still else "what it wrote is still there"
            judge.check("rolls back", kept and ((undone and not open_still) or closed), f"after an error, {said}", line)
    judge.judge_wraps("transactional")
    if judge.seen("demo"):
        if not judge.crashed("demo rows", "demo", "update_user_email(user_id=3, ...)"):
            user = _user(judge.evidence("demo", "users") or [], 3)
            said = f"the stored email is {short(user[2] if len(user) > 2 else None)}"
            judge.check("demo rows", user[2:3] == ["new@checker.example"], said, judge.source.line_of(r"update\w*"))
        judge.judge_closed("closed", "demo", "update_user_email()")
    else:
        _no_demo(judge, r"update_?\w*email\w*")
    return judge.seen("decorated")


def _no_demo(judge: Judge, pattern: str) -> None:
    """The course gives the demo function, so it may be left out; but if it is there, it must work."""
    line = judge.source.line_of(pattern)
    said = "the function of that name is no function any more after it was decorated"
    judge.check("demo rows", line is None, said, line)


def _rolled_back(judge: Judge) -> bool:
    return any(e[0] == "sql" and e[2].upper().startswith("ROLLBACK") for e in judge.fact("failure", "sqlite") or [])


def judge_retry(judge: Judge) -> bool:
    line = judge.source.line_of("retry_on_failure", r"\w*retry\w*")
    if _decorated(judge, "retries", "retry_on_failure"):
        result = ["result of", "one", "two"]
        if not judge.crashed("retries", "two fail", "two failures, then a success:  it"):
            given = judge.fact("two fail", "given")
            judge.check("retries", given == result, f"two failures and a success gave {short(given)}", line)
        given, error = judge.fact("none fails", "given"), judge.error("none fails")
        said = f"raised {told(error)}" if error else f"gave {short(given)}"
        judge.check("retries", given == result, f"a function that does not fail {said}", line)
        calls = {step: len(judge.fact(step, "events") or []) for step in ("none fails", "two fail", "all fail")}
        right = calls["none fails"] == 1 and calls["two fail"] == 3 and calls["all fail"] == 3
        judge.check("attempts", right,
                    f"with retries=3: {calls['none fails']} calls if none fails, {calls['two fail']} if two fail, "
                    f"{calls['all fail']} if all fail", line)  # fmt: skip
        judge.judge_raised("gives up", "all fail", "every attempt", line)
        judge.endless = calls["all fail"] >= ENDLESS
        error = judge.error("all fail")
        if error and "OperationalError" not in error["bases"] and error["type"] in ("UnboundLocalError", "TypeError"):
            judge.check("gives up", False, f"the caller got {told(error)}", line)
        _sleeps(judge, calls, line)
        tried = len(judge.fact("permanent", "events") or [])
        judge.check("retries everything", tried <= 1, f"`no such table` was tried {tried} times", line)
    judge.judge_wraps("retry_on_failure")
    _demo_rows(judge, "fetch_users_with_retry", judge.evidence("imported", "users"), optional=True)
    if judge.seen("demo"):
        judge.judge_closed("closed", "demo", "fetch_users_with_retry()")
    return judge.seen("decorated")


def _sleeps(judge: Judge, calls: dict, line: int | None) -> None:
    two = judge.fact("two fail", "sleeps") or []
    every = judge.fact("all fail", "sleeps") or []
    place = judge.source.line_of_call("sleep") or line
    enough = len(two) == 2 and all(seconds >= 1 for seconds in two)
    judge.check("waits", enough, f"with delay=2, two failures led to the waits {two or 'none'}", place)
    judge.check("last sleep", len(every) < max(calls["all fail"], 1),
                f"{calls['all fail']} calls that failed led to {count(len(every), 'wait')}", place)  # fmt: skip


def judge_cache_query(judge: Judge) -> bool:
    users = judge.evidence("imported", "users") or []
    line = judge.source.line_of("cache_query", r"\w*cache\w*")
    if _decorated(judge, "hit", "cache_query"):
        if not judge.crashed("hit", "miss", "the first call") and not judge.crashed("hit", "hit", "the second call"):
            calls = (judge.fact("miss", "calls"), judge.fact("hit", "calls"))
            same = judge.fact("miss") == judge.fact("hit") and judge.fact("miss")
            said = f"the function ran {sum(calls)} times for two equal calls" if same else "the second result is another"
            judge.check("hit", calls == (1, 0) and bool(same), said, line)
        other = [[u[0], u[2]] for u in users if u[3] > 40]
        _own_result(judge, "query in key", "other query", other, "another query", line)
        if not _refuses(judge, "first parameter"):
            for step, number in (("first parameter", 1), ("second parameter", 2)):
                what = f"`WHERE id = ?` with {number}"
                _own_result(judge, "parameters in key", step, [_user(users, number)], what, line)
        else:
            judge.check("parameters in key", True)
        if not _refuses(judge, "positional"):
            for step, number in (("positional", 3), ("other positional", 4)):
                _own_result(judge, "positional", step, [[number]], "a query passed by position", line)
        else:
            judge.check("positional", True)
        judge.judge_raised("raises", "failing", "a query", line)
        kept = "changed by a caller" not in (judge.fact("mutated") or [])
        judge.check("shared list", kept, "the next caller sees what the one before added to its list", line)
        stale = [row for row in judge.fact("stale") or [] if isinstance(row, list) and row[1:] != ["changed@checker.example"]]
        judge.check("stale", not stale, "after an UPDATE the old rows came", line)
    judge.judge_wraps("cache_query")
    _demo_rows(judge, "fetch_users_with_cache", judge.evidence("before demo", "users"), optional=True)
    if judge.seen("demo again"):
        again = judge.fact("demo again", "sqlite") or []
        ran = [e for e in again if e[0] == "sql" and judge.fact("demo", "query") in e[2]]
        judge.check("demo rows", not ran, "the second call queried again", judge.source.line_of(r"fetch_users\w*"))
        judge.judge_closed("closed", "demo", "fetch_users_with_cache()")
    return judge.seen("decorated")


def _refuses(judge: Judge, step: str) -> bool:
    """A wrapper that takes no such argument cannot mistake it either."""
    error = judge.error(step)
    return error is not None and error["type"] in ("TypeError", "KeyError")


def _own_result(judge: Judge, check: str, step: str, expected: list, what: str, line: int | None) -> None:
    if judge.seen(step) and not judge.crashed(check, step, what):
        difference = compare_rows(judge.fact(step), expected)
        judge.check(check, not difference, f"{what} got another one's result: {difference}", line)


def _decorated(judge: Judge, check: str, name: str) -> bool:
    """The decorator could be applied to a function of ours."""
    if not judge.seen("decorated"):
        return False
    return not judge.crashed(check, "decorated", f"decorating with {name}")


def _demo_rows(judge: Judge, name: str, users: list | None, optional: bool = False) -> None:
    if not judge.seen("demo"):
        if optional:
            _no_demo(judge, name)
        else:
            judge.check("demo rows", False, f"there is no function {name}")
    elif not judge.crashed("demo rows", "demo", f"{name}()"):
        difference = compare_rows(judge.fact("demo"), users or [], "users")
        judge.check("demo rows", not difference, f"{name}(): {difference}", judge.source.line_of(name))


def _user(users: list, number: int) -> list:
    return next((row for row in users if row[0] == number), [])


JUDGE = {
    "5": judge_log_queries,
    "6": judge_with_db_connection,
    "7": judge_transactional,
    "8": judge_retry,
    "9": judge_cache_query,
}
