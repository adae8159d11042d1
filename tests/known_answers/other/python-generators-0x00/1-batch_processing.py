"""Another style: slices of a cursor; batch_processing yields what it finds."""

from itertools import islice

from mysql import connector


def stream_users_in_batches(batch_size: int):
    connection = connector.connect(
        host="127.0.0.1", user="me", passwd="hunter2-root", db="alx", use_pure=True
    )
    try:
        cursor = connection.cursor(dictionary=True)
        cursor.execute("SELECT * FROM `user_data`")
        rows = iter(cursor)
        while batch := list(islice(rows, batch_size)):
            yield batch
    finally:
        connection.close()


def batch_processing(batch_size: int):
    for batch in stream_users_in_batches(batch_size):
        yield [user for user in batch if user["age"] > 25]
