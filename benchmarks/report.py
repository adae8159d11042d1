#!/usr/bin/env python3
"""Write the results of results.json into docs/performance.md, without measuring again.

    python benchmarks/report.py

What was missed and why is written by hand, under "Targets that were missed".
"""

import json
import re
from pathlib import Path

HERE = Path(__file__).resolve().parent
PAGE = HERE.parent / "docs/performance.md"
COLUMNS = ("what", "server", "against", "target", "measured", "verdict")


def markdown(header: tuple[str, ...], rows: list) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def summary(results: dict) -> str:
    """Return the line about the machine, and the table."""
    head = "{machine}, {servers}, {rows:,} rows, medians of {rounds} rounds".format(**results)
    return f"{head}\n\n{markdown(COLUMNS, [row.values() for row in results['results']])}\n"


def update_page() -> None:
    results = json.loads((HERE / "results.json").read_text())
    page = PAGE.read_text(encoding="utf-8")
    written = re.compile(r"^[^\n]* medians of \d+ rounds\n\n(\|[^\n]*\n)+", re.MULTILINE)
    PAGE.write_text(written.sub(lambda _: summary(results), page, count=1), encoding="utf-8")


if __name__ == "__main__":
    update_page()
