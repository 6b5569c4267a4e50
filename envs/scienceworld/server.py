"""The Java process that simulates ScienceWorld: started, watched and stopped here.

The `scienceworld` package starts Java without a deadline, talks to it without one, and leaves it to the garbage
collector. Here the process is started with the package's own simulator and py4j's gateway, on a free port that only
this process has the key to. Every call has a deadline; a process that is late, dead or broken is killed, and the
error says which. It also ends by itself when the pipe to it closes, so it outlives this process in no case.

The simulator (release 1.2.3) goes through sets in an order that depends on the addresses of objects: the same commands
in the same task do not always end the same (a later release orders them). Java is told to give all objects the
same hash, after which sets keep the order in which they were filled; a test compares processes. Left out: callbacks
from Java, which the simulator does not use.
"""

from __future__ import annotations

import hashlib
import logging
import os
import selectors
import shutil
import subprocess
import tempfile
import threading
import time
import weakref
from functools import cache
from pathlib import Path
from typing import IO, Any

from envs.errors import KeystoneError, MissingExtraError, shortened
from envs.killing import kill

_OPTIONS = (
    "-XX:+IgnoreUnrecognizedVMOptions",
    "-XX:+UnlockExperimentalVMOptions",
    "-XX:hashCode=2",
    "-XX:+UseSerialGC",
    "-Xmx512m",
)
_MOMENT = 0.5


class ServerError(KeystoneError, RuntimeError):
    """The Java process is late, dead or broken. It has been killed; the next `reset` starts another."""


def find_java() -> str:
    """Returns the path of Java, from $JAVA_HOME or the search path.

    Raises:
        MissingExtraError: there is none.
    """
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=str(Path(home) / "bin")) if home else shutil.which("java")
    if java is None:
        where = f"JAVA_HOME={home}" if home else "the search path"
        raise MissingExtraError(
            f"env=scienceworld needs Java, and {where} has none. Install it (on Debian and Ubuntu: apt-get install"
            " default-jre-headless) or set JAVA_HOME."
        )
    return java


def find_simulator() -> str:
    """Returns Java's class path: the simulator and py4j's gateway.

    Raises:
        MissingExtraError: the package is not installed.
    """
    try:
        from py4j.java_gateway import find_jar_path
        from scienceworld.constants import JAR_PATH
    except ImportError as error:
        raise MissingExtraError(
            f"env=scienceworld needs ScienceWorld ({error}). Install it: pip install 'keystone-rl[scienceworld]'"
        ) from error
    return os.pathsep.join((find_jar_path(), JAR_PATH))


@cache
def simulator_sha256() -> str:
    """Returns the hash of the package's simulator.

    Raises:
        MissingExtraError: the package is not installed.
    """
    return hashlib.sha256(Path(find_simulator().rpartition(os.pathsep)[2]).read_bytes()).hexdigest()


