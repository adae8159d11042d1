"""seed.py and exercises 1 to 4: turn facts and the server's evidence into results."""

import operator
import re

from checker.checks import CLOSED, STOP_EARLY
from checker.child.wanted import NAMES
from checker.judge import SWALLOW_HINT, TELLING, Judge, describe, hint_for
from checker.rows import compare_rows, count, places, short, which_rows
from checker.users import STRANGER, small_users

# The functions of seed.py in the order of the calls, and the check that each is about.
CALLS = dict(zip(NAMES["seed"], ("database",) * 3 + ("table", "rows"), strict=True))
COLUMNS = ("user_id", "name", "email", "age")
# Share of the large table's bytes: socket and driver buffer far less, fetchall receives all.
LAZY_SHARE = 0.5
ENOUGH = 400  # the child reads no further, and the small table has fewer rows
CONNECT = r"(?!is_|re)\w*[Cc]onnect(?!ed)\w*"
INSERT = r"insert\s+(ignore\s+)?into"
UNREAD = "Unread result found"
INSERT = r"insert\s+(ignore\s+)?into"
FAULTS = {"gone": "the table dropped", "refuse": "a server that refuses connections"}
# What a driver says of a missing table, and of a connection that is lost or refused.
DATABASE = (
    r"\b(1146|1356|20\d\d|4031)\b|doesn't exist|(?i:can't connect|lost connection)|gone away"
    r"|not available|refused|pool exhausted"
)
NO_ROWS = "Run the query by itself on the same database. How many rows does it return?"
NOT_REACHED = "Your code closes the others. Which path through it does not reach close()?"
SERVER_HINT = "Which module connects to a MySQL server, and what does your seed.py use?"
# What is said of a wrong result: the hint and a pattern of the line for this kind, if there are any.
KINDS = (
    (r"stopped reading after", "What ends your loop when there are no more rows?", ""),
    (r"got None", "A function without `yield` and `return` returns None. What gives the rows?", ""),
    (r"(?<!\d)(\d+) of \1 users are missing|ages, got 0", NO_ROWS, ""),
    (r"older than 25 are missing: the last", "Do you process every batch? What ends your loop?", ""),
    (r"missing: the last", "What ends your loop or query, and what handles the rows that are left?",
     r"\blimit\s+\d+\s*[\"';]|\bif\s+len\(|%\s*\d+\s*==\s*0"),
    (r"missing: the first", "Which line reads or skips rows before the first one is yielded or stored?",
     r"\bnext\(|\bif\b.*fetchone\("),
    (r"missing: those aged", "Which condition leaves these users out: a WHERE in the SQL, or an `if`?",
     r"\b(where|if)\b.*\bage\b"),
    (r"missing: one after|more than once",
     "What happens between two batches or pages? If you use an offset, by how much does it grow?",
     r"offset\s*(\+=|=.*\+)"),
    (r"third page are missing", "`offset` counts rows, not pages. Which OFFSET does your query get?",
     r"offset\s*\*|\*\s*offset"),
    (r"rows like", "Compare the rows that you yield with SELECT * FROM user_data.", r"[\"']\s*select\b"),
    (r"the rows are neither", "", r"order\s+by"),
    (r"expected numbers|sizes were|as lists of rows", "", r"(?m)fetchmany\((\d+)?\)|^ +yield\b"),
    (r"\d ages, got", "Does your query give one row, and your loop one value, for each user?",
     r"\bdistinct\b"),
    (r"divided by", "Print the sum, and the number by which you divide it.",
     r"(?m)^ +[\w, ]+ = (\d+, *)*1 *(#.*)?$"),
    (r"without its fraction", "Which division keeps the fraction: / or // ?", r"\w *// *\w"),
    (r"two decimals", "The task shows two decimals. What do f'{value:.2f}' and round(value, 2) give?",
     ""),
    (r"databases are (?!none)", "The task's database is ALX_prodev. What does your statement create?",
     r"create\s+database"),
    (r"primary key$", "", r"user_id[`\"]? +((var)?char|binary|uuid|int|text)"),
    (r"no table|no column|primary key$", "", r"create\s+table"),
    (r"rows are stored", "", INSERT),
)  # fmt: skip


