"""What check.py writes for mentors: the page of --html and the table of --csv."""

import csv
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from browser import ENTER, RIGHT, SPACE, TAB, browser, why_no_browser
from conftest import lacks

from checker.answers import Answer
from checker.checks import CHECKS
from checker.cli import main
from checker.exercises import chosen
from checker.judge import CRASH, NEEDS, PASS, WRONG, Result, Verdict
from checker.marks import write_csv
from checker.page import write_page

LOG, RETRY = chosen(["5", "8"])
FILE = "python-decorators-0x01/0-log_queries.py"
HOSTILE = [
    "<script>document.title = 'run'</script>",
    "<img src=x onerror=\"document.title='run'\">",
    "</pre></style></title></td></table><svg onload=alert(1)>",
    "' onclick='x' \" onclick=\"x\" data-verdict=PASS",
    "{{ 7 * 7 }}{% include '/etc/passwd' %}",
    "&lt;b&gt;<!-- <![CDATA[ \u202e \x00 \x1b[31m \udcff",
]


def answer(folder: Path, name: str = "ada", code: str = "one\ntwo\nthree\n") -> Answer:
    path = folder / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(code, encoding="utf-8", errors="replace")
    return Answer(folder, name, frozenset())


def page(folder: Path, pairs: list) -> str:
    write_page(folder / "page.html", pairs)
    return (folder / "page.html").read_text(encoding="utf-8")


def pair(folder: Path, text: str) -> tuple[Answer, list[Verdict]]:
    """An answer that has this text everywhere where an answer can put some."""
    found = Verdict(LOG, CRASH, text, text, f"{FILE}:2")
    elsewhere = Verdict(RETRY, WRONG, text, text, f"{text}:1")
    return answer(folder, text, f"{text}\n{text}\n"), [found, elsewhere]


class Markup(HTMLParser):
    """The tags with their attributes, and the text between them."""

    def __init__(self, text: str):
        super().__init__()
        self.tags, self.text = [], ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        ours = [(n, v) for n, v in attrs if n not in ("nonce", "content")]  # random ones
        self.tags.append((tag, ours))

    def handle_data(self, data):
        self.text += data


@pytest.mark.parametrize("text", HOSTILE)
def test_text_of_an_answer_never_becomes_markup(tmp_path, text):
    harmless = Markup(page(tmp_path, [pair(tmp_path / "a", "ada")]))
    hostile = Markup(page(tmp_path, [pair(tmp_path / "b", text)]))
    assert hostile.tags == harmless.tags
    shown = "".join(c if c.isprintable() else "?" for c in text)
    assert hostile.text.count(shown) >= 8  # name, messages, hints, place, code


def test_page_shows_the_lines_around_a_place_and_marks_its_own(tmp_path):
    code = "".join(f"line_{number}\n" for number in range(1, 20))
    found = Verdict(LOG, WRONG, "it is wrong", "a hint", f"{FILE}:9")
    check = CHECKS["5"]["logged"]
    found.results = [Result(check, False, f"{n} failed", f"{FILE}:9") for n in ("one", "two")]
    text = page(tmp_path, [(answer(tmp_path, code=code), [found])])
    assert "One failed." in text
    assert "Two failed." in text
    assert [n for n in range(1, 20) if f"line_{n}\n" in Markup(text).text] == [*range(6, 13)]
    assert text.count("<mark>") == 1  # three problems at one place show it once
    assert "line_9</mark>" in text
    assert "It is wrong." in text


def test_page_masks_secrets_in_the_code(tmp_path):
    code = 'PASSWORD = "pa\\"ss"\nTOKEN = """first\nsecond"""\nkey = "sec" "ret9"\nx = 1\n'
    code += "connect(password='sec' 'ret9')  # formerly pa\"ss\n"
    found = Verdict(LOG, WRONG, "wrong", "", f"{FILE}:5")
    text = Markup(page(tmp_path, [(answer(tmp_path, code=code), [found])])).text
    assert "5  x = 1\n" in text
    assert [
        word for word in ("pa\\", 'pa"', "first", "second", "sec", "ret9") if word in text
    ] == []


def test_password_that_is_a_common_word_is_masked_but_not_as_a_part_of_a_path(tmp_path):
    masked = answer(tmp_path, code='connect(password="root")').mask
    assert masked("/root/lib/rooted.py") == "/root/lib/rooted.py"
    shown = ["'root'", "password=root", "mysql://root:root@db", "root"]
    assert [text for text in shown if "root" in masked(text)] == []


def test_page_reads_no_file_but_the_answers_own(tmp_path):
    outside = tmp_path / "outside.py"
    outside.write_text("of_the_mentor = 1\n")
    own = answer(tmp_path / "a")
    (tmp_path / "a" / "link.py").symlink_to(outside)
    for place in ("../outside.py:1", f"{outside}:1", "link.py:1", f"{FILE}:{'9' * 5000}", "a\n:1"):
        text = page(tmp_path, [(own, [Verdict(LOG, WRONG, "wrong", "", place)])])
        assert "of_the_mentor" not in text
        assert "<pre" not in text


