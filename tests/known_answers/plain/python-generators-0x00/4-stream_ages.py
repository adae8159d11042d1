seed = __import__("seed")


def stream_user_ages():
    connection = seed.connect_to_prodev()
    try:
        cursor = connection.cursor()
        cursor.execute("SELECT age FROM user_data")
        for (age,) in cursor:
            yield age
    finally:
        connection.close()


def calculate_average_age():
    total = count = 0
    for age in stream_user_ages():
        total += age
        count += 1
    average = total / count if count else 0
    print(f"Average age of users: {average:.2f}")
