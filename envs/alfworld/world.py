"""One game of ALFWorld being played by the rules: which of them a command belongs to, and what is allowed now."""

from __future__ import annotations

from envs.alfworld import text
from envs.alfworld.layout import Layout
from envs.alfworld.rules import RULES, Offers, Rule
from envs.alfworld.state import State

_EMPTY_HANDED = tuple(rule for rule in RULES if not rule.always and rule.hand != "holding")
_HOLDING = tuple(rule for rule in RULES if not rule.always and rule.hand != "empty")


class World:
    """One game being played."""

    def __init__(self, layout: Layout) -> None:
        """Starts the game.

        Args:
            layout: the compiled game; worlds may share it.
        """
        self.layout = layout
        self.state = State(layout)
        self._intro = text.intro(self.state)
        self._always: list[tuple[Rule, Offers]] = [(rule, rule.offers(self.state)) for rule in RULES if rule.always]
        self._offers, self._admissible = self._first = self._offered()

    def reset(self) -> str:
        """Starts again from the beginning and returns the first text."""
        self.state = State(self.layout)
        self._offers, self._admissible = self._first
        return self._intro

    def step(self, command: str) -> str:
        """Plays one command and returns what the game says.

        Args:
            command: any text; space around it does not count, capitals and space inside it do.

        Returns:
            The feedback; "Nothing happens." if the command is not admissible now.
        """
        command = command.strip()
        for rule, offers in self._offers:
            arguments = offers.get(command)
            if arguments is not None:
                said = rule.play(self.state, *arguments)
                if rule.changes_state:
                    self._offers, self._admissible = self._offered()
                return said
        return text.NOTHING_HAPPENS

    def admissible_commands(self) -> list[str]:
        """Returns the commands that would do or tell something now, sorted."""
        return self._admissible.copy()

    @property
    def won(self) -> bool:
        """Whether the goal holds now. It may cease to hold, for the game goes on after a win."""
        return self.state.goal_holds()

    def state_key(self) -> str:
        """Names the true state."""
        return self.state.key()

    def _offered(self) -> tuple[list[tuple[Rule, Offers]], list[str]]:
        """Asks the rules what they offer in a new state. Returns that, and all commands sorted."""
        state, offered = self.state, []
        for rule in _EMPTY_HANDED if state.held is None else _HOLDING:
            offers = rule.offers(state)
            if offers:
                offered.append((rule, offers))
        offered += self._always
        commands: list[str] = []
        for _, offers in offered:
            commands += offers
        commands.sort()
        return offered, commands
