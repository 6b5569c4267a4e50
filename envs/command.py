"""What all commands share: reading arguments, `--help`, one-line errors and exit codes.

Exit codes: 0 done, 1 the command itself found a failure, 2 bad input, 130 stopped by Ctrl-C, 141 nobody reads the
output any more (`| head`).
"""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

from envs.config import load
from envs.config_help import help_text
from envs.errors import InputError
from envs.installation import check_packages
from envs.progress import shown

T = TypeVar("T")


def run_command(
    program: str,
    schema: type[T],
    main: Callable[[T], int | None],
    *,
    description: str,
    argv: Sequence[str] | None = None,
) -> int:
    """Runs a command.

    Args:
        program: how the command is called, for example "python -m envs.list".
        schema: its configuration class.
        main: the command; it gets the checked configuration, and imports what is slow to import only then. It
            returns its exit code, None for 0.
        description: what the command does, for `--help`.
        argv: the arguments; those of the process if None.

    Returns:
        The exit code, for `sys.exit`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    rest = [word for word in arguments if word not in ("-h", "--help")]
    try:
        check_packages()
        if rest != arguments:
            print(help_text(program, schema, rest, description), flush=True)
            return 0
        with shown():
            code = main(load(schema, rest)) or 0
        sys.stdout.flush()
        return code
    except InputError as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped by Ctrl-C.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        if not _output_is_closed():
            raise
        # Python flushes the output once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def _output_is_closed() -> bool:
    pipe = select.poll()
    pipe.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in pipe.poll(0))
