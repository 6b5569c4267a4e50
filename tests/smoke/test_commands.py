"""Every command as a user calls it: help, wrong names and wrong values, exit codes, one line, in under two seconds."""

from __future__ import annotations

import importlib.util
import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from envs.installation import PACKAGES, REPOSITORY
from tests.calling import call

RUN = "evals/results/leaderboard/runs/alfworld-layer3-seed0"


def commands() -> list[str]:
    """All modules that are commands, found by themselves."""
    files = [file for package in (*PACKAGES, "tests") for file in (REPOSITORY / package).rglob("*.py")]
    # What has a main part without it is a program for worker processes, which nobody calls.
    runnable = [file for file in files if re.search(r"run_(command|actions)\(", _main_part(file))]
    names = (".".join(file.relative_to(REPOSITORY).with_suffix("").parts) for file in runnable)
    return sorted(name.removesuffix(".__main__") for name in names)


def _main_part(file: Path) -> str:
    return file.read_text(encoding="utf-8").partition('if __name__ == "__main__":')[2]


COMMANDS = commands()


def refused_at_once(command: str, *words: str) -> str:
    """Calls a command that must refuse its input. Returns the line it says."""
    # Processor time: other tests run beside this one, and the wall clock would count them too.
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = call(command, *words)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 2, done.stderr
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 2
    return done.stderr


def test_the_commands_are_found():
    assert {"envs.bench", "envs.check", "envs.list", "envs.play"} <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str):
    done = call(command, "--help")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: python -m {command} ")
    assert max(map(len, done.stdout.splitlines())) <= 100


@pytest.mark.parametrize("command", COMMANDS)
def test_an_unknown_key(command: str):
    assert "unknown key 'no_such_key'" in refused_at_once(command, "no_such_key=1")


@pytest.mark.parametrize(
    "command", [command for command in COMMANDS if command in ("envs.check", "evals.run", "training.run")]
)
@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("env=alfwold", "Did you mean 'alfworld'?"),
        ("sed=1", "Did you mean 'seed'?"),
        ("seed=-1", "seed must be a whole number "),
        ("env.max_turn=3", "Did you mean 'env.max_turns'?"),
        ("env.max_turns=many", "env.max_turns must be a whole number"),
        ("data=/nowhere/at/all", "/nowhere/at/all"),
    ],
)
def test_bad_input(command: str, word: str, line: str):
    assert line in refused_at_once(command, word)


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("training.run layer=midle", "layer=midle names no layer. Did you mean 'middle'?"),
        ("training.sweep seeds=one", "seeds must be whole numbers of at least 0 with commas between them"),
        ("training.tune rates=fast", "rates must be numbers above 0 with commas between them"),
        ("training.dry_run gpu=h10", "unknown gpu 'h10'. Did you mean 'h100'?"),
        ("training.warmstart env=frozen_lake player=planner", "unknown player 'planner'. Allowed: oracle, random."),
        ("evals.leaderboard add", "what is to be added? Name a run's folder or a delta file"),
        (f"evals.run policy=tiny delta={RUN}", f"is a folder; the run's delta is delta={RUN}/delta.safetensors."),
        (f"evals.delta delta={RUN}", f"is a folder; the run's delta is delta={RUN}/delta.safetensors."),
        (f"evals.delta delta={RUN}/delta.safetensors base=tiny make=merged out=agents", "exists and is not an empty"),
    ],
)
def test_what_a_newcomer_types_wrong(words: str, line: str):
    command, *rest = words.split()
    assert line in refused_at_once(command, *rest)


def test_a_hub_that_cannot_be_asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    done = call("evals.delta", f"delta={RUN}/delta.safetensors", "base=qwen2.5-1.5b")
    assert done.returncode == 2
    assert "is not on this machine, and http://127.0.0.1:9 cannot be asked" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("command", ["envs.list", "evals.run", "training.run", "training.doctor"])
def test_a_python_without_keystone(command: str):
    # -S leaves out what is installed, as in a terminal where nobody has activated the environment.
    argv = [sys.executable, "-E", "-S", "-m", command]
    done = subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode in (1, 2)
    assert "make install && source .venv/bin/activate" in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_a_sampler_that_is_not_installed():
    said = refused_at_once("training.run", "sampler=vllm")
    assert "sampler=vllm needs vLLM, which is not installed: pip install 'keystone-rl[vllm]'" in said


def test_an_address_that_is_none():
    said = refused_at_once("training.run", "sampler=vllm", "vllm.url=localhost")
    assert "vllm.url=localhost is no address; write http://host:port" in said
    said = refused_at_once("training.run", "vllm.url=http://localhost:8000")
    assert "is read with sampler=vllm only" in said


@pytest.mark.fault
@pytest.mark.parametrize("words", [["envs.list"], ["envs.play", "--help"], ["envs.play", "player=oracle"]])
def test_output_that_nobody_reads_is_no_crash(words: list[str]):
    command = [sys.executable, "-m", *words]
    with subprocess.Popen(
        command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == ""
    # The library that draws tables ends the command itself, with 1.
    assert process.returncode in (1, 141)
