"""Exercises 5 to 7: turn facts, and users.db as the parent reads it, into results."""

import re

from checker.judge import Judge, describe
from checker.rows import compare_rows, same_row, short

NO_TABLE = "no such table"
# The functions in which a decorator's own code stands, as patterns.
DECORATORS = {
    "5": ("log_queries", r"\w*log\w*"),
    "6": ("with_db_connection", r"with_?\w*conn\w*"),
    "7": ("transactional", r"\w*transaction\w*"),
    "8": ("retry_on_failure", r"\w*retry\w*"),
    "9": ("cache_query", r"\w*cache\w*"),
}


def judge_log_queries(judge: Judge) -> bool:
    line = judge.source.line_of("log_queries", r"\w*log\w*")
    if decorated(judge, "logged", "log_queries"):
        for form in ("keyword", "positional"):
            what = f"a call with a {form} argument"
            if judge.crashed("result", form, what):
                judge.check(
                    "logged",
                    _is_shown(judge, form),
                    f"{what} failed before its SQL was shown",
                    line,
                )
                continue
            query = judge.text(form, "query")
            given = judge.fact(form, "given") == ["result of", query]
            came = given and judge.fact(form, "got") == query
            judge.check("result", came, f"{what} returned {short(judge.fact(form, 'given'))}", line)
            shown = _is_shown(judge, form)
            judge.check("logged", shown, f"{what} neither printed nor logged its SQL", line)
            only_after = query in judge.text(form, "shown") and query not in judge.text(
                form, "before"
            )
            judge.check("before", not only_after, "its SQL appeared only after the query ran", line)
        judge.judge_raised(
            "raises", "failing", "the decorated function", "", *DECORATORS[judge.exercise.number]
        )
    judge.judge_wraps("log_queries")
    demo_rows(judge, "fetch_all_users", judge.evidence("imported", "users"))
    judge.judge_closed("closed", "demo", "fetch_all_users()")
    return judge.seen("decorated")


def _is_shown(judge: Judge, form: str) -> bool:
    """Whether the SQL was printed or logged, or would be when the file runs and sets up logging."""
    query = judge.fact(form, "query") or "\0"
    configures = re.search(
        r"basicConfig|dictConfig|fileConfig|addHandler|setLevel", judge.source.text
    )
    hidden = judge.fact(form, "hidden") if configures else ""
    shown = f"{judge.fact(form, 'shown')} {hidden}"
    return " ".join(query.split()).casefold() in " ".join(shown.split()).casefold()


def judge_with_db_connection(judge: Judge) -> bool:
    users = judge.evidence("imported", "users") or []
    line = judge.source.line_of("with_db_connection", r"with_?\w*conn\w*")
    if decorated(judge, "connection", "with_db_connection"):
        if judge.crashed("connection", "call", "calling a decorated function"):
            pass
        else:
            given = judge.fact("call")
            whole = isinstance(given, list) and len(given) == 2
            right = whole and same_row(given[0], user_of(users, 2)) and given[1] == 7
            judge.check("connection", True)
            judge.check("result", right, f"expected [the user, 7], got {short(given)}", line)
            third = judge.fact("keyword call")
            same = (
                isinstance(third, list)
                and len(third) == 2
                and same_row(third[0], user_of(users, 3))
            )
            error = judge.error("keyword call")
            said = (
                f"a call by keyword raised {describe(error)}"
                if error
                else f"a call by keyword returned {short(third)}"
            )
            judge.check("result", same, said, line)
            left = bool(judge.fact("after call", "usable"))
            judge.check("closed", not left, "the connection still works after the call", line)
        judge.judge_closed("closed", "call", "a decorated function", line)
        judge.judge_closed("closed on error", "failing", "a decorated function that fails", line)
        judge.judge_raised(
            "raises", "failing", "the decorated function", "", *DECORATORS[judge.exercise.number]
        )
        judge.judge_raised("raises", "bad query", "a query", NO_TABLE, *DECORATORS["6"])
    judge.judge_wraps("with_db_connection")
    if judge.seen("demo"):
        if not judge.crashed("demo rows", "demo", "get_user_by_id(user_id=2)"):
            given = judge.fact("demo")
            if isinstance(given, list) and len(given) == 1 and isinstance(given[0], list):
                given = given[0]
            said = f"get_user_by_id(user_id=2) returned {short(given)}"
            judge.check(
                "demo rows",
                same_row(given, user_of(users, 2)),
                said,
                judge.source.line_of(r"get_user\w*"),
            )
    else:
        no_demo(judge, r"get_user\w*")
    return judge.seen("decorated")


