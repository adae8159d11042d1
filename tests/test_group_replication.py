"""MySQL Group Replication: the scripts and loads on it while its nodes fail."""

import contextlib
import itertools
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import mysql.connector
import pytest
from conftest import ROOT, csv_text, lacks, make_table, run_python, user_row
from tcp_proxy import Proxy
from test_cluster import DATABASE, addresses, load, stored, use, wanted
from test_faults_reading import STREAMS, expected

import seed
from servers import find_program, why_no_program
from servers.group_replication import Group, Node, private_group

pytestmark = pytest.mark.nightly

ROWS = 20_000
USER, PASSWORD = "plain", "no administrator"
FAULTS = ["kill", "freeze", "send_offline"]


@pytest.fixture(scope="session")
def running_group() -> Iterator[Group]:
    if find_program("mysql") is None:
        lacks(why_no_program("mysql"))
    with private_group() as group:
        primary = group.primary()
        primary.query(f"CREATE USER {USER} IDENTIFIED BY '{PASSWORD}'")
        primary.query(f"GRANT ALL ON {DATABASE}.* TO {USER}")
        yield group


@pytest.fixture
def group(running_group, monkeypatch) -> Iterator[Group]:
    """Three full members without the database, and an ordinary user of it."""
    running_group.primary().query(f"DROP DATABASE IF EXISTS {DATABASE}")
    for name, value in {"USER": USER, "PASSWORD": PASSWORD, "NAME": DATABASE}.items():
        monkeypatch.setenv(f"DB_{name}", value)
    yield running_group
    for node in running_group.nodes:
        with contextlib.suppress(mysql.connector.Error):
            node.bring_online()
    running_group.heal()


@pytest.fixture
def nodes(group, monkeypatch) -> list[Node]:
    """The nodes, the primary first, with an empty table user_data; the settings name them so."""
    nodes = sorted(group.nodes, key=lambda node: node is not group.primary())
    use(monkeypatch, *addresses(*nodes))
    make_table()
    return nodes


def fill(primary: Node, rows: int) -> None:
    primary.query(
        f"INSERT /*+ SET_VAR(cte_max_recursion_depth = {rows}) */ INTO {DATABASE}.user_data "
        f"WITH RECURSIVE seq AS (SELECT 0 AS n UNION ALL SELECT n + 1 FROM seq WHERE n < {rows - 1})"
        "SELECT CONCAT('00000000-0000-4000-8000-', LPAD(n, 12, '0')), 'n', CONCAT('u', n, '@x'), "
        "n % 151 FROM seq"
    )


@pytest.fixture
def csv_file(tmp_path, request):
    """A file of so many users, each tenth of them refused."""
    path = tmp_path / "users.csv"
    rows = getattr(request, "param", ROWS)
    path.write_text(csv_text(user_row(n, n % 151 if n % 10 else 200) for n in range(rows)))
    return path


# ----------------------------------------------------------------- reading


def test_commit_at_the_primary_is_read_through_the_others(nodes, script, monkeypatch):
    primary, *secondaries = nodes
    for number in range(100):
        insert = f"INSERT INTO {DATABASE}.user_data VALUES (UUID(), 'n', %s, 1)"
        reader = secondaries[number % 2]
        use(monkeypatch, *addresses(reader, primary))
        with contextlib.closing(seed.connect_to_prodev()) as connection:
            primary.query(insert, (f"{number}@x",), wait=False)
            cursor = connection.cursor()
            cursor.execute("SELECT COUNT(*) FROM user_data")
            assert cursor.fetchall() == [(number + 1,)]
        assert len(list(script("0-stream_users").stream_users())) == number + 1


