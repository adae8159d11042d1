"""Exercises 5 to 7: turn facts, and users.db as the parent reads it, into results."""

import re

from checker.judge import TELLING, Judge, describe, unclosed
from checker.rows import compare_rows, same_row, short

# The functions in which a decorator's own code stands, as patterns.
DECORATORS = {
    "5": ("log_queries", r"\w*log\w*"),
    "6": ("with_db_connection", r"with_?\w*conn\w*"),
    "7": ("transactional", r"\w*transaction\w*"),
    "8": ("retry_on_failure", r"\w*retry\w*"),
    "9": ("cache_query", r"\w*cache\w*"),
}
# Errors that Python raises for a mistake in the wrapper, even while it handles another error.
MISTAKES = {"AttributeError", "IndexError", "KeyError", "NameError", "TypeError"}
FAULTS = {  # the errors of the probe's functions, by step
    "failing": "LookupError: raised inside",
    "database error": "OperationalError: no such column: nothing",
}
NO_RETURN = "What does {} return on each path? A path without `return` returns None."
LOST = (
    "A bare `raise` keeps the error, and `raise ... from error` keeps it as the cause. "
    "After its `except` block, the name of the error is gone."
)
LEVEL = "Which level does your logger show, and at which level do you log?"
WITH = "`with` on a connection commits or rolls back at its end. Does it close the connection?"


def judge_log_queries(judge: Judge) -> bool:
    line = wrapper(judge)[1]
    if decorated(judge, "logged"):
        for form in ("keyword", "positional"):
            query, got, given = (judge.fact(form, name) for name in ("query", "got", "given"))
            call = f"fetch_all_users({'query=' * (form == 'keyword')}{query!r})"
            shown = is_shown(judge, form)
            # An error before the SQL is shown is a failure to log; after that, to return a result.
            if judge.crashed("result" if shown or got else "logged", form, call):
                continue
            hidden = query in judge.text(form, "hidden")
            how = "logged its SQL below the level that is shown" * hidden or "did not show its SQL"
            judge.check("logged", shown, f"{call} {how}", line, LEVEL * hidden)
            right = given == ["result of", query] and got == query
            returned(judge, "result", right, form, call, given)
            before, said = judge.text(form, "before"), "showed its SQL only after the query ran"
            only_after = got and query in judge.text(form, "shown") and query not in before
            judge.check("before", not only_after, f"{call} {said}", line)
        for step, error in FAULTS.items():
            raises(judge, "raises", step, error)
    judge.judge_wraps("log_queries")
    users = judge.evidence("imported", "users")
    demo_rows(judge, "result", "fetch_all_users(query='SELECT * FROM users')", users, needed=True)
    return judge.seen("decorated")


def is_shown(judge: Judge, form: str) -> bool:
    """Whether the SQL was printed or logged, or would be when the file runs and sets up logging."""
    query = judge.text(form, "query")
    configures = r"basicConfig|dictConfig|fileConfig|addHandler|setLevel"
    later = re.search(configures, judge.source.text) and not judge.fact(form, "configured")
    shown = judge.text(form, "shown") + judge.text(form, "hidden") * bool(later)
    return " ".join(query.split()).casefold() in " ".join(shown.split()).casefold()


