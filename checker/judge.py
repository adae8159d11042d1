"""Turn facts and evidence into results: the part that all topics share, and the verdict."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from checker.answers import Answer
from checker.checks import CHECKS, Check
from checker.child.wanted import NAMES
from checker.exercises import Exercise
from checker.imports import explain_import, missing_package
from checker.rows import count
from checker.sandbox import Run
from checker.sources import Source

PASS, WRONG, CRASH, SYNTAX, MISSING = "PASS", "WRONG", "CRASH", "SYNTAX", "MISSING"
TIMEOUT, EXITED, NEEDS, SKIPPED = "TIMEOUT", "EXITED", "NEEDS-DEPENDENCY", "SKIPPED"
CHECKER = "CHECKER"
VERDICTS = (PASS, WRONG, CRASH, SYNTAX, MISSING, TIMEOUT, EXITED, NEEDS, SKIPPED, CHECKER)
# The last is how mysql-connector shows an error: 1264 (22003).
TELLING = re.compile(r"(?i)error|exception|fail|denied|warn|could not|cannot|\d{4} \(\w{5}\)")
NOT_JUDGED = (NEEDS, SKIPPED, CHECKER)
QUERY = re.compile(r"\s*(select|insert|create|update|delete)\b", re.IGNORECASE)


# What an error says about its own cause, whatever was being checked.
ERROR_HINTS = (
    (r"near .(O|Brien)\b", "Let the driver insert the values; never format them into the SQL."),
    (r"'generator' object.*context manager", "Which decorator makes a context manager of a generator?"),
    (r"context manager protocol", "`with` calls __enter__ and __exit__. Where do you define each?"),
    (r"^name '\w+' is not defined", "Where is this name defined or imported, before this line runs?"),
    (r"'NoneType' object is not callable",
     "What does your decorator return, and what does its wrapper return?"),
    (r"local variable", "On which path through this function does the variable get no value?"),
    (r"'NoneType' object", "Which function returns None here, and on which path?"),
    (r"^still to do$", "Put your own code in place of `raise NotImplementedError`."),
    (r"unexpected keyword argument|positional argument|multiple values for",
     "Compare the parameters in your `def` with the task, and see which ones your wrapper passes on."),
    (r"near \"%\"|Not all parameters were used|Incorrect number of bindings|number of parameters",
     "Which placeholder does this driver use: ? (sqlite3) or %s (MySQL)? Is there a value for each?"),
    (r"Unread result found|Commands out of sync",
     "The cursor still has unread rows, so this call fails. What if you close only the connection, "
     "in a `finally` of its own?"),
    (r"^'query'$|tuple index out of range",
     "Is the query in args or in kwargs here? Callers may use either."),
    (r"No module named '\d", "A module whose name begins with a digit needs importlib.import_module()."),
    (r"generator ignored GeneratorExit",
     "Your generator yields again after its caller has stopped. Which `except` or `finally` does that?"),
    (r"Duplicate entry", "The row is stored already. How can your code detect it before the INSERT?"),
    (r"(^|: )'\w+'$", "Print the keys of the first row that you read. Is this key one of them?"),
    (r"is locked", "Which connection still holds a transaction on the file at this moment?"),
    (r"closed (database|cursor)|Connection not available|not connected",
     "Which line closed the connection, and which line still uses it?"),
)  # fmt: skip
SWALLOW_HINTS = {  # by the first word of the line that hides an error
    "except": "This `except` hides the error. How does the caller learn that something failed?",
    "return": "This `return` discards the error: a `finally` with any value, __exit__ with a true one.",
}
# What the answer was doing in a step, for sentences about how it ended there.
STEPS = (
    (r"import", "importing the file"),
    (r"decorated", "decorating a function"),
    (r"rows|ages|.* of \d+|parameters|quote|form", "reading all its rows"),
    (r"first|stopped", "reading two items of a large table"),
    (r"processing", "calling batch_processing()"),
    (r"single page.*", "calling paginate_users()"),
    (r"average.*|kept ages", "computing the average"),
    (r"first run|second run", "running the functions of seed.py"),
    (r"all users", "calling async_fetch_users()"),
    (r"older users", "calling async_fetch_older_users()"),
    (r"both|overlap", "calling fetch_concurrently()"),
    (r"demo.*", "calling the example function"),
    (r"gone .*|fault.*|.*without table|bad query", "querying a table that does not exist"),
    (r"refuse .*", "connecting to a server that refuses connections"),
    (r"fail.*", "handling an error"),
)
CRASH_HINT = "Make the same call yourself, and read the last line of the traceback first."
IMPORT_HINT = "Run the file by itself, and look at the last line that it prints."


class Result(NamedTuple):
    """One check's outcome; if it failed, `said` says what happened and `place` says where."""

    check: Check
    passed: bool
    said: str = ""  # these three only if it failed
    place: str = ""
    hint: str = ""
    crashed: bool = False
    exits: bool = False  # the answer raised SystemExit
    decided: bool = True  # False: never observed, so it neither passes nor is reported


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
        passed = sum(result.passed for result in self.counted)
        return f"{passed}/{len(self.counted)}" if self.counted else ""

    @property
    def failed(self) -> list[Result]:
        """The failures that were observed; without any, the checks that were not reached."""
        failed = [result for result in self.counted if not result.passed]
        return [result for result in failed if result.decided] or failed

    @property
    def advice(self) -> list[Result]:
        return [r for r in self.results if r.check.is_advice and not r.passed]


