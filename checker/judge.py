"""From facts and evidence to results: what all topics share, and the verdict."""

import re
import sys
from dataclasses import dataclass, field
from typing import NamedTuple

from checker.answers import Answer
from checker.checks import CHECKS, Check
from checker.exercises import Exercise
from checker.rows import count
from checker.sandbox import Run
from checker.sources import Source

PASS, WRONG, CRASH, SYNTAX, MISSING = "PASS", "WRONG", "CRASH", "SYNTAX", "MISSING"
TIMEOUT, EXITED, NEEDS, SKIPPED = "TIMEOUT", "EXITED", "NEEDS-DEPENDENCY", "SKIPPED"
CHECKER = "CHECKER"
VERDICTS = (PASS, WRONG, CRASH, SYNTAX, MISSING, TIMEOUT, EXITED, NEEDS, SKIPPED, CHECKER)
# Of other packages than these and those the answer declares, a missing module is the answer's own.
PACKAGES = frozenset(
    {"aiomysql", "aiosqlite", "asyncmy", "asyncpg", "colorama", "decouple", "django", "dotenv",
     "environ", "environs", "faker", "flask", "matplotlib", "MySQLdb", "mysql", "numpy", "pandas",
     "peewee", "psycopg", "psycopg2", "pydantic", "pymysql", "requests", "rich", "sqlalchemy",
     "tabulate", "tqdm", "unidecode", "uuid6"}
)  # fmt: skip


QUERY = re.compile(r"\s*(select|insert|create|update|delete)\b", re.IGNORECASE)


class Result(NamedTuple):
    """One check's outcome, with a sentence of what came instead, where, if it failed."""

    check: Check
    passed: bool
    said: str = ""
    place: str = ""
    crashed: bool = False
    exits: bool = False  # by sys.exit()


@dataclass
class Verdict:
    """What is told of one exercise of one answer."""

    exercise: Exercise
    verdict: str
    said: str = ""
    hint: str = ""
    place: str = ""
    results: list[Result] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def counted(self) -> list[Result]:
        return [result for result in self.results if not result.check.is_advice]

    @property
    def score(self) -> str:
        if not self.counted:
            return ""
        return f"{sum(result.passed for result in self.counted)}/{len(self.counted)}"

    @property
    def failed(self) -> list[Result]:
        return [result for result in self.counted if not result.passed]

    @property
    def advice(self) -> list[Result]:
        return [r for r in self.results if r.check.is_advice and not r.passed]


class Judge:
    """Collects the results of one exercise; a check that nobody decided has failed."""

    def __init__(self, exercise: Exercise, run: Run, source: Source, file: str):
        self.exercise, self.run, self.source, self.file = exercise, run, source, file
        self.results: dict[str, Result] = {}
        self.endless = False  # a loop that only the probe ended

    def fact(self, step: str, name: str = "value"):
        """What a step showed; None if it did not come so far."""
        return self.run.facts.get(step, {}).get(name)

    def text(self, step: str, name: str) -> str:
        return self.fact(step, name) or ""

    def number(self, step: str, name: str) -> int:
        return self.fact(step, name) or 0

    def items(self, step: str) -> list:
        value = self.fact(step)
        return value if isinstance(value, list) else []

    def error(self, step: str) -> dict | None:
        return self.fact(step, "error")

    def seen(self, step: str) -> bool:
        return step in self.run.facts

    def evidence(self, mark: str, name: str):
        return self.run.evidence.get(mark, {}).get(name)

    def check(self, name: str, passed: bool, said: str = "", line: int | None = None) -> None:
        """Decide a check; the first failure of several decisions stays."""
        known = self.results.get(name)
        if known is None or (known.passed and not passed):
            place = f"{self.file}:{line}" if line else self.file
            check = CHECKS[self.exercise.number][name]
            self.results[name] = Result(check, bool(passed), said, place)

    def crashed(self, name: str, step: str, what: str) -> bool:
        """Fail the check if the step raised something; tell whether it did."""
        error = self.error(step)
        if error is None:
            return False
        said = f"{what} raised {told(error)}"
        check = CHECKS[self.exercise.number][name]
        exits = "SystemExit" in error["bases"]
        self.results[name] = Result(check, False, said, self.place_of(error), True, exits)
        return True

    def place_of(self, error: dict) -> str:
        place = error.get("place")
        return f"{place[0]}:{place[1]}" if place else self.file

    def unobserved(self) -> None:
        """Fail what no fact decided: no fact, no pass."""
        for name, check in CHECKS[self.exercise.number].items():
            if name not in self.results and not check.is_advice:
                said = f"not seen: {check.looks_for}"
                self.results[name] = Result(check, False, said, self.file)

    def in_order(self) -> list[Result]:
        order = list(CHECKS[self.exercise.number])
        return sorted(self.results.values(), key=lambda result: order.index(result.check.name))

    # ---------------------------------------------------- what several exercises ask

    def judge_import(self) -> None:
        """The file's last lines, and what runs when it is imported."""
        error = self.error("import")
        said = f"the lines after the definitions raised {told(error)}" if error else ""
        check = CHECKS[self.exercise.number]["demo"]
        place = self.place_of(error) if error else ""
        self.results["demo"] = Result(check, error is None, said, place)
        texts = [text for event, _, text in self.fact("import", "sqlite") or [] if event == "sql"]
        texts += self.evidence("imported", "queries") or []
        queried = [text for text in texts if QUERY.match(text)]
        said = f"importing the file runs {count(len(queried), 'query', 'queries')}"
        self.check("import", not queried, said)

    def judge_wraps(self, decorator: str) -> None:
        name, wanted = self.fact("decorated", "name"), self.fact("decorated", "wanted")
        if self.seen("decorated") and not self.error("decorated"):
            line = self.source.line_of("wrapper", "inner", decorator)
            said = f"a decorated function calls itself {name!r}, no longer by its own name"
            self.check("wraps", name == wanted, said, line)

    def judge_closed(self, name: str, step: str, what: str, line: int | None = None) -> None:
        """Every SQLite connection that a step opened was closed in it."""
        if not self.seen(step):
            return
        left = unclosed(self.fact(step, "sqlite"))
        line = line or self.source.line_of_call("connect")
        self.check(name, left == 0, f"{what} leaves {count(left, 'connection')} open", line)

    def judge_raised(self, name: str, step: str, what: str, line: int | None = None) -> None:
        """A step in which the probe's own function failed had to raise."""
        if self.seen(step):
            said = f"{what} failed inside, and its caller saw no error"
            self.check(name, self.error(step) is not None, said, line)