def judge_seed(judge: Judge) -> bool:
    if len(judge.fact("functions", "found") or []) < len(CALLS):
        return False
    failed = _failed_call(judge, "first run")
    if failed:
        judge.crashed(CALLS[failed], "first run", f"{failed}()")
        if CALLS[failed] == "database":
            return True
    elif not _connected(judge, "database"):
        return True
    names = judge.evidence("first run", "databases") or []
    said = f"the databases are {', '.join(names) or 'none'}"
    said = "" if "alx_prodev" in map(str.lower, names) else said
    _compared(judge, "database", said, "first run", "create_database")
    if failed == "create_table":
        return True
    printed = "Table user_data created successfully" in judge.text("first run", "table said")
    line = judge.source.line_of("create_table")
    judge.check("said", printed, "create_table did not print this line", line)
    columns = judge.evidence("first table", "columns") or {}
    _compared(judge, "table", _wrong_columns(columns), "first run", "create_table")
    if failed or not columns:
        return True
    stored, expected = judge.evidence("first run", "stored") or 0, small_users()
    rows = judge.evidence("first run", "user_data") or []
    file = f"the checker's user_data.csv, whose header is {judge.evidence('csv', 'header')}"
    said = f"{stored} rows are stored and committed, of the {len(expected)} users in {file}"
    missing = [row for row in expected if row[1] not in {found[1] for found in rows}]
    if len(missing) == len(expected) - stored and (which := which_rows(missing, expected)):
        said += f"; missing{which}"
    _compared(judge, "rows", "" if stored == len(expected) else said, "first run", "insert_data")
    line = judge.source.line_with(INSERT) or judge.source.line_of("insert_data")
    if stored and columns.keys() >= set(COLUMNS):
        said = _wrong_values(rows)
        judge.check("values", not said, said, line)
    if failed := _failed_call(judge, "second run"):
        judge.crashed("twice", "second run", f"{failed}() in the second run")
    elif stored and judge.seen("second run"):
        _second_run(judge, stored, line)
    return True


def _failed_call(judge: Judge, run: str) -> str:
    """The function whose call failed in this run; '' if none did."""
    return judge.text(run, "call") if judge.error(run) else ""


def _wrong_columns(columns: dict) -> str:
    missing = [name for name in COLUMNS if name not in columns]
    if not columns:
        return "after create_table(), there is no table user_data"
    if missing:
        return f"user_data has no column {' and '.join(missing)}, but {', '.join(columns)}"
    return "" if columns["user_id"] == "PRI" else "user_id is not the primary key"


def _wrong_values(stored: list) -> str:
    """Compare the rows, whatever their ids; rows that are missing or too many are another check's."""
    found, expected = [row[1:] for row in stored], [list(row[1:]) for row in small_users()]
    wrong = next((row for row in expected if row not in found), [])
    strange = [row for row in found if row not in expected and set(row) & set(wrong)]
    if not strange:
        return ""
    nearest = max(strange, key=lambda row: sum(map(operator.eq, row, wrong)))
    return f"expected {short(wrong)}, got {short(nearest)}"


def _second_run(judge: Judge, stored: int, line: int | None) -> None:
    """Compare the two runs. The checker added a row between them, which must not be lost."""
    source, again = judge.source, judge.evidence("second run", "user_data") or []
    before = judge.evidence("stranger", "stored") or stored
    after = judge.evidence("second run", "stored") or 0
    if before > stored and again and not any(row[1] == STRANGER[1] for row in again):
        said = "the second run deleted a row that another program had added after the first"
        drop = source.line_with(r"drop\s+(table|database)|truncate|delete\s+from|replace\s+into")
        judge.check("twice", False, said, drop or source.line_of("create_table"))
    added, verb = abs(after - before), "added" if after > before else "removed"
    said = f"the first run stored {count(stored, 'row')}, and the second {verb} {added}"
    judge.check("twice", not added, said, line)


