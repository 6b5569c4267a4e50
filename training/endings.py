"""How a run ends when the machine fails it: in one line that says what happened, what is left and how to go on."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.policies.synced import SyncError
from envs.command import launched
from envs.errors import ExhaustedError, InputError, StorageError, first_line, is_out_of_memory
from envs.files import expanded
from training.heartbeat import LostProcessError, broken

_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE)
# What torch.distributed says of a process that is gone.
_BROKEN = ("gloo", "nccl", "connection closed by peer", "connection reset by peer")


@contextmanager
def told(folder: Path, data: str = "") -> Iterator[None]:
    """Says how to go on where the disk, the memory, data that is gone or an impatient person has ended a run.

    Args:
        folder: the run's folder.
        data: the files that its world reads, if any.

    Raises:
        StorageError: something cannot be written, or the data is there no more.
        SyncError: the engine that samples is gone, or has other weights.
        ExhaustedError: there was not enough memory.
        LostProcessError: another process of the training is gone or stopped.
        SystemExit: Ctrl-C, where nothing listens for it yet or a second time; with code 130.
    """
    command = f"python -m training.run resume={folder}"
    go_on = f"What was written before is whole; go on with: {command}"
    given = expanded(data)
    there = bool(data) and os.path.exists(given)
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped. Go on with: {command}", flush=True)
        raise SystemExit(130) from None
    except (StorageError, SyncError, LostProcessError) as error:
        raise type(error)(f"{error} {go_on}") from error
    except (InputError, OSError) as error:
        if there and not os.path.exists(given):
            raise StorageError(
                f"data={data} is gone ({str(error).rstrip('.')}). What was written before is whole; once it is back, "
                f"go on with: {command}"
            ) from error
        if not isinstance(error, OSError) or error.errno not in _STORAGE:
            raise
        raise StorageError(f"{error.filename or 'the disk'}: {error.strerror}. {go_on}") from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and launched() > 1 and any(sign in str(error).lower() for sign in _BROKEN):
            # Met where gradients are exchanged, whose group has a time limit of its own.
            raise LostProcessError(f"{broken(error)} {go_on}") from error
        if not is_out_of_memory(error):
            raise
        why = first_line(error) if str(error).strip() else "no more could be had"
        raise ExhaustedError(
            f"out of memory ({why}). A smaller train.micro_batch_tokens= or train.groups= needs less. {go_on}"
        ) from error
