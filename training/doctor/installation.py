"""Checks of Python and of what is installed: interpreter, shadowed packages, versions and extras.

The known-good versions are those of `constraints.txt`, the ranges those of `pyproject.toml`; whether installed packages
accept each other is asked of their own metadata. Only the standard library is imported at the top: `shadowed` and
`interpreter` must work where nothing else does.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from training.doctor.findings import Finding

if TYPE_CHECKING:
    from packaging.requirements import Requirement

REPOSITORY = Path(__file__).resolve().parents[2]
OURS = ("envs", "agents", "evals", "training")
DISTRIBUTION = "keystone-rl"
OLDEST = (3, 11)
# These load beside a PyTorch of exactly their own version only, and Transformers imports them unasked.
_BOUND_TO_TORCH = ("torchvision", "torchaudio", "torchcodec")
_DEVELOPMENT = "dev"
_INSTALL = f"cd {REPOSITORY} && make install"


def interpreter(oldest: tuple[int, int] = OLDEST) -> list[Finding]:
    """Whether this Python is new enough."""
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info[:2] < oldest:
        return [
            Finding(
                "broken",
                f"Python {version} at {sys.executable} is older than {oldest[0]}.{oldest[1]}",
                f"cd {REPOSITORY} && rm -rf .venv && make install PYTHON=python3.11",
            )
        ]
    return [Finding("fine", f"Python {version}, {sys.executable}")]


def shadowed(names: Sequence[str] = OURS, home: Path = REPOSITORY) -> list[Finding]:
    """Whether Python finds Keystone's own packages and not others of the same names.

    Args:
        names: the packages.
        home: the folder that holds ours.
    """
    found = []
    for name in names:
        spec = importlib.util.find_spec(name)
        places = [*(spec.submodule_search_locations or []), spec.origin or ""] if spec else []
        place = Path(places[0]).resolve() if places else None
        if place == home / name:
            continue
        if place is None:
            found.append(Finding("broken", f"Keystone's package {name!r} is not installed", _INSTALL))
        else:
            found.append(_shadow(name, place, home))
    return found or [Finding("fine", f"{', '.join(names)} are Keystone's own, in {home}")]


def _shadow(name: str, place: Path, home: Path) -> Finding:
    what = f"Keystone's package {name!r} is hidden by {place}"
    if place.parent == Path.cwd():
        return Finding("broken", f"{what}, which lies in the current folder", f"cd {home}")
    owners = _others(name, importlib.metadata.packages_distributions())
    if owners:
        remove = f"{sys.executable} -m pip uninstall -y {' '.join(owners)} && {_INSTALL}"
        return Finding("broken", f"{what}, which belongs to {', '.join(owners)}", remove)
    return Finding("broken", f"{what}, which Python's path (PYTHONPATH, .pth files) names first", f"cd {home}")


def _others(name: str, known: Mapping[str, Sequence[str]]) -> list[str]:
    """The distributions that install a package of that name, without our own."""
    return sorted(set(known.get(name, [])) - {DISTRIBUTION})


def namesakes(names: Sequence[str] = (*OURS, "configs")) -> list[Finding]:
    """Whether other distributions bring packages of our names along, though Python may find ours first today."""
    known = importlib.metadata.packages_distributions()
    found = []
    for name in names:
        owners = _others(name, known)
        if owners:
            found.append(
                Finding(
                    "note",
                    f"{', '.join(owners)} also installs a package called {name!r}: which one Python finds depends on"
                    " where it is started",
                    f"{sys.executable} -m pip uninstall -y {' '.join(owners)}",
                )
            )
    return found or [Finding("fine", "no other distribution installs packages of these names")]


def core() -> list[Finding]:
    """Whether the packages of the core are installed, in versions that Keystone takes."""
    if importlib.util.find_spec("packaging") is None:
        what = f"{sys.executable} lacks the packages of the core (packaging, the first that was looked for)"
        return [Finding("broken", what, f"{_INSTALL} && source .venv/bin/activate")]
    wanted, pins = _wanted(), constraints()
    found = [finding for one in wanted[""] if (finding := _compared(one, pins)) is not None]
    broken = [finding for finding in found if finding.level == "broken"]
    if not broken:
        found.append(Finding("fine", f"all {len(wanted[''])} packages of the core are installed, in allowed versions"))
    return found


def _compared(wanted: Requirement, pins: Mapping[str, str], install: str = _INSTALL) -> Finding | None:
    """What is wrong with one requirement; None if it has the version of `constraints.txt`."""
    version, tested = installed(wanted.name), pins.get(_plain(wanted.name), "")
    if version is None:
        return Finding("broken", f"{wanted.name} is not installed", install)
    if not wanted.specifier.contains(version, prereleases=True):
        return Finding("broken", f"{wanted.name} {version} is installed; Keystone takes {wanted.specifier}", install)
    if tested and version.partition("+")[0] != tested:
        mend = f"{sys.executable} -m pip install {wanted.name}=={tested}"
        return Finding("note", f"{wanted.name} {version} is allowed, but {tested} is what the tests run with", mend)
    return None


def combinations() -> list[Finding]:
    """Whether the packages that Keystone uses accept each other's versions."""
    wanted = _wanted()
    names = {_plain(one.name) for requirements in wanted.values() for one in requirements} | set(_BOUND_TO_TORCH)
    found = []
    for name in sorted(names):
        for requirement in _requirements_of(name):
            version = installed(requirement.name)
            # What an optional feature of another package wants is its own affair.
            if version is not None and not requirement.specifier.contains(version, prereleases=True):
                pin = constraints().get(_plain(requirement.name))
                mend = f"{requirement.name}=={pin}" if pin else f"'{requirement.name}{requirement.specifier}'"
                if name in _BOUND_TO_TORCH:
                    mend = f"{sys.executable} -m pip uninstall -y {name}"
                else:
                    mend = f"{sys.executable} -m pip install {mend}"
                what = f"{name} {installed(name)} wants {requirement.name} {requirement.specifier}, here is {version}"
                found.append(Finding("broken", what, mend))
    versions = {name: installed(name) for name in ("torch", "transformers", "trl", "vllm")}
    shown = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
    return found or [Finding("fine", f"installed versions accept each other ({shown})")]


