"""seed.py: turn the rows that are stored after each of two runs into results."""

import operator

from checker.child.wanted import NAMES
from checker.judge import Judge
from checker.judge_generators import INSERT, SERVER_HINT, compared
from checker.rows import count, missing_rows, short
from checker.users import STRANGER, small_users

# The functions in the order of the calls, and the check that each is about.
CALLS = dict(zip(NAMES["seed"], ("database",) * 3 + ("table", "rows"), strict=True))
COLUMNS = ("user_id", "name", "email", "age")


def judge_seed(judge: Judge) -> bool:
    if len(judge.fact("functions", "found") or []) < len(CALLS):
        return False
    failed = _failed_call(judge, "first run")
    if failed:
        judge.crashed(CALLS[failed], "first run", f"{failed}()")
        if CALLS[failed] == "database":
            return True
    elif not any(seen.get("made") for seen in judge.run.evidence.values()):
        said = "no connection to a MySQL server was made"
        judge.check("database", False, said, judge.source.line_of_call("connect"), SERVER_HINT)
        return True
    names = judge.evidence("first run", "databases") or []
    said = (
        ""
        if "alx_prodev" in map(str.lower, names)
        else f"the databases are {', '.join(names) or 'none'}"
    )
    compared(judge, "database", said, "first run", "create_database")
    if failed == "create_table":
        return True
    printed = "Table user_data created successfully" in judge.text("first run", "table said")
    line = judge.source.line_of("create_table")
    judge.check("said", printed, "create_table did not print this line", line)
    columns = judge.evidence("first table", "columns") or {}
    said = _wrong_columns(columns)
    compared(judge, "table", said, "first run", "create_table")
    if failed or not columns:
        return True
    stored, expected = judge.evidence("first run", "stored") or 0, small_users()
    file = f"the checker's user_data.csv, whose header is {judge.evidence('csv', 'header')}"
    said = f"{stored} rows are stored and committed, of the {len(expected)} users in {file}"
    names = {row[1] for row in judge.evidence("first run", "user_data") or []}
    missing = [row for row in expected if row[1] not in names]
    if len(missing) == len(expected) - stored:
        said += f"; {missing_rows(missing, expected, 'the {}')}"
    said = "" if stored == len(expected) else said
    compared(judge, "rows", said, "first run", "insert_data")
    line = judge.source.line_with(INSERT) or judge.source.line_of("insert_data")
    if stored and columns.keys() >= set(COLUMNS):
        said = _wrong_values(judge.evidence("first run", "user_data") or [])
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


JUDGE = {"seed": judge_seed}
