"""Exercises 1 to 4: turn facts and the server's evidence into results."""

import re

from checker.judge import Judge, describe
from checker.rows import compare_rows, count, same_row, short

# Share of the large table's bytes: socket and driver buffer far less, fetchall receives all.
LAZY_SHARE = 0.5


def judge_stream(judge: Judge) -> bool:
    users = judge.evidence("imported", "user_data") or []
    line = judge.source.line_of(r"stream_?users?\w*")
    if judge.seen("rows") and not judge.crashed("rows", "rows", "stream_users()"):
        difference = compare_rows(judge.fact("rows"), users, "users")
        judge.check("rows", not difference, difference, line)
    _closed(judge, "rows done", "reading to the end")
    _laziness(judge, "stream_users()", line)
    _fault(judge, "stream_users()", line)
    return judge.seen("rows")


def judge_batches(judge: Judge) -> bool:
    users = judge.evidence("imported", "user_data") or []
    line = judge.source.line_of(r"stream\w*batch\w*", r"\w*batch\w*")
    _chunks(judge, users, "batches", "batch", line)
    what = "batch_processing()"
    line_of_processing = judge.source.line_of(r"batch_?process\w*", r"\w*process\w*")
    if judge.seen("processing"):
        if not judge.crashed("filter", "processing", what):
            said = _compare_filter(judge, users)
            judge.check("filter", not said, said, line_of_processing)
            printed = "checker.example" in (judge.fact("processing", "printed") or "")
            judge.check(
                "prints",
                printed or bool(said),
                f"{what} returns or yields the users, but prints none",
                line_of_processing,
            )
    else:
        judge.check("filter", False, "there is no function batch_processing")
    _closed(judge, "processing done", what)
    _laziness(judge, "stream_users_in_batches()", line)
    _fault(judge, what, line)
    _offset(judge)
    return judge.seen("batches of 10") or judge.seen("processing")


def judge_pages(judge: Judge) -> bool:
    users = judge.evidence("imported", "user_data") or []
    line = judge.source.line_of(r"lazy\w*")
    _chunks(judge, users, "pages", "page", line)
    pages = judge.fact("pages of 10")
    if isinstance(pages, list):
        rows = [row for page in pages if isinstance(page, list) for row in page]
        said = "the rows are neither in the table's order nor sorted by one column"
        judge.check("order", _is_in_order(rows, users), said, line)
    if judge.seen("single page"):
        if not judge.crashed("single page", "single page", "paginate_users(10, 20)"):
            page, beyond = judge.fact("single page"), judge.fact("single page", "beyond")
            said = compare_rows(page, users[20:30], "rows of the third page")
            chosen = any(
                re.search(r"order\s+by", q, re.IGNORECASE)
                for q in _queries(judge, "single page done")
            )
            if chosen and isinstance(page, list) and len(page) == 10:
                said = ""
            if not said and isinstance(beyond, list) and beyond:
                said = f"a page after the last row has {len(beyond)} rows"
            judge.check("single page", not said, said, judge.source.line_of(r"\w*paginate_users"))
    else:
        judge.check("single page", False, "there is no function paginate_users")
    _laziness(judge, "lazy_paginate()", line)
    _fault(judge, "lazy_paginate()", line)
    _offset(judge)
    return judge.seen("pages of 10")


def _is_in_order(rows: list, users: list) -> bool:
    """Whether the rows are in the table's order, or sorted by any one column."""
    places = [next((n for n, user in enumerate(users) if same_row(row, user)), -1) for row in rows]
    by_column = ([users[place][column] for place in places] for column in range(4))
    return any(
        order in (sorted(order), sorted(order, reverse=True)) for order in (places, *by_column)
    )


def judge_ages(judge: Judge) -> bool:
    users = judge.evidence("imported", "user_data") or []
    ages = sorted(row[3] for row in users)
    line = judge.source.line_of(r"stream\w*age\w*")
    if judge.seen("ages") and not judge.crashed("ages", "ages", "stream_user_ages()"):
        found = judge.fact("ages")
        numbers = isinstance(found, list) and all(isinstance(a, int | float) for a in found)
        if not numbers:
            first = found[0] if isinstance(found, list) and found else found
            judge.check("ages", False, f"expected numbers, got {short(first)}", line)
        else:
            said = (
                f"expected {len(ages)} ages, got {len(found)}"
                if len(found) != len(ages)
                else "the ages are not those of the table"
            )
            judge.check("ages", bool(ages) and sorted(found) == ages, said, line)
        _closed(judge, "ages done", "reading to the end")
    elif not judge.seen("ages"):
        judge.check("ages", False, "there is no generator stream_user_ages")
    _average(judge, ages)
    _laziness(judge, "stream_user_ages()", line)
    _fault(judge, "computing the average", judge.source.line_of(r"\w*(average|avg)\w*"))
    return judge.seen("ages") or judge.seen("average")


def _average(judge: Judge, ages: list) -> None:
    line = judge.source.line_of(r"\w*(average|avg|mean)\w*")
    if not judge.seen("average"):
        judge.check("average", False, "there is no function that computes the average age")
        return
    if not judge.crashed("average", "average", "computing the average"):
        expected = sum(ages) / len(ages) if ages else 0.0
        said = f"{judge.fact('average', 'printed so far') or ''} {judge.fact('average', 'given')}"
        numbers = [float(n) for n in re.findall(r"-?\d+(?:\.\d+)?", said)]
        near = any(abs(number - expected) < 0.0501 for number in numbers)
        came = f"{numbers[-1]:g}" if numbers else "no number"
        if not numbers and judge.fact("average", "program"):
            came = "no number, and there is no function that computes the average"
        judge.check("average", near, f"expected {expected:.2f}, got {came}", line)
    _closed(judge, "average done", "computing the average")
    averaging = [
        q for q in _queries(judge, "average done") if re.search(r"\bavg\s*\(", q, re.IGNORECASE)
    ]
    judge.check("no AVG", not averaging, f"the server ran {short(averaging[:1])}", line)
    kept, read = judge.number("kept ages", "kept"), judge.number("kept ages", "read")
    if read and not judge.error("kept ages"):
        judge.check(
            "no list", 2 * kept <= read, f"{kept} of {read} ages were in memory at once", line
        )
    else:
        judge.check("no list", True)
    error = judge.error("average of none")
    if judge.seen("average of none"):
        said = f"with an empty table it raised {describe(error)}" if error else ""
        mild = error is not None and error["type"] in ("ValueError", "StatisticsError")
        judge.check("empty", error is None or mild, said, line)


