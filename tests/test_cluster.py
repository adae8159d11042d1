"""A cluster: the private one itself, and the scripts and loads on it while its nodes fail."""

import contextlib
import csv
import itertools
import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from time import monotonic  # the real one, since a test's clock may be ahead

import mysql.connector
import pytest
from conftest import csv_text, lacks, make_table, user_row, wait_until
from tcp_proxy import Proxy
from test_faults_reading import STREAMS, expected

import seed
from servers.galera import Cluster, missing, private_cluster

pytestmark = [pytest.mark.cluster, pytest.mark.server("mariadb")]

ROWS = 20_000
DATABASE = "prodev"
minutes = itertools.count(60, 60)
FAULTS = [("kill", "start"), ("isolate", "rejoin"), ("freeze", "thaw")]  # and what ends it


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
    if reason := missing():
        lacks(reason)
    with private_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster) -> Iterator[Cluster]:
    """Three working nodes with an empty database `kept`."""
    first = running_cluster.nodes[0]
    first.query("CREATE OR REPLACE DATABASE kept")
    first.query("CREATE TABLE kept.numbers (number INT PRIMARY KEY)")
    yield running_cluster
    running_cluster.heal()


def numbers(node) -> list[int]:
    return [number for (number,) in node.query("SELECT number FROM kept.numbers ORDER BY number")]


def add(node, number: int) -> None:
    node.query("INSERT INTO kept.numbers VALUES (%s)", (number,))


def test_commit_on_one_node_reaches_all_three(cluster):
    for number, node in enumerate(cluster.nodes):
        add(node, number)
    assert [node.status("wsrep_cluster_size") for node in cluster.nodes] == [["3"]] * 3
    assert [numbers(node) for node in cluster.nodes] == [[0, 1, 2]] * 3


@pytest.mark.parametrize(
    ("fault", "end", "refusal"),
    # 1047: WSREP has not yet prepared node for application use. A frozen node says nothing.
    [(*FAULTS[0], 2003), (*FAULTS[1], 1047), (*FAULTS[2], None)],
)
def test_failed_node_is_left_out_and_catches_up(cluster, fault, end, refusal):
    survivor, _, lost = cluster.nodes
    add(survivor, 1)
    getattr(lost, fault)()
    if refusal:
        with pytest.raises(mysql.connector.Error) as refused:
            numbers(lost)
        assert refused.value.errno == refusal
    survivor.wait_until(lambda: survivor.status("wsrep_cluster_size") == ["2"])
    add(survivor, 2)
    getattr(lost, end)()
    assert numbers(lost) == [1, 2]
    add(lost, 3)
    assert numbers(survivor) == [1, 2, 3]


def test_cluster_restarts_from_the_node_with_the_last_commit(cluster):
    first, second, third = cluster.nodes
    add(second, 1)
    first.kill()
    add(second, 2)
    third.kill()
    second.kill()

    cluster.start()
    assert [numbers(node) for node in cluster.nodes] == [[1, 2]] * 3


# ------------------------------------------- the scripts on it: fixtures, faults


@pytest.fixture
def nodes(cluster, monkeypatch):
    """The nodes, which the settings name, with an empty table user_data."""
    use(monkeypatch, *addresses(*cluster.nodes))
    first = cluster.nodes[0]
    monkeypatch.setenv("DB_USER", first.user)
    monkeypatch.setenv("DB_PASSWORD", first.password)
    monkeypatch.setenv("DB_NAME", DATABASE)
    monkeypatch.setenv("DB_READ_TIMEOUT", "2")
    first.query(f"DROP DATABASE IF EXISTS {DATABASE}")
    make_table()
    return cluster.nodes


def use(monkeypatch, *addresses: tuple[str, int]) -> None:
    """Name these nodes in the settings, a minute later: which nodes were down is forgotten by then."""
    ahead = next(minutes)
    monkeypatch.setattr("time.monotonic", lambda: monotonic() + ahead)
    monkeypatch.setenv("DB_HOST", ", ".join(f"{host}:{port}" for host, port in addresses))


def addresses(*nodes) -> list[tuple[str, int]]:
    return [(node.host, node.port) for node in nodes]


