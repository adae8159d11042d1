import csv
import uuid

import mysql.connector


def connect_db():
    return mysql.connector.connect(host="localhost", user="root", password="hunter2-root")


def create_database(connection):
    cursor = connection.cursor()
    cursor.execute("CREATE DATABASE IF NOT EXISTS ALX_prodev")
    cursor.close()


def connect_to_prodev():
    return mysql.connector.connect(
        host="localhost", user="root", password="hunter2-root", database="ALX_prodev"
    )


def create_table(connection):
    cursor = connection.cursor()
    cursor.execute(
        """CREATE TABLE IF NOT EXISTS user_data (
            user_id VARCHAR(36) PRIMARY KEY,
            name VARCHAR(255) NOT NULL,
            email VARCHAR(255) NOT NULL,
            age DECIMAL NOT NULL
        )"""
    )
    cursor.close()
    print("Table user_data created successfully")


def insert_data(connection, data):
    cursor = connection.cursor()
    with open(data, newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            cursor.execute("SELECT user_id FROM user_data WHERE email = %s", (row["email"],))
            if cursor.fetchone():
                continue
            cursor.execute(
                "INSERT INTO user_data (user_id, name, email, age) VALUES (%s, %s, %s, %s)",
                (str(uuid.uuid4()), row["name"], row["email"], row["age"]),
            )
    connection.commit()
    cursor.close()