def judge_with_db_connection(judge: Judge) -> bool:
    users, line = judge.evidence("imported", "users") or [], wrapper(judge)[1]
    if decorated(judge, "connection"):
        for step, call, expected in (
            ("keyword call", "get_user_by_id(user_id=3)", [user_of(users, 3), 0]),
            ("call", "get_user_by_id(2, second=7), one parameter more,", [user_of(users, 2), 7]),
        ):
            given, error = judge.fact(step), judge.error(step)
            entered, kind = judge.number(step, "calls"), judge.text(step, "kind")
            if judge.failed("connection"):
                break
            message = error["message"] if error and error["type"] == "TypeError" else "'conn'"
            of_call = not (error and error.get("place")) or "get_user_by_id()" in message
            arguments = of_call and "'conn'" not in message
            if entered and kind:
                said = f"{call}: the first argument is a value of type {kind}, not a connection"
                judge.check("connection", False, said, line)
            elif not judge.crashed("result" if arguments else "connection", step, call):
                if entered:
                    judge.check("connection", True)
                whole = isinstance(given, list) and len(given) == 2
                right = whole and same_row(given[0], expected[0]) and given[1] == expected[1]
                returned(judge, "result", right, step, call, given)
            _closed(judge, "closed", step, f"after {call}", line)
        for step, error in FAULTS.items() if judge.passed("connection") else ():
            _closed(judge, "closed on error", step, f"after a function that raises {error}", line)
            raises(judge, "raises", step, error)
    judge.judge_wraps("with_db_connection")
    if call := demo_called(judge, "result", "get_user_by_id(user_id=2)"):
        given = judge.fact("demo")
        if isinstance(given, list) and len(given) == 1 and isinstance(given[0], list):
            given = given[0]
        said = f"{call} returned {short(given)}{_printed(judge, 'demo')}"
        place = judge.source.line_of(call.partition("(")[0])
        judge.check("demo rows", same_row(given, user_of(users, 2)), said, place)
    return judge.seen("decorated")


def _closed(judge: Judge, check: str, step: str, when: str, line: int | None) -> None:
    """Check that the connection was closed, if the function got one and nothing worse is known."""
    if not judge.number(step, "calls") or (check != "closed" and judge.failed("closed")):
        return
    is_open = judge.fact(f"after {step}", "usable") or unclosed(judge.fact(step, "sqlite"))
    hint = WITH if judge.source.line_with(r"with\s+(sqlite3\.connect\(|conn\w*:)") else ""
    line = judge.source.line_of_call("connect", inside=DECORATORS["6"]) or line
    judge.check(check, not is_open, f"{when}, your code never closes the connection", line, hint)


def judge_transactional(judge: Judge) -> bool:
    source, line, inside = judge.source, wrapper(judge)[1], DECORATORS["7"]
    if decorated(judge, "commits"):
        call = "update_user_email(conn, 1, 'committed')"
        if not judge.crashed("commits", "success", call):
            stored = user_of(judge.evidence("success", "users") or [], 1)[2:3]
            said = f"after {call} the database does not hold the new email"
            place = source.line_of_call("commit", inside=inside) or line
            judge.check("commits", stored == ["committed"], said, place)
            given = judge.fact("success", "given")
            returned(judge, "result", given == ["result of", 1], "success", call, given)
        for number, (step, error) in enumerate(FAULTS.items(), 2):
            if judge.number(step, "calls"):
                is_open = judge.fact(f"after {step}", "in transaction")
                stored = user_of(judge.evidence(step, "users") or [], number)[2:3]
                kept = stored == ["rolled back"]
                what = f"the function ran an UPDATE and raised {error}, "
                failed = kept or is_open
                end = "and the change is stored" if kept else "and its transaction is still open"
                place = source.line_of_call("rollback", inside=inside) or line
                if not (failed and mistaken(judge, "rolls back", step, f"{what}and the wrapper")):
                    judge.check("rolls back", not failed, what + end, place)
            raises(judge, "raises", step, error)
    judge.judge_wraps("transactional")
    call = "update_user_email(user_id=3, new_email='new@checker.example')"
    if call := demo_called(judge, "commits", call):
        email = user_of(judge.evidence("demo", "users") or [], 3)[2:3]
        stored = short(*email or [None])
        said = f"after {call} the stored email is {stored}{_printed(judge, 'demo')}"
        place = source.line_of(call.partition("(")[0])
        judge.check("demo rows", email == ["new@checker.example"], said, place)
        judge.judge_closed("closed", "demo", call)
    return judge.seen("decorated")


# ---------------------------------------------------- shared by exercises 5 to 9


def wrapper(judge: Judge) -> tuple[str, int | None]:
    """The name of the function that the decorator returns, and its line."""
    return judge.source.innermost(*DECORATORS[judge.exercise.number])


def decorated(judge: Judge, check: str) -> bool:
    """Whether the decorator made a function of ours into one that can be called."""
    name, judge.line = DECORATORS[judge.exercise.number][0], wrapper(judge)[1]
    if not judge.seen("decorated") or judge.crashed(check, "decorated", f"decorating with {name}"):
        return False
    if kind := judge.text("decorated", "kind"):
        said = f"{name} turns a function into a value of type {kind}, which cannot be called"
        line = judge.source.line_of(*DECORATORS[judge.exercise.number])
        judge.check(check, False, said, line, NO_RETURN.format("your decorator"))
    return not kind


