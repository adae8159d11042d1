"""The settings DB_HOST and its like, from the environment or from `.env` beside seed.py."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent  # where seed.py and .env are

# Seconds. A read may wait for a row lock as long as InnoDB lets it, 50 s, so its limit is above that.
CONNECT_SECONDS, READ_SECONDS, DEADLINE_SECONDS = 10, 60, 120
NODE_SECONDS = 2  # to connect, where there is another node to go to

NODE_FORM = re.compile(r"(?:\[(?P<ipv6>[^\]]+)\]|(?P<host>[^:\[\]\s]+))(?::(?P<port>[0-9]{1,5}))?")


class Node(NamedTuple):
    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Settings:
    nodes: tuple[Node, ...]  # of the server, in the order to try them; none: the embedded engine
    user: str
    password: str = field(repr=False)
    database: str
    file: Path
    socket: str
    ssl_ca: Path | None
    connect_timeout: int
    read_timeout: int
    deadline: int

    def __str__(self) -> str:
        if not self.nodes:
            return f"embedded SQLite file {self.file}"
        place = self.socket or ", ".join(map(str, self.nodes))
        return f"MySQL at {place}, database {self.database}, user {self.user}"


def read_settings() -> Settings:
    """Read DB_HOST and its like from the environment, else from `.env` beside seed.py.

    A variable that is set wins even when it is empty: `DB_HOST=` asks for the embedded engine.
    Raises ValueError if a value is invalid, FileNotFoundError if the file of DB_SSL_CA is missing.
    """
    from_file = _read_env_file()

    def value(name: str, default: str) -> str:
        return os.environ.get(name, from_file.get(name)) or default

    def number(name: str, default: int, maximum: int) -> int:
        text = value(name, str(default)).strip()
        if not (text.isascii() and text.isdigit() and 1 <= int(text) <= maximum):
            raise ValueError(f"{name} is {text!r}: it must be a whole number from 1 to {maximum}")
        return int(text)

    database = value("DB_NAME", "ALX_prodev")
    if re.search(r"[/\\\0]", database) or database in (".", ".."):
        raise ValueError(f"DB_NAME is {database!r}: a database name cannot contain a slash")
    host, socket = value("DB_HOST", "").strip(), value("DB_SOCKET", "")
    if os.environ.get("DB_HOST") is not None and "DB_SOCKET" not in os.environ:
        socket = ""  # of .env, against a DB_HOST of the environment, which wins
    if socket and os.environ.get("DB_HOST") != "":
        host = "localhost"
    ssl_ca = value("DB_SSL_CA", "")
    authority = ROOT / Path(ssl_ca).expanduser() if ssl_ca else None
    if authority and not authority.is_file():
        raise FileNotFoundError(f"DB_SSL_CA is {ssl_ca!r}: there is no such file")
    nodes = _nodes(host, number("DB_PORT", 3306, 65535))
    if host and not nodes:
        raise ValueError(f"DB_HOST is {host!r}: it names no host")
    deadline = number("DB_DEADLINE", DEADLINE_SECONDS, 86400)
    connect_seconds = NODE_SECONDS if len(nodes) > 1 else CONNECT_SECONDS
    return Settings(
        nodes=nodes,
        user=value("DB_USER", "root"),
        password=value("DB_PASSWORD", ""),
        database=database,
        file=ROOT / Path(value("DB_FILE", f"{database}.sqlite3")).expanduser(),
        socket=socket,
        ssl_ca=authority,
        connect_timeout=min(number("DB_CONNECT_TIMEOUT", connect_seconds, 3600), deadline),
        read_timeout=min(number("DB_READ_TIMEOUT", READ_SECONDS, 86400), deadline),
        deadline=deadline,
    )


def _read_env_file() -> dict[str, str | None]:
    path = ROOT / ".env"
    if not path.is_file():
        return {}
    from dotenv import dotenv_values

    # No interpolation: a `$` in a password is a `$`. utf-8-sig: Windows editors write a BOM.
    try:
        return dotenv_values(path, interpolate=False, encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 ({error}): save it as UTF-8") from error


def _nodes(hosts: str, default_port: int) -> tuple[Node, ...]:
    """Take `db1,db2:3307,[::1]:3308` apart."""
    if re.fullmatch(r"[0-9A-Fa-f.]*(:[0-9A-Fa-f.]*){2,}", hosts):  # one IPv6 address, alone
        return (Node(hosts, default_port),)
    nodes = []
    for text in filter(None, map(str.strip, hosts.split(","))):
        match = NODE_FORM.fullmatch(text)
        if not match or not 0 < int(match["port"] or default_port) < 65536:
            raise ValueError(
                f"DB_HOST is {hosts!r}: it must be host or host:port, several of them separated by "
                "commas, an IPv6 address in brackets"
            )
        nodes.append(Node(match["ipv6"] or match["host"], int(match["port"] or default_port)))
    return tuple(nodes)
