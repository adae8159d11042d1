#!/usr/bin/env python3
"""Compare the exercises with the usual alternatives, side by side, on a private server.

    python benchmarks/run.py                   # MariaDB, then MySQL; 1,000,000 rows, 5 rounds
    python benchmarks/run.py --server mysql    # only that one
    python benchmarks/run.py --quick           # 20,000 rows, 3 rounds, for development

Ours and the alternative take turns, round by round, in one process; a ratio compares the medians.
Memory is the peak of a whole process. TLS is as the server has it by default, the same for all
drivers. Missing peers and servers are skipped. Writes results.json, memory.png, time.png and
pages.png into --output. If that is benchmarks/, where it is by default, docs/performance.md gets the
table too; report.py and plots.py do these from results.json, without measuring again.
"""

import argparse
import asyncio
import contextlib
import csv
import functools
import itertools
import json
import os
import platform
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import timeit
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cases  # before seed and servers: it makes them importable
import cluster
import report
from tqdm import tqdm

import seed
from servers import find_program, private_server, why_no_program
from servers.programs import KINDS

HERE = Path(__file__).resolve().parent
SERVER_OPTIONS = ("--innodb-buffer-pool-size=1G", "--local-infile=1")


class Row(NamedTuple):
    what: str
    server: str
    against: str
    target: str
    measured: str
    verdict: str


