import mysql.connector


def stream_users_in_batches(batch_size):
    connection = mysql.connector.connect(
        host="localhost", user="root", password="hunter2-root", database="ALX_prodev"
    )
    try:
        cursor = connection.cursor(dictionary=True)
        cursor.execute("SELECT * FROM user_data")
        while batch := cursor.fetchmany(batch_size):
            yield batch
    finally:
        connection.close()


def batch_processing(batch_size):
    for batch in stream_users_in_batches(batch_size):
        for user in batch:
            if user["age"] > 25:
                print(user)
