"""Small levels that several tests play."""

from __future__ import annotations

from envs.sokoban.board import Level, read_level

CORRIDOR = ["#######", "#@ $ .#", "#######"]
TWO = ["########", "#  .   #", "# $$@. #", "#      #", "########"]


def level(*rows: str) -> Level:
    return read_level(rows)
