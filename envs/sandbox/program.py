"""Runs one program in the process that was forked for it. Inside the sandbox, with nothing but the standard library."""

from __future__ import annotations

import atexit
import contextlib
import linecache
import os
import random
import sys
import threading
import traceback
import types
from typing import NoReturn

FILE = "program.py"
"""What programs are called in tracebacks."""
_PROGRAM = 3


def be_program(entry: str) -> NoReturn:
    """Runs the program whose text file descriptor 3 holds, and ends as an interpreter does."""
    code = 1
    try:
        with open(_PROGRAM, encoding="utf-8", errors="replace") as file:
            source = file.read()
        # The same draws in every run, whatever the worker was like when it was started.
        random.seed(0)
        if entry:
            sys.modules[entry].main(source)
            code = 0
        else:
            code = _run_plain(source)
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    except BaseException:
        # Nothing may go on with the worker's own code; what happened is for the program's reader.
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        with contextlib.suppress(BaseException):
            sys.stderr.flush()
        os._exit(code)


def _run_plain(source: str) -> int:
    """Runs a program as `python program.py` does. Returns its exit code."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "envs"]:
        del sys.modules[name]
    main_module = types.ModuleType("__main__")
    sys.modules["__main__"] = main_module
    sys.argv = [FILE]
    linecache.cache[FILE] = (len(source), None, source.splitlines(keepends=True), FILE)
    try:
        exec(compile(source, FILE, "exec"), main_module.__dict__)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    except BaseException as error:
        # As the interpreter does, for whatever a program may raise; the first frame is this function's.
        trace = error.__traceback__.tb_next if error.__traceback__ else None
        traceback.print_exception(type(error), error, trace)
        return 1
    return 0
