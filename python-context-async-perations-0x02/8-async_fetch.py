#!/usr/bin/env python3
"""Door to 3-concurrent.py, by the name that the course's outline runs it."""

import seed

script = seed.import_script("3-concurrent")
async_fetch_users, async_fetch_older_users = (
    script.async_fetch_users,
    script.async_fetch_older_users,
)
fetch_concurrently = script.fetch_concurrently

if __name__ == "__main__":
    seed.run_script(script.main)
