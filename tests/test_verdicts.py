"""What check.py says about answers: verdict, failing checks, the reason, its line and a hint."""

import pytest
from conftest import lacks
from known_context import CASES as CONTEXT
from known_generators import CASES as GENERATORS
from known_generators import FILES, FOLDER
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


SEED = """import mysql.connector


def connect_db():
    try:
        return mysql.connector.connect(user="root", buffered=True)
    except mysql.connector.Error as error:
        print(error)


def connect_to_prodev():
    try:
        return mysql.connector.connect(
            buffered=True, user="root", database="ALX_prodev")
    except mysql.connector.Error as error:
        print(error)
"""


@pytest.mark.slow
def test_marked_line_of_seed_py_is_in_the_function_that_the_answer_uses(tmp_path):
    answer = write(tmp_path, {"seed": SEED, "4": (FOLDER / FILES["4"]).read_text("utf-8")})
    [verdict] = check([Task(answer, BY_NUMBER["4"])])
    places = {result.check.name: result.place.split(":") for result in verdict.failed}
    seed = folder_of(BY_NUMBER["seed"])
    assert places == {"lazy": [seed, "14"], "errors": [seed, "15"]}
