"""What the parent observes at the moments that the child marks, and does on its request."""

from checker import databases, sandbox, users
from checker.exercises import GENERATORS, Exercise
from checker.proxy import CountingProxy

WATCHED = frozenset({"first", "second", "stopped"})  # marks of one and the same stream


class Evidence:
    """Answers the child's marks and requests, and records what the parent observes."""

    def __init__(self, exercise: Exercise, server, proxy: CountingProxy | None, room: sandbox.Room):
        self._exercise, self._server, self._proxy, self._room = exercise, server, proxy, room
        self._before = 0  # how many connections had been made when the step began

    def answer(self, message: dict, run: sandbox.Run) -> dict:
        """Handle a mark or a request of the child."""
        act = self._look if "mark" in message else self._fulfil
        locked = self._server.error if self._server else ()
        try:
            act(message, run)
        except locked:  # by the answer
            self._server.end_connections()
            act(message, run)
        return {"ok": True}

    def _fulfil(self, message: dict, run: sandbox.Run) -> None:
        request = self._server and message["request"]
        if request == "database" and self._exercise.number != "seed":
            self._server.prepare(str(message.get("name")))
        elif request == "grow":
            form = "narrow" if self._exercise.number == "4" else "wide"
            size = self._server.grow(form)
            run.evidence["grow"] = {"bytes": size, "sent": self._proxy.sent}
            self._before = self._proxy.accepted
        elif request == "empty":
            self._server.empty()
        elif request == "gone":
            self._server.remove()
        elif request == "stranger":
            self._server.add_stranger()
            run.evidence["stranger"] = {"stored": self._server.stored()}
        elif request == "refuse":
            self._proxy.refuse()
            self._server.end_connections()
        elif request == "no database":
            self._server.reset(tables=False)

    def _look(self, message: dict, run: sandbox.Run) -> None:
        mark, seen = str(message["mark"]), {}
        if self._proxy is not None:
            seen |= {"sent": self._proxy.sent, "open": self._proxy.connections()}
            seen |= {"made": self._proxy.accepted, "queries": self._server.queries()}
            seen["left"] = self._proxy.connections(after=self._before)
            if mark not in WATCHED:
                self._before = self._proxy.accepted
            if self._exercise.number == "seed":
                seen |= {"columns": self._server.columns(), "stored": self._server.stored()}
                names = [name for (name,) in self._server.run("SHOW DATABASES")]
                seen["databases"] = [n for n in names if n.lower() not in databases.SYSTEM]
            if mark in ("imported", "first run", "second run"):
                seen["user_data"] = self._server.rows()
        if self._exercise.topic != GENERATORS:
            with self._room.users_db() as path:
                seen["users"] = users.read_sqlite(path) if path else []
        run.evidence.setdefault(mark, seen)
