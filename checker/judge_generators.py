"""Exercises 1 to 4: turn facts and the server's evidence into results."""

import re

from checker.checks import CLOSED
from checker.child.wanted import NAMES
from checker.judge import SWALLOW_HINT, TELLING, Judge, describe, hint_for
from checker.rows import compare_rows, count, same_row, short

# Share of the large table's bytes: socket and driver buffer far less, fetchall receives all.
LAZY_SHARE = 0.5
ENOUGH = 400  # the child reads no further, and the small table has fewer rows
CONNECT = r"(?!is_|re)\w*[Cc]onnect(?!ed)\w*"
UNREAD = "Unread result found"
FAULTS = {"gone": "the table dropped", "refuse": "a server that refuses connections"}
# What a driver says of a missing table, and of a connection that is lost or refused.
DATABASE = (
    r"\b(1146|1356|20\d\d|4031)\b|doesn't exist|(?i:can't connect|lost connection)|gone away"
    r"|not available|refused|pool exhausted"
)
RETURNED_NONE = (
    "A function without `yield` and `return` returns None. Which of your lines gives the rows?"
)
NO_ROWS = "Run the query by itself on the same database. How many rows does it return?"
ENDLESS = "What ends your loop when there are no more rows?"
SERVER_HINT = "Which module connects to a MySQL server, and what does your seed.py use?"
PRECISION = "The task shows two decimals. What do f'{value:.2f}' and round(value, 2) give?"


def judge_stream(judge: Judge) -> bool:
    (name,) = _names(judge)
    if _ended(judge, "rows", "rows", f"{name}()"):
        said = compare_rows(judge.fact("rows"), _users(judge), "users")
        compared(judge, "rows", said, "rows", name, hint=_hint(judge.fact("rows")))
    _closed(judge, "rows", "reading to the end", name)
    _server(judge, "rows", name)
    return judge.seen("rows")


def judge_batches(judge: Judge) -> bool:
    name, processing = _names(judge)
    what = f"{processing}()"
    _chunks(judge, "batches", (10, 19, 1), name)
    if _ended(judge, "filter", "processing", what, "batch_processing"):
        young, missing = _filtered(judge)
        if young or not judge.failed("rows"):  # missing rows are missing here, too
            compared(judge, "filter", young or missing, "processing", processing, what)
        printed = "checker.example" in judge.text("processing", "printed")
        said = f"{what} returns or yields the users, but prints none"
        judge.check("prints", printed or bool(missing), said, judge.source.line_of(processing))
    _closed(judge, "processing", what, name)
    _server(judge, "rows", name, processing)
    _offset(judge)
    return judge.seen("batches of 10") or judge.seen("processing")


def judge_pages(judge: Judge) -> bool:
    name, single = _names(judge)
    users, what = _users(judge), f"{single}(10, 20)"
    _chunks(judge, "pages", (10, 19), name)
    if judge.seen("pages of 10") and not judge.failed("rows"):
        rows = [
            row for page in judge.items("pages of 10") if isinstance(page, list) for row in page
        ]
        said = "the rows are neither in the table's order nor sorted by one column"
        judge.check("order", _is_in_order(rows, users), said, judge.source.line_of(name))
    if _ended(judge, "single page", "single page", what, "paginate_users"):
        page, beyond = judge.fact("single page"), judge.fact("single page", "beyond")
        said = compare_rows(page, users[20:30], "rows of the third page")
        queries = " ".join(_queries(judge, "single page done"))
        if (
            re.search(r"order\s+by", queries, re.IGNORECASE)
            and len(judge.items("single page")) == 10
        ):
            said = ""  # another order has another third page
        if not said and isinstance(beyond, list) and beyond:
            said = f"a page after the last row has {len(beyond)} rows"
        compared(judge, "single page", said, "single page", single, what, _hint(page))
    _server(judge, "rows", name, single)
    _offset(judge)
    return judge.seen("pages of 10")


def _is_in_order(rows: list, users: list) -> bool:
    """Whether the rows are in the table's order, or sorted by any one column."""
    places = [next((n for n, user in enumerate(users) if same_row(row, user)), -1) for row in rows]
    # As the server sorts: upper and lower case are the same.
    folded = [[str(value).lower() for value in user[:3]] + user[3:] for user in users]
    orders = (places, *([folded[place][column] for place in places] for column in range(4)))
    return any(order in (sorted(order), sorted(order, reverse=True)) for order in orders)


