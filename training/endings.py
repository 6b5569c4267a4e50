"""How a run ends when the machine fails it: in one line that says what happened, what is left and how to go on."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agents.policies.synced import SyncError
from envs.errors import ExhaustedError, StorageError

_STORAGE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EFBIG, errno.EIO, errno.EMFILE, errno.ENFILE)
# PyTorch's allocators raise plain RuntimeErrors on the CPU.
_MEMORY = ("not enough memory", "out of memory", "can't allocate memory", "cannot allocate memory")


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """Says how to go on where the disk, the memory or an impatient person has ended a run.

    Args:
        folder: the run's folder.

    Raises:
        StorageError: something cannot be written.
        SyncError: the engine that samples is gone, or has other weights.
        ExhaustedError: there was not enough memory.
        SystemExit: Ctrl-C, where nothing listens for it yet or a second time; with code 130.
    """
    command = f"python -m training.run resume={folder}"
    go_on = f"What was written before is whole; go on with: {command}"
    try:
        yield
    except KeyboardInterrupt:
        print(f"stopped. Go on with: {command}", flush=True)
        raise SystemExit(130) from None
    except (StorageError, SyncError) as error:
        raise type(error)(f"{error} {go_on}") from error
    except OSError as error:
        if error.errno not in _STORAGE:
            raise
        raise StorageError(f"{error.filename or 'the disk'}: {error.strerror}. {go_on}") from error
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(sign in str(error).lower() for sign in _MEMORY):
            raise
        why = str(error).strip().splitlines()
        raise ExhaustedError(
            f"out of memory ({why[0] if why else 'no more could be had'}). A smaller train.micro_batch_tokens= or "
            f"train.groups= needs less. {go_on}"
        ) from error
