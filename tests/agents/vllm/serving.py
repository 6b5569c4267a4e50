"""A real vLLM server in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from tests.agents.vllm.tiny import CONTEXT

OPTIONS = [
    *("--logprobs-mode", "processed_logprobs", "--weight-transfer-config", '{"backend": "keystone"}'),
    *("--worker-extension-cls", "agents.policies.vllm.worker.Extension"),
    *("--dtype", "float32", "--enforce-eager", "--max-model-len", str(CONTEXT), "--block-size", "32"),
]


class Server(NamedTuple):
    """A vLLM server in a process of its own."""

    process: subprocess.Popen[bytes]
    url: str


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@contextmanager
def serving(folder: Path, port: int) -> Iterator[Server]:
    """Starts a server and ends it afterwards.

    Args:
        folder: of the model.
        port: that it listens on.
    """
    # Without it one small function of the sampler is compiled, which takes half a minute.
    quick = {"TORCHDYNAMO_DISABLE": "1", "VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    settings = {"VLLM_SERVER_DEV_MODE": "1", "VLLM_NO_USAGE_STATS": "1", "PYTHONPATH": str(Path(__file__).parents[3])}
    # `vllm serve` looks for the metadata of a package named vllm, which the CPU build is not.
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", str(folder)]
    with (folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), *OPTIONS],
            env=os.environ | quick | settings,
            stdout=log,
            stderr=subprocess.STDOUT,
            cwd=folder,
            start_new_session=True,
        )
    try:
        address = f"http://127.0.0.1:{port}"
        _wait(address, process, folder / "log")
        yield Server(process, address)
    finally:
        process.terminate()
        process.wait(30)
        # The engine of a server that was killed lives on.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _wait(address: str, server: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(900):
        assert server.poll() is None, log.read_text()[-3000:]
        try:
            urllib.request.urlopen(f"{address}/health", timeout=5)
        except OSError:
            time.sleep(1)
        else:
            return
    raise AssertionError(log.read_text()[-3000:])