def judge_ages(judge: Judge) -> bool:
    name, average = _names(judge)
    ages = sorted(row[3] for row in _users(judge))
    if _ended(judge, "ages", "ages", f"{name}()", "stream_user_ages"):
        found, said = judge.fact("ages"), ""
        numbers = isinstance(found, list) and all(isinstance(age, int | float) for age in found)
        if not numbers:
            said = f"expected numbers, got {short(found[0] if isinstance(found, list) else found)}"
        elif len(found) != len(ages):
            said = f"expected {len(ages)} ages, got {len(found)}"
        elif sorted(found) != ages or not ages:
            said = "the ages are not those of the table"
        compared(judge, "ages", said, "ages", name, hint=_hint(found))
    _closed(judge, "ages", "reading to the end", name)
    _average(judge, average, ages)
    _closed(judge, "average", "computing the average", name)
    _server(judge, "ages", name, average)
    return judge.seen("ages") or judge.seen("average")


def _average(judge: Judge, name: str, ages: list) -> None:
    line, what = judge.source.line_of(name), "computing the average"
    if not judge.crashed("average", "average", what):
        if not judge.failed("ages"):  # of other ages, the average is another
            shown = f"{judge.text('average', 'shown')} {judge.fact('average')}"
            expected = sum(ages) / len(ages) if ages else 0.0
            numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", shown)]
            off, nearest = min(((abs(n - expected), n) for n in numbers), default=(1, None))
            came = "no number" if nearest is None else f"{nearest:.10g}"
            if nearest is None and judge.fact("average", "program"):
                came = "no number, and there is no function that computes the average"
            said = "" if off <= 0.005001 else f"expected {expected:.2f}, got {came}"
            compared(judge, "average", said, "average", name, hint=PRECISION if off < 1 else "")
        found = [q for q in _queries(judge, "average done") if re.search(r"(?i)\bavg\s*\(", q)]
        where = judge.source.line_with(r"\bavg\s*\(") or line
        judge.check("no AVG", not found, f"the server ran {short(found[:1])}", where)
    kept, read = judge.number("kept ages", "kept"), judge.number("kept ages", "read")
    where = judge.source.line_of_call("list", "append", "fetchall", "sorted", inside=(name,))
    if read and not judge.error("kept ages"):
        said = f"{kept} of {read} ages were in memory at once"
        judge.check("no list", 2 * kept <= read, said, where or line)
    elif judge.seen("average") and not judge.error("average"):  # it reads no generator of ours
        judge.check("no list", not where, "the ages are collected in a list", where)
    error = judge.error("average of none")
    mild = error is None or error["type"] in ("ValueError", "StatisticsError")
    if judge.seen("average of none") and (mild or judge.tells_first("empty", error)):
        said = "" if mild else f"with an empty table, {what} raised {describe(error)}"
        judge.check("empty", mild, said, judge.place_of(error) if error else line)


def _chunks(judge: Judge, plural: str, sizes: tuple, name: str) -> None:
    """Check batches or pages: all rows, in lists of the right sizes."""
    users = _users(judge)
    for size in sizes:
        step, what = f"{plural} of {size}", f"{name}({size})"
        if not judge.seen(step):
            continue
        if judge.crashed("rows", step, what):
            return
        chunks, rows = judge.fact(step), judge.items(step)
        more = (step, name, what, _hint(chunks))
        first = rows[0] if rows else chunks
        is_row = any(same_row(first, user) for user in users[:1])
        if is_row or not all(isinstance(chunk, list) for chunk in (chunks, *rows)):
            said = f"expected {plural} as lists of rows, got {short(first)}"
            compared(judge, "sizes", said, *more)
            if rows:
                compared(judge, "rows", compare_rows(rows, users, "users"), *more)
            return
        rows = [row for chunk in chunks for row in chunk]
        compared(judge, "rows", compare_rows(rows, users, "users"), *more)
        *full, last = map(len, chunks or [[]])
        if rows or full:
            right = set(full) <= {size} and 0 < last <= size
            said = "" if right else f"the last sizes were {', '.join(map(str, [*full, last][-3:]))}"
            compared(judge, "sizes", said, *more)
        _closed(judge, step, f"reading {plural} of {size} to the end", name)


