"""The verification: its walks, transcripts and table, and that it finds a difference where there is one."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.alfworld import transcripts
from envs.alfworld.dialects import CLASSIC, PUBLISHED
from envs.alfworld.generator import generate
from envs.alfworld.layout import Layout
from envs.alfworld.oracle import plan
from envs.alfworld.reading import parse_game, read_game
from envs.alfworld.reference import ReferenceWorld, remembering
from envs.alfworld.rules import CoolObject
from envs.alfworld.transcripts import TABLE, Answer, digest, first_difference, game_key, play, read_table, write_table
from envs.alfworld.verify import Game, Job, VerifyConfig, jobs_of, ordered, run
from envs.alfworld.verify_worker import older, walk
from envs.alfworld.walks import LENGTHS, Walk
from envs.alfworld.world import World
from envs.command import run_command
from envs.config import load
from envs.errors import InputError


def world(number: int) -> tuple[World, tuple[str, ...]]:
    layout = Layout(generate("train", number), PUBLISHED)
    return World(layout), plan(layout) or ()


@settings(deadline=None, max_examples=15)
@given(number=st.integers(0, 10**6), kind=st.sampled_from(sorted(LENGTHS)))
def test_a_walk_is_the_same_every_time_and_as_long_as_it_says(number: int, kind: str) -> None:
    native, solution = world(number)
    first = play(native, Walk(kind, "game", solution))
    assert len(first) == 1 + LENGTHS[kind]
    assert digest(first) == digest(play(world(number)[0], Walk(kind, "game", solution)))
    assert digest(first) != digest(play(native, Walk(kind, "another game", solution))) or kind == "expert"


def test_mixed_walks_try_every_side_of_a_game() -> None:
    answers = []
    for number in range(30):
        native, solution = world(number)
        answers.append(play(native, Walk("mixed", str(number), solution)))
    assert all(any(answer.won for answer in walked) for walked in answers)
    flat = [answer for walked in answers for answer in walked[1:]]
    verbs = Counter(answer.command.split()[0] for answer in flat if answer.command.split())
    expected = {"go", "open", "close", "take", "move", "examine", "look", "inventory", "help", "use"}
    assert expected | {"clean", "heat", "cool"} <= set(verbs)
    nothing = sum(answer.text == "Nothing happens." for answer in flat) / len(flat)
    assert 0.1 < nothing < 0.4


def test_an_unknown_walk_names_the_nearest() -> None:
    with pytest.raises(InputError, match="Did you mean 'mixed'"):
        Walk("mixd", "game", ())


@given(
    turn=st.integers(0, 4),
    field=st.sampled_from(("text", "admissible_commands", "won")),
)
def test_the_first_difference_is_found(turn: int, field: str) -> None:
    same = [Answer(f"go {number}", "said", ("look",), False) for number in range(5)]
    changed = {"text": "else", "admissible_commands": ("look", "go"), "won": True}
    other = [*same[:turn], same[turn]._replace(**{field: changed[field]}), *same[turn + 1 :]]
    assert first_difference(same, same) is None
    found = first_difference(same, other)
    assert found is not None
    assert (found.turn, found.what) == (turn, field)
    assert found.played[-1] == f"go {turn}"
    assert digest(same) != digest(other)
    cut = first_difference(same, same[:turn])
    assert cut is not None
    assert (cut.turn, cut.what) == (turn, "length")


def test_a_table_is_read_as_it_was_written(tmp_path: Path) -> None:
    rows = [("train/a", "mixed", "0" * 32), ("train/b", "long", "f" * 32)]
    assert write_table(tmp_path / "table.tsv", iter(rows)) == 2
    expected = {(game_key(name), kind): hashed for name, kind, hashed in rows}
    assert read_table(tmp_path / "table.tsv") == expected
    assert read_table(tmp_path / "absent.tsv") == {}
    (tmp_path / "table.tsv").write_text("what is this\n")
    with pytest.raises(InputError, match="line 1"):
        read_table(tmp_path / "table.tsv")


def test_a_wrong_rule_is_noticed(tmp_path: Path, alfworld_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the rule for cooling, a game that needs it no longer gives the table's transcript."""
    names = [game for game in ordered(str(alfworld_data), "all") if "cool" in game.task_type]
    table = read_table(TABLE)
    game = next(game for game in names if (game_key(game.name), "mixed") in table)
    job = Job(game, "mixed", table[game_key(game.name), "mixed"], "2.1.2", False)
    assert walk(job)["difference"] is None
    monkeypatch.setattr(CoolObject, "offers", lambda self, state: {})
    assert "the table says" in walk(job)["difference"]


def test_every_beginning_of_the_order_is_a_fair_sample(alfworld_data: Path) -> None:
    games = ordered(str(alfworld_data), "all")
    shares = Counter(game.task_type for game in games)
    assert len(games) == len(set(games)) == sum(shares.values())
    for count in (100, 500, 1000):
        begun = Counter(game.task_type for game in games[:count])
        assert all(abs(begun[kind] - share * count / len(games)) <= 2 for kind, share in shares.items())
    assert {game.name.partition("/")[0] for game in games[:100]} == {"train", "valid_seen"}


