"""WebShop's products and goals, read from its own files.

`items_shuffle*.json` lists products as they were crawled; `items_ins_v2*.json` has each one's attributes and an
instruction made from a template; `items_human_ins.json` has the instructions that people wrote. What the published code
leaves to an unseeded generator is settled here by the product's number, so that a goal is the same in every process:
the price of a product that has a range, and the price limit of a goal.
"""

from __future__ import annotations

import itertools
import math
import random
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs import files
from envs.errors import InputError, shortened
from envs.files import understood

NO_LIMIT = 1_000_000.0
CATEGORY_SEPARATOR = "\u203a"

_FIELDS = (
    "asin",
    "name",
    "category",
    "query",
    "product_category",
    "full_description",
    "small_description",
    "pricing",
    "customization_options",
)
_INSTRUCTION_FIELDS = ("instruction", "instruction_attributes", "instruction_options")
_NO_PRICE = 100.0
_MOST_CHOICES = 1_000_000
_NO_ATTRIBUTES = ("DUMMY_ATTR",)


@dataclass(frozen=True)
class Product:
    """A product as the shop shows it.

    Attributes:
        asin: its number.
        title: its name.
        description: its description.
        bullets: its features, a line each.
        category: the department.
        query: the search by which it was found when the shop was crawled.
        product_category: where it stands, from the whole to the part, separated by `CATEGORY_SEPARATOR`.
        price: what it costs, in dollars.
        price_tag: what the page says of the price.
        attributes: what it is known for, such as "long lasting"; never shown.
        options: what can be chosen, values by name.
    """

    asin: str
    title: str
    description: str
    bullets: tuple[str, ...]
    category: str
    query: str
    product_category: str
    price: float
    price_tag: str
    attributes: tuple[str, ...]
    options: Mapping[str, tuple[str, ...]]

    @property
    def texts(self) -> list[str]:
        """Returns all that the shop shows of it."""
        options = [text for name, values in self.options.items() for text in (name, *values)]
        return [self.asin, self.title, self.description, *self.bullets, *options]

    def option_of(self, value: str) -> str:
        """Returns the name of the option that a click on a value chooses: the last that has it, as in WebShop."""
        return [name for name, values in self.options.items() if value in values][-1]


@dataclass(frozen=True)
class Goal:
    """What a task asks for.

    Attributes:
        name: the goal's own name.
        asin: the product that it was made from.
        instruction: the task in words, with the price limit.
        words: the task in words, without it.
        attributes: what the product should be known for.
        options: what should be chosen, as pairs of name and value; the name is "" in instructions by people.
        price_upper: the price limit in dollars.
    """

    name: str
    asin: str
    instruction: str
    words: str
    attributes: tuple[str, ...]
    options: tuple[tuple[str, str], ...]
    price_upper: float


def read_json(path: Path, kind: type[Any]) -> Any:  # noqa: ANN401 - a list or a dict
    """Reads a JSON file that holds a list or a dict.

    Raises:
        InputError: it cannot be read, is not JSON or holds something else.
    """
    content = files.read_json(path)
    if not isinstance(content, kind):
        what = "a list" if kind is list else "entries by product number (asin)"
        raise InputError(f"{str(path)!r} should hold {what}, and holds a {type(content).__name__}.")
    return content


def products_of(items: Sequence[Any], attributes: Mapping[str, Any], source: str) -> dict[str, Product]:
    """Makes products of their records.

    Args:
        items: the content of `items_shuffle*.json`.
        attributes: the content of `items_ins_v2*.json`.
        source: where the records are from, for messages.

    Returns:
        The products by number, in their order; of records with the same number the first.

    Raises:
        InputError: a record lacks a field or has one that cannot be understood.
    """
    products: dict[str, Product] = {}
    for place, item in enumerate(items):
        missing = [field for field in _FIELDS if not isinstance(item, dict) or field not in item]
        if missing:
            raise InputError(f"{source}: product {place} lacks {', '.join(map(repr, missing))}.")
        asin = str(item["asin"])
        if asin in products or asin == "nan" or len(asin) > 10:
            continue
        try:
            products[asin] = _product(item, attributes.get(asin, {}))
            _check_texts(products[asin])
        except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
            raise InputError(
                f"{source}: product {place} ({asin}) cannot be understood: {shortened(repr(error), 200)}."
            ) from None
    return products


