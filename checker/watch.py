"""check.py --watch: check an exercise again each time its file is saved."""

import contextlib
import time
from pathlib import Path

from checker import runner
from checker.answers import Answer, files, find_answers
from checker.exercises import Exercise
from checker.judge import PASS, Verdict
from checker.report import Report

POLL = 0.1  # seconds between two looks at the files


def watch(path: Path, exercises: list[Exercise], report: Report, *, seconds: float) -> int:
    """Check the exercises, then each one again when its file changes; return 0 once all are right.

    A private server runs from the first exercise that needs it until the end.
    """
    seen: dict[Path, tuple] = {}
    verdicts: dict[Exercise, Verdict] = {}
    with contextlib.ExitStack() as stack:
        servers = runner.Servers(stack)
        while True:
            answer = find_answers(path)[0][0]
            saved, seen = _saved(answer.root, seen)
            due = [exercise for exercise in exercises if _is_due(exercise, answer, saved, verdicts)]
            tasks = [runner.Task(answer, exercise) for exercise in due]
            found = checked = runner.check(tasks, seconds=seconds, servers=servers)
            if not verdicts:  # the first time: all of them
                report.line("Checks an exercise each time its file is saved; Ctrl-C ends it.")
                found = [v for v in found if v.verdict != PASS][:1]
            verdicts |= zip(due, checked, strict=True)
            in_order = [verdicts[exercise] for exercise in exercises]
            if found:
                report.watched(answer, found, in_order)
            if all(verdict.verdict == PASS for verdict in in_order):
                report.finished(answer, in_order)
                return 0
            while not _saved(answer.root, seen)[0]:
                time.sleep(POLL)
            time.sleep(POLL / 2)  # until the editor has written the rest


def _saved(root: Path, seen: dict[Path, tuple]) -> tuple[set[Path], dict[Path, tuple]]:
    """The files that changed, came or went since `seen`, and all files as they are now."""
    now = {path: (s.st_mtime_ns, s.st_size, s.st_ino) for path, s in files(root).items()}
    return {path for path in now.keys() | seen.keys() if now.get(path) != seen.get(path)}, now


def _is_due(exercise: Exercise, answer: Answer, saved: set[Path], verdicts: dict) -> bool:
    """Whether its file was saved; if it is not right yet, a module beside its file counts, too."""
    file = answer.find(exercise)
    if file in saved or exercise not in verdicts:
        return True
    if verdicts[exercise].verdict == PASS:
        return False
    if file is None:
        return verdicts[exercise].place != ""  # it was there
    own = {answer.find(other) for other in verdicts} - {answer.root / "seed.py"}
    beside = {path for path in saved if path.suffix == ".py" and path not in own}
    return any(path.parent in (file.parent, answer.root) for path in beside)
