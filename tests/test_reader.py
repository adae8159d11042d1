"""seed.open_reader() on tables of any kind: other keys, other types, through a lost server."""

import contextlib
import datetime
import itertools
import re

import pytest
from conftest import ROOT, make_table

import seed

COLUMNS = {
    "integer": ("BIGINT", lambda n: n * 7 - 3_000),
    "text": ("VARCHAR(20)", lambda n: f"ключ {n:06}"),
    "binary": ("VARBINARY(8)", lambda n: (n * 5).to_bytes(8, "big")),
}
VALUES = "note TEXT, made DATETIME, data BLOB, doc JSON, price DECIMAL(9,2), size DOUBLE"
ROWS = 1_234  # several segments on a server, several blocks on the embedded engine


def things(key: str) -> list[tuple]:
    rows = []
    for n in range(ROWS):
        is_null = n % 3 == 0
        values = (f"é {n}", "2026-01-31 12:00:00", b"\x00\xff'", f'["{n}"]', n + n % 2 / 2, n / 4)
        rows.append((COLUMNS[key][1](n), *([None] * len(values) if is_null else values)))
    return rows


def make_things(engine, key: str) -> None:
    make_table()
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        cursor = connection.cursor()
        utf8 = "CHARACTER SET utf8mb4 COLLATE utf8mb4_bin" if engine.server else ""
        cursor.execute(f"CREATE TABLE things (k {COLUMNS[key][0]} PRIMARY KEY, {VALUES}) {utf8}")
        insert = "INSERT INTO things VALUES (%s, %s, %s, %s, %s, %s, %s)"
        cursor.executemany(insert, things(key))
        connection.commit()


FIRST = "SELECT * FROM things ORDER BY k LIMIT %s"
AFTER = "SELECT * FROM things WHERE k > %s ORDER BY k LIMIT %s"


def of_the_driver() -> list[dict]:
    """All rows as the engine's driver gives them."""
    with (
        contextlib.closing(seed.connect_to_prodev()) as connection,
        connection.cursor(dictionary=True) as cursor,
    ):
        cursor.execute("SELECT * FROM things ORDER BY k")
        return cursor.fetchall()


@pytest.mark.parametrize(
    ("engine", "each_driver"),
    [("embedded", False), ("mysql_engine", False), ("mysql_engine", True)],
    ids=["embedded", "C extension", "pure Python"],
    indirect=True,
)
@pytest.mark.parametrize("key", COLUMNS)
def test_blocks_stream_a_table_with_any_key_and_column_types(engine, each_driver, key):
    make_things(engine, key)
    with seed.open_reader() as reader:
        blocks = list(reader.blocks(FIRST, AFTER))
    rows = [row for block in blocks for row in block]
    assert rows == of_the_driver()
    assert [row["k"] for row in rows] == sorted(COLUMNS[key][1](n) for n in range(ROWS))
    assert max(map(len, blocks)) <= 500
    if engine.server:
        types = {type(value) for name, value in rows[2].items() if name != "k"}
        assert types >= {str, datetime.datetime, bytes, int, float}


@pytest.mark.parametrize("key", COLUMNS)
def test_blocks_continue_after_a_killed_server(fragile, key, monkeypatch):
    make_things(fragile, key)
    pauses = itertools.count(1)
    monkeypatch.setattr("time.sleep", lambda _: next(pauses) == 2 and fragile.server.start())
    count = "SELECT COUNT(*) AS n FROM things"
    with seed.open_reader() as reader:
        blocks = reader.blocks(FIRST, AFTER)
        rows = [*next(blocks), *next(blocks)]
        assert reader.fetch(count) == [{"n": ROWS}]  # while the stream is half read
        fragile.server.kill()
        rows += [row for block in blocks for row in block]
        assert rows == of_the_driver()
        fragile.server.kill()
        pauses = itertools.count(1)
        assert reader.fetch(count) == [{"n": ROWS}]


def test_fetch_returns_all_rows_of_a_query(engine):
    make_things(engine, "integer")
    with seed.open_reader() as reader:
        found = reader.fetch("SELECT k, note FROM things WHERE k = %s", (-2_993,))
        assert found == [{"k": -2_993, "note": "é 1"}]
        assert reader.fetch("SELECT k FROM things WHERE k = %s", (1,)) == []
        assert len(reader.fetch("SELECT k FROM things")) == ROWS


def test_column_name_is_never_run_as_code(engine):
    make_table()
    names = ["a'b", 'a"c', "\\", "{x}", "v0", "or 1", "é"]
    columns = ", ".join(f"{number} AS `{name}`" for number, name in enumerate(names))
    with seed.open_reader() as reader:
        (row,) = reader.fetch(f"SELECT {columns}")
    assert row == {name: number for number, name in enumerate(names)}


def test_two_columns_of_one_name_are_refused(engine):
    make_table()
    with seed.open_reader() as reader:
        with pytest.raises(ValueError, match="two columns are called n"):
            reader.fetch("SELECT 1 AS n, 2 AS n")
        assert reader.fetch("SELECT 1 AS n") == [{"n": 1}]


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ("(NULL), (1), (2)", "k is NULL in a row: the key must never be NULL"),
        (", ".join(["(1)"] * 600), "k is 1 in two rows: the key must be unique"),
    ],
    ids=["NULL", "twice"],
)
def test_key_that_would_lose_rows_is_refused(engine, rows, told):
    make_table()
    engine.query("CREATE TABLE things (k BIGINT)")
    engine.query(f"INSERT INTO things VALUES {rows}")
    with seed.open_reader() as reader, pytest.raises(ValueError, match=told):
        list(reader.blocks(FIRST, AFTER))


def test_docs_code_for_another_table_runs(engine, capsys):
    make_table()
    engine.query("CREATE TABLE orders (id BIGINT PRIMARY KEY, placed DATE, total DECIMAL(9,2))")
    rows = "(0, '2026-01-01', 99), (1, '2026-01-02', 101), (2, '2026-01-03', 250)"
    engine.query(f"INSERT INTO orders VALUES {rows}")
    capsys.readouterr()
    text = (ROOT / "docs" / "your-own-table.md").read_text(encoding="utf-8")
    ((code),) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    exec(compile(code, "your-own-table.md", "exec"), {})
    assert capsys.readouterr().out == "450 [{'n': 2}]\n"
