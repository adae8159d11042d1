"""A private MariaDB or MySQL server in a temporary folder, for tests, checks and measurements.

    with private_server() as server:
        ...  # server.host, server.port, server.socket, server.user, server.password, server.kind

Only the programs are needed, no service: see servers.programs.
"""

import atexit
import contextlib
import functools
import os
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic, sleep  # these very functions, since tests replace time.sleep

from servers.programs import Program, find_program, find_tool, why_no_program

USER, PASSWORD = "learner", 's3cret: it\'s #1 "é" ${HOME}'
START_SECONDS = 60
SERVER_PORTS = 15_000, 32_000
NO_TLS = {"mariadb": "--skip-ssl", "mysql": "--tls-version="}
BOOTSTRAP = (
    "mariadb_system_tables.sql",
    "mariadb_performance_tables.sql",
    "mariadb_system_tables_data.sql",
)


@dataclass
class Server:
    program: Program
    host: str
    port: int
    socket: Path
    user: str = USER
    password: str = field(default=PASSWORD, repr=False)
    process: subprocess.Popen | None = None
    command: list[str] = field(default_factory=list, repr=False)

    @property
    def kind(self) -> str:
        return self.program.kind

    @property
    def version(self) -> str:
        return self.program.version

    def start(self) -> None:
        """Start the server and wait until it is ready. Raises RuntimeError if it does not get ready."""
        try:
            self.launch(*self.command)
            self.wait_until(self.is_ready)
        except BaseException:  # Ctrl-C too: told to end while it starts, it may stay for ever
            if self.process is not None:
                self.kill()
            raise

    def launch(self, *command: str, **options) -> None:
        """Start the command as it is, with these options of Popen, and do not wait."""
        # A killed MySQL leaves it; if another process has its number by now, MySQL would not start.
        self.socket.with_name(f"{self.socket.name}.lock").unlink(missing_ok=True)
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(command, stdout=output, stderr=output, **options)

    def wait_until(self, ready: Callable[[], bool]) -> None:
        """Wait for `ready()`; kill the server and raise RuntimeError if that never comes."""
        deadline = monotonic() + START_SECONDS
        while monotonic() < deadline and self.process.poll() is None:
            if ready():
                return
            sleep(0.02)
        self.kill()
        log = self.log.read_text(errors="replace")
        raise RuntimeError(f"the server at port {self.port} did not get ready:\n{log}")

    def is_ready(self) -> bool:
        """Return whether our user can log in, by the socket and, unless that is off, by TCP."""
        # By the socket first: then MySQL knows the password, and takes it by TCP without TLS, too.
        if not self.socket.exists() or not self.takes_login(unix_socket=str(self.socket)):
            return False
        no_network = "--skip-networking" in self.command
        return no_network or self.takes_login(host=self.host, port=self.port)

    def takes_login(self, **address) -> bool:
        # Not at the top: the checker says by itself if the driver is missing. Not by connect(), which
        # tests replace.
        from mysql.connector import Error
        from mysql.connector.connection import MySQLConnection

        try:
            MySQLConnection(
                user=self.user,
                password=self.password,
                charset="utf8mb4",
                collation="utf8mb4_general_ci",
                connection_timeout=5,
                **address,
            ).close()
        except (Error, OSError):
            return False
        return True

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


@contextlib.contextmanager
def private_server(
    *options: str,
    kind: str | None = None,
    plaintext: bool = False,
    wrap: Callable[[Server], list[str]] | None = None,
) -> Iterator[Server]:
    """Run a server with an empty data folder; stop it and remove the folder afterwards.

    `kind` is "mariadb" or "mysql", with a version if need be ("mariadb-11.8"); None is any. `options`
    go to the server as they are; one that not every kind knows needs the prefix --loose-. TLS is as that
    server has it by default; `plaintext` turns it off. `wrap` returns another command for a server, say
    one that isolates it. Raises FileNotFoundError if there is no such
    server, RuntimeError with its log if it does not start.
    """
    program = find_program(kind)
    if program is None:
        raise FileNotFoundError(why_no_program(kind))
    with server_folder() as folder:
        shutil.copytree(new_data(program), folder / "data")
        server = Server(program, "127.0.0.1", *free_ports(1), folder / "server.sock")
        server.command = server_command(
            server,
            *user_options(),
            f"--init-file={make_init_file(folder)}",
            *([NO_TLS[program.kind]] if plaintext else []),
            *options,
        )
        if wrap:
            server.command = wrap(server)
        server.start()
        try:
            yield server
        finally:
            server.stop()


