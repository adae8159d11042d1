"""Exercises 5 to 7: turn facts, and users.db as the parent reads it, into results."""

import re
from collections.abc import Callable

from checker.child import observe_decorators
from checker.child.observe_decorators import DEMOS
from checker.child.wanted import NAMES
from checker.judge import TELLING, Judge, describe, unclosed
from checker.rows import compare_rows, same_row, short

# Errors that Python raises for a mistake in the wrapper, even while it handles another error.
MISTAKES = {"AttributeError", "IndexError", "KeyError", "NameError", "TypeError"}
FAULTS = {step: f"{type(e).__name__}: {e}" for step, e in observe_decorators.FAULTS.items()}
CONNECT = NAMES["6"]["with_db_connection"]
# The message of a call whose arguments do not fit, unless it is about the connection.
ARGUMENTS = re.compile(r"(?!connect\(|.*'conn').*\(\) (missing|got|takes)")
CONFIGURES = re.compile(r"basicConfig|dictConfig|fileConfig|addHandler|setLevel")
NO_RETURN = "What does {} return on each path? A path without `return` returns None."
LOST = "A bare `raise` keeps the error, and `raise ... from error` keeps it as the cause."
LEVEL = "Which level does your logger show, and at which level do you log?"
WITH = "`with` on a connection commits or rolls back at its end. Does it close the connection?"
STACKED = "Does your with_db_connection turn transactions off, or commit at its end?"


def judging(first: str, judge_calls: Callable[[Judge, int | None], None], *after: str):
    """How to judge an exercise: the decorator by calls of the probe's functions, then the answer's own.

    If a check of `after` failed, a wrong result of the answer's own function follows from it. The check
    `first` fails if the decorator returns nothing that can be called.
    """

    def judge_exercise(judge: Judge) -> bool:
        name, judge.line = inside(judge)[0], judge.source.innermost(*inside(judge))[1]
        seen, decorating = judge.seen("decorated"), f"decorating with {name}"
        if kind := judge.text("decorated", "kind"):
            said = f"{name} turns a function into a value of type {kind}, which cannot be called"
            line = judge.source.line_of(*inside(judge))
            judge.check(first, False, said, line, NO_RETURN.format("your decorator"))
        elif seen and not judge.crashed(first, "decorated", decorating):
            judge_calls(judge, judge.line)
            for step, error in FAULTS.items():
                raises(judge, "raises", step, error)
        judge.judge_wraps(name)
        judge_demo(judge, *after)
        return seen

    return judge_exercise


def judge_log_queries(judge: Judge, line: int | None) -> None:
    for form in ("keyword", "positional"):
        query, shown, hidden = (judge.text(form, name) for name in ("query", "shown", "hidden"))
        call = f"fetch_all_users({'query=' * (form == 'keyword')}{query!r})"
        got, given = judge.fact(form, "got"), judge.fact(form, "given")
        # The file may set up logging when it runs as a program.
        later = CONFIGURES.search(judge.source.text) and not judge.fact(form, "configured")
        text = " ".join((shown + hidden * bool(later)).split())
        is_shown = query.casefold() in text.casefold()
        # An error before the SQL is shown is a failure to log; after that, to return a result.
        if judge.crashed("result" if is_shown or got else "logged", form, call):
            continue
        below = query in hidden
        how = "logged its SQL below the level that is shown" * below or "did not show its SQL"
        judge.check("logged", is_shown, f"{call} {how}", line, LEVEL * below)
        returned(judge, "result", given == ["result of", query] and got == query, form, call, given)
        only_after = got and query in shown and query not in judge.text(form, "before")
        said = f"{call} showed its SQL only after the query ran"
        judge.check("before", not only_after, said, line)


def judge_with_db_connection(judge: Judge, line: int | None) -> None:
    for step, call, number, second in (
        ("keyword call", "get_user_by_id(user_id=3)", 3, 0),
        ("call", "get_user_by_id(2, second=7), one parameter more,", 2, 7),
    ):
        given, error = judge.fact(step), judge.error(step)
        entered, kind = judge.number(step, "calls"), judge.text(step, "kind")
        check = "result" if error and ARGUMENTS.match(error["message"]) else "connection"
        if judge.failed("connection"):
            break
        if entered and kind:
            said = f"{call}: the first argument is a value of type {kind}, not a connection"
            judge.check("connection", False, said, line)
        elif not judge.crashed(check, step, call):
            if entered:
                judge.check("connection", True)
            row, *rest = given if isinstance(given, list) and given else [None]
            right = same_row(row, user_of(judge, "imported", number)) and rest == [second]
            returned(judge, "result", right, step, call, given)
        _closed(judge, "closed", step, f"after {call}", line)
    for step, error in FAULTS.items():
        _closed(judge, "closed on error", step, f"after a function that raises {error}", line)


def _closed(judge: Judge, check: str, step: str, when: str, line: int | None) -> None:
    """Check that the connection was closed, if the function got one and nothing worse is known."""
    if judge.number(step, "calls") and (check == "closed" or not judge.failed("closed")):
        is_open = judge.fact(f"after {step}", "usable") or unclosed(judge.fact(step, "sqlite"))
        hint = WITH * bool(judge.source.line_with(r"with\s+(sqlite3\.connect\(|conn\w*:)"))
        line = judge.source.line_of_call("connect", inside=CONNECT) or line
        said = f"{when}, your code never closes the connection"
        judge.check(check, not is_open, said, line, hint)


