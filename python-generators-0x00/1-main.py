#!/usr/bin/env python3
"""Check 0-stream_users.py: the module itself is called, and only six users are asked for."""

from itertools import islice

stream_users = __import__("0-stream_users")

for user in islice(stream_users(), 6):
    print(user)
