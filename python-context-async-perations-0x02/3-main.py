#!/usr/bin/env python3
"""Check 3-concurrent.py: each function alone, then both at the same time."""

import asyncio

script = __import__("3-concurrent")

users, older_users = asyncio.run(script.fetch_concurrently())
print(len(users), users[0])
print(len(older_users), older_users[0])
print(users == asyncio.run(script.async_fetch_users()))
print(older_users == asyncio.run(script.async_fetch_older_users()))
