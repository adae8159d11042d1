"""Another style: the module itself can be called; rows come as tuples, segment by segment."""

import sys
from contextlib import closing

from seed import connect_to_prodev

SEGMENT = "SELECT user_id, name, email, age FROM user_data WHERE user_id > %s ORDER BY 1 LIMIT 50"


class StreamUsers(sys.modules[__name__].__class__):
    def __call__(self):
        last = ""
        with closing(connect_to_prodev()) as connection, connection.cursor() as cursor:
            while cursor.execute(SEGMENT, (last,)):
                for row in cursor.fetchall():
                    yield row
                    last = row[0]


sys.modules[__name__].__class__ = StreamUsers
