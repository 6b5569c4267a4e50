"""WebShop as an environment: pages, clicks, purchases, and real goals."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs.contract import CHECKS, Subject, play
from envs.errors import InputError
from envs.webshop.catalogue import generated_catalogue
from envs.webshop.environment import WebShop
from tests.envs.webshop.shops import instruction, item, options, written

ITEMS = [
    item("B1", "Oak Table", customization_options=options(color=["Red", "Blue"], size=["Small"])),
    *[item(f"B{number}", f"Pine Table {number}") for number in range(2, 15)],
]
HUMAN = {
    record["asin"]: [instruction("a table of solid wood", ["solid wood"], ["red"] if record["asin"] == "B1" else [])]
    for record in ITEMS
}


def world(folder: Path, **changes) -> WebShop:
    env = envs.make("webshop", data=str(written(folder, ITEMS, {}, HUMAN)), **changes)
    assert isinstance(env, WebShop)
    return env


def test_a_purchase_page_by_page(tmp_path: Path):
    env = world(tmp_path)
    text, info = env.reset(options={"task": "B1/0"})
    goal = info["goal"]
    assert text == f"WebShop [SEP] Instruction: [SEP] {goal} [SEP] Search"
    assert info["admissible_commands"] == ["search[a table of solid wood]"]
    text, _, _, _, info = env.step("search[oak tables]")
    assert info["is_action_valid"]
    assert text.startswith(
        f"Instruction: [SEP] {goal} [SEP] Back to Search [SEP] Page 1 (Total results: 14) [SEP] Next > [SEP] B1 [SEP]"
        " Oak Table [SEP] $12.5 [SEP] B2"
    )
    assert len(info["admissible_commands"]) == 12
    assert "click[< prev]" not in info["admissible_commands"]
    text, *_ = env.step("click[Next >]")
    assert "Page 2 (Total results: 14) [SEP] < Prev [SEP] Next > [SEP] B11" in text
    env.step("click[< prev]")
    text, _, _, _, info = env.step("click[b1]")
    assert text == (
        f"Instruction: [SEP] {goal} [SEP] Back to Search [SEP] < Prev [SEP] color [SEP] red [SEP] blue [SEP] size [SEP]"
        " small [SEP] Oak Table [SEP] Price: $12.5 [SEP] Rating: N.A. [SEP] Description [SEP] Features [SEP] Reviews"
        " [SEP] Buy Now"
    )
    assert env.step("click[features]")[0].endswith("< Prev [SEP] solid wood [SEP] easy clean")
    assert env.step("click[< prev]")[0] == text
    assert env.step("click[description]")[0].endswith("< Prev [SEP] A table.")
    env.step("click[< prev]")
    assert env.step("click[reviews]")[0].endswith("[SEP] < Prev")
    env.step("click[< prev]")
    env.step("click[blue]")
    assert env.step("click[red]")[0] == f"You have clicked red. [SEP] {text}"
    text, reward, terminated, truncated, info = env.step("click[Buy Now]")
    assert (reward, terminated, truncated, info["won"]) == (1.0, True, False, True)
    assert text == "Thank you for shopping with us! [SEP] Your score (min 0.0, max 1.0): 1"


def test_a_poor_purchase_is_paid_in_part_and_not_won(tmp_path: Path):
    env = world(tmp_path)
    env.reset(options={"task": "B1/0"})
    for action in ("search[oak]", "click[b1]"):
        env.step(action)
    assert not env.step("click[nothing]")[4]["is_action_valid"]
    _, reward, terminated, _, info = env.step("click[buy now]")
    assert reward == pytest.approx(2 / 3)
    assert (terminated, info["won"], info["is_action_valid"]) == (True, False, True)


def test_options_are_forgotten_on_the_way_back(tmp_path: Path):
    env = world(tmp_path)
    env.reset(options={"task": "B1/0"})
    for action in ("search[oak]", "click[b1]", "click[red]", "click[< prev]"):
        env.step(action)
    assert "You have clicked" not in env.step("click[b1]")[0]


@pytest.mark.parametrize(
    "action", ["", "buy", "click[b1]", "click[search]", "search[]", "click[buy now]", "search", "]["]
)
def test_what_is_not_possible_shows_the_page_again(tmp_path: Path, action: str):
    env = world(tmp_path)
    text, info = env.reset(options={"task": "B1/0"})
    told, reward, _, _, after = env.step(action)
    assert told.endswith(f" [SEP] {text}")
    assert told.startswith("That is not possible here")
    assert (reward, after) == (0.0, {**info, "is_action_valid": False})
    assert env.step("search[oak]")[4]["is_action_valid"]


def test_other_alphabets_are_in_the_spaces(tmp_path: Path):
    record = item("B1", "Tische ★ Größe", customization_options=options(größe=["klein ½"]))
    goals = {record["asin"]: [instruction("ein Tisch für später", ["solid wood"], ["klein ½"])]}
    items = [record, item("B2", "Tisch"), item("B3", "Tisch")]
    goals |= {asin: [instruction("ein Tisch", ["solid wood"], [])] for asin in ("B2", "B3")}
    env = envs.make("webshop", data=str(written(tmp_path, items, {}, goals)))
    told = [env.reset(options={"task": "B1/0"})[0], *(env.step(action)[0] for action in ("search[größe]", "click[b1]"))]
    assert all(map(env.observation_space.contains, told))
    assert env.action_space.contains("click[klein ½]")


def test_nothing_found(tmp_path: Path):
    env = world(tmp_path)
    env.reset(seed=0)
    text, _, _, _, info = env.step("search[zzz]")
    assert "Page 1 (Total results: 0)" in text
    assert info["admissible_commands"] == ["click[back to search]", "click[next >]"]
    assert "results: 0" in env.step("search['s]")[0]
    assert env.step("search[the]")[4]["admissible_commands"] == info["admissible_commands"]
    assert env.step("click[back to search]")[0].startswith("WebShop")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 1000), choices=st.lists(st.integers(0, 100), max_size=14))
def test_every_command_offered_is_taken(seed: int, choices: list[int]):
    env = envs.make("webshop", products=50)
    _, info = env.reset(seed=seed)
    for choice in choices:
        commands = info["admissible_commands"]
        text, reward, terminated, _, info = env.step(commands[choice % len(commands)])
        assert "not possible" not in text
        assert 0 <= reward <= 1
        if terminated:
            break


def test_the_oracle_finds_its_way_from_anywhere():
    env = envs.make("webshop")
    text, info = env.reset(seed=4)
    oracle = env.players["oracle"](env, 0)
    for action in ("search[shampoo]", info["admissible_commands"][0], "click[next >]"):
        env.step(action)
    text, _, _, _, info = env.step("click[next >]")
    done = False
    while not done:
        text, _, done, truncated, info = env.step(oracle.act(text, info))
        assert not truncated
    assert info["won"]


@pytest.mark.parametrize("split", ["train", "valid", "test"])
def test_the_oracle_wins_all_kinds_of_generated_goals(split: str):
    env = envs.make("webshop", split=split)
    for task in env.sample_tasks(1, 40):
        assert play(env, task, "oracle", 0)[1][-1][4]["won"], task


def test_a_task_brings_its_own_shop_along():
    env = envs.make("webshop", products=100)
    [task] = envs.make("webshop", products=200, split="test").sample_tasks(0, 1)
    assert env.reset(options={"task": task})[1]["task"] == task
    assert play(env, task, "oracle", 0)[1][-1][4]["won"]


def real_shop(real_data: Path, folder: Path) -> Path:
    """The 100 real goals in WebShop's files; what they do not tell of their products is made up."""
    fixed = json.loads((real_data / "webshop" / "expel_webshop_fixed100.json").read_text())
    known = json.loads((real_data / "webshop" / "items_ins_v2_1000.json").read_text())
    items, human = [], {}
    for entry in fixed:
        facts = entry["key"]
        asin = facts["asin"]
        values = {f"option {place}": ["other", value] for place, value in enumerate(facts["goal_options"])}
        items.append(item(asin, facts["name"], query=facts["query"], customization_options=options(**values)))
        text = entry["task"].partition("\n")[0].partition(", and price lower than")[0]
        human.setdefault(asin, []).append(instruction(text, ["solid wood"], facts["goal_options"]))
    return written(folder, items, known, human)


