"""Sentences claim no more than the intervals allow."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals import findings
from evals.statistics import contribution, paired
from tests.evals.run_folder import summary

CLAIMS = ("raised", "lowered", "did better")


def changed(name: str, **pair: Any) -> dict[str, Any]:
    content = summary()
    content["paired"][name] |= pair
    return content


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ({"difference": 0.13, "interval": [0.07, 0.19], "p": 0.001}, "raised success from 33.0 % to 46.0 %"),
        ({"difference": -0.13, "interval": [-0.19, -0.07], "p": 0.001}, "lowered success"),
        ({"difference": 0.05, "interval": [-0.01, 0.11], "p": 0.11}, "cannot tell from none"),
        # Interval and test disagree at the edge: no claim.
        ({"difference": 0.05, "interval": [0.001, 0.1], "p": 0.051}, "cannot tell from none"),
        ({"difference": 0.05, "interval": [-0.001, 0.1], "p": 0.049}, "cannot tell from none"),
    ],
)
def test_headline(pair: dict[str, Any], words: str) -> None:
    sentence = findings.headline(changed("layer_vs_base", **pair))
    assert words in sentence
    assert sentence.count(".0 %") == 2


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        (
            {"difference": 0.08, "interval": [0.02, 0.14], "p": 0.01},
            "Training the layer did better than training every parameter, by 8.0 points (95 % interval 2.0 to 14.0).",
        ),
        (
            {"difference": -0.08, "interval": [-0.14, -0.02], "p": 0.01},
            "Training every parameter did better than training the layer, by 8.0 points (95 % interval 2.0 to 14.0).",
        ),
        ({"difference": 0.0, "interval": [-0.05, 0.05], "p": 1.0}, "was not resolved"),
    ],
)
def test_against_full(pair: dict[str, Any], words: str) -> None:
    assert words in findings.against_full(changed("layer_vs_full", **pair))


def test_missing_arms_are_said_to_be_missing() -> None:
    content = summary() | {"paired": {}, "contribution": None}
    assert "no layer was trained" in findings.headline(content)
    assert "no comparison" in findings.against_full(content)
    assert "was not trained" in findings.contribution(content)


def test_contribution() -> None:
    content = summary()
    assert "0.77 (95 % interval 0.45 to 1.16)" in findings.contribution(content)
    content["contribution"]["interval"] = [None, None]
    assert "do not bound it" in findings.contribution(content)
    undefined = contribution([0, 1, 0], [1, 1, 0], [0, 1, 1])
    content["contribution"] = undefined._asdict()
    assert findings.contribution(content).startswith(
        "Contribution is undefined: training everything gained +33.3 points"
    )


@pytest.mark.parametrize(
    ("indices", "name"),
    [
        ([4], "block 4 alone"),
        ([2, 5], "blocks 2 and 5 alone"),
        ([1, 2, 3], "blocks 1, 2 and 3 alone"),
        ([], "no block"),
    ],
)
def test_target(indices: list[int], name: str) -> None:
    assert findings.target({"selector": "auto", "indices": indices}) == name
    assert findings.target({"selector": "full", "indices": indices}) == "every parameter"


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("4.mlp", "block 4 mlp alone"),
        ("2.attention,5", "blocks 2 attention and 5 alone"),
        ("lora:4", "LoRA on block 4"),
        ("boost:2,5", "every parameter, with blocks 2 and 5 at a higher rate,"),
    ],
)
def test_target_of_other_kinds(target: str, name: str) -> None:
    assert findings.target({"selector": "fixed", "target": target, "indices": [4]}) == name


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=80))
def test_no_claim_of_a_difference_without_evidence(pairs: list[tuple[bool, bool]]) -> None:
    found = paired(*zip(*pairs, strict=True))
    pair = {"difference": found.difference, "interval": found.interval.to_json(), "p": found.p}
    for sentence in (
        findings.headline(changed("layer_vs_base", **pair)),
        findings.against_full(changed("layer_vs_full", **pair)),
    ):
        claimed = any(claim in sentence for claim in CLAIMS)
        assert claimed == (found.p < 0.05 and not found.interval.low <= 0 <= found.interval.high)
