"""Another style: the database first, gives an object that holds the rows."""

import sqlite3


class ExecuteQuery:
    def __init__(self, db_name, query, params=None):
        self.connection = sqlite3.connect(db_name)
        self.query, self.params = query, params or ()
        self.results = None

    def __enter__(self):
        try:
            self.results = self.connection.execute(self.query, self.params).fetchall()
        except BaseException:
            self.connection.close()
            raise
        return self

    def __exit__(self, *exc_info):
        self.connection.close()
