"""Game files: what is read out of them, and what broken ones are answered with."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.alfworld.dialects import CLASSIC, DOMAINS, PUBLISHED, UncoveredError
from envs.alfworld.layout import Layout
from envs.alfworld.problem import Goal, Receptacle, Thing
from envs.alfworld.reading import parse_game, read_game, read_outline
from envs.alfworld.world import World
from envs.errors import InputError
from tests.envs.alfworld import tiny

pytestmark = pytest.mark.usefixtures("tiny_known")


def broken(**changes: Any) -> str:
    """The error's text for a changed file."""
    with pytest.raises(InputError) as caught:
        parse_game(json.dumps(tiny.content(**changes)), "some/game.tw-pddl")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_reads_the_facts(tmp_path: Path) -> None:
    game = read_game(tiny.write(tmp_path))
    problem = game.problem
    assert problem.name == "plan_tiny"
    assert problem.start == "loc_bar_1"
    assert problem.receptacles == (
        Receptacle("Desk_bar_1", "DeskType", "loc_bar_2"),
        Receptacle("Safe_bar_1", "SafeType", "loc_bar_3", openable=True),
    )
    assert problem.things == (
        Thing("Mug_bar_1", "MugType", "loc_bar_3", ("Safe_bar_1",), frozenset({"pickupable", "cleanable"})),
        Thing(
            "Bowl_bar_1",
            "BowlType",
            "loc_bar_3",
            ("Safe_bar_1", "Desk_bar_1"),
            frozenset({"isReceptacleObject"}),
            ("Mug_bar_1",),
        ),
    )
    assert problem.can_contain == {("DeskType", "MugType")}
    assert problem.goal == Goal("pick_and_place_simple", "MugType", "DeskType")
    assert problem.sentence == "put a mug in desk."
    assert game.walkthrough == tuple(tiny.WALKTHROUGH)
    assert game.dialect.wording == "move"


def test_a_missing_walkthrough_is_empty() -> None:
    assert parse_game(json.dumps(tiny.content(walkthrough=None, solvable=None)), "x").walkthrough == ()


def test_entities_without_a_type_are_kept_for_the_numbering() -> None:
    text = tiny.PROBLEM.replace("(pickupable Mug_bar_1)", "(pickupable Mug_bar_1) (pickupable Mug_bar_3)")
    things = parse_game(json.dumps(tiny.content(pddl_problem=text)), "x").problem.things
    assert [(thing.id, thing.type) for thing in things][-1] == ("Mug_bar_3", "")


GOALS = {
    Goal("look_at_obj_in_light", "BookType", "DeskLampType"): """(:goal (and
        (exists (?ot - object ?r - receptacle ?a - agent ?l - location) (and (objectType ?ot DeskLampType) (toggleable
        ?ot)
            (isToggled ?ot) (receptacleAtLocation ?r ?l) (atLocation ?a ?l) (inReceptacle ?ot ?r)))
        (exists (?o - object ?a - agent) (and (objectType ?o BookType) (holds ?a ?o))))) )""",
    Goal("pick_clean_then_place_in_recep", "PanType", "DeskType"): """(:goal (and (exists (?r - receptacle) (exists (?o
    - object)
        (and (cleanable ?o) (objectType ?o PanType) (receptacleType ?r DeskType) (isClean ?o) (inReceptacle ?o
        ?r))))))) """,
    Goal("pick_heat_then_place_in_recep", "EggType", "DeskType"): """(:goal (and (exists (?r - receptacle) (exists (?o
    - object)
        (and (heatable ?o) (objectType ?o EggType) (receptacleType ?r DeskType) (isHot ?o) (inReceptacle ?o ?r)))))))
        """,
    Goal("pick_cool_then_place_in_recep", "EggType", "DeskType"): """(:goal (and (exists (?r - receptacle) (exists (?o
    - object)
        (and (coolable ?o) (objectType ?o EggType) (receptacleType ?r DeskType) (isCool ?o) (inReceptacle ?o ?r)))))))
        """,
    Goal("pick_two_obj_and_place", "PenType", "DeskType"): """(:goal (and (exists (?r - receptacle) (exists (?o1 -
    object)
        (and (objectType ?o1 PenType) (receptacleType ?r DeskType) (inReceptacle ?o1 ?r) (exists (?o2 - object)
        (and (not (= ?o1 ?o2)) (objectType ?o2 PenType) (receptacleType ?r DeskType) (inReceptacle ?o2 ?r))))))))) """,
}


