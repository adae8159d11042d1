"""What the parent sees for itself at the moments that the child marks, and does at its wish."""

import contextlib
import sqlite3
import time
from pathlib import Path

from checker import databases, sandbox, users
from checker.exercises import GENERATORS, Exercise
from checker.proxy import CountingProxy

SETTLE, POLL = 0.6, 0.01
WATCHED = frozenset({"before first", "first", "second"})  # a moment in which a stream is half read


class Evidence:
    """What the parent sees for itself at the moments that the child marks, and does at its wish."""

    def __init__(self, exercise: Exercise, server, proxy: CountingProxy | None, users_db: Path):
        self._exercise, self._server, self._proxy = exercise, server, proxy
        self._users_db = users_db
        self._baseline = 0

    def answer(self, message: dict, run: sandbox.Run) -> dict:
        """Serve a mark or a wish of the child."""
        if "mark" in message:
            run.evidence.setdefault(str(message["mark"]), self._look(str(message["mark"])))
        elif self._server is not None:
            try:
                self._grant(message, run)
            except self._server.error:  # a lock that the answer still holds
                self._server.end_connections()
                self._grant(message, run)
        return {"ok": True}

    def _grant(self, message: dict, run: sandbox.Run) -> None:
        wish = message["wish"]
        if wish == "database" and self._exercise.number != "seed":
            self._server.prepare(str(message.get("name")))
        elif wish == "grow":
            form = "narrow" if self._exercise.number == "4" else "wide"
            size = self._server.grow(form)
            left = {"sent": self._proxy.sent, "open": self._proxy.connections()}
            run.evidence["grow"] = {"bytes": size, **left}
        elif wish == "empty":
            self._server.empty()
        elif wish == "gone":
            self._server.remove()
        elif wish == "stranger":
            self._server.add_stranger()
            run.evidence["stranger"] = {"rows": len(self._server.rows())}
        elif wish == "no database":
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
        if self._exercise.topic != GENERATORS:
            if mark == "imported":  # the answer's last lines may have made a table of their own
                with contextlib.suppress(sqlite3.Error):  # which they may hold locked
                    users.make_users_db(self._users_db)
            seen["users"] = users.read_sqlite(self._users_db, "users")
        elif self._exercise.number == "seed" and not seen.get("user_data"):
            seen["user_data"] = users.read_sqlite(self._users_db, "user_data")
        return seen

    def _settle(self, mark: str) -> None:
        """Wait until closed connections are seen to be closed, and bytes on their way have arrived."""
        deadline = time.monotonic() + SETTLE
        if mark in WATCHED:
            sent = -1
            while sent != self._proxy.sent and time.monotonic() < deadline:
                sent = self._proxy.sent
                time.sleep(3 * POLL)
        else:
            while self._proxy.connections() > self._baseline and time.monotonic() < deadline:
                time.sleep(POLL)
