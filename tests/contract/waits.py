"""Calls that may wait for ever, found in source text.

What is looked for: waiting for processes, threads, futures, queues, locks, sockets, pipes, servers, other ranks and
people, where the call names no deadline; and loops that sleep until something happens. Names are enough: a method
called `wait` waits, whatever it belongs to. Left out: files, which answer at once, and computing.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

# Without any argument these wait for ever; with one they have a deadline (or are something else, as `"".join(parts)`).
_WITHOUT_ARGUMENTS = {"accept", "acquire", "exception", "get", "join", "result", "select", "wait"}
# These wait for ever unless `timeout=` is given, whatever else is.
_WITHOUT_TIMEOUT = {
    *("as_completed", "call", "check_call", "check_output", "communicate", "connect", "create_connection", "run"),
    *("map", "urlopen", "HTTPConnection", "HTTPSConnection", "init_process_group", "new_group", "monitored_barrier"),
}
# Of these the call itself does not show how long they take.
_ALWAYS = {
    *("flock", "lockf", "wait4", "waitid", "waitpid", "pause", "sigwait", "input", "serve_forever", "handle_request"),
    *("recv", "recv_bytes", "recv_fds", "recv_into", "recvfrom", "recvmsg", "sendall", "send_fds", "makefile"),
    *("all_gather", "all_gather_object", "all_reduce", "all_to_all", "barrier", "broadcast", "broadcast_object_list"),
    *("gather_object", "reduce_scatter", "scatter_object_list", "init_device_mesh", "getaddrinfo", "gethostbyname"),
    *("Lock", "RLock", "Condition", "Semaphore", "BoundedSemaphore", "Barrier"),
    *("ThreadPoolExecutor", "ProcessPoolExecutor", "shutdown"),
    *("load_dataset", "snapshot_download", "hf_hub_download"),
    *("system", "getoutput", "getstatusoutput"),
}
# Their functions of these names, with the same rule as `_WITHOUT_TIMEOUT`.
_OF_MODULES = {"ray": {"get", "wait"}, "connection": {"wait"}, "futures": {"wait"}, "asyncio": {"run", "wait"}} | {
    # httpx has a deadline by itself.
    "requests": {"delete", "get", "head", "patch", "post", "put", "request"}
}
_NEEDS_OWNER = {"call": "subprocess", "run": "subprocess"}
# In modules that hold pipes or sockets these may be theirs.
_OF_PIPES = {"read", "read1", "readline", "readlines", "write", "writelines"}
_PIPES = {"select", "selectors", "socket", "subprocess"}
_STREAMS = {"stdin", "stdout", "stderr"}


class Wait(NamedTuple):
    """A call that may wait for ever.

    Attributes:
        function: its function's qualified name, "" at a module's top.
        call: what is called.
        line: where.
        number: which of its function's calls of that name it is, from 1.
    """

    function: str
    call: str
    line: int
    number: int = 1

    @property
    def key(self) -> str:
        """What it is called in the table."""
        number = f" {self.number}" if self.number > 1 else ""
        return f"{self.function} {self.call}{number}".strip()


def waits(source: str) -> list[Wait]:
    """Finds them in a module.

    Args:
        source: its text.
    """
    seen: Counter[tuple[str, str]] = Counter()
    numbered = []
    for wait in _Finder(ast.parse(source)).found():
        seen[wait[:2]] += 1
        numbered.append(wait._replace(number=seen[wait[:2]]))
    return numbered


class _Finder:
    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        names = [name for node in ast.walk(tree) for name in _imported(node)]
        self._has_pipes = bool(_PIPES & set(names))

    def found(self) -> Iterator[Wait]:
        yield from self._below(self._tree, "", looping=False)

    def _below(self, node: ast.AST, function: str, looping: bool) -> Iterator[Wait]:
        for child in ast.iter_child_nodes(node):
            inner, loops = function, looping or isinstance(child, ast.While)
            if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                inner, loops = f"{function}.{child.name}".lstrip("."), False
            if isinstance(child, ast.Call) and self._may_wait(child, looping):
                yield Wait(function, _name(child), child.lineno)
            for call in _entered(child):
                yield Wait(function, call, getattr(child, "lineno", 0))
            yield from self._below(child, inner, loops)

    def _may_wait(self, call: ast.Call, looping: bool) -> bool:
        name, owner = _name(call), _owner(call)
        keywords = {keyword.arg for keyword in call.keywords}
        if name == "sleep":
            return looping
        if name in _OF_MODULES.get(owner, ()):
            return "timeout" not in keywords and len(call.args) < 2
        if name in _WITHOUT_ARGUMENTS and _says_nothing(call.args) and not keywords & {"timeout", "blocking", "block"}:
            return isinstance(call.func, ast.Attribute)
        if name == "select" and owner == "select":
            return len(call.args) < 4
        if name in _WITHOUT_TIMEOUT and owner == _NEEDS_OWNER.get(name, owner):
            # The builtin `map` and classes of that name wait for nothing.
            return "timeout" not in keywords and (name != "map" or isinstance(call.func, ast.Attribute))
        if name in _ALWAYS:
            given = ast.unparse(call)
            return not any(sign in given for sign in ("LOCK_NB", "WNOHANG", "wait=False"))
        if owner == "os" and name in {"read", "write"}:
            return True
        return self._has_pipes and name in _OF_PIPES and isinstance(call.func, ast.Attribute)


def _says_nothing(arguments: list[ast.expr]) -> bool:
    """Whether what is given is no deadline: `wait(None)`, `get(True)`."""
    return all(isinstance(value, ast.Constant) and (value.value is None or value.value is True) for value in arguments)


def _entered(node: ast.AST) -> Iterator[str]:
    """What waits without a call of its own: leaving `with Popen(...)`, and taking lines from a pipe."""
    if isinstance(node, ast.With):
        calls = [item.context_expr for item in node.items if isinstance(item.context_expr, ast.Call)]
        yield from (name for name in map(_name, calls) if name == "Popen")
    if (
        isinstance(node, ast.For | ast.comprehension)
        and isinstance(node.iter, ast.Attribute)
        and node.iter.attr in _STREAMS
    ):
        yield node.iter.attr


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [node.module or ""] if isinstance(node, ast.ImportFrom) else []


def _name(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _owner(call: ast.Call) -> str:
    """The last word before the name: `select` in `select.select`, `_connection` in `self._connection.recv`."""
    if not isinstance(call.func, ast.Attribute):
        return ""
    value = call.func.value
    return value.attr if isinstance(value, ast.Attribute) else value.id if isinstance(value, ast.Name) else ""


def modules(root: Path) -> Iterator[tuple[str, str]]:
    """Path and text of every module of the four packages."""
    for package in ("envs", "agents", "evals", "training"):
        for path in sorted((root / package).rglob("*.py")):
            yield path.relative_to(root).as_posix(), path.read_text(encoding="utf-8")
