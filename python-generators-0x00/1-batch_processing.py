#!/usr/bin/env python3
"""Stream users in batches, and print those older than 25, with one generator on top of another.

The naive way, a list of all rows cut into slices, holds them all, and often drops the last batch.

    $ python 1-batch_processing.py | head -n 3
    {'user_id': '00043497-ee5e-5142-8de0-765c3864e0d9', 'name': 'Renée Núñez', 'email': 'renee.nunez@example.net', 'age': 95}
    {'user_id': '02201143-d1c9-58f4-b07d-07e000a9bd83', 'name': 'José Park', 'email': 'jose.park@example.org', 'age': 46}
    {'user_id': '024ecbda-c7d0-5fec-a332-4666faa5a0c6', 'name': 'Siobhán Nasser', 'email': 'siobhan.nasser@example.org', 'age': 34}
"""

import sys
from itertools import islice

import seed

stream_users = seed.import_script("0-stream_users").stream_users


@seed.whole_numbers(batch_size=1)
def stream_users_in_batches(batch_size):
    """Yield lists of `batch_size` users as `stream_users` gives them; the last may be shorter.

    Raises ValueError at the call if `batch_size` is no whole number of at least 1.
    """
    with seed.closing(stream_users()) as users:
        while batch := list(islice(users, batch_size)):
            yield batch


def batch_processing(batch_size):
    """Print each user older than 25, one dict a line, fetching `batch_size` users at a time.

    Raises BrokenPipeError once nobody reads the output any more, as after `| head`.
    """
    with seed.closing(stream_users_in_batches(batch_size)) as batches:
        for batch in batches:
            for user in batch:
                if user["age"] > 25:
                    print(user)
            sys.stdout.flush()  # each batch is seen at once, and so is a reader that has gone


def main():
    batch_processing(50)


if __name__ == "__main__":
    seed.run_script(main)
