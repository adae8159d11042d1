"""How a CSV file gets into the table user_data: nothing changed, nothing lost, nothing doubled.

Good rows are loaded in batches, in one transaction; each unacceptable row goes to a reject file with
its line number and the reason. pgloader works that way.
"""

import csv
import io
import os
import sys
import uuid
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from seed_connection import LastingConnection
from seed_csv import Record, User, find_csv, open_csv
from seed_engine import connect_to_prodev, is_embedded, is_of_cluster
from seed_errors import explained
from seed_retry import clean_up, closing
from seed_settings import ROOT
from seed_table import SQLITE_TABLE, UserTable, has_table, one_load_at_a_time, transaction

BATCH_ROWS = 2_000
BATCHES_UNDER_WAY = 2  # 1 is stored, 1 waits: 105,000 rows/s; with none waiting 77,000
BATCH_TEXT = 1 << 20  # characters of the file in a batch


class LoadCounts(NamedTuple):
    """read = added + present + refused, always."""

    read: int
    added: int
    present: int
    refused: int


class Stored(NamedTuple):
    batch: list[Record]
    refused: list[Record]  # in the order of the file
    added: int


def insert_data(connection, data: str | os.PathLike, *, progress: bool = False) -> LoadCounts:
    """Load the CSV file named by `data`, commit it, and return the counts.

    The columns are user_id (made of the email where it is missing), name, email and age. A row that
    is stored already is left as it is; one that cannot be accepted, or that differs from what is
    stored under its id or email, is refused and written to the file of `reject_path`. It is one
    transaction: nothing is stored if anything else fails. Only with several nodes in DB_HOST each
    batch is one, and a load that fails for good leaves what is committed: run again, it adds the
    rest. Raises FileNotFoundError, or ValueError for no CSV file of users.
    """
    return _load(connection, find_csv(data), progress=progress)


def reject_path(csv_path: Path) -> Path:
    return csv_path.with_name(f"{csv_path.name}.rejected")


def fill_if_missing(connection) -> None:
    """Create and fill the embedded table from user_data.csv, in one transaction, if it is missing."""
    if has_table(connection):
        return
    path = find_csv(ROOT / "user_data.csv")
    counts = _load(connection, path, create=True)
    if counts.refused:
        message = f"{counts.refused} rows of {path} were refused: see {reject_path(path)}"
        print(message, file=sys.stderr)


def _load(connection, path: Path, *, progress: bool = False, create: bool = False) -> LoadCounts:
    read = added = present = 0
    with (
        explained(f"cannot load {path.name} into"),
        open_csv(path) as file,
        _RejectFile(reject_path(path)) as rejects,
        _storing(connection, create) as store,
        _progress_bar(path, progress) as bar,
    ):
        if store is None:
            return LoadCounts(0, 0, 0, 0)
        for batch, refused, batch_added in _store_all(connection, store, file.records):
            rejects.write(refused)
            read += len(batch)
            added += batch_added
            present += len(batch) - batch_added - len(refused)
            bar.update(file.binary.tell() - bar.n)
        rejects.close()  # a disk that is full for it must fail before the commit
    return LoadCounts(read, added, present, rejects.count)


class _Store:
    """Stores batches of records on a connection, in the transaction that is under way there."""

    def __init__(self, connection):
        self._connection, self._table = connection, UserTable(connection, connection.cursor())

    def __call__(self, batch: list[Record]) -> Stored:
        return _store(self._table, batch)

    def fits(self, rows: int, characters: int) -> bool:
        return self._table.fits(rows, characters)


class _StoreInParts(_Store):
    """Stores each batch in a transaction of its own, which is run again, on another node if need be.

    If its COMMIT was done and the reply lost, it finds its rows present: the ids are always the same.
    """

    def __init__(self, connection):
        self._lasting = LastingConnection(connect_to_prodev, given=connection)
        super().__init__(connection)

    def __call__(self, batch: list[Record]) -> Stored:
        return self._lasting.run(partial(self._store_on, batch=batch))

    def _store_on(self, connection, batch: list[Record]) -> Stored:
        if connection is not self._connection:
            super().__init__(connection)
        with transaction(connection):
            return super().__call__(batch)

    def close(self) -> None:
        self._lasting.close()


@contextmanager
def _storing(connection, create: bool) -> Iterator[_Store | None]:
    """Give what stores batches: all of them or none; but each for itself on a cluster, where a
    transaction too big to replicate fails as a whole, and a lock is one of its node only."""
    if is_of_cluster(connection):
        with closing(_StoreInParts(connection)) as store:
            yield store
        return
    with one_load_at_a_time(connection), transaction(connection):
        if create and has_table(connection):  # somebody else made it while we waited for the lock
            yield None
            return
        if create:
            connection.execute(SQLITE_TABLE)
        yield _Store(connection)


