import sqlite3


class ExecuteQuery:
    def __init__(self, query, params=()):
        self.query = query
        self.params = params

    def __enter__(self):
        self.conn = sqlite3.connect("users.db")
        try:
            cursor = self.conn.cursor()
            cursor.execute(self.query, self.params)
            return cursor.fetchall()
        except sqlite3.Error:
            self.conn.close()
            raise

    def __exit__(self, exc_type, exc_value, traceback):
        self.conn.close()
