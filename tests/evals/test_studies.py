"""Studies: intervals that cover, contributions only where they are earned, selectors judged on unused halves."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from evals import study
from evals.folder import Folder
from evals.selector_validation import block_regrets, leads, pooled, rank_correlation, validate
from evals.statistics import MINIMUM_GAIN, fieller
from evals.statistics import contribution as of_one_seed
from evals.studies import arms_of, build, contribution, difference, read_cells
from evals.study_chart import WIDTH, chart
from evals.study_reading import reading

PANEL = "rooms"
FACTS = {"env": "alfworld", "model": "tiny", "family": "qwen3", "algorithm": "gigpo", "blocks": 4, "episodes": 1000}


def cell(arm: str, seed: int, wins: np.ndarray[Any, Any], seconds: float = 1.0) -> dict[str, Any]:
    panel = {"name": PANEL, "tasks": len(wins), "sha256": "f" * 64, "wins": "".join("01"[int(one)] for one in wins)}
    return {
        "cell": f"{arm}-seed{seed}",
        "arm": arm,
        "seed": seed,
        "learning_rate": None if arm == "base" else 1e-3,
        "panels": {PANEL: panel},
        "episodes": 1000,
        "cost": {"seconds": seconds},
    }


def cells(rates: dict[str, float], seeds: int = 3, tasks: int = 400, spread: float = 0.0) -> list[dict[str, Any]]:
    """Arms that win each task with a probability of their own, some seeds better than others."""
    draw = np.random.default_rng(7)
    hardness = draw.random(tasks)
    return [
        cell(arm, seed, hardness < rate + spread * draw.normal())
        for arm, rate in rates.items()
        for seed in range(seeds)
    ]


def pick(selector: str, seed: int, chosen: int, scores: list[float] | None) -> dict[str, Any]:
    return {
        "cell": f"select-{selector}-seed{seed}",
        "selector": selector,
        "seed": seed,
        "chosen": [chosen],
        "scores": scores,
        "episodes": 200,
        "learned_episodes": 600,
        "cost": {"seconds": 3.0},
    }


RATES = {"base": 0.3, "full": 0.6, "0": 0.35, "1": 0.5, "2": 0.55, "3": 0.4, "lora:1": 0.5}


def test_a_study_has_the_documented_keys():
    content = build(FACTS, cells(RATES, spread=0.01))
    assert content["seeds"] == [0, 1, 2]
    assert content["panels"] == {PANEL: {"tasks": 400, "sha256": "f" * 64}}
    assert list(content["arms"]) == ["base", "0", "1", "2", "3", "full", "lora:1"]
    for arm in content["arms"].values():
        assert {"learning_rate", "success", "interval"} <= arm.keys()
        assert len(arm["success"][PANEL]) == 3
        low, high = arm["interval"][PANEL]
        assert low <= np.mean(arm["success"][PANEL]) <= high
    assert set(content["contribution"][PANEL]) == {"0", "1", "2", "3", "lora:1"}
    best = content["contribution"][PANEL]["2"]
    assert best["value"] == pytest.approx(5 / 6, abs=0.15)
    assert best["interval"][0] < best["value"] < best["interval"][1]
    assert content["differences"][PANEL]["2"]["minus_base"]["interval"][0] > 0
    assert "minus_full" not in content["differences"][PANEL]["full"]
    assert json.loads(json.dumps(content, allow_nan=False)) is not None


def test_a_contribution_needs_a_clear_gain():
    arms = arms_of(cells(RATES | {"full": 0.33}, spread=0.0))
    found = contribution(arms["base"], arms["2"], arms["full"], PANEL)
    assert found["value"] is None
    assert "a contribution needs a lower bound above 5 points" in found["why_null"]
    # The difference is stated all the same.
    assert difference(arms["2"], arms["base"], PANEL) is not None


def test_a_contribution_rests_on_the_seeds_that_all_three_have():
    rng = np.random.default_rng(5)
    rows = [cell("base", seed, rng.random(400) < 0.3) for seed in range(6)]
    # With seed 0, the only one that the block has too, training everything gained nothing.
    rows += [cell("full", seed, rng.random(400) < (0.9 if seed else 0.3)) for seed in range(6)]
    rows += [cell("2", 0, rng.random(400) < 0.5)]
    arms = arms_of(rows)
    gain = difference(arms["full"], arms["base"], PANEL)
    assert gain.interval.low > MINIMUM_GAIN
    found = contribution(arms["base"], arms["2"], arms["full"], PANEL)
    assert found["value"] is None
    assert "(1 seeds)" in found["why_null"]


def test_a_study_of_one_task_is_refused():
    arms = arms_of([cell(arm, 0, np.array([arm != "base"])) for arm in ("base", "full", "2")])
    with pytest.raises(InputError, match="a study needs panels of two tasks or more"):
        contribution(arms["base"], arms["2"], arms["full"], PANEL)


def test_one_seed_gives_the_panels_own_interval():
    draw = np.random.default_rng(0)
    base, layer, full = (draw.random(300) < rate for rate in (0.3, 0.5, 0.6))
    arms = arms_of([cell("base", 0, base), cell("1", 0, layer), cell("full", 0, full)])
    found, expected = contribution(arms["base"], arms["1"], arms["full"], PANEL), of_one_seed(base, layer, full)
    assert found["value"] == pytest.approx(expected.value)
    gaps = np.stack([layer, full]).astype(float) - base
    interval = fieller(*gaps.mean(axis=1).tolist(), np.cov(gaps) / 300, 0.95, math.inf)
    assert found["interval"] == pytest.approx(list(interval))


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 5), st.integers(1, 4), st.integers(4, 30), st.integers(0, 1000))
def test_regrets_sum_to_what_the_best_is_worth(blocks: int, seeds: int, tasks: int, number: int):
    wins = (np.random.default_rng(number).random((blocks, seeds, tasks)) < 0.5).astype(float)
    regrets = block_regrets(wins, 20)
    assert regrets.shape == (blocks,)
    assert np.abs(regrets).max() <= 1
    # Renaming the blocks renames their regrets.
    order = np.random.default_rng(number).permutation(blocks)
    np.testing.assert_allclose(block_regrets(wins[order], 20), regrets[order], atol=1e-12)


def test_regret_does_not_reward_luck():
    """Of blocks that are all alike, the luckiest has no head start over the others on unused halves."""
    draw = np.random.default_rng(1)
    regrets = [np.abs(block_regrets((draw.random((8, 3, 300)) < 0.5).astype(float), 50)).max() for _ in range(20)]
    spreads = [np.ptp((draw.random((8, 3, 300)) < 0.5).mean(axis=(1, 2))) for _ in range(20)]
    assert np.mean(regrets) < np.mean(spreads)


def test_a_clearly_best_block_costs_the_others_their_gap():
    hardness = np.random.default_rng(5).random(2000)
    wins = np.stack([np.stack([hardness < rate] * 2) for rate in (0.3, 0.7, 0.5)]).astype(float)
    np.testing.assert_allclose(block_regrets(wins), [0.4, 0.0, 0.2], atol=0.03)


def test_selectors_are_judged_by_regret_ranks_and_cost():
    rows = cells(RATES)
    picks = [pick("sharp", seed, 2, [0.1, 0.6, 0.9, 0.3]) for seed in range(3)]
    picks += [pick("blunt", seed, 0, None) for seed in range(3)]
    judged = validate(arms_of(rows), picks, PANEL, 4, 1000)
    assert judged["sharp"]["rank_correlation"] == pytest.approx(1.0)
    assert judged["sharp"]["regret"] == pytest.approx(0.0, abs=0.02)
    assert judged["blunt"]["regret"] == pytest.approx(0.2, abs=0.05)
    assert judged["blunt"]["rank_correlation"] is None
    assert judged["sharp"]["cost_share"] == pytest.approx((200 + 600) / (2 * 4000))
    assert judged["sharp"]["picks"] == {0: [2], 1: [2], 2: [2]}
    assert 0 < judged["random"]["regret"] < judged["blunt"]["regret"]
    assert judged["middle"]["regret"] == pytest.approx(0.05, abs=0.04)
    assert validate(arms_of([row for row in rows if row["arm"] != "3"]), picks, PANEL, 4, 1000) == {}


def test_selectors_are_pooled_over_the_cells_of_several_studies():
    def judged(seeds: int, **regrets: float) -> dict[str, dict[str, Any]]:
        picks = {name: {} if name in ("random", "middle") else {each: [0] for each in range(seeds)} for name in regrets}
        return {name: {"regret": regret, "picks": picks[name]} for name, regret in regrets.items()}

    long = judged(3, random=0.04, middle=0.06, auto=0.0, norm=0.08)
    short = judged(1, random=0.0, middle=-0.02, auto=0.04, norm=0.0)
    short["norm"]["picks"] = {}
    cells, regrets = pooled([long, short])
    assert cells == 4
    assert list(regrets) == ["auto", "random", "middle"]
    assert regrets == pytest.approx({"auto": 0.01, "random": 0.03, "middle": 0.04})


def test_what_a_selector_took_is_compared_with_a_random_block_and_the_middle_one_seed_by_seed():
    rates = {"0": 0.1, "1": 0.2, "2": 0.5, "3": 0.4}
    rows = [*cells(rates, seeds=2), *cells({"0": 0.9}, seeds=3)[2:]]
    content = build(FACTS, rows) | {"selectors": {"auto": {"picks": {"0": [2], "1": [2, 3], "2": [0]}}}}
    shares = {name: arm["success"][PANEL] for name, arm in content["arms"].items()}
    expected = [
        (shares["2"][0] - fmean(shares[name][0] for name in rates), shares["2"][0] - shares["1"][0]),
        (
            fmean([shares["2"][1], shares["3"][1]]) - fmean(shares[name][1] for name in rates),
            fmean([shares["2"][1], shares["3"][1]]) - shares["1"][1],
        ),
    ]
    # Seed 2 has one block alone.
    assert leads(content, "auto") == [pytest.approx(pair) for pair in expected]
    assert leads(content, "norm") == []
    shares["3"].pop()
    assert leads(content, "auto") == []


def test_seeds_of_one_study_say_nothing_of_other_studies(tmp_path: Path):
    for name, gain in (("one", 0.0), ("other", 0.4)):
        shares = {"0": [0.1, 0.2], "1": [0.2, 0.1], "2": [0.2 + gain, 0.1 + gain], "3": [0.1, 0.2]}
        picks = {"regret": 0.0, "picks": {"0": [2], "1": [2]}}
        content = {
            "blocks": 4,
            "panels": {PANEL: {}},
            "arms": {block: {"seeds": [0, 1], "success": {PANEL: each}} for block, each in shares.items()},
            "selectors": {"auto": picks, "random": picks | {"picks": {}}},
        }
        (tmp_path / name).mkdir()
        Folder(tmp_path / name).write_json("study.json", content)
    _, within, beyond = study.selectors_over([tmp_path / "one", tmp_path / "other"])
    # Block 2 is above the mean by 0.05, -0.05, 0.35 and 0.25, and above the middle by 0, 0, 0.4 and 0.4.
    assert (
        "+15.0 (\u22120.2 to +30.2) points above a random block and +20.0 (+20.0 to +20.0) above the middle" in within
    )
    assert "4 seeds of these 2 studies" in within
    assert "it is +15.0 (\u2212175.6 to +205.6) and +20.0 (\u2212234.1 to +274.1)" in beyond


def test_ranks_are_compared_block_by_block():
    assert rank_correlation({0: 1, 1: 2, 2: 3}, {0: 10, 1: 20, 2: 30, 9: 0}) == pytest.approx((1.0, 0.0, 3))
    assert rank_correlation({0: 1, 1: 2}, {0: 1, 1: 2}) is None


def test_ranks_of_models_of_other_depths_are_not_compared(tmp_path: Path):
    blocks = {str(index): 0.1 * index for index in range(8)}
    for name, count in (("shallow", 8), ("deep", 28)):
        content = {
            "blocks": count,
            "panels": {PANEL: {}},
            "arms": {name: {"success": {PANEL: [mean]}} for name, mean in blocks.items()},
        }
        Folder(tmp_path).write_json(f"{name}.json", content)
        (tmp_path / name).mkdir()
        (tmp_path / f"{name}.json").rename(tmp_path / name / "study.json")
    (line,) = study.agreement([tmp_path / "shallow", tmp_path / "deep"])
    assert line.startswith("shallow and deep are of models of 8 and 28 blocks")
    (line,) = study.agreement([tmp_path / "shallow", tmp_path / "shallow"])
    assert line == "Ranks of 8 blocks in shallow and shallow: Spearman +1.00 (p < 0.0001)."


def test_cells_of_different_tasks_are_not_paired():
    rows = cells(RATES)
    rows[0]["panels"][PANEL]["sha256"] = "0" * 64
    with pytest.raises(InputError, match="cells played different tasks under the name rooms"):
        build(FACTS, rows)
    # Cells of before contents were recorded name none.
    rows = cells(RATES)
    rows[1]["panels"][PANEL]["content_sha256"] = "0" * 64
    build(FACTS, rows)
    rows[2]["panels"][PANEL]["content_sha256"] = "1" * 64
    with pytest.raises(InputError, match="cells played different tasks under the name rooms"):
        build(FACTS, rows)


def write(folder: Path, rows: list[dict[str, Any]]) -> Path:
    (folder / "cells").mkdir(parents=True)
    (folder / "facts.json").write_text(json.dumps(FACTS))
    for row in rows:
        (folder / "cells" / f"{row['cell'].replace(':', '_')}.json").write_text(json.dumps(row))
    return folder


def test_the_command_reads_draws_and_compares(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    first = write(
        tmp_path / "one", [*cells(RATES), *(pick("sharp", seed, 2, [0.1, 0.6, 0.9, 0.3]) for seed in range(3))]
    )
    second = write(tmp_path / "two", cells(RATES | {"0": 0.6, "2": 0.3}))
    study.write(second)
    assert study.main(study.StudyConfig(str(first), str(second))) == 0
    said = capsys.readouterr().out
    for part in (
        "The base policy solves 29.8 % (25.3 to 34.2, 3 seeds).",
        "Of single blocks, 2 is best with 5",
        "Clearly above the base: 0, 1, 2, 3",
        "The middle half of the blocks reaches",
        "That middle blocks do best is established here.",
        "Contributions C (0 is the base, 1 training everything): 0: 0.",
        "LoRA on block 1 reaches",
        "sharp: regret +0.0, rank correlation with success +1.00, costs 10.0 % of training every block once",
        "Ranks of 4 blocks in one and two: Spearman",
    ):
        assert part in said
    assert json.loads((first / "study.json").read_text())["selectors"]["sharp"]["rank_correlation"] == pytest.approx(1)
    assert "Points given up" not in said
    for seed in range(2):
        row = pick("sharp", seed, 2, [0.1, 0.6, 0.9, 0.3])
        (second / "cells" / f"{row['cell']}.json").write_text(json.dumps(row))
    study.write(second)
    assert study.main(study.StudyConfig(str(first), str(second))) == 0
    said = capsys.readouterr().out
    assert "over 5 cells of 2 studies: " in said
    assert "What auto takes" not in said
    for folder, seeds in ((first, 3), (second, 2)):
        for seed in range(seeds):
            row = pick("auto", seed, 2, [0.1, 0.6, 0.9, 0.3])
            (folder / "cells" / f"{row['cell']}.json").write_text(json.dumps(row))
        study.write(folder)
    assert study.main(study.StudyConfig(str(first), str(second))) == 0
    assert "above the middle one (95 % over the 5 seeds of these 2 studies)." in capsys.readouterr().out
    assert read_cells(first)
    drawn = ElementTree.parse(first / "contribution.svg").getroot()
    assert drawn.tag.endswith("svg")


def test_an_unfinished_study_claims_nothing():
    some = {name: RATES[name] for name in ("base", "1")}
    content = build(FACTS, cells(some, seeds=1)) | {"selectors": {}}
    said = "\n".join(reading(content))
    assert "1 of 4 blocks have been trained so far." in said
    assert "Selectors can be judged once every block has been trained" in said
    assert "established" not in said
    assert "Contributions" not in said
    nothing = build(FACTS, cells({"base": 0.3}, seeds=1)) | {"selectors": {}}
    assert "No block has been trained yet." in reading(nothing)
    ElementTree.fromstring(chart(nothing, PANEL))


def test_no_two_words_of_a_plot_lie_on_each_other():
    facts = {**FACTS, "env": "scienceworld", "model": "Qwen/Qwen2.5-1.5B-Instruct", "algorithm": "dr_grpo"}
    content = build(facts, cells(RATES, seeds=5)) | {"selectors": {}}
    drawn = ElementTree.fromstring(chart(content, PANEL))
    lines: dict[str, list[tuple[float, float]]] = {}
    for text in drawn.iter("{http://www.w3.org/2000/svg}text"):
        wide = len(text.text or "") * (6.5 if "small" in text.attrib["class"] else 7.3)
        start = float(text.attrib["x"]) - {"start": 0, "middle": 0.5, "end": 1}[text.attrib["text-anchor"]] * wide
        lines.setdefault(text.attrib["y"], []).append((start, start + wide))
    assert {"from Qwen2.5-1.5B-Instruct, 5 seeds", "diamond: LoRA on block 1"} <= {text.text for text in drawn.iter()}
    for places in map(sorted, lines.values()):
        assert all(end < start for (_, end), (start, _) in itertools.pairwise(places))
        assert places[-1][1] < WIDTH


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"cell": "x"}', '{"cell": "x", "seed": 0, "cost": {}}'])
def test_what_is_no_cell_is_refused(tmp_path: Path, content: str):
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / "x.json").write_text(content)
    with pytest.raises(InputError, match="is not a cell of a study"):
        read_cells(tmp_path)


def test_a_folder_without_a_study_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="holds no study"):
        study.write(tmp_path)
    with pytest.raises(InputError, match="folder= is needed"):
        study.main(study.StudyConfig())


def test_one_seed_establishes_nothing_about_runs():
    one = reading(build(FACTS, cells(RATES, seeds=1)))
    assert one[0].startswith("One seed only")
    assert any("is seen with this one seed; more of them would have to establish it" in line for line in one)
    assert not any("is established here" in line for line in one)
    several = reading(build(FACTS, cells(RATES, seeds=3)))
    assert not any(line.startswith("One seed only") or "this one seed" in line for line in several)


def test_seeds_that_lack_blocks_do_not_count_for_the_pattern():
    """A second seed with some of the blocks only: what rests on one seed is said to."""
    rows = [row for row in cells(RATES, seeds=2) if row["seed"] == 0 or not row["arm"].isdecimal() or row["arm"] < "2"]
    content = build(FACTS, rows)
    (contrast,) = content["contrast"].values()
    assert contrast["seeds"] == 1
    assert contrast["difference"] == pytest.approx(contrast["middle"] - contrast["outer"])
    said = "\n".join(reading(content))
    assert "with this one seed; more of them would have to establish it" in said
    assert "(one seed)" in said
