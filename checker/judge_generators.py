"""seed.py and exercises 1 to 4: turn facts and the server's evidence into results."""

import re
from collections.abc import Iterator
from itertools import product

from checker.checks import CLOSED, STOP_EARLY
from checker.child.wanted import NAMES
from checker.judge import TELLING, Judge, describe, hint_for
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
ORDER, BUFFERED = r"order\s+by", r"buffered\s*=\s*True"
UNREAD = "Unread result found"
FAULTS = {"gone": "the table dropped", "refuse": "a server that refuses connections"}
# What a driver says of a missing table, and of a connection that is lost or refused.
DATABASE = (
    r"\b(1146|1356|20\d\d|4031)\b|doesn't exist|(?i:can't connect|lost connection)|gone away"
    r"|not available|refused|pool exhausted"
)
Compared = Iterator[tuple[str, str]]  # checks, and what is said of each; '' if it is right
NO_ROWS = "Run the query by itself on the same database. How many rows does it return?"
NOT_REACHED = "Your code closes the others. Which path through it does not reach close()?"
SERVER_HINT = "Which module connects to a MySQL server, and what does your seed.py use?"
# What is said of a wrong result; the hint, and a pattern of the line (with ^: in the function only).
KINDS = (
    (r"stopped reading after", "What ends your loop when there are no more rows?", ""),
    (r"got None", "A function without `yield` and `return` returns None. What gives the rows?", ""),
    (r"(?<!\d)(\d+) of \1 users are missing|ages, got 0", NO_ROWS, ""),
    (r"missing: the last", "What ends your loop or query, and what handles the rows that are left?",
     r"\blimit\s+\d+\s*[\"';]|\bif\s+len\(|%\s*\d+\s*==\s*0"),
    (r"missing: the first", "Which line reads or skips rows before the first one is yielded or stored?",
     r"\bnext\(|\bif\b.*fetchone\("),
    (r"missing: those aged", "Which condition leaves these users out: a WHERE in the SQL, or an `if`?",
     r"\b(where|if)\b.*\bage\b"),
    (r"missing: .* same name", "Two people can have the same name. What makes a user the same user?",
     r"\bname *= *%|\bif\b.*name|unique.*name|name.*unique"),
    (r"missing: one after|more than once",
     "What happens between two batches or pages? How much does an offset grow, in which order?",
     r"\brand\(\)|offset\s*(\+=|=.*\+)"),
    (r"third page are missing", "", r"offset\s*\*|\*\s*offset"),
    (r"expected rows like", "", r"[\"']\s*select\b"),
    (r"the rows are neither", "", ORDER),
    (r"the server ran", "", r"\blimit +[\"'%{:?\d]|\bselect\b.*\boffset\b|\bavg\s*\("),
    (r"users aged 25$", "", r">= *25\b|> *24\b"),
    (r"older than 25 are missing: the last", "", r"^ {8}(return|break)\b"),
    (r"expected numbers|sizes were|as lists of rows", "", r"fetchmany\((\d+)?\)|^ +yield\b"),
    (r"\d ages, got", "", r"\bdistinct\b"),
    (r"divided by|its fraction", "", r"^ +[\w, ]+ = (\d+, *)*1 *(#.*)?$|\w *// *\w"),
    (r"databases are (?!none)", "", r"create\s+database"),
    (r"primary key$", "", r"user_id[`\"]? +((var)?char|binary|uuid|int|text)"),
    (r"no table|no column|primary key$", "", r"create\s+table"),
    (r"rows are stored|^expected \[|the first run stored", "", INSERT),
    (r"the second run deleted", "", r"drop\s+(table|database)|truncate|delete\s+from|replace\s+into"),
)  # fmt: skip


