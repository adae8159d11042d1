"""The private cluster itself: nodes that die, come back, and are cut off."""

import os
from collections.abc import Iterator

import mysql.connector
import pytest
from galera_cluster import Cluster, missing, private_cluster

pytestmark = pytest.mark.cluster

NOT_PREPARED = 1047  # "WSREP has not yet prepared node for application use"


@pytest.fixture(scope="session")
def running_cluster() -> Iterator[Cluster]:
    if reason := missing():
        if os.environ.get("CI"):
            pytest.fail(reason)  # what CI does not run, nobody does
        pytest.skip(reason)
    with private_cluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(running_cluster) -> Iterator[Cluster]:
    """Three nodes with an empty database `kept`, whatever the test before did to them."""
    first = running_cluster.nodes[0]
    first.query("CREATE OR REPLACE DATABASE kept")
    first.query("CREATE TABLE kept.numbers (number INT PRIMARY KEY)")
    yield running_cluster
    running_cluster.heal()


def numbers(node) -> list[int]:
    return [number for (number,) in node.query("SELECT number FROM kept.numbers ORDER BY number")]


def add(node, number: int) -> None:
    node.query("INSERT INTO kept.numbers VALUES (%s)", (number,))


def test_what_one_node_commits_all_three_have(cluster):
    for number, node in enumerate(cluster.nodes):
        add(node, number)
    assert [node.status("wsrep_cluster_size") for node in cluster.nodes] == [["3"]] * 3
    assert [numbers(node) for node in cluster.nodes] == [[0, 1, 2]] * 3


def test_killed_node_refuses_and_comes_back_with_what_was_written_meanwhile(cluster):
    survivor, _, killed = cluster.nodes
    add(survivor, 1)
    killed.kill()
    with pytest.raises(mysql.connector.Error) as refused:
        killed.connect()
    assert refused.value.errno == 2003
    add(survivor, 2)

    killed.start()
    assert numbers(killed) == [1, 2]
    add(killed, 3)
    assert numbers(survivor) == [1, 2, 3]


def test_isolated_node_answers_only_that_it_is_not_prepared(cluster):
    first, isolated, _ = cluster.nodes
    isolated.isolate()
    with pytest.raises(mysql.connector.Error) as refused:
        numbers(isolated)
    assert refused.value.errno == NOT_PREPARED
    add(first, 1)

    isolated.rejoin()
    assert numbers(isolated) == [1]


def test_frozen_node_is_left_out_and_catches_up(cluster):
    first, frozen, _ = cluster.nodes
    frozen.freeze()
    add(first, 1)
    first.wait_until(lambda: first.status("wsrep_cluster_size") == ["2"])

    frozen.thaw()
    assert numbers(frozen) == [1]


def test_cluster_that_lost_all_nodes_starts_again_from_the_one_that_holds_the_most(cluster):
    first, second, third = cluster.nodes
    add(second, 1)
    first.kill()
    add(second, 2)
    third.kill()
    second.kill()

    cluster.start()
    assert [numbers(node) for node in cluster.nodes] == [[1, 2]] * 3
