"""Another style: an unbuffered PyMySQL cursor; batch_processing yields what it finds."""

from itertools import islice

import pymysql
from pymysql.cursors import SSDictCursor


def stream_users_in_batches(batch_size: int):
    connection = pymysql.connect(
        host="127.0.0.1", user="me", passwd="hunter2-root", db="alx", cursorclass=SSDictCursor
    )
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT * FROM `user_data`")
            rows = iter(cursor)
            while batch := list(islice(rows, batch_size)):
                yield batch
    finally:
        connection.close()


def batch_processing(batch_size: int):
    for batch in stream_users_in_batches(batch_size):
        yield [user for user in batch if user["age"] > 25]
