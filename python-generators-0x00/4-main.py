#!/usr/bin/env python3
"""Check 4-stream_ages.py: the ages come one by one, and their average is printed and returned."""

from itertools import islice

ages = __import__("4-stream_ages")

print(*islice(ages.stream_user_ages(), 10))
average = ages.calculate_average_age()
print(type(average).__name__)