class Bench:
    def __init__(self, rows: int, rounds: int, folder: Path):
        self.rows, self.rounds, self.folder = rows, rounds, folder
        self.sizes = [size for size in (1_000, 10_000, 100_000, 1_000_000) if size <= rows]
        self.server = ""  # whose figures are next
        self.results: list[Row] = []
        self.growth: list[dict] = []
        self.pages: list[dict] = []
        self.bar = tqdm(desc="benchmarks", unit=" steps", disable=None)

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Print how long a part took."""
        started = time.monotonic()
        yield
        seconds = time.monotonic() - started
        tqdm.write(f"{self.server}: {name} took {seconds:.0f} s", file=sys.stderr)

    # ------------------------------------------------------------ measuring

    def turns(self, ours: Callable, peer: Callable) -> tuple[float, float]:
        """Run both in turns; return the median seconds of each."""
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(self.rounds):
            for case, times in zip((ours, peer), seconds, strict=True):
                times.append(cases.timed(case)[0])
                self.bar.update()
        return statistics.median(seconds[0]), statistics.median(seconds[1])

    def compare(
        self, what: str, ours: Callable, against: str, peer: Callable, target: float | None
    ) -> None:
        try:
            our_seconds, peer_seconds = self.turns(ours, peer)
        except (ModuleNotFoundError, FileNotFoundError) as missing:
            self.leave_out(what, against, missing)
            return
        ratio = peer_seconds / our_seconds
        if target is None:
            self.add(what, against, "none", f"{ratio:.2f} x", None)
            return
        self.add(what, against, f"at least {target} x as fast", f"{ratio:.2f} x", ratio >= target)

    def leave_out(self, what: str, against: str, missing: object) -> None:
        tqdm.write(f"{what} | {self.server} | {against} | left out: {missing}", file=sys.stderr)

    def add(
        self, what: str, against: str, target: str, measured: str, reached: bool | None
    ) -> None:
        """Add a row; `reached` is None where there is no target."""
        verdict = {True: "reached", False: "MISSED", None: ""}[reached]
        row = Row(what, self.server, against, target, measured, verdict)
        self.results.append(row)
        tqdm.write(" | ".join(row), file=sys.stderr)

    def program(self, case: str, *arguments: str) -> dict:
        """Run a case in a process of its own, for its peak memory."""
        done = subprocess.run(
            [sys.executable, HERE / "cases.py", case, *arguments],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{case}: {done.stderr}")
        self.bar.update()
        return json.loads(done.stdout.splitlines()[-1])

    # -------------------------------------------------------------- the data

    def csv_file(self, rows: int) -> str:
        path = self.folder / f"users-{rows}.csv"
        if not path.exists():
            with path.open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow(["user_id", "name", "email", "age"])
                for number in range(rows):
                    email = f"user{number}@example.com"
                    user_id = uuid.uuid5(uuid.NAMESPACE_URL, email)
                    writer.writerow([user_id, f"Zoë Müller {number}", email, number % 121])
        return str(path)

    @contextlib.contextmanager
    def database(self, rows: int, suffix: str = "") -> Iterator[None]:
        before = os.environ.get("DB_NAME", "")
        os.environ["DB_NAME"] = f"bench_{rows}{suffix}"
        try:
            yield
        finally:
            os.environ["DB_NAME"] = before

    # -------------------------------------------------------------- the parts

    def grow(self) -> None:
        """Time and memory of streaming, paging and loading at each size; leaves the tables loaded."""
        for size in self.sizes if self.rows in self.sizes else [*self.sizes, self.rows]:
            with self.database(size):
                measured = {"load": self.program("load", self.csv_file(size))}
                names = "stream_users stream_users_in_batches lazy_paginate calculate_average_age"
                for name in [*names.split(), "driver_fetchall"]:
                    measured[name] = self.program(name)
                self.growth += [
                    {"server": self.server, "size": size, "case": n, **m}
                    for n, m in measured.items()
                ]

    def read(self) -> None:
        with self.database(self.rows):
            stream = "stream_users()"
            for against, peer, target in (
                ("`for row in cursor(dictionary=True)`", cases.driver_idiom, 4.5),
                ("mysqlclient SSDictCursor", cases.mysqlclient_stream, 1.8),
                ("asyncmy SSDictCursor, `fetchmany(1000)`", cases.asyncmy_dicts, 1.25),
                ("asyncmy SSCursor, dicts made by hand", cases.asyncmy_tuples_to_dicts, 1.25),
                ("asyncmy SSCursor, tuples", cases.asyncmy_tuples, None),
                ("`mariadb --quick`", cases.servers_own_client, 0.8),
                ("PyMySQL SSDictCursor", cases.pymysql_stream, 4.0),
            ):
                self.compare(stream, cases.stream_users, against, peer, target)
            self.compare(
                "stream_users_in_batches(1000)",
                cases.stream_users_in_batches,
                "`fetchmany(1000)`, dictionary cursor",
                cases.driver_fetchmany,
                3.0,
            )
            self.compare(
                "calculate_average_age()",
                cases.calculate_average_age,
                "mysqlclient streaming only the ages",
                cases.mysqlclient_ages,
                1.5,
            )
            self.page()
            self.abandon()

    def read_unencrypted(self) -> None:
        """Measure the server that has TLS by default without it."""
        with self.database(self.rows):
            cases.load(self.csv_file(self.rows))
            for against, peer, target in (
                ("mysqlclient SSDictCursor", cases.mysqlclient_stream, 1.8),
                ("asyncmy SSCursor, dicts made by hand", cases.asyncmy_tuples_to_dicts, 1.25),
            ):
                self.compare("stream_users(), TLS off", cases.stream_users, against, peer, target)

    def page(self) -> None:
        """Time every page by key, and 21 evenly spaced pages by offset, to estimate the total."""
        script = seed.import_script("2-lazy_paginate")
        page_count = self.rows // cases.PAGE_SIZE
        totals, by_key, by_offset = [], [], {}
        for _ in range(self.rounds):
            moments, keys = [time.perf_counter()], [None]
            for page in script.lazy_paginate(cases.PAGE_SIZE):
                moments.append(time.perf_counter())
                keys.append(page[-1]["user_id"])
            self.bar.update()
            by_key = [after - before for before, after in itertools.pairwise(moments)]
            totals.append(sum(by_key))
            with contextlib.closing(cases.connector()) as connection:
                for step in range(21):
                    offset = (page_count - 1) * step // 20 * cases.PAGE_SIZE
                    by_offset.setdefault(offset, []).append(
                        self._page_by_offset(connection, offset)
                    )
                    self.bar.update()
        medians = {offset: statistics.median(times) for offset, times in by_offset.items()}
        whole_by_offset = statistics.mean(medians.values()) * page_count
        ratio = whole_by_offset / statistics.median(totals)
        self.add(
            f"lazy_paginate({cases.PAGE_SIZE}), the whole table",
            f"LIMIT/OFFSET pages (21 of {page_count:,} measured, the rest estimated)",
            "at least 150 x as fast",
            f"{ratio:.0f} x",
            ratio >= 150,
        )
        first, last = self.turns(
            lambda: self._hundred_pages(keys[1]), lambda: self._hundred_pages(keys[1:][-101:][0])
        )
        self.add(
            f"lazy_paginate({cases.PAGE_SIZE}), the last 100 pages",
            "the first 100 pages",
            "at most 1.3 x the time",
            f"{last / first:.2f} x",
            last / first <= 1.3,
        )
        for offset, seconds in medians.items():
            index = offset // cases.PAGE_SIZE
            near = by_key[max(1, index - 25) : index + 25]
            self.pages.append(
                {
                    "server": self.server,
                    "offset": offset,
                    "by_offset": seconds,
                    "by_key": statistics.median(near),
                }
            )

    @staticmethod
    def _hundred_pages(after: str) -> None:
        """Do what lazy_paginate does, beginning after a key."""
        script = seed.import_script("2-lazy_paginate")
        with seed.open_reader() as reader:
            for _ in range(100):
                page = reader.fetch(script.AFTER_KEY, (after, cases.PAGE_SIZE))
                after = page[-1]["user_id"] if page else after

    @staticmethod
    def _page_by_offset(connection, offset: int) -> float:
        started = time.perf_counter()
        cursor = connection.cursor(dictionary=True)
        cursor.execute(
            f"{cases.ALL_USERS} ORDER BY user_id LIMIT %s OFFSET %s", (cases.PAGE_SIZE, offset)
        )
        cursor.fetchall()
        cursor.close()
        return time.perf_counter() - started

    def abandon(self) -> None:
        for taken in (1, 30_000):
            times, left = [], 0
            with contextlib.closing(cases.connector()) as watcher:
                for _ in range(self.rounds):
                    users = seed.import_script("0-stream_users").stream_users()
                    for _user in itertools.islice(users, taken):
                        pass
                    times.append(cases.timed(users.close)[0])
                    left += self._left_open(watcher)
            milliseconds = 1_000 * statistics.median(times)
            self.add(
                f"closing stream_users() after {taken:,} of {self.rows:,} rows",
                "",
                "under 20 ms, no open connection",
                f"{milliseconds:.1f} ms, {left} open",
                milliseconds < 20 and left == 0,
            )

    @staticmethod
    def _left_open(watcher) -> int:
        """Count the other connections, for up to a second: a server ends one after its client does."""
        deadline = time.monotonic() + 1
        while True:
            cursor = watcher.cursor()
            cursor.execute(
                "SELECT COUNT(*) FROM INFORMATION_SCHEMA.PROCESSLIST WHERE DB = DATABASE()"
            )
            others = cursor.fetchone()[0] - 1
            cursor.close()
            if not others or time.monotonic() > deadline:
                return others
            time.sleep(0.01)

    def load(self) -> None:
        few_rows = min(self.rows, 100_000)
        path, few = self.csv_file(self.rows), self.csv_file(few_rows)
        with self.database(self.rows, "_load"):
            self.compare(
                f"insert_data, {self.rows:,} rows",
                lambda: cases.load(path),
                "`LOAD DATA LOCAL INFILE`",
                lambda: cases.load_data_infile(path),
                0.55,
            )
            self.compare(
                f"insert_data, {few_rows:,} rows",
                lambda: cases.load(few),
                "one `execute` a row",
                lambda: cases.load_row_by_row(few),
                8,
            )

    def embedded(self) -> None:
        host = os.environ.pop("DB_HOST")
        os.environ["DB_FILE"] = str(self.folder / "embedded.sqlite3")
        try:
            with contextlib.redirect_stderr(open(os.devnull, "w")):
                cases.load(self.csv_file(self.rows))
            same, ages = "making the same dicts", "reading only the ages"
            batches, average = cases.stream_users_in_batches, cases.calculate_average_age
            for what, ours, against, peer, target in (
                ("stream_users()", cases.stream_users, same, cases.sqlite_idiom, 0.9),
                ("stream_users_in_batches(1000)", batches, same, cases.sqlite_idiom, 0.9),
                ("calculate_average_age()", average, ages, cases.sqlite_ages, None),
            ):
                against = f"plain sqlite3 cursor {against}"
                self.compare(f"{what}, embedded", ours, against, peer, target)
        finally:
            os.environ["DB_HOST"] = host

    def memory(self) -> None:
        growth = [row for row in self.growth if row["server"] == self.server]
        small, large = growth[0]["size"], growth[-1]["size"]
        peaks = {(row["size"], row["case"]): row["peak_kib"] / 1024 for row in growth}
        for case in dict.fromkeys(row["case"] for row in growth):
            more = peaks[large, case] - peaks[small, case]
            target = {"load": 8, "driver_fetchall": 0}.get(case, 4)
            if target:
                self.add(
                    f"peak memory of {case}, {large:,} rows",
                    f"with {small:,} rows",
                    f"at most +{target} MiB",
                    f"{more:+.1f} MiB",
                    more <= target,
                )

    def decorators(self) -> None:
        path = self.folder / "users.db"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name, email, age)")
            rows = ((f"Zoë {n}", f"u{n}@example.com", n % 121) for n in range(1_000))
            connection.executemany("INSERT INTO users (name, email, age) VALUES (?, ?, ?)", rows)
            connection.commit()
            fetch_all = seed.import_script("4-cache_query").fetch_users_with_cache.__wrapped__
            query = "SELECT * FROM users"
            self.compare(
                "cache_query, a hit, with its freshness check",
                lambda: [fetch_all(connection, query) for _ in range(200)],
                "the query itself, 1,000 rows",
                lambda: [fetch_all.__wrapped__(connection, query) for _ in range(200)],
                25,
            )
            self.overhead(connection)

    def overhead(self, connection) -> None:
        import logging

        def plain(connection, query):
            return None

        def empty(function):
            @functools.wraps(function)
            def wrapper(*args, **kwargs):
                return function(*args, **kwargs)

            return wrapper

        logging.getLogger("log_queries").addHandler(logging.NullHandler())
        logging.getLogger("log_queries").setLevel(logging.WARNING)
        retry = seed.import_script("3-retry_on_failure").retry_on_failure()
        ours = {
            "log_queries (level off)": seed.import_script("0-log_queries").log_queries(plain),
            "transactional": seed.import_script("2-transactional").transactional(plain),
            "retry_on_failure": retry(plain),
        }
        base = empty(plain)
        for name, function in ours.items():
            differences = []
            for _ in range(self.rounds):
                first, second = (
                    timeit.timeit(lambda f=f: f(connection, "SELECT 1"), number=20_000) / 20_000
                    for f in (function, base)
                )
                differences.append(1e6 * (first - second))
                self.bar.update()
            cost = statistics.median(differences)
            target = "at most +3 microseconds a call"
            self.add(
                name,
                "an empty functools.wraps decorator",
                target,
                f"{cost:+.2f} microseconds",
                cost <= 3,
            )

    def event_loop(self, users: int) -> None:
        folder = self.folder / "loop"
        folder.mkdir()
        with contextlib.closing(sqlite3.connect(folder / "users.db")) as connection:
            connection.execute("CREATE TABLE users (id INTEGER PRIMARY KEY, name, email, age)")
            rows = ((f"Zoë {n}", f"u{n}@example.com", n % 121) for n in range(users))
            connection.executemany("INSERT INTO users (name, email, age) VALUES (?, ?, ?)", rows)
            connection.commit()
        script = seed.import_script("3-concurrent")

        async def longest_pause() -> float:
            pause, task = 0.0, asyncio.create_task(script.fetch_concurrently())
            while not task.done():
                before = time.perf_counter()
                await asyncio.sleep(0.001)
                pause = max(pause, time.perf_counter() - before - 0.001)
            await task
            return pause

        here = Path.cwd()
        os.chdir(folder)
        try:
            pauses = []
            for _ in range(self.rounds):
                pauses.append(1_000 * asyncio.run(longest_pause()))
                self.bar.update()
        finally:
            os.chdir(here)
        pause = statistics.median(pauses)
        self.add(
            f"longest pause of the event loop while {users:,} users are fetched",
            "",
            "at most 25 ms",
            f"{pause:.0f} ms",
            pause <= 25,
        )


# --------------------------------------------------------------- showing it


def draw_plots(folder: Path) -> None:
    try:
        import plots
    except ModuleNotFoundError as missing:
        print(f"no plots: {missing}", file=sys.stderr)
        return
    plots.draw_all(folder)


def machine() -> str:
    cpu = platform.processor() or platform.machine()
    with contextlib.suppress(OSError):
        names = [
            line for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
        ]
        cpu = names[0].partition(":")[2].strip() if names else cpu
    return (
        f"{os.cpu_count()} cores of {cpu}, {platform.system()}, Python {platform.python_version()}"
    )


def measure(bench: Bench, kind: str) -> str:
    """Measure everything that needs a server, on one of this kind; return its name and version."""
    with private_server(*SERVER_OPTIONS, kind=kind) as server:
        use(server)
        bench.server = f"{KINDS[kind]} {server.version}"
        with bench.part("reading at each size"):
            bench.grow()
            with bench.database(bench.rows):
                cases.ENCRYPTED = cases.is_encrypted()
        with bench.part("reading"):
            bench.read()
        bench.memory()
        with bench.part("loading"):
            bench.load()
        if kind == "mariadb":
            with bench.part("a cluster"):
                cluster.measure(bench)
    if cases.ENCRYPTED:
        with (
            bench.part("reading, TLS off"),
            private_server(*SERVER_OPTIONS, kind=kind, plaintext=True) as server,
        ):
            use(server)
            cases.ENCRYPTED = False
            bench.read_unencrypted()
    return bench.server


def use(server) -> None:
    os.environ.update(
        DB_HOST=server.host,
        DB_PORT=str(server.port),
        DB_USER=server.user,
        DB_PASSWORD=server.password,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="20,000 rows, 3 rounds")
    parser.add_argument("--server", choices=KINDS, help="default: both, one after the other")
    parser.add_argument("--rows", type=int, help="how many rows, at least 1,000")
    parser.add_argument("--rounds", type=int, help="how many rounds")
    parser.add_argument("--output", type=Path, default=HERE, help="folder for the results")
    arguments = parser.parse_args()
    rows = arguments.rows or (20_000 if arguments.quick else 1_000_000)
    rounds = arguments.rounds or (3 if arguments.quick else 5)
    wanted = [arguments.server] if arguments.server else [*KINDS]
    kinds = [kind for kind in wanted if find_program(kind)]
    for kind in {*wanted} - {*kinds}:
        print(f"left out: {why_no_program(kind)}", file=sys.stderr)
    if not kinds:
        sys.exit(1)
    with tempfile.TemporaryDirectory(prefix="prodev-bench-") as folder:
        bench = Bench(rows, rounds, Path(folder))
        servers = [measure(bench, kind) for kind in kinds]
        bench.server = f"SQLite {sqlite3.sqlite_version}"
        with bench.part("without a server"):
            bench.embedded()
            bench.decorators()
            bench.event_loop(min(200_000, 10 * rows))
        bench.bar.close()
    # The rows of one comparison together, those of the servers below each other.
    order = list(dict.fromkeys((row.what, row.against) for row in bench.results))
    bench.results.sort(key=lambda row: order.index((row.what, row.against)))
    results = {
        "machine": machine(),
        "servers": ", ".join(servers),
        "rows": rows,
        "rounds": rounds,
        "results": [row._asdict() for row in bench.results],
        "growth": bench.growth,
        "pages": bench.pages,
    }
    growth = [
        (m["case"], m["server"], f"{m['size']:,}", f"{m['seconds']:.2f}", m["peak_kib"] // 1024)
        for m in sorted(bench.growth, key=lambda m: m["case"])
    ]
    print(report.summary(results))
    print(report.markdown(("what", "server", "rows", "seconds", "peak MiB"), growth))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    if arguments.output.resolve() == HERE:
        report.update_page()
    draw_plots(arguments.output)


if __name__ == "__main__":
    main()
