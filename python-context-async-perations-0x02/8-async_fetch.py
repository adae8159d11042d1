#!/usr/bin/env python3
"""Run 3-concurrent.py under the course's other name for it."""

import seed

script = seed.import_script("3-concurrent")
async_fetch_users, async_fetch_older_users = (
    script.async_fetch_users,
    script.async_fetch_older_users,
)
fetch_concurrently = script.fetch_concurrently

if __name__ == "__main__":
    seed.run_script(script.main)
