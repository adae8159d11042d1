"""Another style: the other name, pages by key inside, mysql.connector's own class."""

from mysql.connector import MySQLConnection


def paginate_users(page_size, offset=0, after=None):
    connection = MySQLConnection(user="x", password="y", host="db.example.com", database="Users")
    try:
        cursor = connection.cursor()
        where = "WHERE user_id > %s" if after else "WHERE %s IS NULL"
        cursor.execute(
            f"SELECT user_id, name, email, age FROM user_data {where} ORDER BY user_id"
            " LIMIT %s OFFSET %s",
            (after, page_size, offset),
        )
        return cursor.fetchall()
    finally:
        connection.close()


def lazy_pagination(page_size):
    page = paginate_users(page_size)
    while page:
        yield page
        page = paginate_users(page_size, after=page[-1][0])
