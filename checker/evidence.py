"""What the parent observes at the moments that the child marks, and does on its request."""

import time

from checker import databases, sandbox, users
from checker.exercises import GENERATORS, Exercise
from checker.proxy import CountingProxy

SETTLE, POLL = 0.6, 0.01
WATCHED = frozenset({"before first", "first", "second"})  # marks at which a stream is partly read


class Evidence:
    """Answers the child's marks and requests, and records what the parent observes."""

    def __init__(self, exercise: Exercise, server, proxy: CountingProxy | None, room: sandbox.Room):
        self._exercise, self._server, self._proxy, self._room = exercise, server, proxy, room
        self._baseline = 0

    def answer(self, message: dict, run: sandbox.Run) -> dict:
        """Handle a mark or a request of the child."""
        if "mark" in message:
            run.evidence.setdefault(str(message["mark"]), self._look(str(message["mark"])))
        elif self._server is not None:
            try:
                self._fulfil(message, run)
            except self._server.error:  # the answer still holds a lock
                self._server.end_connections()
                self._fulfil(message, run)
        return {"ok": True}

    def _fulfil(self, message: dict, run: sandbox.Run) -> None:
        request = message["request"]
        if request == "database" and self._exercise.number != "seed":
            self._server.prepare(str(message.get("name")))
        elif request == "grow":
            form = "narrow" if self._exercise.number == "4" else "wide"
            size = self._server.grow(form)
            left = {"sent": self._proxy.sent, "open": self._proxy.connections()}
            run.evidence["grow"] = {"bytes": size, **left}
        elif request == "empty":
            self._server.empty()
        elif request == "gone":
            self._server.remove()
        elif request == "stranger":
            self._server.add_stranger()
            run.evidence["stranger"] = {"rows": len(self._server.rows())}
        elif request == "no database":
            self._server.reset(tables=False)

    def _look(self, mark: str) -> dict:
        seen: dict = {}
        if self._proxy is not None:
            self._settle(mark)
            seen |= {"sent": self._proxy.sent, "open": self._proxy.connections()}
            seen["queries"] = self._server.queries()
            if mark == "imported":
                self._baseline = seen["open"]
            if self._exercise.number == "seed":
                seen["columns"] = self._server.columns()
                names = [name for (name,) in self._server.run("SHOW DATABASES")]
                seen["databases"] = [n for n in names if n.lower() not in databases.SYSTEM]
            if mark in ("imported", "first run", "second run"):
                seen["user_data"] = self._server.rows()
        table = "user_data" if self._exercise.number == "seed" else "users"
        if self._exercise.topic != GENERATORS or (table == "user_data" and not seen.get(table)):
            with self._room.users_db() as path:
                seen[table] = users.read_sqlite(path, table)
        return seen

    def _settle(self, mark: str) -> None:
        """Wait until the proxy has seen closed connections close and bytes in transit arrive."""
        deadline = time.monotonic() + SETTLE
        if mark in WATCHED:
            sent = -1
            while sent != self._proxy.sent and time.monotonic() < deadline:
                sent = self._proxy.sent
                time.sleep(3 * POLL)
        else:
            while self._proxy.connections() > self._baseline and time.monotonic() < deadline:
                time.sleep(POLL)