def judge_transactional(judge: Judge, line: int | None) -> None:
    line_of_call, place = judge.source.line_of_call, inside(judge)
    for number, step in enumerate(("success", "no result"), 1):
        how, given = ", which returns None," * (number == 2), judge.fact(step, "given")
        call = f"update_user_email(conn, {number}, 'committed'){how}"
        if not judge.crashed("commits", step, call):
            stored = user_of(judge, step, number)[2:3] == ["committed"]
            said = f"after {call} the database does not hold the new email"
            judge.check("commits", stored, said, line_of_call("commit", inside=place) or line)
            returned(judge, "result", how or given == ["result of", 1], step, call, given)
    for number, step in enumerate((*FAULTS, "stacked"), 3):
        where, hint = line_of_call("rollback", inside=place), ""
        what = f"the function ran an UPDATE and raised {FAULTS.get(step, FAULTS['failing'])}, "
        if step == "stacked":  # under the answer's own decorator
            where, hint = line_of_call("connect", inside=CONNECT), STACKED
            what = f"with your own with_db_connection, {what}"
        kept = user_of(judge, step, number)[2:3] == ["rolled back"]
        failed = kept or judge.fact(f"after {step}", "in transaction")
        said = f"{what}and {'the change is stored' if kept else 'its transaction is still open'}"
        if not judge.number(step, "calls"):
            continue
        if not (failed and mistaken(judge, "rolls back", step, f"{what}and the wrapper")):
            judge.check("rolls back", not failed, said, where or line, hint)


# ---------------------------------------------------- shared by exercises 5 to 9


def inside(judge: Judge) -> tuple[str, ...]:
    """The names of the functions in which the decorator's own code stands, as patterns."""
    [names] = NAMES[judge.exercise.number].values()
    return names


def returned(judge: Judge, check: str, right: bool, step: str, call: str, given) -> None:
    """Check what a call returned; None has a sentence and a hint of its own."""
    name, line = judge.source.innermost(*inside(judge))
    said, hint = f"{call} returned {short(given)}", ""
    if given is None:
        said, hint = f"{said}{_printed(judge, step)}", NO_RETURN.format(name)
    judge.check(check, right, said, line, hint)


def raises(judge: Judge, check: str, step: str, fault: str) -> None:
    """Check that the error of the probe's function reaches the caller, if the function was called."""
    error, said, line = judge.error(step), f"the function raised {fault}", judge.line
    if not judge.number(step, "calls"):
        return
    if error is None:
        said = f"{said}, but the caller got no error{_printed(judge, step, fault)}"
        swallow = judge.source.line_of_swallow(*inside(judge))
        judge.check(check, False, said, swallow or line)
    elif not mistaken(judge, check, step, f"{said}, and then the wrapper"):
        file, at = error.get("place") or (judge.file, line)
        said = f"{said}, but the caller got {describe(error)}, without the first error as its cause"
        judge.check(check, judge.came_out(step), said, at if file == judge.file else line, LOST)


def mistaken(judge: Judge, check: str, step: str, what: str) -> bool:
    """Report an error that is a mistake in the wrapper's own code; return whether it is one."""
    error = judge.error(step)
    return bool(error and MISTAKES & set(error["bases"]) and judge.crashed(check, step, what))


def _printed(judge: Judge, step: str, fault: str = "") -> str:
    """What the answer printed about an error, as the end of a sentence."""
    shown = judge.text(step, "shown")
    about = TELLING.search(shown) or (fault and fault.partition(": ")[2] in shown)
    return judge.printed(step) if about else ""


def judge_demo(judge: Judge, *after: str) -> None:
    """Check what the answer's own decorated function does; only in exercise 5 it must be there."""
    number, (name, options, _) = judge.exercise.number, DEMOS[judge.exercise.number]
    name = judge.text("demo", "name") or name  # it may be another than the course's
    line, given = judge.source.line_of(name), judge.fact("demo")
    call = f"{name}({', '.join(f'{key}={value!r}' for key, value in options.items())})"
    if not judge.seen("demo"):
        kind = judge.text("lost demo", "kind")
        if kind and not judge.text("decorated", "kind"):
            others = set(judge.source.decorators_of(name)) - {*inside(judge)}
            by = f"@{others.pop()}" if len(others) == 1 else "one of its decorators"
            said = f"{name} is a value of type {kind} after decoration by {by}"
            judge.check("demo rows", False, said, line, NO_RETURN.format("the decorator"))
        elif not kind and not (line and judge.error("import")):
            where = "importing the file does not define" if line else "there is no function"
            judge.check("demo rows", number != "5", f"{where} {name}", line)
        return
    if judge.crashed("demo rows", "demo", call) or any(map(judge.failed, after)):
        return
    users = judge.evidence("before demo", "users") or []
    if number == "7":
        [email] = user_of(judge, "demo", options["user_id"])[2:3] or [None]
        difference = f"the stored email is {short(email)}" * (email != options["new_email"])
    elif number == "6":
        rows = given if isinstance(given, list) and list in map(type, given) else [given]
        difference = compare_rows(rows, [u for u in users if u[0] == options["user_id"]])
    else:
        difference = compare_rows(given, users, "users")
    hint = NO_RETURN.format("the function") if given is None and number != "7" else ""
    said = f"{call}: {difference}{_printed(judge, 'demo')}"
    judge.check("demo rows", not difference, said, line, hint)
    again = judge.fact("demo again", "sqlite") or []
    if number == "9" and any(event == "sql" and options["query"] in sql for event, _, sql in again):
        judge.check("demo rows", False, f"{call} ran the query at the second call, too", line)
    if number != "6":
        judge.judge_closed("closed", "demo", call)


def user_of(judge: Judge, mark: str, number: int) -> list:
    return next((row for row in judge.evidence(mark, "users") or [] if row[0] == number), [])


JUDGE = {
    "5": judging("logged", judge_log_queries, "result"),
    "6": judging("connection", judge_with_db_connection, "result"),
    "7": judging("commits", judge_transactional, "commits"),
}
