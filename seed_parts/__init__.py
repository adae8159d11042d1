"""What `import seed` offers, and the modules behind it, each named after what it holds.

They import in this order, a later one from earlier ones: settings, script, arguments, errors, mysql,
embedded, connect, csv_users, table, load, reading, users_db, freshness.
"""

from seed_parts.arguments import (
    at_least,
    call_key,
    find_connection,
    require_connection,
    require_plain_function,
)
from seed_parts.connect import connect_db, connect_to_prodev, create_database
from seed_parts.errors import clean_up, closing_async, is_transient
from seed_parts.freshness import data_version
from seed_parts.load import insert_data
from seed_parts.reading import open_reader
from seed_parts.script import callable_module, ensure_log_handler, import_script, run_script
from seed_parts.table import create_table
from seed_parts.users_db import users_db

# The course's own five.
__all__ = ["connect_db", "connect_to_prodev", "create_database", "create_table", "insert_data"]
# Reading any table, on a server or embedded; the path of users.db.
__all__ += ["open_reader", "users_db"]
# Failing well.
__all__ += ["clean_up", "closing_async", "is_transient"]
# A decorated call: its connection, what it reads, whether that is still fresh.
__all__ += ["call_key", "data_version", "find_connection", "require_connection"]
# Around a script.
__all__ += ["at_least", "callable_module", "ensure_log_handler", "import_script"]
__all__ += ["require_plain_function", "run_script"]
