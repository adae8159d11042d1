"""The names that each exercise asks for, and patterns of similar names; earlier ones are preferred.

The observers find an answer's functions by them, and the parent finds its files.
"""

NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "seed": {
        "connect_db": ("connect_db", r"connect_?(to_)?(db|server|mysql|database)"),
        "create_database": ("create_database", r"create_?(db|database)\w*"),
        "connect_to_prodev": ("connect_to_prodev", r"connect_?(to_)?\w*prodev\w*"),
        "create_table": ("create_table", r"create_?\w*table\w*"),
        "insert_data": ("insert_data", r"insert_?\w*|load_?data|populate\w*"),
    },
    "1": {"stream_users": ("stream_users?", r"stream_?users?\w*", r"\w*user\w*")},
    "2": {"stream_users_in_batches": ("stream_users_in_batches", r"\w*stream\w*batch\w*",
                                      r"\w*fetch\w*batch\w*", r"\w*in_batches"),
          "batch_processing": ("batch_processing", r"batch_?process\w*", r"process\w*batch\w*",
                               r"\w*process\w*")},
    "3": {"lazy_paginate": ("lazy_paginat(e|ion|or)", r"lazy_?\w*pag\w*", r"\w*lazy\w*"),
          "paginate_users": ("paginate_users?", r"(?!lazy)\w*page?_?\w*users?\w*",
                             r"(fetch|get)_?\w*page\w*")},
    "4": {"stream_user_ages": ("stream_user_ages?", r"stream\w*ages?\w*",
                               r"\w*stream\w*|\w*generat\w*"),
          "average_age": (r"(calculate_|compute_|get_)?average_age", r"\w*(average|avg|mean)\w*",
                          r"calc\w*")},
    "5": {"log_queries": ("log_queries", r"log_?quer\w*", r"\w*log\w*quer\w*")},
    "6": {"with_db_connection": ("with_db_connection", r"with_?\w*conn\w*")},
    "7": {"transactional": ("transactional", r"\w*transaction\w*")},
    "8": {"retry_on_failure": ("retry_on_failure", r"retry\w*", r"\w*retry\w*")},
    "9": {"cache_query": ("cache_query", r"cache_?\w*quer\w*", r"\w*cach\w*|\w*memo\w*")},
    "10": {"DatabaseConnection": ("DatabaseConnection", r"\w*(database|db)\w*conn\w*",
                                  r"\w*conn\w*")},
    "11": {"ExecuteQuery": ("ExecuteQuery", r"execute_?query\w*", r"\w*query\w*", r"\w*exec\w*")},
    "12": {"async_fetch_users": ("async_fetch_users",
                                 r"\w*fetch(?!\w*(older|concurrent))\w*users?\w*"),
           "async_fetch_older_users": ("async_fetch_older_users", r"\w*older\w*",
                                       r"\w*(over|above)\w*"),
           "fetch_concurrently": ("fetch_concurrent(ly)?", r"\w*concurrent\w*", r"\w*gather\w*")},
}  # fmt: skip
