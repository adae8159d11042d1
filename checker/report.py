"""Verdicts as a table for people, and as JSON and JUnit XML for programs."""

import json
import sys
import textwrap
from pathlib import Path
from xml.etree import ElementTree as ET

from checker.answers import Answer
from checker.judge import CHECKER, MISSING, NOT_JUDGED, PASS, VERDICTS, WRONG, Verdict
from checker.tasks import ROOT

GREEN, RED, YELLOW, DIM, BOLD = "32", "31", "33", "2", "1"
JUNIT = dict.fromkeys(NOT_JUDGED, "skipped") | {CHECKER: "error", PASS: ""}
WIDTH = 100
PARAGRAPH = textwrap.TextWrapper(WIDTH, " " * 5, " " * 7, break_on_hyphens=False)


class Report:
    """Writes to a stream, with colours and progress only if it is a terminal."""

    def __init__(self):
        self.stream = sys.stdout
        self.is_terminal = self.stream.isatty()

    def line(self, text: str = "") -> None:
        print(text, file=self.stream)

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.is_terminal else text

    def progress(self, done: int, of: int, name: str) -> None:
        if self.is_terminal:
            text = f"{done}/{of} {name}"[: WIDTH - 5] if done < of else ""
            print(f"\r\x1b[K{text}", end="", file=self.stream, flush=True)

    def details(self, answer: Answer, verdicts: list[Verdict]) -> None:
        """Print one answer: each exercise with its problems, then each piece of advice once."""
        self.line(self.paint(answer.name, BOLD))
        for verdict in verdicts:
            self._exercise(answer, verdict, problems(verdict))
        self._advice(verdicts)
        more = f", {number} not judged" if (number := not_judged(verdicts)) else ""
        self.line(f"  {_right(verdicts)} of {len(verdicts)} right{more}")

    def _exercise(self, answer: Answer, verdict: Verdict, told: list[tuple]) -> None:
        name = "" if verdict.exercise.number == "seed" else verdict.exercise.number
        said = self.paint(f"{verdict.verdict:7}", _colour(verdict))
        if verdict.said.startswith("still to do"):
            told, said = [], f"{said} {verdict.said}"
        self.line(f"  {name:>2} {verdict.exercise.title:20} {said} {verdict.score}".rstrip())
        if note := answer.note(verdict.exercise):
            self._indented(sentence(note), DIM)
        for text, place, hint in told:
            where = f"{place}: " if place else ""
            self._indented(f"{where}{sentence(text)}")
            if hint:
                self._indented(f"Hint: {hint}", DIM)

    def watched(self, answer: Answer, checked: list[Verdict], verdicts: list[Verdict]) -> None:
        """Print what was just checked, with its first problem, and the state of all exercises."""
        if self.is_terminal:
            self.line("\x1b[2J\x1b[H")  # clear the screen
        for verdict in checked:
            self._exercise(answer, verdict, problems(verdict)[:1])
            if passed := [result.check.name for result in verdict.counted if result.passed]:
                self._indented(f"Passed: {', '.join(passed)}")
            if verdict.verdict == PASS and _right(verdicts) < len(verdicts):
                self._advice([verdict])
        marks = {PASS: "#", MISSING: "."}
        cells = (self.paint(marks.get(v.verdict, "x"), _colour(v)) for v in verdicts)
        self.line(f"  [{''.join(cells)}] {_right(verdicts)} of {len(verdicts)} right")
        self.line()
        self.stream.flush()

    def finished(self, answer: Answer, verdicts: list[Verdict]) -> None:
        """Print what may still be better, and where better answers are, when all are right."""
        self._advice(verdicts)
        self.line(f"All are right. To compare: the scripts in {ROOT}, and what they do")
        self.line(f"better than the usual answers: {ROOT / 'docs' / 'mistakes.md'}")

    def _advice(self, verdicts: list[Verdict]) -> None:
        """Print each piece of advice once: what was seen where, then the hint that they share."""
        found: dict[str, dict[str, list[str]]] = {}
        for verdict in verdicts:
            for result in verdict.advice:
                if result.said not in verdict.said:  # the verdict itself says it already
                    seen = found.setdefault(result.check.hint, {})
                    place = f"{verdict.exercise.number} ({result.place})"
                    seen.setdefault(sentence(result.said), []).append(place)
        if found:
            self.line("  Advice (does not change the result):")
        for hint, seen in found.items():
            for said, places in seen.items():
                self._indented(f"{', '.join(places)}: {said}", DIM)
            self._indented(f"Hint: {hint}", DIM)

    def _indented(self, text: str, colour: str | None = None) -> None:
        for part in PARAGRAPH.wrap(printable(text)):
            self.line(self.paint(part, colour) if colour else part)

    def summary(self, all_verdicts: list[tuple[Answer, list[Verdict]]]) -> None:
        """Print one line for each answer, with its exercises in order."""
        longest = max(len(answer.name) for answer, _ in all_verdicts)
        for answer, verdicts in all_verdicts:
            cells = " ".join(map(self._cell, verdicts))
            more = f"  {number} not judged" if (number := not_judged(verdicts)) else ""
            right = f"{_right(verdicts):2}/{len(verdicts)}"
            self.line(f"{answer.name:{longest}}  {right}  {cells}{more}")
        self.line()
        totals = [v.verdict for _, verdicts in all_verdicts for v in verdicts]
        self.line("  ".join(f"{totals.count(v)} {v}" for v in VERDICTS if v in totals))

    def _cell(self, verdict: Verdict) -> str:
        said = {PASS: "ok", WRONG: WRONG + verdict.score}.get(verdict.verdict, verdict.verdict)
        return self.paint(f"{verdict.exercise.number}:{said}", _colour(verdict))


