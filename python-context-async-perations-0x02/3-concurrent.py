#!/usr/bin/env python3
"""Run two queries at the same time with asyncio.gather, each on a connection of its own.

Task: write `async_fetch_users()` and `async_fetch_older_users()`, and run both with asyncio.gather.
The naive way, `await` one and then the other, leaves the program idle while each waits for the database.

    $ python 3-concurrent.py
    1000 users, 617 of them older than 40
"""

import asyncio

import aiosqlite

import seed

OLDER_THAN = 40


async def fetch(query, params=()):
    """Return the rows of `query` on users.db as a list of tuples."""
    path = await asyncio.to_thread(seed.users_db)  # a thread, since it may make the file first
    async with seed.closing_async(aiosqlite.connect(path)) as db:
        # In one step: a cursor half read when it is cancelled would keep the file locked.
        return list(await db.execute_fetchall(query, params))


async def async_fetch_users():
    """Return all users."""
    return await fetch("SELECT * FROM users")


async def async_fetch_older_users():
    """Return the users older than 40."""
    return await fetch("SELECT * FROM users WHERE age > ?", (OLDER_THAN,))


async def fetch_concurrently():
    """Return all users and the older users, as two lists; both queries run at the same time.

    `return_exceptions=True` makes gather wait for both, so that none is left running if the other
    fails; then the error is raised.
    """
    results = await asyncio.gather(
        async_fetch_users(), async_fetch_older_users(), return_exceptions=True
    )
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results


def main():
    users, older_users = asyncio.run(fetch_concurrently())
    print(f"{len(users)} users, {len(older_users)} of them older than {OLDER_THAN}")


if __name__ == "__main__":
    seed.run_script(main)
