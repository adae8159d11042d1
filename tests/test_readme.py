"""README.md, held to the disk and to the code."""

import os
import re

from conftest import NOT_OF_THE_REPOSITORY, ROOT
from test_scripts import LESSONS, TOPICS

README = (ROOT / "README.md").read_text(encoding="utf-8")
CODE = "".join(
    path.read_text(encoding="utf-8")
    for path in [*ROOT.glob("seed*.py"), *(ROOT / "tests").glob("conftest.py")]
)


def table(heading: str) -> list[list[str]]:
    """The cells of the table that begins with this heading, without their backquotes."""
    _, _, rest = README.partition(f"| {heading} |")
    rows = rest.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip().strip("`") for cell in row.strip("|").split("|")] for row in rows]


def test_index_lists_every_exercise_on_the_disk_in_order():
    rows = table("| exercise | concept | run it")
    assert [row[0] for row in rows] == [str(number) for number in range(1, 13)]
    on_disk = [path for topic in TOPICS for path in LESSONS if path.parts[0] == topic]
    assert [row[3] for row in rows] == [f"python {path.as_posix()}" for path in on_disk]


def test_layout_lists_what_is_at_the_top_of_the_repository():
    names = os.listdir(ROOT)
    kept = set(names) - NOT_OF_THE_REPOSITORY(ROOT, names)
    top = {name + "/" * (ROOT / name).is_dir() for name in kept}
    listed = {row[0] for row in table("file | what it holds")}
    assert listed == top - {"README.md", ".gitignore", ".ci/"}


def test_settings_are_those_of_env_example():
    shown = re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert [row[0] for row in table("setting | meaning | without it")] == shown


def test_every_message_under_troubleshooting_is_one_that_the_code_has():
    # The code's text as messages show it: placeholders and line breaks inside a string left out.
    text = re.sub(r'"\s*f?"', "", CODE)
    for message, *_ in table("message | what to do"):
        for part in re.split(r"`? … `?", message):
            words = part.removesuffix("users.db").strip().partition(" mariadbd")[0]
            if not words.startswith("No module named"):  # that one is Python's own
                assert words in text, words


def test_every_promise_names_a_test_that_is_there():
    tests = {path.name: path.read_text(encoding="utf-8") for path in ROOT.glob("tests/test_*.py")}
    for promise, shown_by in table("promise | shown by"):
        for name in re.findall(r"test_\w+(?:\.py)?", shown_by):
            assert name in tests or any(f"def {name}(" in text for text in tests.values()), promise
