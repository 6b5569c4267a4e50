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
from envs.webshop.pages import BUY, Place, is_purchase
from envs.webshop.products import Goal
from envs.webshop.reward import Score, alike, color_of, score

_GOALS = ("", "human", "synthetic")
_MOST_CHARACTERS = 150
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


class OraclePlayer:
    """Buys the product that the goal was made from, with the options asked for: it knows which that is."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        """Starts.

        Args:
            env: a `WebShop`, after `reset`.
            seed: without effect.
        """
        if not isinstance(env, WebShop):
            raise InputError(f"the oracle plays WebShop only, not {type(env).__name__}.")
        self._env = env

    def act(self, text: str, info: Info) -> str:
        """Returns the next action from wherever the episode stands."""
        return self._env.advised()


class WebShop(TextEnv):
    """WebShop: find and buy the product that an instruction asks for."""

    config_class: ClassVar[type[Any]] = WebShopConfig
    players: ClassVar[Mapping[str, Callable[[TextEnv, int], Player]]] = {
        "random": RandomPlayer,
        "oracle": OraclePlayer,
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

    def advised(self) -> str:
        """Returns the next action towards buying the product that the goal was made from.

        Raises:
            ResetNeeded: before the first `reset`.
        """
        goal, place, shop = self._started(), self._place, self._playing.shop
        buttons = shop.clickables(place)
        if place.sub_page:
            return "click[< prev]"
        if place.asin != goal.asin:
            query = _query(shop.products[goal.asin].title)
            if not place.asin and goal.asin.lower() in buttons:
                return f"click[{goal.asin.lower()}]"
            if place.keywords == query and not place.asin:
                return "click[next >]"
            return f"search[{query}]"
        missing = [value for value in self._best_options(goal) if value not in place.chosen.values()]
        return f"click[{missing[0] if missing else BUY}]"

    def _best_options(self, goal: Goal) -> list[str]:
        """Finds for each option that the goal asks for the product's value that is most like it."""
        values = [value for values in self._playing.shop.products[goal.asin].options.values() for value in values]
        found = []
        for _, asked in goal.options:
            exact = [value for value in values if value == asked]
            found += (exact or [value for value in values if alike(color_of(value), color_of(asked))])[:1]
        return found

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
            commands = [f"search[{_query(goal.words)}]"]
        return {
            "admissible_commands": sorted(commands),
            "anchor": self._said if over else self._page(goal),
            "won": self.score is not None and self.score.total == 1,
            "goal": goal.instruction,
            "task": self._task,
            "task_type": self._playing.shop.products[goal.asin].category,
            "is_action_valid": self._possible,
        }


def _query(text: str) -> str:
    """Returns words to search for: without brackets, which end an action, and not too many for one."""
    words = " ".join(re.sub(r"[\[\]]", " ", text).lower().split())
    return words if len(words) <= _MOST_CHARACTERS else words[:_MOST_CHARACTERS].rsplit(" ", 1)[0]
