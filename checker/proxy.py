"""A proxy for the server's Unix socket that counts bytes sent to the client and open connections."""

import contextlib
import select
import socket
import threading
from pathlib import Path

CHUNK = 16_384
CLIENT_BUFFER = 8_192  # small, so that bytes the client has not read stay here, uncounted


class CountingProxy:
    """Forwards connections to the server's own socket until it is closed."""

    def __init__(self, path: Path, server: Path):
        self._server = server
        self.sent = self.accepted = 0  # bytes, connections
        self._lock = threading.Lock()
        self._open: dict[socket.socket, tuple[int, socket.socket]] = {}  # number from 1, and server
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        path.chmod(0o666)  # in its own user namespace, the child may be another user
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def connections(self, after: int = 0) -> int:
        """How many connections after this number the client has open at this moment.

        The sockets themselves are asked, so a close() counts before any thread here has seen it.
        """
        ended = select.poll()
        with self._lock:
            clients = [client for client, (number, _) in self._open.items() if number > after]
            for client in clients:
                ended.register(client, 0)  # POLLHUP is always reported
            return len(clients) - len(ended.poll(0))

    def refuse(self) -> None:
        """Refuse new connections from now on."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def close(self) -> None:
        """Cut every connection and stop listening."""
        self.refuse()
        with self._lock:
            for client, (_, server) in self._open.items():
                _end(client, server)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.socket(socket.AF_UNIX)
                server.connect(str(self._server))
            except OSError:  # closed, or the server has ended
                return self.refuse()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, CLIENT_BUFFER)
            with self._lock:
                self.accepted += 1
                self._open[client] = (self.accepted, server)
            for target in (self._to_server, self._to_client):
                threading.Thread(target=target, args=(client, server), daemon=True).start()

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(CHUNK):
                server.sendall(data)
        with self._lock:
            self._open.pop(client, None)
        _end(client, server)
        client.close()
        server.close()

    def _to_client(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(CHUNK):
                client.sendall(data)
                self.sent += len(data)
        # The server ended it, but it counts as open until the client closes it, too.
        with contextlib.suppress(OSError):
            client.shutdown(socket.SHUT_WR)
        server.close()


def _end(*sockets: socket.socket) -> None:
    for one in sockets:
        with contextlib.suppress(OSError):  # it may have ended already
            one.shutdown(socket.SHUT_RDWR)
