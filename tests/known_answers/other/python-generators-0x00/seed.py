"""Another style: the driver's class, a pool of settings in the environment, ids made of the email, helpers."""

import csv
import os
import uuid
from contextlib import closing

from mysql.connector import MySQLConnection

TABLE = """
CREATE TABLE IF NOT EXISTS user_data (
    user_id CHAR(36) NOT NULL, name VARCHAR(100) NOT NULL, email VARCHAR(100) NOT NULL UNIQUE,
    age DECIMAL(3, 0) NOT NULL, PRIMARY KEY (user_id), INDEX (user_id))
"""


def _connect(**more):
    return MySQLConnection(
        host=os.environ["MYSQL_HOST"],
        user=os.environ["MYSQL_USER"],
        password=os.getenv("MYSQL_PASSWORD"),
        **more,
    )


def connect_db():
    return _connect()


def create_database(connection):
    with connection.cursor() as cursor:
        cursor.execute("CREATE DATABASE IF NOT EXISTS ALX_prodev")


def connect_to_prodev():
    return _connect(database="ALX_prodev", autocommit=True)


def create_table(connection):
    with connection.cursor() as cursor:
        cursor.execute(TABLE)
    print("Table user_data created successfully")


def read_csv(path):
    with open(path, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            key = str(uuid.uuid5(uuid.NAMESPACE_URL, row["email"]))
            yield key, row["name"], row["email"], int(row["age"])


def insert_data(connection, data):
    with closing(connection.cursor()) as cursor:
        cursor.executemany("INSERT IGNORE INTO user_data VALUES (%s, %s, %s, %s)", list(data))


if __name__ == "__main__":
    with closing(connect_to_prodev()) as prodev:
        insert_data(prodev, read_csv("user_data.csv"))