def judge_seed(judge: Judge) -> bool:
    if len(judge.fact("functions", "found") or []) < len(CALLS):
        return False
    failed = judge.text("first run", "call") if judge.error("first run") else ""
    if failed:
        judge.crashed(CALLS[failed], "first run", f"{failed}()")
    if CALLS.get(failed) == "database" or not _connected(judge, "database"):
        return True
    names = judge.evidence("first run", "databases") or []
    said = f"the databases are {', '.join(names) or 'none'}"
    said = "" if "alx_prodev" in map(str.lower, names) else said
    _compared(judge, "database", said, "first run", "create_database")
    if failed == "create_table":
        return True
    printed = "Table user_data created successfully" in judge.text("first run", "table said")
    said = "" if printed else "create_table did not print this line"
    _compared(judge, "said", said, "first run", "create_table")
    columns = judge.evidence("first table", "columns") or {}
    _compared(judge, "table", _wrong_columns(columns), "first run", "create_table")
    if failed or not columns:
        return True
    stored, expected = judge.evidence("first run", "stored") or 0, small_users()
    rows = judge.evidence("first run", "user_data") or []
    file = f"the checker's user_data.csv, whose header is {judge.evidence('csv', 'header')}"
    said = f"{stored} rows are stored and committed, of the {len(expected)} users in {file}"
    emails = {str(row[2]).lower() for row in rows}
    missing = [row for row in expected if row[2].lower() not in emails]
    if len(missing) == len(expected) - stored and (which := which_rows(missing, expected)):
        said += f"; missing{which}"
    _compared(judge, "rows", "" if stored == len(expected) else said, "first run", "insert_data")
    if stored and columns.keys() >= set(COLUMNS):
        _compared(judge, "values", _wrong_values(rows), "first run", "insert_data")
    again = f"{judge.text('second run', 'call')}() in the second run"
    if not judge.crashed("twice", "second run", again) and stored and judge.seen("second run"):
        _second_run(judge, stored)
    return True


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
    nearest = max(strange, key=lambda row: len(set(row) & set(wrong)))
    return f"expected {short(wrong)}, got {short(nearest)}"


def _second_run(judge: Judge, stored: int) -> None:
    """Compare the two runs. The checker added a row between them, which must not be lost."""
    again = judge.evidence("second run", "user_data") or []
    before = judge.evidence("stranger", "stored") or stored
    after = judge.evidence("second run", "stored") or 0
    if before > stored and again and not any(row[1] == STRANGER[1] for row in again):
        said = "the second run deleted a row that another program had added after the first"
        _compared(judge, "twice", said, "second run", "create_table")
    added, verb = abs(after - before), "added" if after > before else "removed"
    said = f"the first run stored {count(stored, 'row')}, and the second {verb} {added}"
    _compared(judge, "twice", said if added else "", "second run", "insert_data")


def judge_generator(judge: Judge) -> bool:
    """Judge exercise 1, 2, 3 or 4: each step by its comparison, then what only the server shows."""
    number, users = judge.exercise.number, judge.evidence("imported", "user_data") or []
    steps, usual = STEPS[number], [*NAMES[number]]
    found = judge.fact("functions", "found") or usual
    names = [str(name) or one for name, one in zip(found, usual, strict=False)]
    for step, (which, check, call, compare) in steps.items():
        name, what = names[which], call.format(names[which])
        if not judge.seen(step):
            if judge.run.done:
                judge.absent(check, f"there is no function {usual[which]}")
        elif not judge.crashed(check, step, what):
            for one, said in compare(judge, step, users):
                _compared(judge, one, said, step, name, what)
            _closed(judge, step, what if which else f"{what}, read to the end,", name)
    if number == "4":
        _without_list(judge, names[1])
    first, (_, check, *_) = next(iter(steps.items()))
    called = judge.seen("first") and not judge.error("first")
    if _connected(judge, check if called else ""):
        _laziness(judge, check, names[0])
        _errors(judge, names)
    return judge.seen(first) or (number != "3" and any(map(judge.seen, steps)))


def _rows(judge: Judge, step: str, users: list) -> Compared:
    yield "rows", compare_rows(judge.fact(step), users, "users")


