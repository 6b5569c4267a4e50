"""What differs between the published versions of the game, recognised by fingerprint.

Format 2.1.2 and format 2.1.1 differ in how an object is put down, how an arrival is told and whether there is help; the
domain's versions differ in what cleans. Everything else in domain and grammar is the same, and is written down in
`rules` and `text`. A domain or grammar that is not known is refused by name rather than guessed at.
"""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import NamedTuple

from envs.errors import InputError

HELP = """Available commands:
  look:                             look around your current location
  inventory:                        check your current inventory
  go to (receptacle):               move to a receptacle
  open (receptacle):                open a receptacle
  close (receptacle):               close a receptacle
  take (object) from (receptacle):  take an object from a receptacle
  move (object) to (receptacle):  place an object in or on a receptacle
  examine (something):              examine a receptacle or an object
  use (object):                     use an object
  heat (object) with (receptacle):  heat an object using a receptacle
  clean (object) with (receptacle): clean an object using a receptacle
  cool (object) with (receptacle):  cool an object using a receptacle
  slice (object) with (object):     slice an object using a sharp object
"""
# The line that names the task, the only thing in a grammar that differs between the games of one version.
# Its length is bounded so that a hostile file cannot make the search slow.
TASK_LINE = re.compile(r'"Your task is to: ((?:[^"\\]|\\.){0,1000})"')
_COMMENT = re.compile(r";[^\n]*")


class UncoveredError(InputError):
    """A game uses something that the native rules do not cover.

    Attributes:
        what: it uses, as a sentence without its end.
        grammar_known: whether the file's grammar is a known one, so that the stock engine, which runs expressions of
            the grammar as code, would run none that the file brings along.
    """

    def __init__(self, what: str, *, grammar_known: bool = True) -> None:
        """Says what.

        Args:
            what: it uses, as a sentence without its end.
            grammar_known: whether the file's grammar is a known one.
        """
        self.what = what
        self.grammar_known = grammar_known
        trust = "" if grammar_known else ", which runs expressions in the file's grammar as code: trust the file first"
        super().__init__(f"{what}; engine=reference plays it with the stock engine{trust}.")


class Dialect(NamedTuple):
    """How one version of the game words things.

    Attributes:
        wording: "move" ("move {o} to {r}", format 2.1.2) or "put" ("put {o} in/on {r}", format 2.1.1).
        arrival: what an arrival names, the "receptacle" (2.1.2) or its "location" (2.1.1).
        help: the text of the help command; None if there is no such command (2.1.1).
        sinks: receptacle types that clean.
    """

    wording: str
    arrival: str
    help: str | None
    sinks: frozenset[str]

    def put_command(self, thing: str, receptacle: str) -> str:
        """Returns the command that puts a thing down."""
        return f"move {thing} to {receptacle}" if self.wording == "move" else f"put {thing} in/on {receptacle}"

    def put_feedback(self, thing: str, receptacle: str) -> str:
        """Returns what is said after it."""
        if self.wording == "move":
            return f"You move the {thing} to the {receptacle}."
        return f"You put the {thing} in/on the {receptacle}."


PUBLISHED = Dialect("move", "receptacle", HELP, frozenset({"SinkType", "SinkBasinType"}))
"""The published games of format 2.1.2."""

PACKAGED = Dialect("move", "receptacle", HELP, frozenset({"SinkBasinType"}))
"""Games written with the domain and grammar of the alfworld package 0.4.2."""

CLASSIC = Dialect("put", "location", None, frozenset({"SinkBasinType"}))
"""Games of format 2.1.1, with the domain and grammar of the alfworld package 0.3.5."""

DOMAINS = {
    "9549a55d7ecd967fcbd3f32645c16b56b27a823bc72f2ab7c7e43660f794a063": PUBLISHED,
    "68c0c8ed4392a559a1ad2c107dc77efc940461cfb6153136190f81d312aaebe9": PACKAGED,
    "c398bac7936b4387f52da0ff9ba6919b28acde22edfb26db4fe5d249aa1cd927": CLASSIC,
}
"""Known domains by fingerprint: whose sinks and help action they have."""

GRAMMARS = {
    "af191038ff7d6ca1225e54435b76276aa82794316a07b92309fb0683c9691daf": PUBLISHED,
    "21df8efa6d1537796ad3f430af9b838714200daf2a24c78967e9c87b697e271e": PACKAGED,
    "37715147a9b916b8dfdefb88fba286238899ca2daedd621e54d92c1331d7c1e5": CLASSIC,
}
"""Known grammars by fingerprint."""


def recognise(domain: str, grammar: str) -> Dialect:
    """Tells how a game words things.

    Args:
        domain: its PDDL domain.
        grammar: its grammar.

    Returns:
        The dialect that domain and grammar make together.

    Raises:
        UncoveredError: if the domain or the grammar is not a known one.
    """
    rules, words = DOMAINS.get(domain_fingerprint(domain)), GRAMMARS.get(grammar_fingerprint(grammar))
    if words is None:
        raise UncoveredError("its grammar is none that the native engine knows", grammar_known=False)
    if rules is None:
        raise UncoveredError("its PDDL domain is none that the native engine knows")
    if rules.help is None:
        return words._replace(sinks=rules.sinks, help=None)
    if words.help is None:
        raise UncoveredError("its PDDL domain has a help action that its grammar has no text for")
    return words._replace(sinks=rules.sinks)


@lru_cache(maxsize=16)
def domain_fingerprint(domain: str) -> str:
    """Hashes a PDDL domain without its comments and extra space."""
    return _hash(" ".join(_COMMENT.sub("", domain).split()))


def grammar_fingerprint(grammar: str) -> str:
    """Hashes a grammar without its task."""
    return _text_fingerprint(TASK_LINE.sub('"Your task is to: "', grammar))


@lru_cache(maxsize=16)
def _text_fingerprint(text: str) -> str:
    return _hash(text.replace("\r\n", "\n").strip())


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
