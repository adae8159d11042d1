"""What check.py says about answers: verdict, failing checks, the reason, its line and a hint."""

import pytest
from conftest import lacks
from known_context import CASES as CONTEXT
from known_generators import CASES as GENERATORS
from test_check import BY_NUMBER, folder_of, write

from checker import databases
from checker.runner import Task, check

CASES = CONTEXT + GENERATORS


@pytest.fixture(scope="module")
def verdicts(tmp_path_factory):
    if reason := databases.why_no_server():
        lacks(reason)
    folder = tmp_path_factory.mktemp("cases")
    tasks = [
        Task(write(folder / str(number), {case.exercise: case.text}), BY_NUMBER[case.exercise])
        for number, case in enumerate(CASES)
    ]
    return dict(zip(((c.exercise, c.name) for c in CASES), check(tasks, jobs=4), strict=True))


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.exercise}-{case.name}")
def test_answer_gets_its_verdict_and_the_true_reason(case, verdicts):
    verdict = verdicts[case.exercise, case.name]
    failed = [result for result in verdict.failed if result.decided]
    told = [(r.check.name, r.said, r.place) for r in failed]
    assert verdict.verdict == case.verdict, (verdict.said, told)
    assert {name for name, *_ in told} == set(case.checks), told
    assert case.said in verdict.said
    assert case.hint in verdict.hint
    if case.line:
        assert verdict.place == f"{folder_of(BY_NUMBER[case.exercise])}:{case.line}"
    assert all(result.hint for result in failed)
