seed = __import__("seed")


def paginate_users(page_size, offset):
    connection = seed.connect_to_prodev()
    try:
        cursor = connection.cursor(dictionary=True)
        cursor.execute(
            "SELECT * FROM user_data ORDER BY user_id LIMIT %s OFFSET %s", (page_size, offset)
        )
        return cursor.fetchall()
    finally:
        connection.close()


def lazy_paginate(page_size):
    offset = 0
    while True:
        page = paginate_users(page_size, offset)
        if not page:
            return
        yield page
        offset += page_size