def _chunks(judge: Judge, step: str, users: list) -> Compared:
    """Batches or pages: all rows, in lists of the right sizes, and pages in a sensible order."""
    plural, _, size = step.split()
    pages = _queries(judge, step, r"\boffset\b|limit\s+\d+\s*,")
    unordered = [query for query in pages if query not in _queries(judge, step, ORDER)][:1]
    yield "order by", f"the server ran {unordered[0]}" if unordered else ""
    chunks, rows = judge.fact(step), judge.items(step)
    first = rows[0] if rows else chunks
    if places([first], users) == [0] or not all(isinstance(c, list) for c in (chunks, *rows)):
        yield "sizes", f"expected {plural} as lists of rows, got {short(first)}"
        if rows:
            yield "rows", compare_rows(rows, users, "users")
        return
    rows = [row for chunk in chunks for row in chunk]
    yield "rows", compare_rows(rows, users, "users")
    if plural == "pages" and not judge.failed("rows"):
        said = "the rows are neither in the table's order nor sorted by one column"
        yield "order", "" if _is_in_order(rows, users) else said
    *full, last = map(len, chunks or [[]])
    if (rows or full) and not judge.failed("rows"):  # wrong rows make wrong sizes
        right = set(full) <= {int(size)} and 0 < last <= int(size)
        said = f"the last sizes were {', '.join(map(str, [*full, last][-3:]))}"
        yield "sizes", "" if right else said


def _is_in_order(rows: list, users: list) -> bool:
    """Whether the rows are in the table's order, or sorted by any one column."""
    numbers = places(rows, users)
    # As the server sorts: upper and lower case are the same.
    folded = [[str(value).lower() for value in user[:3]] + user[3:] for user in users]
    orders = (numbers, *([folded[number][column] for number in numbers] for column in range(4)))
    return any(order in (sorted(order), sorted(order, reverse=True)) for order in orders)


def _older(judge: Judge, step: str, users: list) -> Compared:
    """The users older than 25, found in what is printed or returned: by id or email, or by name."""
    shown = f"{judge.text(step, 'printed')} {judge.fact(step)}"
    by = next((n for n in (0, 2) if any(row[n] in shown for row in users)), 1)
    values = [row[by] for row in users]
    times = [len(re.findall(rf"{re.escape(value)}(?!\d)", shown)) for value in values]
    # Of two users with the same name, the second is there if the name is there twice.
    found = [row for n, row in enumerate(users) if times[n] > values[:n].count(values[n])]
    expected = [row for row in users if row[3] > 25]
    missing = [row for row in expected if row not in found]
    said = f"{len(missing)} of the {len(expected)} users older than 25 are missing"
    said = f"{said}{which_rows(missing, expected)}" if missing else ""
    if young := [row[3] for row in found if row[3] <= 25]:
        said = f"the result includes users aged {min(young):g}"
    if young or not missing or not judge.failed("rows"):  # missing rows are missing here, too
        yield "filter", said
    printed = any(value in judge.text(step, "printed") for value in values)
    said = "the users are returned or yielded, but none is printed"
    yield "prints", "" if printed or missing else said


def _third_page(judge: Judge, step: str, users: list) -> Compared:
    said = compare_rows(judge.fact(step), users[20:30], "rows of the third page")
    another = _queries(judge, step, ORDER) and len(judge.items(step)) == 10
    yield "single page", "" if another else said  # another order has another third page


def _page_beyond(judge: Judge, step: str, _users: list) -> Compared:
    rows = len(judge.items(step))
    yield "single page", f"a page after the last row has {count(rows, 'row')}" if rows else ""


def _ages(judge: Judge, step: str, users: list) -> Compared:
    found, ages, said = judge.fact(step), sorted(row[3] for row in users), ""
    if not isinstance(found, list) or not all(isinstance(age, int | float) for age in found):
        got = f"expected numbers, got {short(found[0] if isinstance(found, list) else found)}"
        said = got.replace("got [", "got rows like [").replace("got {", "got rows like {")
    elif len(found) != len(ages):
        said = f"expected {len(ages)} ages, got {len(found)}"
    elif sorted(found) != ages or not ages:
        said = "the ages are not those of the table"
    yield "ages", said


