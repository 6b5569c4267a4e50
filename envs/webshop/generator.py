"""A generated shop, in the records of WebShop's own files.

Products are of some kinds (sandals, lamps, teas, ...); a kind has attributes and options of its own, and a product some
of these attributes. So several products fit most instructions partly, and few fit them in full. Product number n is the
same whatever the size of the shop. All words were written for this project; none comes from WebShop's data.
"""

from __future__ import annotations

import random
from typing import Any, NamedTuple

from envs.webshop.products import CATEGORY_SEPARATOR

NUM_GOALS = 5
"""Instructions for each product."""


class _Kind(NamedTuple):
    """A kind of product: what it is called, where it stands, what is said of it, what can be chosen, what it costs."""

    noun: str
    category: str
    path: str
    attributes: str
    options: dict[str, str]
    dollars: tuple[int, int]


_SHADES = "black, white, red, blue, green, grey, pink, yellow, brown, purple"
_SHOES = {"color": _SHADES, "size": "6, 6.5, 7, 7.5, 8, 8.5, 9, 10"}
_CLOTHES = {"color": _SHADES, "size": "x-small, small, medium, large, x-large, xx-large"}
_FASHION, _HOME = "Clothing, Shoes & Jewelry", "Home & Kitchen"
_KINDS = (
    _Kind(
        "women's sandals",
        "fashion",
        f"{_FASHION} > Women > Shoes > Sandals",
        "open toe, ankle strap, rubber sole, arch support, memory foam, high heel, quick drying",
        _SHOES,
        (15, 80),
    ),
    _Kind(
        "men's sneakers",
        "fashion",
        f"{_FASHION} > Men > Shoes > Sneakers",
        "lace closure, rubber sole, memory foam, arch support, non slip, water resistant, light weight",
        _SHOES,
        (25, 120),
    ),
    _Kind(
        "women's dresses",
        "fashion",
        f"{_FASHION} > Women > Clothing > Dresses",
        "short sleeve, machine wash, polyester spandex, elastic waist, v neck, long sleeve, loose fit",
        _CLOTHES,
        (18, 90),
    ),
    _Kind(
        "men's shirts",
        "fashion",
        f"{_FASHION} > Men > Clothing > Shirts",
        "button closure, machine wash, regular fit, slim fit, long sleeve, moisture wicking, pure cotton",
        _CLOTHES,
        (12, 60),
    ),
    _Kind(
        "area rugs",
        "garden",
        f"{_HOME} > Home Decor > Rugs > Area Rugs",
        "easy clean, spot clean, non slip, living room, dining room, low pile, stain resistant",
        {
            "color": _SHADES,
            "shape": "round, square, rectangular, oval",
            "size": "2 x 3 ft, 4 x 6 ft, 5 x 8 ft, 8 x 10 ft",
        },
        (30, 300),
    ),
    _Kind(
        "table lamps",
        "garden",
        f"{_HOME} > Lighting > Lamps > Table Lamps",
        "glass shade, brushed nickel, living room, energy efficient, touch control, solid wood, easy assemble",
        {"color": "black, white, bronze, silver, gold", "style": "modern, rustic, vintage, industrial"},
        (20, 150),
    ),
    _Kind(
        "console tables",
        "garden",
        f"{_HOME} > Furniture > Living Room Furniture > Console Tables",
        "solid wood, steel frame, easy assemble, storage space, tempered glass, white finish, engineered wood",
        {"color": "black, white, grey, walnut, espresso, natural"},
        (70, 500),
    ),
    _Kind(
        "shampoos",
        "beauty",
        "Beauty & Personal Care > Hair Care > Shampoo & Conditioner > Shampoos",
        "sulfate free, paraben free, cruelty free, damaged hair, coconut oil, tea tree, dry hair, argan oil",
        {"scent": "lavender, citrus, coconut, mint, unscented", "size": "8 fl oz, 12 fl oz, 16 fl oz, 32 fl oz"},
        (6, 40),
    ),
    _Kind(
        "body lotions",
        "beauty",
        "Beauty & Personal Care > Skin Care > Body > Lotions",
        "dry skin, sensitive skin, fragrance free, shea butter, hyaluronic acid, dermatologist tested, cruelty free",
        {"scent": "vanilla, rose, almond, cucumber, unscented", "size": "4 fl oz, 8 fl oz, 16 fl oz"},
        (7, 45),
    ),
    _Kind(
        "green teas",
        "grocery",
        "Grocery & Gourmet Food > Beverages > Tea > Green Tea",
        "gluten free, caffeine free, non gmo, certified organic, low calorie, artificial flavors, hand crafted",
        {"flavor name": "jasmine, lemon, ginger, peach, plain", "size": "20 count, 50 count, 100 count"},
        (5, 30),
    ),
    _Kind(
        "snack bars",
        "grocery",
        "Grocery & Gourmet Food > Snack Foods > Bars",
        "gluten free, high protein, low sugar, plant based, keto friendly, dairy free, non gmo, high fiber",
        {"flavor name": "chocolate, peanut butter, berry, caramel, coconut", "size": "6 count, 12 count, 24 count"},
        (8, 45),
    ),
    _Kind(
        "bluetooth speakers",
        "electronics",
        "Electronics > Portable Audio & Video > Portable Speakers & Docks",
        "water resistant, long lasting, stereo sound, hands free, easy carry, high power, noise cancelling",
        {"color": "black, white, red, blue, green"},
        (18, 200),
    ),
    _Kind(
        "phone cases",
        "electronics",
        "Cell Phones & Accessories > Cases, Holsters & Sleeves > Basic Cases",
        "wireless charging, heavy duty, tempered glass, glass screen, shock proof, slim design, easy install",
        {"color": _SHADES, "style": "glossy, matte, leather, clear"},
        (8, 45),
    ),
    _Kind(
        "travel bottles",
        "beauty",
        "Beauty & Personal Care > Tools & Accessories > Bags & Cases > Refillable Containers",
        "leak proof, bpa free, easy clean, travel size, eco friendly, easy carry, non toxic",
        {"color": "clear, black, blue, pink", "size": "pack of 3, pack of 4, pack of 6, pack of 12"},
        (6, 30),
    ),
)
_BRAND_STARTS = "Bel, Cor, Dan, Fen, Gal, Har, Jor, Kel, Lum, Mor, Nor, Pel, Quin, Ros, Sol, Tam, Ul, Ver, Wes, Zan"
_BRAND_ENDS = "ada, ben, dor, era, field, io, lia, mont, nova, ora, ris, sta, ton, via, wick"
_FIRST_WORDS = (
    "i am looking for {noun} with {attributes}",
    "i need {noun} that offer {attributes}",
    "find me {noun}, and make sure of {attributes}",
    "i would like to buy {noun} known for {attributes}",
)
_CHOICE_WORDS = "and choose {options}", "with {options}", "in {options}", "please pick {options}"


