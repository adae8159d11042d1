"""The private servers themselves: every one that this machine has."""

import contextlib
from pathlib import Path

import mysql.connector
import pytest
from conftest import lacks, run_python

from servers import Server, find_programs, private_server, why_no_program
from servers.unpack import CannotUnpack, unpack

PROGRAMS = [program.name for program in find_programs()]
ROOT = Path(__file__).resolve().parent.parent
CIPHER = "SHOW STATUS LIKE 'Ssl_cipher'"


@pytest.fixture(params=PROGRAMS or [None])
def kind(request) -> str:
    if request.param is None:
        lacks(f"needs a server: {why_no_program()}")
    return request.param


def query(server: Server, sql: str, *, by_socket: bool = False) -> list[tuple]:
    port = {"host": server.host, "port": server.port}
    address = {"unix_socket": str(server.socket)} if by_socket else port
    user = {"user": server.user, "password": server.password, "collation": "utf8mb4_general_ci"}
    with contextlib.closing(mysql.connector.connect(**user, **address)) as connection:
        cursor = connection.cursor()
        cursor.execute(sql)
        return cursor.fetchall() if cursor.description else []


def test_server_answers_on_socket_and_port_and_leaves_nothing(kind):
    with private_server(kind=kind) as server:
        for by_socket in (True, False):
            ((version,),) = query(server, "SELECT @@version", by_socket=by_socket)
            assert f"{server.kind}-{version}".startswith(kind)
        has_tls = server.kind == "mysql" or int(server.version.split(".")[0]) >= 11  # by default
        assert bool(query(server, CIPHER)[0][1]) == has_tls
    assert server.process.poll() is not None
    assert not server.socket.parent.exists()


def test_plaintext_server_has_no_tls_and_keeps_its_data_when_killed(kind):
    with private_server(kind=kind, plaintext=True) as server:
        query(server, "CREATE DATABASE kept")
        server.kill()
        server.start()
        assert query(server, "SHOW DATABASES LIKE 'kept'") == [("kept",)]
        assert query(server, CIPHER)[0][1] == ""


def test_program_that_used_a_server_leaves_no_file(kind, tmp_path):
    text = f"from servers import private_server\nwith private_server(kind={kind!r}): print('ready')"
    settings = {"TMPDIR": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = run_python("-c", text, cwd=tmp_path, settings=settings)
    assert (done.stdout, done.stderr, list(tmp_path.iterdir())) == ("ready\n", "", [])


def test_start_that_fails_raises_with_the_log_of_the_server(kind):
    with pytest.raises(RuntimeError, match=r"(?s)did not get ready.*no-such-option"):  # noqa: SIM117
        with private_server("--no-such-option", kind=kind):
            pass


NOT_HERE = {"apt-get": "echo E: Not here. >&2; exit 100", "dpkg": "", "dpkg-deb": ""}


@pytest.mark.parametrize(
    ("name", "tools", "told"),
    [
        ("oracle", {}, "no server 'oracle': there are mariadb-11.8, mysql"),
        ("mysql", {}, "this needs a Debian machine: no apt-get, dpkg, dpkg-deb here"),
        ("mysql", NOT_HERE, r"apt-get: Not here\.|no /.*keyring"),
    ],
)
def test_unpack_that_fails_says_why_and_leaves_nothing(monkeypatch, tmp_path, name, tools, told):
    for tool, does in tools.items():
        (tmp_path / tool).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / tool).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(CannotUnpack, match=f"^{told}"):
        unpack(name)
    assert not list(tmp_path.glob("cache/*/*"))
