"""Corridors in which things go wrong on purpose: what a pool has to cope with."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from envs.config_schema import key
from envs.types import Info, TextEnv
from tests.envs.corridor import Corridor, CorridorConfig, Rightward, Wanderer


@dataclass(frozen=True)
class TroubledConfig(CorridorConfig):
    """Options of the troubled corridor."""

    trouble: str = key("", "what goes wrong")
    turn: int = key(2, "the turn in which it does; 0 is the reset")
    tasks_of_trouble: str = key("", "in which tasks, separated by commas; empty is in all")
    folder: str = key("", "where it is noted, so that it happens once a task; empty is every time")


class Stuck(Rightward):
    """An oracle that does not come to an end."""

    def act(self, text: str, info: Info) -> str:
        if text.endswith("2."):
            time.sleep(3600)
        return super().act(text, info)


class Troubled(Corridor):
    """The corridor, until trouble comes."""

    config_class = TroubledConfig
    in_process = False
    players: ClassVar = {
        "random": lambda env, seed: Wanderer(seed),
        "oracle": lambda env, seed: Rightward(),
        "stuck": lambda env, seed: Stuck(),
        "careless": lambda env, seed: Careless(env),
    }

    def __init__(self, **options: Any) -> None:
        self.config: TroubledConfig = TroubledConfig(**options)
        self.held: list[bytes] = []
        self.child: subprocess.Popen[bytes] | None = None
        if self.config.trouble == "children":
            self.child = subprocess.Popen(["sleep", "600"], start_new_session=True)
            (Path(self.config.folder) / f"child-{self.child.pid}").touch()

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:
        said = super().reset(seed=seed, options=options)
        self._note("reset")
        self._meet(0)
        return said

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        said = super().step(action)
        if self.config.trouble == "children":
            (Path(self.config.folder) / f"stepped-{os.getpid()}").touch()
        self._meet(self.turns)
        if self.config.trouble == "forgetful":
            return (f"{said[0]} It is {time.time_ns()}.", *said[1:])
        if self.config.trouble == "unspeakable" and self._is_due(self.turns):
            return (*said[:4], {**said[4], "secret": lambda: None})  # type: ignore[typeddict-unknown-key]
        return said

    def close(self) -> None:
        if self.config.trouble == "unclosable":
            time.sleep(3600)
        self._note("closed")

    def _note(self, what: str) -> None:
        if self.config.folder:
            with (Path(self.config.folder) / "notes").open("a") as file:
                file.write(f"{what} {self.task} {os.getpid()}\n")

    def _is_due(self, turn: int) -> bool:
        if turn != self.config.turn or (
            self.config.tasks_of_trouble and self.task not in self.config.tasks_of_trouble.split(",")
        ):
            return False
        if not self.config.folder:
            return True
        mark = Path(self.config.folder) / f"{self.config.trouble}-{self.task}"
        if mark.exists():
            return False
        mark.touch()
        return True

    def _meet(self, turn: int) -> None:
        trouble = self.config.trouble
        if trouble in TROUBLES and self._is_due(turn):
            TROUBLES[trouble](self)


class Careless(Rightward):
    """A player that ends the process of its world."""

    def __init__(self, env: TextEnv) -> None:
        self.env = env

    def act(self, text: str, info: Info) -> str:
        assert isinstance(self.env, Troubled)
        if self.env._is_due(self.env.turns):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().act(text, info)


def sleep(env: Troubled) -> None:
    time.sleep(3600)


def deaf(env: Troubled) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGALRM):
        signal.signal(number, signal.SIG_IGN)
    while True:
        time.sleep(3600)


def stop(env: Troubled) -> None:
    os.kill(os.getpid(), signal.SIGSTOP)


def die(env: Troubled) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def crash(env: Troubled) -> None:
    ctypes.string_at(0)


def leave(env: Troubled) -> None:
    print("the lights go out")
    sys.exit(3)


def fail(env: Troubled) -> None:
    raise RuntimeError("the lamp fell")


def leak(env: Troubled) -> None:
    # Written to, or it would not be resident.
    env.held.append(b"\1" * 100_000_000)


def hoard(env: Troubled) -> None:
    for _ in range(3):
        leak(env)


def chatter(env: Troubled) -> None:
    for _ in range(3):
        print("blah " * 200_000)


def missing(env: Troubled) -> None:
    Path("/nowhere/level.txt").read_text(encoding="utf-8")


TROUBLES = {
    "sleep": sleep,
    "deaf": deaf,
    "stop": stop,
    "die": die,
    "crash": crash,
    "leave": leave,
    "fail": fail,
    "missing": missing,
    "leak": leak,
    "hoard": hoard,
    "chatter": chatter,
}
