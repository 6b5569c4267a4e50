"""The compiled index: it says what the game files say, and nothing that happens to its file does harm."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.alfworld import compiled, games, tasks
from envs.alfworld.compiled import CompiledGames, open_compiled
from envs.alfworld.dialects import UncoveredError
from envs.alfworld.environment import ALFWorld
from envs.alfworld.games import GameIndex, find_games
from envs.alfworld.layout import Layout, arrange
from envs.alfworld.reading import read_game
from envs.alfworld.world import World
from envs.installation import REPOSITORY
from tests.envs.alfworld import tiny

pytestmark = pytest.mark.usefixtures("tiny_known", "own_cache")

NAMES = tuple(f"valid_seen/pick_and_place_simple-Mug-None-Desk-308/trial_{number}" for number in range(3))


@pytest.fixture
def release(tmp_path: Path) -> GameIndex:
    """Three games, each with a task line of its own."""
    for number, name in enumerate(NAMES):
        grammar = tiny.GRAMMAR.replace("put a mug in desk.", f"put a mug in desk {number}.")
        tiny.write(tmp_path / "data" / "json_2.1.1" / name, grammar=grammar, walkthrough=tiny.WALKTHROUGH[number:])
    found = find_games(str(tmp_path / "data"), "valid_seen")
    assert found is not None
    return found


def stored(cache: Path) -> Path:
    """The one index file in the cache."""
    (path,) = cache.glob("alfworld/compiled-*")
    return path


def reopened(index: GameIndex) -> CompiledGames:
    """The index as another process would open it."""
    open_compiled.cache_clear()
    return open_compiled(index)


def contents(index: GameIndex, opened: CompiledGames) -> list[Any]:
    """All that the compiled games say."""
    found = [opened.game(position) for position in range(len(index.names))]
    return [game and (vars(game.layout), game.walkthrough) for game in found]


def expected(index: GameIndex) -> list[Any]:
    """The same from the game files."""
    read = [read_game(index.path(name)) for name in index.names]
    return [(vars(Layout(game.problem, game.dialect)), game.walkthrough) for game in read]


def test_games_are_those_of_their_files_before_and_after_they_are_kept(release: GameIndex, own_cache: Path) -> None:
    assert contents(release, open_compiled(release)) == expected(release)
    content = stored(own_cache).read_bytes()
    assert contents(release, reopened(release)) == expected(release)
    assert stored(own_cache).read_bytes() == content
    game = open_compiled(release).game(1, "bring me a mug")
    assert game is not None
    assert game.layout.sentence == "bring me a mug"


def test_real_games_are_those_of_their_files(alfworld_data: Path) -> None:
    index = find_games(str(alfworld_data), "valid_seen")
    assert index is not None
    assert contents(index, open_compiled(index)) == expected(index)
    assert contents(index, reopened(index)) == expected(index)


def test_the_arrangement_is_all_that_a_layout_needs(release: GameIndex) -> None:
    game = read_game(release.path(NAMES[0]))
    assert vars(Layout(arrange(game.problem), game.dialect)) == vars(Layout(game.problem, game.dialect))


def test_games_or_code_that_change_make_another_file(
    release: GameIndex, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_compiled(release)
    first = stored(own_cache)
    monkeypatch.setattr(compiled, "_version", lambda: "another version of the code")
    reopened(release)
    assert len(list(own_cache.glob("alfworld/compiled-*"))) == 2
    tiny.write(release.root / NAMES[0], walkthrough=["look"])
    games.forget()
    changed = find_games(str(release.root), "valid_seen")
    assert changed is not None
    reopened(changed)
    assert len(list(own_cache.glob("alfworld/compiled-*"))) == 3
    assert first.is_file()


def test_a_file_that_changed_since_the_search_is_read_itself(release: GameIndex) -> None:
    env = ALFWorld(data=str(release.root), split="valid_seen")
    tiny.write(release.root / NAMES[1], grammar=tiny.GRAMMAR.replace("put a mug in desk.", "put the mug in the desk."))
    goals = [env.reset(options={"task": name})[1]["goal"] for name in NAMES]
    assert goals == ["put a mug in desk 0.", "put the mug in the desk.", "put a mug in desk 2."]


def test_a_game_that_the_rules_do_not_cover_is_left_to_its_own_file(release: GameIndex) -> None:
    tiny.write(release.root / NAMES[1], pddl_domain="(define (domain other))")
    games.forget()
    index = find_games(str(release.root), "valid_seen")
    assert index is not None
    assert [game is None for game in contents(index, open_compiled(index))] == [False, True, False]
    source = tasks.TaskSource(str(release.root), "valid_seen")
    with pytest.raises(UncoveredError, match="PDDL domain"):
        source.game(source.locate(NAMES[1]))


def test_the_stock_engine_alone_needs_no_index(release: GameIndex, own_cache: Path) -> None:
    ALFWorld(data=str(release.root), split="valid_seen", engine="reference").sample_tasks(0, 3)
    assert not list(own_cache.glob("alfworld/compiled-*"))


def test_a_cache_that_cannot_be_written_is_done_without(
    release: GameIndex, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "file"))
    assert contents(release, reopened(release)) == expected(release)


@pytest.mark.fault
def test_two_processes_may_compile_at_once(alfworld_data: Path, own_cache: Path) -> None:
    program = (
        "import sys; from envs.alfworld.environment import ALFWorld\n"
        "env = ALFWorld(data=sys.argv[1], split='valid_seen'); print(env.reset(seed=0)[0])"
    )
    command = [sys.executable, "-c", program, str(alfworld_data)]
    running = [subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in running]
    assert said[0] == said[1] == ALFWorld(data=str(alfworld_data), split="valid_seen").reset(seed=0)[0] + "\n"
    assert stored(own_cache).is_file()
    assert [path.suffix for path in own_cache.glob("alfworld/*")].count(".jsonl") == 1


HARMLESS = settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture])


@HARMLESS
@given(data=st.data())
def test_a_damaged_file_is_made_again(release: GameIndex, own_cache: Path, data: st.DataObject) -> None:
    whole = contents(release, reopened(release))
    path = stored(own_cache)
    intact = path.read_bytes()
    place = data.draw(st.integers(0, len(intact) - 1))
    damage = data.draw(st.binary(max_size=5))
    damaged = data.draw(st.sampled_from([intact[:place], intact[:place] + damage + intact[place + len(damage) :]]))
    path.write_bytes(damaged)
    assert contents(release, reopened(release)) == whole
    assert path.read_bytes() == intact


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 60) | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=2),
    max_leaves=8,
)


def replaced(value: Any, data: st.DataObject) -> Any:
    """A JSON value with something else at one place in it."""
    if not isinstance(value, list | dict) or not value or data.draw(st.integers(0, 4)) == 0:
        return data.draw(JSON)
    key = data.draw(st.sampled_from(sorted(value) if isinstance(value, dict) else range(len(value))))
    changed = dict(value) if isinstance(value, dict) else list(value)
    changed[key] = replaced(value[key], data)
    return changed


@HARMLESS
@given(data=st.data())
def test_a_forged_file_does_no_harm(release: GameIndex, own_cache: Path, data: st.DataObject) -> None:
    """Its checksum is right and its content is not: every game can still be played, from its own file if need be."""
    for left in own_cache.glob("alfworld/compiled-*"):
        left.unlink()
    reopened(release)
    path = stored(own_cache)
    lines = [json.loads(line) for line in path.read_bytes().split(b"\n")[1:]]
    chosen = data.draw(st.integers(0, len(lines) - 1))
    lines[chosen] = replaced(lines[chosen], data)
    forged = b"\n".join(json.dumps(line).encode() for line in lines)
    path.write_bytes(hashlib.sha256(forged).hexdigest().encode() + b"\n" + forged)
    for position in range(len(NAMES)):
        game = reopened(release).game(position)
        if game is not None:
            world = World(game.layout)
            for command in world.admissible_commands():
                world.reset()
                world.step(command)
                for further in world.admissible_commands()[:20]:
                    world.step(further)


@pytest.mark.parametrize("content", [b"", b"\n", b"[" * 100_000, b"{}", b"null\n" * 3, b'{"texts":[1]}\n1\n2\n3'])
def test_a_file_of_something_else_is_made_again(release: GameIndex, own_cache: Path, content: bytes) -> None:
    open_compiled(release)
    stored(own_cache).write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    assert contents(release, reopened(release)) == expected(release)
