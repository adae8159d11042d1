"""Turn facts and evidence into results: the part that all topics share, and the verdict."""

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
NOT_REACHED = "the answer did not get as far as this check"
VERDICTS = (PASS, WRONG, CRASH, SYNTAX, MISSING, TIMEOUT, EXITED, NEEDS, SKIPPED, CHECKER)
# A missing module is the answer's fault, except one of these or one that the answer declares.
PACKAGES = frozenset(
    {"aiomysql", "aiosqlite", "asyncmy", "asyncpg", "colorama", "decouple", "django", "dotenv",
     "environ", "environs", "faker", "flask", "matplotlib", "MySQLdb", "mysql", "numpy", "pandas",
     "peewee", "psycopg", "psycopg2", "pydantic", "pymysql", "requests", "rich", "sqlalchemy",
     "tabulate", "tqdm", "unidecode", "uuid6"}
)  # fmt: skip
QUERY = re.compile(r"\s*(select|insert|create|update|delete)\b", re.IGNORECASE)


class Result(NamedTuple):
    """One check's outcome; if it failed, `said` says what happened and `place` says where."""

    check: Check
    passed: bool
    said: str = ""
    place: str = ""
    crashed: bool = False
    exits: bool = False  # the answer raised SystemExit


@dataclass
class Verdict:
    """The report on one exercise of one answer."""

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
    """Collects the results of one exercise; a check without a result counts as failed."""

    def __init__(self, exercise: Exercise, run: Run, source: Source, file: str):
        self.exercise, self.run, self.source, self.file = exercise, run, source, file
        self.results: dict[str, Result] = {}
        self.endless = False  # it retried until the probe stopped failing

    def fact(self, step: str, name: str = "value"):
        """A value that a step recorded; None if the answer did not get that far."""
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
        """Record a check's result; of several results, the first failure stays."""
        known = self.results.get(name)
        if known is None or (known.passed and not passed):
            place = f"{self.file}:{line}" if line else self.file
            check = CHECKS[self.exercise.number][name]
            self.results[name] = Result(check, bool(passed), said, place)

    def crashed(self, name: str, step: str, what: str) -> bool:
        """Fail the check if the step raised an error; return whether it did."""
        error = self.error(step)
        if error is None:
            return False
        said = f"{what} raised {describe(error)}"
        check = CHECKS[self.exercise.number][name]
        exits = "SystemExit" in error["bases"]
        self.results[name] = Result(check, False, said, self.place_of(error), True, exits)
        return True

    def place_of(self, error: dict) -> str:
        place = error.get("place")
        return f"{place[0]}:{place[1]}" if place else self.file

    def unobserved(self) -> None:
        """Fail every check, except advice, that has no result."""
        for name, check in CHECKS[self.exercise.number].items():
            if name not in self.results and not check.is_advice:
                said = f"{NOT_REACHED}: {check.looks_for}"
                self.results[name] = Result(check, False, said, self.file)

    def in_order(self) -> list[Result]:
        order = list(CHECKS[self.exercise.number])
        return sorted(self.results.values(), key=lambda result: order.index(result.check.name))

    # ---------------------------------------------------- checks that several exercises share

    def judge_import(self) -> None:
        """Check that importing the file raises no error and runs no query."""
        error = self.error("import")
        said = f"importing the file raised {describe(error)}" if error else ""
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
            said = f"the decorated function's __name__ is {name!r} instead of its own name"
            self.check("wraps", name == wanted, said, line)

    def judge_closed(self, name: str, step: str, what: str, line: int | None = None) -> None:
        """Check that a step closed every SQLite connection that it opened."""
        if not self.seen(step):
            return
        left = unclosed(self.fact(step, "sqlite"))
        line = line or self.source.line_of_call("connect")
        self.check(name, left == 0, f"{what} leaves {count(left, 'connection')} open", line)

    def judge_raised(self, name: str, step: str, what: str, line: int | None = None) -> None:
        """Check that a step raised an error, since the probe's own function failed in it."""
        if self.seen(step):
            said = f"{what} failed, but the caller got no error"
            self.check(name, self.error(step) is not None, said, line)


def judge_verdict(judge: Judge, answer: Answer, needs_found: bool) -> Verdict:
    """Decide the verdict from the checks' results and from how the child ended."""
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
        verdict.said = f"not judged, because the module {missing!r} is not installed here"
        verdict.hint = "Install the package that contains this module, then check again."
        return verdict
    if run.no_server:
        verdict.verdict, verdict.said = (
            SKIPPED,
            "the answer connects to a MySQL server, which only seed.py and exercises 1 to 4 need",
        )
        return verdict
    judge.unobserved()
    verdict.results = judge.in_order()
    if run.stopped:
        verdict.verdict, verdict.said = CRASH, f"{run.stopped}, in the step {run.step!r}"
        verdict.hint = "Look for a loop that writes files or starts processes without an end."
    elif judge.endless:
        verdict.verdict, verdict.place = TIMEOUT, judge.file
        verdict.said = "the answer was still retrying after 99 failures"
        verdict.hint = "What ends your loop if every attempt fails?"
    elif run.timed_out:
        verdict.verdict = TIMEOUT
        verdict.said = f"the answer exceeded the time limit in the checker's step {run.step!r}"
        verdict.hint = "Look for an endless loop, or for a wait that never ends."
    elif not run.done:
        by_signal = run.status is not None and (run.status < 0 or run.status > 128)
        verdict.verdict = CRASH if by_signal else EXITED
        how = "was killed" if by_signal else "ended its own process"
        verdict.said = f"the answer {how} in the checker's step {run.step!r}"
        verdict.hint = (
            "A function should return or raise an error; it should never end the whole program."
        )
    elif failed_import and not needs_found:
        exits = "SystemExit" in failed_import["bases"]
        verdict.verdict = EXITED if exits else CRASH
        verdict.said = f"importing the file raised {describe(failed_import)}"
        verdict.place = judge.place_of(failed_import)
        verdict.hint = "Run the file by itself and read the last line of the traceback first."
    elif not needs_found:
        verdict.said = f"the file does not define {' or '.join(exercise.needs)}"
        verdict.hint = "Compare your names with the functions and classes that the task names."
    elif not verdict.failed:
        verdict.verdict = PASS
    elif failed_import and "Exception" in failed_import["bases"]:
        verdict.verdict, verdict.place = CRASH, judge.place_of(failed_import)
        verdict.said = f"importing the file raised {describe(failed_import)}"
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


def describe(error: dict) -> str:
    """The error's type and message in one line."""
    text = " ".join(error["message"].split())[:200]
    return f"{error['type']}: {text}" if text else error["type"]


def unclosed(events: list | None) -> int:
    """How many connections were opened but not closed by close()."""
    opened = {number for event, number, _ in events or [] if event == "open"}
    closed = {number for event, number, _ in events or [] if event == "close"}
    return len(opened - closed)
