#!/usr/bin/env python3
"""Check 4-cache_query.py: the second call is answered by the cache, with a list of its own."""

script = __import__("4-cache_query")
query = "SELECT * FROM users"

users = script.fetch_users_with_cache(query=query)
users_again = script.fetch_users_with_cache(query=query)
print(len(users), users == users_again, users is users_again)
print(len(script.query_cache))
script.query_cache.clear()
print(len(script.query_cache))
