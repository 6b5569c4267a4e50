"""The reward: the published code's own examples, its parts, and real goals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envs.webshop.products import Goal, Product, products_of
from envs.webshop.reward import alike, color_of, matched_options, score, title_overlap, type_score
from tests.envs.webshop.shops import item


def product(title: str = "Oak Table", **changes: object) -> Product:
    attributes = changes.pop("attributes", ["solid wood"])
    [made] = products_of([item("B1", title, **changes)], {"B1": {"attributes": attributes}}, "test").values()
    return made


def goal(attributes: list[str], options: dict[str, str] | list[str], limit: float = 40.0) -> Goal:
    pairs = tuple(options.items()) if isinstance(options, dict) else tuple(("", option) for option in options)
    return Goal("B1/0", "B1", "", "", tuple(attributes), pairs, limit)


SNEAKERS = "Mens D.O.N. Issue 2 Gca Basketball Sneakers Shoes Casual - Off White"
ASKED = ["tea tree", "essential oils", "natural ingredients"]


@pytest.mark.parametrize("option_bug", [True, False])
def test_the_published_examples(option_bug: bool):
    wanted = product(SNEAKERS, attributes=["tea tree", "essential oil", "natural ingredients"], small_description=[])
    chosen = {"color": "grey", "size": "XL"}
    assert score(wanted, goal(ASKED, chosen), wanted, chosen, option_bug).total == 1
    weaker = product(
        SNEAKERS,
        attributes=[],
        small_description=["This shampoo has essential oils and smells like lemons"],
        full_description="Best shampoo on the market, made with natural ingredients",
    )
    # The published test's features are one text, which its code reads letter by letter; so it finds one of three there.
    assert score(weaker, goal(ASKED, chosen), wanted, chosen, option_bug).total == pytest.approx(5 / 6)
    more = goal(ASKED, {**chosen, "amount": "pack of 12"})
    assert score(weaker, more, wanted, chosen, option_bug).total == pytest.approx(5 / 7)


@pytest.mark.parametrize(
    ("asked", "chosen", "count"),
    [
        (["grey", "XL", "pack of 12"], ["pack of 12", "grey", "XL"], 3),
        (["grey", "XL", "pack of 12"], ["pack of 12", "blue", "XL"], 2),
        (["cool powder snow", "XL", "pack of 12"], ["pack of 12", "powder snow", "XL"], 3),
        ([], ["1", "2"], 0),
        (["1", "2"], [], 0),
    ],
)
def test_the_published_examples_of_options(asked, chosen, count):
    assert matched_options(chosen, goal([], asked), option_bug=False) == count


@pytest.mark.parametrize(
    ("text", "color"),
    [
        ("black forest", "black"),
        ("violet lavender", "lavender"),
        ("steelivy fuchsia", "fuchsia"),
        ("123alabaster", "alabaster"),
        ("webshop", "webshop"),
        ("", ""),
    ],
)
def test_the_published_examples_of_colours(text: str, color: str):
    assert color_of(text) == color


def test_the_option_bug():
    chosen = ["greyish"]
    assert matched_options(chosen, goal([], {"color": "greyish"}), option_bug=False) == 1
    assert matched_options(chosen, goal([], {"color": "greyish"}), option_bug=True) == 0
    assert matched_options(chosen, goal([], ["greyish"]), option_bug=True) == 1
    assert matched_options(["red"], goal([], {"color": "red"}), option_bug=True) == 1


def test_the_kind_of_thing():
    wanted = product(SNEAKERS, query="sneakers", product_category="a \u203a b \u203a c")
    other = "BRST AC Power Cord Outlet Socket Cable Plug Lead for Panasonic"
    assert type_score(wanted, wanted) == 1
    assert type_score(product(other, query="sneakers", product_category="a \u203a b \u203a c"), wanted) == 0
    similar = "Casual Hat"
    for query, category, expected in [("sneakers", "x", 1), ("hats", "c \u203a a", 1), ("hats", "a \u203a a", 0.5)]:
        assert type_score(product(similar, query=query, product_category=category), wanted) == expected
    long = product(" ".join(f"word{letter}" for letter in "abcdefghijk") + " table", query="x", product_category="y")
    assert type_score(product("Table", query="x", product_category="y"), long) == 0.1


@pytest.mark.parametrize(
    ("title", "published"),
    [
        ("Saireed UL Listed 2 Prong Power Cord for JBL Bar 3.1 Bar 2.1 Channel 4K Ultra HD Soundbar Home Theater", 0.3),
        ("Saireed UL Listed 2 Prong Power Cord for JBL Bar 3.1 Bar 2.1 Channel 4K Ultra HD Soundbar", 0.15),
        ("Rusticware 921ORB Kitchen and Bath Cabinet Knob", 0.0),
    ],
)
def test_titles_compare_much_as_with_a_tagger(title: str, published: float):
    other = "BRST AC Power Cord Outlet Socket Cable Plug Lead for Panasonic SC-HT830V DVD/VCR Combo Home Theater System"
    assert title_overlap(other, title) == pytest.approx(published, abs=0.05)


def test_price_and_attributes():
    oak = product(pricing="$30.00", attributes=["solid wood"])
    bought = score(oak, goal(["solid woods", "easy clean", "tall"], [], limit=29.0), oak, {})
    assert (bought.attributes, bought.options, bought.price, bought.total) == (2, 0, False, 0.5)


@given(st.lists(st.sampled_from(["red", "large", "pack of 2", "oak"]), unique=True, max_size=4), st.booleans())
def test_buying_what_is_asked_for_pays_in_full(values: list[str], option_bug: bool):
    oak = product()
    asked = goal(["solid wood"], {f"option {value}": value for value in values})
    chosen = {f"option {value}": value for value in values}
    assert score(oak, asked, oak, chosen, option_bug).total == 1
    for name in chosen:
        fewer = {other: value for other, value in chosen.items() if other != name}
        assert score(oak, asked, oak, fewer).total < 1


def test_word_order_does_not_matter():
    assert alike("snow powder", "Powder  snow!")
    assert not alike("snow powder", "sand powder")


def test_real_attributes_are_found_in_their_own_product(real_data: Path):
    known = json.loads((real_data / "webshop" / "items_ins_v2_1000.json").read_text())
    asked = {asin: entry for asin, entry in known.items() if entry.get("instruction_attributes")}
    assert len(asked) > 300
    for entry in asked.values():
        own = product(attributes=entry["attributes"], small_description=[], full_description="")
        wanted = goal(entry["instruction_attributes"], [])
        assert score(own, wanted, own, {}).total == 1
        without = product(attributes=[], small_description=[], full_description="")
        assert score(without, wanted, without, {}).attributes == 0


def test_real_goals_are_bought_by_their_own_product_alone(real_data: Path):
    fixed = [entry["key"] for entry in json.loads((real_data / "webshop" / "expel_webshop_fixed100.json").read_text())]
    assert len(fixed) == 100
    products = [
        product(entry["name"], query=entry["query"], product_category=str(number)) for number, entry in enumerate(fixed)
    ]
    others = 0
    for place, entry in enumerate(fixed):
        own, asked = products[place], goal(["solid wood"], entry["goal_options"])
        chosen = dict(enumerate(entry["goal_options"]))
        assert score(own, asked, own, {str(name): value for name, value in chosen.items()}).total == 1
        others += sum(type_score(other, own) == 1 for other in products if other is not own)
    assert others < 0.2 * 100 * 99