def fill(node, rows: int, first: int = 0) -> None:
    node.query(
        f"INSERT INTO {DATABASE}.user_data SELECT CONCAT('00000000-0000-4000-8000-', "
        "LPAD(seq, 12, '0')), 'n', CONCAT('u', seq, '@x'), seq % 151 "
        f"FROM {DATABASE}.seq_{first}_to_{first + rows - 1}"
    )


def node_in_use(nodes):
    """The one node that the code under test is connected to."""
    (node,) = [node for node in nodes if connections(node)]
    return node


def connections(node) -> int:
    processes = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.PROCESSLIST WHERE DB = %s AND USER = %s"
    try:
        return node.query(processes, (DATABASE, node.user), wait=False)[0][0]
    except mysql.connector.Error:  # it is down
        return 0


# ------------------------------------------------------------- which node


def test_node_that_is_down_is_tried_last_for_a_while(nodes, monkeypatch):
    up, down = nodes[1], nodes[2]
    with Proxy(down.host, down.port) as proxy:
        proxy.is_silent = True
        for times in (1, 2):  # it is tried again a minute later
            use(monkeypatch, ("127.0.0.1", 1), *addresses(proxy, up))
            for _ in range(3):
                with contextlib.closing(seed.connect_to_prodev()) as connection:
                    assert connection.server_port == up.port
            assert proxy.connections == times


def test_wrong_password_is_reported_by_the_first_node_that_answers(nodes, monkeypatch):
    with Proxy(nodes[1].host, nodes[1].port) as second:
        use(monkeypatch, *addresses(nodes[0], second))
        monkeypatch.setenv("DB_PASSWORD", "wr0ng")
        with pytest.raises(mysql.connector.Error, match="check DB_USER and DB_PASSWORD") as caught:
            seed.connect_to_prodev()
        assert caught.value.errno == 1045
        assert "wr0ng" not in str(caught.value)
        assert second.connections == 0


def test_node_without_the_majority_counts_as_down(nodes):
    nodes[0].isolate()
    with contextlib.closing(seed.connect_to_prodev()) as connection:
        assert connection.server_port == nodes[1].port


def test_commit_on_one_node_is_read_through_another(nodes, script, monkeypatch):
    for number in range(60):
        writer, reader = nodes[number % 3], nodes[(number + 1) % 3]
        insert = f"INSERT INTO {DATABASE}.user_data VALUES (UUID(), 'n', %s, 1)"
        writer.query(insert, (f"{number}@x",), wait=False)
        use(monkeypatch, *addresses(reader, writer))
        assert len(list(script("0-stream_users").stream_users())) == number + 1


# ------------------------------------------------------ a node fails: reading


@pytest.mark.parametrize(
    ("name", "fault", "end"),
    [
        *((name, *FAULTS[0]) for name in STREAMS),
        *(("users", *fault) for fault in FAULTS[1:]),
    ],
)
def test_stream_continues_at_another_node_with_every_row_once(script, nodes, name, fault, end):
    fill(nodes[0], ROWS)
    stream = STREAMS[name](script)
    seen = list(itertools.islice(stream, random.randrange(1, 12_000)))
    lost = node_in_use(nodes)
    getattr(lost, fault)()
    seen += stream
    getattr(lost, end)()
    assert seen == expected(name, ROWS)
    wait_until(lambda: sum(map(connections, nodes)) == 0)


