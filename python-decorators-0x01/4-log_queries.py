#!/usr/bin/env python3
"""Run 0-log_queries.py under the course's other name for it."""

import seed

script = seed.import_script("0-log_queries")
log_queries, fetch_all_users = script.log_queries, script.fetch_all_users

if __name__ == "__main__":
    seed.run_script(script.main)
