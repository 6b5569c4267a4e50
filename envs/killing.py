"""Ends a child process for good, without waiting for ever for one that the kernel does not let go; names signals."""

from __future__ import annotations

import logging
import signal
import subprocess

SECONDS = 10.0
"""How long a killed process may take until it is gone; past it, it hangs in the kernel or a debugger holds it."""
_LOGGER = logging.getLogger("keystone.processes")


def signal_name(number: int) -> str:
    """What a signal is called: "SIGKILL"; "signal 40" where it has no name, as most real-time ones."""
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def kill(process: subprocess.Popen[bytes], name: str, seconds: float = SECONDS) -> None:
    """Kills a process and waits until it is gone, or says that it is not and leaves it to the system.

    Args:
        process: the process; one that has ended already does no harm.
        name: what it is called in the warning.
        seconds: how long it may take.
    """
    process.kill()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        _LOGGER.warning(
            "%s (process %d) is still there %g s after it was killed, and is left to the system: it hangs in the "
            "kernel, or a debugger holds it.",
            name,
            process.pid,
            seconds,
        )
