#!/usr/bin/env python3
"""Commit what a function wrote if it succeeds, roll it back if it fails, with a decorator.

Task: write a decorator `@transactional` that commits after the function, or rolls back if it raises.
The naive way, `conn.commit()` after each statement, leaves half of the work behind when the next fails.

    $ python 2-transactional.py
    (1, 'José Cohen', 'jose.cohen@example.net', 67)
    (1, 'José Cohen', 'Crawford_Cartwright@hotmail.com', 67)
"""

import functools

import seed

connections = seed.import_script("1-with_db_connection")


def transactional(function):
    """Commit on the connection that `function` is called with, or roll back and re-raise the error.

    If the rollback fails too, that becomes a note on the first error. SQLite begins a transaction at
    the first INSERT, UPDATE or DELETE: a CREATE before that stays. If one @transactional function calls
    another on the same connection, the inner one commits for both.
    """
    seed.require_plain_function(function, "transactional")

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        conn = seed.require_connection(args, kwargs, "transactional")
        try:
            result = function(*args, **kwargs)
            conn.commit()
        except BaseException as error:
            seed.clean_up(conn.rollback, error)
            raise
        return result

    return wrapper


@connections.with_db_connection
@transactional
def update_user_email(conn, user_id, new_email):
    """Set the user's email; do nothing if there is no such user."""
    cursor = conn.cursor()
    cursor.execute("UPDATE users SET email = ? WHERE id = ?", (new_email, user_id))


def main():
    before = connections.get_user_by_id(user_id=1)
    if before is None:
        print("no user with id 1")
        return
    update_user_email(user_id=1, new_email="Crawford_Cartwright@hotmail.com")
    after = connections.get_user_by_id(user_id=1)
    update_user_email(user_id=1, new_email=before[2])  # put back, so that this can be run again
    print(before, after, sep="\n")


if __name__ == "__main__":
    seed.run_script(main)
