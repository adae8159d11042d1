"""Another style: gives itself, opens at once, a default name."""

import sqlite3


class DatabaseConnection:
    def __init__(self, path="app.db"):
        self.connection = sqlite3.connect(path)

    def __enter__(self):
        return self

    def execute(self, sql, parameters=()):
        return self.connection.execute(sql, parameters)

    def __exit__(self, *exc_info):
        self.connection.close()
        return False
