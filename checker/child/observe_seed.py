"""In the child: run seed.py twice, as the course's main file 0 does."""

from pathlib import Path

from checker.child.observe import Observer, find, finish
from checker.child.wanted import NAMES

DATA = "user_data.csv"


def seed(observer: Observer, file: Path) -> None:
    module = observer.load(file)
    functions = {name: find(module, *patterns) for name, patterns in NAMES["seed"].items()}
    with observer.step("functions") as fact:
        fact["found"] = [name for name, function in functions.items() if function]
    if None in functions.values():
        return
    observer.ask("no database")
    for run in ("first", "second"):
        with observer.step(f"{run} run") as fact:

            def called(name: str, *arguments, fact=fact):
                fact["call"] = name
                return functions[name](*arguments)

            called("create_database", server := called("connect_db"))
            _close(server)
            called("create_table", connection := called("connect_to_prodev"))
            fact["table said"] = observer.output.text()
            observer.mark(f"{run} table")
            fact["call"] = "insert_data"
            _insert(module, functions["insert_data"], connection)
            _close(connection)
        observer.mark(f"{run} run")
        if run == "first":
            observer.ask("stranger")


def _insert(module, insert, connection) -> None:
    """Pass the file's name, as the course does; if that fails, the rows from the module's reader."""
    try:
        finish(insert(connection, DATA))
    except Exception as error:
        reader = find(module, r"\w*csv\w*", r"read_?\w*|load_?(?!env)\w*")
        if reader is None or reader is insert:
            raise
        try:
            connection.rollback()
            finish(insert(connection, reader(DATA)))
        except Exception:  # then the first error is the one that a caller meets
            raise error from None


def _close(connection) -> None:
    if connection is not None and hasattr(connection, "close"):
        connection.close()


OBSERVE = {"seed": seed}
