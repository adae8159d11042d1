"""Find answers and their files, and read them without running them."""

import contextlib
import os
import re
import stat
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from itertools import chain
from pathlib import Path

from checker.child.wanted import NAMES
from checker.exercises import EXERCISES, TOPIC_FOLDERS, Exercise
from checker.sandbox import FOLDERS_LEFT_OUT, MAX_FILE
from checker.sources import SECRET_NAME, Source, read_source, secrets_in

NO_EXERCISE = re.compile(r"(^|[-_])main\.py$|^test|^__", re.IGNORECASE)
ENVIRONMENT = re.compile(r"(?:env|environ(?:\.get)?|config)\s*[(\[]\s*['\"]([A-Za-z_]\w*)['\"]")
# The value of a setting whose name matches the pattern; the first match wins.
SETTINGS = (
    (r"HOST(_?NAME)?$|SERVER$", "127.0.0.1"),
    (r"PORT$", "3306"),
    (r"(PASS\w*|PWD|SECRET|KEY|TOKEN)$", "checked"),
    (r"USER(_?NAME)?$", "checked"),
    (r"(DB|DATABASE|SCHEMA|NAME)$", "ALX_prodev"),
)
MASK = "********"
TOPICS, EXAMPLE = frozenset(TOPIC_FOLDERS), "python-generators-0x00"


@dataclass
class Answer:
    """One person's answers: `root` is the folder to copy, `topics` are the topics to check.

    `folder` is where the files are looked for, if that is only a part of `root`: a topic folder
    whose scripts may need files of the folder above, such as seed.py.
    """

    root: Path
    name: str
    topics: frozenset[str]
    folder: Path | None = None

    def find(self, exercise: Exercise) -> Path | None:
        """The exercise's file. A file in the topic's folder comes before all others.

        A file that has only a similar name, or is in an unexpected folder, counts only if it
        defines one of the names that the exercise asks for.
        """
        paths = self._searched()
        exact = [path for path in paths if path.name == exercise.file]
        outer = [path for path in paths if self.root in (path.parent, path.parent.parent)]
        alike = [path for path in outer if _is_similar(path, exercise)]
        own = [path for path in outer if exercise.topic in _topic_of(path.parent)]
        has_folders = any(_topic_of(path.parent) for path in outer)
        near = [path for path in alike if path in own] + exact
        near += [path for path in alike if path.parent == self.root or not has_folders]
        return next(chain(
            (path for path in exact if path in own),
            (path for path in near if defines(path, exercise)),
            (path for path in exact if path in outer and not _topic_of(path.parent)),
        ), None)  # fmt: skip

    def why_missing(self, exercise: Exercise) -> str:
        """Say which file was looked for, and what the file of the nearest name lacks."""
        said, wanted = f"there is no file {exercise.file}", _plain(Path(exercise.file))
        named = {_plain(p): p for p in files(self.folder or self.root) if _may_be(p, exercise)}
        near = [named[name] for name in get_close_matches(wanted, named, cutoff=0.8)]
        near += [path for path in self._searched() if _is_similar(path, exercise)]
        if not near:
            return said
        place = near[0].relative_to(self.root).as_posix()
        if near[0].suffix != ".py" or defines(near[0], exercise):
            return f"{said}; there is {place}"
        return f"{said}; {place} defines no {' or '.join(NAMES[exercise.number])}"

    def note(self, exercise: Exercise) -> str:
        """Say where the file was found, if the answer has topic folders but it is elsewhere."""
        file = self.find(exercise)
        if file is None or exercise.topic in _topic_of(file.parent):
            return ""
        place = file.relative_to(self.root).as_posix()
        has_folders = any(_topic_of(p.parent) for p in self._searched() if p.parent != self.root)
        return f"found as {place}, not in a folder for {exercise.topic}" if has_folders else ""

    def _searched(self) -> list[Path]:
        inside = self.folder or self.root
        found = [p for p in self.sources if p.parent == self.root or inside in p.parents]
        return sorted(found, key=lambda path: (len(path.parts), path))

    @cached_property
    def sources(self) -> dict[Path, str]:
        """The text of every Python file, by its path."""
        return {path: read_source(path) for path in files(self.root) if path.suffix == ".py"}

    @cached_property
    def secrets(self) -> list[str]:
        """Passwords and keys in the code or in a .env file, which must never be shown."""
        found = {secret for text in self.sources.values() for secret in secrets_in(text)}
        for line in "\n".join(map(read_source, self.outer(".env*"))).splitlines():
            name, _, value = line.partition("=")
            if SECRET_NAME.search(name):
                found.add(value.strip().strip("'\""))
        return sorted((s for s in found if len(s) >= 3), key=len, reverse=True)

    def mask(self, text: str) -> str:
        """Replace each secret in a text by asterisks, a word such as root only where it stands alone."""
        for secret in self.secrets:
            pattern = rf"(?<!\w){secret}(?![\w/])" if secret.isalpha() else re.escape(secret)
            text = re.sub(pattern, MASK, text)
        return text

    def drivers(self) -> list[str]:
        """The MySQL drivers that the code mentions."""
        text = "\n".join(self.sources.values())
        named = [name for name in ("pymysql", "MySQLdb") if name.lower() in text.lower()]
        return ["mysql.connector", *named] if named or "mysql" in text.lower() else []

    def settings(self) -> dict[str, str]:
        """A value for each environment variable that the code reads."""
        names = {name for text in self.sources.values() for name in ENVIRONMENT.findall(text)}
        # Of several patterns the first counts, so it comes last here.
        return {n: v for p, v in reversed(SETTINGS) for n in names if re.search(p, n.upper())}

    def declared_packages(self) -> set[str]:
        """The packages in the requirements files, in lower case, with underscores."""
        text = "\n".join(map(read_source, self.outer("*requirements*.txt")))
        return set(re.findall(r"(?m)^\s*(\w[\w.]*)", text.lower().replace("-", "_")))

    def outer(self, pattern: str) -> list[Path]:
        """The files of such a name in the root folder or in a folder in it."""
        return [*self.root.glob(pattern), *self.root.glob(f"*/{pattern}")]


