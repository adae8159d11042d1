"""Private database servers for tests, the checker and the benchmarks: MariaDB, MySQL, clusters of both.

programs.py   finds the server programs of this machine
private.py    runs one of them in a temporary folder
cluster.py    has what both kinds of cluster share
galera.py     runs a Galera cluster of three nodes
group_replication.py  runs a MySQL cluster of three nodes
unpack.py     fetches a server without installing it: python -m servers.unpack mysql
"""

from servers.private import Server, private_server
from servers.programs import Program, find_program, find_programs, why_no_program

__all__ = [
    "Program",
    "Server",
    "find_program",
    "find_programs",
    "private_server",
    "why_no_program",
]