def judge_stream(judge: Judge) -> bool:
    (name,) = _names(judge)
    if _ended(judge, "rows", "rows", f"{name}()"):
        said = compare_rows(judge.fact("rows"), _users(judge), "users")
        _compared(judge, "rows", said, "rows", name)
    _closed(judge, "rows", "reading to the end", name)
    _server(judge, "rows", name)
    return judge.seen("rows")


def judge_batches(judge: Judge) -> bool:
    name, processing = _names(judge)
    users, what = _users(judge), f"{processing}()"
    _chunks(judge, "batches", (10, 19, 1), name)
    if _ended(judge, "filter", "processing", what, "batch_processing"):
        shown = f"{judge.text('processing', 'printed')} {judge.fact('processing')}"
        found = [row for row in users if row[0] in shown or row[2] in shown
                 or re.search(rf"{re.escape(row[1])}(?!\d)", shown)]  # fmt: skip
        expected = [row for row in users if row[3] > 25]
        missing = [row for row in expected if row not in found]
        said = f"{len(missing)} of the {len(expected)} users older than 25 are missing"
        said = f"{said}{which_rows(missing, expected)}" if missing else ""
        if young := [row[3] for row in found if row[3] <= 25]:
            said = f"the result includes users aged {min(young):g}"
        if young or not judge.failed("rows"):  # missing rows are missing here, too
            _compared(judge, "filter", said, "processing", processing, what)
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
    if _ended(judge, "single page", "single page", what, "paginate_users"):
        page, beyond = judge.items("single page"), judge.fact("single page", "beyond")
        said = compare_rows(judge.fact("single page"), users[20:30], "rows of the third page")
        queries = " ".join(_queries(judge, "single page done"))
        if re.search(r"(?i)order\s+by", queries) and len(page) == 10:
            said = ""  # another order has another third page
        if not said and isinstance(beyond, list) and beyond:
            said = f"a page after the last row has {count(len(beyond), 'row')}"
        _compared(judge, "single page", said, "single page", single, what)
    _server(judge, "rows", name, single)
    _offset(judge)
    return judge.seen("pages of 10")


def _is_in_order(rows: list, users: list) -> bool:
    """Whether the rows are in the table's order, or sorted by any one column."""
    numbers = places(rows, users)
    # As the server sorts: upper and lower case are the same.
    folded = [[str(value).lower() for value in user[:3]] + user[3:] for user in users]
    orders = (numbers, *([folded[number][column] for number in numbers] for column in range(4)))
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
        _compared(judge, "ages", said, "ages", name)
    _closed(judge, "ages", "reading to the end", name)
    _average(judge, average, ages)
    _closed(judge, "average", "computing the average", name)
    _server(judge, "ages", name, average)
    return judge.seen("ages") or judge.seen("average")


def _average(judge: Judge, name: str, ages: list) -> None:
    line, what = judge.source.line_of(name), "computing the average"
    if _ended(judge, "average", "average", what):
        if not judge.failed("ages"):  # of other ages, the average is another
            _compared(judge, "average", _wrong_average(judge, ages), "average", name)
        found = [q for q in _queries(judge, "average done") if re.search(r"(?i)\bavg\s*\(", q)]
        where = judge.source.line_with(r"\bavg\s*\(") or line
        judge.check("no AVG", not found, f"the server ran {short(found[:1])}", where)
    kept, read = judge.number("kept ages", "kept"), judge.number("kept ages", "read")
    where = judge.source.line_of_call("list", "append", "fetchall", "sorted", "tee", inside=(name,))
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


