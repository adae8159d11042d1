"""A private cluster of MySQL Group Replication in a temporary folder, whose nodes can be made to fail.

    with private_group() as group:
        group.primary().kill()  # each node has host, port, user and password
        group.heal()  # waits until all are full members again

One node at a time is the primary, which takes writes. Needs MySQL: python -m servers.unpack mysql
"""

import contextlib
import shutil
import uuid
from collections.abc import Iterator

import mysql.connector

from servers.cluster import Cluster, ClusterNode, cluster_folder, copy_data
from servers.private import (
    PASSWORD,
    USER,
    free_ports,
    make_init_file,
    new_data,
    server_command,
    user_options,
)
from servers.programs import find_program, why_no_program

_MEMBERS = "performance_schema.replication_group_members"


class Node(ClusterNode):
    def begin(self, *options: str) -> None:
        """Start the node, let it join the group and do not wait until it has caught up."""
        self.launch(*self.command, *options)
        self.wait_until(self.is_ready)
        self.wait_until(self.joins)

    def joins(self) -> bool:
        """Let the running node join the group; return whether the group takes it."""
        try:
            self.query(
                f"START GROUP_REPLICATION USER='{USER}', PASSWORD=%s", (PASSWORD,), wait=False
            )
        except mysql.connector.Error:
            return False  # the group still has the node that was killed as a member
        return True

    def is_synced(self) -> bool:
        try:
            # By a BEFORE read the others confirm it: one that was frozen believes what it knew before.
            self.query(f"SELECT COUNT(*) FROM {_MEMBERS}", read_timeout=5)
            return self.member("STATE", "ID = @@server_uuid") == ["ONLINE"]
        except mysql.connector.Error:
            return False

    def member(self, column: str, condition: str) -> list:
        """Return the values of a column of the group's members, as this node sees them."""
        sql = f"SELECT MEMBER_{column} FROM {_MEMBERS} WHERE MEMBER_{condition}"
        return [value for (value,) in self.query(sql, wait=False)]

    def waiting(self, wait: bool) -> str:
        return f"SET SESSION group_replication_consistency = '{'BEFORE' if wait else 'EVENTUAL'}'"

    def send_offline(self) -> None:
        """Close the connections of all users but administrators, and take no new ones."""
        self.query("SET GLOBAL offline_mode = ON", wait=False)

    def bring_online(self) -> None:
        self.query("SET GLOBAL offline_mode = OFF", wait=False)

    def holds_all_of(self, other: "Node") -> bool:
        sql = "SELECT GTID_SUBSET(%s, @@gtid_executed)"
        return self.query(sql, *other.query("SELECT @@gtid_executed", wait=False)) == [(1,)]


class Group(Cluster):
    def start(self) -> None:
        for node in self.nodes:
            node.launch(*node.command)
        for node in self.nodes:
            node.wait_until(node.is_ready)
        first = next(node for node in self.nodes if all(map(node.holds_all_of, self.nodes)))
        first.query("SET GLOBAL group_replication_bootstrap_group = ON", wait=False)
        first.joins()
        first.query("SET GLOBAL group_replication_bootstrap_group = OFF", wait=False)
        first.wait_until(first.is_synced)
        for node in self.nodes:
            if node is not first:
                node.wait_until(node.joins)
        for node in self.nodes:
            node.wait_until(node.is_synced)

    def primary(self) -> Node:
        """Return the node that takes writes, as the first full member sees it."""
        member = next(node for node in self.nodes if node.is_synced())
        (port,) = member.member("PORT", "ROLE = 'PRIMARY'")
        return next(node for node in self.nodes if node.port == port)


@contextlib.contextmanager
def private_group(nodes: int = 3, *options: str) -> Iterator[Group]:
    """Run a new group; end its nodes and remove their folders afterwards.

    `options` go to every node as they are. Raises FileNotFoundError where MySQL is missing.
    """
    program = find_program("mysql")
    if program is None:
        raise FileNotFoundError(why_no_program("mysql"))
    group, name = Group([]), uuid.uuid4()
    with cluster_folder(group) as (folder, launcher):
        ports = [free_ports(2) for _ in range(nodes)]
        seeds = ",".join(f"127.0.0.1:{local}" for _, local in ports)
        for number, (port, local) in enumerate(ports, 1):
            path = folder / f"node{number}" / "server.sock"
            node = Node(program, "127.0.0.1", port, path, launcher=launcher)
            node.command = server_command(
                node,
                *user_options(),
                f"--server-id={number}",
                "--gtid-mode=ON",
                "--enforce-gtid-consistency=ON",
                "--super-read-only=ON",
                "--performance-schema=OFF",
                f"--report-host={node.host}",
                f"--report-port={port}",
                "--plugin-load-add=group_replication.so",
                "--loose-group-replication-start-on-boot=OFF",
                f"--loose-group-replication-group-name={name}",
                f"--loose-group-replication-local-address=127.0.0.1:{local}",
                f"--loose-group-replication-group-seeds={seeds}",
                "--loose-group-replication-recovery-get-public-key=ON",
                *options,
            )
            node.data.parent.mkdir()
            group.nodes.append(node)
        first, *others = group.nodes
        shutil.copytree(new_data(program), first.data)
        # Our user is made without a log, so that the nodes begin with the same, empty history.
        first.launch(
            *first.command,
            "--super-read-only=OFF",
            "--skip-log-bin",
            "--gtid-mode=OFF",
            "--enforce-gtid-consistency=OFF",
            f"--init-file={make_init_file(folder)}",
        )
        first.wait_until(first.is_ready)
        first.stop()
        (first.data / "auto.cnf").unlink()  # else all nodes are the same server to MySQL
        copy_data(first, others)
        group.start()
        yield group