def _product(item: Mapping[str, Any], known: Mapping[str, Any]) -> Product:
    bullets = item["small_description"]
    low_and_high = _prices(item["pricing"])
    price = low_and_high[0]
    if len(low_and_high) == 2:
        price = random.Random(f"webshop/{item['asin']}").uniform(*low_and_high)
    return Product(
        asin=str(item["asin"]),
        title=item["name"],
        description=item["full_description"] or "",
        bullets=tuple(bullets) if isinstance(bullets, list) else (str(bullets),),
        category=item["category"],
        query=item["query"].lower().strip(),
        product_category=item["product_category"],
        price=price,
        price_tag=" to ".join(f"${value}" for value in low_and_high),
        attributes=tuple(known.get("attributes", _NO_ATTRIBUTES)),
        options=_options(item["customization_options"] or {}),
    )


def _check_texts(product: Product) -> None:
    """Makes sure that what should be text is text.

    Raises:
        TypeError: it is not.
    """
    searched = (product.title, product.category, product.query, product.product_category, *product.attributes)
    if not all(isinstance(text, str) for text in (*searched, *product.texts)):
        raise TypeError("a field that should be text is not")


def _prices(text: str | None) -> list[float]:
    """Reads "$12.99" or "$12.99 - $20.00"."""
    values = [float(re.sub(r"[^\d.]", "", part)) for part in (text or "").split("$")[1:]]
    return values[:2] or [_NO_PRICE]


def _options(given: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """Writes values as the shop does: small letters, "a | b" for "a/b"."""
    return {
        name.lower(): tuple(" ".join(entry["value"].replace("/", " | ").lower().split()) for entry in entries)
        for name, entries in given.items()
        if entries is not None
    }


def human_goals(products: Mapping[str, Product], instructions: Mapping[str, Any], source: str) -> list[Goal]:
    """Makes goals of instructions that people wrote; those without attributes are left out.

    Args:
        products: by number.
        instructions: the content of `items_human_ins.json`.
        source: where that is from, for messages.

    Raises:
        InputError: an instruction lacks a field.
    """
    goals = []
    for asin, product in products.items():
        written = instructions.get(asin, ())
        if not isinstance(written, Sequence):
            raise InputError(f"{source}: the entry of {asin} should be a list of instructions.")
        for number, entry in enumerate(written):
            missing = [field for field in _INSTRUCTION_FIELDS if not isinstance(entry, dict) or field not in entry]
            if missing:
                raise InputError(f"{source}: instruction {number} of {asin} lacks {', '.join(map(repr, missing))}.")
            if entry["instruction_attributes"]:
                with understood(f"{source}: instruction {number} of {asin}", "an instruction"):
                    options = tuple(("", value) for value in entry["instruction_options"])
                    words = entry["instruction"].strip(".")
                    goals.append(_goal(product, f"{asin}/{number}", words, entry["instruction_attributes"], options))
    return goals


def synthetic_goals(products: Mapping[str, Product], instructions: Mapping[str, Any]) -> list[Goal]:
    """Makes goals of instructions from templates, one for every choice of options.

    Args:
        products: by number.
        instructions: the content of `items_ins_v2*.json`.

    Raises:
        InputError: an instruction is broken, or a product can be chosen in too many ways.
    """
    goals = []
    for asin, product in products.items():
        with understood(f"the entry of product {asin}", "an instruction"):
            entry = instructions.get(asin, {})
            if not entry.get("instruction") or not entry.get("instruction_attributes"):
                continue
            for number, options in enumerate(_choices(product)):
                chosen = ", and ".join(f"{name}: {value}" for name, value in options)
                words = entry["instruction"] + (f" with {chosen}" if chosen else "")
                goals.append(_goal(product, f"{asin}/{number}", words, entry["instruction_attributes"], options))
    return goals


def _choices(product: Product) -> Iterator[tuple[tuple[str, str], ...]]:
    names = sorted(product.options)
    count = math.prod(len(product.options[name]) for name in names)
    if count > _MOST_CHOICES:
        raise InputError(f"product {product.asin} can be chosen in {count:.3g} ways, more than {_MOST_CHOICES:,}.")
    for values in itertools.product(*(product.options[name] for name in names)):
        yield tuple(zip(names, values, strict=True))


def _goal(
    product: Product, name: str, words: str, attributes: Sequence[str], options: tuple[tuple[str, str], ...]
) -> Goal:
    limits = [limit for limit in (10.0 * tens for tens in range(1, 100)) if limit > product.price][:4]
    limit, text = NO_LIMIT, ""
    if len(limits) >= 2:
        limit = max(random.Random(f"webshop/{name}").sample(limits, 2))
        text = f", and price lower than {limit:.2f} dollars"
    if not all(isinstance(part, str) for part in (*attributes, *itertools.chain(*options))):
        raise TypeError("an attribute or option is not text")
    return Goal(name, product.asin, words + text, words, tuple(attributes), options, limit)
