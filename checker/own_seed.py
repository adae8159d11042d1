"""The seed.py that an answer gets from the checker as long as it has none of its own."""

import mysql.connector


def connect_db():
    return mysql.connector.connect(host="localhost", user="root")


def connect_to_prodev():
    return mysql.connector.connect(host="localhost", user="root", database="ALX_prodev")


def create_database(connection):
    """Do nothing: database, table and rows are there."""


create_table = create_database


def insert_data(connection, data):
    """Do nothing, as before."""
