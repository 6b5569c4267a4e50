"""A game file made by hand, with a domain and a grammar of its own that a fixture makes known."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

DOMAIN = "(define (domain tiny) ; a comment\n  (:types agent))"
GRAMMAR = '{"task": [{"rhs": "Your task is to: put a mug in desk."}]}'
PROBLEM = """
(define (problem plan_tiny)
(:domain alfred)
(:objects
    agent1 - agent
    Mug_bar_1 - object
    Bowl_bar_1 - object
    Desk_bar_1 - receptacle
    Safe_bar_1 - receptacle
    loc_bar_1 - location
    loc_bar_2 - location
    loc_bar_3 - location
)
(:init
    (receptacleType Desk_bar_1 DeskType)
    (receptacleType Safe_bar_1 SafeType)
    (objectType Mug_bar_1 MugType)
    (objectType Bowl_bar_1 BowlType)
    (canContain DeskType MugType)
    (canContain DeskType MugType)
    (pickupable Mug_bar_1)
    (cleanable Mug_bar_1)
    (isReceptacleObject Bowl_bar_1)
    (inReceptacleObject Mug_bar_1 Bowl_bar_1)
    (openable Safe_bar_1)
    (atLocation agent1 loc_bar_1)
    (receptacleAtLocation Desk_bar_1 loc_bar_2)
    (receptacleAtLocation Safe_bar_1 loc_bar_3)
    (objectAtLocation Mug_bar_1 loc_bar_3)
    (objectAtLocation Bowl_bar_1 loc_bar_3)
    (inReceptacle Mug_bar_1 Safe_bar_1)
    (inReceptacle Bowl_bar_1 Safe_bar_1)
    (inReceptacle Bowl_bar_1 Desk_bar_1)
)
(:goal
    (and
        (exists (?r - receptacle)
            (exists (?o - object)
                (and
                    (inReceptacle ?o ?r)
                    (objectType ?o MugType)
                    (receptacleType ?r DeskType)
                )
            )
        )
    )
)
)
"""
WALKTHROUGH = ["go to safe 1", "open safe 1", "take mug 1 from safe 1", "go to desk 1", "move mug 1 to desk 1"]


def content(**changes: Any) -> dict[str, Any]:
    """The JSON object of the game file; a change to None drops the key."""
    data = {
        "pddl_domain": DOMAIN,
        "grammar": GRAMMAR,
        "pddl_problem": PROBLEM,
        "solvable": True,
        "walkthrough": WALKTHROUGH,
    }
    return {key: value for key, value in {**data, **changes}.items() if value is not None}


def write(folder: Path, **changes: Any) -> Path:
    """Writes the game file into a folder and returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "game.tw-pddl"
    path.write_text(json.dumps(content(**changes)), encoding="utf-8")
    return path