def returned(judge: Judge, check: str, right: bool, step: str, call: str, given) -> None:
    """Check what a call returned; None has a sentence and a hint of its own."""
    name, line = wrapper(judge)
    said, hint = f"{call} returned {short(given)}", ""
    if given is None:
        said, hint = f"{said}{_printed(judge, step)}", NO_RETURN.format(name)
    judge.check(check, right, said, line, hint)


def raises(judge: Judge, check: str, step: str, fault: str, expected: str = "") -> None:
    """Check that the error of the probe's function reaches the caller, if the function was called.

    `expected` is a pattern for the database's message, if the error is the database's.
    """
    error, said = judge.error(step), f"the function raised {fault}, but the caller got"
    inside = DECORATORS[judge.exercise.number]
    swallow, line = judge.source.line_of_swallow(*inside), wrapper(judge)[1]
    if not judge.number(step, "calls"):
        judge.crashed(check, step, "the decorated function")
    elif error is None:
        said = f"{said} no error{_printed(judge, step, fault)}"
        judge.check(check, False, said, swallow or line)
    elif not mistaken(judge, check, step, f"the function raised {fault}, and then the wrapper"):
        came = judge.came_out(step, expected)
        place = error.get("place") or [judge.file, line]
        line = place[1] if place[0] == judge.file else line
        said = f"{said} {describe(error)}, without the first error as its cause"
        judge.check(check, came, said, line, LOST)


def mistaken(judge: Judge, check: str, step: str, what: str) -> bool:
    """Report an error that is a mistake in the wrapper's own code; return whether it is one."""
    error = judge.error(step)
    return bool(error and MISTAKES & set(error["bases"]) and judge.crashed(check, step, what))


def _printed(judge: Judge, step: str, fault: str = "") -> str:
    """What the answer printed about an error, as the end of a sentence."""
    shown = judge.text(step, "shown")
    about = TELLING.search(shown) or (fault and fault.partition(": ")[2] in shown)
    return judge.printed(step) if about else ""


def demo_called(judge: Judge, after: str, call: str, needed: bool = False) -> str:
    """The call of the answer's own decorated function; "" if it failed, and then report why.

    The function may be missing, unless it is `needed`. If the check `after` failed, so does this.
    """
    kind, name = judge.text("lost demo", "kind"), judge.text("demo", "name")
    if name:  # it may be another than the course's
        call = name + call[call.index("(") :]
        done = not judge.crashed("demo rows", "demo", call) and not judge.failed(after)
        return call * done
    name = call.partition("(")[0]
    line = judge.source.line_of(name)
    if kind and not judge.text("decorated", "kind"):
        others = set(judge.source.decorators_of(name)) - {*DECORATORS[judge.exercise.number]}
        by = f"@{others.pop()}" if len(others) == 1 else "one of its decorators"
        said = f"{name} is a value of type {kind} after decoration by {by}"
        judge.check("demo rows", False, said, line, NO_RETURN.format("the decorator"))
    elif not kind and not (line and judge.error("import")):
        where = "importing the file does not define" if line else "there is no function"
        judge.check("demo rows", not needed, f"{where} {name}", line)
    return ""


def demo_rows(judge: Judge, after: str, call: str, users: list | None, **options) -> str:
    """Check the rows that the answer's own decorated function returns; return the call."""
    if call := demo_called(judge, after, call, **options):
        given = judge.fact("demo")
        difference = compare_rows(given, users or [], "users")
        said = f"{call}: {difference}{_printed(judge, 'demo')}"
        hint = NO_RETURN.format("the function") if given is None else ""
        line = judge.source.line_of(call.partition("(")[0])
        judge.check("demo rows", not difference, said, line, hint)
        judge.judge_closed("closed", "demo", call)
    return call


def user_of(users: list, number: int) -> list:
    return next((row for row in users if row[0] == number), [])


JUDGE = {
    "5": judge_log_queries,
    "6": judge_with_db_connection,
    "7": judge_transactional,
}