def extras(needed: Mapping[str, str]) -> list[Finding]:
    """Which extras are installed.

    Args:
        needed: the extras that the planned run needs, and what for.
    """
    pins, present, found = constraints(), [], []
    for extra, requirements in _wanted().items():
        if extra in ("", _DEVELOPMENT):
            continue
        install = f'cd {REPOSITORY} && {sys.executable} -m pip install -e ".[{extra}]" -c constraints.txt'
        if extra == "vllm":
            # It pins PyTorch itself, to a build that matches the GPU.
            install = install.removesuffix(" -c constraints.txt")
        problems = [one for wanted in requirements if (one := _compared(wanted, pins, install)) is not None]
        if not problems:
            present.append(extra)
        for problem in problems:
            absent = installed(requirements[0].name) is None
            what = f"[{extra}]: {problem.what}" + (f"; needed for {needed[extra]}" if extra in needed else "")
            level = problem.level if extra in needed or not absent else "note"
            found.append(Finding(level, what, problem.mend))
    return [Finding("fine", f"extras installed: {', '.join(present) or 'none'}"), *found]


def installed(name: str) -> str | None:
    """An installed distribution's version; None if there is none."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def constraints(file: Path = REPOSITORY / "constraints.txt") -> dict[str, str]:
    """The versions that the tests run with, by plain name."""
    lines = (line.split("#")[0].strip() for line in file.read_text(encoding="utf-8").splitlines())
    pairs = (line.partition("==") for line in lines if line)
    return {_plain(name): version for name, _, version in pairs}


def _plain(name: str) -> str:
    """A distribution's name as its variants are compared."""
    return re.sub(r"[-_.]+", "-", name).lower()


def _wanted() -> dict[str, list[Requirement]]:
    """What pyproject.toml asks for: the core under "", each extra under its name."""
    import tomllib

    from packaging.requirements import Requirement

    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [Requirement(line) for line in lines] for extra, lines in lists.items()}


def _requirements_of(name: str) -> Iterator[Requirement]:
    """What an installed distribution asks for in any case."""
    from packaging.requirements import Requirement

    try:
        lines = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement
