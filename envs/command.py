"""What all commands share: reading arguments, `--help`, one-line errors and exit codes.

Exit codes: 0 done, 1 the command itself found a failure or the system refused it something, 2 bad input, 130 stopped by
Ctrl-C or SIGTERM, 141 nobody reads the output any more (`| head`).
"""

from __future__ import annotations

import errno
import os
import select
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, TypeVar

from envs.config import load
from envs.config_help import help_text
from envs.errors import InputError, KeystoneError, shortened, unknown
from envs.installation import check_packages
from envs.progress import shown

T = TypeVar("T")
_HELP = ("-h", "--help")


def run_command(
    program: str,
    schema: type[T],
    main: Callable[[T], int | None],
    *,
    description: str,
    argv: Sequence[str] | None = None,
    several: bool = False,
    expand: Callable[[list[str]], list[str]] | None = None,
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
        expand: puts arguments in front of those that were typed, which win over them.

    Returns:
        The exit code, for `sys.exit`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    rest = [word for word in arguments if word not in _HELP]

    def work() -> int:
        if not several:
            _check_alone(program)
        check_packages()
        if rest != arguments:
            print(help_text(program, schema, rest, description), flush=True)
            return 0
        words = expand(rest) if expand is not None else rest
        with shown():
            code = main(load(schema, words)) or 0
        sys.stdout.flush()
        return code

    return _exit_code(work)


@dataclass(frozen=True)
class Action:
    """One of the things that a command with actions does.

    Attributes:
        schema: its configuration class.
        main: does it.
        description: what it does, for `--help`.
        word: the key that a word without `=` behind the action stands for; empty if it takes none.
        expand: puts arguments in front of those that were typed.
    """

    schema: type[Any]
    main: Callable[[Any], int | None]
    description: str
    word: str = ""
    expand: Callable[[list[str]], list[str]] | None = None


def run_actions(
    program: str, actions: Mapping[str, Action], *, description: str, argv: Sequence[str] | None = None
) -> int:
    """Runs a command whose first word says what it does: `program add FILE key=value`.

    Args:
        program: how the command is called, for example "python -m evals.leaderboard".
        actions: what it can do, by name. Without a word the first of them is done.
        description: what the command is for, for `--help`.
        argv: the arguments; those of the process if None.

    Returns:
        The exit code, for `sys.exit`.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in _HELP:
        print(_actions_help(program, actions, description), flush=True)
        return 0
    name = next(iter(actions))
    if arguments and "=" not in arguments[0] and not arguments[0].startswith("-"):
        name = arguments.pop(0)
    if name not in actions:
        given = name

        def refuse() -> int:
            raise unknown(f"action of {program}:", given, actions)

        return _exit_code(refuse)
    action = actions[name]
    words = [
        f"{action.word}={word}" if action.word and "=" not in word and not word.startswith("-") else word
        for word in arguments
    ]
    return run_command(
        f"{program} {name}" + (f" [{action.word.upper()}]" if action.word else ""),
        action.schema,
        action.main,
        description=action.description,
        argv=words,
        expand=action.expand,
    )


def _actions_help(program: str, actions: Mapping[str, Action], description: str) -> str:
    rows = [
        textwrap.fill(action.description, 100, initial_indent=f"  {name:<10}", subsequent_indent=" " * 12)
        for name, action in actions.items()
    ]
    first = next(iter(actions))
    closing = f"Without an action: {first}. The keys of an action: {program} {first} --help"
    return "\n".join(
        [f"usage: {program} [action] [key=value ...]", "", textwrap.fill(description, 100), "", *rows, "", closing]
    )


def _exit_code(work: Callable[[], int]) -> int:
    """Does a command's work; says in one line what ended it early."""
    try:
        with _cleaning_up():
            return work()
    except KeystoneError as error:
        whose = "" if launched_rank() == 0 else f"process {launched_rank()}: "
        print(f"{whose}error: {' '.join(str(error).split())}", file=sys.stderr)
        return 2 if isinstance(error, InputError) else 1
    except KeyboardInterrupt as stop:
        print(f"stopped by {str(stop) or 'Ctrl-C'}.", file=sys.stderr)
        return 130
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _output_is_closed():
            _give_up_output()
            return 141
        whose = f": {shortened(str(error.filename), 300)!r}" if error.filename is not None else ""
        print(f"error: {' '.join(str(error.strerror or error).split())}{whose}.", file=sys.stderr)
        try:
            sys.stdout.flush()
        except OSError:
            _give_up_output()
        return 2 if error.errno == errno.ENAMETOOLONG else 1


@contextmanager
def _cleaning_up() -> Iterator[None]:
    """Lets SIGTERM end the work as Ctrl-C does, so that its workers and unfinished files are put away.

    `timeout`, Slurm and Docker stop a program with it, and Python by itself ends there and then.
    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signal.Signals(number).name)

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


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


def _give_up_output() -> None:
    """Nothing can be printed any more, but Python flushes the output once more when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _output_is_closed() -> bool:
    pipe = select.poll()
    pipe.register(sys.stdout.fileno(), 0)
    return any(event & select.POLLERR for _, event in pipe.poll(0))