def _wrong_average(judge: Judge, ages: list) -> str:
    """What is wrong with the average that was printed or returned, and how it may have come about."""
    shown = f"{judge.text('average', 'shown')} {judge.fact('average')}"
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", shown)]
    total, number = sum(ages), len(ages)
    expected = total / number if ages else 0.0
    if not numbers:
        more = ", and there is no function that computes the average"
        program = judge.fact("average", "program")
        return f"expected {expected:.2f}, got no number{more if program else ''}"
    nearest = min(numbers, key=lambda n: abs(n - expected))
    if (off := abs(nearest - expected)) <= 0.005001:
        return ""
    said = f"expected {expected:.2f}, got {nearest:.10g}"
    divisors = (n for n in (number - 1, number + 1) if n > 0)
    if other := next((n for n in divisors if abs(nearest - total / n) <= 0.005001), 0):
        return f"{said}: the sum divided by {other}, not by {number}"
    if nearest == int(expected):
        return f"{said}, without its fraction"
    return f"{said}, which is not the same to two decimals" if off < 0.5 else said


def _chunks(judge: Judge, plural: str, sizes: tuple, name: str) -> None:
    """Check batches or pages: all rows, in lists of the right sizes, and pages in a sensible order."""
    users = _users(judge)
    for size in sizes:
        step, what = f"{plural} of {size}", f"{name}({size})"
        if not _ended(judge, "rows", step, what):
            continue
        chunks, rows, more = judge.fact(step), judge.items(step), (step, name, what)
        first = rows[0] if rows else chunks
        if places([first], users) == [0] or not all(
            isinstance(chunk, list) for chunk in (chunks, *rows)
        ):
            said = f"expected {plural} as lists of rows, got {short(first)}"
            _compared(judge, "sizes", said, *more)
            if rows:
                _compared(judge, "rows", compare_rows(rows, users, "users"), *more)
            return
        rows = [row for chunk in chunks for row in chunk]
        _compared(judge, "rows", compare_rows(rows, users, "users"), *more)
        if plural == "pages" and not judge.failed("rows"):
            said = "the rows are neither in the table's order nor sorted by one column"
            _compared(judge, "order", "" if _is_in_order(rows, users) else said, step, name)
        *full, last = map(len, chunks or [[]])
        if rows or full:
            right = set(full) <= {size} and 0 < last <= size
            said = "" if right else f"the last sizes were {', '.join(map(str, [*full, last][-3:]))}"
            _compared(judge, "sizes", said, *more)
        _closed(judge, step, f"reading {plural} of {size} to the end", name)


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
        if function and judge.run.done:
            judge.absent(check, f"there is no function {function}")
        return False
    return not judge.crashed(check, step, what)


def _compared(judge: Judge, check: str, said: str, step: str, name: str, what: str = "") -> None:
    """Record a comparison's result: `said` is '' if it is right; `what` is the call that it is about.

    The hint and the line are those of its kind, or the check's hint and the function's line. But if the
    answer printed an error that it hid, the reason shows it, at the `except` that hid it.
    """
    if said and len(judge.items(step)) >= ENOUGH:
        said += f"; the checker stopped reading after {ENOUGH}"
    kinds = [kind for kind in KINDS if re.search(kind[0], said)]
    lines = (judge.source.line_with(line) for _, _, line in kinds if line)
    hint = next((hint for _, hint, _ in kinds if hint), "")
    place = next(filter(None, lines), None) or judge.source.line_of(name)
    if said and TELLING.search(judge.text(step, "shown")):
        printed = judge.printed(step)
        said, place = said + printed, judge.swallow(name) or place
        hint = hint_for({"message": printed}, SWALLOW_HINT)
    judge.check(check, not said, f"{what}: {said}" if what else said, place, hint)


def _closed(judge: Judge, step: str, what: str, name: str) -> None:
    if left := judge.evidence("imported", "open"):
        said = f"importing the file leaves {count(left, 'connection')} open"
        judge.check("closed", False, said, judge.source.line_of_call(CONNECT))
    elif judge.error(step) is None:
        left, opened = (judge.evidence(f"{step} done", one) or 0 for one in ("left", "made"))
        said = f"{what} opens {count(left, 'connection')} that your code never closes"
        if left < opened:
            said = f"{what} opens {opened} connections, and your code does not close {left} of them"
        hint = NOT_REACHED if left < opened else CLOSED.hint
        _left_open(judge, "closed", step, left, said, name, hint)


