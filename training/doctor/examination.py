"""The doctor's keys and the order of its checks, for an installation from which Keystone can be imported."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from envs.config_schema import key
from training.config import RunConfig
from training.doctor import data, installation, machine
from training.doctor.findings import Check, Finding, examine

DESCRIPTION = (
    "Says what is broken of this installation, of this machine and of the run that the other keys plan, and the "
    "command that mends it. --json prints it for machines. Exit code 1 if something is broken."
)


@dataclass(frozen=True)
class DoctorConfig(RunConfig):
    """Keys of the doctor, beside those of the main job."""

    json: bool = key(False, "prints one JSON object for machines; --json is short for json=true")


def checks(config: RunConfig) -> dict[str, Check]:
    """All checks but those that come before Keystone is imported, in order."""
    return {
        "packages": installation.namesakes,
        "versions": installation.combinations,
        "extras": partial(installation.extras, machine.extras_needed(config)),
        "device": partial(machine.devices, config),
        "model": partial(machine.model, config),
        "data": partial(data.world, config),
        "panels": partial(data.pinned, config),
        "java": partial(machine.java, config),
        "sandbox": partial(machine.means, config),
        "writing": partial(machine.writing, config),
    }


def examine_all(config: RunConfig) -> list[Finding]:
    """Does all checks."""
    return [finding for name, check in checks(config).items() for finding in examine(name, check)]