class Judge:
    """Collects the results of one exercise; a check without a result counts as failed."""

    def __init__(self, exercise: Exercise, run: Run, source: Source, file: str):
        self.exercise, self.run, self.source, self.file = exercise, run, source, file
        self.results: dict[str, Result] = {}
        self.endless = False  # it retried until the probe stopped failing
        self.line: int | None = None  # where an error without a place of its own is reported
        self._told: dict[tuple, str] = {}  # errors, and the check that reported each
        if error := self.error("import"):
            self.tells_first("demo", error)

    def fact(self, step: str, name: str = "value"):
        """A value that a step recorded; None if the answer did not get that far."""
        return self.run.facts.get(step, {}).get(name)

    def text(self, step: str, name: str) -> str:
        return self.fact(step, name) or ""

    def number(self, step: str, name: str) -> int:
        return self.fact(step, name) or 0

    def passed(self, name: str) -> bool:
        return name in self.results and self.results[name].passed

    def failed(self, name: str) -> bool:
        return name in self.results and not self.passed(name)

    def items(self, step: str) -> list:
        value = self.fact(step)
        return value if isinstance(value, list) else []

    def error(self, step: str) -> dict | None:
        return self.fact(step, "error")

    def seen(self, step: str) -> bool:
        return step in self.run.facts

    def evidence(self, mark: str, name: str):
        return self.run.evidence.get(mark, {}).get(name)

    def printed(self, step: str) -> str:
        """What the answer printed or logged in a step that hid an error, as the end of a sentence."""
        lines = [line.strip() for line in self.text(step, "shown").splitlines() if line.strip()]
        telling = [line for line in lines if TELLING.search(line)]
        return f"; it printed: {(telling or lines)[-1][:200]}" if lines else ""

    def swallow(self, *inside: str) -> tuple[str, str]:
        """Place and hint of what hides an error: here, or in the seed.py that this file uses."""
        for place, source, used in self.sources():
            here, connect = place == self.file, (r"\w*conn\w*",)
            for names in (inside, connect, (r"(?!main)\w+",)) if here else (used, connect):
                if source.line_of(*names) and (line := source.line_of_swallow(*names)):
                    return f"{place}:{line}", SWALLOW_HINTS.get(source.word_at(line), "")
        return "", ""

    def sources(self) -> Iterator[tuple[str, Source, list[str]]]:
        """This file and the seed.py beside or above it, with the names in it that this file uses."""
        path, text = self.source.path, self.source.text
        root = path.parents[self.file.count("/")]
        for one in dict.fromkeys((path, path.parent / "seed.py", root / "seed.py")):
            source = self.source if one == path else Source(one)
            used = [n for n in sorted(source.names(imported=False)) if re.search(rf"\b{n}\b", text)]
            yield one.relative_to(root).as_posix(), source, used

    def check(
        self, name: str, passed: bool, said: str = "", line: int | str | None = None, hint: str = ""
    ) -> None:
        """Record a check's result; of several results, the first failure stays.

        `line` may be a whole place. Without a `hint` for this kind of failure, the check's own is shown.
        """
        place = line if isinstance(line, str) else f"{self.file}:{line}" if line else self.file
        self._record(name, bool(passed), said, place, hint)

    def follows(self, name: str, cause: str) -> None:
        """If both checks failed, give `name` the reason of `cause`, so that it is printed only once."""
        if self.failed(name) and self.failed(cause):
            why = {one: getattr(self.results[cause], one) for one in ("said", "place", "hint")}
            self.results[name] = self.results[name]._replace(**why)

    def absent(self, name: str, said: str) -> None:
        """Fail the check for a missing function, unless importing the file failed: that is why."""
        if not self.error("import"):
            self.check(name, False, said)

    def _record(self, name: str, passed: bool, said: str, place: str, hint: str, **more) -> None:
        if name not in self.results or (self.passed(name) and not passed):
            check = CHECKS[self.exercise.number][name]
            told = ("", "", "") if passed else (said, place, hint or check.hint)
            self.results[name] = Result(check, passed, *told, **more)

    def crashed(self, name: str, step: str, what: str) -> bool:
        """Fail the check if the step raised an error; return whether it did.

        An error that an earlier check reported leaves this one undecided.
        """
        error = self.error(step)
        if error is None:
            return False
        if self.tells_first(name, error):
            # An error about None may have hidden another one.
            more = self.printed(step) if "'NoneType' object" in error["message"] else ""
            said, exits = f"{what} raised {describe(error)}{more}", "SystemExit" in error["bases"]
            self.fail_at(name, error, said, crashed=True, exits=exits)
        return True

    def tells_first(self, name: str, error: dict) -> bool:
        """Whether no other check has reported this error."""
        told = (error["type"], error["message"], str(error.get("place")))
        return self._told.setdefault(told, name) == name

    def fail_at(self, name: str, error: dict, said: str, **more) -> None:
        """Fail the check at the line of an error that the answer raised, with that error's hint."""
        self._record(name, False, said, self.place_of(error), hint_for(error), **more)

    def came_out(self, step: str, expected: str = "") -> bool:
        """Whether the caller of a step got the probe's own error, as it is or as the cause of another.

        `expected` is a pattern for a database's message, where the error is the database's.
        """
        error = self.error(step)
        if error is None:
            return False
        chain = "\n".join(map(str, error.get("chain", ())))
        return bool(error.get("own")) or bool(expected and re.search(expected, chain))

    def place_of(self, error: dict) -> str:
        file, line = error.get("place") or (self.file, self.line)
        return f"{file}:{line}" if line else str(file)

    def in_order(self) -> Iterator[Result]:
        """The results; a check without one, except advice, was not reached and does not pass."""
        for name, check in CHECKS[self.exercise.number].items():
            said = f"the answer did not get as far as this check: {check.looks_for}"
            if name in self.results or not check.is_advice:
                not_reached = Result(check, False, said, self.file, check.hint, decided=False)
                yield self.results.get(name, not_reached)

    # ---------------------------------------------------- checks that several exercises share

    def judge_import(self) -> None:
        """Check that importing the file raises no error and runs no query."""
        error = self.error("import")
        if error:
            said = f"importing the file raised {describe(error)}"
            self._record("demo", False, said, self.place_of(error), "")
        self.check("demo", not error)
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

    def judge_closed(
        self, name: str, step: str, what: str, line: int | None = None, hint: str = ""
    ) -> None:
        """Check that a step closed every SQLite connection that it opened."""
        if not self.seen(step):
            return
        left = unclosed(self.fact(step, "sqlite"))
        line = line or self.source.line_of_call("connect")
        said = f"{what} opens {count(left, 'connection')} that your code never closes"
        self.check(name, left == 0, said, line, hint)

    def judge_raised(
        self, name: str, step: str, what: str, expected: str = "", *inside: str
    ) -> None:
        """Check that the error of a failing step reaches the caller, and is no other error.

        `expected` is as for came_out(); `inside` names the functions that may hide the error.
        """
        if not self.seen(step):
            return
        if self.error(step) is None:
            line = self.source.line_of_swallow(*inside)
            said = f"{what} failed, but the caller got no error{self.printed(step)}"
            hint = SWALLOW_HINTS.get(self.source.word_at(line), "")
            self.check(name, False, said, line or self.source.line_of(*inside), hint)
        elif self.came_out(step, expected):
            self.check(name, True)
        else:
            self.crashed(name, step, what)


