"""Scripted players of WebShop: one that knows which product is meant, and one that knows what the pages show."""

from __future__ import annotations

import re
from typing import NamedTuple, Protocol, runtime_checkable

from envs.errors import InputError
from envs.types import Info, TextEnv
from envs.webshop.pages import BUY, Place, Shop, query_of
from envs.webshop.products import Goal, Product
from envs.webshop.reward import alike, color_of

# A full stop ends a sentence or stands in a number.
_BETWEEN_WORDS = re.compile(r"[^\w.'-]+|\.(?!\d)")


class Visit(NamedTuple):
    """A customer in a shop.

    Attributes:
        shop: the shop.
        place: where the customer is.
        goal: what is to be bought.
    """

    shop: Shop
    place: Place
    goal: Goal


@runtime_checkable
class Visited(Protocol):
    """What the players ask of a `WebShop` in play."""

    def visit(self) -> Visit:
        """Returns where the episode stands."""
        ...


class _Customer:
    def __init__(self, env: TextEnv, seed: int) -> None:
        """Starts.

        Args:
            env: a `WebShop`, after `reset`.
            seed: without effect.
        """
        if not isinstance(env, Visited):
            raise InputError(f"this player plays WebShop only, not {type(env).__name__}.")
        self._env: Visited = env


class OraclePlayer(_Customer):
    """Buys the product that the goal was made from, with the options asked for: it knows which that is."""

    def act(self, text: str, info: Info) -> str:
        """Returns the next action from wherever the episode stands."""
        shop, place, goal = self._env.visit()
        if place.sub_page:
            return "click[< prev]"
        if place.asin == goal.asin:
            return _chosen(place, shop.products[place.asin], _best_options(shop.products[place.asin], goal))
        query = query_of(shop.products[goal.asin].title)
        if not place.asin and goal.asin in shop.shown(place):
            return f"click[{goal.asin.lower()}]"
        if place.keywords == query and not place.asin:
            return "click[next >]"
        return f"search[{query}]"


class ExpertPlayer(_Customer):
    """Buys by what the pages show, as a customer must who does not know which product the goal was made from.

    It searches for the goal's own words, opens the first product on the page that the goal can pay (by its number as
    the page writes it), chooses the options whose values the goal names, and buys.
    """

    def act(self, text: str, info: Info) -> str:
        """Returns the next action from wherever the episode stands."""
        shop, place, goal = self._env.visit()
        if place.sub_page:
            return "click[< prev]"
        if not place.keywords:
            return f"search[{query_of(goal.words)}]"
        if place.asin:
            return _chosen(place, shop.products[place.asin], _named_options(shop.products[place.asin], goal))
        shown = [shop.products[asin] for asin in shop.shown(place)]
        if not shown:
            return "click[back to search]"
        payable = (product for product in shown if _price_shown(product) <= goal.price_upper)
        return f"click[{next(payable, shown[0]).asin}]"


def _chosen(place: Place, product: Product, wanted: list[str]) -> str:
    """Chooses the first value that is wanted and not chosen, then buys."""
    # Two values may belong to one option, which then can have only one of them.
    by_option = {product.option_of(value): value for value in wanted}
    missing = [value for name, value in by_option.items() if place.chosen.get(name) != value]
    return f"click[{missing[0] if missing else BUY}]"


def _best_options(product: Product, goal: Goal) -> list[str]:
    """Finds for each option that the goal asks for the product's value that is most like it."""
    values = [value for values in product.options.values() for value in values]
    found = []
    for _, asked in goal.options:
        exact = [value for value in values if value == asked]
        found += (exact or [value for value in values if alike(color_of(value), color_of(asked))])[:1]
    return found


def _named_options(product: Product, goal: Goal) -> list[str]:
    """Finds for each option of the product the value that stands in the goal, best after the option's name."""
    words = _spaced(goal.words)
    found = []
    for name, values in product.options.items():
        after_name = [value for value in values if _spaced(f"{name} {value}") in words]
        named = after_name or [value for value in values if _spaced(value) in words]
        found += [max(named, key=len)] if named else []
    return found


def _spaced(text: str) -> str:
    return f" {' '.join(_BETWEEN_WORDS.sub(' ', text.lower()).split())} "


def _price_shown(product: Product) -> float:
    """Returns the price on the page, of a range the lower one."""
    return float(product.price_tag.partition(" to ")[0].removeprefix("$"))