def _filtered(judge: Judge) -> tuple[str, str]:
    """What is wrong with the users that batch_processing printed or returned: too young, missing."""
    users = _users(judge)
    shown = f"{judge.text('processing', 'printed')} {judge.fact('processing')}"
    found = [row for row in users if row[0] in shown or row[2] in shown
             or re.search(rf"{re.escape(row[1])}(?!\d)", shown)]  # fmt: skip
    ages = [row[3] for row in found if row[3] <= 25]
    expected = [row for row in users if row[3] > 25]
    missing = sum(row not in found for row in expected)
    said = f"{missing} of the {len(expected)} users older than 25 are missing"
    young = f"the result includes users aged {min(ages):g}" if ages else ""
    return young, said if missing else ""


def _names(judge: Judge) -> list[str]:
    """The names of the functions that the child called; the course's names where it found none."""
    usual = NAMES[judge.exercise.number]
    found = judge.fact("functions", "found") or [""] * len(usual)
    return [str(name) or one for name, one in zip(found, usual, strict=False)]


def _users(judge: Judge) -> list:
    return judge.evidence("imported", "user_data") or []


def _queries(judge: Judge, mark: str) -> list[str]:
    return judge.evidence(mark, "queries") or []


def _ended(judge: Judge, check: str, step: str, what: str, function: str = "") -> bool:
    """Whether the step ended without an error; if not, or without a function, fail the check."""
    if not judge.seen(step):
        if function:
            judge.absent(check, f"there is no function {function}")
        return False
    return not judge.crashed(check, step, what)


def _hint(found) -> str:
    """The hint for a result of this kind, if it is wrong; '' for the check's own."""
    if found is None:
        return RETURNED_NONE
    if found in ([], [[]]):
        return NO_ROWS
    return ENDLESS if isinstance(found, list) and len(found) >= ENOUGH else ""


def compared(
    judge: Judge, check: str, said: str, step: str, name: str, what: str = "", hint: str = "",
    at: str = "",
) -> None:  # fmt: skip
    """Record a comparison's result: `said` is '' if it is right; `what` is the call that it is about.

    The place is the line that `at` matches, or the function's. But if the answer printed an error that
    it hid, the reason shows it, at the `except` that hid it.
    """
    place = (at and judge.source.line_with(at)) or judge.source.line_of(name)
    if said and TELLING.search(judge.text(step, "shown")):
        printed = judge.printed(step)
        said, place = said + printed, judge.swallow(name) or place
        hint = hint_for({"message": printed}, SWALLOW_HINT)
    judge.check(check, not said, f"{what}: {said}" if what else said, place, hint)


def _closed(judge: Judge, step: str, what: str, name: str) -> None:
    left = judge.evidence("imported", "open")
    if left:
        said = f"importing the file leaves {count(left, 'connection')} open"
        judge.check("closed", False, said, judge.source.line_of_call(CONNECT))
    elif judge.error(step) is None:
        left = judge.evidence(f"{step} done", "left")
        said = f"{what} opens {count(left or 0, 'connection')} that your code never closes"
        _left_open(judge, "closed", step, left, said, name)


def _left_open(judge: Judge, check: str, step: str, left: int | None, said: str, name: str) -> None:
    """Check that no connection is left; name what came before the answer's own close(), if anything."""
    if left is None:
        return
    source, error, hint = judge.source, judge.error(step), ""
    place = source.line_of_call(CONNECT, inside=(name,)) or source.line_of_call(CONNECT)
    if UNREAD in f"{(error or {}).get('message')}{judge.text(step, 'shown')}":
        came = describe(error) if error else UNREAD
        said = f"{came}: this error came before your code had closed the connection"
        place = judge.place_of(error) if error else source.line_of_call("close", inside=(name,))
        hint = hint_for({"message": UNREAD})
    elif check == "stop early" and judge.failed("closed"):
        hint = CLOSED.hint
    judge.check(check, not left, said, place, hint)


