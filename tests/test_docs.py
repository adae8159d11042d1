"""README.md and docs/, held to the files: links, tables, commands, code, figures."""

import inspect
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import NOT_OF_THE_REPOSITORY, ROOT
from test_scripts import LESSONS, TOPICS, sample

import seed

PAGES = {path.stem: path for path in (ROOT / "README.md", *(ROOT / "docs").glob("*.md"))}
TEXTS = {name: path.read_text(encoding="utf-8") for name, path in PAGES.items()}
README = TEXTS["README"]
SHELL, SQL, OUTPUT = (re.findall(f"```{k}\n(.*?)```", README, re.S) for k in ("sh", "sql", "text"))
RESULTS = ROOT / "benchmarks/results.json"
QUOTED = re.compile("`([^`]+)`")
SOURCES = ("seed.py", "seed_parts/*.py", "servers/*.py", "tests/conftest.py", "start.sh")
CODE = "".join(path.read_text() for pattern in SOURCES for path in ROOT.glob(pattern))


def table(page: str, first_heading: str) -> list[list[str]]:
    """The cells of all tables on a page with this heading above their first column."""
    form = rf"^\| {first_heading} \|.*\n.*\n((?:\|.*\n)*)"
    rows = "".join(re.findall(form, TEXTS[page], re.MULTILINE))
    return [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows.splitlines()]


@pytest.fixture
def shell(clone, tmp_path):
    """A function that runs commands in a new clone; the editor adds `typed` to its file."""
    own = shutil.copytree(clone, tmp_path / "own", ignore=NOT_OF_THE_REPOSITORY)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    env = {k: v for k, v in os.environ.items() if not k.startswith("DB_")} | {"PATH": path}

    def shell(commands: str, typed: str = "") -> str:
        command = ["bash", "-euc", 'nano() { cat >>"$1"; }\n' + commands]
        options = {"cwd": own, "env": env, "input": typed, "stdout": subprocess.PIPE, "text": True}
        done = subprocess.run(command, **options)
        assert done.returncode == 0, done.stdout
        return done.stdout

    return shell


def test_readme_is_short_and_has_the_parts_of_the_outline():
    assert len(README.splitlines()) <= 140
    assert README[: README.index("| **Async** | 12 |")].count("\n") < 45
    parts = "".join(re.findall(r"^(?:## |\*\*)(\w+)", README, re.MULTILINE))
    assert re.fullmatch("Objective.*Setup.*Exercises.*Usage.*Notes.*", parts)
    assert SHELL[:2] == ["sh start.sh\n", "sh start.sh test\n"]
    command, *lines = OUTPUT[0].splitlines()
    script, head = re.fullmatch(r"\$ python (\S+) \| head -n (\d)", command).groups()
    assert lines == sample(Path(script))[1][: int(head)]


def test_index_lists_the_scripts_on_the_disk_and_runs_them(shell):
    on_disk = sorted(LESSONS, key=lambda path: TOPICS.index(path.parts[0]))
    for (_, number, write, _, run), path in zip(table("README", "topic"), on_disk, strict=True):
        assert number == str(on_disk.index(path) + 1)
        assert write.endswith(f"]({path})")
        for name, signature in re.findall(r"`@?(\w+)(\(.*?\))?`", write):
            written = getattr(seed.import_script(path.stem), name)
            assert signature in ("", str(inspect.signature(written)))
        assert QUOTED.findall(run) == [f"python {path}"]
        head, lines = sample(path)
        assert shell(run.strip("`")).splitlines()[:head] == lines


def test_commands_of_the_readme_run(shell):
    usage, check, graders, _ = SHELL[3:]
    scripts = re.findall(r"cd \S+ && python (\S+).py && cd \.\.\n", usage)
    assert scripts == ["0-stream_users", "4-log_queries", "8-async_fetch"]
    assert re.search("617 of(.*\n)+as expected\n$", shell((usage + graders).replace(" && ", "\n")))
    start, _watch, all_of_it, explain_9 = check.replace("FOLDER", "mine").splitlines()
    assert "16 files written to mine" in shell(start)
    assert "0 of 13 right" in shell(f"({all_of_it}\n) || true")
    assert "9. query cache (4-cache_query.py)" in shell(explain_9)
    used = re.findall(r"--\w+", check + TEXTS["checking"])
    assert set(used) <= set(re.findall(r"--\w+", shell("python check.py --help")))


