#!/usr/bin/env python3
"""Run two queries at the same time with asyncio.gather, each on a connection of its own.

The naive way awaits one after the other: while the first waits for its database, so does the second.

    $ python 3-concurrent.py
    1000 users, 617 of them older than 40
"""

import asyncio

import aiosqlite

import seed

OLDER_THAN = 40


async def fetch(query, params=()):
    """Return the rows of `query` on users.db as a list of tuples."""
    path = await asyncio.to_thread(seed.users_db)  # on first use it makes the file
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
    """Return all users and the older users, as two lists.

    If one query fails, its error is raised, and the other does not run on: gather alone lets it.
    """
    tasks = [
        asyncio.create_task(async_fetch_users()),
        asyncio.create_task(async_fetch_older_users()),
    ]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            if not task.cancelling():  # a second time would interrupt its clean-up
                task.cancel()
        await asyncio.wait(tasks)


def main():
    users, older_users = asyncio.run(fetch_concurrently())
    print(f"{len(users)} users, {len(older_users)} of them older than {OLDER_THAN}")


if __name__ == "__main__":
    seed.run_script(main)
