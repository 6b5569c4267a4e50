"""How much of what was asked for a purchase is: WebShop's reward (Yao et al., arXiv 2207.01206, section 3).

    r = r_type * (attributes found + options found + price is low enough) / (attributes + options + 1)

as its published code computes it (princeton-nlp/WebShop, MIT licence). Two things differ. Titles are compared by all
their words but numbers and function words; the published code asks a tagger (spaCy's en_core_web_sm) for the nouns
among them. And goals that name their options ("color": "red") are compared by value; the published code compares what
was chosen with the pair of name and value, which `option_bug` brings back for comparison with published results.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from bm25s.stopwords import STOPWORDS_EN
from rapidfuzz import fuzz, utils

from envs.webshop.products import CATEGORY_SEPARATOR, Goal, Product

# What the published code takes for the same colour: the first of these that is part of an option's value.
_COLOR_WORDS = """
alabaster apricot aqua ash asphalt azure banana beige black blue blush bordeaux bronze brown burgundy
camel camo caramel champagne charcoal cheetah chestnut chocolate christmas coffee cognac copper coral
cranberry cream crystal dark denim eggplant elephant espresso fuchsia gold granite grape graphite grass
gray green grey heather indigo ivory ivy khaki lavender lemon leopard light lilac lime magenta maroon
mauve merlot midnight mint mocha multicolor mushroom mustard natural navy nude olive orange peach pewter
pink plum purple rainbow red rose royal rust sand sapphire seashell silver skull slate steel stone
stonewash sunflower tan taupe teal tiger turquoise violet walnut wheat white wine yellow
"""
_COLORS = tuple(_COLOR_WORDS.split())
_ALIKE = 85
_WORD = re.compile(r"[^\W\d_][\w'.-]*")


class Score(NamedTuple):
    """A purchase's reward and its parts.

    Attributes:
        total: from 0 to 1.
        type: factor for whether it is the same kind of thing: 1, 0.5, 0.1 or 0.
        attributes: goal's attributes that were found.
        options: goal's options that were found.
        price: whether the price is low enough.
    """

    total: float
    type: float
    attributes: int
    options: int
    price: bool


def score(product: Product, goal: Goal, wanted: Product, chosen: Mapping[str, str], option_bug: bool = False) -> Score:
    """Scores a purchase.

    Args:
        product: what was bought.
        goal: what was asked for.
        wanted: the product that the goal was made from.
        chosen: the options that were chosen, by their names.
        option_bug: whether goals that name their options are compared as the published code does.
    """
    kind = type_score(product, wanted)
    attributes = sum(_has(product, attribute) for attribute in goal.attributes)
    options = matched_options(chosen.values(), goal, option_bug)
    price = product.price <= goal.price_upper
    total = (attributes + options + price) / (len(goal.attributes) + len(goal.options) + 1) * kind
    return Score(total, kind, attributes, options, price)


def type_score(product: Product, wanted: Product) -> float:
    """Returns the factor for the kind of thing."""
    title = title_overlap(product.title, wanted.title)
    if title == 0:
        return 0.0
    if title < 0.1:
        return 0.1
    common = _path(product) & _path(wanted)
    return 1.0 if title > 0.2 or product.query == wanted.query or len(common) >= 2 else 0.5


def title_overlap(title: str, wanted: str) -> float:
    """Returns the share of a wanted title's words that a title has; 0.2 where it has no words, as published."""
    words = _title_words(wanted)
    return len(words & _title_words(title)) / len(words) if words else 0.2


def matched_options(chosen: Collection[str], goal: Goal, option_bug: bool) -> int:
    """Counts the goal's options that one of the chosen ones is like."""
    values = [color_of(value) for value in chosen]
    if option_bug:
        asked = [_asked_as_published(name, value) for name, value in goal.options]
    else:
        asked = [color_of(value) for _, value in goal.options]
    return sum(any(alike(value, option) for value in values) for option in asked)


def color_of(value: str) -> str:
    """Returns the known colour in an option's value, the value itself if there is none."""
    return next((color for color in _COLORS if color in value), value)


def alike(one: str, other: str) -> bool:
    """Whether two texts have mostly the same words, whatever their order."""
    ratio: float = fuzz.token_set_ratio(one, other, processor=utils.default_process)
    return round(ratio) > _ALIKE


def _asked_as_published(name: str, value: str) -> str:
    """Returns a goal's option as the published code compares it: a pair as text, unless a part is just a colour."""
    if not name:
        return color_of(value)
    return next((color for color in _COLORS if color in (name, value)), str((name, value)))


def _has(product: Product, attribute: str) -> bool:
    if any(alike(own, attribute) for own in product.attributes):
        return True
    texts = product.title, " ".join(product.bullets), product.description
    return any(attribute in text.lower() for text in texts)


def _path(product: Product) -> set[str]:
    return {part.strip() for part in product.product_category.split(CATEGORY_SEPARATOR)}


def _title_words(title: str) -> set[str]:
    return {word.strip(".-'") for word in _WORD.findall(title.lower())} - set(STOPWORDS_EN)
