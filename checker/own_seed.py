"""The seed.py that an answer gets from the checker as long as it has none of its own."""

import mysql.connector


def connect_db():
    return mysql.connector.connect(host="localhost", user="root")


def connect_to_prodev():
    return mysql.connector.connect(host="localhost", user="root", database="ALX_prodev")


def create_database(connection):
    """Do nothing: the database is there."""


def create_table(connection):
    """Do nothing: the table is there."""


def insert_data(connection, data):
    """Do nothing: the rows are there."""
