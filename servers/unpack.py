"""Fetch a database server without installing it, for tests, the checker and the benchmarks.

    python -m servers.unpack mysql
    python -m servers.unpack mariadb-11.8

Takes the packages of another Debian release from the machine's own mirror, checks their signatures and
unpacks them into a folder of the user's cache. Nothing is installed, and root is not needed.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from servers.programs import NAMES, UNPACKABLE, Program, look_at, unpacked_folder

TOOLS = ("apt-get", "dpkg", "dpkg-deb")
KEYRING = Path(
    "/usr/share/keyrings/debian-archive-keyring.gpg"
)  # of bookworm: verifies sid and trixie


class CannotUnpack(Exception):
    """Says in one line why."""


def unpack(name: str) -> Program:
    """Unpack the server unless it is there already. Raises CannotUnpack."""
    if name not in UNPACKABLE:
        raise CannotUnpack(f"no server {name!r}: there are {', '.join(UNPACKABLE)}")
    target = unpacked_folder() / name
    if not target.exists():
        if absent := [tool for tool in TOOLS if shutil.which(tool) is None]:
            raise CannotUnpack(f"this needs a Debian machine: no {', '.join(absent)} here")
        if not KEYRING.exists():
            raise CannotUnpack(f"no {KEYRING} here, to check signatures (debian-archive-keyring)")
        target.parent.mkdir(parents=True, exist_ok=True)
        # Made aside and then renamed, so that what was interrupted is never taken for a server.
        with tempfile.TemporaryDirectory(prefix=".unpacking-", dir=target.parent) as folder:
            root = Path(folder, "root")
            root.mkdir()
            for package in _download(*UNPACKABLE[name], Path(folder)):
                _run("dpkg-deb", "-x", package, root)
            _program(name, root)
            try:
                root.rename(target)
            except OSError:  # another process was faster
                if not target.exists():
                    raise
    return _program(name, target)


def _program(name: str, root: Path) -> Program:
    for path in (root / "usr/sbin" / daemon for daemon in NAMES):
        program = look_at(path, root) if path.exists() else None
        if program and program.is_called(name):
            return program
    raise CannotUnpack(f"what is in {root} does not run as {name}")


def _download(suite: str, package: str, folder: Path) -> list[Path]:
    """Download a package and all that it needs, with an apt-get that knows of nothing installed."""
    architecture = _run("dpkg", "--print-architecture").strip()
    source = f"deb [arch={architecture} signed-by={KEYRING}] {_mirror()} {suite} main\n"
    (folder / "sources.list").write_text(source)
    (folder / "status").touch()
    for name in ("lists/partial", "archives/partial"):
        (folder / name).mkdir(parents=True)
    settings = {
        "Dir::Etc::SourceList": folder / "sources.list",
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::Etc::Preferences": "/dev/null",
        "Dir::Etc::PreferencesParts": "/dev/null",
        "Dir::State::Lists": folder / "lists",
        "Dir::State::status": folder / "status",
        "Dir::Cache::Archives": folder / "archives",
        "Dir::Cache::pkgcache": "",
        "Dir::Cache::srcpkgcache": "",
        "APT::Default-Release": "",
        "APT::Sandbox::User": "root",  # apt's own user cannot write here
        "APT::Update::Error-Mode": "any",  # else an index that cannot be had is a warning
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items())]
    _run(*apt, "update")
    _run(*apt, "install", "--yes", "--download-only", "--no-install-recommends", package)
    return sorted((folder / "archives").glob("*.deb"))


def _mirror() -> str:
    targets = "apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"
    # The label is known only after an apt-get update; without one, the first source is Debian's.
    for words in ("Label: Debian",), ("--no-release-info",):
        if found := _run(*targets, *words).split():
            return found[0]
    raise CannotUnpack("apt knows no mirror: no source of packages is set up")


def _run(*command) -> str:
    environment = os.environ | {"LC_ALL": "C.UTF-8"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no reason given"]
        reason = next((line for line in said if line.startswith("E: ")), said[-1])
        raise CannotUnpack(f"{Path(command[0]).name}: {reason.removeprefix('E: ')}")
    return done.stdout


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m servers.unpack", description=__doc__.splitlines()[0]
    )
    parser.add_argument("server", choices=UNPACKABLE)
    try:
        print(unpack(parser.parse_args().server))
    except (CannotUnpack, OSError) as error:
        sys.exit(f"{parser.prog}: {error}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
