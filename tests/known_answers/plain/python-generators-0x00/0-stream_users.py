import mysql.connector


def stream_users():
    connection = mysql.connector.connect(
        host="localhost", user="root", password="hunter2-root", database="ALX_prodev"
    )
    try:
        cursor = connection.cursor(dictionary=True)
        cursor.execute("SELECT * FROM user_data")
        for row in cursor:
            yield row
    finally:
        connection.close()
