#!/usr/bin/env python3
"""Check 0-databaseconnection.py: the connection works inside the block, and is closed after it."""

import sqlite3

DatabaseConnection = __import__("0-databaseconnection").DatabaseConnection

with DatabaseConnection("users.db") as conn:
    cursor = conn.cursor()
    cursor.execute("SELECT * FROM users")
    users = cursor.fetchall()
print(len(users), users[0])

try:
    conn.execute("SELECT 1")
except sqlite3.ProgrammingError as error:
    print(error)

try:
    with DatabaseConnection() as conn:
        conn.execute("DELETE FROM users")
        raise RuntimeError("the block fails")
except RuntimeError as error:
    print(error)

with DatabaseConnection() as conn:
    print(conn.execute("SELECT COUNT(*) FROM users").fetchone())
