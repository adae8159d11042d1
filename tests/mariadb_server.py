"""A private MariaDB or MySQL server in a temporary folder, for the tests and for whoever needs one.

    with private_server() as server:
        ...  # server.host, server.port, server.user, server.password

Only the binaries are needed, no service: Debian has them in mariadb-server-core and
mariadb-client-core.
"""

import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

USER, PASSWORD = "learner", 's3cret: it\'s #1 "é" ${HOME}'
START_SECONDS = 60
SERVER_PORTS = 15_000, 32_000
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
        try:
            self.launch(*self.command)
            self.wait_until(self.answers)
        except BaseException:  # Ctrl-C too: told to end while it starts, it may stay for ever
            if self.process is not None:
                self.kill()
            raise

    def launch(self, *command: str, **options) -> None:
        """Start the command as it is, with these options of Popen, and do not wait."""
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, **options)

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait for `ready()`; kill the server and raise RuntimeError if that never comes."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline and self.process.poll() is None:
            if ready():
                return
            time.sleep(0.02)
        self.kill()
        log = self.log.read_text(errors="replace")
        raise RuntimeError(f"the server at port {self.port} did not get ready:\n{log}")

    def answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.host, self.port), 1):
            return True
        return False

    @property
    def log(self) -> Path:
        return self.socket.with_name("server.log")

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
    with server_folder() as folder:
        user_options = _user_options()
        make_data_folder(daemon, folder / "data", user_options)
        server = Server("127.0.0.1", *free_ports(1), socket=folder / "server.sock")
        server.command = server_command(
            daemon, server, *user_options, f"--init-file={make_init_file(folder)}", *options
        )
        server.start()
        try:
            yield server
        finally:
            server.stop()


@contextlib.contextmanager
def server_folder() -> Iterator[Path]:
    """Make a temporary folder for servers, and remove it afterwards."""
    # A socket's path may have about 100 characters, so not in pytest's own, long folders.
    folder = Path(tempfile.mkdtemp(prefix="prodev-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_init_file(folder: Path) -> Path:
    """Write the statements that make our user, for a server to run when it starts."""
    init_file = folder / "init.sql"
    quoted = PASSWORD.replace("'", "''")
    init_file.write_text(
        f"CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{quoted}';\n"
        f"GRANT ALL ON *.* TO '{USER}'@'%' WITH GRANT OPTION;\n",
        encoding="utf-8",
    )
    init_file.chmod(0o600)
    return init_file


def server_command(daemon: str, server: Server, *options: str) -> list[str]:
    """The command of a server whose files are all in the folder of its socket, the data in data/."""
    folder = server.socket.parent
    return [
        *_ending_with_this_process(),
        daemon,
        "--no-defaults",
        f"--datadir={folder / 'data'}",
        f"--socket={server.socket}",
        f"--pid-file={folder / 'server.pid'}",
        # Not /tmp: each server that starts removes there what looks like its own, also another's.
        f"--tmpdir={folder}",
        f"--port={server.port}",
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--character-set-server=utf8mb4",
        # Nothing here has to survive a power cut, so do not wait for the disk.
        "--innodb-flush-log-at-trx-commit=2",
        *options,
    ]


def _ending_with_this_process() -> list[str]:
    """The words before a command that end it even if this process is killed, where the system can."""
    setpriv = find_binary("setpriv")  # of util-linux
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def _user_options() -> list[str]:
    return ["--user=root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []


def make_data_folder(daemon: str, data: Path, user_options: list[str], **options) -> None:
    """Make the data folder of a new server; `options` are those of Popen."""
    if install := find_binary("mariadb-install-db"):
        command = [
            install,
            "--no-defaults",
            *user_options,
            f"--datadir={data}",
            f"--tmpdir={data.parent}",
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
        ]
    else:
        command = [
            daemon,
            "--no-defaults",
            *user_options,
            f"--datadir={data}",
            f"--tmpdir={data.parent}",
            "--initialize-insecure",
        ]
    pipe = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, start_new_session=True, **pipe, **options) as process:
        try:
            said, _ = process.communicate()
        except BaseException:  # Ctrl-C too: the script's own child would go on filling the folder
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{said}")


def free_ports(count: int) -> list[int]:
    """Find ports that nothing uses, below those that the system gives to clients.

    One of a client's could be taken while a server that had it is down, and it could not come back.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as until_all_are_found:
        while len(ports) < count:
            listener = until_all_are_found.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", random.randrange(*SERVER_PORTS)))
                ports.append(listener.getsockname()[1])
    return ports
