"""The WebShop environment: search for a product, choose its options, buy it (Yao et al., arXiv 2207.01206).

Pages and actions are those of WebShop's text mode: `search[words]` and `click[button]`. An action that is not possible
shows the same page again. The purchase ends the episode and pays WebShop's reward, from 0 to 1; won is a reward of 1.
Published runs give 15 turns. Left out: pictures, and search by attribute or category.
"""

from __future__ import annotations

import json
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, ClassVar

import gymnasium

from envs.config_schema import check_values, key
from envs.drawing import check_draw, check_reset, key_of, passes, seed_of
from envs.errors import InputError, shortened
from envs.players import RandomPlayer
from envs.types import Info, Player, TextEnv
from envs.webshop.catalogue import SPLITS, Catalogue, generated_catalogue, read_catalogue
from envs.webshop.pages import BUY, Place, is_purchase, query_of
from envs.webshop.players import ExpertPlayer, OraclePlayer, Visit
from envs.webshop.products import Goal
from envs.webshop.reward import Score, score

_GOALS = ("", "human", "synthetic")
_FEWEST, _MOST = 30, 20_000
_GENERATED = re.compile(r"generated/([1-9][0-9]{0,5})/(.+)")


@dataclass(frozen=True)
class WebShopConfig:
    """Options of WebShop."""

    split: str = key("train", "which goals", choices=SPLITS)
    data: str = key("", "folder of WebShop's files, or its file of products; empty generates a shop")
    goals: str = key("", "whose instructions, where there is data; empty takes people's where they are", choices=_GOALS)
    products: int = key(1000, "generated shop: products", unit="products", minimum=_FEWEST, maximum=_MOST)
    option_bug: bool = key(False, "whether goals that name their options are compared as the published code does")
    max_turns: int = key(15, "actions after which an episode is truncated", unit="turns", minimum=1)

    def __post_init__(self) -> None:
        """Checks the values.

        Raises:
            InputError: if one is not allowed.
        """
        check_values(self)
        if self.goals and not self.data:
            raise InputError(f"goals={self.goals} chooses among WebShop's own files. Give data=PATH, or leave it out.")
        if self.data and self.products != WebShopConfig.products:
            raise InputError(
                f"products={self.products} is for a generated shop, and data={self.data} gives a real one."
            )


