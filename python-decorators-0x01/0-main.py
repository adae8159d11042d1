#!/usr/bin/env python3
"""Check 0-log_queries.py: the rows go to stdout, the log line to stderr."""

fetch_all_users = __import__("0-log_queries").fetch_all_users

users = fetch_all_users(query="SELECT * FROM users")
print(len(users), users[0])
print(fetch_all_users("SELECT name FROM users WHERE id = 2"))