@pytest.mark.parametrize(
    ("rows", "kills"), [(ROWS, 3), pytest.param(1_000_000, 10, marks=pytest.mark.nightly)]
)
def test_stream_survives_nodes_that_die_one_after_the_other(script, nodes, rows, kills):
    for first in range(0, rows, ROWS):
        fill(nodes[0], ROWS, first)
    stream = STREAMS["users"](script)
    seen = []
    for _ in range(kills):
        seen += itertools.islice(stream, rows // (kills + 1))
        dead = node_in_use(nodes)
        dead.kill()
        seen += itertools.islice(stream, 1_000)
        dead.start()
    seen += stream
    assert seen == expected("users", rows)


# ------------------------------------------------------ a node fails: loading


@pytest.fixture
def csv_file(tmp_path):
    """A file of ROWS users, each tenth of them refused."""
    path = tmp_path / "users.csv"
    path.write_text(csv_text(user_row(n, n % 151 if n % 10 else 200) for n in range(ROWS)))
    return path


def stored(node) -> list[tuple]:
    return node.query(f"SELECT * FROM {DATABASE}.user_data ORDER BY user_id")


def wanted(path) -> list[tuple]:
    with path.open() as file:
        _header, *rows = csv.reader(file)
    return [(*row[:3], int(row[3])) for row in rows if int(row[3]) <= 150]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor() as pool:
        yield pool


def load(connection, path) -> tuple:
    """Load the file and return the counts."""
    with contextlib.closing(connection):
        return seed.insert_data(connection, path)


def wait_for_rows(node, count: int) -> None:
    wait_until(lambda: len(stored(node)) >= count)


@pytest.mark.parametrize(("fault", "end"), FAULTS)
def test_load_continues_at_another_node_and_stores_every_row_once(
    nodes, pool, csv_file, fault, end
):
    loading = pool.submit(load, seed.connect_to_prodev(), csv_file)
    wait_for_rows(nodes[1], 4_000)
    getattr(nodes[0], fault)()
    counts = loading.result(60)
    getattr(nodes[0], end)()
    assert counts.read == ROWS == counts.added + counts.present + counts.refused
    assert counts.refused == ROWS // 10
    assert counts.present < counts.added  # those whose COMMIT was done and its reply lost
    assert [stored(node) for node in nodes] == [wanted(csv_file)] * 3
    with csv_file.with_name("users.csv.rejected").open() as file:
        lines = [int(line) for line, *_ in list(csv.reader(file))[1:]]
    assert lines == list(range(2, ROWS + 2, 10))


def test_load_that_lost_all_nodes_can_be_run_again(cluster, nodes, pool, csv_file, monkeypatch):
    monkeypatch.setenv("DB_DEADLINE", "1")
    loading = pool.submit(load, seed.connect_to_prodev(), csv_file)
    wait_for_rows(nodes[1], 4_000)
    for node in nodes:
        node.kill()
    with pytest.raises(mysql.connector.Error, match="cannot connect to MySQL at"):
        loading.result(60)
    cluster.start()
    before = len(stored(nodes[0]))
    assert 4_000 <= before < len(wanted(csv_file))
    counts = load(seed.connect_to_prodev(), csv_file)
    assert counts == (ROWS, ROWS * 9 // 10 - before, before, ROWS // 10)
    assert stored(nodes[2]) == wanted(csv_file)


def test_loads_through_two_nodes_in_opposite_orders_both_succeed(
    nodes, pool, csv_file, tmp_path, monkeypatch
):
    header, *lines = csv_file.read_text().splitlines(keepends=True)
    backwards = tmp_path / "backwards.csv"
    backwards.write_text("".join([header, *reversed(lines)]))
    connections = []
    for order in (nodes, nodes[::-1]):
        use(monkeypatch, *addresses(*order))
        connections.append(seed.connect_to_prodev())
    one, other = pool.map(load, connections, (csv_file, backwards), timeout=60)
    assert one.refused == other.refused == ROWS // 10
    assert one.added + other.added <= ROWS * 9 // 10
    assert [stored(node) for node in nodes] == [wanted(csv_file)] * 3


def test_transaction_in_conflict_with_another_node_is_applied_once(nodes, script):
    retry = script("3-retry_on_failure").retry_on_failure
    transactional = script("2-transactional").transactional
    fill(nodes[0], 1)
    calls = []

    @retry(retries=3, delay=0)
    @transactional
    def grow(connection):
        cursor = connection.cursor()
        cursor.execute("UPDATE user_data SET age = age + 1")
        calls.append(cursor.rowcount)
        if len(calls) == 1:  # the other node is faster
            nodes[1].query(f"UPDATE {DATABASE}.user_data SET age = age + 10")

    with contextlib.closing(seed.connect_to_prodev()) as connection:
        grow(connection)
    assert calls == [1, 1]
    assert nodes[2].query(f"SELECT age FROM {DATABASE}.user_data") == [(11,)]
