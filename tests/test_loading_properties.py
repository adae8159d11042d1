"""Hostile CSV files made by hypothesis: nothing is lost, doubled or changed, and every row is counted.

What must come of a file is told by a reading of its own, below, which shares no code with the project:
a regular expression takes the text apart, and dicts stand for the table.
"""

import contextlib
import re
import uuid

import hypothesis
import pytest
from conftest import make_table, user_row
from hypothesis import strategies as st
from test_seed import stored

import seed

# ------------------------------------------------------- an independent reading

LIMIT = 131_072  # characters of a field, csv's own limit
END = r"(?:\r\n|\r|\n|\Z)"
FIELD = rf'(?:"(?:[^"]|""){{0,{LIMIT}}}+"|[^",\r\n][^,\r\n]{{0,{LIMIT - 1}}}+|)'
ROW = re.compile(rf"({FIELD}(?:,{FIELD})*+){END}")
# A row whose quotes are wrong, or a field of which is too long: it ends with the line of its fault.
BROKEN = re.compile(rf'(?:{FIELD},)*+(?:"(?:[^"]|""){{0,{LIMIT}}}+"?)?[^\r\n]*+{END}')


def rows_of(text: str):
    """Yield the number of each row's first line, its text, and its fields, or None if it is broken."""
    at, line = 0, 1
    while at < len(text):
        row = ROW.match(text, at)
        whole = (row or BROKEN.match(text, at))[0]
        if whole.strip("\r\n"):
            fields = row and re.findall(rf",({FIELD})", f",{row[1]}")
            yield line, whole, fields and [unquoted(field) for field in fields]
        at += len(whole)
        line += len(re.findall(r"\r\n|\r|\n", whole))


def unquoted(field: str) -> str:
    return field[1:-1].replace('""', '"') if field.startswith('"') else field


def whole_age(text: str) -> int | None:
    text = text.strip()
    if "." in text:
        text = text.rstrip("0").removesuffix(".")
    is_number = text.isascii() and text.isdigit() and len(text) <= 3
    return int(text) if is_number and int(text) <= 150 else None


def is_uuid(text: str) -> bool:
    with contextlib.suppress(ValueError):
        return str(uuid.UUID(text)) == text.lower()
    return False


def expected_of(data: bytes, before: list[tuple]) -> tuple:
    """The table that held the rows `before`, once the file is loaded; the counts; lines refused."""
    by_id = {row[0]: row for row in before}
    by_email = {row[2]: row for row in before}
    text = data.decode("utf-8", "surrogateescape").removeprefix("\ufeff")
    (_, _, header), *rows = rows_of(text)
    columns = [name.strip().lower() for name in header]
    read = added = present = 0
    refused = []
    for line, whole, fields in rows:
        read += 1
        is_whole = fields and len(fields) == len(columns)
        user = is_whole and user_of(dict(zip(columns, fields, strict=True)))
        if user and not user[0]:
            twin = by_email.get(user[2])
            user = (twin[0] if twin else str(uuid.uuid5(uuid.NAMESPACE_URL, user[2])), *user[1:])
        if user and by_id.get(user[0]) == user:
            present += 1
        elif not user or user[0] in by_id or user[2] in by_email:
            refused.append((str(line), whole.rstrip("\r\n")))
        else:
            by_id[user[0]] = by_email[user[2]] = user
            added += 1
    return sorted(by_id.values()), (read, added, present, len(refused)), refused


def user_of(row: dict[str, str]) -> tuple[str, str, str, int] | None:
    """Tell the user in the row, with an empty id where it has none; None if it cannot be accepted."""
    user_id, name, email = row.get("user_id", ""), row["name"], row["email"]
    local, at, domain = email.partition("@")
    age = whole_age(row["age"])
    if (
        re.search("[\0\ud800-\udfff]", "".join(row.values()))  # a byte that is not UTF-8
        or not (name.strip() and len(name) <= 255)
        or not (local and at and domain and len(email) <= 255 and not re.search(r"\s", email))
        or (user_id.strip() and not is_uuid(user_id))
        or age is None
    ):
        return None
    return user_id.strip(), name, email, age


# ------------------------------------------------------------- hostile files

