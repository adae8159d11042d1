"""The part of the benchmark on a Galera cluster of three nodes: its speed, and the pause at a kill."""

import itertools
import os
import statistics
import time

import cases

import seed
from servers.galera import Node, missing, private_cluster

KILLS = 10
FEWEST_ROWS = 100_000  # fewer are all on their way before a node can be killed


def measure(bench) -> None:
    """Add the cluster's rows to the results; call it with DB_HOST set to the single server."""
    if reason := missing():
        bench.leave_out("stream_users() from a cluster of three", "from one server", reason)
        return
    if bench.rows < FEWEST_ROWS:
        return
    one_server = {name: os.environ[name] for name in ("DB_HOST", "DB_PORT")}
    with private_cluster(3, "--innodb-buffer-pool-size=512M") as cluster:
        nodes = {"DB_HOST": ",".join(f"{node.host}:{node.port}" for node in cluster.nodes)}

        def from_cluster() -> int:
            os.environ.update(nodes)
            try:
                return cases.stream_users()
            finally:
                os.environ.update(one_server)

        with bench.database(bench.rows):
            os.environ.update(nodes)
            cases.load(bench.csv_file(bench.rows))
            os.environ.update(one_server)
            bench.compare(
                "stream_users() from a cluster of three",
                from_cluster,
                "from one server",
                cases.stream_users,
                0.7,
            )
            os.environ.update(nodes)
            try:
                pauses = [
                    bench.bar.update() or pause for pause in _kill_and_measure(bench, cluster)
                ]
            finally:
                os.environ.update(one_server)
    bench.add(
        f"pause when the node is killed, {KILLS} kills in one stream of {bench.rows:,} rows",
        "",
        "at most 5 s, every row once",
        f"median {statistics.median(pauses):.1f} s, longest {max(pauses):.1f} s",
        max(pauses) <= 5,
    )


def _kill_and_measure(bench, cluster):
    """Yield the longest wait for a row after each kill; each node is back before the next one."""
    users = seed.import_script("0-stream_users").stream_users()
    last_id, seen = "", 0
    for number in range(KILLS + 1):
        longest, before = 0.0, time.perf_counter()
        rows = None if number == KILLS else bench.rows // (KILLS + 1)
        for user in itertools.islice(users, rows):
            now = time.perf_counter()
            longest, before = max(longest, now - before), now
            if user["user_id"] <= last_id:
                raise AssertionError(f"{user['user_id']} came after {last_id}")
            last_id, seen = user["user_id"], seen + 1
        if number:
            yield longest
            dead.start()  # noqa: F821, it was killed in the round before
        if number < KILLS:
            dead = _node_in_use(cluster.nodes)
            dead.kill()
    if seen != bench.rows:
        raise AssertionError(f"{seen} rows, not {bench.rows}")


def _node_in_use(nodes: list[Node]) -> Node:
    processes = "SELECT COUNT(*) FROM INFORMATION_SCHEMA.PROCESSLIST WHERE DB = %s AND USER = %s"
    of_ours = os.environ["DB_NAME"], nodes[0].user
    return next(node for node in nodes if node.query(processes, of_ours, wait=False)[0][0])