def test_real_goals_are_won(real_data: Path, tmp_path: Path):
    folder = str(real_shop(real_data, tmp_path))
    won = []
    for split in ("train", "valid", "test"):
        env = envs.make("webshop", data=folder, split=split)
        count = int(env.describe_data().split()[0])
        won += [play(env, task, "oracle", 0)[1][-1][4]["won"] for task in env.sample_tasks(0, count)]
    assert len(won) == 100
    assert all(won)


@pytest.mark.parametrize("check", CHECKS)
def test_real_goals_keep_the_contract(real_data: Path, tmp_path: Path, check: str):
    assert CHECKS[check](Subject("webshop", {"data": str(real_shop(real_data, tmp_path))}, seed=1, num_tasks=4))


def test_real_instructions_are_playable_searches(real_data: Path, tmp_path: Path):
    texts = json.loads((real_data / "webshop" / "human_goals.json").read_text())
    assert len(texts) == 12087
    human = {"B2": [instruction(text, ["solid wood"], []) for text in texts]}
    env = envs.make("webshop", data=str(written(tmp_path, ITEMS, {}, human)), split="test")
    for task in env.sample_tasks(0, 200):
        [command] = env.reset(options={"task": task})[1]["admissible_commands"]
        assert len(command) < 200
        assert "Page 1" in env.step(command)[0]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"split": "tests"}, "Did you mean 'test'"),
        ({"goals": "humans", "data": "x"}, "Did you mean 'human'"),
        ({"goals": "human"}, "chooses among WebShop's own files"),
        ({"products": 5}, "products should be a whole number from 30 to 20,000"),
        ({"products": 50, "data": "x"}, "is for a generated shop"),
        ({"max_turns": 0}, "max_turns should be a whole number of at least 1, got 0"),
        ({"data": "nowhere"}, "no file or folder"),
    ],
)
def test_wrong_options_are_refused(changes, reason):
    with pytest.raises(InputError, match=reason):
        envs.make("webshop", **changes)


@pytest.mark.parametrize("task", ["", "B1/0", "generated/1000/B1/0", "generated/x/B1/0"])
def test_unknown_tasks_are_refused(task: str):
    with pytest.raises(InputError, match="are named like 'generated/1000/"):
        envs.make("webshop").reset(options={"task": task})


@pytest.mark.parametrize("products", [5, 20_001, 999_999])
def test_a_name_asks_for_no_shop_that_the_options_do_not_allow(products: int):
    env = envs.make("webshop", products=30)
    made = generated_catalogue.cache_info().misses
    with pytest.raises(InputError, match="are named like 'generated/30/"):
        env.reset(options={"task": f"generated/{products}/B1/0"})
    assert generated_catalogue.cache_info().misses == made


def test_another_process_finds_the_same():
    code = (
        "import envs; env = envs.make('webshop', products=60); env.reset(seed=1); print(env.step('search[red rug]')[0])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    env = envs.make("webshop", products=60)
    env.reset(seed=1)
    assert env.step("search[red rug]")[0] == told.strip()