def _server(judge: Judge, first: str, *names: str) -> None:
    """Judge what only the server shows: laziness, connections, its errors.

    `names` are the functions that were tried without table and server, the generator first.
    """
    if any(seen.get("made") for seen in judge.run.evidence.values()):
        _laziness(judge, first, names[0])
        _errors(judge, names)
    elif judge.seen("first") and not judge.error("first"):
        sqlite = any(fact.get("sqlite") for fact in judge.run.facts.values())
        used = "it uses SQLite" if sqlite else "it uses no database"
        said = f"no connection to the MySQL server was made, where user_data is: {used}"
        judge.check(first, False, said, judge.source.line_of_call(CONNECT), SERVER_HINT)


def _laziness(judge: Judge, first: str, name: str) -> None:
    error, source, what = judge.error("first"), judge.source, f"{name}()"
    if not judge.seen("first") or (error and error["type"] != "StopIteration"):
        judge.crashed("lazy", "first", f"{what} with a large table")
        return
    line, kind = source.line_of(name), judge.text("first", "kind")
    if error or kind == "NoneType":
        if not judge.failed(first):
            judge.check("lazy", False, f"{what} gives no row of a large table", line, NO_ROWS)
        return
    said = f"{what} returns a {kind}, not a generator"
    judge.check("lazy", bool(judge.fact("first", "iterator")), said, line)
    sent = (judge.evidence("first", "sent") or 0) - (judge.evidence("grow", "sent") or 0)
    share = min(1.0, sent / (judge.evidence("grow", "bytes") or 1))
    fetch = source.line_of_call("fetchall", inside=(name,)) or source.line_with("buffered ?= ?True")
    said = f"after one next(), the server had already sent {share:.0%} of the table"
    judge.check("lazy", share < LAZY_SHARE, said, fetch or line)
    error, left = judge.error("stopped"), judge.evidence("stopped", "left")
    if left and (judge.evidence("collected", "left") or 0) < left:
        said = "your code never closed the connection; CPython's garbage collector did"
    elif judge.evidence("imported", "open") and not left:
        left = judge.evidence("stopped", "open")
        said = "the connection that importing the file opened stays open"
    else:
        said = f"{count(left or 0, 'connection')} stays open"
    said = f"the caller stopped after two items, and {said}"
    _left_open(judge, "stop early", "stopped", left, said, name)
    if not left or not error:  # otherwise the error is the reason why it is open
        said = f"a caller that stops reading early gets {describe(error)}" if error else ""
        place, hint = (judge.place_of(error), hint_for(error, " ")) if error else (None, "")
        judge.check("stop quietly", not error, said, place, hint.strip())


def _errors(judge: Judge, names: tuple[str, ...]) -> None:
    """Check that the database's own error reaches the caller; the first that does not is reported."""
    tried = [(s, when, name) for who, name in zip(("generator", "caller"), names, strict=False)
             for fault, when in FAULTS.items() if judge.seen(s := f"{fault} {who}")]  # fmt: skip
    for step, when, name in tried:
        error = judge.error(step)
        if error and judge.came_out(step, DATABASE) and "SystemExit" not in error["bases"]:
            continue
        # Unread rows of an earlier step, on a connection that is never closed, hide what would come.
        if error and (UNREAD in error["message"] or not judge.tells_first("errors", error)):
            return
        said, swallow = f"with {when}, {name}() raised no error", judge.swallow(name)
        place = swallow or judge.source.line_of(name)
        hint = SWALLOW_HINT if swallow else ""
        if error:
            said = (
                f"with {when}, {name}() raised {describe(error)}, and the database's error is lost"
            )
            if "'NoneType' object" not in error["message"] or not swallow:
                place, hint = judge.place_of(error), hint_for(error)
        judge.check("errors", False, said + judge.printed(step), place, hint)
        return
    if tried:
        judge.check("errors", True)


def _offset(judge: Judge) -> None:
    queries = _queries(judge, "second")
    pages = [q for q in queries if re.search(r"\boffset\b|limit\s+\d+\s*,", q, re.IGNORECASE)]
    unordered = [q for q in pages if not re.search(r"order\s+by", q, re.IGNORECASE)]
    said = f"the server ran {unordered[0] if unordered else ''}"
    judge.check("order by", not unordered, said, judge.source.line_with(r"\boffset\b"))


JUDGE = {"1": judge_stream, "2": judge_batches, "3": judge_pages, "4": judge_ages}
