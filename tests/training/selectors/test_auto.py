"""`layer=auto`: the signs of a block out of order, the race, and the choice that remains."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from tests.training.guessing import small_model
from tests.training.rows import near_the_model, random_rows
from tests.training.selectors.test_probing import as_groups, probe
from training.batches import TrainingRow
from training.selectors import BlockScore, Choice, Groups, adaptation, auto, removal, rows_of


def test_select_scores_every_block_and_says_what_it_saw():
    rows = random_rows(16)
    near_the_model(small_model(4), rows)
    groups = as_groups(rows)
    for row in rows_of(groups[3]):
        row.advantages[:] = 0.0
    choice = auto.select(probe(groups))
    assert "(probe: 7 groups with a learning signal)" in choice.why
    for block in choice.blocks:
        assert block.details["standard_error"] > 0
        assert block.details["gradient_norm"] > 0
    scores = [block.score for block in choice.blocks]
    assert len(set(scores)) == 4


@pytest.mark.parametrize("signals", [0, 2])
def test_too_few_groups_give_the_middle_block_and_say_so(signals: int):
    rows = random_rows(12)
    for row in rows[2 * signals :]:
        row.advantages[:] = 0.0
    choice = auto.select(probe(as_groups(rows)))
    assert choice.indices == (1,)
    assert f"only {signals} groups" in choice.why
    assert [block.score for block in choice.blocks] == [None] * 4


def as_world(rows: list[TrainingRow]) -> list[TrainingRow]:
    """The world always says the same, which can be learned."""
    for row in rows:
        row.row.tokens[~row.row.sampled] = 7
    return rows


def sign(scores: Sequence[float], firsts: Sequence[float] = ()) -> Choice:
    """What a sign that needs no reward says, with standard errors of 0.1."""
    blocks = tuple(
        BlockScore(block, score, {"standard_error": 0.1, "first_update": first})
        for block, (score, first) in enumerate(zip(scores, firsts or [0.1] * len(scores), strict=True))
    )
    return Choice("sign", (0,), "", blocks)


def signs(monkeypatch: pytest.MonkeyPatch, missed: int, learns: int) -> None:
    """Lets the signs that need no reward name blocks."""
    for module, best in ((removal, missed), (adaptation, learns)):
        said = sign([float(block == best) for block in range(4)])
        monkeypatch.setattr(module, "select", lambda probe, said=said: said)


def others(number: int, **scores: float) -> list[float]:
    """Scores of blocks that differ a little, but for those given."""
    return [scores.get(f"b{block}", -1 - block / 100) for block in range(number)]


@pytest.mark.parametrize(
    ("missed", "learns", "named"),
    [
        (others(8, b5=0.5), others(8, b5=0.5), 5),
        (others(8, b5=0.5), others(8, b5=0.5, b0=0.7), 5),
        (others(8, b5=0.5), others(8, b5=0.5, b0=0.7, b7=0.6), None),
        (others(7, b5=0.5), others(7, b5=0.5, b0=0.7), None),
        (others(7, b5=0.5), others(7, b5=0.5), 5),
        # Missed, if by less than two standard errors of 0.1; then by more.
        (others(8, b5=-0.19), others(8, b5=0.5), 5),
        (others(8, b5=-0.21), others(8, b5=0.5), None),
        (others(2, b1=0.5), others(2, b1=0.5), None),
        ([], others(8), None),
    ],
)
def test_out_of_order_is_a_block_not_missed_that_learns_well(
    missed: list[float], learns: list[float], named: int | None
):
    assert auto._out_of_order(sign(missed), sign(learns))[0] == named


@pytest.mark.parametrize(
    ("best", "gained", "firsts", "named"),
    [
        (0, 0.21, [0.16, 0.1, 0.1, 0.02], 0),
        (0, 0.21, [0.14, 0.1, 0.1, 0.02], None),
        # What it learns may be chance.
        (0, 0.19, [0.16, 0.1, 0.1, 0.02], None),
        # The first update of another block than learns best, or of none.
        (1, 0.21, [0.16, 0.1, 0.1, 0.02], None),
        (0, 0.21, [0.01, -0.1, -0.1, -0.1], 0),
        (0, 0.21, [-0.01, -0.1, -0.1, -0.1], None),
    ],
)
def test_out_of_order_is_a_block_that_mends_itself_at_once(
    best: int, gained: float, firsts: list[float], named: int | None
):
    missed, learns = sign([-9.0, -1.0, -2.0, -3.0]), [gained - abs(block - best) / 100 for block in range(4)]
    assert auto._out_of_order(missed, sign(learns, firsts))[0] == named


def test_a_block_that_both_signs_name_is_out_of_order(monkeypatch: pytest.MonkeyPatch):
    signs(monkeypatch, 3, 3)
    choice = auto.select(probe(as_groups(random_rows(16))))
    assert choice.indices == (3,)
    assert choice.why.startswith("block 3 seems out of order")
    assert [(block.details["removal"], block.details["adaptation"]) for block in choice.blocks] == [(0, 0)] * 3 + [
        (1, 1)
    ]


def test_signs_that_disagree_leave_the_choice_to_the_gain(monkeypatch: pytest.MonkeyPatch):
    signs(monkeypatch, 3, 0)
    choice = auto.select(probe(as_groups(random_rows(16))))
    assert choice.indices == (1,)
    assert "cannot be told apart" in choice.why


@pytest.mark.parametrize(("budget", "raced"), [(0.15, True), (0.02, False)])
def test_blocks_that_cannot_be_told_apart_race_if_the_budget_allows(
    budget: float, raced: bool, monkeypatch: pytest.MonkeyPatch
):
    signs(monkeypatch, 3, 0)
    trained: dict[int, int] = {}

    def race(block: int, iterations: int) -> list[list[float]]:
        trained[block] = iterations
        # The last block learns fast.
        return [[0.3 + (0.02 if block == 3 else 0.001) * at + 1e-4 * (7 * block * at % 3)] for at in range(iterations)]

    given = replace(
        probe(as_groups(random_rows(16))), budget=budget, iterations=30, sweep_episodes=4 * 30 * 64, race=race
    )
    choice = auto.select(given)
    assert bool(trained) is raced
    assert choice.indices == ((3,) if raced else (1,))
    assert not raced or trained.keys() == {1, 3}
    assert sum(trained.values()) <= 0.15 * 4 * 30
    assert ("clearly outran" in choice.why) is raced
    ran = {block.index: block.details["race_success"] for block in choice.blocks if "race_success" in block.details}
    assert ran.keys() == trained.keys()
    assert not raced or ran[3] > ran[1]


def test_signs_that_the_budget_does_not_pay_for_are_not_asked():
    def groups() -> Groups:
        raise AssertionError("the shared batch was played")

    # Sixteen episodes played and learned from once, 32 learned by each of four blocks: 160 of 2 x 800.
    given = replace(probe([]), groups=groups, iterations=10, sweep_episodes=800, shared_episodes=16, budget=0.09)
    choice = auto.select(given)
    assert (choice.selector, choice.indices) == ("auto", (1,))
    assert "the signs would cost 10% of training every block once, above budget=0.09" in choice.why
    with pytest.raises(AssertionError, match="was played"):
        auto.select(replace(given, budget=0.1))


def test_the_shared_batch_is_played_once_for_all_signs():
    played = []
    rows = as_world(random_rows(16))
    given = probe(as_groups(rows))
    groups = given.groups()
    given.groups = lambda: played.append(1) or groups
    choice = auto.select(given)
    assert len(played) == 1
    told = {"removal", "removal_standard_error", "adaptation", "adaptation_first_update", "standard_error"}
    assert all(told <= block.details.keys() for block in choice.blocks)


def test_a_race_that_only_the_middle_block_wins_leaves_the_clearer_sign_in_place(monkeypatch: pytest.MonkeyPatch):
    """The middle block runs along as a yardstick; where its gain is clearly smaller it is no answer."""
    signs(monkeypatch, 3, 0)
    blocks = tuple(BlockScore(block, float(block)) for block in range(4))
    told = Choice("auto", (2,), "blocks 2, 3 cannot be told apart", blocks, (2, 3))
    monkeypatch.setattr(auto, "select_by_gradient", lambda *_: told)
    ran: set[int] = set()

    def race(block: int, iterations: int) -> list[list[float]]:
        ran.add(block)
        return [[0.5]] * iterations

    given = replace(probe(as_groups(random_rows(16))), iterations=30, sweep_episodes=4 * 30 * 64, race=race)
    choice = auto.select(given)
    assert ran == {1, 3}
    assert choice.indices == (2,)


def test_of_two_blocks_agreement_of_the_signs_means_nothing(monkeypatch: pytest.MonkeyPatch):
    for module in (removal, adaptation):
        monkeypatch.setattr(module, "select", lambda probe: sign([1.0, 0.0]))
    assert "out of order" not in auto.select(probe(as_groups(random_rows(16)), blocks=2)).why
