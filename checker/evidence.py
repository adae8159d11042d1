"""What the parent observes at the moments that the child marks, and does on its request."""

from checker import databases, sandbox, users
from checker.exercises import GENERATORS, Exercise
from checker.proxy import CountingProxy

WATCHED = frozenset({"first", "stopped"})  # marks of one and the same stream


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
        server, proxy = self._server, self._proxy
        request = server and message["request"]
        if request == "database" and self._exercise.number != "seed":
            server.prepare(str(message.get("name")))
        elif request == "grow":
            size = server.grow("narrow" if self._exercise.number == "4" else "wide")
            run.evidence["grow"] = {"bytes": size, "sent": proxy.sent}
            self._before = proxy.accepted
        elif request == "empty":
            server.empty()
        elif request == "gone":
            server.remove()
        elif request == "stranger":
            server.add_stranger()
            run.evidence["stranger"] = {"stored": server.stored()}
        elif request == "refuse":
            proxy.refuse()
            server.end_connections()
        elif request == "no database":
            server.reset(tables=False)

    def _look(self, message: dict, run: sandbox.Run) -> None:
        mark, seen = str(message["mark"]), {}
        server, proxy = self._server, self._proxy
        if proxy is not None:
            seen = {"sent": proxy.sent, "made": proxy.accepted - self._before}
            seen |= {"open": proxy.connections(), "left": proxy.connections(after=self._before)}
            seen["queries"] = server.queries()
            if mark not in WATCHED:
                self._before = proxy.accepted
            if self._exercise.number == "seed":
                seen |= {"columns": server.columns(), "stored": server.stored()}
                names = [name for (name,) in server.run("SHOW DATABASES")]
                seen["databases"] = [n for n in names if n.lower() not in databases.SYSTEM]
            if mark in ("imported", "first run", "second run"):
                seen["user_data"] = server.rows()
        if self._exercise.topic != GENERATORS:
            with self._room.users_db() as path:
                seen["users"] = users.read_sqlite(path) if path else []
        run.evidence.setdefault(mark, seen)
