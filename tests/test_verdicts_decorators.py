"""The verdicts on small answers to exercises 5 to 9: check, reason, hint and line."""

from pathlib import Path

import pytest
from known_decorators import CASES, SLOW, Case

from checker.answers import Answer
from checker.exercises import DECORATORS, EXERCISES
from checker.judge import PASS, Verdict
from checker.runner import Task, check

BY_NUMBER = {exercise.number: exercise for exercise in EXERCISES}


def verdicts_on(cases: dict[str, Case], folder: Path) -> dict[str, Verdict]:
    tasks = []
    for number, case in enumerate(cases.values()):
        exercise, root = BY_NUMBER[case.exercise], folder / str(number)
        root.mkdir()
        (root / exercise.file).write_text(case.text, encoding="utf-8")
        tasks.append(Task(Answer(root, root.name, frozenset({DECORATORS})), exercise))
    return dict(zip(cases, check(tasks, jobs=4), strict=True))


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory) -> dict[str, Verdict]:
    return verdicts_on(CASES, tmp_path_factory.mktemp("answers"))


def agrees(case: Case, verdict: Verdict) -> None:
    failed = [result for result in verdict.failed if result.decided]
    assert verdict.verdict == case.verdict, (verdict.said, verdict.hint)
    if case.verdict == PASS:
        assert failed == []
    assert not case.check or ",".join(result.check.name for result in failed) == case.check, failed
    assert case.said in f"{verdict.said} {verdict.hint}"
    marked = [n for n, line in enumerate(case.text.splitlines(), 1) if line.endswith("# here")]
    if marked:
        assert verdict.place == f"{BY_NUMBER[case.exercise].file}:{marked[0]}"


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_small_answer_has_its_verdict_check_reason_and_line(name, verdicts):
    agrees(CASES[name], verdicts[name])


@pytest.mark.slow
def test_waits_that_time_sleep_does_not_make_are_measured(tmp_path):
    verdicts = verdicts_on(SLOW, tmp_path)
    for name, case in SLOW.items():
        agrees(case, verdicts[name])
