"""The command line of check.py."""

import argparse
import itertools
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

from checker.answers import find_answers
from checker.checks import explain
from checker.exercises import EXERCISES, Exercise, chosen
from checker.isolation import WARNING, isolation
from checker.judge import PASS
from checker.marks import write_csv
from checker.page import why_no_page, write_page
from checker.report import Report, write_json, write_junit
from checker.runner import SECONDS, Task, check
from checker.start import start
from checker.watch import watch

WRITERS = {"json": write_json, "junitxml": write_junit, "csv": write_csv, "html": write_page}


def main(arguments: list[str] | None = None) -> int:
    """Run the checks that are asked for; return the exit status: 0 if every exercise passes."""
    options, text = _parser().parse_args(arguments), ""
    try:
        if os.name == "nt":
            raise ValueError("not supported on Windows; run it in WSL")
        if not (1 <= options.timeout <= 3600 and 1 <= (options.jobs or 1) <= 1000):
            raise ValueError("expected --timeout from 1 to 3600 and --jobs from 1 to 1000")
        if options.explain is not None:
            text = "\n".join(map(_explained, chosen([options.explain])))
        elif options.start:
            text = start(options.start)
        else:
            exercises, (answers, single) = chosen(options.only), find_answers(options.path)
            if options.path.is_file():
                exercises = [e for e in EXERCISES if answers[0].find(e) == options.path.resolve()]
            elif single and not options.only:
                exercises = [e for e in exercises if e.topic in answers[0].topics]
            if not exercises:
                raise ValueError(f"no exercise has the file {options.path}")
            if options.watch and not single:
                raise ValueError("--watch is for one answer")
            if isolation() is None and not single and not options.trusted:
                raise ValueError(f"{WARNING}, or give --trusted")
            files = _files_to_write(options)
    except (OSError, ValueError) as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 2
    if text:
        print(text)
        return 0
    if isolation() is None:
        print(f"check.py: warning: {WARNING}", file=sys.stderr)
    warnings.simplefilter("ignore", SyntaxWarning)  # of the answers' code, which is parsed here
    # On SIGTERM, exit normally, which stops the servers and the child processes.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    report = Report()
    tasks = [Task(answer, exercise) for answer in answers for exercise in exercises]
    done = itertools.count(1)

    def progress(task, _verdict) -> None:
        report.progress(next(done), len(tasks), f"{task.answer.name} {task.exercise.title}")

    try:
        if options.watch:
            return watch(options.path, exercises, report, seconds=options.timeout)
        verdicts = check(tasks, seconds=options.timeout, jobs=options.jobs, progress=progress)
    except KeyboardInterrupt:
        return 130
    except FileNotFoundError as error:  # while watching: the folder is gone
        print(f"check.py: {error}", file=sys.stderr)
        return 2
    size = len(exercises)
    pairs = [(a, verdicts[n * size : (n + 1) * size]) for n, a in enumerate(answers)]
    for answer, found in pairs if single or options.details else ():
        report.details(answer, found)
    if not single:
        report.summary(pairs)
    for path, write in files:
        write(path, pairs)
    return 0 if all(verdict.verdict == PASS for verdict in verdicts) else 1


OPTIONS = (
    ("--start", Path, "FOLDER",
     "make a folder to work in, with a file for each exercise; nothing is overwritten"),
    ("--watch", None, "",
     "check an exercise again each time its file is saved, until all are right"),
    ("--only", str, "EXERCISE",
     "check only this exercise: its number or part of its name (4, retry); repeatable"),
    ("--explain", str, "EXERCISE", "show what an exercise is checked for"),
    ("--details", None, "", "show all problems of every answer"),
    ("--trusted", None, "", "check a folder of answers even if this machine cannot isolate them"),
    ("--json", Path, "FILE", "write the results as JSON"),
    ("--junitxml", Path, "FILE", "write them as JUnit XML"),
    ("--csv", Path, "FILE", "write a table of them as CSV"),
    ("--html", Path, "FILE",
     "write one page that shows them with lines of the code; needs Jinja2"),
    ("--timeout", float, "SECONDS",
     "time limit of one exercise (default: %(default)g)"),
    ("--jobs", int, "N", "how many exercises run at once (default: one per core)"),
)  # fmt: skip


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
    for name, kind, metavar, text in OPTIONS:
        how = {"type": kind, "metavar": metavar} if kind else {"action": "store_true"}
        if name == "--only":
            how |= {"action": "append", "default": []}
        parser.add_argument(name, help=text, **how)
    parser.set_defaults(timeout=SECONDS)
    return parser


def _files_to_write(options: argparse.Namespace) -> list[tuple[Path, Callable]]:
    """The files that are asked for and the functions that write them, later.

    Raises ValueError if a file cannot be written, since the checks may take minutes.
    """
    if options.html and (reason := why_no_page()):
        raise ValueError(reason)
    files = [(path, write) for name, write in WRITERS.items() if (path := getattr(options, name))]
    for path, _ in files:
        is_new = not path.exists()
        try:
            path.open("ab").close()
            if is_new:
                path.resolve().unlink()
        except OSError as error:
            raise ValueError(f"cannot write {path}: {error.strerror}") from error
    return files


def _explained(exercise: Exercise) -> str:
    about = f"{exercise.number}. {exercise.title} ({exercise.file}): {exercise.about}"
    return f"{about}\n{explain(exercise.number)}".removeprefix("seed. ")