def judge_transactional(judge: Judge) -> bool:
    line = judge.source.line_of("transactional", r"\w*transaction\w*")
    if decorated(judge, "commits", "transactional"):
        if not judge.crashed("commits", "success", "calling a decorated function"):
            stored = user_of(judge.evidence("success", "users") or [], 1)
            judge.check(
                "commits", stored[1:2] == ["committed"], "the change is not in the database", line
            )
            given = judge.fact("success", "given")
            judge.check("result", given == ["result of", 1], f"the caller got {short(given)}", line)
        judge.judge_raised("raises", "failure", "the decorated function", "", *DECORATORS["7"])
        after = judge.fact("after failure", "name")
        stored = user_of(judge.evidence("failure", "users") or [], 2)
        if judge.seen("after failure"):
            undone = not judge.error("after failure") and after != ["rolled back"]
            open_still = bool(judge.fact("after failure", "in transaction"))
            closed = judge.error("after failure") is not None and _rolled_back(judge)
            kept = stored[1:2] != ["rolled back"]
            said = "the transaction is still open" if open_still else "the change is still there"
            judge.check(
                "rolls back",
                kept and ((undone and not open_still) or closed),
                f"after an error, {said}",
                line,
            )
    judge.judge_wraps("transactional")
    if judge.seen("demo"):
        if not judge.crashed("demo rows", "demo", "update_user_email(user_id=3, ...)"):
            user = user_of(judge.evidence("demo", "users") or [], 3)
            said = f"the stored email is {short(user[2] if len(user) > 2 else None)}"
            judge.check(
                "demo rows",
                user[2:3] == ["new@checker.example"],
                said,
                judge.source.line_of(r"update\w*"),
            )
        judge.judge_closed("closed", "demo", "update_user_email()")
    else:
        no_demo(judge, r"update_?\w*email\w*")
    return judge.seen("decorated")


def no_demo(judge: Judge, pattern: str) -> None:
    """The demo function is the course's, so it may be missing; but if it is there, it must work."""
    line = judge.source.line_of(pattern)
    said = "this function cannot be called after it was decorated"
    judge.check("demo rows", line is None, said, line)


def _rolled_back(judge: Judge) -> bool:
    return any(
        e[0] == "sql" and e[2].upper().startswith("ROLLBACK")
        for e in judge.fact("failure", "sqlite") or []
    )


def decorated(judge: Judge, check: str, name: str) -> bool:
    """Whether the decorator could be applied to a function of ours."""
    if not judge.seen("decorated"):
        return False
    return not judge.crashed(check, "decorated", f"decorating with {name}")


def demo_rows(judge: Judge, name: str, users: list | None, optional: bool = False) -> None:
    if not judge.seen("demo"):
        if optional:
            no_demo(judge, name)
        else:
            judge.check("demo rows", False, f"there is no function {name}")
    elif not judge.crashed("demo rows", "demo", f"{name}()"):
        difference = compare_rows(judge.fact("demo"), users or [], "users")
        judge.check(
            "demo rows", not difference, f"{name}(): {difference}", judge.source.line_of(name)
        )


def user_of(users: list, number: int) -> list:
    return next((row for row in users if row[0] == number), [])


JUDGE = {
    "5": judge_log_queries,
    "6": judge_with_db_connection,
    "7": judge_transactional,
}
