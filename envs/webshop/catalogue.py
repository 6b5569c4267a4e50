"""A shop with its goals, from files or generated, and which goals belong to which split.

The goals of WebShop's files are put into the order that its published code puts them into; the first 500 are the test
goals, the next 1,000 those for validation and the rest are for training. Where `human_goals.json` lies beside them, it
tells that order, so that a part of the catalogue has the published splits too. Otherwise, where there are fewer than
3,000 goals, one in ten is for either. A generated shop is divided by products: training never plays a goal of a product
that evaluation has.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from envs.drawing import split_of_tenth
from envs.errors import InputError
from envs.files import named_path
from envs.webshop.generator import generated_shop
from envs.webshop.pages import Shop
from envs.webshop.products import Goal, human_goals, products_of, read_json, synthetic_goals

SPLITS = ("train", "valid", "test")

_ITEMS, _ATTRIBUTES, _HUMAN = "items_shuffle", "items_ins_v2", "items_human_ins.json"
_ORDER = "human_goals.json"
_PUBLISHED_SEED = 233
_NUM_TEST, _NUM_VALID = 500, 1000


@dataclass(frozen=True)
class Catalogue:
    """A shop and its goals.

    Attributes:
        shop: the shop.
        goals: by name.
        splits: names of goals by split.
        source: what it was made from, in words.
        sha256: over the files, or over what a generated shop has in their place.
        characters: that its texts are written in, beside the printable ones of ASCII.
    """

    shop: Shop
    goals: dict[str, Goal]
    splits: dict[str, list[str]]
    source: str
    sha256: str
    characters: frozenset[str] = frozenset()


@lru_cache(maxsize=4)
def generated_catalogue(num_products: int) -> Catalogue:
    """Makes a shop with as many products."""
    items, attributes, instructions = generated_shop(num_products)
    products = products_of(items, attributes, "the generated shop")
    goals = {goal.name: goal for goal in human_goals(products, instructions, "the generated shop")}
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name, goal in goals.items():
        splits[split_of_tenth(zlib.crc32(goal.asin.encode()) % 10)].append(name)
    digest = hashlib.sha256(json.dumps([items, attributes, instructions]).encode()).hexdigest()
    return Catalogue(Shop(products), goals, splits, f"a generated shop of {num_products:,} products", digest)


def read_catalogue(data: str, instructions: str) -> Catalogue:
    """Reads WebShop's files.

    Args:
        data: the folder that holds them, or the file of products in it.
        instructions: "human", "synthetic", or "" for human ones where they are there.

    Raises:
        InputError: a file is missing or broken.
    """
    items = _items_file(named_path("data=", data))
    human = items.parent / _HUMAN
    if not instructions:
        instructions = "human" if human.is_file() else "synthetic"
    if instructions == "human" and not human.is_file():
        raise InputError(f"there is no {_HUMAN} in {str(items.parent)!r}. Put it there, or give goals=synthetic.")
    attributes = items.with_name(items.name.replace(_ITEMS, _ATTRIBUTES))
    order = items.with_name(_ORDER)
    files = [items, attributes, *([human] if instructions == "human" else [])]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise InputError(f"there is no {missing[0].name} in {str(items.parent)!r}, which belongs to {items.name}.")
    files += [order] if instructions == "human" and order.is_file() else []
    return _read(instructions, *((str(file), file.stat().st_mtime_ns) for file in files))


def _items_file(path: Path) -> Path:
    if path.is_file():
        if not path.name.startswith(_ITEMS):
            raise InputError(f"a file of WebShop's products is named {_ITEMS}*.json, got {str(path)!r}.")
        return path
    if not path.is_dir():
        raise InputError(f"there is no file or folder at {str(path)!r}.")
    found = sorted(path.glob(f"{_ITEMS}*.json"))
    if len(found) != 1:
        which = f"has {', '.join(file.name for file in found)}: name one of them" if found else "has none"
        raise InputError(f"data= should be a folder with one {_ITEMS}*.json, and {str(path)!r} {which}.")
    return found[0]


@lru_cache(maxsize=4)
def _read(instructions: str, *files: tuple[str, int]) -> Catalogue:
    paths = [Path(path) for path, _ in files]
    attributes = read_json(paths[1], dict)
    products = products_of(read_json(paths[0], list), attributes, paths[0].name)
    if instructions == "human":
        goals = human_goals(products, read_json(paths[2], dict), paths[2].name)
    else:
        goals = synthetic_goals(products, attributes)
    if len(goals) < len(SPLITS):
        raise InputError(
            f"{paths[-1].name} has {len(goals)} goals for the products in {paths[0].name}: too few to play."
        )
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()
    source = f"{len(products):,} products and {instructions} goals from {paths[0].parent}, sha256 {digest[:12]}"
    order = read_json(paths[3], list) if len(paths) == 4 else []
    texts = [text for product in products.values() for text in product.texts] + [goal.instruction for goal in goals]
    characters = {character for text in texts for character in text + text.lower()}
    named = {goal.name: goal for goal in goals}
    return Catalogue(Shop(products), named, _splits_of(goals, order), source, digest, frozenset(characters))


def _splits_of(goals: list[Goal], order: Sequence[str]) -> dict[str, list[str]]:
    """Divides goals.

    Args:
        goals: in the order of their products.
        order: instructions in the published order of goals; empty if it is not told.
    """
    places: dict[str, list[int]] = {}
    for place, text in enumerate(order):
        places.setdefault(_letters(text), []).append(place)
    by_split: dict[str, list[str]] = {split: [] for split in SPLITS}
    for goal in goals:
        told = places.get(_letters(goal.words), [])
        place = told.pop(0) if told else _NUM_TEST + _NUM_VALID
        split = "test" if place < _NUM_TEST else "valid" if place < _NUM_TEST + _NUM_VALID else "train"
        by_split[split].append(goal.name)
    if all(by_split.values()):
        return by_split
    names = [goal.name for goal in goals]
    random.Random(_PUBLISHED_SEED).shuffle(names)
    few = max(1, len(names) // 10)
    test, valid = (_NUM_TEST, _NUM_VALID) if len(names) >= 2 * (_NUM_TEST + _NUM_VALID) else (few, few)
    return {"test": names[:test], "valid": names[test : test + valid], "train": names[test + valid :]}


def _letters(text: str) -> str:
    """Returns a text without what its published copies differ in: apostrophes and the full stop at the end."""
    return re.sub(r"[^a-z0-9]+", "", str(text).lower())
