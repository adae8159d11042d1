"""The page of --html: a table of answers and exercises that opens what was said, with the code.

The answers' text is hostile. Jinja2 escapes all of it, and the page's Content-Security-Policy allows
no script at all and only the style with the nonce, which no answer can know: it is made afterwards.
"""

import ast
import importlib.util
import re
import secrets
from collections import Counter
from pathlib import Path

from checker.answers import MASK, Answer
from checker.judge import NOT_JUDGED, PASS, VERDICTS, Verdict
from checker.report import printable, problems, sentence

AROUND = 3  # lines before and after the place
WIDEST = 200  # characters of a line


def why_no_page() -> str | None:
    """Why write_page() cannot work here, or None if it can."""
    said = "--html needs Jinja2: pip install -r checker/requirements.txt"
    return None if importlib.util.find_spec("jinja2") else said


def write_page(path: Path, all_verdicts: list[tuple[Answer, list[Verdict]]]) -> None:
    """Write one file that needs no network and no script."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        finalize=lambda value: printable(str(value)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    columns = list(zip(*(verdicts for _, verdicts in all_verdicts), strict=True))
    totals = Counter(v.verdict for column in columns for v in column)
    text = environment.get_template("page.html").render(
        nonce=secrets.token_urlsafe(),
        exercises=[column[0].exercise for column in columns],
        right=[sum(v.verdict == PASS for v in column) for column in columns],
        totals=[(verdict, totals[verdict]) for verdict in VERDICTS if totals[verdict]],
        groups=Counter(_group(v) for column in columns for v in column),
        rows=[
            (answer.name, Counter(map(_group, verdicts)), [_cell(answer, v) for v in verdicts])
            for answer, verdicts in all_verdicts
        ],
    )
    path.write_text(text, encoding="utf-8")


def _group(verdict: Verdict) -> str:
    others = "not judged" if verdict.verdict in NOT_JUDGED else "wrong"
    return "right" if verdict.verdict == PASS else others


def _cell(answer: Answer, verdict: Verdict) -> dict:
    found = [("", *problem) for problem in problems(verdict)]
    found += [("Advice: ", r.said, r.place, r.check.hint) for r in verdict.advice]
    told, places = [], {""}
    for kind, said, place, hint in found:
        lines = [] if place in places else _excerpt(answer, place)  # with its first problem
        places.add(place)
        told.append((kind, sentence(said), place, hint, lines))
    group, note = _group(verdict).replace(" ", "-"), answer.note(verdict.exercise)
    return {"verdict": verdict, "group": group, "note": note, "told": told}


def _excerpt(answer: Answer, place: str) -> list[tuple[int, str, bool]]:
    """Lines around a place in one of the answer's own files: number, text, whether it is the one.

    The child process reports places, so an answer can forge them: any other file gives no lines.
    """
    found = re.fullmatch(r"(.+):(\d{1,6})", place)
    path = answer.root / found[1] if found else None
    if path not in answer.sources or not path.resolve().is_relative_to(answer.root.resolve()):
        return []
    line = int(found[2])
    lines = re.split(r"\r\n?|\n", _without_secrets(answer, answer.sources[path]))
    first = max(line - AROUND, 1)
    around = enumerate(lines[first - 1 : line + AROUND], first)
    return [(number, answer.mask(text)[:WIDEST], number == line) for number, text in around]


def _without_secrets(answer: Answer, text: str) -> str:
    """Mask whole literals: in the code a secret may be escaped or be in pieces; keep the lines."""
    try:
        nodes = list(ast.walk(ast.parse(text)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return text
    masked = text
    for node in nodes:
        value = getattr(node, "value", None)
        is_text = isinstance(node, ast.Constant) and isinstance(value, str)
        if is_text and answer.mask(value) != value:
            literal = ast.get_source_segment(text, node)
            masked = masked.replace(literal, repr(MASK) + "\n" * literal.count("\n"))
    return masked
