"""The shop's pages as text, and what can be clicked on them.

Texts follow WebShop's text mode: the visible parts of a page in their order, separated by " [SEP] ". Options that have
been chosen are named at the start of the item's page, as WebShop's richer text mode does; its plain one does not show
them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from envs.webshop.products import Product
from envs.webshop.search import SearchEngine

PER_PAGE = 10
BUY = "buy now"

_SEPARATOR = " [SEP] "
_MOST_CHARACTERS = 150
_ACTION = re.compile(r"(search|click)\[(.+)\]", re.DOTALL | re.IGNORECASE)
_SUB_PAGES = {"description": "Description", "features": "Features", "reviews": "Reviews"}


@dataclass(frozen=True)
class Place:
    """Where a customer is.

    Attributes:
        keywords: what was searched for; "" on the search page.
        page: of the results, counted from 1.
        asin: the product that is looked at; "" if none is.
        sub_page: "description", "features" or "reviews" of it, or "".
        chosen: the options chosen, values by name.
    """

    keywords: str = ""
    page: int = 1
    asin: str = ""
    sub_page: str = ""
    chosen: dict[str, str] = field(default_factory=dict)


class Shop:
    """A catalogue with its search.

    Attributes:
        products: by number.
    """

    def __init__(self, products: dict[str, Product]) -> None:
        """Opens the shop.

        Args:
            products: by number.
        """
        self.products = products
        self._engine = SearchEngine(products)
        self._asins = {asin.lower(): asin for asin in products}

    def moved(self, place: Place, action: str) -> Place | None:
        """Follows an action that is no purchase.

        Args:
            place: where the customer is.
            action: "search[words]", possible everywhere, or "click[...]" with one of `clickables`.

        Returns:
            Where the customer is then; None if that is not possible here.
        """
        found = _ACTION.fullmatch(action.strip())
        if found is None:
            return None
        kind, argument = found[1].lower(), " ".join(found[2].lower().split())
        if kind == "search":
            return Place(keywords=argument) if argument else None
        return self._clicked(place, argument) if argument in self.clickables(place) else None

    def _clicked(self, place: Place, button: str) -> Place:
        if button == "back to search":
            return Place()
        if button == "next >":
            return replace(place, page=place.page + 1)
        if button == "< prev":
            if place.sub_page:
                return replace(place, sub_page="")
            return Place(place.keywords, place.page) if place.asin else replace(place, page=place.page - 1)
        if not place.asin:
            return replace(place, asin=self._asins[button], chosen={})
        if button in _SUB_PAGES:
            return replace(place, sub_page=button)
        name = self.products[place.asin].option_of(button)
        return replace(place, chosen={**place.chosen, name: button})

    def clickables(self, place: Place) -> list[str]:
        """Lists what can be clicked, in the page's order, each once."""
        if not place.keywords:
            return []
        if place.sub_page:
            return ["back to search", "< prev"]
        if place.asin:
            values = [value for values in self.products[place.asin].options.values() for value in values]
            return list(dict.fromkeys(["back to search", "< prev", *values, *_SUB_PAGES, BUY]))
        shown = [asin.lower() for asin in self.shown(place)]
        return ["back to search", *(["< prev"] if place.page > 1 else []), "next >", *shown]

    def text(self, place: Place, instruction: str) -> str:
        """Shows a page.

        Args:
            place: where the customer is.
            instruction: the task, which stands on every page.
        """
        if not place.keywords:
            return _SEPARATOR.join(["WebShop", "Instruction:", instruction, "Search"])
        top = ["Instruction:", instruction, "Back to Search"]
        if not place.asin:
            return _SEPARATOR.join([*top, *self._results(place)])
        product = self.products[place.asin]
        if place.sub_page:
            return _SEPARATOR.join([*top, "< Prev", *_details(product, place.sub_page)])
        clicked = [f"You have clicked {value}." for value in place.chosen.values()]
        options = [part for name, values in product.options.items() for part in (name, *values)]
        facts = [product.title, f"Price: {product.price_tag}", "Rating: N.A."]
        return _SEPARATOR.join([*clicked, *top, "< Prev", *options, *facts, *_SUB_PAGES.values(), "Buy Now"])

    def shown(self, place: Place) -> tuple[str, ...]:
        """Returns the numbers of the products on a page of results, from the top."""
        return self._engine.search(place.keywords)[(place.page - 1) * PER_PAGE : place.page * PER_PAGE]

    def _results(self, place: Place) -> list[str]:
        total = len(self._engine.search(place.keywords))
        parts = [f"Page {place.page} (Total results: {total})", *(["< Prev"] if place.page > 1 else []), "Next >"]
        for asin in self.shown(place):
            product = self.products[asin]
            parts += [asin, product.title, product.price_tag]
        return parts


def is_purchase(action: str) -> bool:
    """Whether an action clicks on "Buy Now"."""
    found = _ACTION.fullmatch(action.strip())
    return found is not None and found[1].lower() == "click" and " ".join(found[2].lower().split()) == BUY


def query_of(text: str) -> str:
    """Returns words to search for: without brackets, which end an action, and not too many for one."""
    words = " ".join(re.sub(r"[\[\]]", " ", text).lower().split())
    return words if len(words) <= _MOST_CHARACTERS else words[:_MOST_CHARACTERS].rsplit(" ", 1)[0]


def _details(product: Product, sub_page: str) -> list[str]:
    """Returns the parts of a sub page. WebShop's crawl has no reviews."""
    if sub_page == "description":
        return [product.description.strip()] if product.description.strip() else []
    return [bullet.strip() for bullet in product.bullets] if sub_page == "features" else []