def judge_verdict(judge: Judge, answer: Answer, needs_found: bool) -> Verdict:
    """Decide the verdict from how the child ended and from the checks' results."""
    exercise, run = judge.exercise, judge.run
    verdict = Verdict(exercise, WRONG, place=judge.file)
    failed_import = judge.error("import")
    missing = _missing_package(run, answer)
    if run.trouble:
        verdict.verdict, verdict.said = (
            CHECKER,
            "the checker failed: " + run.trouble.strip()[-1500:],
        )
        return verdict
    if missing:
        verdict.verdict = NEEDS
        verdict.said = f"the module {missing!r} is not installed here"
        verdict.hint = "Not judged: install the package it belongs to and check again."
        return verdict
    if run.no_server:
        verdict.verdict, verdict.said = (
            SKIPPED,
            "it wants a MySQL server, which is for exercises 1 to 4",
        )
        return verdict
    judge.unobserved()
    verdict.results = judge.in_order()
    if judge.endless:
        verdict.verdict, verdict.place = TIMEOUT, judge.file
        verdict.said = "it was still trying after 99 failures"
        verdict.hint = "What ends your loop if every attempt fails?"
    elif run.timed_out:
        verdict.verdict = TIMEOUT
        verdict.said = f"it did not end in time, while this was tried: {run.step}"
        verdict.hint = "Look for a loop without an end, or a wait for something that never comes."
    elif not run.done:
        by_signal = run.status is not None and (run.status < 0 or run.status > 128)
        verdict.verdict = CRASH if by_signal else EXITED
        how = "was killed" if by_signal else "ended its own process"
        verdict.said = f"it {how}, while this was tried: {run.step}"
        verdict.hint = (
            "A function returns or raises; ending the whole program is its caller's choice."
        )
    elif failed_import and not needs_found:
        exits = "SystemExit" in failed_import["bases"]
        verdict.verdict = EXITED if exits else CRASH
        verdict.said = f"importing the file raised {told(failed_import)}"
        verdict.place = judge.place_of(failed_import)
        verdict.hint = "Run the file by itself and read the last line of the traceback first."
    elif not needs_found:
        verdict.said = f"the file does not define {' or '.join(exercise.needs)}"
        verdict.hint = "The task names the functions and classes that it asks for."
    elif not verdict.failed:
        verdict.verdict = PASS
    elif failed_import and "Exception" in failed_import["bases"]:
        verdict.verdict, verdict.place = CRASH, judge.place_of(failed_import)
        verdict.said = f"importing the file raised {told(failed_import)}"
        verdict.hint = "Run the file by itself and read the last line of the traceback first."
    elif any(result.exits for result in verdict.failed):
        verdict.verdict = EXITED
    elif verdict.failed[0].crashed or all(result.crashed for result in verdict.failed[:2]):
        verdict.verdict = CRASH
    if verdict.failed and not verdict.said:
        first = next((result for result in verdict.failed if result.exits), verdict.failed[0])
        verdict.said, verdict.hint, verdict.place = first.said, first.check.hint, first.place
    return verdict


def _missing_package(run: Run, answer: Answer) -> str | None:
    for fact in run.facts.values():
        error = fact.get("error")
        if error and "ImportError" in error["bases"] and error["module"]:
            name = error["module"].partition(".")[0]
            if name in sys.stdlib_module_names or name == "seed":
                continue
            known = name in PACKAGES or name.lower() in answer.declared_packages()
            if known and "ModuleNotFoundError" in error["bases"]:
                return name
    return None


def told(error: dict) -> str:
    """An error as one line."""
    text = " ".join(error["message"].split())[:200]
    return f"{error['type']}: {text}" if text else error["type"]


def unclosed(events: list | None) -> int:
    """How many connections were opened and not closed by close()."""
    opened = {number for event, number, _ in events or [] if event == "open"}
    closed = {number for event, number, _ in events or [] if event == "close"}
    return len(opened - closed)
