"""WebShop's players: the oracle knows which product is meant, the expert only what the pages show."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs.contract import play
from envs.errors import InputError
from envs.webshop.environment import WebShop
from tests.envs.webshop.shops import instruction, item, options, written


def expert_of(env: Any) -> Any:
    return env.players["expert"](env, 0)


def opened(folder: Path, items: list[Any], words: str, *wanted: str) -> tuple[WebShop, str, Any]:
    """A shop with a goal of its own first product; the others' goals are there to fill the splits."""
    human = {record["asin"]: [instruction("something else", ["solid wood"], [])] for record in items[1:]}
    human[items[0]["asin"]] = [instruction(words, ["solid wood"], list(wanted))]
    env = envs.make("webshop", data=str(written(folder, items, {}, human)))
    assert isinstance(env, WebShop)
    return env, *env.reset(options={"task": f"{items[0]['asin']}/0"})


def bought(env: WebShop, text: str, info: Any) -> tuple[list[str], Any]:
    player, said, done = expert_of(env), list[str](), False
    while not done:
        said.append(player.act(text, info))
        text, _, done, truncated, info = env.step(said[-1])
        assert info["is_action_valid"], said
        assert not truncated, said
    return said, info


def test_the_expert_writes_numbers_as_the_page_does(tmp_path: Path):
    items = [
        item("B0RED", "Oak Table", customization_options=options(color=["Red", "Blue"], size=["7", "7.5", "17"])),
        *[item(f"B{number}", f"Pine Chair {number}") for number in range(2, 5)],
    ]
    env, text, info = opened(tmp_path, items, "an oak table in red, size 7.5.", "red", "7.5")
    said, info = bought(env, text, info)
    assert said == [
        "search[an oak table in red, size 7.5]",
        *("click[B0RED]", "click[red]", "click[7.5]", "click[buy now]"),
    ]
    assert info["won"]


def test_the_value_after_the_name_of_its_option_is_meant(tmp_path: Path):
    changes = {"customization_options": options(width=["10 ft", "12"], length=["10", "12"])}
    items = [item("B1", "Oak Table", **changes), *[item(f"B{number}", "Pine Chair") for number in range(2, 5)]]
    env, text, info = opened(tmp_path, items, "oak table, 12 of them, with width: 10 ft, and length: 10", "10 ft", "10")
    said, _ = bought(env, text, info)
    assert said[2:] == ["click[10 ft]", "click[10]", "click[buy now]"]


@pytest.mark.parametrize("player", ["oracle", "expert"])
def test_values_that_two_options_share_end_in_a_purchase(tmp_path: Path, player: str):
    # A click on either value chooses the length, so that what the goal asks for cannot be had.
    changes = {"customization_options": options(width=["10", "12"], length=["10", "12"])}
    items = [item("B1", "Oak Table", **changes), *[item(f"B{number}", "Pine Chair") for number in range(2, 5)]]
    env, _, _ = opened(tmp_path, items, "oak table with width: 12, and length: 10", "12", "10")
    answers = play(env, "B1/0", player, 0)[1]
    assert answers[-1][2]
    assert answers[-1][1] > 0
    assert len(answers) < 7


def test_what_the_goal_cannot_pay_is_passed_over(tmp_path: Path):
    dear = [item(f"B{number}", "Oak Oak Table", pricing="$9,000.00") for number in range(2, 5)]
    items = [item("B1", "Oak Bench", pricing="$15.00 - $5,000.00"), *dear]
    env, text, info = opened(tmp_path, items, "an oak table")
    text, _, _, _, info = env.step("search[oak oak table]")
    assert text.index("B2 [SEP]") < text.index("B1 [SEP]")
    # A range is judged by its lower end; which price it has is not on the page.
    env._goal = replace(env.visit().goal, price_upper=20.0)
    assert expert_of(env).act(text, info) == "click[B1]"
    env._goal = replace(env.visit().goal, price_upper=5.0)
    assert expert_of(env).act(text, info) == "click[B2]"


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), choices=st.lists(st.integers(0, 100), max_size=6))
def test_the_expert_does_not_look_at_what_is_hidden(seed: int, choices: list[int]):
    env = envs.make("webshop", products=50)
    assert isinstance(env, WebShop)
    text, info = env.reset(seed=seed)
    for choice in choices:
        commands = [command for command in info["admissible_commands"] if command != "click[buy now]"]
        text, _, _, _, info = env.step(commands[choice % len(commands)])
    before, goal = expert_of(env).act(text, info), env.visit().goal
    others = sorted(set(env.visit().shop.products) - {goal.asin})
    env._goal = replace(goal, asin=others[seed % len(others)], attributes=(), options=())
    assert expert_of(env).act(text, info) == before
    assert env.step(before)[4]["is_action_valid"]


@pytest.mark.parametrize("products", [30, 1000])
def test_the_expert_wins_most_generated_goals(products: int):
    env = envs.make("webshop", split="test", products=products)
    won = [play(env, task, "expert", 0)[1][-1][4]["won"] for task in env.sample_tasks(0, 50)]
    assert sum(won) >= 47


def test_nothing_found_and_sub_pages():
    env = envs.make("webshop")
    text, info = env.reset(seed=0)
    expert = expert_of(env)
    text, _, _, _, info = env.step("search[zzz]")
    assert expert.act(text, info) == "click[back to search]"
    env.reset(seed=0)
    text, _, _, _, info = env.step(expert.act(text, env.reset(seed=0)[1]))
    env.step(expert.act(text, info))
    text, _, _, _, info = env.step("click[features]")
    assert expert.act(text, info) == "click[< prev]"


def test_real_instructions_are_searched_for(real_data: Path, tmp_path: Path):
    texts = json.loads((real_data / "webshop" / "human_goals.json").read_text())[:60]
    items = [item(f"B{number}", f"Thing {number}") for number in range(60)]
    human = {f"B{number}": [instruction(text, ["solid wood"], [])] for number, text in enumerate(texts)}
    env = envs.make("webshop", data=str(written(tmp_path, items, {}, human)))
    for task in env.sample_tasks(0, 40):
        answers = play(env, task, "expert", 0)[1]
        assert all(answer[4]["is_action_valid"] for answer in answers), task


@pytest.mark.parametrize("player", ["oracle", "expert"])
def test_the_players_play_webshop_only(player: str):
    other = envs.make("sokoban")
    other.reset(seed=0)
    with pytest.raises(InputError, match="this player plays WebShop only, not Sokoban"):
        WebShop.players[player](other, 0)
