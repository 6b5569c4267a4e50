"""`python -m evals.leaderboard add RUN_OR_DELTA | show | export | build | serve | check`: ranks layer-targeted agents.

A submission is a small delta file. `add` plays it again on the base and panel named and enters the score that it gets
here; the others show your entries among those that come with Keystone.
"""

from __future__ import annotations

import sys

from envs.command import Action, run_actions
from evals.leaderboard import adding, showing

PROGRAM = "python -m evals.leaderboard"
ACTIONS = {
    "show": Action(showing.ShowConfig, showing.show, "Prints the ranking of every panel, your entries among them."),
    "add": Action(
        adding.AddConfig,
        adding.main,
        "Scores a run's delta, a delta file or a policy again on a panel, and enters it.",
        word="source",
        expand=adding.expand,
    ),
    "export": Action(showing.ExportConfig, showing.export, "Writes the ranking as Markdown, CSV or JSON."),
    "build": Action(showing.BuildConfig, showing.build, "Writes the ranking as pages that need no network."),
    "serve": Action(showing.ServeConfig, showing.serve, "Shows those pages on this machine, until Ctrl-C."),
    "check": Action(showing.CheckConfig, showing.check, "Checks that your leaderboard's file is whole."),
}

if __name__ == "__main__":
    sys.exit(
        run_actions(
            PROGRAM,
            ACTIONS,
            description="Ranks layer-targeted agents by panel. A submission is a delta file that anyone scores again.",
        )
    )
