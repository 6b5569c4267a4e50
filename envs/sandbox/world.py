"""The files that exist inside a sandbox, and how they are put there without bubblewrap.

There is Python's standard library, the system's shared libraries, four devices and nothing else: no /proc, no /sys, no
programs, no installed packages, no home. Every program adds a fresh folder of its own, `SCRATCH`.

`visible` is called outside; `enter` runs inside a worker and needs nothing but the standard library.
"""

from __future__ import annotations

import os
import sys
import sysconfig
from typing import TypedDict

from envs.sandbox import kernel

SCRATCH = "/tmp"
_LIBRARIES = ("/lib", "/lib64", "/usr/lib", "/usr/lib64")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_FORMER = "/former"


class World(TypedDict):
    """The files of a sandbox.

    Attributes:
        python: the interpreter.
        readable: folders and files that can be read, at their own places.
        hidden: folders below those that appear empty.
        links: symbolic links, from their paths to what they hold.
        devices: devices.
    """

    python: str
    readable: list[str]
    hidden: list[str]
    links: dict[str, str]
    devices: list[str]


def visible() -> World:
    """Finds the files that this Python needs."""
    python = os.path.realpath(sys.executable)
    prefix = os.path.realpath(sys.base_prefix)
    libraries = [path for path in _LIBRARIES if os.path.isdir(path) and not os.path.islink(path)]
    own = [path for path in (f"{prefix}/lib", f"{prefix}/lib64") if os.path.isdir(path) and not os.path.islink(path)]
    candidates = [*own, *libraries, python, "/etc/ld.so.cache"]
    stdlib = os.path.realpath(sysconfig.get_path("stdlib"))
    packages = [f"{stdlib}/site-packages", f"{stdlib}/dist-packages", "/usr/lib/python3/dist-packages"]
    return World(
        python=python,
        readable=[path for path in dict.fromkeys(candidates) if os.path.exists(path)],
        hidden=[path for path in packages if os.path.isdir(path)],
        links={path: os.readlink(path) for path in _LIBRARIES if os.path.islink(path)},
        devices=[path for path in _DEVICES if os.path.exists(path)],
    )


def enter(world: World) -> None:
    """Makes the world the root of this process, which must be in mount and user namespaces of its own.

    Raises:
        OSError: the kernel refuses.
    """
    kernel.mount("none", "/", flags=kernel.MOUNT_RECURSIVE | kernel.MOUNT_PRIVATE)
    kernel.mount("tmpfs", SCRATCH, "tmpfs", kernel.MOUNT_NOSUID | kernel.MOUNT_NODEV, "mode=755")
    os.mkdir(SCRATCH + _FORMER)
    kernel.change_root(SCRATCH, SCRATCH + _FORMER)
    for path in (*world["readable"], *world["devices"]):
        _show(path)
    for path in world["hidden"]:
        kernel.mount("tmpfs", path, "tmpfs", kernel.MOUNT_NOSUID | kernel.MOUNT_NODEV, "mode=755")
    for path, content in world["links"].items():
        os.symlink(content, path)
    os.mkdir(SCRATCH)
    kernel.unmount(_FORMER)
    os.rmdir(_FORMER)
    kernel.make_read_only("/")


def _show(path: str) -> None:
    if os.path.isdir(_FORMER + path):
        os.makedirs(path, exist_ok=True)
    elif not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o644))
    kernel.mount(_FORMER + path, path, flags=kernel.MOUNT_BIND | kernel.MOUNT_RECURSIVE)
