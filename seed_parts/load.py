"""Loading a CSV file into the table user_data: no row is changed, lost or stored twice.

Valid rows are loaded in batches, in one transaction. Refused rows go to a reject file, with line
number and reason, as pgloader does it.
"""

import csv
import io
import os
import sys
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import NamedTuple

from seed_parts.connect import LastingConnection, connect_to_prodev, is_embedded, is_in_cluster
from seed_parts.csv_users import Record, User, find_csv, open_csv
from seed_parts.errors import clean_up, closing, explained
from seed_parts.settings import ROOT
from seed_parts.table import SQLITE_TABLE, UserTable, one_load_at_a_time, transaction


class LoadCounts(NamedTuple):
    """read = added + present + refused, always."""

    read: int
    added: int
    present: int
    refused: int


Stored = tuple[list[Record], list[Record], int]  # a batch, the refused ones, how many were added


def insert_data(connection, data: str | os.PathLike, *, progress: bool = False) -> LoadCounts:
    """Load the CSV file named by `data`, commit it, and return the counts.

    The columns are user_id (made from the email if it is missing), name, email and age. A stored row
    is never changed. An invalid row, or one that contradicts a stored row, is refused and written to
    the file of `reject_path`. The load is one transaction: any other error rolls everything back
    (InnoDB). But with several nodes in DB_HOST each batch is a transaction, and a load that fails keeps
    the committed batches: run again, it adds the rest. Raises FileNotFoundError, or ValueError if
    the file is not a CSV file of users.
    """
    path = find_csv(data)
    read = added = present = 0
    with (
        explained(f"cannot load {path.name} into"),
        open_csv(path) as (records, file),
        _RejectFile(reject_path(path)) as rejects,
        _storing(connection) as (fits, store),
        closing(_store_all(connection, store, _batches(records, fits))) as stored,
        _progress_bar(path, wanted=progress) as bar,
    ):
        for batch, refused, batch_added in stored:
            rejects.write(refused)
            read += len(batch)
            added += batch_added
            present += len(batch) - batch_added - len(refused)
            if bar is not None:
                bar.update(file.tell() - bar.n)
        rejects.close()  # a disk that is full for it must fail before the commit
    return LoadCounts(read, added, present, rejects.count)


def reject_path(csv_path: Path) -> Path:
    return csv_path.with_name(f"{csv_path.name}.rejected")


def fill_if_missing(connection) -> None:
    """Create and fill the embedded table from user_data.csv, in one transaction, if it is missing."""
    path = find_csv(ROOT / "user_data.csv")
    with transaction(connection):  # waits for a program that fills it at this moment
        tables = "SELECT 1 FROM main.sqlite_master WHERE name = 'user_data'"
        if connection.execute(tables).fetchone():
            return
        connection.execute(SQLITE_TABLE)
        insert_data(connection, path)


@contextmanager
def _storing(connection) -> Iterator[tuple[Callable, Callable]]:
    """Yield `fits` of the table, and a function that stores a batch. All batches share one transaction.

    On a cluster each has its own, since a big one cannot be replicated and a lock covers one node only.
    """
    if not is_in_cluster(connection):
        with one_load_at_a_time(connection), transaction(connection):
            table = UserTable(connection)
            yield table.fits, partial(_store, table)
        return
    with closing(LastingConnection(connect_to_prodev, given=connection)) as lasting:
        table = lasting.run(UserTable)

        def store(connection, batch: list[Record]) -> Stored:
            nonlocal table
            if connection is not table.connection:
                table = UserTable(connection)
            with transaction(connection):
                return _store(table, batch)

        # A batch is repeated after a transient error. If its COMMIT succeeded and only the reply was
        # lost, its rows are found present, since their ids are always the same.
        yield (
            lambda *size: table.fits(*size),
            lambda batch: lasting.run(partial(store, batch=batch)),
        )


def _batches(records: Iterator[Record], fits: Callable) -> Iterator[list[Record]]:
    batch: list[Record] = []
    size = 0
    for record in records:
        size += len(record.text)
        if batch and not fits(len(batch) + 1, size):
            yield batch
            batch, size = [], len(record.text)
        batch.append(record)
    if batch:
        yield batch


def _store_all(connection, store: Callable, batches: Iterator[list[Record]]) -> Iterator[Stored]:
    """Store the batches; on a server a thread stores one while this one validates the next."""
    if is_embedded(connection):
        yield from map(store, batches)
        return

    def store_after(before: Future | None, batch: list[Record]) -> Stored:
        if before is not None:
            before.result()  # raises if it failed: the transaction is over, and so is this batch
        return store(batch)

    with ThreadPoolExecutor(1, thread_name_prefix="load") as worker:
        # Started with no work: if Ctrl-C interrupts the start of a thread, nothing waits for its end.
        worker.submit(int).result()
        before = None
        for batch in batches:
            # One batch is stored and one waits: 105,000 rows/s; with none waiting 77,000.
            future = worker.submit(store_after, before, batch)
            if before is not None:
                yield before.result()
            before = future
        if before is not None:
            yield before.result()


def _store(table: UserTable, batch: list[Record]) -> Stored:
    """Add the new users of the batch; return the refused records and how many were added."""
    refused = [record for record in batch if record.user is None]
    good = [record for record in batch if record.user is not None]
    if table.has_unique_keys and table.insert([record.user for record in good]) is None:
        # None of them was there: the usual case costs no look-up.
        return batch, refused, len(good)

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
        # A table made by others may accept less than ours, or ignore case: row by row.
        for record in new:
            if (error := table.insert([record.user])) is not None:
                reason = f"the table rejects it: {getattr(error, 'msg', error)}"
                refused.append(record._replace(reason=reason))
                added -= 1
    return batch, sorted(refused), added


def _conflict(user: User, same_id: User | None, same_email: User | None) -> str:
    """Return why `user` contradicts what is stored; empty if exactly that is stored."""
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
    """The refused rows as CSV: line, reason, the row's text; renamed into place once all is stored."""

    def __init__(self, path: Path):
        self._path = path
        self._unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        self._file: io.TextIOBase | None = None
        self.count = 0

    def write(self, records: list[Record]) -> None:
        if records and self._file is None:
            # surrogateescape writes back the bytes that were not UTF-8.
            form = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
            self._file = self._unfinished.open("x", **form)
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
        try:
            if error is not None:
                clean_up(self.close, error)
            elif self._file is not None:
                self._unfinished.replace(self._path)
            elif self._path.exists():  # else unlink fails on a read-only disk
                self._path.unlink(missing_ok=True)  # an earlier load's rows are no longer refused
        finally:
            # Whether it exists or not: Ctrl-C may come between its creation and the assignment.
            with suppress(OSError):
                self._unfinished.unlink(missing_ok=True)


def _progress_bar(path: Path, *, wanted: bool):
    """Return a context manager; it yields a progress bar if stderr is a terminal, else None."""
    if not (wanted and sys.stderr.isatty()):
        return nullcontext()
    from tqdm import tqdm  # it starts a thread, even for a bar that is not shown

    return tqdm(total=path.stat().st_size, unit="B", unit_scale=True, desc=path.name)
