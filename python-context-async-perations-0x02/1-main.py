#!/usr/bin/env python3
"""Check 1-execute.py: the value is a parameter, alone or in a tuple."""

ExecuteQuery = __import__("1-execute").ExecuteQuery

with ExecuteQuery("SELECT * FROM users WHERE age > ?", (25,)) as rows:
    print(len(rows), rows[0])
with ExecuteQuery("SELECT * FROM users WHERE age > ?", 25) as rows:
    print(len(rows), rows[-1])
with ExecuteQuery("SELECT id FROM users WHERE name = ?", ("'); DROP TABLE users; --",)) as rows:
    print(rows)
