"""Isolate a process: it sees the interpreter and the system's programs, and writes only in memory.

Its root folder is new and holds only what is listed here, all of it read-only. It has no network,
sees no other process, has no capabilities, and writes to file systems in memory, of limited size.
This is done by bubblewrap, else by util-linux: the first way that works on this machine.
"""

import contextlib
import functools
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from shlex import quote

PROBE = Path(__file__).parent / "child" / "probe.py"
# The paths inside.
GIVEN, SCRATCH, DATABASE = Path("/given"), Path("/tmp/check"), Path("/database")  # noqa: S108
PROBE_INSIDE = Path("/probe/checker/child/probe.py")
SIZES = {"/tmp": 128 << 20, "/database": 32 << 20}  # noqa: S108
LINKS = {"/var/tmp": "/tmp", "/dev/shm": "/tmp", "/dev/fd": "/proc/self/fd"}  # noqa: S108
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store")
SETTINGS = ("ld.so.cache", "localtime", "alternatives", "ssl/certs", "ssl/openssl.cnf")
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
NO_RIGHTS = ("--no-new-privs", "--bounding-set=-all", "--inh-caps=-all")  # of setpriv
MOUNT_OPTIONS = ("nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime")
OF_PREFIX = ("bin", "lib", "lib32", "lib64", "ssl", "pyvenv.cfg")  # it may be the home folder
WARNING = (
    "this machine cannot isolate answers, so they can read and change your files; install bubblewrap"
    " (Linux, where namespaces are allowed)"
)
Command = Callable[..., list[str]]


@functools.cache
def isolation() -> Command | None:
    """The way to isolate a program on this machine; None if there is none.

    It is a function that makes the command from a folder to mount on, the paths to show, with their
    paths inside, and the program; one path may be `writable`.
    """
    ways: list[Command] = [
        functools.partial(_bubblewrap, [_tool("bwrap"), "--unshare-user", "--disable-userns"]),
        functools.partial(_unshare, [_tool("unshare"), "--map-root-user"]),
    ]
    if os.geteuid() == 0:
        as_nobody = ((_bubblewrap, "bwrap"), (_unshare, "unshare"))
        ways[:0] = [functools.partial(_as_nobody, way, _tool(name)) for way, name in as_nobody]
    return next(filter(_works, ways), None)


def _tool(name: str) -> str:
    return shutil.which(name) or name  # as if it were there: then that way does not work


def _as_nobody(way: Command, tool: str, folder, shown, program, writable=None) -> list[str]:
    """For root: the program runs as a user that owns nothing, whose processes the kernel limits."""
    user = str((1 << 20) + secrets.randbelow(1 << 30))
    change = [_tool("setpriv"), "--reuid", user, "--regid", user, "--clear-groups", *NO_RIGHTS]
    change += ["--pdeathsig", "KILL"]  # again, since a new user has none
    return way([tool], folder, shown, [*([] if writable else change), *program], writable)


def _works(way: Command) -> bool:
    with tempfile.TemporaryDirectory(prefix="check-") as folder:
        look = f"import ctypes, socket, sqlite3; open({str(PROBE_INSIDE)!r}).close()"
        shown = {str(PROBE.parent): str(PROBE_INSIDE.parent)}
        with contextlib.suppress(OSError, subprocess.TimeoutExpired):
            command = way(Path(folder), shown, [sys.executable, "-c", look])
            done = subprocess.run(command, env={}, cwd="/", capture_output=True, timeout=20)
            return done.returncode == 0
    return False


def _bubblewrap(start: list, _folder: Path, shown: dict, program: list, writable=None) -> list[str]:
    command = [*start, "--die-with-parent", "--cap-drop", "ALL"]
    if start[1:]:
        command.append("--unshare-all")
    else:  # root: setpriv, which the program begins with, needs the rights to drop them all
        command += [f"--unshare-{name}" for name in ("ipc", "pid", "net", "uts")]
        for right in () if writable else ("SETUID", "SETGID", "SETPCAP"):
            command += ["--cap-add", f"CAP_{right}"]
    for place, size in SIZES.items():
        command += ["--perms", "1777", "--size", str(size), "--tmpfs", place]
    for source, place in (shown := _readable(shown)).items():
        if os.path.islink(source):
            command += ["--symlink", os.readlink(source), place]
        else:
            command += ["--bind" if source == str(writable) else "--ro-bind", source, place]
    for device in DEVICES:
        command += ["--dev-bind", device, device]
    for place, target in _links(shown).items():
        command += ["--symlink", target, place]
    # Root could write to /proc/sys even without capabilities.
    command += ["--proc", "/proc", "--remount-ro", "/proc", "--remount-ro", "/", "--chdir", "/"]
    return [*command, "--", *program]