def with_goal(goal: str) -> str:
    return tiny.PROBLEM[: tiny.PROBLEM.index("(:goal")] + goal


@pytest.mark.parametrize("goal", GOALS, ids=lambda goal: goal.task_type)
def test_goal_shapes(goal: Goal) -> None:
    text = json.dumps(tiny.content(pddl_problem=with_goal(GOALS[goal])))
    assert parse_game(text, "x").problem.goal == goal


def test_two_different_types_are_no_goal_of_two_alike() -> None:
    goal = GOALS[Goal("pick_two_obj_and_place", "PenType", "DeskType")]
    changed = goal.replace("(objectType ?o2 PenType)", "(objectType ?o2 CupType)")
    assert "six shapes" in broken(pddl_problem=with_goal(changed))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("(isReceptacleObject Bowl_bar_1)", "(isCursed Bowl_bar_1)", "isCursed"),
        ("(isReceptacleObject Bowl_bar_1)", "(not (pickupable Bowl_bar_1))", "plain facts"),
        ("(isReceptacleObject Bowl_bar_1)", "(pickupable Bowl_bar_1 Mug_bar_1)", "number of arguments"),
        ("(isReceptacleObject Bowl_bar_1)", "(canContain DeskType)", "number of arguments"),
        ("(isReceptacleObject Bowl_bar_1)", "(openable Bowl_bar_1)", "lacks its type or its location"),
        ("(isReceptacleObject Bowl_bar_1)", "(pickupable MUG_bar_1)", "same name"),
        ("(isReceptacleObject Bowl_bar_1)", "(objectType Bowl_bar_1 CupType)", "twice"),
        ("(receptacleType Desk_bar_1 DeskType)", "", "lacks its type or its location"),
        ("(inReceptacle Bowl_bar_1 Desk_bar_1)", "(inReceptacle Bowl_bar_1 Mug_bar_1)", "no receptacle"),
        ("(atLocation agent1 loc_bar_1)", "", "0 places where the agent starts"),
        ("(define (problem plan_tiny)", "(define", "no name"),
        ("(:init", "(:start", "(:init ...)"),
        ("(:goal", "(:wish", "(:goal ...)"),
        ("(objectType ?o MugType)", "(objectType ?o MugType) (isSliced ?o)", "six shapes"),
    ],
)
def test_each_fault_in_the_problem_is_named(old: str, new: str, said: str) -> None:
    error = broken(pddl_problem=tiny.PROBLEM.replace(old, new))
    assert said in error
    assert "some/game.tw-pddl" in error


@pytest.mark.parametrize("key", ["pddl_domain", "grammar", "pddl_problem"])
@pytest.mark.parametrize("value", [None, 7, ["text"]])
def test_missing_and_mistyped_keys_are_named(key: str, value: Any) -> None:
    assert key in broken(**{key: value})


def test_walkthrough_must_be_commands() -> None:
    assert "walkthrough" in broken(walkthrough=["look", 3])
    assert "walkthrough" in broken(walkthrough="look")


def test_unknown_rules_are_refused_and_outlined(tmp_path: Path) -> None:
    assert "engine=reference" in broken(pddl_domain="(define (domain other))")
    assert "engine=reference" in broken(grammar=tiny.GRAMMAR.replace("task", "tasks", 1))
    path = tiny.write(tmp_path, pddl_domain="(define (domain other))", pddl_problem=with_goal("(:goal (and)))"))
    with pytest.raises(UncoveredError):
        read_game(path)
    assert read_outline(path) == ("put a mug in desk.", "unknown", tuple(tiny.WALKTHROUGH))


@pytest.mark.parametrize("line", ["put a #mug# in desk.", "put {o} in desk.", "put [a] in desk.", "a|b", "a;b"])
def test_task_lines_that_the_grammar_would_interpret_are_refused(line: str) -> None:
    assert "task line" in broken(grammar=tiny.GRAMMAR.replace("put a mug in desk.", line))


