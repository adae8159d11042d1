"""Another style: MySQLdb with a streaming cursor; the average is returned, by another name."""

from contextlib import closing

import MySQLdb
from MySQLdb.cursors import SSCursor


def stream_user_ages():
    connection = MySQLdb.connect(
        host="localhost", user="me", passwd="hunter2-root", db="ALX_prodev"
    )
    with closing(connection):
        cursor = connection.cursor(SSCursor)
        cursor.execute("SELECT age FROM user_data")
        while row := cursor.fetchone():
            yield int(row[0])


def average_age():
    mean = 0.0
    for number, age in enumerate(stream_user_ages(), 1):
        mean += (age - mean) / number
    return round(mean, 2)
