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
from envs.errors import InputError, KeystoneError
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
    several: bool = False,
) -> int:
    """Runs a command.

    Args:
        program: how the command is called, for example "python -m envs.list".
        schema: its configuration class.
        main: the command; it gets the checked configuration, and imports what is slow to import only then. It
            returns its exit code, None for 0.
        description: what the command does, for `--help`.
        argv: the arguments; those of the process if None.
        several: whether a launcher may start it as several processes that work together.

    Returns:
        The exit code, for `sys.exit`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    rest = [word for word in arguments if word not in ("-h", "--help")]
    try:
        if not several:
            _check_alone(program)
        check_packages()
        if rest != arguments:
            print(help_text(program, schema, rest, description), flush=True)
            return 0
        with shown():
            code = main(load(schema, rest)) or 0
        sys.stdout.flush()
        return code
    except KeystoneError as error:
        whose = "" if launched_rank() == 0 else f"process {launched_rank()}: "
        print(f"{whose}error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt:
        print("stopped by Ctrl-C.", file=sys.stderr)
        return 130
    except BrokenPipeError:
        if not _output_is_closed():
            raise
        # Python flushes the output once more when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141


def launched() -> int:
    """Number of processes that `accelerate launch` or `torchrun` started, this one among them; 1 without a launcher."""
    return int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1


def launched_rank() -> int:
    """This process's number among them, from 0."""
    return int(os.environ["RANK"]) if launched() > 1 else 0


def _check_alone(program: str) -> None:
    if launched() > 1:
        raise InputError(
            f"{program} was launched as {launched()} processes, but it runs as one. python -m training.run and "
            "GroupTrainer train on several."
        )


def _output_is_closed() -> bool:
    pipe = select.poll()
    pipe.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in pipe.poll(0))
