#!/usr/bin/env python3
"""Compute the average age of all users from a stream of ages, in Python, not in SQL.

The naive way, sum(ages) / len(ages), needs all ages in a list; a stream has no length, so they are
counted as they are added up.

    $ python 4-stream_ages.py
    Average age of users: 47.75
"""

import seed


def stream_user_ages():
    """Yield the age of each user, one by one, with one block of ages in memory."""
    with seed.closing(seed.age_blocks()) as blocks:
        for block in blocks:
            yield from block


def calculate_average_age():
    """Print and return the average age, a float; 0.0 if there are no users.

    The sum is exact, since whole numbers in Python are; only the division at the end rounds.
    """
    total = count = 0
    for age in stream_user_ages():
        total += age
        count += 1
    average = float(total / count) if count else 0.0
    print(f"Average age of users: {average:.2f}")
    return average


average_age = compute_average_age = calculate_average_age  # other names it is called by


def main():
    calculate_average_age()


if __name__ == "__main__":
    seed.run_script(main)