def _right(verdicts: list[Verdict]) -> int:
    return sum(verdict.verdict == PASS for verdict in verdicts)


def not_judged(verdicts: list[Verdict]) -> int:
    return sum(verdict.verdict in NOT_JUDGED for verdict in verdicts)


def sentence(text: str) -> str:
    first = text.partition(" ")[0]
    begin = text[:1].upper() + text[1:] if first.isalpha() else text
    return begin if begin.endswith((".", "?", "!")) else begin + "."


def _colour(verdict: Verdict) -> str:
    return GREEN if verdict.verdict == PASS else YELLOW if verdict.verdict in NOT_JUDGED else RED


def problems(verdict: Verdict) -> list[tuple[str, str, str]]:
    """Each problem, its place and a hint: of each failed check, or of the verdict itself."""
    if verdict.verdict == PASS:
        return []
    found = [(r.said, r.place, r.hint) for r in verdict.failed if r.decided]
    checks = list(dict.fromkeys(found))  # several checks may have the same reason
    whole = (verdict.said, verdict.place, verdict.hint)
    return checks if whole in checks else [whole, *checks]


def write_json(path: Path, all_verdicts: list[tuple[Answer, list[Verdict]]]) -> None:
    answers = [
        {
            "name": answer.name,
            "right": _right(verdicts),
            "of": len(verdicts),
            "not_judged": not_judged(verdicts),
            "exercises": [_exercise_data(answer, verdict) for verdict in verdicts],
        }
        for answer, verdicts in all_verdicts
    ]
    text = json.dumps({"answers": answers}, indent=1, ensure_ascii=False)
    path.write_text(text + "\n", encoding="utf-8", errors="backslashreplace")


def _exercise_data(answer: Answer, verdict: Verdict) -> dict:
    exercise, shared = verdict.exercise, ("said", "place", "hint")
    checks = [
        {"check": result.check.name, "severity": result.check.severity}
        | {name: getattr(result, name) for name in ("passed", *shared, "decided")}
        for result in verdict.results
    ]
    return (
        {"exercise": exercise.number, "title": exercise.title, "note": answer.note(exercise)}
        | {name: getattr(verdict, name) for name in ("verdict", "score", *shared)}
        | {"seconds": round(verdict.seconds, 2), "checks": checks}
    )


def write_junit(path: Path, all_verdicts: list[tuple[Answer, list[Verdict]]]) -> None:
    """Write a suite per answer and a case per exercise: not judged is skipped, CHECKER an error."""
    suites = ET.Element("testsuites")
    for answer, verdicts in all_verdicts:
        kinds = [JUNIT.get(verdict.verdict, "failure") for verdict in verdicts]
        counts = {"tests": len(kinds), "skipped": kinds.count("skipped")}
        counts |= {f"{kind}s": kinds.count(kind) for kind in ("failure", "error")}
        suite = ET.SubElement(suites, "testsuite", name=answer.name)
        suite.attrib |= {name: str(number) for name, number in counts.items()}
        for one, kind in zip(verdicts, kinds, strict=True):
            named = {"name": f"{one.exercise.number} {one.exercise.title}"}
            named |= {"classname": answer.name, "time": f"{one.seconds:.2f}"}
            case = ET.SubElement(suite, "testcase", named)
            if kind:
                message = printable(f"{one.verdict} {one.score}: {one.said}")
                told = [f"{r.check.name}: {r.said} ({r.place})\nhint: {r.hint}" for r in one.failed]
                ET.SubElement(case, kind, message=message).text = printable("\n".join(told))
    ET.indent(suites)
    ET.ElementTree(suites).write(path, encoding="utf-8", xml_declaration=True)


def printable(text: str) -> str:
    """Replace control characters, which XML does not allow, by a question mark."""
    return "".join(c if c in "\n\t" or c.isprintable() else "?" for c in text)