class WebShop(TextEnv):
    """WebShop: find and buy the product that an instruction asks for."""

    config_class: ClassVar[type[Any]] = WebShopConfig
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]] = {
        "random": RandomPlayer,
        "oracle": OraclePlayer,
        "expert": ExpertPlayer,
    }
    step_parts: ClassVar[Mapping[str, str]] = {
        "envs.webshop.search.*": "search",
        "bm25s.*": "search",
        "snowballstemmer.*": "search",
        "envs.webshop.pages.Shop.text": "text",
        "envs.webshop.pages.*": "pages",
        "envs.webshop.reward.*": "reward",
        "rapidfuzz.*": "reward",
        "envs.webshop.environment.*": "environment around the shop",
    }

    def __init__(self, config: WebShopConfig | None = None, **options: Any) -> None:  # noqa: ANN401 - fields of the config
        """Opens the shop.

        Args:
            config: the options; or give them one by one.
            **options: fields of `WebShopConfig`.

        Raises:
            InputError: if an option is not valid, or a file is missing or broken.
        """
        self.config = config if config is not None else WebShopConfig(**options)
        data = self.config.data
        self._catalogue = read_catalogue(data, self.config.goals) if data else generated_catalogue(self.config.products)
        self._playing = self._catalogue
        if self._catalogue.characters:
            written = self._catalogue.characters | set(string.printable)
            self.observation_space = gymnasium.spaces.Text(1 << 16, min_length=0, charset=written)
            self.action_space = gymnasium.spaces.Text(1 << 10, min_length=0, charset=written)
        self._goal: Goal | None = None
        self._place = Place()
        self._task, self._said, self._possible = "", "", True
        self._turns = 0
        self.score: Score | None = None

    def sample_tasks(self, seed: int, count: int) -> list[str]:
        """Draws `count` task names of the split; see `TextEnv.sample_tasks`."""
        check_draw(seed, count)
        goals = self._catalogue.splits[self.config.split]
        prefix = "" if self.config.data else f"generated/{self.config.products}/"
        drawn = passes(key_of(seed, self.config.split), len(goals))
        return [prefix + goals[position] for position in islice(drawn, count)]

    @property
    def evaluation_split(self) -> str:
        """The validation goals."""
        return "valid"

    def content_of(self, task: str) -> str:
        """The goal, and the hash of the shop."""
        catalogue, goal = self._open(task)
        return json.dumps([asdict(goal), catalogue.sha256], sort_keys=True)

    def describe_data(self) -> str:
        """Says in one line which goals are played."""
        count = len(self._catalogue.splits[self.config.split])
        bug = ", options compared as published" if self.config.option_bug else ""
        return f"{count:,} goals (split {self.config.split}) of {self._catalogue.source}{bug}"

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[str, Info]:  # type: ignore[override]
        """Starts a task.

        Args:
            seed: chooses the first task of `sample_tasks(seed, 1)` unless `options` names one.
            options: {"task": a task's name}.

        Returns:
            The search page, and what `Info` describes.

        Raises:
            InputError: if there is no such task.
        """
        gymnasium.Env.reset(self, seed=seed)
        check_reset(options or {})
        drawn = seed_of(self, seed)
        task = str(options["task"]) if options else self.sample_tasks(drawn, 1)[0]
        self._playing, goal = self._open(task)
        self._task, self._goal, self._place = task, goal, Place()
        self._turns, self.score = 0, None
        self._said, self._possible = self._page(goal), True
        return self._said, self._info(goal)

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:  # type: ignore[override]
        """Plays one action; after the end nothing happens any more and the last text is returned again.

        Args:
            action: "search[words]" or "click[button]".

        Returns:
            The page, the reward of a purchase else 0, whether something was bought, whether the turns are spent, and
            `Info`.

        Raises:
            ResetNeeded: before the first `reset`.
        """
        goal = self._started()
        if self.score is not None or self._turns >= self.config.max_turns:
            return self._said, 0.0, self.score is not None, self.score is None, self._info(goal)
        self._turns += 1
        reward, self._possible = 0.0, True
        if is_purchase(action) and BUY in self._playing.shop.clickables(self._place):
            reward = self._buy(goal)
        else:
            self._follow(goal, action)
        truncated = self.score is None and self._turns >= self.config.max_turns
        return self._said, reward, self.score is not None, truncated, self._info(goal)

    def visit(self) -> Visit:
        """Returns where the episode stands: the shop, the place in it, and the goal.

        Raises:
            ResetNeeded: before the first `reset`.
        """
        return Visit(self._playing.shop, self._place, self._started())

    def _buy(self, goal: Goal) -> float:
        products = self._playing.shop.products
        bought = products[self._place.asin]
        self.score = score(bought, goal, products[goal.asin], self._place.chosen, self.config.option_bug)
        self._said = f"Thank you for shopping with us! [SEP] Your score (min 0.0, max 1.0): {self.score.total:.4g}"
        return self.score.total

    def _follow(self, goal: Goal, action: str) -> None:
        place = self._playing.shop.moved(self._place, action)
        if place is None:
            self._possible = False
            self._said = f"That is not possible here: give search[words] or click[a button]. [SEP] {self._page(goal)}"
        else:
            self._place = place
            self._said = self._page(goal)

    def _started(self) -> Goal:
        if self._goal is None:
            raise gymnasium.error.ResetNeeded("call reset() first")
        return self._goal

    def _page(self, goal: Goal) -> str:
        return self._playing.shop.text(self._place, goal.instruction)

    def _open(self, task: str) -> tuple[Catalogue, Goal]:
        found = _GENERATED.fullmatch(task)
        # A name may ask for no shop that the options do not allow: making one takes time and memory.
        made = found is not None and _FEWEST <= int(found[1]) <= _MOST
        catalogue = generated_catalogue(int(found[1])) if found and made else self._catalogue
        name = found[2] if found else task
        if name not in catalogue.goals or not (made if found else self.config.data):
            raise InputError(
                f"unknown task {shortened(task)!r}. Tasks here are named like {self.sample_tasks(0, 1)[0]!r}."
            )
        return catalogue, catalogue.goals[name]

    def _info(self, goal: Goal) -> Info:
        over = self.score is not None
        commands = [] if over else [f"click[{button}]" for button in self._playing.shop.clickables(self._place)]
        if not over and not self._place.keywords:
            commands = [f"search[{query_of(goal.words)}]"]
        return {
            "admissible_commands": sorted(commands),
            "anchor": self._said if over else self._page(goal),
            "won": self.score is not None and self.score.total == 1,
            "goal": goal.instruction,
            "task": self._task,
            "task_type": self._playing.shop.products[goal.asin].category,
            "is_action_valid": self._possible,
        }
