"""Data sets of the Hugging Face hub, which the package `datasets` (an extra) downloads or finds in its cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from envs.errors import InputError, MissingExtraError, shortened

NAMES_OF_SPLITS = {"train": ("train",), "valid": ("validation", "valid", "dev"), "test": ("test",)}
"""What data sets call the splits."""
_UNREACHABLE = (
    "there is no file or folder {!r}, and the Hugging Face hub, where a data set may have that name, cannot be reached."
    " HF_HUB_OFFLINE=1 takes what was downloaded before."
)


def load(name: str, subset: str = "") -> Any:  # noqa: ANN401 - a data set or several, of a package without types
    """Loads a data set by its name on the hub, or by the folder of one saved with `save_to_disk`.

    Args:
        name: `openai/gsm8k`, or a folder's path.
        subset: its configuration, `main`, if it has several.

    Returns:
        Its splits by their names, or the one data set of a folder.

    Raises:
        MissingExtraError: the package `datasets` is not installed.
        InputError: it cannot be loaded, or the hub cannot be reached.
    """
    try:
        import datasets
    except ImportError:
        raise MissingExtraError(
            f"data={shortened(name)}: data sets of the Hugging Face hub need the package 'datasets': pip install"
            " 'keystone-rl[datasets]'"
        ) from None
    folder = Path(name).expanduser()
    try:
        if folder.is_dir():
            return datasets.load_from_disk(str(folder))
        _check_there(name)
        return datasets.load_dataset(name, subset or None)
    except InputError:
        raise
    except Exception as error:  # errors of a dozen packages; whichever it is, the data set is not there
        first = shortened(str(error).partition("\n")[0], 200)
        raise InputError(f"the data set {name!r} cannot be loaded: {type(error).__name__}: {first}") from None


def _check_there(name: str) -> None:
    """Asks for a data set once, because loading it would retry for minutes where the hub cannot be reached."""
    from huggingface_hub import HfApi, constants
    from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

    if constants.HF_HUB_OFFLINE:
        return
    try:
        HfApi().dataset_info(name, timeout=10)
    except RepositoryNotFoundError:
        raise InputError(f"there is no file or folder {name!r}, and no data set of that name on the hub.") from None
    except HfHubHTTPError as error:
        said = shortened(str(error).partition("\n")[0], 200)
        raise InputError(f"the hub refuses the data set {name!r}: {said}") from None
    except OSError:
        raise InputError(_UNREACHABLE.format(name)) from None
    except Exception as error:
        # Its HTTP library has errors of its own for no connection, by version.
        if type(error).__module__.partition(".")[0] in ("httpx", "httpcore", "requests"):
            raise InputError(_UNREACHABLE.format(name)) from None
        raise
