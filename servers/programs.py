"""The server programs of this machine: installed ones first, then those that servers.unpack fetched."""

import functools
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

KINDS = {"mariadb": "MariaDB", "mysql": "MySQL"}
UNPACKABLE = {  # by name: the Debian release and its package, which servers.unpack fetches
    "mariadb-11.8": ("trixie", "mariadb-server-core"),
    "mysql": ("sid", "mysql-server-core"),  # no stable release has it
}
NAMES = ("mariadbd", "mysqld")  # either may be of either kind: Debian's MariaDB has both
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/libexec")


@dataclass(frozen=True)
class Program:
    """A server program; `root` is the folder of its unpacked packages, None if it is installed."""

    path: Path
    root: Path | None
    kind: str
    version: str

    @property
    def name(self) -> str:
        return f"{self.kind}-{self.version}"

    def __str__(self) -> str:
        how = "unpacked" if self.root else "installed"
        return f"{KINDS[self.kind]} {self.version}, {how}: {self.path}"

    def is_called(self, name: str) -> bool:
        """Return whether `name` means this program: "mysql", "mariadb-11.8", "mariadb-11.8.9"."""
        return f"{self.name}-".startswith((f"{name}-", f"{name}."))

    @property
    def command(self) -> list[str]:
        """The words that start it; options may follow, --no-defaults first."""
        return _command(self.path, self.root)

    @property
    def options(self) -> list[str]:
        """The options that it needs to run from where it is."""
        # Else MySQL's second protocol takes a port and a socket that all servers share, and it looks
        # for a folder that only the full package makes.
        options = ["--mysqlx=OFF", "--secure-file-priv=NULL"] if self.kind == "mysql" else []
        if self.root:
            options += [
                f"--lc-messages-dir={self.share}",
                f"--character-sets-dir={self.share / 'charsets'}",
                f"--plugin-dir={self.root / 'usr/lib/mysql/plugin'}",
            ]
        return options

    @property
    def share(self) -> Path:
        return self.root / "usr/share" / self.kind


def find_programs() -> Iterator[Program]:
    """Find all server programs, the preferred one first: installed before unpacked, then MariaDB."""
    folders = [*os.environ.get("PATH", os.defpath).split(os.pathsep), *SYSTEM_FOLDERS]
    places = [(Path(folder, name), None) for name in NAMES for folder in folders]
    for root in sorted(unpacked_folder().glob("[!.]*")):
        places += [(root / "usr/sbin" / name, root) for name in NAMES]
    seen = set()
    for path, root in places:
        # The name stays as it is, since some installations go by it.
        if os.access(path, os.X_OK) and path.resolve() not in seen:
            seen.add(path.resolve())
            if program := look_at(path, root):
                yield program


def find_program(name: str | None = None) -> Program | None:
    """Find the preferred program that `name` means: a kind, a kind and version, or None for any."""
    return next((p for p in find_programs() if name is None or p.is_called(name)), None)


def why_no_program(name: str | None = None) -> str:
    """Return the error message for a missing server program."""
    if name and name.partition("-")[0] not in KINDS:
        return f"no kind of server is called {name!r}: there are {' and '.join(KINDS)}"
    what = KINDS.get(name, name) or " or ".join(KINDS.values())
    fetch = next((other for other in UNPACKABLE if other.startswith(name or "")), None)
    hint = f": `python -m servers.unpack {fetch}` fetches one on Debian" if fetch else ""
    return f"no {what} server here{hint}"


def unpacked_folder() -> Path:
    """The folder of unpacked servers, in the user's cache."""
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(cache, "prodev-servers")


@functools.cache
def look_at(path: Path, root: Path | None) -> Program | None:
    """Ask the program for its kind and version: its name tells neither. None if it does not run."""
    try:
        said = subprocess.run(
            [*_command(path, root), "--no-defaults", "--version"],
            capture_output=True,
            text=True,
            timeout=30,
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r" Ver (\d+\.\d+\.\d+)(-MariaDB)?", said)
    return found and Program(path, root, "mariadb" if found[2] else "mysql", found[1])


def _command(path: Path, root: Path | None) -> list[str]:
    if root is None:
        return [str(path)]
    # A program of another release needs that release's C library, and that its loader.
    loader = next(root.glob("usr/lib/*/ld*.so.?"), None)
    if loader is None:
        raise FileNotFoundError(f"no loader of programs in {root}")
    libraries = f"{loader.parent}:{root / 'usr/lib/mysql/private'}"
    return [str(loader), "--library-path", libraries, str(path)]


def find_tool(name: str) -> str | None:
    """Find another program, on the PATH or where systems keep their servers."""
    path = os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS))
    return shutil.which(name, path=path)
