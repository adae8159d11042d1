"""seed.py: turn the rows that are stored after each of two runs into results."""

from checker.judge import SWALLOW_HINT, TELLING, Judge, hint_for
from checker.rows import count, short
from checker.users import STRANGER, small_users

# The functions in the order of the calls, and the check that each is about.
CALLS = {
    "connect_db": "database",
    "create_database": "database",
    "connect_to_prodev": "database",
    "create_table": "table",
    "insert_data": "rows",
}
COLUMNS = ("user_id", "name", "email", "age")
SERVER_HINT = "Which module connects to a MySQL server? Compare with the task."


def judge_seed(judge: Judge) -> bool:
    if len(judge.fact("functions", "found") or []) < len(CALLS):
        return False
    failed = _failed_call(judge, "first run")
    if failed:
        judge.crashed(CALLS[failed], "first run", f"{failed}()")
    elif not judge.evidence("first run", "made"):
        said = "no connection to a MySQL server was made"
        judge.check("database", False, said, judge.source.line_of_call("connect"), SERVER_HINT)
        return True
    if failed and CALLS[failed] == "database":
        return True
    names = judge.evidence("first run", "databases") or []
    said = f"the databases are {', '.join(names) or 'none'}"
    _check(
        judge, "database", any(n.lower() == "alx_prodev" for n in names), said, "create_database"
    )
    if failed == "create_table":
        return True
    said = "Table user_data created successfully" in judge.text("first run", "table said")
    line = judge.source.line_of("create_table")
    judge.check("said", said, "create_table did not print this line", line)
    columns = judge.evidence("first table", "columns") or {}
    _columns(judge, columns)
    if failed or not columns:
        return True
    stored, expected = judge.evidence("first run", "stored") or 0, small_users()
    file = f"the checker's user_data.csv, whose header is {judge.evidence('csv', 'header')}"
    said = f"{stored} rows are stored and committed, of the {len(expected)} users in {file}"
    _check(
        judge, "rows", stored == len(expected), said, "insert_data", r"insert\s+(ignore\s+)?into"
    )
    if stored and columns.keys() >= set(COLUMNS):
        _values(judge, judge.evidence("first run", "user_data") or [])
    failed = _failed_call(judge, "second run")
    if failed:
        judge.crashed("twice", "second run", f"{failed}() in the second run")
    elif stored and judge.seen("second run"):
        _second_run(judge, stored)
    return True


def _failed_call(judge: Judge, run: str) -> str | None:
    """The function whose call failed in this run."""
    done = judge.fact(run, "done") or []
    return next((f for f in CALLS if f not in done), None) if judge.error(run) else None


def _check(judge: Judge, check: str, passed: bool, said: str, function: str, at: str = "") -> None:
    """Record a result; if the function printed an error that it hid, show it and where it was hidden."""
    line, hint = (at and judge.source.line_with(at)) or judge.source.line_of(function), ""
    if not passed and TELLING.search(judge.text("first run", "shown")):
        printed = judge.printed("first run")
        said, hint = said + printed, hint_for({"message": printed}, SWALLOW_HINT)
        line = judge.source.line_of_swallow(function) or line
    judge.check(check, passed, said, line, hint)


def _columns(judge: Judge, columns: dict) -> None:
    missing = [name for name in COLUMNS if name not in columns]
    said = ""
    if not columns:
        said = "after create_table(), there is no table user_data"
    elif missing:
        said = f"user_data has no column {' and '.join(missing)}, but {', '.join(columns)}"
    elif columns["user_id"]["key"] != "PRI":
        said = "user_id is not the primary key"
    _check(judge, "table", not said, said, "create_table", r"create\s+table")


def _values(judge: Judge, stored: list) -> None:
    """Compare the rows, whatever their ids; rows that are missing or too many are another check's."""
    found, expected = [row[1:] for row in stored], [list(row[1:]) for row in small_users()]
    strange = [row for row in found if row not in expected]
    wrong = next((row for row in expected if row not in found), None)
    said = ""
    if wrong and strange:
        nearest = max(strange, key=lambda row: _alike(row, wrong))
        if _alike(nearest, wrong):
            said = f"expected {short(wrong)}, got {short(nearest)}"
    line = judge.source.line_with(r"insert\s+(ignore\s+)?into")
    judge.check("values", not said, said, line or judge.source.line_of("insert_data"))


def _alike(row: list, other: list) -> int:
    return sum(a == b for a, b in zip(row, other, strict=True))


def _second_run(judge: Judge, stored: int) -> None:
    """Compare the two runs. The checker added a row between them, which must not be lost."""
    source = judge.source
    before, after = judge.evidence("stranger", "stored"), judge.evidence("second run", "stored")
    before = stored if before is None else before
    after = 0 if after is None else after
    again = judge.evidence("second run", "user_data") or []
    if before > stored and again and not any(row[1] == STRANGER[1] for row in again):
        said = "the second run deleted a row that another program had added after the first"
        line = source.line_with(r"drop\s+(table|database)|truncate|delete\s+from|replace\s+into")
        judge.check("twice", False, said, line or source.line_of("create_table"))
    added, verb = abs(after - before), "added" if after > before else "removed"
    said = f"the first run stored {count(stored, 'row')}, and the second {verb} {added}"
    line = source.line_with(r"insert\s+(ignore\s+)?into") or source.line_of("insert_data")
    judge.check("twice", not added, said, line)


JUDGE = {"seed": judge_seed}