def _chunks(judge: Judge, users: list, plural: str, one: str, line: int | None) -> None:
    """Check batches or pages: all rows, in lists of the right sizes."""
    for size in (10, 19, 1):
        step = f"{plural} of {size}"
        if not judge.seen(step):
            continue
        if judge.crashed("rows", step, f"reading {step}"):
            return
        chunks = judge.fact(step)
        if not isinstance(chunks, list) or not all(isinstance(c, list) for c in chunks):
            first = chunks[0] if isinstance(chunks, list) and chunks else chunks
            judge.check(
                "sizes", False, f"expected {plural} as lists of rows, got {short(first)}", line
            )
            if isinstance(chunks, list):
                difference = compare_rows(chunks, users, "users")
                judge.check("rows", not difference, difference, line)
            return
        rows = [row for chunk in chunks for row in chunk]
        difference = compare_rows(rows, users, "users")
        judge.check("rows", not difference, f"with {step}: {difference}", line)
        sizes = [len(chunk) for chunk in chunks]
        right = all(s == size for s in sizes[:-1]) and all(0 < s <= size for s in sizes[-1:])
        shown = ", ".join(map(str, sizes[-3:]))
        judge.check(
            "sizes", right and bool(sizes), f"with {step}, the last sizes were {shown}", line
        )
        _closed(judge, f"{step} done", "reading to the end")


def _compare_filter(judge: Judge, users: list) -> str:
    """Compare what batch_processing printed or returned, in any form, with the users older than 25."""
    shown = f"{judge.fact('processing', 'printed')} {judge.fact('processing', 'given')}"
    emails = {row[2] for row in users if row[2] in shown}
    names = {row[2] for row in users if re.search(rf"{re.escape(row[1])}(?!\d)", shown)}
    ids = {row[2] for row in users if row[0] in shown}
    found = max(emails, names, ids, key=len)
    expected = {row[2] for row in users if row[3] > 25}
    young = found - expected
    if young:
        ages = sorted({row[3] for row in users if row[2] in young})
        return f"the result includes users aged {ages[0]:g}"
    if missing := len(expected - found):
        return f"{missing} of the {len(expected)} users older than 25 are missing"
    return ""


def _queries(judge: Judge, mark: str) -> list[str]:
    return judge.evidence(mark, "queries") or []


def _closed(judge: Judge, mark: str, what: str) -> None:
    at_import, now = judge.evidence("imported", "open"), judge.evidence(mark, "open")
    if now is None:
        return
    line = judge.source.line_of_call("connect", "connect_to_prodev", "connect_db")
    if at_import:
        left = count(at_import, "connection")
        said = f"importing the file leaves {left} open"
        judge.check("closed", False, said, line)
        return
    said = f"after {what}, {count(now - at_import, 'connection')} stayed open on the server"
    judge.check("closed", now <= at_import, said, line)


def _laziness(judge: Judge, what: str, line: int | None) -> None:
    step = judge.run.facts.get("first")
    if step is None:
        return
    if error := judge.error("first"):
        judge.check("lazy", False, f"{what} raised {describe(error)} on a large table", line)
        return
    total = judge.evidence("grow", "bytes") or 1
    start = judge.evidence("before first", "sent")
    first = judge.evidence("first", "sent")
    called = judge.evidence("grow", "sent")
    sent = max(first - start, first - called)
    share = min(1.0, sent / total)
    if not judge.fact("first", "iterator"):
        judge.check(
            "lazy", False, f"{what} returns a {judge.fact('first', 'kind')}, not a generator", line
        )
    fetch = judge.source.line_of_call("fetchall") or line
    said = f"after one next(), the server had already sent {share:.0%} of the table"
    judge.check("lazy", share < LAZY_SHARE, said, fetch)
    before, stopped = judge.evidence("grow", "open"), judge.evidence("stopped", "open")
    error = judge.error("stopped")
    said = f"a caller that stops reading early gets {describe(error)}" if error else ""
    judge.check("stop quietly", error is None, said, line)
    if stopped is not None:
        left = count(stopped - before, "connection")
        said = f"the caller stopped after two items, but {left} stayed open"
        judge.check("stop early", stopped <= before, said, line)


def _fault(judge: Judge, what: str, line: int | None) -> None:
    if judge.seen("fault"):
        said = f"the table was missing, but {what} raised no error"
        judge.check("errors", judge.error("fault") is not None, said, line)


def _offset(judge: Judge) -> None:
    queries = _queries(judge, "second")
    pages = [q for q in queries if re.search(r"\boffset\b|limit\s+\d+\s*,", q, re.IGNORECASE)]
    unordered = [q for q in pages if not re.search(r"order\s+by", q, re.IGNORECASE)]
    judge.check("order by", not unordered, f"the server ran {unordered[0] if unordered else ''}")


JUDGE = {
    "1": judge_stream,
    "2": judge_batches,
    "3": judge_pages,
    "4": judge_ages,
}
