"""Environments of installed packages: real packages with metadata of their own, in a fresh Python process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from envs.installation import REPOSITORY

WORLD = """
from tests.envs.corridor import Corridor
class Cellar(Corridor):
    "A corridor under ground."
"""


def install(site: Path, package: str, source: str, *entry_points: str) -> None:
    """Puts a package into a folder as pip does: its module, and a .dist-info folder with its entry points."""
    (site / f"{package}.py").write_text(source)
    metadata = site / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[keystone.environments]\n" + "\n".join(entry_points) + "\n")


def python(site: Path, *words: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join((str(site), str(REPOSITORY)))
    variables = {**os.environ, "PYTHONPATH": path, "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, *words], cwd=site, env=variables, capture_output=True, text=True, check=False, timeout=120
    )


def test_an_installed_package_brings_its_environments(tmp_path: Path):
    install(tmp_path, "cellars", WORLD, "cellar = cellars:Cellar")
    install(tmp_path, "ruins", "1 / 0", "ruin = ruins:Ruin")
    code = (
        "import gymnasium, envs; print(envs.names(), gymnasium.make('keystone/Cellar-v0', length=1).reset(seed=0)[0])"
    )
    made = python(tmp_path, "-c", code)
    assert made.returncode == 0, made.stderr
    assert "'cellar'" in made.stdout
    assert "You are in room 0." in made.stdout
    listed = python(tmp_path, "-m", "envs.list")
    assert listed.returncode == 0, listed.stderr
    assert "A corridor under ground." in listed.stdout
    assert "cannot be imported: ZeroDivisionError" in listed.stdout
    checked = python(tmp_path, "-m", "envs.check", "env=cellar", "env.length=2", "tasks=2")
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_what_cannot_be_used_is_left_out_and_said(tmp_path: Path):
    install(tmp_path, "cellars", WORLD, "alfworld = cellars:Cellar", "a-b = cellars:Cellar")
    install(tmp_path, "castles", WORLD.replace("Cellar", "ALFWorld"), "castle = castles:ALFWorld")
    done = python(tmp_path, "-c", "import envs; print('castle' in envs.names(), envs.make('alfworld').describe_data())")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("False generated household games")
    assert "'alfworld' of cellars is left out: the name stands for 'envs.alfworld.environment:ALFWorld'" in done.stderr
    assert "'a-b' of cellars is left out: an entry point is written" in done.stderr
    assert "'castle' of castles is left out: the Gymnasium id 'keystone/ALFWorld-v0' is taken" in done.stderr
    assert "env=castles:ALFWorld" in done.stderr


def test_a_module_in_the_current_folder_needs_no_installing(tmp_path: Path):
    (tmp_path / "cellars.py").write_text(WORLD)
    played = python(tmp_path, "-m", "envs.play", "env=cellars:Cellar", "player=oracle")
    assert played.returncode == 0, played.stderr
    assert "Won after" in played.stdout
    missing = python(tmp_path, "-m", "envs.play", "env=celars:Cellar")
    assert missing.returncode == 2
    assert missing.stderr == (
        "error: environment 'celars:Cellar' needs the module 'celars', which is neither installed nor in the current "
        f"folder {tmp_path}.\n"
    )
