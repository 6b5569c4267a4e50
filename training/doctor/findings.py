"""What a check finds, and how a check is called: one that breaks is itself a finding. Standard library only."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Level = Literal["fine", "note", "broken"]


@dataclass(frozen=True)
class Finding:
    """One thing that a check found.

    Attributes:
        level: "fine"; "note", what this run does without; "broken", what it fails on.
        what: in one line.
        mend: the command that mends it, or what to do; empty if there is nothing to mend.
        check: the check's name.
    """

    level: Level
    what: str
    mend: str = ""
    check: str = ""


Check = Callable[[], Sequence[Finding]]


def examine(name: str, check: Check) -> list[Finding]:
    """Calls a check.

    Args:
        name: what its findings are called by.
        check: the check.

    Returns:
        What it found; a failure of its own as a finding.
    """
    try:
        found = check()
    except Exception as error:  # Whatever is wrong with a machine, the other checks still speak.
        said = " ".join(f"{type(error).__name__}: {error}".split())
        found = [Finding("broken", f"this check itself failed ({said[:300]})", "report it with the output of --json")]
    return [Finding(one.level, one.what, one.mend, name) for one in found]


def report(findings: Sequence[Finding], *, as_json: bool) -> int:
    """Prints findings.

    Args:
        findings: in the order in which they are printed.
        as_json: whether as one JSON object, for machines.

    Returns:
        The exit code: 1 if something is broken.
    """
    broken, notes = (sum(finding.level == level for finding in findings) for level in ("broken", "note"))
    if as_json:
        print(json.dumps({"broken": broken, "findings": [asdict(finding) for finding in findings]}, indent=2))
        return int(broken > 0)
    for found in findings:
        print(f"{found.level:<7} {found.check:<9} {found.what}")
        if found.mend:
            print(f"{'':<17} mend: {found.mend}")
    print(f"{broken} broken, {notes} to note, {len(findings) - broken - notes} fine")
    return int(broken > 0)
