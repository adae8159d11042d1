"""Find answers and their files, and read them without running them."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from checker.exercises import EXERCISES, TOPIC_FOLDERS, Exercise
from checker.sandbox import FOLDERS_LEFT_OUT, MAX_FILE
from checker.sources import SECRET_NAME, read_source, secrets_in

NO_EXERCISE = re.compile(r"(^|[-_])main\.py$|^test|^__", re.IGNORECASE)
ENVIRONMENT = re.compile(
    r"(?:getenv|environ(?:\.get)?|config|env)\s*[(\[]\s*['\"]([A-Za-z_]\w*)['\"]"
)
# The value of a setting whose name matches the pattern; the first match wins.
SETTINGS = (
    (r"HOST(_?NAME)?$|SERVER$", "127.0.0.1"),
    (r"PORT$", "3306"),
    (r"(PASS\w*|PWD|SECRET|KEY|TOKEN)$", "checked"),
    (r"USER(_?NAME)?$", "checked"),
    (r"(DB|DATABASE|SCHEMA|NAME)$", "ALX_prodev"),
)
MASK = "********"


@dataclass
class Answer:
    """One person's answers: `root` is the folder to copy, `topics` are the topics to check."""

    root: Path
    name: str
    topics: frozenset[str]

    def find(self, exercise: Exercise) -> Path | None:
        """The exercise's file: by the course's name, or else by a similar name."""
        places = self._folders(exercise.topic)
        for folder in places:
            if (path := folder / exercise.file).is_file():
                return path
        if any(map(_topic_of, places)):  # topic folders exist: search no others
            places = [self.root, *filter(_topic_of, places)]
        pattern = re.compile(exercise.also)
        taken = {other.file.lower() for other in EXERCISES} - {exercise.file.lower()}
        for folder in places:
            for path in sorted(folder.glob("*.py")):
                plain = re.sub(r"^\d+|[^a-z]", "", path.stem.lower())
                if NO_EXERCISE.search(path.name) or path.name.lower() in taken:
                    continue
                if pattern.fullmatch(plain):
                    return path
        return None

    def _folders(self, topic: str) -> list[Path]:
        inside = [self.root, *_subfolders(self.root)]
        own = [f for f in inside if re.search(TOPIC_FOLDERS[topic], f.name, re.IGNORECASE)]
        others = [f for f in inside if not _topic_of(f)]
        return own + others

    @cached_property
    def sources(self) -> dict[Path, str]:
        """The text of every Python file, by its path."""
        return {path: read_source(path) for path in _python_files(self.root)}

    @cached_property
    def secrets(self) -> list[str]:
        """Passwords and keys in the code or in a .env file, which must never be shown."""
        found = set()
        for text in self.sources.values():
            found |= set(secrets_in(text))
        for path in [*self.root.glob(".env*"), *self.root.glob("*/.env*")]:
            for line in read_source(path).splitlines():
                name, _, value = line.partition("=")
                if SECRET_NAME.search(name) and value.strip():
                    found.add(value.strip().strip("'\""))
        return sorted((s for s in found if len(s) >= 3), key=len, reverse=True)

    def mask(self, text: str) -> str:
        """Replace each secret in a text by asterisks."""
        for secret in self.secrets:
            text = text.replace(secret, MASK)
        return text

    def drivers(self) -> list[str]:
        """The MySQL drivers that the code mentions; stand-ins for the others use mysql.connector."""
        text = "\n".join(self.sources.values())
        named = [name for name in ("pymysql", "MySQLdb") if name.lower() in text.lower()]
        return ["mysql.connector", *named] if named or "mysql" in text.lower() else []

    def settings(self) -> dict[str, str]:
        """A value for each environment variable that the code reads."""
        found = {}
        for text in self.sources.values():
            for name in ENVIRONMENT.findall(text):
                for pattern, value in SETTINGS:
                    if re.search(pattern, name, re.IGNORECASE):
                        found[name] = value
                        break
        return found

    def declared_packages(self) -> str:
        """The text of the requirements files, in lower case."""
        files = [*self.root.glob("*requirements*.txt"), *self.root.glob("*/*requirements*.txt")]
        return "\n".join(read_source(path) for path in files).lower()


def find_answers(path: Path) -> tuple[list[Answer], bool]:
    """Return the answers in `path`, and whether it is one answer, not a folder of answers.

    Raises FileNotFoundError if there is none.
    """
    path = path.resolve()
    if path.is_file():
        path = path.parent
    if not path.is_dir():
        raise FileNotFoundError(f"no such folder: {path}")
    if answer := _answer_at(path):
        return [answer], True
    found = []
    for folder in _subfolders(path):
        inner = _first_answer(folder, depth=3)
        # A folder without any exercise counts as an answer in which every exercise is missing.
        root = inner.root if inner else folder
        topics = inner.topics if inner else frozenset()
        found.append(Answer(root, folder.name, topics))
    if not any(answer.topics for answer in found):
        raise FileNotFoundError(
            f"no exercise in {path}: expected folders such as python-generators-0x00"
        )
    if len(found) == 1 and found[0].topics:
        return found, True
    return found, False


def _answer_at(folder: Path) -> Answer | None:
    inside = [f for f in _subfolders(folder) if _topic_of(f) and _has_exercise(f)]
    topics = {topic for inner in inside for topic in _topic_of(inner)}
    answers_inside = [f for f in _subfolders(folder) if _has_topic_folder(f)]
    if len(answers_inside) > 1 or len(inside) > 2 * len(topics):
        return None  # a folder of answers, some of them named after their topic
    if topics:
        return Answer(folder, folder.name, frozenset(topics))
    if not _has_exercise(folder):
        return None
    if own := _topic_of(folder):
        # A single topic folder: its scripts may need files of the folder above, such as seed.py.
        has_seed = (folder.parent / "seed.py").is_file()
        root = folder.parent if has_seed else folder
        return Answer(root, folder.name, frozenset(own))
    topics = {
        e.topic for e in EXERCISES if Answer(folder, folder.name, frozenset()).find(e) is not None
    }
    return Answer(folder, folder.name, frozenset(topics))


def _first_answer(folder: Path, depth: int) -> Answer | None:
    if answer := _answer_at(folder):
        return answer
    if depth:
        for inner in _subfolders(folder):
            if answer := _first_answer(inner, depth - 1):
                return answer
    return None


def _topic_of(folder: Path) -> list[str]:
    name = folder.name
    return [t for t, pattern in TOPIC_FOLDERS.items() if re.search(pattern, name, re.IGNORECASE)]


def _has_topic_folder(folder: Path) -> bool:
    return any(_topic_of(inner) and _has_exercise(inner) for inner in _subfolders(folder))


def _has_exercise(folder: Path) -> bool:
    """Whether the folder itself holds an exercise's file."""
    names = {path.name.lower() for path in folder.glob("*.py")}
    return any(
        e.file.lower() in names or any(
            re.fullmatch(e.also, re.sub(r"^\d+|[^a-z]", "", Path(n).stem)) for n in names
        )
        for e in EXERCISES
    ) or (bool(_topic_of(folder)) and bool(names))  # fmt: skip


def _subfolders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(
        f for f in folder.iterdir()
        if f.is_dir() and not f.is_symlink() and not f.name.startswith(".")
        and f.name not in FOLDERS_LEFT_OUT
    )  # fmt: skip


def _python_files(root: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in FOLDERS_LEFT_OUT and f[0] != ".")
        for name in sorted(files):
            path = Path(folder) / name
            if name.endswith(".py") and path.is_file() and path.stat().st_size <= MAX_FILE:
                yield path
