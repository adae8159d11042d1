#!/usr/bin/env python3
"""Stream the users of the table user_data one by one, with a generator.

The naive way, fetching all rows into a list, takes 780 MB for a million before the first is seen.

    $ python 0-stream_users.py
    {'user_id': '00043497-ee5e-5142-8de0-765c3864e0d9', 'name': 'Renée Núñez', 'email': 'renee.nunez@example.net', 'age': 95}
    {'user_id': '0095389b-649b-529f-b585-4377e35f608d', 'name': 'Ayşe Chen', 'email': 'ayse.chen@example.net', 'age': 25}
    {'user_id': '010ffd92-6740-5ce9-ae27-8f8c81e063b1', 'name': 'Ngozi Magalhães', 'email': 'ngozi.magalhaes@example.net', 'age': 10}
    {'user_id': '02201143-d1c9-58f4-b07d-07e000a9bd83', 'name': 'José Park', 'email': 'jose.park@example.org', 'age': 46}
    {'user_id': '024ecbda-c7d0-5fec-a332-4666faa5a0c6', 'name': 'Siobhán Nasser', 'email': 'siobhan.nasser@example.org', 'age': 34}
    {'user_id': '0250b9b0-80a1-51b2-8349-939134aff431', 'name': 'Renée Mwangi', 'email': 'renee.mwangi@example.net', 'age': 26}
"""

from itertools import islice

import seed


@seed.callable_module
def stream_users():
    """Yield every user as a dict, {'user_id', 'name', 'email', 'age'}, in user_id order.

    Only one block of rows is in memory at a time. A consumer that stops early, or raises, makes the
    `with` close the connection. There is no snapshot: rows that others insert or delete meanwhile
    may be seen or not.
    """
    with seed.closing(seed.user_blocks()) as blocks:
        for block in blocks:
            yield from block


def main():
    print(*islice(stream_users(), 6), sep="\n")


if __name__ == "__main__":
    seed.run_script(main)
