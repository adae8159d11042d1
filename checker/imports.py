"""Why an import of an answer failed: a package that is not installed, or a fault of the answer."""

import re
import sys
from typing import NamedTuple

from checker.answers import Answer
from checker.sandbox import Run
from checker.sources import Source

# A missing module is the answer's fault, except one of these or one that the answer declares.
# The package to install, by its module.
PACKAGES = {
    name: name
    for name in (
        "aiomysql", "aiosqlite", "asyncmy", "asyncpg", "colorama", "django", "environs", "flask",
        "httpx", "matplotlib", "numpy", "pandas", "peewee", "pydantic", "redis", "requests", "rich",
        "sqlalchemy", "tabulate", "tqdm", "unidecode", "uuid6",
    )
} | {
    "MySQLdb": "mysqlclient", "PIL": "Pillow", "bs4": "beautifulsoup4",
    "dateutil": "python-dateutil", "decouple": "python-decouple", "dotenv": "python-dotenv",
    "environ": "django-environ", "faker": "Faker", "mysql": "mysql-connector-python",
    "psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "pymysql": "PyMySQL",
    "yaml": "PyYAML",
}  # fmt: skip
CANNOT_IMPORT = re.compile(r"cannot import name '(\w+)' from '([\w.-]+)'")


class MissingPackage(NamedTuple):
    module: str
    package: str
    place: str  # where the answer imports it


def missing_package(run: Run, answer: Answer) -> MissingPackage | None:
    """The package that an import of the answer needs and this Python does not have."""
    for fact in run.facts.values():
        error = fact.get("error")
        if error and "ModuleNotFoundError" in error["bases"] and error["module"]:
            name = error["module"].partition(".")[0]
            package = PACKAGES.get(name, name)
            declared = {
                name.lower(),
                package.lower().replace("-", "_"),
            } & answer.declared_packages()
            if name in sys.stdlib_module_names or _own(name, answer):
                continue
            if name in PACKAGES or declared:
                return MissingPackage(name, package, _place(error))
    return None


def explain_import(error: dict, answer: Answer) -> tuple[str, str]:
    """What to add to an error of importing the answer's file, and a hint; "" where it says enough."""
    name, place = error["module"], error.get("place")
    if "SyntaxError" in error["bases"] and place:
        return "", Source(answer.root / place[0]).syntax_hint()
    if match := CANNOT_IMPORT.search(error["message"]):
        wanted, module = match.groups()
        if files := _own(module, answer):
            return "", f"Does {' or '.join(files)} define {wanted}? Compare the spelling."
    if "ModuleNotFoundError" not in error["bases"] or not name or "." in name:
        return "", ""
    if files := _own(name, answer):
        return f": {files[0]} is in another folder", (
            "Python looks for a module in the folder of the file that runs. "
            "What would it take for the two to be in one folder?"
        )
    if name in sys.stdlib_module_names:
        return "", ""
    return f": the answer contains no {name}.py", (
        "If the module is yours, hand in its file. If it is a package, name it in requirements.txt."
    )


def _own(module: str, answer: Answer) -> list[str]:
    """The files of the answer that could be this module."""
    paths = [p for p in answer.sources if module in (p.stem, p.parent.name)]
    return [path.relative_to(answer.root).as_posix() for path in paths]


def _place(error: dict) -> str:
    place = error.get("place")
    return f"{place[0]}:{place[1]}" if place else ""
