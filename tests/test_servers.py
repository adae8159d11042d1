"""The private servers themselves: every one that this machine has, all but the first marked slow."""

import contextlib
import os
import re

import mysql.connector
import pytest
from conftest import ROOT, lacks, run_python

from servers import Server, find_programs, private_server, why_no_program
from servers.unpack import CannotUnpack, unpack

FIRST, *OTHERS = [program.name for program in find_programs()] or [None]
CIPHER = "SHOW STATUS LIKE 'Ssl_cipher'"


@pytest.fixture(params=[FIRST, *(pytest.param(name, marks=pytest.mark.slow) for name in OTHERS)])
def kind(request) -> str:
    return request.param or lacks(f"needs a server: {why_no_program()}")


def query(server: Server, sql: str, **socket) -> list[tuple]:
    address = socket or {"host": server.host, "port": server.port}
    user = {"user": server.user, "password": server.password, "collation": "utf8mb4_general_ci"}
    with contextlib.closing(mysql.connector.connect(**user, **address)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


@pytest.mark.parametrize("plaintext", [False, True])
def test_killed_server_keeps_its_data_and_leaves_no_file(kind, plaintext):
    with private_server(kind=kind, plaintext=plaintext) as server:
        query(server, "CREATE DATABASE kept")
        server.kill()
        if (lock := server.socket.with_name("server.sock.lock")).exists():  # MySQL's
            lock.write_text(f"{os.getppid()}\n")  # its number now belongs to another process
        server.start()
        assert query(server, "SHOW DATABASES LIKE 'kept'") == [("kept",)]
        for address in ({"unix_socket": str(server.socket)}, {}):
            ((version,),) = query(server, "SELECT @@version", **address)
            assert f"{server.kind}-{version}".startswith(kind)
        has_tls = server.kind == "mysql" or int(server.version.split(".")[0]) >= 11  # by default
        assert bool(query(server, CIPHER)[0][1]) == (has_tls and not plaintext)
    assert server.process.poll() is not None
    assert not server.socket.parent.exists()


def test_failed_server_start_shows_the_log_and_leaves_no_file(kind, tmp_path):
    arguments = f"'--no-such-option', kind={kind!r}"
    text = f"from servers import private_server\nwith private_server({arguments}): print('ready')"
    settings = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = run_python("-c", text, cwd=tmp_path, settings=settings)
    assert re.search(r"(?s)RuntimeError: .* did not get ready.*no-such-option", done.stderr)
    assert (done.stdout, list(tmp_path.iterdir())) == ("", [])


NOT_HERE = {"apt-get": "echo E: Not here. >&2; exit 100", "dpkg": "", "dpkg-deb": ""}


@pytest.mark.parametrize(
    ("name", "tools", "told"),
    [
        ("oracle", {}, "no server 'oracle': there are mariadb-11.8, mysql"),
        ("mysql", {}, "this needs a Debian machine: no apt-get, dpkg, dpkg-deb here"),
        ("mysql", NOT_HERE, r"apt-get: Not here\.|no /.*keyring"),
    ],
)
def test_failed_unpack_reports_why_and_leaves_nothing(monkeypatch, tmp_path, name, tools, told):
    for tool, does in tools.items():
        (tmp_path / tool).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(CannotUnpack, match=f"^{told}"):
        unpack(name)
    assert not list(tmp_path.glob("cache/*/*"))
