#!/bin/sh
# Sets the project up in .venv, installing what the machine lacks, and runs it:
#
#     sh start.sh            the first exercise, on a SQLite file unless .env names a server
#     sh start.sh test       the tests, on a database server that they start themselves
#     sh start.sh cluster    the tests on a Galera cluster
#
# What follows `test` or `cluster` goes to pytest: sh start.sh test -m slow
set -eu
CDPATH='' cd -- "$(dirname -- "$0")"

stop() {
    echo "start.sh: $*" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null
}

is_new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

find_python() { # sets `python`; fails if the machine has none
    for python in python3 python3.14 python3.13 python3.12 python3.11; do
        is_new_enough "$python" && return
    done
    has python3 && stop "Python 3.11 or newer is needed, but python3 is $(python3 -V 2>&1)"
    return 1
}

has_venv() {
    is_new_enough .venv/bin/python && .venv/bin/python -c 'import pip' 2>/dev/null
}

install() {
    has apt-get || stop "no apt-get here; install by hand (names of Debian's packages): $*"
    root=
    if [ "$(id -u)" != 0 ]; then
        has sudo || stop "no sudo here; run as root: apt-get install $*"
        root=sudo
    fi
    # --no-remove: never at the cost of another server that is installed.
    if ! { $root apt-get update --quiet=2 && $root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
        apt-get install --yes --quiet --no-install-recommends --no-remove "$@"; } >&2; then
        stop "apt-get could not install $*"
    fi
    # Only its programs are wanted: systemd starts the service in spite of RUNLEVEL=1.
    case " $* " in *' mariadb-server '*)
        [ ! -d /run/systemd/system ] || $root systemctl disable --quiet --now mariadb
        ;;
    esac
}

task=${1:-run}
[ $# = 0 ] || shift
packages=
requirements=tests/requirements.txt
case $task in
run) requirements=requirements.txt ;;
test)
    if ! (PATH="$PATH:/usr/sbin:/usr/local/sbin:/usr/libexec" && { has mariadbd || has mysqld; }); then
        packages='mariadb-server-core mariadb-client-core bubblewrap'
    fi
    ;;
cluster)
    if ! has wsrep_sst_rsync || ! ls /usr/lib*/galera*/libgalera_smm.so >/dev/null 2>&1; then
        packages='mariadb-server galera-4'
    fi
    ;;
*) stop "'$task' is neither test nor cluster" ;;
esac

if ! has_venv; then
    if ! find_python; then
        packages="$packages python3-venv" # which brings python3
    elif ! "$python" -c 'import ensurepip' 2>/dev/null; then
        packages="$packages $python-venv"
    fi
fi
if [ -n "$packages" ]; then
    # shellcheck disable=SC2086 # one word a package
    install $packages
fi
if ! has_venv; then
    find_python || stop "Python 3.11 or newer is needed, and there is no python3"
    "$python" -m venv .venv || stop "$python could not make the folder .venv"
    has_venv || stop 'the folder .venv is not usable: remove it, then run this again'
fi
.venv/bin/python -m pip install --quiet --disable-pip-version-check -r "$requirements" ||
    stop "pip could not install $requirements"

case $task in # not by .venv/bin/pytest, which is lost when the project's folder is renamed
run) exec .venv/bin/python python-generators-0x00/0-stream_users.py ;;
test) exec .venv/bin/python -m pytest "$@" ;;
cluster) exec .venv/bin/python -m pytest -m 'cluster and not nightly' "$@" ;;
esac
