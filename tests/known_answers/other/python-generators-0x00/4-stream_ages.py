"""Another style: one fetchone() for each age; the average is returned, by another name."""

from contextlib import closing

from mysql.connector import connect


def stream_user_ages():
    connection = connect(host="localhost", user="me", passwd="hunter2-root", db="ALX_prodev")
    with closing(connection):
        cursor = connection.cursor()
        cursor.execute("SELECT age FROM user_data")
        while row := cursor.fetchone():
            yield int(row[0])


def average_age():
    mean = 0.0
    for number, age in enumerate(stream_user_ages(), 1):
        mean += (age - mean) / number
    return round(mean, 2)