def judge_verdict(judge: Judge, answer: Answer, needs_found: bool) -> Verdict:
    """Decide the verdict from the checks' results and from how the child ended."""
    if verdict := _not_judged(judge, answer):
        return verdict
    run, failed_import = judge.run, judge.error("import")
    verdict = Verdict(judge.exercise, WRONG, results=list(judge.in_order()))
    failed, bases = verdict.failed, failed_import["bases"] if failed_import else ()
    kind, said, hint, place = WRONG, "", "", judge.file
    if run.stopped:
        kind, said = CRASH, f"{run.stopped}, in the step {run.step!r}"
        hint = "Look for a loop that writes files or starts processes without an end."
    elif judge.endless:
        kind, said = TIMEOUT, "the answer was still retrying after 99 failures"
        hint = "What ends your loop if every attempt fails?"
    elif run.timed_out:
        kind, said = TIMEOUT, f"the answer exceeded the time limit while {doing(run.step)}"
        loop = judge.source.text.count("while ") == 1 and judge.source.line_with(r"^\s*while\b")
        place += f":{loop}" if loop else ""
        hint = "Look for an endless loop, or for a wait that never ends."
    elif not run.done:
        by_signal = run.status is not None and (run.status < 0 or run.status > 128)
        kind, how = (CRASH, "was killed") if by_signal else (EXITED, "ended its own process")
        said = f"the answer {how} while {doing(run.step)}"
        hint = "A function should return or raise an error, and never end the program."
    elif failed and bases and not (needs_found and failed[0].decided and "Exception" not in bases):
        kind = EXITED if "SystemExit" in bases else CRASH
        more, hint = explain_import(failed_import, answer)
        said = f"importing the file raised {describe(failed_import)}{more}"
        hint, place = hint or hint_for(failed_import, IMPORT_HINT), judge.place_of(failed_import)
    elif not needs_found:
        found = judge.fact("functions", "found") or []
        lacks = [name for name in NAMES[judge.exercise.number] if name not in found]
        said = f"the file does not define {' or '.join(lacks)}"
        hint = "Compare your names with the functions and classes that the task names."
    elif not failed:
        kind = PASS
    else:
        first = next((result for result in failed if result.exits), failed[0])
        crashed = first.crashed or all(result.crashed for result in failed[:2])
        kind = EXITED if first.exits else CRASH if crashed else WRONG
        said, hint, place = first.said, first.hint, first.place
    return replace(verdict, verdict=kind, said=said, hint=hint, place=place)