def _left_open(
    judge: Judge, check: str, step: str, left: int, said: str, name: str, hint: str
) -> None:
    """Check that no connection is left; name what came before the answer's own close(), if anything.

    Unless the hint is that nothing is closed, the place is the close() that was not reached.
    """
    if not judge.seen(step):
        return
    source, error = judge.source, judge.error(step)
    calls = (CONNECT,) if hint == CLOSED.hint else ("close", CONNECT)
    lines = (source.line_of_call(call, inside=inside) for call in calls for inside in ((name,), ()))
    place = next(filter(None, lines), None)
    if UNREAD in f"{(error or {}).get('message')}{judge.text(step, 'shown')}":
        came = describe(error) if error else UNREAD
        said = f"{came}: this error came before your code had closed the connection"
        place = judge.place_of(error) if error else source.line_of_call("close", inside=(name,))
        hint = hint_for({"message": UNREAD})
    judge.check(check, not left, said, place, hint)


def _server(judge: Judge, first: str, *names: str) -> None:
    """Judge what only the server shows: laziness, connections, its errors.

    `names` are the functions that were tried without table and server, the generator first.
    """
    if _connected(judge, first if judge.seen("first") and not judge.error("first") else ""):
        _laziness(judge, first, names[0])
        _errors(judge, names)


def _connected(judge: Judge, check: str) -> bool:
    """Whether the answer connected to the server; if not, fail the check, if there is one."""
    made = any(seen.get("made") for seen in judge.run.evidence.values())
    if check and not made:
        sqlite = any(fact.get("sqlite") for fact in judge.run.facts.values())
        used = "it uses SQLite" if sqlite else "it uses no database"
        said = f"no connection to a MySQL server was made: {used}"
        judge.check(check, False, said, judge.source.line_of_call(CONNECT), SERVER_HINT)
    return made


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
    fetch = (
        source.line_of_call("fetchall", inside=(name,))
        or source.line_with("buffered ?= ?True")
        or source.line_of_call("list", "append", inside=(name,))
    )
    said = f"after one next(), the server had already sent {share:.0%} of the table"
    judge.check("lazy", share < LAZY_SHARE, said, fetch or line)
    error, left = judge.error("stopped"), judge.evidence("stopped", "left") or 0
    if left and (judge.evidence("collected", "left") or 0) < left:
        said = "your code never closed the connection; CPython's garbage collector did"
    elif judge.evidence("imported", "open") and not left:
        left = judge.evidence("stopped", "open")
        said = "the connection that importing the file opened stays open"
    else:
        said = f"{count(left, 'connection')} stays open"
    said = f"the caller stopped after two items, and {said}"
    hint = CLOSED.hint if judge.failed("closed") else STOP_EARLY.hint
    _left_open(judge, "stop early", "stopped", left, said, name, hint)
    if not left or not error:  # otherwise the error is the reason why it is open
        said = f"a caller that stops reading early gets {describe(error)}" if error else ""
        place, hint = (judge.place_of(error), hint_for(error, "")) if error else (None, "")
        judge.check("stop quietly", not error, said, place, hint)


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
        swallow, found = judge.swallow(name), "no error"
        place, hint = swallow or judge.source.line_of(name), SWALLOW_HINT if swallow else ""
        if error:
            found = f"{describe(error)}, and the database's error is lost"
            if "'NoneType' object" not in error["message"] or not swallow:
                place, hint = judge.place_of(error), hint_for(error)
        said = f"with {when}, {name}() raised {found}"
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


JUDGE = {
    "seed": judge_seed,
    "1": judge_stream,
    "2": judge_batches,
    "3": judge_pages,
    "4": judge_ages,
}