def _average(judge: Judge, step: str, users: list) -> Compared:
    """The average that was printed or returned; if it is wrong, how it may have come about."""
    found = _queries(judge, step, r"\bavg\s*\(")
    yield "no AVG", f"the server ran {short(found[:1])}" if found else ""
    if judge.failed("ages"):  # of other ages, the average is another
        return
    shown = f"{judge.text(step, 'shown')} {judge.fact(step)}"
    numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", shown)]
    total, number = sum(row[3] for row in users), len(users)
    expected = total / number if users else 0.0
    if not numbers:
        is_function = (judge.fact("functions", "found") or [""])[-1]
        more = "" if is_function else ", and there is no function that computes the average"
        yield "average", f"expected {expected:.2f}, got no number{more}"
        return
    nearest, said = min(numbers, key=lambda n: abs(n - expected)), ""
    divisors = [n for n in (number, number - 1, number + 1) if n > 0]
    by = next((n for n in divisors if abs(nearest - total / n) <= 0.005001), 0)
    if by != number:
        said = f"expected {expected:.2f}, got {nearest:.10g}"
        if by:
            said += f": the sum divided by {by}, not by {number}"
        elif nearest == int(expected):
            said += ", without its fraction"
    yield "average", said


def _without_list(judge: Judge, name: str) -> None:
    """Check that the average keeps no ages in memory, and survives an empty table."""
    line, what = judge.source.line_of(name), "computing the average"
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


def _queries(judge: Judge, step: str, pattern: str) -> list[str]:
    """The queries with this pattern that the server had run by the end of the step."""
    queries = judge.evidence(f"{step} done", "queries") or []
    return [query for query in queries if re.search(pattern, query, re.IGNORECASE)]


def _compared(judge: Judge, check: str, said: str, step: str, name: str, what: str = "") -> None:
    """Record a comparison's result: `said` is '' if it is right; `what` is the call that it is about.

    The hint and the line are those of its kind, or the check's hint and the function's line. But if the
    answer printed an error that it hid, the reason shows it, at the `except` that hid it.
    """
    if said and len(judge.items(step)) >= ENOUGH:
        said += f"; the checker stopped reading after {ENOUGH}"
    kinds = [kind for kind in KINDS if re.search(kind[0], said)]
    find, patterns = judge.source.line_with, [line for _, _, line in kinds if line]
    lines = (find(one, name) or (one[0] != "^" and find(one)) for one in patterns)
    hint = next((hint for _, hint, _ in kinds if hint), "")
    place = next(filter(None, lines), None) or judge.source.line_of(name)
    if said and TELLING.search(judge.text(step, "shown")):
        printed = judge.printed(step)
        (swallow, hint), said = judge.swallow(name), said + printed
        place, hint = swallow or place, hint_for({"message": printed}, hint)
    judge.check(check, not said, f"{what}: {said}" if what else said, place, hint)


def _closed(judge: Judge, step: str, what: str, name: str) -> None:
    left, opened = (judge.evidence(f"{step} done", one) or 0 for one in ("left", "made"))
    if imported := judge.evidence("imported", "open"):
        left, opened, what = imported, 0, "importing the file"
    said, hint = f"{what} opens {count(left, 'connection')} that your code never closes", ""
    if left < opened:
        said = f"{what} opens {opened} connections, and your code does not close {left} of them"
        hint = NOT_REACHED
    _left_open(judge, "closed", step, said if left else "", name, hint)


