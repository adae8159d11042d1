#!/usr/bin/env python3
"""Check 2-transactional.py: a success is kept, a failure leaves nothing behind."""

with_db_connection = __import__("1-with_db_connection").with_db_connection
script = __import__("2-transactional")


@with_db_connection
def get_email(conn, user_id):
    return conn.execute("SELECT email FROM users WHERE id = ?", (user_id,)).fetchone()[0]


@with_db_connection
@script.transactional
def update_and_fail(conn, user_id):
    conn.execute("UPDATE users SET email = 'lost' WHERE id = ?", (user_id,))
    raise RuntimeError("half way")


before = get_email(1)
try:
    script.update_user_email(user_id=1, new_email="Crawford_Cartwright@hotmail.com")
    print(get_email(1))
    try:
        update_and_fail(1)
    except RuntimeError as error:
        print(error)
    print(get_email(1))
finally:
    script.update_user_email(1, before)  # put back, so that this can be run again