# fmt: off
NAMES = [
    "Ada", "ada", "שלום עולם", "مرحبا \u202egnorw\u202c", "👨‍👩‍👧‍👦", "e\u0301", "é", "\ufb01 İ ß", "\\",
    '=HYPERLINK("http://x","y")', "+1-1", "@SUM(A1)", "\t=1", "|calc", "NULL", "null", "\\N", "?",
    "first\nsecond", "first\r\nsecond", "first\rsecond", '"', '""quoted""', "a,b", "\\'", "\\\\n",
    "'); DROP TABLE user_data; --", "%s%%(x)s", "{} ${HOME} `id`", " both ends ", "trailing\t",
    "\x01\x02\x1b[31m\x7f\x85", "\ufeffmark", "\u2028\ufffd\uffff\U0010ffff", "n" * 255, "🚀" * 255,
]
EMAILS = [
    "ada@example.com", "ADA@example.com", "b@x", "É@x", "é@x", "e\u0301@x", "É@X", "'\"\\@x", "=1@x",
    "🚀@x", "a@b@c", "%s@x", "\ufb01@x", "fi@x",
]
# fmt: on
IDS = [user_row(number)[0] for number in range(4)]
IDS += [f"ABCDEF{IDS[0][6:]}", f"abcdef{IDS[0][6:]}", str(uuid.uuid5(uuid.NAMESPACE_URL, "b@x"))]
good = {
    "user_id": st.sampled_from(IDS) | st.uuids().map(str) | st.sampled_from(["", " "]),
    "name": st.sampled_from(NAMES) | st.text(min_size=1, max_size=9),
    "email": st.sampled_from(EMAILS) | st.integers(0, 99).map("u{}@example.com".format),
    "age": st.sampled_from(["0", "30", "31", "150", " 7", "67.0", "067", "67.", "5 \t"]),
}
BAD = {
    "user_id": ["123", f"{{{IDS[0]}}}", f" {IDS[0]}", IDS[0][:-1], f"{IDS[0]}\0", "\udce9"],
    "name": ["", " \t", "\u00a0", "n" * 256, "A\0da", "Ren\udce9e", "\udced\udca0\udc80"],
    "email": ["", "ada", "@x", "a@", "a@x ", "a\n@x", "e" * 254 + "@x", "\0@x", "\udcff@x"],
    "age": ["", " ", "abc", "-5", "67.5", "151", "1e2", "1e11", "NaN", "inf", "+5", "٣", "1_0"],
}
garbage = st.text(st.sampled_from("\",\r\n ;\0@a'é\udcff🚀\ufeff\u2028\x85\x1c"), max_size=20)
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def rows(draw, columns: list[str], before: list[tuple]) -> str:
    """A row, right or wrong in one of many ways, and its line's end."""
    kinds = ["good"] * 6 + ["bad"] * 2 + ["count", "quotes", "garbage", "blank", "long"]
    kind = draw(st.sampled_from(kinds + ["stored"] * 4 * bool(before)))
    if kind in ("garbage", "blank"):
        return draw(garbage if kind == "garbage" else st.sampled_from(["", " "])) + draw(ENDS)
    values = {column: draw(good[column]) for column in columns}
    if kind == "stored":
        row = dict(zip(good, map(str, draw(st.sampled_from(before))), strict=True))
        values = {column: row[column] for column in columns}
        if draw(st.booleans()):  # but for one column, perhaps
            column = draw(st.sampled_from(columns))
            values[column] = draw(good[column])
    elif kind == "bad":
        column = draw(st.sampled_from(columns))
        values[column] = draw(st.sampled_from(BAD[column]))
    elif kind == "long":
        values["name"] = "n" * draw(st.sampled_from([255, 256, 70_000, LIMIT, LIMIT + 1]))
    fields = [quoted(value, always=draw(st.booleans())) for value in values.values()]
    if kind == "count":
        wrong = [fields[:-1], fields[1:], [*fields, "x"], [*fields, ""], fields[:1]]
        fields = draw(st.sampled_from(wrong))
    elif kind == "quotes":
        at = draw(st.integers(0, len(fields) - 1))
        wrong = ['"{}', '"{}"x', '{}"', '"{}" ', ' "{}"', '"{}""', '""{}"']
        fields[at] = draw(st.sampled_from(wrong)).format(fields[at].strip('"'))
    return ",".join(fields) + draw(ENDS)


