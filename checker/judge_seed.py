"""seed.py: turn the rows that are stored after each of two runs into results."""

from checker.judge import Judge
from checker.rows import short
from checker.users import STRANGER, small_users


def judge_seed(judge: Judge) -> bool:
    found = judge.fact("functions", "found") or []
    line = judge.source.line_of
    if len(found) < 5:
        return False
    for run in ("first", "second"):
        for name, needed in (
            ("database", "connect_to_prodev"),
            ("table", "create_table"),
            ("rows", "insert_data"),
        ):
            error = judge.error(f"{run} run")
            if error and needed not in (judge.fact(f"{run} run", "done") or []):
                check = name if run == "first" else "twice"
                judge.crashed(check, f"{run} run", f"the {run} run")
                break
    names = judge.evidence("first run", "databases") or []
    judge.check("database", any(n.lower() == "alx_prodev" for n in names),
                f"the databases are {', '.join(names) or 'none'}", line("create_database"))  # fmt: skip
    _columns(judge, line("create_table"))
    expected = [list(row) for row in small_users()]
    stored = judge.evidence("first run", "user_data") or []
    said = f"{len(stored)} of {len(expected)} rows are stored and committed"
    judge.check("rows", len(stored) == len(expected), said, line("insert_data"))
    by_email = {row[2]: row for row in stored}
    wrong = [row for row in expected if by_email.get(row[2], row)[1:] != row[1:]]
    said = (
        f"expected {short(wrong[0][1:])}, got {short(by_email[wrong[0][2]][1:])}" if wrong else ""
    )
    judge.check(
        "values", bool(stored) and not wrong, said or "no row is stored", line("insert_data")
    )
    again = judge.evidence("second run", "user_data")
    if again is not None:
        _second_run(judge, stored, again)
    said = "Table user_data created successfully" in (judge.fact("first run", "table said") or "")
    judge.check("said", said, "create_table did not print this line", line("create_table"))
    return True


def _second_run(judge: Judge, stored: list, again: list) -> None:
    """Compare the two runs. The checker added a row between them, which must not be lost."""
    line = judge.source.line_of
    before = judge.evidence("stranger", "rows")
    if before is None:
        before = len(stored)
    if before > len(stored) and not any(row[1] == STRANGER[1] for row in again):
        said = "the second run deleted a row that another program had added"
        judge.check("twice", False, said, line("create_table"))
    said = f"there were {before} rows before the second run and {len(again)} after it"
    judge.check("twice", len(again) == before and bool(stored), said, line("insert_data"))


def _columns(judge: Judge, line: int | None) -> None:
    columns = judge.evidence("first table", "columns")
    if columns is None:
        return
    missing = [name for name in ("user_id", "name", "email", "age") if name not in columns]
    key = columns.get("user_id", {}).get("key")
    if missing:
        judge.check("table", False, f"user_data has no column {' and '.join(missing)}", line)
    else:
        judge.check("table", key == "PRI", "user_id is not the primary key", line)


JUDGE = {"seed": judge_seed}
