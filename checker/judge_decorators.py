"""Exercises 5 to 9: turn facts, and users.db as the parent reads it, into results."""

import re
from collections.abc import Callable
from functools import partial
from itertools import chain, pairwise

from checker.checks import CHECKS
from checker.child import observe_decorators as probe
from checker.child.wanted import NAMES
from checker.judge import SWALLOW_HINTS, TELLING, Judge, describe, unclosed
from checker.rows import compare_rows, count, same_row, select, short

# Errors that Python raises for a mistake in the wrapper, even while it handles another error.
MISTAKES = {"AttributeError", "IndexError", "KeyError", "NameError", "TypeError"}
FAULTS = {step: f"{type(e).__name__}: {e}" for step, e in probe.FAULTS.items()}
LOCKED = f"OperationalError: {probe.LOCKED}"
# The message of a call whose arguments do not fit, unless it is about the connection.
ARGUMENTS = re.compile(r"(?!connect\(|.*'conn').*\(\) (missing|got|takes)")
# The file sets up logging when it runs as a program.
CONFIGURES = re.compile(r"(?s)(__main__|def main\().*(Config|addHandler|setLevel)\(")
# Lines of the decorator that the reports mark.
FUNCTION = r"\b(func|function|fn|f|method)\("
KEEPS = r"isolation_level|autocommit|\.commit\(|'COMMIT"
LOOKUP = r"^\s*if .*\bin \w*cache|cache\w*\.get\("
KEY = rf"^\s*\w*key\w*\s*=[^=]|{LOOKUP}"

NO_RETURN = "What does {} return on each path? A path without `return` returns None."
LOST = "A bare `raise` keeps the error, and `raise ... from error` keeps it as the cause."
AGAIN = "What is left of your counter when the decorated function is called again?"
CONNECTION_IN_KEY = "Is the connection part of your key? Each call has a connection of its own."


def judge_exercise(judge_calls: Callable[[Judge], None], after: set[str], judge: Judge) -> bool:
    """Judge the decorator by calls of the probe's functions, then the answer's own function.

    If a check of `after` failed, a wrong result of the answer's own function follows from it.
    """
    name, judge.line = inside(judge)[0], judge.source.innermost(*inside(judge))[1]
    first, seen = next(iter(CHECKS[judge.exercise.number])), judge.seen("decorated")
    if kind := judge.text("decorated", "kind"):
        said = f"{name} turns a function into a value of type {kind}, which cannot be called"
        line = judge.source.line_of(*inside(judge))
        judge.check(first, False, said, line, NO_RETURN.format("your decorator"))
        return seen
    if seen and not judge.crashed(first, "decorated", f"decorating with {name}"):
        judge_calls(judge)
        for step, error in FAULTS.items():
            raises(judge, "raises", step, error)
    judge.judge_wraps(name)
    judge_demo(judge, after)
    return seen


def judge_log_queries(judge: Judge) -> None:
    line = marked(judge, r"\b(print|debug|info|warning|error|log|write)\(")
    for form in probe.FORMS:
        query, got = probe.MARKED.format(form), judge.fact(form, "got")
        shown, hidden, before = (judge.text(form, name) for name in ("shown", "hidden", "before"))
        call = own(judge, f"fetch_all_users({'query=' * (form == 'keyword')}{query!r})")
        text = shown + hidden * bool(CONFIGURES.search(judge.source.text))
        is_shown = query.casefold() in " ".join(text.split()).casefold()
        # An error before the SQL is shown is a failure to log; after that, to return a result.
        if judge.crashed("result" if is_shown or got else "logged", form, call):
            continue
        said = f"{call} did not show its SQL{judge.printed(form)}"
        if query in hidden:
            said = f"{call} logged its SQL below the level that is shown"
        judge.check("logged", is_shown, said, line)
        returned(judge, "result", form, call, ["result of", query])
        too_late = got and query in shown and query not in before
        judge.check("before", not too_late, f"{call} showed its SQL only after the query ran", line)


