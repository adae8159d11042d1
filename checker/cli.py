"""The command line of check.py."""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from checker import report as reports
from checker.answers import find_answers
from checker.checks import explain
from checker.exercises import EXERCISES, chosen
from checker.isolation import WARNING, isolation
from checker.marks import write_csv
from checker.page import why_no_page, write_page
from checker.runner import SECONDS, Task, check, failures
from checker.start import start
from checker.watch import watch

WRITERS = {
    "json": reports.write_json,
    "junitxml": reports.write_junit,
    "csv": write_csv,
    "html": write_page,
}


def main(arguments: list[str] | None = None) -> int:
    """Run the checks that are asked for; return the exit status: 0 if every exercise passes."""
    options = _parser().parse_args(arguments)
    if os.name == "nt":
        print("check.py: not supported on Windows; run it in WSL", file=sys.stderr)
        return 2
    if options.explain is not None:
        return _explain(options.explain)
    try:
        if options.start:
            print(start(options.start))
            return 0
        exercises = chosen(options.only)
        answers, single = find_answers(options.path)
        if options.path.is_file():
            exercises = [e for e in EXERCISES if answers[0].find(e) == options.path.resolve()]
            if not exercises:
                raise ValueError(f"no exercise has the file {options.path}")
        elif single and not options.only:
            exercises = [e for e in exercises if e.topic in answers[0].topics]
        files = _files_to_write(options)
    except (OSError, ValueError) as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 2
    if isolation() is None:
        if not single and not options.trusted:
            print(f"check.py: {WARNING}, or give --trusted", file=sys.stderr)
            return 2
        print(f"check.py: warning: {WARNING}", file=sys.stderr)
    warnings.simplefilter("ignore", SyntaxWarning)  # of the answers' code, which is parsed here
    # On SIGTERM, exit normally, which stops the servers and the child processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = reports.Report()
    if options.watch:
        if not single:
            print("check.py: --watch is for one answer", file=sys.stderr)
            return 2
        try:
            return watch(options.path, exercises, report, seconds=options.timeout)
        except KeyboardInterrupt:
            return 130
    done, of = 0, len(answers) * len(exercises)

    def progress(task, _verdict) -> None:
        nonlocal done
        done += 1
        report.progress(done, of, f"{task.answer.name} {task.exercise.title}")

    tasks = [Task(answer, exercise) for answer in answers for exercise in exercises]
    try:
        verdicts = check(tasks, seconds=options.timeout, jobs=options.jobs, progress=progress)
    except KeyboardInterrupt:
        return 130
    size = len(exercises)
    pairs = [(a, verdicts[n * size : (n + 1) * size]) for n, a in enumerate(answers)]
    if single or options.details:
        for answer, found in pairs:
            report.details(answer, found)
    if not single:
        report.summary(pairs)
    for path, write in files:
        write(path, pairs)
    wrong = [v for _, found in pairs for v in failures(found)]
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="check.py",
        description="Check answers to the exercises. Each answer runs in a copy of its folder.",
        epilog="The exit status is 0 only if every exercise that was asked for passes.",
    )
    parser.add_argument(
        "path", nargs="?", type=Path, default=Path(),
        help="one answer: a folder of topic folders (all thirteen exercises), one topic folder (its "
        "exercises), or one exercise's file; or a folder of answers",
    )  # fmt: skip
    parser.add_argument(
        "--start", type=Path, metavar="FOLDER",
        help="make a folder to work in, with a file for each exercise; nothing is overwritten",
    )  # fmt: skip
    parser.add_argument(
        "--watch", action="store_true",
        help="check an exercise again each time its file is saved, until all are right",
    )  # fmt: skip
    parser.add_argument(
        "--only", action="append", default=[], metavar="EXERCISE",
        help="check only this exercise: its number or part of its name (4, retry); repeatable",
    )  # fmt: skip
    parser.add_argument(
        "--explain", metavar="EXERCISE", help="show what an exercise is checked for"
    )
    parser.add_argument("--details", action="store_true", help="show all problems of every answer")
    parser.add_argument(
        "--trusted", action="store_true",
        help="check a folder of answers even if this machine cannot isolate them",
    )  # fmt: skip
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results as JSON")
    parser.add_argument("--junitxml", type=Path, metavar="FILE", help="write them as JUnit XML")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write a table of them as CSV")
    parser.add_argument(
        "--html", type=Path, metavar="FILE",
        help="write one page that shows them with lines of the code; needs Jinja2",
    )  # fmt: skip
    parser.add_argument(
        "--timeout", type=_seconds, default=SECONDS, metavar="SECONDS",
        help="time limit of one exercise (default: %(default)g)",
    )  # fmt: skip
    parser.add_argument(
        "--jobs",
        type=_jobs,
        metavar="N",
        help="how many exercises run at once (default: one per core)",
    )
    return parser


def _files_to_write(options: argparse.Namespace) -> list[tuple[Path, Callable]]:
    """The files that are asked for and the functions that write them, later.

    Raises ValueError if a file cannot be written, since the checks may take minutes.
    """
    if options.html and (reason := why_no_page()):
        raise ValueError(reason)
    files = [(getattr(options, name), write) for name, write in WRITERS.items()]
    files = [(path, write) for path, write in files if path]
    for path, _ in files:
        is_new = not path.exists()
        try:
            path.open("ab").close()
            if is_new:
                path.resolve().unlink()
        except OSError as error:
            raise ValueError(f"cannot write {path}: {error.strerror}") from error
    return files


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 1 <= seconds <= 3600:
        raise argparse.ArgumentTypeError(f"expected 1 to 3600 seconds, got {text}")
    return seconds


def _jobs(text: str) -> int:
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return int(text)


def _explain(word: str) -> int:
    try:
        exercises = chosen([word])
    except ValueError as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 2
    for exercise in exercises:
        number = "" if exercise.number == "seed" else f"{exercise.number}. "
        print(f"{number}{exercise.title} ({exercise.file}): {exercise.about}")
        print(explain(exercise.number))
    return 0
