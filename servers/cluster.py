"""What the nodes of a private cluster have in common, whichever kind of cluster it is."""

import contextlib
import os
import signal
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import mysql.connector

from servers.private import Server, server_folder


@dataclass
class ClusterNode(Server):
    identity: dict = field(default_factory=dict, repr=False)  # options of Popen: whom to run it as
    launcher: ThreadPoolExecutor | None = field(default=None, repr=False)

    @property
    def data(self) -> Path:
        return self.socket.with_name("data")

    def start(self, *options: str) -> None:
        """Start the node and wait until it is a full member of the cluster.

        Raises RuntimeError if it does not become one.
        """
        self.begin(*options)
        self.wait_until(self.is_synced)

    def begin(self, *options: str) -> None:
        """Start the node and do not wait."""
        raise NotImplementedError

    def is_synced(self) -> bool:
        """Return whether it is a member of the majority, up to date, and takes statements."""
        raise NotImplementedError

    def waiting(self, wait: bool) -> str:
        """Return the statement that makes reads wait for the other nodes' commits, or not."""
        raise NotImplementedError

    def launch(self, *command: str) -> None:
        # A server ends with the thread that started it, so that is one that lasts. Of its own process
        # group, so that whatever it starts ends with it.
        start = super().launch
        self.launcher.submit(start, *command, start_new_session=True, **self.identity).result()

    def query(self, sql: str, values: tuple = (), *, wait: bool = True, **options) -> list[tuple]:
        """Run one statement at this node, without the code under test, and return its rows.

        It waits until the node has applied what the others committed before, unless told not to.
        """
        options |= {"autocommit": True, "init_command": self.waiting(wait)}
        with contextlib.closing(self.connect(**options)) as connection:
            cursor = connection.cursor()
            cursor.execute(sql, values)
            return cursor.fetchall() if cursor.description else []

    def connect(self, **options):
        return mysql.connector.connect(
            host=self.host,
            port=self.port,
            user=self.user,
            password=self.password,
            **{"connection_timeout": 5} | options,
        )

    def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Let the node leave the cluster in order."""
        self.thaw(wait=False)
        super().stop()
        self.kill()  # what it started and did not end

    def freeze(self) -> None:
        """Make the node silent: the system takes connections for it, nothing answers."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self, *, wait: bool = True) -> None:
        self.process.send_signal(signal.SIGCONT)
        if wait:
            self.wait_until(self.is_synced)


@dataclass
class Cluster:
    nodes: list[ClusterNode]

    def start(self) -> None:
        """Start all nodes when none runs, from the one that holds the most."""
        raise NotImplementedError

    def heal(self) -> None:
        """Make all nodes full members again, whatever happened to them."""
        if not all(node.is_synced() for node in self.nodes):
            for node in self.nodes:
                node.kill()
            self.start()


@contextlib.contextmanager
def cluster_folder(cluster: Cluster) -> Iterator[tuple[Path, ThreadPoolExecutor]]:
    """Make a folder for the nodes and the thread that starts them; end and remove all afterwards."""
    with server_folder() as folder, ThreadPoolExecutor(1) as launcher:
        try:
            yield folder, launcher
        finally:
            for node in cluster.nodes:
                if node.process is not None:
                    node.kill()


def copy_data(first: ClusterNode, others: list[ClusterNode]) -> None:
    """Give all nodes the data of the first, so that none is transferred at the first start."""
    for node in others:
        subprocess.run(["cp", "-a", first.data, node.data], check=True)