@pytest.mark.parametrize("role", ["primary", "secondary"])
@pytest.mark.parametrize(
    ("name", "fault"),
    [*((name, "kill") for name in STREAMS), ("users", "freeze"), ("users", "send_offline")],
)
def test_stream_continues_at_another_node_with_every_row_once(
    nodes, script, monkeypatch, name, fault, role
):
    fill(nodes[0], ROWS)
    if role == "secondary":
        nodes.reverse()
    use(monkeypatch, *addresses(*nodes))
    monkeypatch.setenv("DB_READ_TIMEOUT", "2")
    stream = STREAMS[name](script)
    seen = list(itertools.islice(stream, ROWS // 3))
    getattr(nodes[0], fault)()
    seen += stream
    assert seen == expected(name, ROWS)


@pytest.mark.parametrize("fault", FAULTS)
def test_node_that_is_down_at_the_start_is_passed_over(nodes, script, monkeypatch, fault):
    fill(nodes[0], ROWS)
    nodes.reverse()
    use(monkeypatch, *addresses(*nodes))
    getattr(nodes[0], fault)()
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        assert connection.server_port == nodes[1].port
    assert list(STREAMS["users"](script)) == expected("users", ROWS)


def test_stream_survives_all_nodes_dying_one_after_the_other(nodes, script):
    fill(nodes[0], ROWS)
    stream = STREAMS["users"](script)
    seen = []
    for node in nodes:
        seen += itertools.islice(stream, ROWS // 4)
        node.kill()
        seen += itertools.islice(stream, 1_000)
        node.start()
    seen += stream
    assert seen == expected("users", ROWS)


def test_node_without_the_majority_ends_in_an_error(nodes, script, monkeypatch):
    fill(nodes[0], ROWS)
    monkeypatch.setenv("DB_READ_TIMEOUT", "2")
    monkeypatch.setenv("DB_DEADLINE", "10")
    stream = STREAMS["users"](script)
    list(itertools.islice(stream, ROWS // 2))
    for node in nodes[1:]:
        node.kill()
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(list, stream)
        with pytest.raises(mysql.connector.Error, match=r"cannot (read from|connect to)"):
            reading.result(60)
        with pytest.raises(mysql.connector.Error, match="cannot connect to"):
            pool.submit(seed.connect_to_prodev).result(60)


# ------------------------------------------------------- creating and loading


def test_run_with_the_secondaries_first_writes_at_the_primary(group, csv_file, monkeypatch):
    secondaries = [node for node in group.nodes if node is not group.primary()]
    hosts = ",".join(f"{host}:{port}" for host, port in addresses(*secondaries, group.primary()))
    settings = {"DB_HOST": hosts, "DB_USER": USER, "DB_PASSWORD": PASSWORD, "DB_NAME": DATABASE}
    counts = [f"{ROWS * 9 // 10} added, 0 already", f"0 added, {ROWS * 9 // 10} already"]
    for times in counts:
        done = run_python(ROOT / "seed.py", csv_file, cwd=ROOT, settings=settings)
        assert done.returncode == 0, done.stderr
        assert times in done.stdout
    assert [stored(node) for node in group.nodes] == [wanted(csv_file)] * 3


def test_given_connection_to_a_secondary_stays_usable(group, csv_file, monkeypatch):
    secondary = next(node for node in group.nodes if node is not group.primary())
    use(monkeypatch, *addresses(secondary, group.primary()))
    with contextlib.closing(seed.connect_db()) as server:
        seed.create_database(server)
    use(monkeypatch, *addresses(secondary, group.primary()))
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        assert connection.server_port == secondary.port
        seed.create_table(connection)
        seed.insert_data(connection, csv_file)
        cursor = connection.cursor()
        cursor.execute("SELECT * FROM user_data LIMIT 5")
        assert cursor.fetchall() == wanted(csv_file)[:5]


@pytest.mark.parametrize(
    ("csv_file", "first", "elected"),
    [
        (10_000, "primary", 1),
        (10_000, "primary", 2),
        (10_000, "secondary", 2),
        (200_000, "primary", 2),
        (200_000, "secondary", 1),
    ],
    indirect=["csv_file"],
)
def test_load_continues_at_the_new_primary_and_stores_every_row_once(
    nodes, csv_file, monkeypatch, first, elected
):
    primary, *others = nodes
    for node in others:
        weight = 100 if node is nodes[elected] else 10
        node.query(f"SET GLOBAL group_replication_member_weight = {weight}", wait=False)
    with Proxy(primary.host, primary.port) as proxy:
        order = [proxy, *others] if first == "primary" else [others[0], proxy, others[1]]
        use(monkeypatch, *addresses(*order))
        proxy.act_at(csv_file.stat().st_size // 2, primary.kill)
        counts = load(seed.connect_to_prodev(), csv_file)
    assert counts.read == counts.added + counts.present + counts.refused
    assert counts.refused == counts.read // 10
    assert counts.present < counts.added  # those whose COMMIT was done and its reply lost
    assert [stored(node) for node in others] == [wanted(csv_file)] * 2


def test_load_continues_when_the_primary_stops_responding(nodes, csv_file, monkeypatch):
    monkeypatch.setenv("DB_READ_TIMEOUT", "5")
    primary, *others = nodes
    with Proxy(primary.host, primary.port) as proxy:
        use(monkeypatch, *addresses(proxy, *others))
        proxy.act_at(csv_file.stat().st_size // 2, primary.freeze)
        counts = load(seed.connect_to_prodev(), csv_file)
        primary.kill()  # else the proxy waits for it
    assert counts.refused == ROWS // 10
    assert [stored(node) for node in others] == [wanted(csv_file)] * 2


@pytest.mark.parametrize("moment", ["before create_database", "before create_table"])
def test_creating_continues_at_the_new_primary(group, csv_file, monkeypatch, moment):
    nodes = sorted(group.nodes, key=lambda node: node is not group.primary())
    use(monkeypatch, *addresses(*nodes))
    with contextlib.closing(seed.connect_db()) as connection:
        if moment == "before create_database":
            nodes[0].kill()
        seed.create_database(connection)
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        if moment == "before create_table":
            nodes[0].kill()
        seed.create_table(connection)
        counts = seed.insert_data(connection, csv_file)
    assert counts == (ROWS, ROWS * 9 // 10, 0, ROWS // 10)
    assert [stored(node) for node in nodes[1:]] == [wanted(csv_file)] * 2


def test_load_that_lost_the_majority_can_be_run_again(group, nodes, csv_file, monkeypatch):
    monkeypatch.setenv("DB_READ_TIMEOUT", "2")
    monkeypatch.setenv("DB_DEADLINE", "5")
    primary, *others = nodes

    def kill_the_others() -> None:
        for node in others:
            node.kill()

    with Proxy(primary.host, primary.port) as proxy, ThreadPoolExecutor(1) as pool:
        use(monkeypatch, *addresses(proxy, *others))
        proxy.act_at(csv_file.stat().st_size // 2, kill_the_others)
        loading = pool.submit(load, seed.connect_to_prodev(), csv_file)
        with pytest.raises(mysql.connector.Error, match=r"cannot (load|connect)"):
            loading.result(60)
    group.heal()
    before = len(stored(group.primary()))
    assert 0 < before < len(wanted(csv_file))
    use(monkeypatch, *addresses(*nodes))
    monkeypatch.setenv("DB_DEADLINE", "")
    counts = load(seed.connect_to_prodev(), csv_file)
    assert counts == (ROWS, ROWS * 9 // 10 - before, before, ROWS // 10)
    assert [stored(node) for node in nodes] == [wanted(csv_file)] * 3