def defines(path: Path, exercise: Exercise) -> bool:
    """Whether the file defines one of the names that the exercise asks for, or a similar one."""
    # The observers take a class of exercises 10 and 11 only if the file itself defines it.
    names = Source(path).names(imported=exercise.number not in ("10", "11"))
    patterns = [pattern for group in NAMES[exercise.number].values() for pattern in group]
    return any(re.fullmatch(p, name, re.IGNORECASE) for p in patterns for name in names)


def find_answers(path: Path) -> tuple[list[Answer], bool]:
    """Return the answers in `path`, and whether it is one answer, not a folder of answers.

    Raises FileNotFoundError if there is none.
    """
    path = path.resolve().parent if path.is_file() else path.resolve()
    if not path.is_dir():
        raise FileNotFoundError(f"no such folder: {path}")
    if answer := _answer_at(path):
        return [answer], True
    found = []
    for folder in _subfolders(path):
        inner = _first_answer(folder, depth=3)
        # A folder without any exercise counts as an answer in which every exercise is missing.
        found.append(replace(inner or Answer(folder, "", frozenset()), name=folder.name))
    if not any(answer.topics for answer in found):
        raise FileNotFoundError(f"no exercise in {path}: expected folders such as {EXAMPLE}")
    return found, len(found) == 1


def _answer_at(folder: Path) -> Answer | None:
    inside = _topic_folders(folder)
    topics = {topic for inner in inside for topic in _topic_of(inner)}
    answers_inside = list(filter(_topic_folders, _subfolders(folder)))
    if len(answers_inside) > 1 or len(inside) > 2 * len(topics):
        return None  # a folder of answers, some of them named after their topic
    if not topics and not _has_exercise(folder):
        return None
    answer, own = Answer(folder, folder.name, TOPICS), frozenset(_topic_of(folder))
    others = (e for e in EXERCISES if e.topic not in own and e.number != "seed" and answer.find(e))
    if topics or not own or any(others):
        return answer
    # A single topic folder: its scripts may need files of the folder above, such as seed.py.
    root = folder.parent if (folder.parent / "seed.py").is_file() else folder
    return Answer(root, folder.name, own, folder)


def _first_answer(folder: Path, depth: int) -> Answer | None:
    inner = (_first_answer(one, depth - 1) for one in _subfolders(folder) if depth)
    return _answer_at(folder) or next(filter(None, inner), None)


def _plain(path: Path) -> str:
    """The letters of a file's name, without .py or .py.txt."""
    return re.sub(r"[^a-z]", "", path.stem.lower().removesuffix(".py"))


def _may_be(path: Path, exercise: Exercise) -> bool:
    taken = {other.file.lower() for other in EXERCISES} - {exercise.file.lower()}
    return not NO_EXERCISE.search(path.name) and path.name.lower() not in taken


def _is_similar(path: Path, exercise: Exercise) -> bool:
    return _may_be(path, exercise) and bool(re.fullmatch(exercise.also, _plain(path)))


def _topic_of(folder: Path) -> list[str]:
    name = folder.name
    return [t for t, pattern in TOPIC_FOLDERS.items() if re.search(pattern, name, re.IGNORECASE)]


def _topic_folders(folder: Path) -> list[Path]:
    return [inner for inner in _subfolders(folder) if _topic_of(inner) and _has_exercise(inner)]


def _has_exercise(folder: Path) -> bool:
    """Whether the folder itself holds an exercise's file."""
    names = {_plain(path) for path in folder.glob("*.py")}
    known = any(re.fullmatch(e.also, name) for e in EXERCISES for name in names)
    return known or bool(_topic_of(folder) and names)


def _is_kept(name: str) -> bool:
    return name[0] != "." and name not in FOLDERS_LEFT_OUT


def _subfolders(folder: Path) -> list[Path]:
    inside = (folder / name for name in sorted(os.listdir(folder)) if _is_kept(name))
    return [path for path in inside if path.is_dir() and not path.is_symlink()]


def files(root: Path) -> dict[Path, os.stat_result]:
    """An answer's files and their states, without hidden, large and installed ones."""
    found = {}
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(filter(_is_kept, folders))
        for path in (Path(folder, name) for name in sorted(filter(_is_kept, names))):
            with contextlib.suppress(OSError):  # it has just gone, or a link leads nowhere
                found[path] = path.stat()
    return {p: s for p, s in found.items() if stat.S_ISREG(s.st_mode) and s.st_size <= MAX_FILE}
