"""A private Galera cluster in a temporary folder, whose nodes can be killed, cut off and brought back.

    with private_cluster() as cluster:
        first, second, third = cluster.nodes  # each has host, port, user and password
        first.kill()
        first.start()  # waits until it is a full member again

Needs the full server package, Galera and rsync: on Debian, mariadb-server, galera-4 and rsync.
"""

import contextlib
import os
import pwd
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import mysql.connector

from servers.cluster import Cluster, ClusterNode, cluster_folder, copy_data
from servers.private import free_ports, make_data_folder, make_init_file, server_command
from servers.programs import Program, find_programs, find_tool, why_no_program

TOOLS = ("mariadb-install-db", "wsrep_sst_rsync", "rsync")
PROVIDERS = ("/usr/lib/galera/libgalera_smm.so", "/usr/lib64/galera-4/libgalera_smm.so")
# rsync's daemon cannot read what only root may, so no node runs as root.
UNPRIVILEGED = ("mysql", "nobody")
PROVIDER_OPTIONS = {
    # A node that says nothing is left out after 1.5 seconds, a third of the default.
    "evs.keepalive_period": "PT0.2S",
    "evs.inactive_check_period": "PT0.1S",
    "evs.suspect_timeout": "PT1.5S",
    "evs.inactive_timeout": "PT3S",
    "evs.install_timeout": "PT3S",
    "evs.join_retrans_period": "PT0.2S",
    "pc.announce_timeout": "PT1S",
    "pc.recovery": "no",  # who starts a cluster is said here, not found in a file
    # What a node that was away missed comes from here, without a transfer of all its files.
    "gcache.size": "256M",
}


def missing() -> str | None:
    """Say why no cluster can be started here, or None."""
    if _provider() is None:
        return f"needs Galera: no {Path(PROVIDERS[0]).name} here (Debian: galera-4)"
    absent = [name for name in TOOLS if find_tool(name) is None]
    if absent:
        return f"needs a server with Galera: no {', '.join(absent)} here"
    return None if _program() else why_no_program("mariadb")


class Node(ClusterNode):
    def begin(self, *options: str) -> None:
        """Start the node and do not wait."""
        # Without its position, a node that was killed gets all files anew.
        self.launch(*self.command, f"--wsrep-start-position={self.position()}", *options)

    def position(self) -> str:
        """Return the stopped node's last transaction, as cluster-id:number."""
        options = {"capture_output": True, "text": True, "check": True, **self.identity}
        log = subprocess.run([*self.command, "--wsrep-recover"], **options).stderr
        return re.findall(r"Recovered position: (\S+)", log)[-1]

    def committed(self) -> int:
        return int(self.position().rpartition(":")[2])

    def is_synced(self) -> bool:
        try:
            # The others must confirm it: one that was frozen still believes what it knew before.
            self.query("SELECT 1")
        except mysql.connector.Error:
            return False
        return self.status("wsrep_ready", "wsrep_local_state_comment") == ["ON", "Synced"]

    def status(self, *names: str) -> list[str | None]:
        """Values of SHOW STATUS as the node knows them; None for all if it does not answer."""
        with contextlib.suppress(mysql.connector.Error):
            values = dict(self.query("SHOW GLOBAL STATUS LIKE 'wsrep%'", wait=False))
            return [values[name] for name in names]
        return [None] * len(names)

    def waiting(self, wait: bool) -> str:
        return f"SET SESSION wsrep_sync_wait = {15 * wait}"

    def isolate(self) -> None:
        """Cut the node off from the others; it answers, but with error 1047."""
        self.query("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=1'")
        self.wait_until(lambda: self.status("wsrep_ready") == ["OFF"])

    def rejoin(self) -> None:
        """Undo isolate(), and wait until the node is a full member again."""
        self.query("SET GLOBAL wsrep_provider_options = 'gmcast.isolate=0'", wait=False)
        self.wait_until(self.is_synced)