def test_every_game_in_the_table_gives_its_transcript(alfworld_data: Path) -> None:
    """The whole table, without the stock engine that made it."""
    jobs = jobs_of(load(VerifyConfig, [f"data={alfworld_data}", "against=table", "walk=all"]))
    assert len(jobs) == len(read_table(TABLE)) == 3_693 + 5 * 200
    wrong = [row for row in map(walk, jobs) if row["difference"] is not None]
    assert not wrong, wrong[:3]


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["data=/nowhere/at/all"], "no such folder"),
        (["data={data}", "games=none"], "games=none: give a number"),
        (["data={data}", "walk=lonng"], "Did you mean 'long'"),
        (["data={data}", "split=trian"], "Did you mean 'train'"),
        (["data={data}", "against=table", "format=2.1.1"], "format 2.1.2 only"),
    ],
)
def test_bad_input_is_one_line(
    alfworld_data: Path, tmp_path: Path, words: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [word.format(data=alfworld_data) for word in words]
    assert run_command("verify", VerifyConfig, run, description="", argv=[*given, f"out={tmp_path / 'out'}"]) == 2
    errors = capsys.readouterr().err
    assert line in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_the_older_format_is_that_of_its_package(alfworld_data: Path) -> None:
    game = ordered(str(alfworld_data), "all")[0]
    data = json.loads(game.path.read_text())
    remade = parse_game(json.dumps(older(data)), "remade")
    assert remade.dialect == CLASSIC
    assert remade.problem == read_game(game.path).problem
    assert remade.walkthrough == ()
    with pytest.raises(InputError, match="no older form"):
        older(older(data))


def test_the_stock_engine_says_the_same_while_it_remembers(alfworld_data: Path) -> None:
    pytest.importorskip("alfworld", reason="the stock engine is absent: pip install 'keystone-rl[alfworld]'")
    game = ordered(str(alfworld_data), "valid_seen")[0]
    walkthrough = read_game(game.path).walkthrough
    plain = play(ReferenceWorld(game.path), Walk("mixed", game.name, walkthrough))
    with remembering():
        quick = play(ReferenceWorld(game.path), Walk("mixed", game.name, walkthrough))
    assert first_difference(plain, quick) is None


def test_the_command_compares_resumes_and_writes_its_table(
    alfworld_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("alfworld", reason="the stock engine is absent: pip install 'keystone-rl[alfworld]'")
    out, table = tmp_path / "out", tmp_path / "table.tsv"
    words = [f"data={alfworld_data}", "walk=walkthrough", "jobs=2", f"out={out}", f"table={table}"]
    assert run_command("verify", VerifyConfig, run, description="", argv=[*words, "games=2"]) == 0
    assert "2 games, 2 walks (walkthrough 2), 80 commands: 0 walks differ" in capsys.readouterr().out
    with (out / "rows.jsonl").open("a") as file:
        file.write('{"game": "cut')
    for found in ("3 walks, 2 of them done before", "3 walks, 3 of them done before"):
        assert run_command("verify", VerifyConfig, run, description="", argv=[*words, "games=3"]) == 0
        assert found in capsys.readouterr().out
    assert len(read_table(table)) == 3


def test_what_is_no_whole_row_is_walked_again(
    alfworld_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "out" / "rows.jsonl"
    rows.parent.mkdir()
    game = ordered(str(alfworld_data), "all")[0]
    row = walk(Job(game, "mixed", "0" * 32, "2.1.2", False)) | {"difference": None}
    read = row.keys() - {"task_type", "remember"}
    without = [{name: value for name, value in row.items() if name != left} for left in read]
    broken = [*without, row | {"commands": "80"}, row | {"difference": 1}, [row], 3]
    rows.write_text("".join(f"{json.dumps(line)}\n" for line in [*broken, row]) + json.dumps(row)[:-9])
    words = [f"data={alfworld_data}", "games=1", "walk=mixed", f"out={rows.parent}"]
    assert run_command("verify", VerifyConfig, run, description="", argv=words) == 0
    said = capsys.readouterr().out
    assert "1 walks, 1 of them done before" in said
    assert "1 games, 1 walks (mixed 1)" in said
    assert rows.read_text().endswith("\n")


@pytest.mark.parametrize(
    ("word", "line", "code"),
    [
        ("table={folder}/nowhere/table.tsv", "there is no folder", 2),
        ("table={folder}", "is a folder; a file is needed", 2),
        ("out=/proc/keystone", "cannot write /proc/keystone/rows.jsonl: No such file or directory.", 1),
    ],
)
def test_what_cannot_be_written_is_said_before_the_first_walk(
    alfworld_data: Path, tmp_path: Path, word: str, line: str, code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [f"data={alfworld_data}", f"out={tmp_path / 'out'}", word.format(folder=tmp_path)]
    assert run_command("verify", VerifyConfig, run, description="", argv=words) == code
    said = capsys.readouterr()
    assert line in said.err
    assert said.err.count("\n") == 1
    assert "verifying" not in said.out


def test_a_file_that_the_rules_do_not_cover_counts_as_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "game.tw-pddl"
    path.write_text(json.dumps({"pddl_domain": "(define)", "grammar": "", "pddl_problem": ""}))
    row = walk(Job(Game("train/x/y", "x", path), "mixed", "0" * 32, "2.1.2", False))
    assert "the native engine refuses it" in row["difference"]


def test_the_table_is_in_the_repository() -> None:
    assert transcripts.TABLE.is_file()
