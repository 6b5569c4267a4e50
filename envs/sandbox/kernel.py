"""The kernel's own means of confinement, called through ctypes: namespaces, mounts, capabilities and Landlock.

Runs inside a sandbox's worker, so it needs nothing but the standard library. Interfaces: namespaces(7), mount(2),
mount_setattr(2), capabilities(7) and landlock(7) of the Linux manual. Left out: anything that a plain user may not do.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable

NEW_NAMESPACE = {
    "cgroup": 0x02000000,
    "host name": 0x04000000,
    "ipc": 0x08000000,
    "mount": 0x00020000,
    "network": 0x40000000,
    "process": 0x20000000,
    "user": 0x10000000,
}
"""The CLONE_NEW* flags by what they set apart."""

MOUNT_NOSUID, MOUNT_NODEV, MOUNT_NOEXEC, MOUNT_BIND, MOUNT_RECURSIVE, MOUNT_PRIVATE = 2, 4, 8, 4096, 16384, 1 << 18
_UNMOUNT_LAZY = 2
_PR_SET_PDEATHSIG, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_CAP_AMBIENT, _AMBIENT_CLEAR = 1, 24, 38, 47, 4
_CAPABILITY_VERSION, _NUM_CAPABILITIES = 0x20080522, 64
# These calls are numbered alike on every architecture.
_MOUNT_SETATTR, _LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 442, 444, 445, 446
_AT_FDCWD, _AT_RECURSIVE, _ATTRIBUTE_READ_ONLY = -100, 0x8000, 1

# Landlock's rights over files, by the first version of its interface that knows them.
_READ_FILE, _READ_FOLDER, _WRITE_FILE, _TRUNCATE = 1 << 2, 1 << 3, 1 << 1, 1 << 14
_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: _TRUNCATE, 5: 1 << 15}
_MAKE_DEVICE_OR_SOCKET = 1 << 6 | 1 << 9 | 1 << 11
_NETWORK_SINCE, _ALL_TCP = 4, 0b11
_SCOPE_SINCE, _ALL_SCOPES = 6, 0b11

_libc = ctypes.CDLL(None, use_errno=True)


class _Capabilities(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("process", ctypes.c_int), ("sets", ctypes.c_uint32 * 6))


class _MountAttributes(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "namespace"))


class _Ruleset(ctypes.Structure):
    _fields_ = tuple((name, ctypes.c_uint64) for name in ("files", "network", "scopes"))


class _PathRule(ctypes.Structure):
    _pack_ = 1
    _fields_ = (("rights", ctypes.c_uint64), ("folder", ctypes.c_int32))


def unshare(*kinds: str) -> None:
    """Leaves namespaces of this process for new ones ("process" counts for its next child).

    Raises:
        OSError: the kernel refuses.
    """
    _checked(_libc.unshare(sum(NEW_NAMESPACE[kind] for kind in kinds)), f"new namespaces ({', '.join(kinds)})")


def rejoin_processes(process: int) -> None:
    """Lets the next child of this process be born in its own process namespace again.

    Args:
        process: a file descriptor of this process (`os.pidfd_open`).
    """
    _checked(_libc.setns(process, NEW_NAMESPACE["process"]), "return to the process namespace")


def mount(source: str, target: str, kind: str = "", flags: int = 0, data: str = "") -> None:
    """Attaches a file system or another folder to a folder; see the manual page of mount for the arguments."""
    texts = [os.fsencode(text) if text else None for text in (source, target, kind)]
    done = _libc.mount(*texts, ctypes.c_ulong(flags), os.fsencode(data) if data else None)
    _checked(done, f"mount of {kind or source} on {target}")


def change_root(folder: str, keep: str) -> None:
    """Makes a mounted folder the root; the former root appears in the folder `keep` below it."""
    _checked(_libc.pivot_root(os.fsencode(folder), os.fsencode(keep)), f"change of root to {folder}")
    os.chdir("/")


def unmount(target: str) -> None:
    """Takes a mount away from view."""
    _checked(_libc.umount2(os.fsencode(target), _UNMOUNT_LAZY), f"unmount of {target}")


def make_read_only(target: str) -> None:
    """Makes a mount and everything below it read-only."""
    attributes = _MountAttributes(set=_ATTRIBUTE_READ_ONLY)
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    path = os.fsencode(target)
    done = _call(_MOUNT_SETATTR, _AT_FDCWD, path, _AT_RECURSIVE, ctypes.byref(attributes), size)
    _checked(done, f"read-only view of {target}")


def die_with_parent() -> None:
    """Asks the kernel to kill this process when its parent ends."""
    _checked(_libc.prctl(_PR_SET_PDEATHSIG, 9, 0, 0, 0), "end with the parent")


def drop_bounding_capabilities() -> None:
    """Makes sure that no program started from here on gains a capability."""
    for capability in range(_NUM_CAPABILITIES):
        if _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) == -1:
            break


def drop_capabilities() -> None:
    """Gives up all capabilities of this process and any way to gain one."""
    _libc.prctl(_PR_CAP_AMBIENT, _AMBIENT_CLEAR, 0, 0, 0)
    nothing = _Capabilities(version=_CAPABILITY_VERSION)
    sets = ctypes.c_char.from_buffer(nothing, _Capabilities.sets.offset)
    _checked(_libc.capset(ctypes.byref(nothing), ctypes.byref(sets)), "giving up capabilities")
    _checked(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no new privileges")


def landlock_version() -> int:
    """Returns the version of Landlock's interface, 0 where the kernel has none or it is switched off."""
    return max(int(_call(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)), 0)


def restrict_files(readable: Iterable[str], devices: Iterable[str], scratch: str, version: int) -> None:
    """Restricts this process and its children to some files by Landlock; TCP and signals to others fall away with it.

    Args:
        readable: folders and files that may be read.
        devices: files that may be read and written.
        scratch: the folder in which everything is allowed but devices and sockets.
        version: what `landlock_version` says, at least 1.

    Raises:
        OSError: the kernel refuses.
    """
    handled = sum(rights for since, rights in _RIGHTS.items() if since <= version)
    rules = _Ruleset(
        files=handled,
        network=_ALL_TCP if version >= _NETWORK_SINCE else 0,
        scopes=_ALL_SCOPES if version >= _SCOPE_SINCE else 0,
    )
    # Older kernels know only the first fields.
    size = 24 if version >= _SCOPE_SINCE else 16 if version >= _NETWORK_SINCE else 8
    ruleset = _checked(_call(_LANDLOCK_CREATE, ctypes.byref(rules), ctypes.c_size_t(size), 0), "a Landlock ruleset")
    for path in readable:
        _allow(ruleset, path, _READ_FILE | (_READ_FOLDER if os.path.isdir(path) else 0))
    for path in devices:
        _allow(ruleset, path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & handled)
    _allow(ruleset, scratch, handled & ~_MAKE_DEVICE_OR_SOCKET)
    _checked(_call(_LANDLOCK_RESTRICT, ruleset, 0), "Landlock")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    folder = os.open(path, os.O_PATH | os.O_CLOEXEC)
    rule = _PathRule(rights=rights, folder=folder)
    _checked(_call(_LANDLOCK_ADD, ruleset, 1, ctypes.byref(rule), 0), f"a Landlock rule for {path}")
    os.close(folder)


def _call(number: int, *arguments: object) -> int:
    _libc.syscall.restype = ctypes.c_long
    return int(_libc.syscall(ctypes.c_long(number), *arguments))


def _checked(result: int, what: str) -> int:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