def _not_judged(judge: Judge, answer: Answer) -> Verdict | None:
    """The verdict if the checker failed, or this machine lacks what the answer needs."""
    if trouble := judge.run.trouble.strip():
        return Verdict(judge.exercise, CHECKER, f"the checker failed: {trouble[-1500:]}")
    if missing := missing_package(judge.run, answer):
        package, error = missing
        said = f"imports {error['module']}, but its package {package} is not installed here"
        hint = f"Not judged. Install {package} for the Python that runs check.py."
        return Verdict(judge.exercise, NEEDS, said, hint, judge.place_of(error))
    if judge.run.no_server:
        said = "the answer connects to a MySQL server, which only seed.py and exercises 1 to 4 need"
        return Verdict(judge.exercise, SKIPPED, said, place=judge.file)
    return None


def doing(step: str) -> str:
    """What the answer was doing in a step."""
    found = (words for pattern, words in STEPS if re.fullmatch(pattern, step))
    return next(found, "calling the decorated function")


def hint_for(error: dict, otherwise: str = CRASH_HINT) -> str:
    """A hint for an error that the answer raised, by its message."""
    message = error["message"]
    return next((hint for pattern, hint in ERROR_HINTS if re.search(pattern, message)), otherwise)


def describe(error: dict) -> str:
    """The error's type and message in one line, without the path of a library's module."""
    text = " ".join(re.sub(r" \(/[^()]*\)$", "", error["message"]).split())[:200]
    return f"{error['type']}: {text}" if text else error["type"]


def unclosed(events: list | None) -> int:
    """How many connections were opened but not closed by close()."""
    opened = {number for event, number, _ in events or [] if event == "open"}
    closed = {number for event, number, _ in events or [] if event == "close"}
    return len(opened - closed)
