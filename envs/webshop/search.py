"""The shop's search: BM25 over titles, descriptions, first features and options, as WebShop's index has them.

Ranking and constants are those of the Lucene index that WebShop uses (k1 = 0.9, b = 0.4, function words left out,
words cut to their stems; 50 results), computed by bm25s. Left out: Lucene's own word splitting; a word is a run of
letters and digits here.
"""

from __future__ import annotations

from collections.abc import Mapping

import bm25s
import numpy as np
import snowballstemmer

from envs.webshop.products import Product

MOST_RESULTS = 50

_MOST_KEPT = 4096

_STEMMER = snowballstemmer.stemmer("porter")


class SearchEngine:
    """An index of products."""

    def __init__(self, products: Mapping[str, Product]) -> None:
        """Builds the index.

        Args:
            products: by number.
        """
        self._asins = list(products)
        self._index = bm25s.BM25(k1=0.9, b=0.4, method="lucene")
        self._index.index(_words([_contents(product) for product in products.values()]), show_progress=False)
        self._found: dict[str, tuple[str, ...]] = {}

    def search(self, keywords: str) -> tuple[str, ...]:
        """Returns the numbers of the products that fit best, at most `MOST_RESULTS`; ties stand in catalogue order."""
        if keywords not in self._found:
            if len(self._found) >= _MOST_KEPT:
                self._found.clear()
            self._found[keywords] = self._ranked(keywords)
        return self._found[keywords]

    def _ranked(self, keywords: str) -> tuple[str, ...]:
        # The stem of some words is empty, which the index knows as a word but has no scores for.
        known = [word for word in _words([keywords])[0] if word and word in self._index.vocab_dict]
        if not known:
            return ()
        scores = self._index.get_scores(known)
        order = np.argsort(-scores, kind="stable")[:MOST_RESULTS]
        return tuple(self._asins[place] for place in order if scores[place] > 0)


def _contents(product: Product) -> str:
    options = ", and ".join(f"{name}: {', '.join(values)}" for name, values in product.options.items())
    return " ".join([product.title, product.description, product.bullets[0] if product.bullets else "", options])


def _words(texts: list[str]) -> list[list[str]]:
    words: list[list[str]] = bm25s.tokenize(
        texts,
        token_pattern=r"(?u)\b\w+\b",
        stopwords="en",
        stemmer=_STEMMER.stemWords,
        return_ids=False,
        show_progress=False,
    )
    return words
