"""How the server is reached: hosts and time-outs, TLS, the Unix socket."""

import contextlib
import functools
import re

import mysql.connector
import pytest
import trustme
from conftest import make_table

import seed


def test_servers_that_are_down_at_the_start_are_reported_immediately(script, monkeypatch, tried):
    monkeypatch.setenv("DB_PORT", "5")
    for hosts, nodes in (
        ("::1", "[::1]:5"),
        ("localhost, 127.0.0.1:3,[::1]:4 ,[::1]", "localhost:5, 127.0.0.1:3, [::1]:4, [::1]:5"),
    ):
        monkeypatch.setenv("DB_HOST", hosts)
        with pytest.raises(mysql.connector.Error, match="is the server running") as caught:
            next(script("0-stream_users").stream_users())
        assert f"MySQL at {nodes}, database " in str(caught.value)
    addresses = [(options["host"], options["port"]) for options in tried]
    assert addresses == [("::1", 5), ("localhost", 5), ("127.0.0.1", 3), ("::1", 4), ("::1", 5)]


def test_read_timeout_is_longer_than_a_lock_wait(mysql_engine, tried):
    make_table()
    lock_wait = mysql_engine.query("SELECT @@innodb_lock_wait_timeout")[0][0]
    assert tried[0]["read_timeout"] > lock_wait  # else it would look like a lost connection


@pytest.mark.server("mariadb")  # MySQL has it as a plugin that may not be there
def test_error_of_a_socket_only_user_advises_to_create_another(mysql_engine, monkeypatch):
    make_table()
    mysql_engine.query("CREATE OR REPLACE USER local IDENTIFIED VIA unix_socket")
    monkeypatch.setenv("DB_USER", "local")
    with pytest.raises(mysql.connector.Error, match=r"^1698 .*Unix socket.*CREATE USER.*GRANT"):
        seed.connect_db()


# ------------------------------------------------- TLS, and the Unix socket


@pytest.fixture(scope="module")
def tls(new_server, tmp_path_factory):
    """A server with a certificate for localhost, and a folder with its authority and another one."""
    folder = tmp_path_factory.mktemp("tls")
    authority, other = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    other.cert_pem.write_to_path(folder / "other.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "own.pem")
    own = folder / "own.pem"
    with new_server(f"--ssl-cert={own}", f"--ssl-key={own}") as server:
        yield server, folder


def cipher(monkeypatch, server, authority, host="localhost") -> str:
    """Connect with DB_SSL_CA set; return how the connection is encrypted."""
    monkeypatch.setenv("DB_SSL_CA", str(authority))
    monkeypatch.setenv("DB_HOST", host)
    monkeypatch.setenv("DB_PORT", str(server.port))
    monkeypatch.setenv("DB_USER", server.user)
    monkeypatch.setenv("DB_PASSWORD", server.password)
    with contextlib.closing(seed.connect_db()) as connection:
        cursor = connection.cursor()
        cursor.execute("SHOW STATUS LIKE 'Ssl_cipher'")
        return cursor.fetchone()[1]


tls_refused = functools.partial(
    pytest.raises, mysql.connector.Error, match=r"cannot connect to .*check DB_SSL_CA"
)


def test_certificate_of_another_authority_or_for_another_host_is_refused(
    tls, monkeypatch, each_driver
):
    server, folder = tls
    assert cipher(monkeypatch, server, folder / "ca.pem")
    with tls_refused():
        cipher(monkeypatch, server, folder / "other.pem")
    with tls_refused():
        cipher(monkeypatch, server, folder / "ca.pem", "127.0.0.1")


def test_server_without_tls_is_refused_if_an_authority_is_set(
    tls, plaintext_server, monkeypatch, each_driver
):
    with tls_refused():
        cipher(monkeypatch, plaintext_server, tls[1] / "ca.pem")


def test_unix_socket_is_used_instead_of_host_and_port(mysql_engine, monkeypatch, each_driver):
    socket = mysql_engine.server.socket
    monkeypatch.setenv("DB_SOCKET", str(socket))
    monkeypatch.setenv("DB_HOST", "nowhere.invalid")
    monkeypatch.setenv("DB_PORT", "1")
    seed.connect_db().close()
    monkeypatch.delenv("DB_HOST")
    seed.connect_db().close()
    monkeypatch.setenv("DB_PASSWORD", "wr0ng")
    with pytest.raises(mysql.connector.Error, match=f"MySQL at {socket}, "):
        seed.connect_db()


def test_invalid_hosts_and_authority_are_named(monkeypatch):
    bad = [("DB_HOST", host) for host in (",", "a:b", "a:0", "a:70000", "[::1", "a b:c:")]
    for name, value in (*bad, ("DB_SSL_CA", "nowhere.pem")):
        monkeypatch.setenv("DB_HOST", "localhost")
        monkeypatch.setenv(name, value)
        with pytest.raises(
            (ValueError, FileNotFoundError), match=re.escape(f"{name} is {value!r}")
        ):
            seed.connect_db()
