"""A TCP proxy before a server, which can cut, fall silent, lose a reply or act at a byte; for tests.

with Proxy(server.host, server.port) as proxy:
    ...  # connect to proxy.host, proxy.port
"""

import contextlib
import re
import socket
import threading
from collections.abc import Callable


class Proxy:
    host = "127.0.0.1"

    def __init__(self, host: str, port: int):
        self._server = host, port
        self._listener = socket.create_server((self.host, 0))
        self.port = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._lost_reply = b""
        self._act_at, self._skip, self._action = 0, 0, None
        self.is_silent = False
        self.connections = 0
        self.received = 0  # bytes of all clients together

    def cut(self) -> None:
        """Close all connections that are open now."""
        for end in self._sockets:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def lose_reply_to(self, request: bytes) -> None:
        """Let the server answer the next request that matches `request`, then cut, with no reply."""
        self._lost_reply = request

    def act_at(self, moment: int | bytes, action: Callable[[], object], skip: int = 0) -> None:
        """Run `action` once the server has just so many bytes of all clients, before it gets more.

        Where the moment is a regular expression: all bytes up to the first match, and `skip` of it.
        """
        self._act_at, self._skip, self._action = moment, skip, action

    def __enter__(self):
        self._start(self._accept)
        return self

    def __exit__(self, *exc_info):
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join()
        for end in self._sockets:
            end.close()

    def _start(self, target, *arguments) -> None:
        thread = threading.Thread(target=target, args=arguments)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self.connections += 1
            self._sockets.append(client)
            try:
                server = socket.create_connection(self._server)
            except OSError:  # the server is down: the client must see that too
                client.close()
                continue
            self._sockets.append(server)
            reply_is_lost = threading.Event()
            self._start(self._forward, client, server, reply_is_lost)
            self._start(self._forward, server, client, reply_is_lost)

    def _forward(self, source: socket.socket, target: socket.socket, reply_is_lost) -> None:
        from_client = target.getpeername() == self._server
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if from_client:
                    data = self._act_in_time(data, target)
                if from_client and self._lost_reply and find(self._lost_reply, data):
                    self._lost_reply = b""
                    reply_is_lost.set()
                elif not from_client and reply_is_lost.is_set():
                    break  # the server did the work, but its reply is lost
                if not self.is_silent:
                    target.sendall(data)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _act_in_time(self, data: bytes, server: socket.socket) -> bytes:
        """Tell the bytes that are still to forward."""
        self.received += len(data)
        before = len(data) + 1
        if isinstance(self._act_at, int):
            before = len(data) - (self.received - self._act_at)
        elif found := find(self._act_at, data):
            before = min(found.start() + self._skip, found.end())
        if self._action is None or before > len(data):
            return data
        action, self._action = self._action, None
        server.sendall(data[:before])
        action()
        return data[before:]


def find(pattern: bytes, data: bytes) -> re.Match | None:
    """Find a request in what a client sends; the driver's two forms write `commit` and `COMMIT`."""
    return re.search(pattern, data, re.IGNORECASE)