_one_at_a_time = threading.Lock()


def new_data(program: Program) -> Path:
    """A new data folder, to copy; made once in a process, since making MySQL's takes 3 seconds."""
    with _one_at_a_time:
        return _make_new_data(program)


@functools.cache
def _make_new_data(program: Program) -> Path:
    with contextlib.ExitStack() as stack:
        data = stack.enter_context(server_folder()) / "data"
        make_data_folder(program, data, user_options())
        (data / "auto.cnf").unlink(missing_ok=True)  # else all copies are the same server to MySQL
        keep = stack.pop_all()
    maker = os.getpid()
    atexit.register(lambda: keep.close() if os.getpid() == maker else None)
    return data


@contextlib.contextmanager
def server_folder() -> Iterator[Path]:
    """Make a temporary folder for servers, and remove it afterwards."""
    # A socket's path may have about 100 characters, so not in pytest's own, long folders.
    folder = Path(tempfile.mkdtemp(prefix="prodev-"))
    try:
        yield folder
    finally:
        while folder.exists():  # a server in another namespace ends a little after it was killed
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


def server_command(server: Server, *options: str) -> list[str]:
    """The command of a server whose files are all in the folder of its socket, the data in data/."""
    folder = server.socket.parent
    return [
        *_ending_with_this_process(),
        *server.program.command,
        "--no-defaults",
        *server.program.options,
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
        "--sync-binlog=0",
        *options,
    ]


def _ending_with_this_process() -> list[str]:
    """Return a command prefix that stops the server when this process dies; empty without setpriv."""
    setpriv = find_tool("setpriv")  # of util-linux
    return [setpriv, "--pdeathsig", "TERM"] if setpriv else []


def user_options() -> list[str]:
    return ["--user=root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []


def make_data_folder(program: Program, data: Path, user_options: list[str], **options) -> None:
    """Make the data folder of a new server; `options` are those of Popen."""
    folders = [f"--datadir={data}", f"--tmpdir={data.parent}"]
    install = find_tool("mariadb-install-db")
    statements = ""
    if program.kind == "mariadb" and not program.root and install:
        command = [install, "--no-defaults", *user_options, *folders]
        command += ["--auth-root-authentication-method=normal", "--skip-test-db"]
    else:
        command = [*program.command, "--no-defaults", *program.options, *user_options, *folders]
        if program.kind == "mysql":
            command += ["--initialize-insecure"]
        else:  # what mariadb-install-db does; that script knows only the installed server
            command += ["--bootstrap"]
            (data / "mysql").mkdir(parents=True)
            scripts = ((program.share / name).read_text(encoding="utf-8") for name in BOOTSTRAP)
            statements = "\n".join(("use mysql;", "SET @auth_root_socket=NULL;", *scripts))
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    with subprocess.Popen(
        command, start_new_session=True, encoding="utf-8", errors="replace", **pipes, **options
    ) as process:
        try:
            said, _ = process.communicate(statements)
        except BaseException:  # Ctrl-C too: the script's own child would go on filling the folder
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            raise
    if process.returncode:
        raise RuntimeError(f"{command[0]} failed:\n{said}")


def free_ports(count: int) -> list[int]:
    """Find ports that nothing uses, below those that the system gives to clients.

    A client could take an ephemeral port while the server is down, and block its restart.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as until_all_are_found:
        while len(ports) < count:
            listener = until_all_are_found.enter_context(socket.socket())
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", random.randrange(*SERVER_PORTS)))
                ports.append(listener.getsockname()[1])
    return ports