def generated_shop(num_products: int) -> tuple[list[dict[str, Any]], dict[str, Any], dict[str, Any]]:
    """Makes a shop.

    Args:
        num_products: how many products it has.

    Returns:
        What `items_shuffle.json`, `items_ins_v2.json` and `items_human_ins.json` hold.
    """
    items, attributes, instructions = [], {}, {}
    for number in range(num_products):
        draw = random.Random(f"webshop/product/{number}")
        kind = draw.choice(_KINDS)
        asin = f"B{number:05d}{''.join(draw.choices('BCDFGHJKLMNPQRSTVWXYZ', k=4))}"
        known = draw.sample(_list(kind.attributes), 4)
        items.append(_record(asin, kind, known, draw))
        attributes[asin] = {"attributes": known}
        options = items[-1]["customization_options"]
        instructions[asin] = [_instruction(kind, known, options, draw) for _ in range(NUM_GOALS)]
    return items, attributes, instructions


def _record(asin: str, kind: _Kind, known: list[str], draw: random.Random) -> dict[str, Any]:
    brand = draw.choice(_list(_BRAND_STARTS)) + draw.choice(_list(_BRAND_ENDS))
    options = {
        name: sorted(draw.sample(_list(values), 3), key=_list(values).index) for name, values in kind.options.items()
    }
    shown, told = known[:2], known[2:]
    low = draw.randint(*kind.dollars)
    return {
        "asin": asin,
        "name": f"{brand} {kind.noun.title()}, {' '.join(shown).title()}, {draw.choice(['Classic', 'New', 'Deluxe'])}",
        "category": kind.category,
        "query": kind.noun,
        "product_category": kind.path.replace(">", CATEGORY_SEPARATOR),
        "full_description": f"{brand} makes {kind.noun} for every day. These are known for {' and '.join(told)}.",
        "small_description": [f"{attribute.capitalize()}: as you would expect of {brand}." for attribute in known],
        "pricing": f"${low}.99",
        "customization_options": {name: [{"value": value} for value in values] for name, values in options.items()},
    }


def _instruction(
    kind: _Kind, known: list[str], options: dict[str, list[dict[str, str]]], draw: random.Random
) -> dict[str, Any]:
    asked = draw.sample(known, 2)
    chosen = {name: draw.choice(values)["value"] for name, values in options.items()}
    first = draw.choice(_FIRST_WORDS).format(noun=kind.noun, attributes=" and ".join(asked))
    second = draw.choice(_CHOICE_WORDS).format(
        options=" and ".join(f"{name} {value}" for name, value in chosen.items())
    )
    return {
        "instruction": f"{first}, {second}",
        "instruction_attributes": asked,
        "instruction_options": list(chosen.values()),
    }


def _list(words: str) -> list[str]:
    return words.split(", ")