def _batches(records: Iterator[Record], store: _Store) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        size += len(record.text)
        full = len(batch) == BATCH_ROWS or size > BATCH_TEXT
        if batch and (full or not store.fits(len(batch) + 1, size)):
            yield batch
            batch, size = [], len(record.text)
        batch.append(record)
    if batch:
        yield batch


def _store_all(connection, store: _Store, records: Iterator[Record]) -> Iterator[Stored]:
    """Store the records in batches; on a server, while the next one is read and validated here."""
    batches = _batches(records, store)
    if is_embedded(connection):
        yield from map(store, batches)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="load") as worker:
        # Idle at first: nobody would wait for a thread whose start Ctrl-C interrupts.
        worker.submit(int).result()
        under_way: deque[Future[Stored]] = deque()
        for batch in batches:
            under_way.append(worker.submit(store, batch))
            if len(under_way) == BATCHES_UNDER_WAY:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _store(table: UserTable, batch: list[Record]) -> Stored:
    """Add the new users of the batch, and tell the refused records and how many were added."""
    refused = [record for record in batch if record.user is None]
    good = [record for record in batch if record.user is not None]
    if table.has_unique_keys and table.insert([record.user for record in good]) is None:
        # Nothing of it was there: the usual case costs no look-up.
        return Stored(batch, refused, len(good))

    by_id, by_email = table.stored([record.user for record in good])
    new: list[Record] = []
    for record in good:
        user = record.user
        same_email = by_email.get(user.email)
        same_id = by_id.get(user.user_id) if record.has_id or not same_email else same_email
        if same_id is None and same_email is None:
            by_id[user.user_id] = by_email[user.email] = user
            new.append(record)
        elif reason := _conflict(user, same_id, same_email):
            refused.append(record._replace(reason=reason))
    added = len(new)
    if table.insert([record.user for record in new]) is not None:
        # A table made by others takes less than ours, or compares without regard to case: row by row.
        for record in new:
            if (error := table.insert([record.user])) is not None:
                reason = f"the table does not take it: {getattr(error, 'msg', error)}"
                refused.append(record._replace(reason=reason))
                added -= 1
    return Stored(batch, sorted(refused), added)


def _conflict(user: User, same_id: User | None, same_email: User | None) -> str:
    """Say why `user` cannot stand beside what is stored; empty if it is stored just so."""
    if same_id is None:
        return f"email {user.email} belongs to the stored user {same_email.user_id}"
    if same_id != same_email:
        return f"user_id {user.user_id} belongs to the stored user {same_id.email}"
    for column in ("name", "age"):
        stored = getattr(same_id, column)
        if stored != getattr(user, column):
            return f"stored already with another {column}: {stored}"
    return ""


class _RejectFile:
    """The refused rows as CSV: line, reason, the row's own text; in place only once all is stored."""

    def __init__(self, path: Path):
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        self._file: io.TextIOBase | None = None
        self.count = 0

    def write(self, records: list[Record]) -> None:
        if records and self._file is None:
            # surrogateescape gives back the very bytes that were no UTF-8.
            try:
                self._file = self._unfinished.open(
                    "x", encoding="utf-8", errors="surrogateescape", newline=""
                )
            except OSError as error:
                message = f"{error.strerror}, where the refused rows have to be written"
                raise type(error)(error.errno, message, str(self._path)) from error
            csv.writer(self._file).writerow(["line", "reason", "row"])
        for record in records:
            row = [record.line, record.reason, record.text.rstrip("\r\n")]
            csv.writer(self._file).writerow(row)
        self.count += len(records)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, _type, error, _traceback):
        if error is not None:
            clean_up(self.close, error)
            # Made or not: Ctrl-C may come between the making and the assignment.
            clean_up(lambda: self._unfinished.unlink(missing_ok=True), error)
        elif self._file is None:
            self._path.unlink(missing_ok=True)  # what an earlier load refused is no longer so
        else:
            self._unfinished.replace(self._path)


@contextmanager
def _progress_bar(path: Path, wanted: bool) -> Iterator:
    from tqdm import tqdm

    # disable=None: only where stderr is a terminal.
    size = path.stat().st_size
    with tqdm(
        total=size, unit="B", unit_scale=True, desc=path.name, disable=None if wanted else True
    ) as bar:
        yield bar