def quoted(value: str, *, always: bool) -> str:
    if always or re.search('[",\r\n]', value):
        return '"' + value.replace('"', '""') + '"'
    return value


BATCH_ROWS = 2_000  # of the file, stored at a time


@st.composite
def cases(draw) -> tuple[list[tuple], bytes]:
    """Rows that are stored, and a file to load; its first batch may end among the rows drawn."""
    columns = [st.sampled_from(values) for values in (IDS, NAMES, EMAILS, [30, 31])]
    is_unique = (lambda row: row[0], lambda row: row[2])
    before = draw(st.lists(st.tuples(*columns), max_size=3, unique_by=is_unique))
    columns = draw(st.permutations(["user_id", "name", "email", "age"]))
    if draw(st.booleans()):
        columns.remove("user_id")
    form = draw(st.sampled_from([str, str.upper, '"{}"'.format, " {} ".format]))
    text = draw(st.sampled_from(["", "\ufeff"])) + ",".join(map(form, columns)) + draw(ENDS)
    lines = draw(st.lists(rows(columns, before), max_size=25))
    if lines:
        lines += draw(st.lists(st.sampled_from(lines), max_size=4))
        text += draw(st.sampled_from(["", "x\n" * (BATCH_ROWS - draw(st.integers(1, len(lines))))]))
    text += "".join(lines)
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return before, text.encode("utf-8", "surrogateescape")


# ------------------------------------------------------------ the properties


@pytest.fixture
def check(engine, tmp_path, capsys):
    """Load a case into a fresh table, and compare all that came of it with the reading above."""
    path = tmp_path / "hostile.csv"
    make_table()

    def check(case: tuple[list[tuple], bytes]) -> None:
        before, data = case
        path.write_bytes(data)
        table, counts, refused = expected_of(data, before)
        engine.query("DROP TABLE user_data")
        make_table()
        engine.insert(before)
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            loaded = seed.insert_data(connection, path)
        capsys.readouterr()
        assert loaded == counts
        assert loaded.read == loaded.added + loaded.present + loaded.refused
        assert sorted(stored(engine)) == table
        assert refused_in(path.with_name("hostile.csv.rejected")) == refused

    return check


def refused_in(path) -> list[tuple[str, str]]:
    if not path.exists():
        return []
    text = path.read_bytes().decode("utf-8", "surrogateescape")
    # A reject may be longer than a field may be: so not by the reading above, whose limit is csv's.
    (header, *rejects) = re.findall(
        r'([^,]+),((?:"(?:[^"]|"")*+"|[^,])*+),((?:"(?:[^"]|"")*+"|[^\r])*+)\r\n', text
    )
    assert header == ("line", "reason", "row")
    return [(line, unquoted(row)) for line, _reason, row in rejects]


@pytest.fixture(autouse=True)
def _nothing_left_on_disk(tmp_path):
    """What hypothesis keeps beside its examples goes to the test's own folder."""
    hypothesis.configuration.set_hypothesis_home_dir(tmp_path / "hypothesis")
    yield
    hypothesis.configuration.set_hypothesis_home_dir(None)


NIGHTLY = pytest.mark.nightly


# @given is inside the test: a fixture is made once a test, and each example makes its own table.
@pytest.mark.parametrize(
    ("engine", "count"),
    [
        ("embedded", 100),
        ("mysql_engine", 25),
        pytest.param("embedded", 5_000, marks=NIGHTLY),
        pytest.param("mysql_engine", 2_000, marks=NIGHTLY),
    ],
    indirect=["engine"],
)
def test_hostile_file_is_loaded_as_an_independent_parser_reads_it(check, count):
    settings = {"max_examples": count, "deadline": None, "database": None}
    settings |= {"derandomize": count <= 100, "print_blob": count > 100}
    hypothesis.settings(**settings)(hypothesis.given(cases())(check))()


def test_text_of_every_kind_is_stored_exactly(engine, load):
    rows = [(user_row(n)[0], text, f"{n}@x", n) for n, text in enumerate(NAMES)]
    rows += [(user_row(100 + n)[0], "n", email, n) for n, email in enumerate(EMAILS)]
    assert load(*rows) == (len(rows), len(rows), 0, 0)
    assert stored(engine) == rows
    assert load(*rows) == (len(rows), 0, len(rows), 0)
    assert stored(engine) == rows
