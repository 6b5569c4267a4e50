"""`python -m training.doctor [keys of training.run] [--json]`: what is broken here, and the command that mends it.

The keys are those of `training.run`, and say which run is planned. Every finding is "fine", a "note" (something that
this run does without) or "broken", with the command that mends it. Exit codes: 0 nothing is broken, 1 something is,
2 the arguments are wrong. Nothing is downloaded, trained or kept.

What hides or replaces Keystone's own packages is looked for before any of them is imported.
"""

from __future__ import annotations

import sys

from training.doctor import installation
from training.doctor.findings import Check, Finding, examine, report

PROGRAM = "python -m training.doctor"
JSON = "--json"


def first() -> list[Finding]:
    """Examines what must be right before Keystone can be imported."""
    checks: dict[str, Check] = {
        "python": installation.interpreter,
        "packages": installation.shadowed,
        "core": installation.core,
    }
    return [finding for name, check in checks.items() for finding in examine(name, check)]


if __name__ == "__main__":
    words = ["json=true" if word == JSON else word for word in sys.argv[1:]]
    found = first()
    if any(finding.level == "broken" for finding in found):
        sys.exit(report(found, as_json="json=true" in words))

    from envs.command import run_command
    from training.doctor.examination import DESCRIPTION, DoctorConfig, examine_all

    sys.exit(
        run_command(
            PROGRAM,
            DoctorConfig,
            lambda config: report([*found, *examine_all(config)], as_json=config.json),
            description=DESCRIPTION,
            argv=words,
        )
    )
