#!/usr/bin/env python3
"""Compute the average age of all users from a stream of ages, in Python, not in SQL.

Task: write a generator `stream_user_ages()` and `calculate_average_age()`, which uses it, not SQL's AVG.
The naive way, `sum(ages) / len(ages)`, needs all ages in a list; a stream has no length, so they are
counted while they are added up.

    $ python 4-stream_ages.py
    Average age of users: 47.75
"""

import seed

FIRST = "SELECT user_id, age FROM user_data ORDER BY user_id LIMIT %s"
AFTER = "SELECT user_id, age FROM user_data WHERE user_id > %s ORDER BY user_id LIMIT %s"


def stream_user_ages():
    """Yield the age of each user, one by one, with one block of rows in memory."""
    with seed.open_reader() as reader:
        for block in reader.blocks(FIRST, AFTER):
            yield from (row["age"] for row in block)


def calculate_average_age():
    """Print and return the average age, a float; 0.0 if there are no users.

    Python adds whole numbers exactly; only the division at the end rounds. If a table holds ages like
    67.5, they are Decimals; `float` converts their average.
    """
    total = count = 0
    for age in stream_user_ages():
        total += age
        count += 1
    average = float(total / count) if count else 0.0
    print(f"Average age of users: {average:.2f}")
    return average


average_age = compute_average_age = calculate_average_age  # other names that main files use


def main():
    calculate_average_age()


if __name__ == "__main__":
    seed.run_script(main)
