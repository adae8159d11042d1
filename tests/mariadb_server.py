"""A private MariaDB or MySQL server in a temporary folder, for the tests and for whoever needs one.

    with private_server() as server:
        ...  # server.host, server.port, server.user, server.password

Only the binaries are needed, no service: Debian has them in mariadb-server-core and
mariadb-client-core.
"""

import contextlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

USER, PASSWORD = "learner", 's3cret: it\'s #1 "é" ${HOME}'
START_SECONDS = 60
DAEMONS = ("mariadbd", "mysqld")
SYSTEM_FOLDERS = os.pathsep.join(("/usr/sbin", "/usr/local/sbin", "/usr/libexec"))


@dataclass
class Server:
    host: str
    port: int
    user: str = USER
    password: str = field(default=PASSWORD, repr=False)
    socket: Path | None = None
    process: subprocess.Popen | None = None
    command: list[str] = field(default_factory=list, repr=False)

    def start(self) -> None:
        """Start the server and wait until it answers. Raises RuntimeError if it does not."""
        log = self.socket.with_name("server.log")
        with log.open("ab") as output:
            self.process = subprocess.Popen(self.command, stdout=output, stderr=output)
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1):
                return
            time.sleep(0.02)
        self.stop()
        raise RuntimeError(f"{self.command[0]} did not start:\n{log.read_text(errors='replace')}")

    def kill(self) -> None:
        """End the server as a power cut would."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(START_SECONDS)
            except subprocess.TimeoutExpired:
                self.kill()


def find_binary(*names: str) -> str | None:
    """Find the first of these programs on the PATH, or where systems keep their servers."""
    path = os.environ.get("PATH", os.defpath) + os.pathsep + SYSTEM_FOLDERS
    return next(filter(None, (shutil.which(name, path=path) for name in names)), None)


@contextlib.contextmanager
def private_server(*options: str) -> Iterator[Server]:
    """Run a server with an empty data folder; stop it and remove the folder afterwards.

    `options` go to the server as they are. Raises FileNotFoundError where no server is installed.
    """
    daemon = find_binary(*DAEMONS)
    if daemon is None:
        raise FileNotFoundError(f"no {' or '.join(DAEMONS)} on this machine")
    # A socket's path may have about 100 characters, so not in pytest's own, long folders.
    folder = Path(tempfile.mkdtemp(prefix="prodev-"))
    try:
        init_file = folder / "init.sql"
        quoted = PASSWORD.replace("'", "''")
        init_file.write_text(
            f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{quoted}';\n"
            f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n",
            encoding="utf-8",
        )
        init_file.chmod(0o600)
        data, user_options = folder / "data", _user_options()
        _make_data_folder(daemon, data, user_options)
        port = _free_port()
        server = Server("127.0.0.1", port, socket=folder / "server.sock")
        server.command = [
            *_ending_with_this_process(),
            daemon,
            "--no-defaults",
            *user_options,
            f"--datadir={data}",
            f"--socket={server.socket}",
            f"--pid-file={folder / 'server.pid'}",
            f"--port={port}",
            "--bind-address=127.0.0.1",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            f"--init-file={init_file}",
            # Nothing here has to survive a power cut, so do not wait for the disk.
            "--innodb-flush-log-at-trx-commit=2",
            *options,
        ]
        server.start()
        try:
            yield server
        finally:
            server.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _ending_with_this_process() -> list[str]:
    """The words before a command that end it even if this process is killed, where the system can."""
    setpriv = find_binary("setpriv")  # of util-linux
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _user_options() -> list[str]:
    return ["--user=root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []


def _make_data_folder(daemon: str, data: Path, user_options: list[str]) -> None:
    if install := find_binary("mariadb-install-db"):
        command = [
            install,
            "--no-defaults",
            *user_options,
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
    else:
        command = [
            daemon,
            "--no-defaults",
            *user_options,
            f"--datadir={data}",
            "--initialize-insecure",
        ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{result.stdout}{result.stderr}")


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