def _unshare(start: list, folder: Path, shown: dict, program: list, writable=None) -> list[str]:
    script = [
        "set -eu; wanted=${PATH-}; PATH=/usr/sbin:/usr/bin:/sbin:/bin",
        f"mkdir {quote(f'{folder}/root')}; cd {quote(f'{folder}/root')}",
        "mount -t tmpfs -o mode=755,size=1m tmpfs . ; cd ../root; mkdir -p proc dev var old",
    ]
    for place, size in SIZES.items():
        script.append(f"mkdir .{place}; mount -t tmpfs -o mode=1777,size={size} tmpfs .{place}")
    lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    mounts = [line.split()[4].replace("\\040", " ") for line in lines]
    for source, place in (shown := _readable(shown)).items():
        script.append(f"mkdir -p {quote('.' + os.path.dirname(place))}")
        if os.path.islink(source):
            script.append(f"ln -s {quote(os.readlink(source))} {quote('.' + place)}")
            continue
        make, inside = "mkdir -p" if os.path.isdir(source) else ": >", quote("." + place)
        script += [f"{make} {inside}", f"mount --rbind {quote(source)} {inside}"]
        if source == str(writable):
            continue
        real = os.path.realpath(source)
        below = [mount.removeprefix(real) for mount in mounts if mount.startswith(real + "/")]
        for part in ("", *below):
            # The other options of a mount must stay when a user namespace makes it read-only.
            flags = os.statvfs(real + part).f_flag
            kept = [name for name in MOUNT_OPTIONS if flags & getattr(os, f"ST_{name.upper()}")]
            options = ",".join(["remount,bind,ro", *kept])
            script.append(f"mount -o {options} {quote('.' + place + part)}")
    script += [f": >.{device}; mount --bind {device} .{device}" for device in DEVICES]
    script += [f"ln -s {target} .{place}" for place, target in _links(shown).items()]
    script.append("mount -t proc proc proc")
    if "--map-root-user" in start:  # else this would be the machine's limit, not the namespace's
        script.append("echo 0 >proc/sys/user/max_user_namespaces")
    script.append("mount -o remount,bind,ro,nosuid,nodev,noexec proc; pivot_root . old; cd /")
    script.append("unset OLDPWD; umount -l old; mount -o remount,bind,ro /")
    script.append('PATH=$wanted; exec "$@"')
    setpriv = _tool("setpriv")
    spaces = ["--mount", "--pid", "--net", "--ipc", "--uts", "--fork", "--kill-child"]
    drop = [setpriv, *NO_RIGHTS] if program[0] != setpriv else []  # which drops them itself
    shell = ["/bin/sh", "-c", "\n".join(script), "-"]
    return [setpriv, "--pdeathsig", "KILL", *start, *spaces, "--", *shell, *drop, *program]


def _links(shown: dict[str, str]) -> dict[str, str]:
    inside = list(map(Path, shown.values()))
    return {p: to for p, to in LINKS.items() if not any(path.is_relative_to(p) for path in inside)}


def _readable(shown: dict[str, str]) -> dict[str, str]:
    """What a program can read, and its path inside: the system, the interpreter, and this."""
    prefixes = [sys.prefix, sys.exec_prefix, sys.base_prefix, sys.base_exec_prefix]
    pythons = [sys.executable]  # of a virtual environment: a link, perhaps to another link
    while os.path.islink(python := pythons[-1]):
        pythons.append(os.path.join(os.path.dirname(python), os.readlink(python)))
    pythons.append(os.path.realpath(python))
    prefixes += [os.path.dirname(os.path.dirname(python)) for python in pythons]
    places = [*SYSTEM, *(f"/etc/{name}" for name in SETTINGS)]
    places += [os.path.join(prefix, name) for prefix in prefixes for name in OF_PREFIX]
    found: dict[str, str] = {}
    for place in sorted(map(os.path.normpath, places), key=len):  # a folder before what is in it
        if os.path.exists(place) and not any(map(Path(place).is_relative_to, found)):
            found[place] = place
    return found | shown
