"""What the bench measures: counts, order, the same commands for both engines, memory, and where time goes."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

import psutil
import pytest

from envs import progress, timing
from envs.errors import InputError
from envs.sampling import Samples
from envs.vector import LocalVectorEnv, vector
from tests.envs.corridor import Corridor

WORLD = "tests.envs.corridor:Corridor"


class Slow(Corridor):
    """A corridor with a second engine, which is slow and says the same; in the dark it says something else."""

    reference_options: ClassVar[Mapping[str, Any]] = {"light": "dark"}
    step_parts: ClassVar[Mapping[str, str]] = {"tests.envs.corridor.*": "walking"}

    def step(self, action: str) -> Any:
        text, *rest = super().step(action)
        if self.config.light == "dark":
            end = time.process_time() + 0.002
            while time.process_time() < end:
                pass
        return text, *rest


class Lying(Slow):
    """Its two engines disagree."""

    def step(self, action: str) -> Any:
        text, *rest = super().step(action)
        return text + ("!" if self.config.light == "dark" else ""), *rest


def recorded(env: Corridor, player: str, tasks: list[str]) -> tuple[timing.Timing, list[timing.Script]]:
    measured = timing.Timing()
    return measured, timing.record(env, player, tasks, 0, measured)


def test_recorded_episodes_are_counted_and_played_again():
    env = Corridor(length=4)
    tasks = env.sample_tasks(0, 6)
    first, scripts = recorded(env, "oracle", tasks)
    assert (first.episodes, first.won) == (6, 6)
    assert first.steps == sum(len(script.commands) for script in scripts) == sum(4 - int(task[-1]) for task in tasks)
    assert [script.task for script in scripts] == tasks
    assert min(first.each().values()) > 0
    again = timing.Timing()
    assert all(timing.replay(Corridor(length=4), script, again) for script in scripts)
    assert (again.episodes, again.steps, again.won) == (first.episodes, first.steps, first.won)


def test_the_time_of_a_step_is_that_of_the_steps():
    each = recorded(Slow(light="dark", length=3), "oracle", ["train-0"] * 3)[0].each()
    assert 0.002 <= each["step"] < 1
    assert each["episode"] == pytest.approx(each["load and reset"] + 3 * each["step"])


class Elsewhere(Corridor):
    """A corridor whose steps are made by another process, which holds 50 MB."""

    in_process = False
    step_parts: ClassVar[Mapping[str, str]] = {"tests.envs.test_timing.*": "asking"}

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        code = "import time; held = b'x' * 50_000_000\nwhile input(): time.sleep(0.005); print(flush=True)"
        self.other = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def step(self, action: str) -> Any:
        assert self.other.stdin is not None
        assert self.other.stdout is not None
        self.other.stdin.write(b"step\n")
        self.other.stdin.flush()
        assert self.other.stdout.readline() == b"\n"
        return super().step(action)

    def close(self) -> None:
        self.other.kill()
        self.other.communicate()


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    env = Elsewhere(length=3)
    yield env
    env.close()


def test_the_time_of_other_processes_counts(elsewhere: Elsewhere):
    assert timing.clock_of(Corridor) is time.process_time
    measured = timing.Timing(timing.clock_of(elsewhere))
    scripts = timing.record(elsewhere, "oracle", ["train-0"] * 3, 0, measured)
    assert measured.each()["step"] >= 0.005
    together = timing.replay_together(LocalVectorEnv([elsewhere]), scripts, timing.clock_of(elsewhere))
    assert together.each()["step"] >= 0.005


def test_the_memory_of_other_processes_counts(elsewhere: Elsewhere):
    list(timing.play_episode(elsewhere, "oracle", "train-0", 0))
    held = timing.resident_megabytes()
    assert held >= psutil.Process().memory_info().rss / 1e6 + 50
    elsewhere.close()
    assert timing.resident_megabytes() <= held - 50


def test_what_waits_is_sampled_too(elsewhere: Elsewhere):
    elsewhere.reset(options={"task": "train-0"})
    samples = Samples()
    with samples.taken(waiting=True):
        samples.count = True
        for _ in range(40):
            elsewhere.step("sing")
        samples.count = False
    # 0.2 s at least, one in a thousandth of a second.
    assert samples.counts.total() > 20
    assert next(iter(samples.shares(elsewhere.step_parts))) == "asking"


def test_a_deadline_of_somebody_else_is_kept():
    before, left = signal.getsignal(signal.SIGALRM), signal.setitimer(signal.ITIMER_REAL, 1000.0)
    try:
        with Samples().taken(waiting=True):
            assert signal.getitimer(signal.ITIMER_REAL)[0] < 1
        assert signal.getsignal(signal.SIGALRM) is before
        assert 1 < signal.getitimer(signal.ITIMER_REAL)[0] <= 1000
    finally:
        signal.setitimer(signal.ITIMER_REAL, *left)


def test_what_was_said_tells_engines_apart():
    _, scripts = recorded(Lying(), "oracle", ["train-0", "train-1"])
    assert not any(timing.replay(Lying(light="dark"), script, timing.Timing()) for script in scripts)


@pytest.mark.parametrize("worlds", [2, 3, 7])
def test_batches_play_all_episodes(worlds: int):
    _, scripts = recorded(Corridor(length=4), "random", [f"train-{number % 4}" for number in range(5)])
    together = timing.replay_together(vector(WORLD, worlds, length=4), scripts)
    assert together.episodes >= len(scripts)
    assert together.episodes % worlds == 0
    assert together.steps >= sum(len(script.commands) for script in scripts)
    assert together.step_seconds > 0


def test_memory_is_looked_at_ten_times():
    rows = list(timing.watch_memory(Corridor(), "random", 0, 20))
    assert [episodes for episodes, _ in rows] == list(range(0, 21, 2))
    assert all(megabytes > 1 for _, megabytes in rows)


def test_memory_that_cannot_be_looked_at(monkeypatch: pytest.MonkeyPatch, tmp_path):
    monkeypatch.setattr(timing, "_STATUS", tmp_path / "none")
    with pytest.raises(InputError, match="this system does not have"):
        next(timing.watch_memory(Corridor(), "random", 0, 20))


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def linger(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_samples_follow_the_time():
    samples = Samples()
    with samples.taken():
        spin(0.2)
        samples.count = True
        spin(0.3)
        linger(0.1)
        samples.count = False
        linger(0.2)
    shares = samples.shares({"*.spin": "spinning"})
    assert list(shares) == ["spinning", f"{__name__}.linger"]
    assert shares["spinning"] == pytest.approx(0.75, abs=0.2)


def test_no_samples_no_shares():
    assert Samples().shares({}) == {}


def test_progress_is_shown_by_commands_only(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TTY_COMPATIBLE", "1")
    assert list(progress.track(range(3), "counting")) == [0, 1, 2]
    assert capsys.readouterr() == ("", "")
    with progress.shown():
        assert list(progress.track(range(3), "counting")) == [0, 1, 2]
    out, err = capsys.readouterr()
    assert out == ""
    assert "counting" in err
