"""A shop with its goals, from files or generated, and which goals belong to which split.

The goals of WebShop's files are put into the order that its published code puts them into; the first 500 are the test
goals, the next 1,000 those for validation and the rest are for training. Where there are fewer than 3,000, it is one in
ten for either. A generated shop is divided by products: training never plays a goal of a product that evaluation has.
"""

from __future__ import annotations

import hashlib
import random
import zlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from envs.errors import InputError
from envs.webshop.generator import generated_shop
from envs.webshop.pages import Shop
from envs.webshop.products import Goal, human_goals, products_of, read_json, synthetic_goals

SPLITS = ("train", "valid", "test")

_ITEMS, _ATTRIBUTES, _HUMAN = "items_shuffle", "items_ins_v2", "items_human_ins.json"
_PUBLISHED_SEED = 233


@dataclass(frozen=True)
class Catalogue:
    """A shop and its goals.

    Attributes:
        shop: the shop.
        goals: by name.
        splits: names of goals by split.
        source: what it was made from, in words.
    """

    shop: Shop
    goals: dict[str, Goal]
    splits: dict[str, list[str]]
    source: str


@lru_cache(maxsize=4)
def generated_catalogue(num_products: int) -> Catalogue:
    """Makes a shop with as many products."""
    items, attributes, instructions = generated_shop(num_products)
    products = products_of(items, attributes, "the generated shop")
    goals = {goal.name: goal for goal in human_goals(products, instructions, "the generated shop")}
    splits: dict[str, list[str]] = {split: [] for split in SPLITS}
    for name, goal in goals.items():
        splits[{0: "valid", 1: "test"}.get(zlib.crc32(goal.asin.encode()) % 10, "train")].append(name)
    return Catalogue(Shop(products), goals, splits, f"a generated shop of {num_products:,} products")


def read_catalogue(data: str, instructions: str) -> Catalogue:
    """Reads WebShop's files.

    Args:
        data: the folder that holds them, or the file of products in it.
        instructions: "human", "synthetic", or "" for human ones where they are there.

    Raises:
        InputError: a file is missing or broken.
    """
    items = _items_file(Path(data).expanduser())
    human = items.parent / _HUMAN
    if not instructions:
        instructions = "human" if human.is_file() else "synthetic"
    if instructions == "human" and not human.is_file():
        raise InputError(f"there is no {_HUMAN} in {str(items.parent)!r}. Put it there, or give goals=synthetic.")
    attributes = items.with_name(items.name.replace(_ITEMS, _ATTRIBUTES))
    files = [items, attributes, *([human] if instructions == "human" else [])]
    missing = [file for file in files if not file.is_file()]
    if missing:
        raise InputError(f"there is no {missing[0].name} in {str(items.parent)!r}, which belongs to {items.name}.")
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
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()[:12]
    source = f"{len(products):,} products and {instructions} goals from {paths[0].parent}, sha256 {digest}"
    random.Random(_PUBLISHED_SEED).shuffle(goals)
    test, valid = (500, 1000) if len(goals) >= 3000 else (max(1, len(goals) // 10),) * 2
    names = [goal.name for goal in goals]
    splits = {"test": names[:test], "valid": names[test : test + valid], "train": names[test + valid :]}
    return Catalogue(Shop(products), {goal.name: goal for goal in goals}, splits, source)
