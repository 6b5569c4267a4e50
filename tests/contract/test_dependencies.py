"""Everything that the core, the extras and the tests install has an exact version in constraints.txt."""

from __future__ import annotations

import importlib.metadata
import re
import tomllib
from collections.abc import Iterator

from packaging.requirements import Requirement

from envs.installation import REPOSITORY
from training.doctor.installation import constraints


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def named() -> dict[str, list[Requirement]]:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}
    return {extra: [Requirement(line) for line in lines] for extra, lines in lists.items()}


def wanted(requirement: Requirement) -> Iterator[Requirement]:
    """What an installed distribution asks for, here and with these extras."""
    try:
        lines = importlib.metadata.requires(requirement.name) or []
    except importlib.metadata.PackageNotFoundError:
        return
    for line in lines:
        one = Requirement(line)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in ("", *requirement.extras)):
            yield one


def test_every_dependency_is_pinned():
    # vLLM pins its own, in requirements-vllm.txt.
    todo = [requirement for extra, lines in named().items() if extra != "vllm" for requirement in lines]
    seen, unpinned, pins = set[tuple[str, frozenset[str]]](), set[str](), constraints()
    while todo:
        requirement = todo.pop()
        mark = plain(requirement.name), frozenset(requirement.extras)
        # What PyTorch's builds for GPUs bring along it pins itself.
        if mark in seen or mark[0].startswith(("nvidia-", "triton")):
            continue
        seen.add(mark)
        if mark[0] not in pins:
            unpinned.add(mark[0])
        todo += wanted(requirement)
    assert not unpinned
    assert len(seen) > 50


def test_pins_are_exact_and_allowed():
    pins = constraints()
    assert all(re.fullmatch(r"\d+(\.\w+)*", version) for version in pins.values())
    for requirement in (one for lines in named().values() for one in lines):
        if plain(requirement.name) in pins:
            assert requirement.specifier.contains(pins[plain(requirement.name)]), requirement


def test_every_dependency_of_the_core_is_imported():
    """An extra is where it is not needed by all: what the core installs some module of ours imports."""
    modules = {"pyyaml": "yaml", "math-verify": "math_verify", "jinja2": "jinja2", "rapidfuzz": "rapidfuzz"}
    text = "\n".join(
        file.read_text(encoding="utf-8")
        for package in ("envs", "agents", "evals", "training")
        for file in (REPOSITORY / package).rglob("*.py")
    )
    for requirement in named()[""]:
        module = modules.get(plain(requirement.name), requirement.name)
        assert re.search(rf"^\s*(import|from) {module}\b", text, re.MULTILINE), requirement.name