def judge_with_db_connection(judge: Judge) -> None:
    calls = {
        "keyword call": (own(judge, "get_user_by_id(user_id=3)"), 3, 0),
        "call": (own(judge, "get_user_by_id(2, second=7)"), 2, 7),
    }
    for step, (call, number, second) in calls.items():
        given, error = judge.items(step) or [None], judge.error(step)
        kind, user = judge.text(step, "kind"), user_of(judge, "imported", number)
        check = "result" if error and ARGUMENTS.match(error["message"]) else "connection"
        if judge.failed("connection"):
            break
        if kind:
            said = f"{call} got a value of type {kind} as first argument, not a connection"
            judge.check("connection", False, said, marked(judge, FUNCTION))
        elif not judge.crashed(check, step, call):
            if judge.number(step, "calls"):
                judge.check("connection", True)
            right = same_row(given[0], user) and given[1:] == [second]
            returned(judge, "result", step, call, [user, second], right)
    closes = [("closed", step, call) for step, (call, *_) in calls.items()]
    closes += [("closed on error", s, f"{own(judge)} raised {e},") for s, e in FAULTS.items()]
    for check, step, what in closes:
        if judge.number(step, "calls") and (check == "closed" or not judge.failed("closed")):
            is_open = judge.fact(step, "usable") or unclosed(judge.fact(step, "sqlite"))
            line = marked(judge, r"\.close\b", r"\bconnect\(")
            line = judge.source.line_of_call("connect") if line == judge.line else line
            judge.check(check, not is_open, f"after {what} the connection is still open", line)


def judge_transactional(judge: Judge) -> None:
    for number, step in enumerate(("success", "no result"), 1):
        how = " which returns None," * (number == 2)
        call = own(judge, f"update_user_email(conn, {number}, 'committed')") + how
        if not judge.crashed("commits", step, call):
            stored = user_of(judge, step, number)[2:3] == ["committed"]
            said = f"after {call} the database does not hold the new email"
            judge.check("commits", stored, said, marked(judge, r"\.commit\b|'COMMIT"))
            returned(judge, "result", step, call, ["result of", 1], number == 2 or None)
    for number, step in enumerate((*FAULTS, "stacked"), 3):
        fault, names = FAULTS.get(step, FAULTS["failing"]), inside(judge)
        what = f"{own(judge)} ran an UPDATE and raised {fault}, "
        if step == "stacked":  # under the answer's own decorator
            names = NAMES["6"]["with_db_connection"]
            what = f"under your own @{names[0]}, {what}"
        kept = user_of(judge, step, number)[2:3] == ["rolled back"]
        failed = kept or judge.fact(step, "in transaction")
        said = f"{what}and {'the change is stored' if kept else 'its transaction is still open'}"
        line = judge.source.line_with(KEEPS if kept else r"\.rollback\b", *names) or judge.line
        wrong = failed and mistaken(judge, "rolls back", step, f"{what}and the wrapper")
        if judge.number(step, "calls") and not wrong:
            judge.check("rolls back", not failed, said, line)


def judge_retry(judge: Judge) -> None:
    steps = {"none fails": 0, "two fail": 2, "all fail": probe.ENDLESS}
    loop = marked(judge, r"^\s*(for|while)\b")
    none, two, every = calls = [judge.number(step, "calls") for step in steps]
    call, result = "fetch_users_with_retry(conn, 'one', second='two')", ["result of", "one", "two"]
    twice = f"which fails twice ({LOCKED}) and then succeeds,"
    how = {"none fails": "which does not fail,", "two fail": twice, "last succeeds": twice}
    for step, retries, *_ in (one for one in probe.ATTEMPTS if one[0] in how):
        what = f"{own(judge, call, retries=retries)} {how[step]}"
        error, times = judge.error(step), judge.number(step, "calls")
        if error and error.get("own") and not MISTAKES & set(error["bases"]):
            said = f"{what} was called {count(times, 'time')}, and the caller got {describe(error)}"
            line = marked(judge, r"^\s*except\b") if times == 1 else loop
            judge.check("retries", False, said, line)
        elif judge.seen(step) and not judge.crashed("retries", step, what):
            returned(judge, "retries", step, what, result)
    judge.endless = every >= probe.ENDLESS
    if two > 1:  # else it never retried, which is reported already
        said = f"with retries={probe.RETRIES} it made {count(none, 'call')} if none fails, "
        said += f"{two} if two fail, {every} if all fail"
        judge.check("attempts", calls == [1, 3, probe.RETRIES], said, loop)
        for step, failures in steps.items():
            _waits(judge, step, failures)
        if (times := judge.number("no result", "calls")) > 1:
            said = f"{own(judge)} which does not fail and returns None, was called {times} times"
            hint = "Which results does the loop take for a failure?"
            judge.check("attempts", False, said, loop, hint)
        again, error = judge.fact("again"), judge.error("again")
        came = f"raised {describe(error)}" if error else f"gave {short(again)}"
        said = f"three calls of {own(judge)} which fails twice in each, {came}"
        if judge.passed("retries") and judge.seen("again"):
            judge.check("attempts", again == [result] * 3, said, loop, AGAIN)
    if not judge.endless:
        raises(judge, "gives up", "all fail", f"{LOCKED} at each of {count(every, 'call')}")
    tried = judge.number("permanent", "calls")
    said = f"with retries={probe.RETRIES}, `no such table` led to {tried} attempts"
    judge.check("retries everything", tried <= 1, said, loop)


def _waits(judge: Judge, step: str, failures: int) -> None:
    """Check the waits after failures, and that there is none before the first or after the last call."""
    times, calls = judge.fact(step, "events") or [], judge.number(step, "calls")
    first, *between, last = [round(b - a, 1) for a, b in pairwise(times)] or [0, 0]
    if needed := between[:failures]:
        line, waits = marked(judge, r"\b(sleep|wait)\("), ", ".join(f"{gap:g}" for gap in between)
        said = f"with delay={probe.DELAY} it waited {waits} seconds between {calls} calls"
        judge.check("waits", min(needed) >= probe.DELAY, said, line)
        how = "failed" if step == "all fail" else "succeeded"
        said = f"{last:g} seconds after the last of {calls} calls, which {how}"
        if first > probe.DELAY / 2:
            said = f"{first:g} seconds before the first call"
        said = f"with retries={probe.RETRIES} and delay={probe.DELAY} it waited {said}"
        judge.check("last sleep", max(first, last) < probe.DELAY / 2, said, line)


def judge_cache_query(judge: Judge) -> None:
    users = judge.evidence("imported", "users") or []
    rows = {c: select(users, *c) for c in ((probe.OLDER,), *chain(*probe.CALLS.values()))}
    _hit(judge, rows[probe.OLDER,])
    for (check, how), cases in probe.CALLS.items():
        if judge.passed(check) and not all(map(judge.passed, ("query in key", "positional"))):
            continue  # what is wrong there is wrong here, too
        _own_results(judge, check, how, cases, rows)
    line, kept = judge.line, "changed by a caller" not in judge.items("mutated")
    judge.check("shared list", kept, "a change to the returned list reaches the next caller", line)
    stale = [r for r in judge.items("stale") if isinstance(r, list) and r[1:] != [probe.CHANGED]]
    judge.check("stale", not stale, "after an UPDATE the old rows were returned", line)


def _hit(judge: Judge, expected: list) -> None:
    """Check that the second of two equal calls returns the same rows, and does not run the function."""
    call = own(judge, "fetch_users_with_cache(conn, query='SELECT id, name ...')")
    ran = sum(judge.number(step, "calls") for step in ("miss", "hit"))
    for step, which, line in (("miss", "the first", FUNCTION), ("hit", "the second", LOOKUP)):
        what, right = f"{call} at {which} call", not compare_rows(judge.fact(step), expected)
        if judge.crashed("hit", step, what):
            return
        if step == "miss" and judge.items(step) and not judge.number(step, "calls"):
            said = f"{call} did not run at its first call: the rows came from another query"
            judge.check("query in key", False, said, marked(judge, KEY))
            return
        returned(judge, "hit", step, what, expected, right, line)
    in_key = ran == 2 and not judge.number("same connection", "calls")
    line, hint = (KEY, CONNECTION_IN_KEY) if in_key else (LOOKUP, "")
    said = f"{call} ran {count(ran, 'time')} for two equal calls"
    judge.check("hit", ran == 1, said, marked(judge, line), hint)


def _own_results(judge: Judge, check: str, how: str, cases: tuple, rows: dict) -> None:
    """Check that each of these calls gets its own rows, and no earlier call's.

    It proves something only if the cache keeps results at all. A wrapper whose parameters do not
    allow such a call cannot return a wrong result for it.
    """
    position = " passed by position," * (how == "position")
    words = {one: " and ".join((f"`{one[0]}`", *map(str, one[1:]))) for one in rows}
    for number, case in enumerate(cases):
        step = f"{check} by {how} {number}"
        what = f"{own(judge)} called with {words[case]},{position}"
        error, shared = judge.error(step), judge.failed("query in key")
        if error and error["type"] == "TypeError" and not error.get("place"):
            judge.check(check, True)
        elif error and case[1:] and judge.fact(step, "params") == []:
            said = f"{what} did not get the parameters"
            judge.check(check, False, said, judge.line, "What does the wrapper pass on?")
        elif not judge.crashed(check, step, what) and judge.passed("hit"):
            difference = compare_rows(judge.fact(step), rows[case])
            if difference and not number and shared:
                return  # it got another query's rows, which is reported already
            said = f"{what} returned a wrong result after other calls: {difference}"
            for one in list(rows)[: list(rows).index(case)]:
                if not compare_rows(judge.fact(step), rows[one]):
                    other = words[one].removeprefix(f"`{case[0]}` and ")
                    said = f"{what} returned the rows of an earlier call with {other}"
            hint = "What is the key of your cache?" * shared
            judge.check(check, not difference, said, marked(judge, KEY), hint)


# ---------------------------------------------------- shared by these exercises


def own(judge: Judge, call: str = "", retries: int = probe.RETRIES) -> str:
    """Describe the checker's function, or a call of it: the answer has a function of the same name."""
    decorator = inside(judge)[0] + f"(retries={retries})" * (judge.exercise.number == "8")
    return f"the checker's function{call and f' {call}'}, decorated with @{decorator},"


def inside(judge: Judge) -> tuple[str, ...]:
    """The names of the functions in which the decorator's own code stands, as patterns."""
    [names] = NAMES[judge.exercise.number].values()
    return names


def marked(judge: Judge, *patterns: str) -> int | None:
    """The decorator's line that the first possible of these patterns matches, or its wrapper's."""
    found = (judge.source.line_with(pattern, *inside(judge)) for pattern in patterns)
    return next(filter(None, found), judge.line)


def returned(judge: Judge, check, step, call, result, right=None, pattern=FUNCTION) -> None:
    """Check that a call returned this result, unless `right` says it; None has a hint of its own."""
    said, hint = f"{call} returned {short(judge.fact(step))} instead of {short(result)}", ""
    if judge.fact(step) is None:
        said += _printed(judge, step)
        hint = NO_RETURN.format(judge.source.innermost(*inside(judge))[0])
    right = judge.fact(step) == result if right is None else right
    judge.check(check, right, said, marked(judge, pattern), hint)


def raises(judge: Judge, check: str, step: str, fault: str) -> None:
    """Check that the error of the probe's function reaches the caller, if the function was called."""
    error, said, line = judge.error(step), f"{own(judge)} raised {fault}", judge.line
    if not judge.number(step, "calls"):
        return
    if error is None:
        said = f"{said}, but the caller got no error{_printed(judge, step, fault)}"
        at = judge.source.line_of_swallow(*inside(judge))
        hint = SWALLOW_HINTS["return"] if judge.source.word_at(at) == "return" else ""
        judge.check(check, False, said, at or line, hint)
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


def judge_demo(judge: Judge, after: set[str]) -> None:
    """Check what the answer's own decorated function does; only in exercise 5 it must be there."""
    number, (name, options, _) = judge.exercise.number, probe.DEMOS[judge.exercise.number]
    name = judge.text("demo", "name") or name  # it may be another than the course's
    line, given = judge.source.line_of(name), judge.fact("demo")
    call = f"{name}({', '.join(f'{key}={value!r}' for key, value in options.items())})"
    if not judge.seen("demo"):
        if kind := judge.text("lost demo", "kind"):
            others = set(judge.source.decorators_of(name)) - {*inside(judge)}
            said = f"{name} is a value of type {kind} after decoration by @{' or @'.join(others)}"
            judge.check("demo rows", False, said, line, NO_RETURN.format("the decorator"))
        elif judge.run.done and not (line and judge.error("import")):
            where = "importing the file does not define" if line else "there is no function"
            judge.check("demo rows", number != "5", f"{where} {name}", line)
        return
    if judge.crashed("demo rows", "demo", call) or any(map(judge.failed, after)):
        return
    users = judge.evidence("before demo", "users") or []
    if number == "7":
        [email] = user_of(judge, "demo", options["user_id"])[2:3] or [None]
        difference = f"the stored email is {short(email)}" * (email != options["new_email"])
    else:
        rows = [given] if number == "6" and list not in map(type, judge.items("demo")) else given
        wanted = [user for user in users if user[0] == options.get("user_id", user[0])]
        difference = compare_rows(rows, wanted, "users")
    hint = NO_RETURN.format("the function") if given is None and number != "7" else ""
    one = given in users and number != "6"
    fetch = judge.source.line_with(r"\.fetchone\(" if one else r"\.execute\(", name)
    said = f"{call}: {difference}{_printed(judge, 'demo')}"
    judge.check("demo rows", not difference, said, fetch or line, hint)
    if number == "9":
        ran = options["query"] in str(judge.fact("demo again", "sqlite"))
        judge.check("demo rows", not ran, f"{call} ran the query at the second call, too", line)
    if number != "6":
        judge.judge_closed("closed", "demo", call)


def user_of(judge: Judge, mark: str, number: int) -> list:
    return next((row for row in judge.evidence(mark, "users") or [] if row[0] == number), [])


JUDGE = {
    "5": partial(judge_exercise, judge_log_queries, {"result"}),
    "6": partial(judge_exercise, judge_with_db_connection, {"result"}),
    "7": partial(judge_exercise, judge_transactional, {"commits"}),
    "8": partial(judge_exercise, judge_retry, {"retries"}),
    "9": partial(judge_exercise, judge_cache_query, {"hit", "query in key"}),
}