def test_one_task_line_is_needed() -> None:
    assert "0 task lines" in broken_or_unknown('{"task": []}')
    twice = tiny.GRAMMAR.replace("}]", '}, {"rhs": "Your task is to: rest."}]')
    assert "2 task lines" in broken_or_unknown(twice)


def broken_or_unknown(grammar: str) -> str:
    """The error's text for a grammar that is made known first."""
    from envs.alfworld import dialects

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dialects.GRAMMARS, dialects.grammar_fingerprint(grammar), PUBLISHED)
        return broken(grammar=grammar)


def test_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot read the game file"):
        read_game(tmp_path / "nowhere")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text"):
        read_game(tmp_path / "bytes")
    for content in ("", "[]", "7", "null", "[" * 100_000, '{"pddl_domain": ' + "9" * 10_000 + "}"):
        (tmp_path / "text").write_text(content)
        with pytest.raises(InputError, match="game file"):
            read_game(tmp_path / "text")


@settings(deadline=None)
@given(st.integers(min_value=0, max_value=len(json.dumps(tiny.content())) - 1))
def test_a_file_cut_anywhere_is_refused(length: int) -> None:
    with pytest.raises(InputError, match="not a complete game file"):
        parse_game(json.dumps(tiny.content())[:length], "x")


def check_message(error: InputError) -> None:
    message = str(error)
    assert message.startswith("x")
    assert len(message) < 500
    assert "\n" not in message


spans = st.tuples(st.integers(0, len(tiny.PROBLEM)), st.integers(0, 200))
replacements = st.one_of(
    st.text(max_size=30),
    st.sampled_from(["(", ")", "((((", "(:init", "(:goal", ";", "\0", "(pickupable Mug_bar_1)", "(opened Desk_bar_1)"]),
    st.builds(
        lambda word, times: word * times, st.sampled_from(["(", ")", " ", "a", "( ", "(a b"]), st.integers(1, 20_000)
    ),
)


@settings(deadline=None)
@given(span=spans, replacement=replacements)
def test_a_mutated_problem_gives_one_clear_error_or_a_game_that_plays(span: tuple[int, int], replacement: str) -> None:
    start, length = span
    text = tiny.PROBLEM[:start] + replacement + tiny.PROBLEM[start + length :]
    try:
        game = parse_game(json.dumps(tiny.content(pddl_problem=text)), "x")
    except InputError as error:
        check_message(error)
        return
    world = World(Layout(game.problem, game.dialect))
    for command in [*world.admissible_commands(), *tiny.WALKTHROUGH]:
        world.step(command)


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(sorted(tiny.content())), st.one_of(st.none(), st.integers(), st.text(), st.booleans())
    )
)
def test_mutated_keys_give_one_clear_error_or_a_game(changes: dict[str, Any]) -> None:
    data = {**tiny.content(), **changes}
    try:
        parse_game(json.dumps(data), "x")
    except InputError as error:
        check_message(error)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    "text", ["(a " * 200_000, "(:init" + " " * 500_000 + "(:goal" + " " * 500_000, "(problem " * 100_000]
)
def test_hostile_problems_are_refused_quickly(text: str) -> None:
    broken(pddl_problem=text)
    broken(pddl_problem=tiny.PROBLEM.replace("(:goal", text + "(:goal"))


@pytest.mark.timeout(20)
def test_hostile_grammars_are_refused_quickly() -> None:
    assert "grammar" in broken(grammar='"Your task is to: ' * 50_000)


def test_real_games_of_both_formats(alfworld_data: Path) -> None:
    paths = sorted((alfworld_data / "json_2.1.1" / "valid_seen").glob("*/*/game.tw-pddl"))[::7]
    assert len(paths) == 20
    for path in paths:
        game = read_game(path)
        assert game.dialect == PUBLISHED
        assert path.parts[-3].startswith(game.problem.goal.task_type)
        assert 3 <= len(game.walkthrough) <= 10
        data = json.loads(path.read_text())
        typed = {thing.id for thing in game.problem.things if thing.type}
        assert typed == set(re.findall(r"\(objectType ([^\s?]+) \S+\)", data["pddl_problem"]))


def test_the_classic_format_has_no_help_and_puts() -> None:
    assert CLASSIC.help is None
    assert CLASSIC.put_command("mug 1", "desk 1") == "put mug 1 in/on desk 1"
    assert CLASSIC in DOMAINS.values()