class Server:
    """One Java process with one simulator.

    Attributes:
        pid: the process's number.
    """

    def __init__(self, deadline: float) -> None:
        """Starts Java.

        Args:
            deadline: seconds that it may take to start, and each call to be answered.

        Raises:
            MissingExtraError: Java or the package is missing.
            ServerError: Java does not start, or not in time.
        """
        command = [find_java(), *_OPTIONS, "-cp", find_simulator(), "py4j.GatewayServer"]
        # The simulator writes a table of its object types to wherever it is started.
        scratch = tempfile.mkdtemp(prefix="keystone-scienceworld-")
        self._deadline = deadline
        self._process = subprocess.Popen(
            [*command, "--die-on-broken-pipe", "--enable-auth", "0"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=scratch,
            # Ctrl-C is for the program, which then stops Java in its own way.
            start_new_session=True,
        )
        self._stop = weakref.finalize(self, _stop, self._process, scratch, os.getpid())
        self.pid = self._process.pid
        self._gateway: Any = None
        port, key = self._greeting()
        self._connect(port, key)

    def call(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - what the simulator returns
        """Calls a method of the simulator.

        Args:
            name: of the method, of `scienceworld.runtime.pythonapi.PythonInterface`.
            *arguments: texts, numbers and truth values.

        Returns:
            What it returns, a Java list as a list.

        Raises:
            ServerError: it is not answered in time or the process is dead.
        """
        from py4j.java_collections import JavaList
        from py4j.protocol import Py4JError

        started = time.monotonic()
        try:
            answer = getattr(self._simulator, name)(*arguments)
            if isinstance(answer, JavaList):
                content = list(answer)
                self._gateway.detach(answer)
                return content
            return answer
        except (Py4JError, OSError) as error:
            late = time.monotonic() - started >= self._deadline
            raise self._failed(f"to {name}", error, late) from error

    @property
    def started(self) -> bool:
        """Whether it has not been stopped, by `close` or for a failure."""
        return self._stop.alive

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self.started and self._process.poll() is None

    def close(self) -> None:
        """Ends the process; again does nothing."""
        if self._gateway is not None:
            self._gateway.close()
            self._gateway = None
        self._stop()

    def _greeting(self) -> tuple[int, str]:
        """Reads the port and the key that the gateway prints first."""
        output: IO[bytes] = self._process.stdout  # type: ignore[assignment]
        until, said = time.monotonic() + self._deadline, b""
        os.set_blocking(output.fileno(), False)
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while said.count(b"\n") < 2:
                ready = selector.select(max(until - time.monotonic(), 0))
                part = output.read() if ready else None
                if not part:
                    raise self._failed("at the start", None, late=not ready)
                said += part
        os.set_blocking(output.fileno(), True)
        # The simulator prints what it does; somebody must read it, or it waits for room in the pipe.
        threading.Thread(target=_drain, args=(output,), daemon=True).start()
        port, key = said.decode("ascii", "replace").split("\n")[:2]
        if not port.isdigit():
            raise self._failed("at the start", None, late=False)
        return int(port), key.strip()

    def _connect(self, port: int, key: str) -> None:
        from py4j import java_gateway
        from py4j.java_gateway import GatewayParameters, JavaGateway
        from py4j.protocol import Py4JError

        # What py4j raises it also logs, some of it to the root logger, which prints it.
        java_gateway.logging = logging.getLogger("py4j")
        java_gateway.logging.setLevel(logging.CRITICAL + 1)
        # Left to itself py4j lets go of Java's objects from finalizers, which may run when Java is long dead.
        parameters = GatewayParameters(
            port=port, auth_token=key, read_timeout=self._deadline, enable_memory_management=False
        )
        self._gateway = JavaGateway(gateway_parameters=parameters)
        try:
            self._simulator = self._gateway.jvm.scienceworld.runtime.pythonapi.PythonInterface()
        except (Py4JError, OSError) as error:
            raise self._failed("at the start", error, late=False) from error

    def _failed(self, where: str, error: Exception | None, late: bool) -> ServerError:
        """Kills the process and says what was wrong with it."""
        try:
            # A connection breaks a moment before the process that died can be asked for its exit code.
            code = self._process.poll() if late else self._process.wait(_MOMENT)
        except subprocess.TimeoutExpired:
            code = None
        # Java is asked what its exception says, so it must still be there.
        said = str(error) if code is None and not late else ""
        self.close()
        if code is not None:
            what = f"died (exit code {code})"
        elif late:
            what = f"did not answer {where} in {self._deadline:g} seconds and was killed"
        else:
            line = next((line for line in said.splitlines() if "Exception" in line), said)
            what = f"failed {where} ({shortened(line.strip(' :'), 200)}) and was ended"
        return ServerError(f"ScienceWorld's Java process {what}. The next reset starts another.")


def _drain(output: IO[bytes]) -> None:
    with output:
        while output.read(1 << 16):
            pass


def _stop(process: subprocess.Popen[bytes], scratch: str, owner: int) -> None:
    """Ends Java, which has nothing to save. A fork of the program that started it leaves it alone."""
    if os.getpid() == owner:
        kill(process, "ScienceWorld's Java process")
        process.stdin.close()  # type: ignore[union-attr]
        shutil.rmtree(scratch, ignore_errors=True)
