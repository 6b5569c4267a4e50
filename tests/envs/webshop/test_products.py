"""WebShop's files: products, both kinds of goals, splits, and what is missing or broken."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from envs.errors import InputError
from envs.webshop.catalogue import generated_catalogue, read_catalogue
from envs.webshop.products import human_goals, products_of, synthetic_goals
from tests.envs.webshop.shops import instruction, item, options, written

TABLE = item("B1", "Oak Table", customization_options=options(Size=["2/3 ft", " Large "], color=["Red"]) | {"x": None})
KNOWN = {
    "B1": {"attributes": ["solid wood"], "instruction": "Find me a table", "instruction_attributes": ["solid wood"]}
}


def test_a_product_is_read_as_the_shop_shows_it():
    table = products_of([TABLE], KNOWN, "test")["B1"]
    assert table.options == {"size": ("2 | 3 ft", "large"), "color": ("red",)}
    assert (table.price, table.price_tag, table.query) == (12.5, "$12.5", "console tables")
    assert table.attributes == ("solid wood",)


@pytest.mark.parametrize(
    ("pricing", "tag"), [("$1,299.00", "$1299.0"), ("", "$100.0"), (None, "$100.0"), ("$5.00 - $9.99", "$5.0 to $9.99")]
)
def test_prices(pricing: str | None, tag: str):
    table = products_of([item("B1", "Table", pricing=pricing)], {}, "test")["B1"]
    assert table.price_tag == tag
    assert table.attributes == ("DUMMY_ATTR",)
    if "to" in tag:
        assert 5 <= table.price <= 9.99
        assert products_of([item("B1", "Table", pricing=pricing)], {}, "test")["B1"].price == table.price


def test_records_that_the_published_code_skips():
    items = [item("B1", "first"), item("B1", "again"), item("nan", "no number"), item("B1234567890", "too long")]
    assert [product.title for product in products_of(items, {}, "test").values()] == ["first"]


def test_goals_by_people():
    products = products_of([TABLE], KNOWN, "test")
    entries = {"B1": [instruction("a table.", ["solid wood"], ["red"]), instruction("no attributes", [], [])]}
    [goal] = human_goals(products, entries, "test")
    assert (goal.name, goal.words, goal.options) == ("B1/0", "a table", (("", "red"),))
    assert goal.price_upper in (30.0, 40.0, 50.0)
    assert goal.instruction == f"a table, and price lower than {goal.price_upper:.2f} dollars"


def test_goals_from_templates_are_one_for_every_choice():
    goals = synthetic_goals(products_of([TABLE], KNOWN, "test"), KNOWN)
    assert [goal.words for goal in goals] == [
        "Find me a table with color: red, and size: 2 | 3 ft",
        "Find me a table with color: red, and size: large",
    ]
    assert goals[0].options == (("color", "red"), ("size", "2 | 3 ft"))


def test_what_costs_too_much_has_no_limit():
    dear = products_of([item("B1", "Yacht", pricing="$995.00")], KNOWN, "test")
    [goal] = synthetic_goals(dear, KNOWN)
    assert goal.instruction == "Find me a table"
    assert goal.price_upper > 995


def shop(folder: Path, count: int = 40) -> Path:
    items = [item(f"B{number}", f"table number {number}") for number in range(count)]
    known = {record["asin"]: KNOWN["B1"] for record in items}
    human = {record["asin"]: [instruction("a table", ["solid wood"], [])] for record in items}
    return written(folder, items, known, human)


def test_splits_are_apart_and_complete(tmp_path: Path):
    catalogue = read_catalogue(str(shop(tmp_path)), "")
    assert {split: len(names) for split, names in catalogue.splits.items()} == {"test": 4, "valid": 4, "train": 32}
    assert sorted(name for names in catalogue.splits.values() for name in names) == sorted(catalogue.goals)
    assert "human goals" in catalogue.source
    assert "synthetic goals" in read_catalogue(str(tmp_path / "items_shuffle_1000.json"), "synthetic").source


def test_large_sets_of_goals_have_the_published_splits(tmp_path: Path):
    catalogue = read_catalogue(str(shop(tmp_path, 3100)), "")
    assert {split: len(names) for split, names in catalogue.splits.items()} == {
        "test": 500,
        "valid": 1000,
        "train": 1600,
    }


def test_generated_splits_share_no_product():
    catalogue = generated_catalogue(100)
    products = [{name.split("/")[0] for name in names} for names in catalogue.splits.values()]
    assert sum(map(len, products)) == len(set().union(*products)) == 100
    assert len(catalogue.goals) == 500


def test_a_larger_generated_shop_starts_with_the_smaller_one():
    small, large = generated_catalogue(50).shop.products, generated_catalogue(100).shop.products
    assert list(large.items())[:50] == list(small.items())


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: (folder / "items_ins_v2_1000.json").unlink(), "no items_ins_v2_1000.json"),
        (lambda folder: (folder / "items_shuffle_1000.json").unlink(), r"one items_shuffle\*.json.*has none"),
        (lambda folder: (folder / "items_shuffle.json").write_text("[]"), "name one of them"),
        (lambda folder: (folder / "items_shuffle_1000.json").write_text("{"), "is not valid JSON"),
        (lambda folder: (folder / "items_shuffle_1000.json").write_bytes(b"\xff"), "is not UTF-8 text"),
        (lambda folder: (folder / "items_shuffle_1000.json").write_text("{}"), "should hold a list, and"),
        (lambda folder: (folder / "items_ins_v2_1000.json").write_text("[]"), "should hold entries by product number"),
        (lambda folder: (folder / "items_shuffle_1000.json").write_text("[1]"), "product 0 lacks 'asin', 'name'"),
        (lambda folder: (folder / "items_shuffle_1000.json").write_text("[]"), "0 goals"),
        (lambda folder: (folder / "items_human_ins.json").write_text('{"B1": [{}]}'), "instruction 0 of B1 lacks"),
    ],
)
def test_missing_and_broken_files_give_one_line(tmp_path: Path, change, reason: str):
    change(shop(tmp_path))
    with pytest.raises(InputError, match=reason):
        read_catalogue(str(tmp_path), "")


@pytest.mark.parametrize("changes", [{"pricing": "$x"}, {"query": 5}, {"customization_options": {"size": [{}]}}])
def test_a_broken_product_is_named(tmp_path: Path, changes: dict[str, object]):
    written(tmp_path, [item("B7", "Table", **changes)], KNOWN)
    with pytest.raises(InputError, match=r"items_shuffle_1000.json: product 0 \(B7\) cannot be understood"):
        read_catalogue(str(tmp_path), "")


def test_goals_by_people_need_their_file(tmp_path: Path):
    shop(tmp_path)
    (tmp_path / "items_human_ins.json").unlink()
    assert "synthetic" in read_catalogue(str(tmp_path), "").source
    with pytest.raises(InputError, match=r"no items_human_ins.json .* or give goals=synthetic"):
        read_catalogue(str(tmp_path), "human")
    with pytest.raises(InputError, match="no file or folder"):
        read_catalogue(str(tmp_path / "nowhere"), "")
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(InputError, match="is named items_shuffle"):
        read_catalogue(str(tmp_path / "other.json"), "")


def test_a_changed_file_is_read_again(tmp_path: Path):
    shop(tmp_path)
    before = read_catalogue(str(tmp_path), "")
    assert read_catalogue(str(tmp_path), "") is before
    path = tmp_path / "items_shuffle_1000.json"
    path.write_text(json.dumps(json.loads(path.read_text())[:30]))
    assert len(read_catalogue(str(tmp_path), "").shop.products) == 30


def test_the_published_order_settles_the_splits(tmp_path: Path):
    texts = [f"i'm looking for table number {number}." for number in range(40)]
    items = [item(f"B{number}", "table") for number in range(40)]
    human = {f"B{number}": [instruction(text, ["solid wood"], [])] for number, text in enumerate(texts)}
    written(tmp_path, items, {}, human)
    told = [f"something else {number}" for number in range(2000)]
    for place, number in ((3, 7), (499, 8), (500, 9), (1499, 10), (1500, 11)):
        told[place] = texts[number].replace("'", "").strip(".")
    (tmp_path / "human_goals.json").write_text(json.dumps(told))
    splits = read_catalogue(str(tmp_path), "").splits
    assert splits["test"] == ["B7/0", "B8/0"]
    assert splits["valid"] == ["B9/0", "B10/0"]
    assert len(splits["train"]) == 36


def test_equal_instructions_take_one_place_each(tmp_path: Path):
    items = [item(f"B{number}", "table") for number in range(3)]
    human = {record["asin"]: [instruction("a table", ["solid wood"], [])] for record in items}
    written(tmp_path, items, {}, human)
    told = ["other"] * 600
    told[1] = told[550] = "a table"
    (tmp_path / "human_goals.json").write_text(json.dumps(told))
    splits = read_catalogue(str(tmp_path), "").splits
    assert splits == {"test": ["B0/0"], "valid": ["B1/0"], "train": ["B2/0"]}


def test_the_published_order_is_that_of_real_goals(real_data: Path):
    order = json.loads((real_data / "webshop" / "human_goals.json").read_text())
    fixed = json.loads((real_data / "webshop" / "expel_webshop_fixed100.json").read_text())
    for entry in fixed:
        place = int(entry["session_idx"].removeprefix("fixed_"))
        text = entry["task"].partition(", and price lower than")[0].partition("\n")[0]
        assert normal(order[place]) == normal(text)


def normal(text: str) -> str:
    return re.sub(r"[^a-z0-9]", "", text.lower())
