#!/usr/bin/env python3
"""Stream the users of the table user_data one by one, with a generator.

Task: write a generator `stream_users()` that yields the rows of user_data one by one, in one loop.
The naive way, `rows = cursor.fetchall()`, takes 700 MB for a million rows before the first is seen.

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

FIRST = "SELECT user_id, name, email, age FROM user_data ORDER BY user_id LIMIT %s"
AFTER = (
    "SELECT user_id, name, email, age FROM user_data WHERE user_id > %s ORDER BY user_id LIMIT %s"
)


def stream_users():
    """Yield every user as a dict, {'user_id', 'name', 'email', 'age'}, in user_id order.

    `blocks` runs FIRST, then AFTER with the last user_id until no row is left, and gives the rows in
    lists of at most 500, one at a time; 2-lazy_paginate.py writes that loop by hand. When the generator
    is closed, or nothing refers to it any more, its `with` ends and closes the connection. There is no
    snapshot: rows that others insert or delete meanwhile may be seen or not.
    """
    with seed.open_reader() as reader:
        for block in reader.blocks(FIRST, AFTER):
            yield from block


def main():
    users = list(islice(stream_users(), 6))  # fetches one block, not the table
    print(*users or ["no users"], sep="\n")


seed.callable_module(stream_users)  # the course's main file calls the module

if __name__ == "__main__":
    seed.run_script(main)
