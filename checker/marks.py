"""The table of --csv: a row for each answer, a column for each exercise."""

import csv
import re
from pathlib import Path

from checker.answers import Answer
from checker.judge import MISSING, PASS, Verdict
from checker.report import not_judged, printable

# A spreadsheet takes a cell that begins so for a formula; the wide signs are those of Japanese.
FORMULA = re.compile(r"\s*[=+\-@＝＋－＠]|[\t\r\n]")  # noqa: RUF001


def write_csv(path: Path, all_verdicts: list[tuple[Answer, list[Verdict]]]) -> None:
    """Write the verdicts for a spreadsheet, which runs nothing in the names.

    The file begins with a byte order mark, without which Excel does not read it as UTF-8. Every cell
    is quoted, so that a separator in a name begins no cell in any locale.
    """
    exercises = [verdict.exercise for verdict in all_verdicts[0][1]]
    titles = [f"{e.number} {e.title}".removeprefix("seed ") for e in exercises]
    with path.open("w", encoding="utf-8-sig", errors="backslashreplace", newline="") as file:
        table = csv.writer(file, quoting=csv.QUOTE_ALL)
        table.writerow(["answer", *titles, "points", "wrong", "missing", "not judged", "of"])
        for answer, verdicts in all_verdicts:
            cells = [f"{verdict.verdict} {verdict.score}".rstrip() for verdict in verdicts]
            points = sum(verdict.verdict == PASS for verdict in verdicts)
            missing = sum(verdict.verdict == MISSING for verdict in verdicts)
            wrong = len(verdicts) - points - missing - (others := not_judged(verdicts))
            name = printable("'" * bool(FORMULA.match(answer.name)) + answer.name)
            table.writerow([name, *cells, points, wrong, missing, others, len(verdicts)])
