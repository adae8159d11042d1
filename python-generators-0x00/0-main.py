#!/usr/bin/env python3
"""Check seed.py: make the database and the table, load the CSV, read the first rows."""

seed = __import__("seed")

connection = seed.connect_db()
if connection:
    seed.create_database(connection)
    connection.close()
    print("connection successful")

    connection = seed.connect_to_prodev()

    if connection:
        seed.create_table(connection)
        seed.insert_data(connection, "user_data.csv")
        cursor = connection.cursor()
        cursor.execute(
            "SELECT SCHEMA_NAME FROM INFORMATION_SCHEMA.SCHEMATA WHERE SCHEMA_NAME = 'ALX_prodev';"
        )
        result = cursor.fetchone()
        if result:
            print("Database ALX_prodev is present ")
        cursor.execute("SELECT * FROM user_data LIMIT 5;")
        rows = cursor.fetchall()
        print(rows)
        cursor.close()
        connection.close()