def _left_open(judge: Judge, check: str, step: str, said: str, name: str, hint: str) -> None:
    """Check that no connection is left, or `said`; name what came before the answer's own close().

    With a hint, the place is the close() that was not reached; without one, nothing is closed.
    """
    source, error = judge.source, judge.error(step)
    calls = ("close", CONNECT) if hint else (CONNECT,)
    lines = (source.line_of_call(call, inside=inside) for call in calls for inside in ((name,), ()))
    place = next(filter(None, lines), None)
    if said and UNREAD in f"{(error or {}).get('message')}{judge.text(step, 'shown')}":
        came = describe(error) if error else UNREAD
        said = f"{came}: this error came before your code had closed the connection"
        place = judge.place_of(error) if error else source.line_of_call("close", inside=(name,))
        hint = hint_for({"message": UNREAD})
    judge.check(check, not said, said, place, hint or CLOSED.hint)


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
    line = source.line_of(name)
    if error and error["type"] == "StopIteration":
        if not judge.failed(first):
            judge.check("lazy", False, f"{what} gives no row of a large table", line, NO_ROWS)
        return
    if judge.crashed("lazy", "first", f"{what} with a large table") or not judge.seen("first"):
        return
    said = f"{what} returns a {judge.text('first', 'kind')}, not a generator"
    judge.check("lazy", bool(judge.fact("first", "iterator")), said, line)
    sent = (judge.evidence("first", "sent") or 0) - (judge.evidence("grow", "sent") or 0)
    share = min(1.0, sent / (judge.evidence("grow", "bytes") or 1))
    fetch = source.line_with(BUFFERED)
    fetch = fetch or source.line_of_call("fetchall", "list", "append", inside=(name,))
    for place, one, used in judge.sources() if share >= LAZY_SHARE else ():
        for buffered in filter(None, (one.line_with(BUFFERED, function) for function in used)):
            fetch = f"{place}:{buffered}"
    said = f"after one next(), the server had already sent {share:.0%} of the table"
    judge.check("lazy", share < LAZY_SHARE, said, fetch or line)
    if not judge.seen("stopped"):
        return
    error, left = judge.error("stopped"), judge.evidence("stopped", "left") or 0
    said = "your code never closed the connection; CPython's garbage collector did"
    if (judge.evidence("collected", "left") or 0) >= left:
        said = f"{count(left, 'connection')} stays open"
    said = f"the caller stopped after two items, and {said}"
    _left_open(judge, "stop early", "stopped", said if left else "", name, STOP_EARLY.hint)
    step = next(iter(STEPS[judge.exercise.number]))
    kept, made = (judge.evidence(f"{step} done", one) or 0 for one in ("left", "made"))
    if kept >= made:  # none is closed at the end either
        judge.follows("stop early", "closed")
    if not left or not error:  # otherwise the error is the reason why it is open
        said = f"closing the generator before its end raises {describe(error)}" if error else ""
        place, hint = (judge.place_of(error), hint_for(error, "")) if error else (None, "")
        judge.check("stop quietly", not error, said, place, hint)


def _errors(judge: Judge, names: list[str]) -> None:
    """Check that the database's own error reaches the caller; the first that does not is reported."""
    callers = zip(("generator", "caller"), names, strict=False)
    for (who, name), (fault, when) in product(callers, FAULTS.items()):
        error = judge.error(step := f"{fault} {who}")
        if not judge.seen(step):
            continue
        if error and judge.came_out(step, DATABASE) and "SystemExit" not in error["bases"]:
            judge.check("errors", True)
            continue
        # Unread rows of an earlier step, on a connection that is never closed, hide what would come.
        if error and (UNREAD in error["message"] or not judge.tells_first("errors", error)):
            return
        (swallow, hint), found = judge.swallow(name), "no error"
        place = swallow or judge.source.line_of(name)
        if error:
            found = f"{describe(error)}, and the database's error is lost"
            if "'NoneType' object" not in error["message"] or not swallow:
                place, hint = judge.place_of(error), hint_for(error)
        said = f"with {when}, {name}() raised {found}{judge.printed(step)}"
        judge.check("errors", False, said, place, hint)
        return


# The steps of exercises 1 to 4: which function (0 is the generator), check, call and comparison.
STEPS = {
    "1": {"rows": (0, "rows", "{}()", _rows)},
    "2": {f"batches of {n}": (0, "rows", f"{{}}({n})", _chunks) for n in (10, 19, 1)}
    | {"processing": (1, "filter", "{}()", _older)},
    "3": {f"pages of {n}": (0, "rows", f"{{}}({n})", _chunks) for n in (10, 19)}
    | {"single page": (1, "single page", "{}(10, 20)", _third_page)}
    | {"single page beyond": (1, "single page", "{}(10, 1000)", _page_beyond)},
    "4": {"ages": (0, "ages", "{}()", _ages)}
    | {"average": (1, "average", "computing the average", _average)},
}
JUDGE = {"seed": judge_seed, **dict.fromkeys(STEPS, judge_generator)}