def test_spreadsheet_has_a_row_for_each_answer_and_runs_no_name(tmp_path):
    wide = "\uff1d1"  # a Japanese =
    names = [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        " =1",
        wide,
        'x";=1',
        "Björn",
        "\udcff",
    ]
    verdicts = (
        [Verdict(LOG, PASS), Verdict(RETRY, NEEDS)],
        [Verdict(LOG, WRONG), Verdict(RETRY, PASS)],
    )
    pairs = [(Answer(tmp_path, name, frozenset()), verdicts[n % 2]) for n, name in enumerate(names)]
    write_csv(tmp_path / "marks.csv", pairs)
    raw = (tmp_path / "marks.csv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    with (tmp_path / "marks.csv").open(encoding="utf-8-sig", newline="") as file:
        head, *rows = csv.reader(file)
    titles = ["5 query logging", "8 retry on failure"]
    assert head == ["answer", *titles, "points", "wrong", "missing", "not judged", "of"]
    assert rows[0] == ["'=1+1", "PASS", NEEDS, "1", "0", "0", "1", "2"]
    assert rows[1] == ["'+1", "WRONG", "PASS", "1", "1", "0", "0", "2"]
    assert [row[0] for row in rows[8:]] == ['x";=1', "Björn", "?"]
    assert [row[0] for row in rows[:8] if not row[0].startswith("'")] == []
    assert raw.count(b'"') >= 2 * 7 * len(pairs)  # each cell is quoted


def test_class_is_checked_into_both_files(tmp_path, capsys):
    answer(tmp_path / "class" / "linus", code="def log_queries(function):\n    return function\n")
    answer(tmp_path / "class" / "=grace", code="def log_queries(f)\n")
    files = ["--csv", f"{tmp_path}/marks.csv", "--html", f"{tmp_path}/page.html"]
    assert main([f"{tmp_path}/class", "--only", "5", *files]) == 1
    rows = (tmp_path / "marks.csv").read_text(encoding="utf-8-sig").splitlines()
    assert rows[1:] == [
        '"\'=grace","SYNTAX","0","1","0","0","1"',
        '"linus","WRONG 2/4","0","1","0","0","1"',
    ]
    text = Markup((tmp_path / "page.html").read_text(encoding="utf-8")).text
    assert "2 answers checked" in text
    assert ">    1  def log_queries(f)\n" in text
    assert "=grace, query logging: SYNTAX" in text


def test_missing_jinja2_is_reported_before_anything_is_checked(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "jinja2", None)  # as if it were not installed
    answer(tmp_path / "a")
    assert main([f"{tmp_path}/a", "--only", "5", "--html", f"{tmp_path}/page.html"]) == 2
    said = "check.py: --html needs Jinja2: pip install -r checker/requirements.txt\n"
    assert capsys.readouterr() == ("", said)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("option", ["--json", "--junitxml", "--csv", "--html"])
def test_unwritable_file_is_reported_before_anything_is_checked(tmp_path, capsys, option):
    answer(tmp_path / "a")
    old, new, bad = tmp_path / "old", tmp_path / "new", tmp_path / "none" / "file"
    old.write_text("of before")
    files = dict.fromkeys(["--json", "--junitxml", "--csv", "--html"], new)
    files |= {"--csv" if option == "--json" else "--json": old, option: bad}
    files = [str(word) for pair in files.items() for word in pair]
    assert main([f"{tmp_path}/a", "--only", "5", *files]) == 2
    assert capsys.readouterr() == ("", f"check.py: cannot write {bad}: No such file or directory\n")
    assert old.read_text() == "of before"
    assert not new.exists()


@pytest.mark.nightly
def test_page_works_in_a_browser_by_mouse_and_keyboard_and_runs_no_script(tmp_path):
    if reason := why_no_browser():
        lacks(reason)
    fine = (answer(tmp_path / "fine", "fine"), [Verdict(LOG, PASS), Verdict(RETRY, PASS)])
    pairs = [fine, *(pair(tmp_path / str(n), text) for n, text in enumerate(HOSTILE))]
    text = page(tmp_path, pairs)
    # Even markup that had slipped in would run nothing.
    slip = tmp_path / "slip.html"
    slip.write_text(text.replace("</main>", "</main>" + "".join(HOSTILE[:2])), errors="replace")
    opened, rows = "document.querySelectorAll('details[open]').length", len(pairs)
    visible = (
        "[...document.querySelectorAll('tbody {}')]"
        ".filter(e => e.checkVisibility({{visibilityProperty: true}})).length"
    )
    with browser(tmp_path / "profile") as window:
        window.open(slip)
        assert window.run("document.querySelectorAll('main ~ script, main ~ img').length") == 2
        assert window.run("document.title") == f"{rows} answers checked"
        window.open(tmp_path / "page.html")
        assert window.run("document.title") == f"{rows} answers checked"
        assert window.run("document.querySelectorAll('script, img, svg, [onclick]').length") == 0
        window.click("summary")
        assert window.run("document.querySelector('details[open] .panel').checkVisibility()")
        assert window.run(opened) == 1
        window.press(ENTER)  # on the same summary, which has the focus
        assert window.run(opened) == 0
        window.press(TAB, SPACE)  # the next one
        assert window.run(opened) == 1
        assert "retry" in window.run("document.querySelector('details[open] h2').textContent")
        outline = "getComputedStyle(document.activeElement).outlineStyle"
        assert window.run(outline) == "solid"
        assert window.run(visible.format("tr")) == rows
        window.click("tr:nth-child(2) summary")  # closes the other
        assert window.run(opened) == 1
        window.click("label:has(#show-PASS)")
        assert window.run(visible.format("tr")) == 1
        window.press(RIGHT)  # from PASS to WRONG
        assert window.run("document.activeElement.id") == "show-WRONG"
        assert window.run(visible.format("tr")) == rows - 1
        assert window.run(visible.format(".cell")) == rows - 1  # the WRONG ones, not the CRASHes
        colour = "getComputedStyle(document.body).backgroundColor"
        colours = set()
        for scheme in ("light", "dark"):
            media = [{"name": "prefers-color-scheme", "value": scheme}]
            window.emulate("Emulation.setEmulatedMedia", features=media)
            colours.add(window.run(colour))
        assert len(colours) == 2
