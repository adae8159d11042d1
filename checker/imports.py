"""Why an import of an answer failed: a package that is not installed, or a fault of the answer."""

import re
import sys

from checker.answers import Answer
from checker.sandbox import Run
from checker.sources import Source

# A missing module is the answer's fault, except one of these or one that the answer declares.
# The package's name follows where it is another one.
KNOWN = """
    aiocache aiofiles aiohttp aiomysql aiopg aioredis aiosqlite alembic anyio arrow asyncmy asyncpg
    asyncstdlib backoff bcrypt boltons cachetools click colorama colorlog cryptography cx_Oracle
    databases django dataset diskcache emoji environs fastapi flask freezegun humanize hypothesis
    joblib jinja2 loguru mariadb marshmallow matplotlib motor mysqlclient nest_asyncio numpy openpyxl
    oracledb orjson ormar pandas passlib peewee pendulum polars pony prettytable psutil pyarrow
    pydantic pymongo pyodbc pytest ratelimit redis requests retry retrying rich scipy seaborn simplejson
    sqlalchemy sqlite_utils sqlmodel sqlparse stamina structlog tabulate tenacity termcolor toml toolz
    tqdm trio typer ujson unidecode uuid6 uvloop wrapt MySQLdb=mysqlclient async_lru=async-lru
    bs4=beautifulsoup4 dateutil=python-dateutil decouple=python-decouple dotenv=python-dotenv
    environ=django-environ faker=Faker more_itertools=more-itertools mysql=mysql-connector-python
    psycopg=psycopg[binary] psycopg2=psycopg2-binary pymysql=PyMySQL
    pythonjsonlogger=python-json-logger tortoise=tortoise-orm yaml=PyYAML
"""
PACKAGES = {name: package or name for name, package in re.findall(r"(\w+)=?(\S*)", KNOWN)}
CANNOT_IMPORT = re.compile(r"cannot import name '(\w+)' from '([\w.-]+)'")


def missing_package(run: Run, answer: Answer) -> tuple[str, dict] | None:
    """A package that the answer imports and that is not installed, with the error."""
    for fact in run.facts.values():
        error = fact.get("error")
        if error and "ModuleNotFoundError" in error["bases"] and error["module"]:
            name = error["module"].partition(".")[0]
            package = PACKAGES.get(name, name)
            known = name in PACKAGES or name.lower() in answer.declared_packages()
            if known and name not in sys.stdlib_module_names and not _files(name, answer):
                return package, error
    return None


def explain_import(error: dict, answer: Answer) -> tuple[str, str]:
    """What to add to the message of an import's error, and a hint; "" where there is nothing."""
    name, place, text = error["module"], error.get("place"), error["message"]
    if "SyntaxError" in error["bases"] and place:
        path = answer.root / str(place[0])
        return "", Source(path).syntax_hint() if path in answer.sources else ""
    if (match := CANNOT_IMPORT.search(text)) and (files := _files(match[2], answer)):
        return "", f"Does {' or '.join(files)} define {match[1]}? Compare the spelling."
    is_missing = "ModuleNotFoundError" in error["bases"] and name and "." not in name
    if is_missing and (files := _files(name, answer)):
        return f": {files[0]} is in another folder", (
            "Python looks for a module in the folder of the file that you run."
        )
    if is_missing and name not in sys.stdlib_module_names:
        return f": the answer contains no {name}.py", (
            "Is it a file of yours? Hand it in, too. Is it a package? Name it in requirements.txt."
        )
    return "", ""


def _files(module: str, answer: Answer) -> list[str]:
    """The files of the answer that could be this module."""
    paths = [path for path in answer.sources if module in (path.stem, path.parent.name)]
    return [path.relative_to(answer.root).as_posix() for path in paths]
