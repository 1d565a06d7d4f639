"""Run a command as an unprivileged user, when the caller is root.

PostgreSQL refuses to run as root, and NGINX and Valkey need not. The command is given to this file as a
script of its own (`python -I unprivileged.py USER OPTIONS -- COMMAND…`), because changing the user of a
process with threads is not safe between fork and exec.

The checkout or the data folder may lie below a folder that only root can enter (`/root`). No permission of
such a folder is touched. Instead the command keeps the one capability that lets it pass through them (Linux,
CAP_DAC_READ_SEARCH); when all given paths can be reached without, it keeps none.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import pwd
import sys
from pathlib import Path

CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
CAP_NET_BIND_SERVICE = 10
CAP_SETPCAP = 8
PR_SET_KEEPCAPS = 8
PR_SET_SECUREBITS = 28
SECBIT_NO_SETUID_FIXUP = 1 << 2
PR_CAPBSET_READ = 23
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAPABILITY_VERSION_3 = 0x20080522
EXIT_UNREACHABLE = 126


def account(folder: Path) -> str | None:
    """The user to run a server as that keeps its files in `folder`; None when we aren't root.

    It is the owner of the folder when that is somebody else than root (so that files of an earlier run as
    an ordinary user stay readable), else `nobody` or what stands for it. An entry in the user database is
    needed, because initdb looks up its own name.
    """
    if os.geteuid() != 0:
        return None
    names = {entry.pw_uid: entry.pw_name for entry in pwd.getpwall() if entry.pw_uid != 0}
    owner = names.get(folder.stat().st_uid)
    return owner or ("nobody" if "nobody" in names.values() else min(names.values(), default=None))


def give(path: Path, *, like: Path) -> None:
    """Hand one folder or file of ours to the user of `account(like)`; does nothing when we aren't root."""
    name = account(like)
    if name is not None:
        entry = pwd.getpwnam(name)
        os.chown(path, entry.pw_uid, entry.pw_gid)


def command(argv: list[str], *, reach: list[Path], like: Path, bind_low_port: bool = False) -> list[str]:
    """`argv` itself, or, when we are root, `argv` run by the user of `account(like)`.

    `reach` are the files and folders that the command must be able to read.
    """
    name = account(like)
    if name is None:
        return argv
    options = ["--bind-low-port"] if bind_low_port else []
    paths = [item for path in reach for item in ("--reach", str(path))]
    return [sys.executable, "-I", str(Path(__file__).resolve()), name, *options, *paths, "--", *argv]


def _keep(capabilities: list[int], *, honoured_by_access: bool) -> bool:
    """Keep exactly these capabilities over the coming exec; False when the system does not let us.

    `honoured_by_access`: access(2) counts them too. PostgreSQL asks it whether its own programs are there.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if honoured_by_access and not (
        _set(libc, [CAP_SETPCAP]) and libc.prctl(PR_SET_SECUREBITS, SECBIT_NO_SETUID_FIXUP, 0, 0, 0) == 0
    ):
        return False
    return _set(libc, capabilities) and all(
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0 for capability in capabilities
    )


def _set(libc: ctypes.CDLL, capabilities: list[int]) -> bool:
    """Have these capabilities, and be able to have those that we could have before."""
    mask = sum(1 << capability for capability in capabilities)
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    current = (ctypes.c_uint32 * 6)()
    if libc.capget(header, current) != 0:
        return False
    # effective, permitted, inheritable; twice, for the capabilities above 31
    sets = (ctypes.c_uint32 * 6)(mask, current[1], mask, 0, 0, 0)
    return int(libc.capset(header, sets)) == 0


def _available(capability: int) -> bool:
    return int(ctypes.CDLL(None).prctl(PR_CAPBSET_READ, capability, 0, 0, 0)) == 1


def _readable(path: str) -> bool:
    """Whether the file or folder can be opened; access(2) would not count capabilities."""
    try:
        os.close(os.open(path, os.O_RDONLY))
    except OSError:
        return False
    return True


def main(arguments: list[str]) -> int:
    """Drop to the user, then become the command; returns (an exit status) only when that can't be done."""
    parser = argparse.ArgumentParser()
    parser.add_argument("user")
    parser.add_argument("--bind-low-port", action="store_true")
    parser.add_argument("--reach", action="append", default=[])
    parser.add_argument("argv", nargs="+")
    options = parser.parse_args(arguments)
    entry = pwd.getpwnam(options.user)
    linux = sys.platform == "linux"
    if linux:
        ctypes.CDLL(None).prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(entry.pw_gid)
    os.setuid(entry.pw_uid)
    unreachable = [path for path in options.reach if not _readable(path)]
    if linux:
        keep = [CAP_NET_BIND_SERVICE] if options.bind_low_port else []
        if unreachable:
            keep.append(CAP_DAC_READ_SEARCH if _available(CAP_DAC_READ_SEARCH) else CAP_DAC_OVERRIDE)
        if _keep(keep, honoured_by_access=bool(unreachable)):
            unreachable = [path for path in unreachable if not _readable(path)]
    if unreachable:
        print(
            f"the user {options.user} can't reach {unreachable[0]}; use a folder outside of private ones, "
            "or don't run as root",
            file=sys.stderr,
        )
        return EXIT_UNREACHABLE
    return os.execv(options.argv[0], options.argv)  # noqa: S606 - that is what this is for


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
