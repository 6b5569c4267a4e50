"""The doctor, with every finding provoked: what hides packages, wrong versions, absent tools, broken data, no room."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from envs.config import load
from envs.installation import REPOSITORY
from tests.envs.alfworld import tiny
from training.config import RunConfig
from training.doctor import data, installation, machine
from training.doctor.examination import checks
from training.doctor.findings import Finding, examine

WITHOUT_ROOM = """
set -e
mount -t tmpfs -o size=1m none "$1"
echo 0 > /proc/sys/user/max_user_namespaces
echo 0 > /proc/sys/user/max_mnt_namespaces
shift
exec "$@"
"""
TWO_CHECKS = """
import sys
from envs.config import load
from training.config import RunConfig
from training.doctor import machine
config = load(RunConfig, ["env=code", f"out={sys.argv[1]}/run"])
for one in [*machine.means(config), *machine.writing(config)]:
    print(one.level, one.what, "->", one.mend)
"""


def doctor(
    *words: str, folder: Path = REPOSITORY, path: Path = REPOSITORY, **changes: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "training.doctor", *words],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(path), **changes},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def plan(*words: str) -> RunConfig:
    return load(RunConfig, words)


def broken(findings: list[Finding]) -> list[Finding]:
    found = [finding for finding in findings if finding.level == "broken"]
    assert all(finding.mend for finding in found)
    return found


def install(folder: Path, name: str, version: str, *requires: str, packages: str = "") -> None:
    """Makes a distribution as pip would have left it."""
    place = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    place.mkdir(parents=True)
    wants = [f"Requires-Dist: {requirement}" for requirement in requires]
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *wants]
    (place / "METADATA").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (place / "top_level.txt").write_text(packages, encoding="utf-8")


def write_game(folder: Path, split: str) -> Path:
    return tiny.write(folder / "json_2.1.1" / split / "pick_and_place_simple-Mug-None-Desk-1" / "trial_1")


def write_model(folder: Path, blocks: int, size: int) -> Path:
    """A model folder whose configuration names a size; its weights are not there to be read."""
    shutil.copytree(REPOSITORY / "agents" / "pretrained" / "tiny", folder)
    file = folder / "config.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    # Lists of a word a block would contradict the number of blocks.
    settings = {name: value for name, value in settings.items() if name != "layer_types"}
    file.write_text(json.dumps(settings | {"num_hidden_layers": blocks, "intermediate_size": size}), encoding="utf-8")
    return folder


def test_a_healthy_machine(tmp_path: Path):
    done = doctor("--json", "data=generated", f"out={tmp_path / 'run'}", KEYSTONE_CACHE=str(tmp_path / "cache"))
    assert done.returncode == 0, done.stdout + done.stderr
    said = json.loads(done.stdout)
    assert said["broken"] == 0
    assert {"python", "core", *checks(plan())} == {found["check"] for found in said["findings"]}
    assert {found["level"] for found in said["findings"]} <= {"fine", "note"}
    assert not (tmp_path / "run").exists()


def test_everything_broken_at_once(tmp_path: Path):
    (tmp_path / "file").write_text("", encoding="utf-8")
    (tmp_path / "tools").mkdir()
    game = write_game(tmp_path / "games", "train")
    game.write_bytes(game.read_bytes()[:100])
    large = write_model(tmp_path / "large", 8, 1 << 32)
    words = [f"data={tmp_path / 'games'}", f"model={large}", f"out={tmp_path / 'file'}"]
    done = doctor(*words, PATH=str(tmp_path / "tools"), JAVA_HOME="", KEYSTONE_CACHE=str(tmp_path / "file" / "below"))
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    faults = {line.split()[1]: (line, mend) for line, mend in pairwise(lines) if line.startswith("broken")}
    assert set(faults) == {"model", "data", "writing"}
    assert all(mend.strip().startswith("mend: ") for _, mend in faults.values())
    assert "does not fit: layer=3 needs at least" in faults["model"][0]
    assert "train.frozen=8bit" in faults["model"][1]
    assert str(game) in faults["data"][0]
    assert "KEYSTONE_CACHE" in faults["writing"][1]
    # What this run does not need is only noted.
    assert any(line.startswith("note    java") for line in lines)
    assert done.stderr == ""


def test_a_package_in_the_current_folder(tmp_path: Path):
    (tmp_path / "envs").mkdir()
    (tmp_path / "envs" / "__init__.py").write_text("raise SystemExit('ran')", encoding="utf-8")
    done = doctor(folder=tmp_path)
    assert done.returncode == 1
    assert f"'envs' is hidden by {tmp_path / 'envs'}, which lies in the current folder" in done.stdout
    assert f"mend: cd {REPOSITORY}" in done.stdout
    assert json.loads(doctor("--json", folder=tmp_path).stdout)["broken"] == 1


def test_a_package_of_another_distribution(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    install(tmp_path, "robot-agents", "1.0", packages="robot_evals\n")
    (tmp_path / "robot_evals").mkdir()
    (tmp_path / "robot_evals" / "__init__.py").touch()
    monkeypatch.syspath_prepend(str(tmp_path))
    (found,) = broken(installation.shadowed(["robot_evals"], tmp_path / "elsewhere"))
    assert "belongs to robot-agents" in found.what
    assert "pip uninstall -y robot-agents" in found.mend
    (found,) = installation.namesakes(["robot_evals"])
    assert found.level == "note"
    assert "pip uninstall -y robot-agents" in found.mend


def test_packages_that_come_later_on_the_path_do_not_win(tmp_path: Path):
    # A folder without __init__.py gives way to any package of its name, wherever that stands on the path.
    for name in installation.OURS:
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("")
    program = f"import sys; sys.path.append({str(tmp_path)!r}); import envs.installation as i; i.check_packages()"
    done = subprocess.run([sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_package_that_is_not_there(tmp_path: Path):
    (found,) = broken(installation.shadowed(["no_such_package"], tmp_path))
    assert "make install" in found.mend


def test_an_old_python():
    (found,) = broken(installation.interpreter(oldest=(3, 99)))
    assert "older than 3.99" in found.what


def test_versions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    tested = installation.constraints()
    install(tmp_path, "transformers", "4.40.0")
    install(tmp_path, "numpy", "2.0.0")
    install(tmp_path, "torchvision", "0.1.0", "torch==1.0")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = installation.core()
    (old,) = broken(found)
    assert "transformers 4.40.0 is installed; Keystone takes" in old.what
    assert any(one.level == "note" and f"numpy=={tested['numpy']}" in one.mend for one in found)
    found = broken(installation.combinations())
    assert any("torchvision 0.1.0 wants torch ==1.0" in one.what and "uninstall" in one.mend for one in found)
    assert any("wants transformers" in one.what and tested["transformers"] in one.mend for one in found)


@pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="vLLM is installed here")
def test_an_extra_that_the_run_needs():
    config = plan("sampler=vllm", "layer=lora:3", "env=textworld")
    needed = machine.extras_needed(config)
    assert needed == {"vllm": "sampler=vllm", "lora": "layer=lora:3", "textworld": "env=textworld"}
    (found,) = broken(installation.extras(needed))
    assert "needed for sampler=vllm" in found.what
    assert '".[vllm]"' in found.mend
    assert not broken(installation.extras({}))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_device_that_is_not_there():
    (found,) = broken(machine.devices(plan("device=cuda")))
    assert "PyTorch sees no CUDA device" in found.what


def test_a_gpu_that_this_pytorch_cannot_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(machine, "_DRIVER", tmp_path / "version")
    assert machine._unused_gpu(None) is None
    (tmp_path / "version").touch()
    found = machine._unused_gpu(None)
    assert found is not None
    # The version that the tests run with, not one that was typed in once.
    assert f"torch=={installation.constraints()['torch']} " in found.mend


def test_weights_that_were_cut(tmp_path: Path):
    folder = write_model(tmp_path / "model", 8, 64)
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    assert any(str(file) in found.what for found in broken(machine.model(plan(f"model={folder}"))))


def test_a_folder_that_holds_no_model(tmp_path: Path):
    (found,) = broken(machine.model(plan(f"model={tmp_path}")))
    assert "config.json" in found.what


def test_a_model_that_is_not_here(tmp_path: Path):
    found = machine.model(plan("model=nobody/has-such-a-model"))
    assert [one.level for one in found] == ["note"]
    assert found[0].mend == "hf download nobody/has-such-a-model"


@pytest.mark.parametrize(
    ("script", "line"),
    [
        (None, "JAVA_HOME"),
        ("exit 3", "fails (exit code 3)"),
        ("echo 'openjdk version \"1.7.0_80\"' >&2", "is Java 7"),
    ],
)
def test_java(script: str | None, line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    if script is not None:
        (tmp_path / "bin").mkdir()
        (tmp_path / "bin" / "java").write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        (tmp_path / "bin" / "java").chmod(0o755)
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    (found,) = broken(machine.java(plan("env=scienceworld")))
    assert line in found.what
    assert "default-jre-headless" in found.mend
    assert machine.java(plan())[0].level == "note"


def test_neither_walls_nor_room(tmp_path: Path):
    unshare = shutil.which("unshare")
    trial = [str(unshare), "--user", "--map-root-user", "--mount", "true"]
    if unshare is None or subprocess.run(trial, check=False, capture_output=True).returncode:
        pytest.skip("user namespaces are not allowed here, and nothing else takes them away")
    done = subprocess.run(
        [*trial[:-1], "sh", "-c", WITHOUT_ROOM, "sh", tmp_path, sys.executable, "-c", TWO_CHECKS, tmp_path],
        cwd=REPOSITORY,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "KEYSTONE_CACHE": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("broken")]
    assert "programs cannot be confined here" in lines[0]
    assert "max_user_namespaces" in lines[0] or "bubblewrap" in lines[0].partition("->")[2]
    assert ["0.0 GB free" in line for line in lines[1:]] == [True, True]


def test_a_folder_that_nobody_can_write():
    (found,) = broken(machine.writing(plan("out=/proc/keystone/run")))
    assert found.mend == "out=FOLDER"


def test_another_run_in_the_folder(tmp_path: Path):
    (tmp_path / "config.yaml").touch()
    (found,) = broken(machine.writing(plan(f"out={tmp_path}")))
    assert "already holds another run" in found.what


def test_games_of_another_panel(tmp_path: Path):
    for split in ("train", "valid_seen"):
        write_game(tmp_path, split)
    config = plan(f"data={tmp_path}", "panel=alfworld_valid_seen")
    assert not broken(data.world(config))
    (found,) = broken(data.pinned(config))
    assert "sha256 29aecd64cc29, but the 1 games" in found.what


def test_panels_that_are_not_pinned_and_data_of_another_panel(tmp_path: Path):
    lines = [json.dumps({"question": f"what is {number}?", "answer": str(number)}) for number in range(1319)]
    (tmp_path / "test.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    findings = data.pinned(plan("env=math", f"data={tmp_path}"))
    found = {finding.what.split()[1].strip(":"): finding for finding in findings}
    assert found["gsm8k_test"].level == "fine"
    assert "1319 tasks, sha256" in found["gsm8k_test"].what
    assert found["gsm8k_test"].what.endswith("not yet pinned")
    assert found["math_500"].level == "note"
    assert "is not checked: panel=math_500 has 500 tasks, but the data here has 1319" in found["math_500"].what
    assert found["math_500"].mend
    (asked,) = broken(data.pinned(plan("env=math", f"data={tmp_path}", "panel=math_500")))
    assert "panel=math_500 has 500 tasks" in asked.what


def test_data_that_is_not_there(tmp_path: Path):
    assert "no ALFWorld game" in broken(data.world(plan(f"env.data={tmp_path}")))[0].what
    (tmp_path / "levels.txt").write_text("not a level\n", encoding="utf-8")
    (found,) = broken(data.world(plan("env=sokoban", f"data={tmp_path / 'levels.txt'}")))
    assert "levels.txt" in found.what


def test_a_check_that_breaks():
    def check() -> list[Finding]:
        raise ZeroDivisionError("of\nmany lines")

    (found,) = broken(examine("strange", check))
    assert (found.check, "ZeroDivisionError: of many lines" in found.what) == ("strange", True)