def test_user_created_as_in_the_readme_can_load_a_file(shell, mysql_engine, tmp_path):
    name, socket = mysql_engine.settings["DB_NAME"], mysql_engine.server.socket
    user = name[-20:]  # learner is the suite's own
    with mysql_engine.connect() as connection:
        for sql in SQL[0].replace("learner", user).replace("ALX_prodev", name).split(";")[:-1]:
            connection.cursor().execute(sql)
    (tmp_path / "own/mine.csv").write_text("name,email,age\nAda,ada@example.com,36\nGrace,,85\n")
    settings = f"DB_SOCKET={socket}\nDB_NAME={name}\nDB_USER={user}\nDB_PASSWORD=your_password\n"
    assert "1 added, 0 already present, 1 refused" in shell(SHELL[-1], settings)
    assert "email is blank" in (tmp_path / "own/mine.csv.rejected").read_text()
    assert "0 added, 1 already present, 1 refused" in shell(SHELL[-1], settings)


def test_every_link_leads_somewhere_and_every_page_is_linked():
    for name, text in TEXTS.items():
        for path, anchor in re.findall(r"\]\(([^)#]+)#?([^)]*)\)", text):
            file = (PAGES[name].parent / path).resolve()
            assert file.exists(), path
            headings = re.findall(r"^#+ (.*)", TEXTS.get(file.stem, "").lower(), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", line).replace(" ", "-") for line in headings]
            assert anchor in ["", *anchors], path
    assert [name for name in TEXTS if f"(docs/{name}.md)" not in README] == ["README"]
    named = re.findall(r"\b(?:README|docs/[\w-]+)\.md", CODE)
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_tables_of_files_and_settings_are_complete():
    kept = set(os.listdir(ROOT)) - NOT_OF_THE_REPOSITORY(ROOT, os.listdir(ROOT)) - {".gitignore"}
    top = {f"`{name}{'/' * (ROOT / name).is_dir()}`" for name in kept}
    assert {row[0] for row in table("contributing", "file")} == top
    shown = re.findall(r"^(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert [row[0] for row in table("settings", "setting")] == [f"`{name}`" for name in shown]


def test_every_message_under_troubleshooting_is_in_the_code():
    text = re.sub(r'"\s*f?"', "", CODE)  # a string may be in several pieces
    messages = QUOTED.findall(" ".join(row[0] for row in table("troubleshooting", "message")))
    assert [words for words in messages if words not in text] == ["No module named 'mysql'"]


def test_every_promise_names_existing_tests():
    tests = "".join(path.read_text() for path in ROOT.glob("tests/test_*.py"))
    named = [QUOTED.findall(shown_by) for _, shown_by in table("promises", "promise")]
    assert [name for names in named for name in names if f"def {name}(" not in tests] == []


def test_figures_are_those_of_the_last_measurement(shell):
    results, page = json.loads(RESULTS.read_text()), TEXTS["performance"]
    assert table("performance", "what") == [list(row.values()) for row in results["results"]]
    assert "{machine}, {servers}, {rows:,} rows, medians of {rounds} ".format(**results) in page
    missed = [row for row in results["results"] if row["verdict"] == "MISSED"]
    named = [f"{row['what']} against {row['against']}".removesuffix(" against ") for row in missed]
    explained = page[page.index("## Targets that were missed") :]
    assert re.findall(r"^- \*\*(.*)\*\*:", explained, re.MULTILINE) == list(dict.fromkeys(named))
    spoil = "sed -i 's/reached/forgotten/; s/medians of/2 &/' docs/performance.md\n"
    assert shell(spoil + "python benchmarks/report.py; cat docs/performance.md") == page


@pytest.mark.parametrize("page", ["mistakes", "promises"])
def test_code_on_a_page_does_what_the_page_says(shell, tmp_path, page):
    def as_doctest(block: re.Match) -> str:
        call = "_ = open('answer.py', 'w').write" if block[1].startswith("# answer.py") else "exec"
        return f">>> {call}({block[1]!r})\n"

    text = re.sub("```python\n(.*?)```", as_doctest, TEXTS[page], flags=re.DOTALL)
    (tmp_path / "page.txt").write_text(re.sub("^```.*", "", text, flags=re.MULTILINE))
    assert shell("python seed.py >/dev/null; python -m doctest ../page.txt") == ""