class GaleraCluster(Cluster):
    def start(self) -> None:
        first, *others = sorted(self.nodes, key=Node.committed, reverse=True)
        state = first.data / "grastate.dat"
        state.write_text(state.read_text().replace("bootstrap: 0", "bootstrap: 1"))
        first.start("--wsrep-new-cluster")
        for members, node in enumerate(others, 2):
            node.begin()
            # One after the other: two that join at once find each other first, which takes longer.
            seen = [str(members)]
            node.wait_until(lambda seen=seen: first.status("wsrep_cluster_size") == seen)
        for node in others:
            node.wait_until(node.is_synced)


@contextlib.contextmanager
def private_cluster(nodes: int = 3, *options: str) -> Iterator[GaleraCluster]:
    """Run a new cluster; end its nodes and remove their folders afterwards.

    `options` go to every node as they are. Raises FileNotFoundError where something is not installed.
    """
    if reason := missing():
        raise FileNotFoundError(reason)
    identity, cluster = _identity(), GaleraCluster([])
    with cluster_folder(cluster) as (folder, launcher):
        ports = [free_ports(4) for _ in range(nodes)]
        members = ",".join(f"127.0.0.1:{group}" for _, group, _, _ in ports)
        for number, (port, *others) in enumerate(ports, 1):
            path = folder / f"node{number}" / "server.sock"
            node = Node(_program(), "127.0.0.1", port, path, launcher=launcher, identity=identity)
            galera = _galera_options(f"node{number}", members, *others)
            node.command = server_command(node, *galera, *options)
            cluster.nodes.append(node)
        _make_data(cluster.nodes, folder, identity)
        cluster.start()
        yield cluster


def _make_data(nodes: list[Node], folder: Path, identity: dict) -> None:
    """Give all nodes the same data, so that no files are transferred at the first start."""
    first, *others = nodes
    init_file = make_init_file(folder)
    for node in nodes:
        node.data.parent.mkdir()
    if identity:
        for path in (folder, init_file, *(node.data.parent for node in nodes)):
            os.chown(path, identity["user"], identity["group"])
    make_data_folder(first.program, first.data, [], **identity)
    first.start("--wsrep-new-cluster", f"--init-file={init_file}")
    first.stop()
    (first.data / "galera.cache").unlink()
    copy_data(first, others)


def _galera_options(name: str, members: str, group: int, increments: int, files: int) -> list[str]:
    provider_options = PROVIDER_OPTIONS | {
        "gmcast.listen_addr": f"tcp://127.0.0.1:{group}",
        "ist.recv_addr": f"127.0.0.1:{increments}",
    }
    return [
        "--binlog-format=ROW",
        "--innodb-autoinc-lock-mode=2",
        "--wsrep-on=ON",
        f"--wsrep-provider={_provider()}",
        f"--wsrep-provider-options={';'.join(map('='.join, provider_options.items()))}",
        # MariaDB 11.8's plugin makes each option a variable, and refuses isolate()'s way to set one.
        "--loose-plugin-wsrep-provider=OFF",
        f"--wsrep-cluster-address=gcomm://{members}",
        f"--wsrep-node-name={name}",
        "--wsrep-node-address=127.0.0.1",
        "--wsrep-sst-method=rsync",
        f"--wsrep-sst-receive-address=127.0.0.1:{files}",
    ]


def _program() -> Program | None:
    """The installed MariaDB, which alone has Galera's scripts."""
    return next((p for p in find_programs() if p.kind == "mariadb" and not p.root), None)


def _provider() -> str | None:
    return next((path for path in PROVIDERS if os.path.exists(path)), None)


def _identity() -> dict:
    if os.geteuid() != 0:
        return {}
    users = {entry.pw_name: entry for entry in pwd.getpwall()}
    entry = next(users[name] for name in UNPRIVILEGED if name in users)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
