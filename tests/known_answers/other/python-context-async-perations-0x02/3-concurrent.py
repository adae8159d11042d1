"""Another style: a database's name as parameter, tasks, results printed."""

import asyncio

import aiosqlite


async def _fetch(db_name, sql, *parameters):
    connection = await aiosqlite.connect(db_name)
    try:
        connection.row_factory = aiosqlite.Row
        return [dict(row) for row in await connection.execute_fetchall(sql, parameters)]
    finally:
        await connection.close()


async def async_fetch_users(db_name):
    return await _fetch(db_name, "SELECT * FROM users")


async def async_fetch_older_users(db_name, age=40):
    return await _fetch(db_name, "SELECT * FROM users WHERE age > ?", age)


async def fetch_concurrent():
    async with asyncio.TaskGroup() as group:
        users = group.create_task(async_fetch_users("users.db"))
        older = group.create_task(async_fetch_older_users("users.db"))
    print(f"{len(users.result())} users:", users.result())
    print(f"{len(older.result())} older:", older.result())
