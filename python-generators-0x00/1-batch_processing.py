#!/usr/bin/env python3
"""Stream users in batches, and print those older than 25, with one generator on top of another.

Task: write a generator `stream_users_in_batches(n)` and `batch_processing(n)`, which prints those over 25.
The naive way, `rows[i : i + batch_size]` of a list of all rows, holds the whole table in memory.

    $ python 1-batch_processing.py | head -n 3
    {'user_id': '00043497-ee5e-5142-8de0-765c3864e0d9', 'name': 'Renée Núñez', 'email': 'renee.nunez@example.net', 'age': 95}
    {'user_id': '02201143-d1c9-58f4-b07d-07e000a9bd83', 'name': 'José Park', 'email': 'jose.park@example.org', 'age': 46}
    {'user_id': '024ecbda-c7d0-5fec-a332-4666faa5a0c6', 'name': 'Siobhán Nasser', 'email': 'siobhan.nasser@example.org', 'age': 34}
"""

import sys
from contextlib import closing
from itertools import islice

import seed

stream_users = seed.import_script("0-stream_users").stream_users


@seed.at_least(batch_size=1)
def stream_users_in_batches(batch_size):
    """Yield lists of `batch_size` users, in user_id order; the last list may be shorter.

    `islice` takes the next users from the stream until none is left, so the table is never in memory.
    Raises ValueError at the call if `batch_size` is not a whole number of at least 1.
    """
    with closing(stream_users()) as users:
        while batch := list(islice(users, batch_size)):
            yield batch


def batch_processing(batch_size):
    """Print each user older than 25, one dict a line, in batches of `batch_size`.

    Raises BrokenPipeError when the reader of the output has gone, as after `| head`.
    """
    with closing(stream_users_in_batches(batch_size)) as batches:
        for batch in batches:
            for user in batch:
                if user["age"] > 25:
                    print(user)
            sys.stdout.flush()  # shows each batch at once, and notices a reader that has gone


def main():
    with closing(stream_users()) as users:
        found = any(user["age"] > 25 for user in users)  # stops at the first one
    if found:
        batch_processing(50)
    else:
        print("no users older than 25")


if __name__ == "__main__":
    seed.run_script(main)
